use firstlook_model::TimeRange;

use super::*;
use crate::journald::format::JournalFile;

#[test]
fn a_range_is_read_again_whatever_was_read_before() {
    let mut bench = Bench::new();
    let bytes = fixture("zstd-compact-keyed");
    let entries = JournalFile::open(&bytes[..]).unwrap().header.entries;
    bench.write("system.journal", &bytes, entries);
    let followed = bench.lines();
    assert!(followed.len() > 4, "{followed:?}");
    let mut config = EventsConfig::for_host(HostId::new("app1").unwrap());
    config.journal_dirs = vec![bench.dir.path().to_owned()];
    let range = TimeRange::new(followed[1].time, followed[4].time);
    let again = |range, budget, most: usize| {
        let mut lines = Vec::new();
        let unread = reread::journal(&config, range, budget, &mut |line| {
            lines.push(line);
            lines.len() < most
        });
        (lines, unread)
    };
    let (lines, unread) = again(range, 1_000, 1_000);
    let within = |line: &&RawLine| range.from <= line.time && line.time < range.to;
    let expected: Vec<RawLine> = followed.iter().filter(within).cloned().collect();
    assert_eq!(
        (lines, unread),
        (expected.clone(), reread::Unread::default())
    );
    // Whoever has enough is given no more, and a spent budget is told with the time that it reached.
    assert_eq!(again(range, 1_000, 1).0, expected[..1]);
    let (lines, unread) = again(range, 2, 1_000);
    assert!(lines.len() <= 2 && unread.beyond.is_some(), "{unread:?}");
    fs::write(bench.path("broken.journal"), b"LPKSHHRH and no more").unwrap();
    let (lines, unread) = again(range, 1_000, 1_000);
    assert_eq!((lines, unread.trouble.len()), (expected, 1));
}
