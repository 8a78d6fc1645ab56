//! systemd's journal, read from its files without libsystemd.

mod entries;
mod follower;
mod format;
mod held;
mod position;
pub(crate) mod reread;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use firstlook_model::{Change, LogSource, Observation, RawLine, Severity, Timestamp};

use crate::Source;
use crate::config::EventsConfig;
use crate::drive::{BATCH_LIMIT_LINES, Eases, Ending, Outlet, Step, drive};
use crate::logins::Logins;
use crate::sink::BlindSpots;
use entries::Message;
use follower::Follower;
use held::{Entry, Held};

const NAME: &str = "journald";
/// journald does not tell that it wrote: the header is looked at this often.
const PAUSE: Duration = Duration::from_millis(500);
/// Looks between two at the directories.
const LOOKS_PER_RESCAN: u32 = 4;
/// How much of the past a first start reads.
const FIRST_START: Duration = Duration::from_secs(300);

/// Follows the journal directories until told to stop.
pub(crate) async fn run(source: Source) {
    if source.config.journal_dirs.is_empty() {
        return;
    }
    let outlet = Outlet {
        eases: Eases::Lines(source.config.strain.clone()),
        sink: source.sink.clone(),
        blind: source.blind.clone(),
        stop: source.stop.clone(),
        ending: Ending::LastLook,
    };
    let mut reader = None;
    drive(NAME, PAUSE, outlet, move |now| {
        reader
            .get_or_insert_with(|| Reader::new(&source, now))
            .step(now)
    })
    .await;
}

/// Every directory's follower.
struct Reader {
    config: Arc<EventsConfig>,
    blind: BlindSpots,
    /// Whether the kernel's messages come from the ring buffer: then not from here a second time.
    kernel_read: Arc<AtomicBool>,
    followers: Vec<Follower>,
    held: Held,
    logins: Logins,
    looks: u32,
}

impl Reader {
    fn new(source: &Source, now: Timestamp) -> Self {
        let follow = |dir: &std::path::PathBuf| {
            let checkpoint = source.checkpoints.load(&follower::reader_name(dir));
            Follower::new(dir, checkpoint.as_deref(), now.minus(FIRST_START))
        };
        Self {
            followers: source.config.journal_dirs.iter().map(follow).collect(),
            config: source.config.clone(),
            blind: source.blind.clone(),
            kernel_read: source.kernel_read.clone(),
            held: Held::default(),
            logins: Logins::default(),
            looks: 0,
        }
    }

    fn step(&mut self, now: Timestamp) -> Step {
        if self.looks.is_multiple_of(LOOKS_PER_RESCAN) {
            self.rescan(now);
        }
        let mut step = Step::default();
        let mut losses = Vec::new();
        let kernel_read = self.kernel_read.load(Ordering::Relaxed);
        let (config, held, logins) = (&self.config, &mut self.held, &mut self.logins);
        let mut changes = Vec::new();
        for (index, follower) in self.followers.iter_mut().enumerate() {
            let mut dropped = 0;
            step.more |= follower.read(BATCH_LIMIT_LINES, now, |file_id, message| {
                dropped += message.dropped;
                changes.extend(login(config, logins, &message));
                held.push(Entry {
                    follower: index,
                    file_id,
                    seqnum: message.seqnum,
                    realtime: message.realtime,
                    pid: message.pid,
                    joins: message.from_output,
                    seen: now,
                    line: (!(kernel_read && message.from_kernel))
                        .then(|| line(config, message))
                        .flatten(),
                });
            });
            if dropped > 0 {
                losses.push(follower::loss("rate-limited-by-journald", dropped, now));
            }
            losses.extend(follower.losses());
        }
        let followers = &mut self.followers;
        step.lines.lines = self.held.release(now, |entry| {
            followers[entry.follower].reach(entry.file_id, entry.seqnum, entry.realtime);
        });
        let checkpoints = followers.iter_mut().filter_map(Follower::checkpoint);
        step.lines.checkpoints = checkpoints.collect();
        if !changes.is_empty() {
            step.facts.push(Observation::Changes(changes));
        }
        if !losses.is_empty() {
            step.facts.push(Observation::Losses(losses));
        }
        // Reading on at once does not count as a look: the directories wait for their turn.
        if !step.more {
            self.looks = self.looks.wrapping_add(1);
        }
        step
    }

    fn rescan(&mut self, now: Timestamp) {
        let files: usize = self
            .followers
            .iter_mut()
            .map(|follower| follower.rescan(now))
            .sum();
        let trouble = self.followers.iter().find_map(Follower::trouble);
        match trouble {
            _ if files == 0 => {
                let dirs: Vec<_> = self
                    .config
                    .journal_dirs
                    .iter()
                    .map(|d| d.display().to_string())
                    .collect();
                self.blind
                    .set(NAME, format!("no journal files in {}", dirs.join(", ")));
            }
            Some(trouble) => self.blind.set(NAME, trouble),
            None => self.blind.clear(NAME),
        }
    }
}

/// The login that a message tells of. Only root's own programs are believed.
fn login(config: &EventsConfig, logins: &mut Logins, message: &Message) -> Option<Change> {
    let program = message.program.as_deref().filter(|_| message.from_root)?;
    let text = message.text.as_deref()?;
    let time = Timestamp::from_micros(i64::try_from(message.realtime).unwrap_or(i64::MAX));
    logins.take(program, text, time, message.seqnum, &config.machine())
}

/// A line of a message; `None` when it has no text.
fn line(config: &EventsConfig, message: Message) -> Option<RawLine> {
    let text = message.text.filter(|text| !text.is_empty())?;
    let unit = message.unit.as_deref().unwrap_or_default();
    // Only the service manager and the core dump handler are believed when they speak of another unit.
    let speaks_for_others = message.pid == 1 || unit.starts_with("systemd-coredump@");
    let unit = match message.about.as_deref() {
        Some(about) if speaks_for_others => about,
        _ => unit,
    };
    Some(RawLine {
        time: Timestamp::from_micros(i64::try_from(message.realtime).unwrap_or(i64::MAX)),
        component: config.service(unit),
        severity: message.priority.map(severity),
        source: LogSource::Journald,
        text,
    })
}

/// syslog's eight levels (RFC 5424) folded to the model's five.
pub(crate) fn severity(level: u8) -> Severity {
    match level & 7 {
        0..=2 => Severity::Critical,
        3 => Severity::Error,
        4 => Severity::Warning,
        5 | 6 => Severity::Info,
        _ => Severity::Debug,
    }
}

#[cfg(test)]
mod tests;
