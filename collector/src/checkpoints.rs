//! What the analysis knows of each host, kept in files: a restart must not forget what is usual, nor since when what is
//! not has been so.
//!
//! One file for each host, compressed and with a checksum, written anew every [`ROUND`] and at the end. What came after
//! it is heard again from the store. A file that cannot be read is an error in the log and no more: its host is learned
//! anew. The analysis hands over bytes and never waits for the disk, save at the end.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use firstlook_detect::{BaseRates, Detector};
use firstlook_model::HostId;
use firstlook_model::id::stable_hash;
use firstlook_runtime::files;

/// Within this time each host's file is written once.
pub const ROUND: Duration = Duration::from_secs(300);
/// Checkpoints that wait to be written. When there are more a host waits for its next turn.
const WAITING: usize = 8;
/// Until what is known of all together is handed over again when there was no room.
const RATES_AGAIN: Duration = Duration::from_secs(30);
/// Between two tries to hand over at the end.
const RETRY: Duration = Duration::from_millis(2);
/// What is read of one file, and of what it holds. Far above what a host's series, edges and templates can take.
const FILE_LIMIT_BYTES: u64 = 64 * 1024 * 1024;
const STATE_LIMIT_BYTES: u64 = 512 * 1024 * 1024;
const LEVEL: i32 = 1;
const ENDING: &str = "checkpoint";
const RATES: &str = "rates";
/// In the name of a file that was not finished.
const UNFINISHED: &str = ".new-";
/// As much of a host's name stands in its file's.
const NAME_LIMIT_BYTES: usize = 128;

/// What is to be done with a host's file.
#[derive(Debug)]
pub enum Keep {
    /// Write it.
    Write(HostId, Vec<u8>),
    /// Remove it: the host was shut out.
    Remove(HostId),
    /// Write what was learned of all hosts together.
    Rates(Vec<u8>),
}

/// Hosts' files.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    folder: PathBuf,
    written: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
}

