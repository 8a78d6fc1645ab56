use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::*;

fn open(folder: &Path, budget_bytes: u64) -> Journal {
    Journal::open(folder, JournalConfig { budget_bytes })
        .unwrap()
        .journal
}

fn entry(class: RecordClass, length: usize, fill: u8) -> Entry {
    Entry {
        class,
        bytes: vec![fill; length],
    }
}

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<(u8, usize)>),
    Acknowledge(u64),
    Reopen,
    Report,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => proptest::collection::vec((0u8..3, 1usize..200), 0..6).prop_map(Step::Append),
        2 => (0u64..40).prop_map(Step::Acknowledge),
        1 => Just(Step::Reopen),
        1 => Just(Step::Report),
    ]
}

/// What the journal should do, written the plain way.
#[derive(Default)]
struct Model {
    live: BTreeMap<u64, (RecordClass, usize)>,
    last: u64,
    shed: BTreeMap<RecordClass, (u64, u64)>,
}

impl Model {
    fn append(&mut self, class: RecordClass, length: usize) {
        self.last += 1;
        self.live.insert(self.last, (class, length));
    }

    fn shed(&mut self, budget: usize) {
        for class in index::CLASSES {
            let newest = self.live.keys().next_back().copied();
            while self.live.values().map(|v| v.1).sum::<usize>() > budget {
                let oldest = self
                    .live
                    .iter()
                    .find(|(_, v)| v.0 == class)
                    .map(|(s, _)| *s);
                let Some(oldest) = oldest.filter(|s| Some(*s) != newest) else {
                    break;
                };
                let (_, length) = self.live.remove(&oldest).unwrap();
                let count = self.shed.entry(class).or_default();
                *count = (count.0 + 1, count.1 + length as u64);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn behaves_as_its_model(steps in proptest::collection::vec(step(), 1..25)) {
        const BUDGET: usize = 1_000;
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("journal");
        let mut journal = open(&folder, BUDGET as u64);
        let epoch = journal.epoch();
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Append(batch) => {
                    let mut entries = Vec::new();
                    for (class, length) in batch {
                        let class = index::CLASSES[usize::from(class)];
                        entries.push(entry(class, length, (model.last + 1) as u8));
                        model.append(class, length);
                    }
                    model.shed(BUDGET);
                    let last = journal.append(&entries, &[], &Shed::default()).unwrap();
                    prop_assert_eq!(last.0, model.last);
                }
                Step::Acknowledge(sequence) => {
                    let sequence = sequence.min(model.last);
                    model.live = model.live.split_off(&(sequence + 1));
                    journal.acknowledge(epoch, Sequence(sequence)).unwrap();
                }
                Step::Reopen => {
                    drop(journal);
                    journal = open(&folder, BUDGET as u64);
                }
                Step::Report => {
                    let shed = journal.shed().unwrap();
                    journal.append(&[], &[], &shed).unwrap();
                    model.shed.clear();
                }
            }
            let read = journal.read_after(Sequence(0), usize::MAX).unwrap();
            let expected: Vec<_> = model
                .live
                .iter()
                .map(|(s, (_, length))| (Sequence(*s), vec![*s as u8; *length]))
                .collect();
            prop_assert_eq!(read, expected);
            let shed: BTreeMap<_, _> =
                journal.shed().unwrap().each().map(|(c, n)| (c, (n.records, n.bytes))).collect();
            prop_assert_eq!(shed, model.shed.clone());
            prop_assert_eq!(journal.epoch(), epoch);
        }
    }
}

#[test]
fn positions_are_kept_with_the_records_and_forgotten_on_request() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("journal");
    let journal = open(&folder, 1_000);
    let at = |position: &[u8]| vec![("file:1".to_owned(), position.to_vec())];
    journal
        .append(
            &[entry(RecordClass::Logs, 5, 1)],
            &at(b"77"),
            &Shed::default(),
        )
        .unwrap();
    drop(journal);
    let journal = open(&folder, 1_000);
    assert_eq!(journal.position("file:1").unwrap(), Some(b"77".to_vec()));
    assert_eq!(journal.position("file:2").unwrap(), None);
    journal.append(&[], &at(b""), &Shed::default()).unwrap();
    assert_eq!(journal.position("file:1").unwrap(), None);
}

