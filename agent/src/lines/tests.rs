use std::fs;
use std::path::Path;

use firstlook_model::{HostId, Severity};
use firstlook_sources_events::TailedFiles;

use super::*;

const SHOP: &str = "service:h1/shop.service";

fn at(second: i64) -> Timestamp {
    Timestamp::from_secs(second)
}

fn kept(folder: &Path) -> KeptLines {
    let events = EventsConfig {
        journal_dirs: Vec::new(),
        files: vec![TailedFiles {
            glob: format!("{}/shop.log", folder.display()),
            service: Some("shop.service".to_owned()),
            multiline: true,
        }],
        ..EventsConfig::for_host(HostId::new("h1").unwrap())
    };
    KeptLines::new(events, Vec::new())
}

fn asked(component: &str, from: i64, to: i64) -> LinesQuestion {
    LinesQuestion {
        component: component.parse().unwrap(),
        range: TimeRange::new(at(from), at(to)),
        limit: 100,
        severity: None,
        contains: String::new(),
    }
}

/// The texts, how many are left out, and the notes.
fn answer(kept: &KeptLines, asked: &LinesQuestion) -> (Vec<String>, u64, Vec<String>) {
    let (mut texts, mut end) = (Vec::new(), None);
    kept.read(asked, &|| true, &mut |event| {
        match event {
            LinesEvent::Lines(block) => texts.extend(block.entries.into_iter().map(|e| e.text)),
            LinesEvent::End { left_out, notes } => end = Some((left_out, notes)),
            LinesEvent::Failed(why) => panic!("{why}"),
        }
        true
    })
    .unwrap();
    let (left_out, notes) = end.expect("an end");
    (texts, left_out, notes)
}

/// A line a second from 1,700,000,000 on, each with its number.
fn write(path: &Path, seconds: std::ops::Range<i64>) {
    let line = |second: i64| format!("{} INFO order {second}\n", at(second));
    fs::write(path, seconds.map(line).collect::<String>()).unwrap();
    touch(path, path);
}

/// Sets a file's time of the last write to that of the last stamp in it.
fn touch(path: &Path, stamps: &Path) {
    let text = fs::read_to_string(stamps).unwrap();
    let last = text
        .lines()
        .rev()
        .find_map(|line| Timestamp::parse(line.split(' ').next()?).ok());
    let micros = u64::try_from(last.unwrap().as_micros()).unwrap();
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_micros(micros);
    fs::File::options()
        .append(true)
        .open(path)
        .unwrap()
        .set_modified(time)
        .unwrap();
}

const DAY: i64 = 1_700_000_000;

#[test]
fn the_newest_lines_of_the_range_come_in_order_from_rotated_files_too() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("shop.log.1"), DAY..DAY + 1_000);
    write(&dir.path().join("shop.log"), DAY + 1_000..DAY + 2_000);
    let kept = kept(dir.path());
    let mut wanted = asked(SHOP, DAY + 990, DAY + 1_010);
    let (texts, left_out, notes) = answer(&kept, &wanted);
    assert_eq!((texts.len(), left_out, notes), (20, 0, vec![]));
    assert!(
        texts[0].ends_with(&format!("order {}", DAY + 990)),
        "{texts:?}"
    );
    assert!(
        texts[19].ends_with(&format!("order {}", DAY + 1_009)),
        "{texts:?}"
    );
    wanted.limit = 5;
    let (texts, left_out, _) = answer(&kept, &wanted);
    assert_eq!(left_out, 15);
    assert!(
        texts[0].ends_with(&format!("order {}", DAY + 1_005)),
        "{texts:?}"
    );
}