impl Checkpoints {
    /// Those in `folder`, which is made where it is missing.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(folder: PathBuf) -> io::Result<Self> {
        files::make_private_folder(&folder)?;
        Ok(Self {
            folder,
            written: Arc::default(),
            failed: Arc::default(),
        })
    }

    /// The files, in the order of their names; what an end in the middle of writing left is removed.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn files(&self) -> io::Result<BTreeSet<PathBuf>> {
        let mut files = BTreeSet::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == ENDING) {
                files.insert(path);
            } else if is_unfinished(&path) {
                remove(&path)?;
            }
        }
        Ok(files)
    }

    /// What one of them holds.
    ///
    /// # Errors
    /// When it cannot be read, is damaged, or larger than any can be.
    pub fn read(path: &Path) -> io::Result<Vec<u8>> {
        let file = File::open(path)?;
        let mut state = Vec::new();
        let unpacked = zstd::Decoder::new(file.take(FILE_LIMIT_BYTES))?;
        unpacked.take(STATE_LIMIT_BYTES).read_to_end(&mut state)?;
        if state.len() as u64 >= STATE_LIMIT_BYTES {
            let large = format!("larger than {STATE_LIMIT_BYTES} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, large));
        }
        Ok(state)
    }

    /// Writes and removes what it is handed, until every sender is gone. Blocks.
    pub fn keep(&self, handed: &Receiver<Keep>) {
        for keep in handed {
            let (host, done) = match &keep {
                Keep::Write(host, state) => (Some(host), write(&self.path(host), state)),
                Keep::Remove(host) => (Some(host), self.remove(host)),
                Keep::Rates(rates) => (None, write(&self.folder.join(RATES), rates)),
            };
            match done {
                Ok(()) => {
                    self.written.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => {
                    // Once in a while is enough: a disk that is full is so for each host.
                    let failed = self.failed.fetch_add(1, Ordering::Relaxed) + 1;
                    if failed.is_power_of_two() {
                        tracing::error!(%error, host = host.map(HostId::as_str), folder = %self.folder.display(), "checkpoint not kept, what was kept before it stays");
                    }
                }
            }
        }
    }

    /// What was learned of all hosts together; nothing where it was never written.
    ///
    /// # Errors
    /// When the file cannot be read or is damaged.
    pub fn rates(&self) -> anyhow::Result<BaseRates> {
        let path = self.folder.join(RATES);
        if !path.exists() {
            return Ok(BaseRates::default());
        }
        Ok(BaseRates::restored(&Self::read(&path)?)?)
    }

    /// Removes a host's file, if there is one.
    ///
    /// # Errors
    /// The file system's.
    pub fn remove(&self, host: &HostId) -> io::Result<()> {
        remove(&self.path(host))
    }

    fn path(&self, host: &HostId) -> PathBuf {
        // A name may be as long as a file's may, and then there is no room for an ending.
        let name = host.as_str();
        let short = &name[..name.len().min(NAME_LIMIT_BYTES)];
        let hash = stable_hash(name.as_bytes());
        self.folder.join(format!("{short}-{hash:016x}.{ENDING}"))
    }

    /// Files written or removed, and those that could not be.
    pub fn counters(&self) -> [(&'static str, u64); 2] {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        [
            ("firstlook_checkpoints_kept_total", of(&self.written)),
            ("firstlook_checkpoints_failed_total", of(&self.failed)),
        ]
    }
}

fn write(path: &Path, state: &[u8]) -> io::Result<()> {
    let mut packed = zstd::Encoder::new(Vec::new(), LEVEL)?;
    packed.include_checksum(true)?;
    io::copy(&mut &*state, &mut packed)?;
    files::write_atomically(path, &packed.finish()?, 0o600)
}

/// By its own name: the folders above it may be called anything.
fn is_unfinished(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().contains(UNFINISHED)
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Where the analysis hands over, and where [`Checkpoints::keep`] takes.
pub fn channel() -> (SyncSender<Keep>, Receiver<Keep>) {
    sync_channel(WAITING)
}

/// Whose turn it is.
#[derive(Debug)]
pub struct Keeping {
    kept: SyncSender<Keep>,
    /// Hosts that may be written by now.
    credit: f64,
    /// Whose was written last.
    last: Option<HostId>,
    /// Time since what is known of all together was handed over.
    waited: Duration,
}

impl Keeping {
    /// Nobody's yet.
    pub fn new(kept: SyncSender<Keep>) -> Self {
        Self {
            kept,
            credit: 0.0,
            last: None,
            waited: Duration::ZERO,
        }
    }

    /// After `passed` since the last turn: hands over those hosts whose turn it is, so that all are in a [`ROUND`].
    pub fn turn(&mut self, detector: &Detector, rates: &BaseRates, passed: Duration) {
        self.waited += passed;
        if self.waited >= ROUND {
            let kept = self.kept.try_send(Keep::Rates(rates.kept()));
            // A slow disk is not asked again at once: to make the bytes costs something.
            self.waited = kept.map_or(ROUND - RATES_AGAIN, |()| Duration::ZERO);
        }
        let count = detector.hosts().count() as f64;
        self.credit += count * passed.as_secs_f64() / ROUND.as_secs_f64();
        // What could not be written in time is not made up for at once.
        self.credit = self.credit.min(count.min(WAITING as f64));
        while self.credit >= 1.0 {
            let Some(host) = self.next(detector) else {
                return;
            };
            let Some(state) = detector.checkpoint(&host) else {
                return;
            };
            if self
                .kept
                .try_send(Keep::Write(host.clone(), state))
                .is_err()
            {
                return;
            }
            self.last = Some(host);
            self.credit -= 1.0;
        }
    }

    fn next(&self, detector: &Detector) -> Option<HostId> {
        let after = |host: &&HostId| self.last.as_ref().is_none_or(|last| *host > last);
        let next = detector.hosts().find(after);
        next.or_else(|| detector.hosts().next()).cloned()
    }

    /// Hands over all hosts' until `deadline`, those first that waited longest. Says how many there was no time for.
    pub fn all(&mut self, detector: &Detector, rates: &BaseRates, deadline: Instant) -> usize {
        let count = detector.hosts().count();
        if !self.hand_over(Keep::Rates(rates.kept()), deadline) {
            return count;
        }
        for done in 0..count {
            let Some(host) = self.next(detector) else {
                return 0;
            };
            let Some(state) = detector.checkpoint(&host) else {
                return 0;
            };
            if !self.hand_over(Keep::Write(host.clone(), state), deadline) {
                return count - done;
            }
            self.last = Some(host);
        }
        0
    }

    /// Waits until there is room, until `deadline` at most. Whether there was.
    fn hand_over(&self, mut keep: Keep, deadline: Instant) -> bool {
        loop {
            match self.kept.try_send(keep) {
                Ok(()) => return true,
                Err(TrySendError::Disconnected(_)) => return false,
                Err(TrySendError::Full(_)) if Instant::now() >= deadline => return false,
                Err(TrySendError::Full(back)) => keep = back,
            }
            std::thread::sleep(RETRY);
        }
    }

    /// A host is no more. Where there is no room to say so its file goes at the next start.
    pub fn forget(&self, host: HostId) {
        let _ = self.kept.try_send(Keep::Remove(host));
    }
}

#[cfg(test)]
mod tests {
    use firstlook_detect::{BaseRates, DetectConfig};
    use firstlook_model::symptom::{families, kinds};
    use firstlook_model::{ComponentId, Reference, Symptom, TimeRange, Timestamp};

    use super::*;

    fn host(name: &str) -> HostId {
        HostId::new(name).expect("a host's name")
    }

    fn opened() -> (tempfile::TempDir, Checkpoints) {
        let folder = tempfile::tempdir().expect("a folder");
        let checkpoints = Checkpoints::open(folder.path().join("checkpoints")).expect("made");
        (folder, checkpoints)
    }

    fn handed(checkpoints: &Checkpoints, keeps: Vec<Keep>) {
        let (sends, takes) = channel();
        keeps
            .into_iter()
            .for_each(|keep| sends.send(keep).expect("taken"));
        drop(sends);
        checkpoints.keep(&takes);
    }

    #[test]
    fn what_is_kept_is_read_again_and_what_is_removed_is_gone() {
        let (_folder, checkpoints) = opened();
        let long = host(&"a".repeat(253));
        let longer_by_one = host(&format!("{}b", "a".repeat(252)));
        let all = [host("db1"), long, longer_by_one];
        let state = |host: &HostId| host.as_str().repeat(1_000).into_bytes();
        handed(
            &checkpoints,
            all.iter()
                .map(|h| Keep::Write(h.clone(), state(h)))
                .collect(),
        );
        let files = checkpoints.files().expect("read");
        let read: BTreeSet<Vec<u8>> = files
            .iter()
            .map(|file| Checkpoints::read(file).expect("whole"))
            .collect();
        assert_eq!(read, all.iter().map(state).collect());
        handed(
            &checkpoints,
            vec![Keep::Remove(host("db1")), Keep::Remove(host("unknown"))],
        );
        assert_eq!(checkpoints.files().expect("read").len(), 2);
        assert_eq!(checkpoints.counters().map(|(_, count)| count), [5, 0]);
    }

    #[test]
    fn what_was_learned_of_all_is_read_again_and_is_nothing_at_first() {
        let (_folder, checkpoints) = opened();
        let nothing = BaseRates::default();
        assert_eq!(checkpoints.rates().expect("none yet"), nothing);
        let mut rates = BaseRates::default();
        let mut calm = Detector::new(DetectConfig::default()).situation(Timestamp::from_secs(1));
        calm.symptoms.push(seen(&host("db1")));
        rates.learn(&calm);
        assert_ne!(rates, nothing);
        handed(&checkpoints, vec![Keep::Rates(rates.kept())]);
        assert_eq!(checkpoints.rates().expect("whole"), rates);
        assert_eq!(checkpoints.files().expect("read").len(), 0, "no host's");
    }

    fn seen(host: &HostId) -> Symptom {
        let component = ComponentId::host(host.clone());
        let range = TimeRange::new(Timestamp::from_secs(0), Timestamp::from_secs(1));
        Symptom {
            component: component.clone(),
            kind: kinds::CPU_SATURATED.to_owned(),
            peer: None,
            family: families::CPU.to_owned(),
            onset: range,
            last_seen: range.to,
            severity: 0.5,
            gate: false,
            text: String::new(),
            usual: 0.0,
            reference: Reference::Heartbeat { component, range },
        }
    }

    #[test]
    fn damage_anywhere_is_noticed() {
        let (_folder, checkpoints) = opened();
        handed(
            &checkpoints,
            vec![Keep::Write(host("db1"), b"what is usual ".repeat(50))],
        );
        let file = checkpoints.files().expect("read").pop_first().expect("one");
        let whole = std::fs::read(&file).expect("read");
        for place in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[place] ^= 0x40;
            std::fs::write(&file, &damaged).expect("written");
            let read = Checkpoints::read(&file);
            // A header may say the same in another way; what is read must be the same then.
            assert!(
                read.is_err() || read.is_ok_and(|r| r == b"what is usual ".repeat(50)),
                "at {place}"
            );
            std::fs::write(&file, &whole[..place]).expect("written");
            assert!(Checkpoints::read(&file).is_err(), "cut at {place}");
        }
    }

    #[test]
    fn what_was_not_finished_is_removed_and_what_is_not_ours_is_not_looked_at() {
        let folder = tempfile::tempdir().expect("a folder");
        let checkpoints = Checkpoints::open(folder.path().join("data.new-1/all")).expect("made");
        let path = |name: &str| checkpoints.folder.join(name);
        for name in ["db1-0.checkpoint.new-17", "notes.txt"] {
            std::fs::write(path(name), "half").expect("written");
        }
        assert_eq!(checkpoints.files().expect("read").len(), 0);
        assert!(!path("db1-0.checkpoint.new-17").exists() && path("notes.txt").exists());
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_the_old_file_stays() {
        let (folder, checkpoints) = opened();
        handed(
            &checkpoints,
            vec![Keep::Write(host("db1"), b"old".to_vec())],
        );
        // A folder in place of the new file: it cannot be written.
        let new = format!(
            "db1-{:016x}.checkpoint.new-{}",
            stable_hash(b"db1"),
            std::process::id()
        );
        std::fs::create_dir_all(folder.path().join("checkpoints").join(new)).expect("made");
        handed(
            &checkpoints,
            vec![Keep::Write(host("db1"), b"new".to_vec())],
        );
        assert_eq!(checkpoints.counters().map(|(_, count)| count), [1, 1]);
        let path = checkpoints.path(&host("db1"));
        assert_eq!(Checkpoints::read(&path).expect("whole"), b"old");
    }

    fn watching(hosts: usize) -> Detector {
        let mut detector = Detector::new(DetectConfig::default());
        for number in 0..hosts {
            detector.observe_contact(
                &host(&format!("h{number:03}")),
                Timestamp::from_secs(1),
                None,
            );
        }
        detector
    }

    fn written(takes: &Receiver<Keep>) -> Vec<String> {
        let hosts = takes.try_iter().filter_map(|keep| match keep {
            Keep::Write(host, _) => Some(host.to_string()),
            Keep::Remove(_) | Keep::Rates(_) => None,
        });
        hosts.collect()
    }

    #[test]
    fn each_host_has_one_turn_in_a_round() {
        for hosts in [1, 7, 700] {
            let detector = watching(hosts);
            let (kept, takes) = channel();
            let mut keeping = Keeping::new(kept);
            let mut turns = Vec::new();
            for _ in 0..ROUND.as_secs() {
                keeping.turn(&detector, &BaseRates::default(), Duration::from_secs(1));
                turns.extend(written(&takes));
            }
            let distinct: BTreeSet<&String> = turns.iter().collect();
            assert!(
                turns.len().abs_diff(hosts) <= 1,
                "{} turns of {hosts}",
                turns.len()
            );
            assert!(
                distinct.len() + 1 >= turns.len(),
                "nobody's twice: {turns:?}"
            );
        }
    }

    #[test]
    fn a_slow_disk_makes_nobody_wait_and_nobody_is_passed_over() {
        let detector = watching(600);
        let (kept, takes) = channel();
        let mut keeping = Keeping::new(kept);
        (0..60)
            .for_each(|_| keeping.turn(&detector, &BaseRates::default(), Duration::from_secs(1)));
        let first = written(&takes);
        assert_eq!(first.len(), WAITING);
        keeping.turn(&detector, &BaseRates::default(), Duration::from_secs(1));
        assert_eq!(written(&takes)[0], format!("h{WAITING:03}"));
    }

    #[test]
    fn at_the_end_all_are_written_or_counted() {
        let detector = watching(20);
        let (kept, takes) = channel();
        let mut keeping = Keeping::new(kept);
        let now = Instant::now();
        // One place is taken by what is known of all together.
        assert_eq!(
            keeping.all(&detector, &BaseRates::default(), now),
            21 - WAITING
        );
        let reader = std::thread::spawn(move || takes.iter().count());
        assert_eq!(
            keeping.all(
                &detector,
                &BaseRates::default(),
                now + Duration::from_secs(60)
            ),
            0
        );
        drop(keeping);
        assert_eq!(reader.join().expect("read"), 21 + WAITING);
    }
}