#[test]
fn sequences_are_never_used_twice_even_when_nothing_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("journal");
    let journal = open(&folder, 1_000);
    let none = Shed::default();
    journal
        .append(&[entry(RecordClass::Facts, 5, 1)], &[], &none)
        .unwrap();
    journal.acknowledge(journal.epoch(), Sequence(1)).unwrap();
    drop(journal);
    let journal = open(&folder, 1_000);
    let last = journal
        .append(&[entry(RecordClass::Facts, 5, 2)], &[], &none)
        .unwrap();
    assert_eq!(last, Sequence(2));
}

#[test]
fn another_epochs_acknowledgement_removes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path(), 1_000);
    journal
        .append(&[entry(RecordClass::Facts, 5, 1)], &[], &Shed::default())
        .unwrap();
    journal
        .acknowledge(Epoch(journal.epoch().0 ^ 1), Sequence(1))
        .unwrap();
    assert_eq!(journal.read_after(Sequence(0), 100).unwrap().len(), 1);
}

#[test]
fn reading_stops_at_the_limit_but_gives_at_least_one() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path(), 10_000);
    let entries: Vec<_> = (1..=4)
        .map(|n| entry(RecordClass::Metrics, 100, n))
        .collect();
    journal.append(&entries, &[], &Shed::default()).unwrap();
    assert_eq!(journal.read_after(Sequence(0), 250).unwrap().len(), 2);
    assert_eq!(
        journal.read_after(Sequence(2), 1).unwrap()[0].0,
        Sequence(3)
    );
}

#[test]
fn an_alien_folder_is_set_aside_and_a_new_epoch_begins() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("journal");
    let first = open(&folder, 1_000).epoch();
    for file in walk(&folder) {
        std::fs::write(file, b"this is not what the engine wrote").unwrap();
    }
    let opened = Journal::open(&folder, JournalConfig::default()).unwrap();
    let aside = opened.set_aside.unwrap();
    assert!(aside.exists());
    assert_eq!(opened.journal.take_set_aside(), [aside]);
    assert!(
        opened.journal.take_set_aside().is_empty(),
        "it is told once"
    );
    assert_ne!(opened.journal.epoch(), first);
}

#[test]
fn only_what_is_there_is_confirmed() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path(), 1_000);
    let facts = [entry(RecordClass::Facts, 5, 1)];
    let last = journal.append(&facts, &[], &Shed::default()).unwrap();
    let confirm = |sequence| {
        journal
            .slot()
            .with(|state| state.confirm(sequence))
            .unwrap()
    };
    assert!(confirm(last));
    assert!(!confirm(Sequence(last.0 + 1)));
}

#[test]
fn a_journal_that_another_holds_is_left_in_place() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("journal");
    let _first = open(&folder, 1_000);
    let second = Journal::open(&folder, JournalConfig::default());
    assert!(matches!(second, Err(JournalError::Engine(_))));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_new_epoch_keeps_records_and_sequences_and_lasts() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("journal");
    let journal = open(&folder, 1_000);
    let facts = [entry(RecordClass::Facts, 5, 1)];
    journal.append(&facts, &[], &Shed::default()).unwrap();
    let first = journal.epoch();
    journal.begin_epoch(first).unwrap();
    let second = journal.epoch();
    assert_ne!(first, second);
    // Somebody who still thinks of the first one changes nothing.
    journal.begin_epoch(first).unwrap();
    assert_eq!(journal.epoch(), second);
    drop(journal);
    let journal = open(&folder, 1_000);
    assert_eq!(journal.epoch(), second);
    assert_eq!(journal.read_after(Sequence(0), 100).unwrap().len(), 1);
    let last = journal.append(&facts, &[], &Shed::default()).unwrap();
    assert_eq!((last, journal.last().unwrap()), (Sequence(2), Sequence(2)));
}

