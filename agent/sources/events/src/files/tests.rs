use std::io::Write as _;
use std::sync::Mutex;

use firstlook_model::HostId;
use proptest::prelude::*;

use super::*;
use crate::EventsConfig;

mod rotations;

#[derive(Default)]
struct Stored(Mutex<BTreeMap<String, Vec<u8>>>);

impl Checkpoints for Stored {
    fn load(&self, reader: &str) -> Option<Vec<u8>> {
        self.0.lock().unwrap().get(reader).cloned()
    }
}

/// A directory with a reader on `app.log`, whose checkpoints become durable at once.
struct Bench {
    dir: tempfile::TempDir,
    stored: Arc<Stored>,
    reader: Option<Reader>,
    now: Timestamp,
    lost: u64,
    reasons: Vec<String>,
    glob: &'static str,
}

impl Bench {
    /// The agent has run before, so that files are read from their beginning.
    fn new() -> Self {
        let mut bench = Self::fresh();
        assert_eq!(bench.read(), Vec::<String>::new());
        bench
    }

    fn fresh() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let now = Timestamp::from_secs(1_000);
        Self {
            dir,
            stored: Arc::default(),
            reader: None,
            now,
            lost: 0,
            reasons: Vec::new(),
            glob: "app.log",
        }
    }

    /// Follows rotated neighbours by their own names too.
    fn with_neighbours() -> Self {
        let mut bench = Self::fresh();
        bench.glob = "app.log*";
        assert_eq!(bench.read(), Vec::<String>::new());
        bench
    }

    fn truncate(&self, name: &str, size: u64) {
        let file = fs::File::options().write(true).open(self.path(name));
        file.unwrap().set_len(size).unwrap();
    }

    fn copy(&self, from: &str, to: &str) {
        fs::copy(self.path(from), self.path(to)).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn append(&self, name: &str, text: impl AsRef<[u8]>) {
        let mut file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path(name))
            .unwrap();
        file.write_all(text.as_ref()).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    fn snapshot(&self) -> BTreeMap<String, Vec<u8>> {
        self.stored.0.lock().unwrap().clone()
    }

    fn restart(&mut self) {
        self.reader = None;
    }

    fn pass(&mut self, seconds: u64) {
        self.now = self.now.plus(Duration::from_secs(seconds));
    }

    fn read(&mut self) -> Vec<String> {
        let reader = self.reader.take().unwrap_or_else(|| {
            let mut config = EventsConfig::for_host(HostId::new("app1").unwrap());
            let glob = self.path(self.glob).display().to_string();
            config.files = vec![TailedFiles {
                glob,
                service: Some("shop.service".to_owned()),
                multiline: true,
            }];
            Reader::new(&crate::test_source(
                config,
                self.stored.clone(),
                BlindSpots::default(),
            ))
        });
        let reader = self.reader.insert(reader);
        let mut texts = Vec::new();
        let mut quiet = 0;
        while quiet < LOOKS_PER_RESCAN {
            let step = reader.step(self.now);
            quiet = if step.more { 0 } else { quiet + 1 };
            for line in step.lines.lines {
                assert_eq!(line.component.to_string(), "service:app1/shop.service");
                texts.push(line.text);
            }
            for fact in step.facts {
                if let Observation::Losses(losses) = fact {
                    self.lost += losses.iter().map(|loss| loss.count).sum::<u64>();
                    self.reasons
                        .extend(losses.into_iter().map(|loss| loss.reason));
                }
            }
            let mut stored = self.stored.0.lock().unwrap();
            for checkpoint in step.lines.checkpoints {
                assert!(checkpoint.position.len() <= 4_096 && checkpoint.reader.len() <= 1_024);
                if checkpoint.position.is_empty() {
                    stored.remove(&checkpoint.reader);
                } else {
                    stored.insert(checkpoint.reader, checkpoint.position);
                }
            }
        }
        texts
    }
}

#[test]
fn first_start_begins_at_the_end_and_later_files_at_their_beginning() {
    let mut bench = Bench::fresh();
    bench.append("app.log", "history\nhalf a li");
    assert_eq!(bench.read(), Vec::<String>::new());
    bench.append("app.log", "ne\nnew\n");
    assert_eq!(bench.read(), ["new"]);
}