#[test]
fn a_range_in_the_midst_of_a_long_file_is_found_without_reading_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop.log");
    write(&path, DAY..DAY + 200_000);
    let kept = kept(dir.path());
    let (texts, _, notes) = answer(&kept, &asked(SHOP, DAY + 100_000, DAY + 100_003));
    assert_eq!((texts.len(), notes), (3, vec![]));
    let file = KeptFile {
        path,
        component: SHOP.parse().unwrap(),
        packed: false,
    };
    let mut budget = BYTES_LIMIT;
    let range = TimeRange::new(at(DAY + 100_000), at(DAY + 100_003));
    file::read(&file, range, &mut budget, &mut |_| true).unwrap();
    let spent = BYTES_LIMIT - budget;
    assert!(spent < 512 * 1024, "{spent} bytes were read");
}

#[test]
fn secrets_do_not_leave_the_host_this_way_either() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop.log");
    let text = format!(
        "{} ERROR login failed password=hunter2hunter2\n\
         -----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7\n\
         -----END PRIVATE KEY-----\n{} INFO on\n",
        at(DAY),
        at(DAY + 1)
    );
    fs::write(&path, text).unwrap();
    touch(&path, &path);
    let kept = kept(dir.path());
    let (texts, ..) = answer(&kept, &asked(SHOP, DAY, DAY + 2));
    assert!(texts.len() >= 2, "{texts:?}");
    for secret in ["hunter2", "MIIEvQ"] {
        assert!(texts.iter().all(|text| !text.contains(secret)), "{texts:?}");
        // Nor may one be guessed by asking for it.
        let mut guess = asked(SHOP, DAY, DAY + 2);
        guess.contains = secret.to_owned();
        assert_eq!(answer(&kept, &guess).0, [""; 0]);
    }
    let mut errors = asked(SHOP, DAY, DAY + 2);
    (errors.severity, errors.contains) = (Some(Severity::Error), "LOGIN".to_owned());
    assert_eq!(answer(&kept, &errors).0.len(), 1);
}

#[test]
fn what_is_not_read_is_said() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("shop.log"), DAY..DAY + 10);
    write(&dir.path().join("shop.log.2.gz"), DAY..DAY + 10);
    let kept = kept(dir.path());
    let (texts, _, notes) = answer(&kept, &asked(SHOP, DAY, DAY + 100));
    assert_eq!(texts.len(), 10);
    assert!(
        notes.len() == 1 && notes[0].ends_with("shop.log.2.gz is packed: its lines are not read"),
        "{notes:?}"
    );
    let path = dir.path().join("shop.log");
    write(&path, DAY..DAY + 1);
    let stamped = dir.path().join("stamp");
    fs::copy(&path, &stamped).unwrap();
    fs::write(&path, "no stamp\nnor here\n").unwrap();
    touch(&path, &stamped);
    let (texts, _, notes) = answer(&kept, &asked(SHOP, DAY, DAY + 100));
    assert_eq!(texts, ["no stamp", "nor here"]);
    assert!(
        notes.iter().any(|note| note.contains("no time stamps")),
        "{notes:?}"
    );
}

#[test]
fn only_components_of_this_host_are_read_and_only_their_own_lines() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("shop.log"), DAY..DAY + 10);
    let kept = kept(dir.path());
    let elsewhere = asked("service:h2/shop.service", DAY, DAY + 10);
    let refused = kept.read(&elsewhere, &|| true, &mut |_| true).unwrap_err();
    assert!(refused.contains("not of this host"), "{refused}");
    assert_eq!(
        answer(&kept, &asked("service:h1/db.service", DAY, DAY + 10)).0,
        [""; 0]
    );
    assert_eq!(answer(&kept, &asked("host:h1", DAY, DAY + 10)).0.len(), 10);
}

#[test]
fn a_stack_trace_without_stamps_has_the_time_of_its_first_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop.log");
    let text = format!(
        "{} INFO before\n{} ERROR failed\nTraceback:\n  at line 7\n{} INFO after\n",
        at(DAY),
        at(DAY + 10),
        at(DAY + 20)
    );
    fs::write(&path, text).unwrap();
    touch(&path, &path);
    let (texts, ..) = answer(&kept(dir.path()), &asked(SHOP, DAY + 5, DAY + 15));
    assert_eq!(texts.len(), 3, "{texts:?}");
    assert_eq!(texts[2], "  at line 7");
}