/// Runs one of the tests below that do their work only in a process of its own.
fn child(name: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", name, "--nocapture"])
        .env(CHILD, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

/// Not a test of its own: the process of [`damage_is_survived`].
#[test]
fn child_opens_what_may_be_damaged() {
    let Ok(folder) = std::env::var(CHILD) else {
        return;
    };
    let opened = Journal::open(Path::new(&folder), JournalConfig::default()).unwrap();
    let journal = opened.journal;
    for (sequence, bytes) in journal.read_after(Sequence(0), usize::MAX).unwrap() {
        assert_eq!(bytes, vec![sequence.0 as u8; 100]);
    }
    let entries = [entry(RecordClass::Facts, 3, 7)];
    let last = journal.append(&entries, &[], &Shed::default()).unwrap();
    let read = journal.read_after(Sequence(last.0 - 1), 100).unwrap();
    assert_eq!(read, [(last, vec![7; 3])]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Whatever became of a file: the journal opens and works, at the fourth start at the latest, and never gives a
    /// record that was not appended.
    #[test]
    fn damage_is_survived(which in any::<prop::sample::Index>(), at in any::<u16>(), cut in any::<bool>()) {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("journal");
        let journal = open(&folder, 10_000);
        for n in 1..=20 {
            journal.append(&[entry(RecordClass::Facts, 100, n)], &[], &Shed::default()).unwrap();
        }
        drop(journal);
        let files = walk(&folder);
        let file = &files[which.index(files.len())];
        let length = file.metadata().unwrap().len();
        // The engine's log is 64 MiB, nearly all of it empty.
        let at = u64::from(at) % length.clamp(1, 4_096);
        let handle = std::fs::OpenOptions::new().read(true).write(true).open(file).unwrap();
        match cut {
            true => handle.set_len(at).unwrap(),
            false => handle.write_all_at(&[0xa5; 9], at).unwrap(),
        }
        let starts = (0..4).take_while(|_| {
            !child("tests::child_opens_what_may_be_damaged", &folder).status().unwrap().success()
        });
        prop_assert!(starts.count() < 4, "{} at {at} ends every start", file.display());
    }
}

#[test]
fn what_ends_the_process_again_and_again_is_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("journal");
    let first = open(&folder, 1_000).epoch();
    let mark = dir.path().join("journal.opening");
    std::fs::write(&mark, "..").unwrap();
    assert_eq!(open(&folder, 1_000).epoch(), first, "two may be chance");
    assert!(!mark.exists());
    std::fs::write(&mark, "...").unwrap();
    let opened = Journal::open(&folder, JournalConfig::default()).unwrap();
    let aside = opened.set_aside.unwrap();
    assert!(aside.exists());
    assert_eq!(opened.journal.take_set_aside(), [aside]);
    assert!(
        opened.journal.take_set_aside().is_empty(),
        "it is told once"
    );
    assert_ne!(opened.journal.epoch(), first);
    assert!(!mark.exists());
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(walk(&path));
        } else if path.file_name().is_some_and(|name| name != "lock") {
            files.push(path);
        }
    }
    files
}

const CHILD: &str = "FIRSTLOOK_JOURNAL_TEST_CHILD";

/// Not a test of its own: the process that [`nothing_appended_is_lost_to_kill_9`] kills.
#[test]
fn child_appends_until_it_is_killed() {
    let Ok(folder) = std::env::var(CHILD) else {
        return;
    };
    let journal = open(Path::new(&folder), u64::MAX);
    for _ in 0..100_000 {
        let last = journal
            .append(&[entry(RecordClass::Facts, 300, 9)], &[], &Shed::default())
            .unwrap();
        println!("appended {last}");
        std::io::stdout().flush().unwrap();
    }
}

#[test]
fn nothing_appended_is_lost_to_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("journal");
    let mut safe = 0u64;
    for round in 1..=6 {
        let mut child = child("tests::child_appends_until_it_is_killed", &folder)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let told = lines
            .map_while(Result::ok)
            .filter_map(|line| line.rsplit("appended ").next()?.trim().parse::<u64>().ok())
            .take(round * 17);
        safe = told.last().unwrap_or(safe);
        child.kill().unwrap();
        child.wait().unwrap();
        let journal = open(&folder, u64::MAX);
        let found = journal.read_after(Sequence(0), usize::MAX).unwrap();
        let sequences: Vec<_> = found.iter().map(|(s, _)| s.0).collect();
        assert!(
            sequences.len() as u64 >= safe,
            "{} of {safe} are left",
            sequences.len()
        );
        assert!(
            sequences
                .iter()
                .zip(1..)
                .all(|(found, expected)| *found == expected)
        );
        assert!(found.iter().all(|(_, bytes)| *bytes == vec![9; 300]));
    }
    assert!(safe > 0);
}
