use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use firstlook_model::{HostId, Loss};
use proptest::prelude::*;

use super::entries::{Entries, Start};
use super::follower::reader_name;
use super::format::{Bytes, FormatError};
use super::*;
use crate::{BlindSpots, Checkpoints};

mod again;
mod last;

/// When the fixtures' first entry was written, in microseconds; one each second follows.
const FIRST: u64 = 1_700_000_000_000_000;
const ENTRIES_AT: usize = 152;

fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(format!("{name}.journal.zst"));
    zstd::stream::decode_all(fs::File::open(path).unwrap()).unwrap()
}

fn fixtures() -> Vec<Vec<u8>> {
    ["zstd-compact-keyed", "zstd-keyed", "zstd-compact"]
        .map(fixture)
        .into()
}

impl Bytes for &[u8] {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|at| self.get(at..))
            .unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

/// Bytes with some of them changed.
struct Patched<'a>(&'a [u8], &'a BTreeMap<usize, u8>);

impl Bytes for Patched<'_> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let count = self.0.read_at(buffer, offset)?;
        let at = usize::try_from(offset).unwrap_or(usize::MAX);
        for (place, byte) in self.1.range(at..at.saturating_add(count)) {
            buffer[place - at] = *byte;
        }
        Ok(count)
    }
}

fn all(bytes: impl Bytes, start: Start) -> Vec<Message> {
    let mut entries = Entries::open(bytes, start).unwrap();
    std::iter::from_fn(|| entries.next().unwrap()).collect()
}

fn seqnums(messages: &[Message]) -> Vec<u64> {
    messages.iter().map(|message| message.seqnum).collect()
}

#[test]
fn every_layout_that_systemd_writes_reads_the_same() {
    for file in fixtures() {
        let messages = all(&file[..], Start::After(0));
        assert_eq!(seqnums(&messages), (1..=60).collect::<Vec<_>>());
        assert_eq!(messages[0].text.as_deref(), Some("request 0 served"));
        assert_eq!(messages[0].realtime, FIRST);
        assert_eq!(messages[0].unit.as_deref(), Some("shop.service"));
        assert_eq!(messages[0].priority, Some(6));
        let traceback = messages[7].text.as_deref().unwrap();
        assert!(traceback.starts_with("Traceback") && traceback.ends_with("KeyError: 'price'"));
        assert!(messages[5].from_kernel);
        assert_eq!(messages[9].dropped, 12);
    }
}

#[test]
fn lz4_fields_read_as_zstd_ones_do() {
    let mut file = fixture("zstd-keyed");
    let mut packed_as_lz4 = 0;
    let mut free = file.iter().rposition(|byte| *byte != 0).unwrap() / 8 * 8 + 1_024;
    for at in (264..free).step_by(8) {
        let size = u64::from_le_bytes(file[at + 8..at + 16].try_into().unwrap());
        if file[at] != 1 || file[at + 1] != 4 || !(64..4_096).contains(&size) {
            continue;
        }
        let plain = zstd::stream::decode_all(&file[at + 64..at + size as usize]).unwrap();
        let mut object = file[at..at + 64].to_vec();
        object.extend((plain.len() as u64).to_le_bytes());
        object.extend(lz4_flex::block::compress(&plain));
        object[1] = 2;
        let length = object.len() as u64;
        object[8..16].copy_from_slice(&length.to_le_bytes());
        // The new object lies behind all others; whatever named the old one names it.
        file[free..free + object.len()].copy_from_slice(&object);
        for place in (264..free).step_by(8) {
            if file[place..place + 8] == (at as u64).to_le_bytes() {
                file[place..place + 8].copy_from_slice(&(free as u64).to_le_bytes());
            }
        }
        file[at..at + 64].fill(0);
        free += object.len().next_multiple_of(8);
        packed_as_lz4 += 1;
    }
    assert!(packed_as_lz4 > 0);
    let texts = |file: &[u8]| {
        all(file, Start::After(0))
            .into_iter()
            .map(|m| m.text)
            .collect::<Vec<_>>()
    };
    assert_eq!(texts(&file), texts(&fixture("zstd-keyed")));
}