#[test]
fn a_busy_file_does_not_keep_the_others_waiting() {
    let mut bench = Bench::with_neighbours();
    let names = ["app.log", "app.log.1", "app.log.2"];
    for name in names {
        bench.append(name, format!("of {name}\n").repeat(5));
    }
    bench.read();
    let reader = bench.reader.as_mut().unwrap();
    // Each has more than a batch holds, at every look.
    let mut read: BTreeMap<&str, usize> = BTreeMap::new();
    for _ in 0..6 {
        for name in names {
            let path = bench.dir.path().join(name);
            let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
            let lines = format!("of {name}\n").repeat(BATCH_LIMIT_LINES + 10);
            file.write_all(lines.as_bytes()).unwrap();
        }
        let step = reader.step(bench.now);
        assert!(step.more);
        for line in &step.lines.lines {
            let name = names.into_iter().find(|n| line.text == format!("of {n}"));
            *read.entry(name.unwrap()).or_default() += 1;
        }
    }
    for name in names {
        assert!(read.get(name).is_some_and(|n| *n > 0), "{name}: {read:?}");
    }
}

#[test]
fn lines_are_read_once_also_across_restarts() {
    let mut bench = Bench::new();
    bench.append("app.log", "a\nb\n");
    assert_eq!(bench.read(), ["a", "b"]);
    assert_eq!(bench.read(), Vec::<String>::new());
    bench.restart();
    bench.append("app.log", "c\n");
    assert_eq!(bench.read(), ["c"]);
}

#[test]
fn renamed_file_is_read_to_its_end_before_and_beside_the_new_one() {
    let mut bench = Bench::new();
    bench.append("app.log", "a\n");
    assert_eq!(bench.read(), ["a"]);
    bench.rename("app.log", "app.log.1");
    bench.append("app.log.1", "late\n");
    bench.append("app.log", "b\n");
    let mut read = bench.read();
    read.sort();
    assert_eq!(read, ["b", "late"]);
}

#[test]
fn rotation_while_the_agent_was_down_loses_nothing() {
    let mut bench = Bench::new();
    bench.append("app.log", "a\n");
    assert_eq!(bench.read(), ["a"]);
    bench.restart();
    bench.append("app.log", "b\n");
    bench.rename("app.log", "app.log.2");
    bench.append("app.log.1", "c\n");
    bench.append("app.log", "d\n");
    let mut read = bench.read();
    read.sort();
    assert_eq!(
        (read, bench.lost),
        (vec!["b".to_owned(), "c".to_owned(), "d".to_owned()], 0)
    );
    bench.restart();
    assert_eq!(bench.read(), Vec::<String>::new());
}

#[test]
fn file_that_vanished_while_the_agent_was_down_is_counted() {
    let mut bench = Bench::new();
    bench.append("app.log", "a\n");
    bench.read();
    bench.restart();
    bench.append("other", "so that the inode is not used again\n");
    bench.rename("app.log", "elsewhere");
    bench.append("app.log", "b\n");
    assert_eq!((bench.read(), bench.lost), (vec!["b".to_owned()], 1));
}

#[test]
fn copy_and_truncate_begins_anew() {
    let mut bench = Bench::new();
    bench.append("app.log", "first line\nsecond line\n");
    assert_eq!(bench.read().len(), 2);
    bench.copy("app.log", "app.log.1");
    bench.truncate("app.log", 0);
    bench.append("app.log", "x\n");
    assert_eq!((bench.read(), bench.lost), (vec!["x".to_owned()], 0));
}

#[test]
fn truncated_file_that_has_outgrown_its_old_size_is_noticed_by_its_head() {
    for restart in [false, true] {
        let mut bench = Bench::new();
        bench.append("app.log", "a\nb\n");
        bench.read();
        if restart {
            bench.restart();
        }
        fs::File::options()
            .write(true)
            .open(bench.path("app.log"))
            .unwrap()
            .set_len(0)
            .unwrap();
        bench.append("app.log", "x\ny\nz\n");
        assert_eq!(bench.read(), ["x", "y", "z"]);
    }
}

#[test]
fn deleted_file_is_read_to_its_end_and_then_closed() {
    let mut bench = Bench::new();
    bench.append("app.log", "a\n");
    bench.read();
    bench.append("app.log", "last\n");
    fs::remove_file(bench.path("app.log")).unwrap();
    assert_eq!(bench.read(), ["last"]);
    bench.pass(20);
    bench.read();
    assert!(bench.reader.as_ref().unwrap().tails.is_empty());
    assert!(
        !bench
            .stored
            .0
            .lock()
            .unwrap()
            .keys()
            .any(|reader| reader.starts_with("file:"))
    );
}

#[test]
fn deleted_file_that_cannot_be_read_in_time_is_closed_and_counted() {
    let mut bench = Bench::new();
    bench.append("app.log", "a\n");
    bench.read();
    fs::remove_file(bench.path("app.log")).unwrap();
    bench.read();
    let reader = bench.reader.as_mut().unwrap();
    let tail = reader.tails.values_mut().next().unwrap();
    tail.pretend_unread();
    reader.close_left(bench.now.plus(Duration::from_secs(599)));
    assert_eq!((reader.tails.len(), reader.facts.len()), (1, 0));
    reader.close_left(bench.now.plus(Duration::from_secs(600)));
    assert_eq!((reader.tails.len(), reader.facts.len()), (0, 1));
}

