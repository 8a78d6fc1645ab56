//! The kernel's log, from its ring buffer.
//!
//! A position is `<boot id> <sequence>`: after a restart of the agent reading goes on behind it, after a
//! boot it begins anew. The ring buffer overwrites what is not read in time; the gap in the sequence says
//! how much, and is reported as lost.

mod owner;
mod record;

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use firstlook_model::{Checkpoint, LogSource, Loss, Observation, RawLine, Timestamp};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::Source;
use crate::clock;
use crate::drive::{BATCH_LIMIT_LINES, Eases, Ending, Outlet, Step, drive};
use crate::journald::severity;
use owner::{Owner, Owners};
use record::Record;

const NAME: &str = "kmsg";
const READER: &str = "kmsg";
const PAUSE: Duration = Duration::from_millis(250);
/// How long a step waits for a record at most.
const WAIT: Timespec = Timespec {
    tv_sec: 1,
    tv_nsec: 0,
};
/// How much of the past a first start reads.
const FIRST_START: Duration = Duration::from_secs(300);
/// Longest record: the kernel's own limit (CONSOLE_EXT_LOG_MAX); a shorter buffer fails to read it.
const RECORD_LIMIT_BYTES: usize = 8_192;
/// Between two tries to open what could not be opened.
const RETRY: Duration = Duration::from_secs(30);

/// Follows the ring buffer until told to stop.
pub(crate) async fn run(source: Source) {
    let Some(path) = source.config.kmsg.clone() else {
        return;
    };
    let outlet = Outlet {
        eases: Eases::Never,
        sink: source.sink.clone(),
        blind: source.blind.clone(),
        stop: source.stop.clone(),
        ending: Ending::AtOnce,
    };
    let mut reader = None;
    drive(NAME, PAUSE, outlet, move |_| {
        let reader = reader.get_or_insert_with(|| Reader::new(source.clone(), path.clone()));
        reader.wait();
        reader.step(clock::now(), clock::monotonic())
    })
    .await;
}

struct Reader {
    source: Source,
    path: PathBuf,
    file: Option<File>,
    retry_at: Timestamp,
    boot: String,
    owners: Owners,
    /// Last sequence number read in this boot.
    last: Option<u64>,
}

impl Reader {
    fn new(source: Source, path: PathBuf) -> Self {
        let read =
            |name: &str| fs::read_to_string(source.config.proc_root.join(name)).unwrap_or_default();
        let boot = read("sys/kernel/random/boot_id").trim().to_owned();
        let prefix = match &source.config.cgroup_prefix {
            Some(prefix) => prefix.clone(),
            None => owner::own_prefix(&read("1/cgroup")),
        };
        let last = source
            .checkpoints
            .load(READER)
            .and_then(|position| sequence_in(&position, &boot));
        let owners = Owners::new(&prefix, is_contained(&source.config.proc_root));
        Self {
            source,
            path,
            file: None,
            retry_at: Timestamp::default(),
            boot,
            owners,
            last,
        }
    }

    /// Waits for a record, so that nothing is done while the kernel is silent.
    fn wait(&self) {
        if let Some(file) = &self.file {
            // Interrupted or refused, the read that follows tells as much.
            let _ = poll(&mut [PollFd::new(file, PollFlags::IN)], Some(&WAIT));
        }
    }

    fn step(&mut self, now: Timestamp, since_boot: Duration) -> Step {
        let mut step = Step::default();
        if self.file.is_none() && now >= self.retry_at {
            self.open(now);
        }
        let Some(mut file) = self.file.take() else {
            return step;
        };
        let booted = now.minus(since_boot);
        let before = self.last;
        match self.read(&mut file, booted, now, &mut step) {
            Ok(more) => {
                step.more = more;
                self.file = Some(file);
            }
            Err(error) => {
                self.blind(format!("cannot read {}: {error}", self.path.display()));
                self.retry_at = now.plus(RETRY);
            }
        }
        if self.last != before
            && let Some(last) = self.last
        {
            let position = format!("{} {last}", self.boot).into_bytes();
            step.lines.checkpoints.push(Checkpoint {
                reader: READER.to_owned(),
                position,
            });
        }
        step
    }