#[test]
fn reading_begins_after_any_sequence_number_or_time() {
    for file in fixtures() {
        for start in 0..=61_u64 {
            let expected: Vec<u64> = (start + 1..=60).collect();
            assert_eq!(seqnums(&all(&file[..], Start::After(start))), expected);
            let since = Start::Since((FIRST + start * 1_000_000).saturating_sub(1_000_000));
            assert_eq!(seqnums(&all(&file[..], since)), expected);
        }
    }
}

#[test]
fn files_that_are_no_journals_or_ask_for_the_unknown_are_refused() {
    let file = fixture("zstd-keyed");
    let mut strange = file.clone();
    strange[12] |= 0x80;
    assert!(matches!(
        Entries::open(&strange[..], Start::After(0)),
        Err(FormatError::Unsupported { flags: 0x80 })
    ));
    assert!(matches!(
        Entries::open(&file[..100], Start::After(0)),
        Err(FormatError::Short { .. })
    ));
    assert!(matches!(
        Entries::open(&[0; 4096][..], Start::After(0)),
        Err(FormatError::Alien)
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn damaged_files_end_in_an_error_or_an_end(
        layout in 0..3_usize,
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..40),
        near_entries: bool,
        cut in proptest::option::of(any::<proptest::sample::Index>()),
    ) {
        static FILES: LazyLock<Vec<(Vec<u8>, usize)>> = LazyLock::new(|| {
            let end = |file: &[u8]| file.iter().rposition(|byte| *byte != 0).unwrap();
            fixtures().into_iter().map(|file| (end(&file), file)).map(|(end, file)| (file, end)).collect()
        });
        // The hash tables fill most of a file and are not read: hit what is.
        let (file, end) = &FILES[layout];
        let from = if near_entries { end - 20_000 } else { 0 };
        let patches = damage.iter().map(|(at, byte)| (from + at.index(end - from), *byte)).collect();
        let length = cut.map_or(file.len(), |cut| cut.index(file.len()));
        let Ok(mut entries) = Entries::open(Patched(&file[..length], &patches), Start::After(3)) else {
            return Ok(());
        };
        let mut rounds = 0;
        loop {
            rounds += 1;
            prop_assert!(rounds < 1_000_000, "the reader does not end");
            let before = entries.unread();
            match entries.next() {
                Ok(None) => break,
                Ok(Some(_)) => {}
                Err(_) if entries.unread() == before => break,
                Err(_) => {}
            }
            // A header that counts without end is not followed to its end here.
            if rounds > 10_000 {
                break;
            }
        }
    }
}

/// A journal directory with a reader on it, whose checkpoints become durable at once.
struct Bench {
    dir: tempfile::TempDir,
    stored: Arc<Stored>,
    blind: BlindSpots,
    reader: Option<Reader>,
    losses: Vec<Loss>,
}

#[derive(Default)]
struct Stored(Mutex<BTreeMap<String, Vec<u8>>>);

impl Checkpoints for Stored {
    fn load(&self, reader: &str) -> Option<Vec<u8>> {
        self.0.lock().unwrap().get(reader).cloned()
    }
}

impl Bench {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            stored: Arc::default(),
            blind: BlindSpots::default(),
            reader: None,
            losses: Vec::new(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes the journal as it was when it had so many entries. A real writer keeps the inode.
    fn write(&self, name: &str, bytes: &[u8], entries: u64) {
        let mut bytes = bytes.to_vec();
        bytes[ENTRIES_AT..ENTRIES_AT + 8].copy_from_slice(&entries.to_le_bytes());
        let path = self.path(name);
        let file = fs::OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .open(path);
        file.unwrap().write_all(&bytes).unwrap();
    }

    /// Looks as often as it takes to see the directory anew; returns the texts.
    fn texts(&mut self) -> Vec<String> {
        self.lines().into_iter().map(|line| line.text).collect()
    }

    fn lines(&mut self) -> Vec<RawLine> {
        let reader = match self.reader.take() {
            Some(reader) => reader,
            None => self.start(),
        };
        let reader = self.reader.insert(reader);
        let mut lines = Vec::new();
        for _ in 0..LOOKS_PER_RESCAN * 4 {
            let step = reader.step(now());
            lines.extend(step.lines.lines);
            for fact in step.facts {
                if let Observation::Losses(losses) = fact {
                    self.losses.extend(losses);
                }
            }
            let mut stored = self.stored.0.lock().unwrap();
            stored.extend(
                step.lines
                    .checkpoints
                    .into_iter()
                    .map(|c| (c.reader, c.position)),
            );
        }
        lines
    }

    fn start(&self) -> Reader {
        let mut config = EventsConfig::for_host(HostId::new("app1").unwrap());
        config.journal_dirs = vec![self.dir.path().to_owned()];
        let source = crate::test_source(config, self.stored.clone(), self.blind.clone());
        Reader::new(&source, now())
    }

    fn restart(&mut self) {
        self.reader = None;
    }
}

/// Ten seconds after the first entry: all of them are newer than what a first start leaves out.
fn now() -> Timestamp {
    Timestamp::from_micros(FIRST as i64 + 10_000_000)
}

#[test]
fn growth_rename_and_restart_neither_lose_nor_repeat() {
    let file = fixture("zstd-compact-keyed");
    let expected: Vec<String> = all(&file[..], Start::After(0))
        .into_iter()
        .filter_map(|m| m.text)
        .collect();
    let mut bench = Bench::new();
    bench.write("system.journal", &file, 7);
    let mut read = bench.texts();
    assert_eq!(read.len(), 7);
    bench.write("system.journal", &file, 20);
    read.extend(bench.texts());
    fs::rename(bench.path("system.journal"), bench.path("system@1.journal")).unwrap();
    bench.write("system@1.journal", &file, 31);
    read.extend(bench.texts());
    bench.restart();
    bench.write("system@1.journal", &file, 60);
    read.extend(bench.texts());
    bench.restart();
    assert_eq!(bench.texts(), Vec::<String>::new());
    assert_eq!(read, expected);
}

#[test]
fn file_vacuumed_while_open_is_read_to_its_end() {
    let file = fixture("zstd-keyed");
    let mut bench = Bench::new();
    bench.write("system.journal", &file, 5);
    assert_eq!(bench.texts().len(), 5);
    bench.write("system.journal", &file, 60);
    fs::remove_file(bench.path("system.journal")).unwrap();
    assert_eq!(bench.texts().len(), 55);
}

#[test]
fn first_start_reads_the_last_minutes_only() {
    let file = fixture("zstd-keyed");
    let bench = Bench::new();
    bench.write("system.journal", &file, 60);
    let start = Timestamp::from_micros(FIRST as i64).plus(FIRST_START + Duration::from_secs(50));
    let mut config = EventsConfig::for_host(HostId::new("app1").unwrap());
    config.journal_dirs = vec![bench.dir.path().to_owned()];
    let source = crate::test_source(config, bench.stored.clone(), bench.blind.clone());
    let step = Reader::new(&source, start).step(start);
    assert_eq!(step.lines.lines.len(), 9);
    assert_eq!(
        step.lines.checkpoints[0].reader,
        reader_name(bench.dir.path())
    );
}

#[test]
fn journals_by_machine_id_and_namespace_are_found() {
    let mut bench = Bench::new();
    let id = "fedcba9876543210fedcba9876543210";
    for (dir, file) in [
        (id.to_owned(), "zstd-keyed"),
        (format!("{id}.shop"), "zstd-compact"),
    ] {
        fs::create_dir(bench.path(&dir)).unwrap();
        bench.write(&format!("{dir}/system.journal"), &fixture(file), 60);
    }
    assert_eq!(bench.texts().len(), 120);
}

#[test]
fn lines_belong_to_their_unit_and_only_init_speaks_for_others() {
    let mut bench = Bench::new();
    bench.write("system.journal", &fixture("zstd-keyed"), 60);
    let lines = bench.lines();
    let of = |text: &str| {
        let line = lines
            .iter()
            .find(|line| line.text.starts_with(text))
            .unwrap();
        (line.component.to_string(), line.severity.unwrap())
    };
    assert_eq!(
        of("request 0"),
        ("service:app1/shop.service".to_owned(), Severity::Info)
    );
    assert_eq!(
        of("Traceback"),
        ("service:app1/shop.service".to_owned(), Severity::Error)
    );
    assert_eq!(
        of("shop.service: Main process"),
        ("service:app1/shop.service".to_owned(), Severity::Info)
    );
    assert_eq!(
        of("spoofed"),
        ("service:app1/evil.service".to_owned(), Severity::Info)
    );
    assert_eq!(of("eth0"), ("host:app1".to_owned(), Severity::Info));
}

#[test]
fn login_is_believed_from_a_program_of_root_alone() {
    let mut config = EventsConfig::for_host(HostId::new("app1").unwrap());
    config.journal_dirs.clear();
    let said = |program: Option<&str>, from_root| {
        let message = Message {
            text: Some("(to root) bob on pts/0".to_owned()),
            program: program.map(Into::into),
            from_root,
            realtime: FIRST,
            ..Message::default()
        };
        login(&config, &mut Logins::default(), &message)
    };
    let change = said(Some("su"), true).unwrap();
    assert_eq!(
        (change.text.as_str(), change.kind),
        ("bob became root", firstlook_model::ChangeKind::Login)
    );
    assert_eq!(said(Some("su"), false), None);
    assert_eq!(said(None, true), None);
}

#[test]
fn kernel_messages_are_left_to_the_ring_buffer_where_it_is_read() {
    let mut bench = Bench::new();
    bench.write("system.journal", &fixture("zstd-keyed"), 60);
    let reader = bench.start();
    reader.kernel_read.store(true, Ordering::Relaxed);
    bench.reader = Some(reader);
    assert!(!bench.texts().iter().any(|text| text.starts_with("eth0")));
}

#[test]
fn suppressed_messages_are_counted_as_lost() {
    let mut bench = Bench::new();
    bench.write("system.journal", &fixture("zstd-keyed"), 60);
    bench.lines();
    assert_eq!(
        bench
            .losses
            .iter()
            .map(|loss| (loss.reason.as_str(), loss.count))
            .collect::<Vec<_>>(),
        [("rate-limited-by-journald", 72)]
    );
}

#[test]
fn corrupt_file_is_set_aside_and_the_others_are_read() {
    let mut bench = Bench::new();
    bench.write("system.journal", &fixture("zstd-keyed"), 60);
    fs::write(bench.path("broken.journal"), vec![b'x'; 10_000]).unwrap();
    assert_eq!(bench.texts().len(), 60);
    assert!(
        bench
            .losses
            .iter()
            .any(|loss| loss.reason == "corrupt-file" && loss.count == 1)
    );
    assert_eq!(
        bench.blind.list(),
        ["journald: broken.journal is set aside: not a journal file"]
    );
}

#[test]
fn corrupt_entry_is_counted_and_the_rest_is_read() {
    let mut file = fixture("zstd-keyed");
    let mut entry = (264..file.len())
        .step_by(8)
        .filter(|at| file[*at] == 3 && file[at + 16..at + 24] == 30_u64.to_le_bytes());
    let entry = entry.next_back().unwrap();
    file[entry] = 9;
    let mut bench = Bench::new();
    bench.write("system.journal", &file, 60);
    assert_eq!(bench.texts().len(), 59);
    assert!(
        bench
            .losses
            .iter()
            .any(|loss| loss.reason == "corrupt-entry" && loss.count == 1)
    );
}

#[test]
fn directory_without_journals_is_a_blind_spot() {
    let mut bench = Bench::new();
    assert!(bench.texts().is_empty());
    assert!(bench.blind.list()[0].starts_with("journald: no journal files in "));
    bench.write("system.journal", &fixture("zstd-keyed"), 60);
    bench.texts();
    assert!(bench.blind.list().is_empty());
}
