//! Whatever happens to a store's files, a collector that is started again and again soon has a store that works.
//!
//! Each opening is a process of its own, as an abort of the engine's cannot be caught.
#![expect(
    clippy::unwrap_used,
    reason = "a test; the child's half is no test function"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use firstlook_model::{
    Change, ChangeKind, ComponentId, Epoch, HostId, MetricBlock, Record, Schema, Sequence, Series,
    SignalKind, TimeRange, Timestamp, Unit,
};
use firstlook_store::{Incoming, MetricSelector, Store, StoreConfig};

const EPOCH: Epoch = Epoch(1);
const ROLE: &str = "FIRSTLOOK_STORE_DAMAGE_DIRECTORY";
const NAME: &str = "whatever_is_damaged_the_store_works_after_a_few_starts";
/// Three that abort, one that finds it hopeless, and as many for a store that opens and fails later.
const STARTS_LIMIT: usize = 8;
const ROUNDS: u64 = 64;
/// Records that stand in the store before it is damaged.
const BEFORE: u64 = 60;
/// Series of the metric blocks: enough that their values become blobs.
const WIDTH: usize = 300;

fn host() -> HostId {
    HostId::new("h1").unwrap()
}

fn everything() -> TimeRange {
    TimeRange::new(Timestamp::from_secs(0), Timestamp::from_secs(1_000_000_000))
}

fn schema() -> Schema {
    let series = (0..WIDTH).map(|n| Series {
        component: ComponentId::host(host()),
        signal: format!("test.signal_{n}"),
        unit: Unit::Count,
        kind: SignalKind::Counter,
    });
    Schema::new(series.collect())
}

fn change(sequence: u64) -> Record {
    Record::Changes(vec![Change {
        id: sequence.to_string(),
        time: Timestamp::from_secs(sequence as i64),
        component: ComponentId::host(host()),
        kind: ChangeKind::Deploy,
        text: "x".repeat(500),
        detail: String::new(),
    }])
}

fn samples(sequence: u64) -> Incoming {
    let times: Vec<_> = (0..10)
        .map(|n| Timestamp::from_secs(sequence as i64 + n))
        .collect();
    let column = |n: usize| (0..10).map(|t| (t * n) as f64 * 0.7).collect();
    let block = MetricBlock {
        schema: schema().id(),
        columns: (0..WIDTH)
            .map(column)
            .collect::<Vec<_>>()
            .try_into()
            .expect("columns of one length"),
        times,
    };
    let bytes = block.encode(1).unwrap().into();
    Incoming::new(Record::Metrics(block), Some(bytes))
}

/// Commits `records` from sequence `first` on, and files half of what there is.
fn work(store: &Store, first: u64, records: u64) {
    for sequence in first..first + records {
        let incoming = match sequence % 3 {
            0 => Incoming::Other(Record::Schema(schema())),
            1 => samples(sequence),
            _ => Incoming::Other(change(sequence)),
        };
        let received = Timestamp::from_secs(sequence as i64);
        let batch = vec![(Sequence(sequence), incoming)];
        store.commit(&host(), EPOCH, batch, received).unwrap();
    }
    store
        .compact(Timestamp::from_secs((first + records) as i64 + 1_000))
        .unwrap();
    store.flush().unwrap();
}

fn ids(store: &Store) -> Vec<u64> {
    let stored = store.changes(everything(), None);
    stored.iter().map(|c| c.item.id.parse().unwrap()).collect()
}

/// The child: opens, hears again, answers, takes in, files, and finds what it took in.
fn start(directory: &str) {
    let store = Store::open(directory, StoreConfig::default()).unwrap();
    let mut heard = 0;
    store.replay(everything(), |_, _, _| heard += 1);
    store.metrics(&MetricSelector::default(), everything());
    let first = store
        .acknowledged(&host(), EPOCH)
        .map_or(BEFORE + 1, |s| s.0 + 1);
    work(&store, first, 12);
    assert!(!store.has_failed());
    let expected: Vec<u64> = (first..first + 12).filter(|s| s % 3 == 2).collect();
    let found = ids(&store);
    assert!(
        expected.iter().all(|id| found.contains(id)),
        "{expected:?} are not all in {found:?}"
    );
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(files(&entry.path())),
            false => found.push(entry.path()),
        }
    }
    found.sort();
    found
}

/// The files that count: of the versions that the engine keeps of each folder, only the newest.
fn live(directory: &Path) -> Vec<PathBuf> {
    let version = |file: &PathBuf| -> Option<u64> {
        let name = file.file_name()?.to_str()?;
        name.strip_prefix('v')?.parse().ok()
    };
    let all = files(directory);
    let is_old = |file: &PathBuf| {
        let newer =
            |other: &PathBuf| other.parent() == file.parent() && version(other) > version(file);
        version(file).is_some() && all.iter().any(newer)
    };
    all.iter().filter(|file| !is_old(file)).cloned().collect()
}

fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(&file, target).unwrap();
    }
}

/// Numbers that look like chance and come again in every run (splitmix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % limit.max(1) as u64).unwrap()
    }
}

/// The number of sections of a file that has a table of contents: its end says where that stands, and how long it is.
fn contents_of(bytes: &mut [u8]) -> Option<&mut [u8]> {
    let (place, _) = bytes.last_chunk::<16>()?.split_first_chunk::<8>()?;
    let at = u64::from_le_bytes(*place);
    let at = usize::try_from(at).ok()?.checked_add(4)?;
    bytes.get_mut(at..at.checked_add(4)?)
}

/// Harms one file; says how, for whoever reads a failure.
fn harm(directory: &Path, chance: &mut Chance) -> String {
    let all = live(directory);
    let file = &all[chance.below(all.len())];
    let name = file.strip_prefix(directory).unwrap().display().to_string();
    let mut bytes = std::fs::read(file).unwrap();
    let how = match chance.below(6) {
        0 => {
            std::fs::remove_file(file).unwrap();
            return format!("{name} removed");
        }
        1 => {
            let alien = file.with_file_name(["alien", "7", "0.jnl"][chance.below(3)]);
            std::fs::write(&alien, b"alien").unwrap();
            return format!("{} made", alien.display());
        }
        2 => {
            bytes.truncate(chance.below(bytes.len()));
            "cut"
        }
        3 => {
            let at = chance.below(bytes.len());
            bytes.iter_mut().skip(at).take(9).for_each(|b| *b = 0xa5);
            "overwritten"
        }
        4 => match contents_of(&mut bytes) {
            // The engine believes this count, and asks for as much memory.
            Some(count) => {
                count.copy_from_slice(&u32::MAX.to_le_bytes());
                "given too long a table of contents"
            }
            None => {
                bytes.clear();
                "emptied"
            }
        },
        _ => {
            // The end of a file of tables says where everything in it is.
            let at = bytes.len().saturating_sub(1 + chance.below(300));
            bytes.iter_mut().skip(at).take(1).for_each(|b| *b ^= 0x40);
            "flipped near its end"
        }
    };
    std::fs::write(file, &bytes).unwrap();
    format!("{name} {how}, {} bytes now", bytes.len())
}

#[test]
fn whatever_is_damaged_the_store_works_after_a_few_starts() {
    if let Ok(directory) = std::env::var(ROLE) {
        return start(&directory);
    }
    let sound = tempfile::tempdir().unwrap();
    let store = Store::open(sound.path(), StoreConfig::default()).unwrap();
    work(&store, 1, BEFORE / 2);
    work(&store, BEFORE / 2 + 1, BEFORE / 2);
    drop(store);
    let before: Vec<u64> = (1..=BEFORE).filter(|s| s % 3 == 2).collect();

    let mut chance = Chance(1);
    let (mut again, mut set_aside, mut whole) = (0, 0, 0);
    for round in 0..ROUNDS {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("store");
        copy(sound.path(), &directory);
        let how = harm(&directory, &mut chance);
        let mut starts = 1;
        loop {
            let child = Command::new(std::env::current_exe().unwrap())
                .args([NAME, "--exact", "--nocapture", "--test-threads=1"])
                .env(ROLE, &directory)
                .stdin(Stdio::null())
                .output()
                .unwrap();
            if child.status.success() {
                break;
            }
            let said = String::from_utf8_lossy(&child.stderr).into_owned();
            assert!(starts < STARTS_LIMIT, "round {round}, {how}: {said}");
            starts += 1;
        }
        again += usize::from(starts > 1);

        let store = Store::open(&directory, StoreConfig::default()).unwrap();
        let found = ids(&store);
        let old: Vec<u64> = found.iter().copied().filter(|id| *id <= BEFORE).collect();
        match store.stats().set_aside {
            0 => {
                assert!(
                    old.iter().all(|id| before.contains(id)),
                    "round {round}, {how}"
                );
                whole += usize::from(old == before);
            }
            1 => {
                set_aside += 1;
                let aside = parent.path().join("store.corrupt-1");
                assert!(!files(&aside).is_empty(), "round {round}, {how}");
                assert!(old.is_empty(), "round {round}, {how}");
            }
            more => panic!("round {round}, {how}: {more} stores were set aside for one damage"),
        }
    }
    println!(
        "of {ROUNDS}: {again} needed more than one start, {set_aside} set aside, {whole} lost nothing"
    );
    assert!(set_aside > 0, "no damage was grave");
    assert!(whole > 0, "no damage was harmless");
}