#[test]
fn unfinished_line_waits_for_its_end_but_not_for_ever() {
    let mut bench = Bench::new();
    bench.append("app.log", "a\nhalf");
    assert_eq!(bench.read(), ["a"]);
    bench.append("app.log", " done\nrest");
    assert_eq!(bench.read(), ["half done"]);
    bench.pass(11);
    assert_eq!(bench.read(), ["rest"]);
    assert_eq!(bench.read(), Vec::<String>::new());
}

#[test]
fn line_without_end_is_cut_and_passed_over_also_across_a_restart() {
    let mut bench = Bench::new();
    bench.append("app.log", vec![b'x'; 700_000]);
    let read = bench.read();
    assert_eq!(
        read.iter().map(String::len).collect::<Vec<_>>(),
        [LINE_LIMIT_BYTES]
    );
    bench.restart();
    bench.append("app.log", "still the same line\nnext\n");
    assert_eq!(bench.read(), ["next"]);
}

#[test]
fn invalid_utf8_and_carriage_returns_are_cleaned() {
    let mut bench = Bench::new();
    bench.append("app.log", b"caf\xe9\r\n\n");
    assert_eq!(bench.read(), ["caf\u{fffd}"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn writes_rotations_and_restarts_in_any_order_neither_lose_nor_repeat(
        deeds in proptest::collection::vec(0..6_u8, 1..25),
    ) {
        let mut bench = Bench::new();
        bench.append("app.log", "begin\n");
        let (mut written, mut read, mut rotations) = (vec!["begin".to_owned()], bench.read(), 0);
        for deed in deeds {
            match deed {
                0 | 1 => {
                    let line = format!("line {}", written.len());
                    bench.append("app.log", format!("{line}\n"));
                    written.push(line);
                }
                2 if bench.path("app.log").exists() => {
                    rotations += 1;
                    bench.rename("app.log", &format!("app.log.{rotations}"));
                }
                3 => bench.restart(),
                _ => read.extend(bench.read()),
            }
        }
        bench.append("app.log", "end\n");
        written.push("end".to_owned());
        read.extend(bench.read());
        read.sort();
        written.sort();
        prop_assert_eq!(read, written);
    }

    /// Lines and positions become durable together; a power loss takes what is not.
    #[test]
    fn power_loss_at_any_point_neither_loses_nor_repeats(
        deeds in proptest::collection::vec((0..8_u8, "\\PC{0,8}"), 1..30),
    ) {
        let mut bench = Bench::new();
        bench.append("app.log", "begin\n");
        let (mut written, mut durable, mut rotations) = (vec!["begin".to_owned()], bench.read(), 0);
        let (mut waiting, mut kept) = (Vec::new(), bench.snapshot());
        for (deed, text) in deeds {
            match deed {
                0..=2 => {
                    let begin = ["line", "Traceback (most recent call last):", "\tat"][usize::from(deed)];
                    let line = format!("{begin} {} {text}", written.len());
                    bench.append("app.log", format!("{line}\n"));
                    written.push(line);
                }
                3 if bench.path("app.log").exists() => {
                    rotations += 1;
                    bench.rename("app.log", &format!("app.log.{rotations}"));
                }
                4 => {
                    waiting.clear();
                    bench.restart();
                    *bench.stored.0.lock().unwrap() = kept.clone();
                }
                5 => {
                    durable.append(&mut waiting);
                    kept = bench.snapshot();
                }
                _ => {
                    bench.now = bench.now.plus(Duration::from_millis(100));
                    waiting.extend(bench.read());
                }
            }
        }
        bench.append("app.log", "end\n");
        written.push("end".to_owned());
        waiting.extend(bench.read());
        bench.pass(1);
        waiting.extend(bench.read());
        durable.append(&mut waiting);
        let mut read: Vec<String> = durable.iter().flat_map(|m| m.split('\n')).map(str::to_owned).collect();
        read.sort();
        written.sort();
        prop_assert_eq!(read, written);
    }

    #[test]
    fn any_position_reads_back_and_any_bytes_are_refused_or_read(
        offset: u64, head_bytes in 0..=1_024_u64, skipping: bool, bytes in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        let position = Position { offset, head_bytes, head: digest(&bytes), skipping };
        prop_assert_eq!(Position::decode(&position.encode()), Some(position));
        let _ = Position::decode(&bytes);
    }
}