    fn open(&mut self, now: Timestamp) {
        let flags = rustix::fs::OFlags::NONBLOCK.bits();
        let flags = i32::try_from(flags).unwrap_or_default();
        match OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(&self.path)
        {
            Ok(file) => {
                self.file = Some(file);
                self.source.kernel_read.store(true, Ordering::Relaxed);
                self.source.blind.clear(NAME);
            }
            Err(error) => {
                self.blind(format!("cannot open {}: {error}", self.path.display()));
                self.retry_at = now.plus(RETRY);
            }
        }
    }

    fn blind(&self, reason: String) {
        self.source.kernel_read.store(false, Ordering::Relaxed);
        self.source.blind.set(NAME, reason);
    }

    /// Reads what is there; whether there is more.
    fn read(
        &mut self,
        file: &mut File,
        booted: Timestamp,
        now: Timestamp,
        step: &mut Step,
    ) -> io::Result<bool> {
        let mut buffer = [0; RECORD_LIMIT_BYTES];
        // Each read is one record.
        for _ in 0..BATCH_LIMIT_LINES {
            match file.read(&mut buffer) {
                Ok(0) => {
                    return Err(io::Error::new(
                        ErrorKind::UnexpectedEof,
                        "it is no kernel log",
                    ));
                }
                Ok(length) => match record::parse(&buffer[..length]) {
                    Some(record) => self.take(record, booted, now, step),
                    None => step.facts.push(lost("unreadable-record", 1, now)),
                },
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                // EPIPE: records were overwritten. The next one's number says how many.
                Err(error)
                    if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::BrokenPipe) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn take(&mut self, record: Record, booted: Timestamp, now: Timestamp, step: &mut Step) {
        let time = booted.plus(Duration::from_micros(record.micros));
        let missed = match self.last {
            Some(last) if record.sequence <= last => return,
            Some(last) => record.sequence - last - 1,
            None => 0,
        };
        let old = self.last.is_none() && time < now.minus(FIRST_START);
        if missed > 0 {
            step.facts.push(lost("overwritten", missed, now));
        }
        let owner = if record.from_kernel {
            self.owners.of(&record.text)
        } else {
            Owner::Host
        };
        if old {
            return;
        }
        self.last = Some(record.sequence);
        let config = &self.source.config;
        let component = match owner {
            Owner::Host => config.machine(),
            Owner::Unit(unit) => config.service(&unit),
            Owner::Stranger => return,
        };
        if !record.text.is_empty() {
            step.lines.lines.push(RawLine {
                time,
                component,
                severity: Some(severity(record.level)),
                source: LogSource::Kernel,
                text: record.text,
            });
        }
    }
}

/// Whether the first process was told that it is in a container (systemd's Container Interface).
fn is_contained(proc_root: &Path) -> bool {
    let environment = fs::read(proc_root.join("1/environ")).unwrap_or_default();
    environment
        .split(|byte| *byte == 0)
        .any(|variable| variable.starts_with(b"container="))
}

fn lost(reason: &str, count: u64, now: Timestamp) -> Observation {
    Observation::Losses(vec![Loss {
        source: NAME.to_owned(),
        reason: reason.to_owned(),
        count,
        bytes: 0,
        from: now,
        to: now,
    }])
}

/// The sequence number of a position, if it is of this boot.
fn sequence_in(position: &[u8], boot: &str) -> Option<u64> {
    let (of, sequence) = std::str::from_utf8(position).ok()?.split_once(' ')?;
    (of == boot && !boot.is_empty()).then(|| sequence.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BlindSpots, Checkpoints, EventsConfig};
    use firstlook_model::HostId;
    use std::sync::Arc;

    struct At(&'static str);

    impl Checkpoints for At {
        fn load(&self, _: &str) -> Option<Vec<u8>> {
            (!self.0.is_empty()).then(|| self.0.as_bytes().to_vec())
        }
    }

    const NOW: Timestamp = Timestamp::from_secs(10_000);

    /// A reader on a machine that booted 1,000 s ago.
    fn reader(checkpoint: &'static str) -> Reader {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("sys/kernel/random")).unwrap();
        fs::write(dir.path().join("sys/kernel/random/boot_id"), "b00t\n").unwrap();
        let mut config = EventsConfig::for_host(HostId::new("h1").unwrap());
        config.proc_root = dir.path().to_owned();
        config.cgroup_prefix = Some("/lab/h1".to_owned());
        let source = crate::test_source(config, Arc::new(At(checkpoint)), BlindSpots::default());
        Reader::new(source, dir.path().join("kmsg"))
    }

    /// What a reader makes of records with these numbers and texts, written `seconds` after boot.
    fn read(reader: &mut Reader, records: &[(u64, u64, &str)]) -> (Vec<String>, u64) {
        let mut step = Step::default();
        for (sequence, seconds, text) in records {
            let record =
                record::parse(format!("4,{sequence},{},-;{text}", seconds * 1_000_000).as_bytes());
            reader.take(
                record.unwrap(),
                NOW.minus(Duration::from_secs(1_000)),
                NOW,
                &mut step,
            );
        }
        let lines = step
            .lines
            .lines
            .into_iter()
            .map(|line| format!("{} {}", line.component, line.text));
        let losses = step.facts.iter().map(|fact| match fact {
            Observation::Losses(losses) => losses[0].count,
            other => panic!("unexpected {other:?}"),
        });
        (lines.collect(), losses.sum())
    }

    #[test]
    fn first_start_reads_the_last_minutes() {
        let read = read(&mut reader(""), &[(1, 10, "old"), (2, 900, "new")]);
        assert_eq!(read, (vec!["host:h1 new".to_owned()], 0));
    }

    #[test]
    fn restart_goes_on_behind_the_checkpoint_and_a_boot_begins_anew() {
        let records = [(1, 900, "a"), (2, 901, "b"), (3, 902, "c")];
        assert_eq!(read(&mut reader("b00t 2"), &records).0, ["host:h1 c"]);
        assert_eq!(read(&mut reader("other 2"), &records).0.len(), 3);
    }

    #[test]
    fn overwritten_records_are_counted() {
        let read = read(&mut reader("b00t 2"), &[(3, 900, "a"), (10, 901, "b")]);
        assert_eq!(
            read,
            (vec!["host:h1 a".to_owned(), "host:h1 b".to_owned()], 6)
        );
    }

    #[test]
    fn oom_lines_go_to_the_unit_and_those_of_neighbours_nowhere() {
        let own = "oom-kill:constraint=CONSTRAINT_MEMCG,task_memcg=/lab/h1/system.slice/shop.service,task=x,pid=7,uid=0";
        let foreign = own.replace("/h1/", "/h2/").replace("pid=7", "pid=8");
        let records = [
            (1, 900, own),
            (2, 900, "Memory cgroup out of memory: Killed process 7 (x)"),
            (3, 901, &foreign),
            (4, 901, "Memory cgroup out of memory: Killed process 8 (x)"),
        ];
        let (lines, lost) = read(&mut reader(""), &records);
        assert_eq!((lines.len(), lost), (2, 0));
        assert!(
            lines
                .iter()
                .all(|line| line.starts_with("service:h1/shop.service "))
        );
    }

    #[test]
    fn missing_and_alien_files_are_blind_spots() {
        let mut reader = reader("");
        reader.path = "/nonexistent/kmsg".into();
        reader.step(NOW, Duration::ZERO);
        assert!(reader.source.blind.list()[0].starts_with("kmsg: cannot open /nonexistent/kmsg"));
        reader.path = "/dev/null".into();
        reader.step(NOW.plus(RETRY), Duration::ZERO);
        assert_eq!(
            reader.source.blind.list(),
            ["kmsg: cannot read /dev/null: it is no kernel log"]
        );
        assert!(!reader.source.kernel_read.load(Ordering::Relaxed));
    }
}
