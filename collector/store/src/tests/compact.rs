use super::*;
use crate::{MetricSelector, SeriesSamples};

/// Ten minutes of one host in blocks of two seconds with a gap, a schema that widens halfway, log lines
/// and changes.
fn fill(store: &Store) {
    let h1 = host("h1");
    let (narrow, wide) = (schema(&h1, 5), schema(&h1, 8));
    let mut records = vec![
        (0, Record::Schema(narrow.clone())),
        (0, Record::Schema(wide.clone())),
    ];
    for second in (0..600)
        .step_by(2)
        .filter(|second| !(200..230).contains(second))
    {
        let schema = if second < 300 { &narrow } else { &wide };
        records.push((second, Record::Metrics(block(schema, second, 2))));
        records.push((
            second,
            logs(vec![line(&h1, second, &format!("line {second}"))]),
        ));
        records.push((
            second,
            Record::Changes(vec![change(&h1, second, &second.to_string())]),
        ));
    }
    feed(store, &h1, 1, records);
}

type Picture = (
    Vec<SeriesSamples>,
    Vec<crate::StoredLog>,
    usize,
    Vec<(Timestamp, Record)>,
);

fn picture(store: &Store, range: TimeRange) -> Picture {
    let mut replayed = Vec::new();
    store.replay(range, |_, received, record| {
        replayed.push((received, record))
    });
    (
        store.metrics(&MetricSelector::default(), range),
        store.logs(&crate::LogFilter::new(range, 10_000)),
        store.changes(range, None).len(),
        replayed,
    )
}

#[test]
fn compaction_changes_no_answer() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    fill(&store);
    let ranges = [
        everything(),
        range(100, 331),
        range(299, 301),
        range(210, 220),
    ];
    let before = ranges.map(|range| picture(&store, range));
    assert_eq!(before[0].0.len(), 8);
    assert_eq!(before[0].1.len(), 285);
    let done = store.compact(at(600)).unwrap();
    assert!(done.joined > done.filed * 20, "{done:?}");
    let half = ranges.map(|range| picture(&store, range));
    assert!(half == before, "after filing the windows that had settled");
    let rest = store.compact(at(3_600)).unwrap();
    assert!(rest.joined > 0, "the last windows had not settled before");
    assert!(
        ranges.map(|range| picture(&store, range)) == before,
        "after filing all"
    );
    drop(store);
    let store = open(directory.path());
    assert!(
        ranges.map(|range| picture(&store, range)) == before,
        "after reopening"
    );
    assert_eq!(store.compact(at(3_600)).unwrap().joined, 0);
}

#[test]
fn compaction_makes_two_second_blocks_several_times_smaller() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let h1 = host("h1");
    let wide = schema(&h1, 300);
    let blocks = (0..120)
        .step_by(2)
        .map(|second| (second, Record::Metrics(block(&wide, second, 2))));
    feed(&store, &h1, 1, blocks.collect());
    let done = store.compact(at(3_600)).unwrap();
    assert_eq!((done.joined, done.filed), (60, 1));
    assert!(done.bytes_after * 4 < done.bytes_before, "{done:?}");
}

#[test]
fn a_window_waits_until_it_has_settled() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    fill(&store);
    assert_eq!(store.compact(at(239)).unwrap().joined, 0);
    assert!(store.compact(at(240)).unwrap().joined > 0);
}

#[test]
fn stamps_in_the_future_do_not_stay_small_for_ever() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let h1 = host("h1");
    let ahead = Record::Changes(vec![change(&h1, 86_400, "x")]);
    store
        .commit(
            &h1,
            EPOCH,
            vec![(Sequence(1), Incoming::Other(ahead))],
            at(0),
        )
        .unwrap();
    assert_eq!(store.compact(at(599)).unwrap().joined, 0);
    assert_eq!(store.compact(at(600)).unwrap().joined, 1);
    assert_eq!(store.changes(range(86_000, 87_000), None).len(), 1);
}

#[test]
fn late_data_is_found_beside_what_was_filed_before() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let h1 = host("h1");
    let schema = schema(&h1, 2);
    let commit = |sequence, from, received| {
        let batch = vec![(Sequence(sequence), incoming(block(&schema, from, 10)))];
        store.commit(&h1, EPOCH, batch, at(received)).unwrap();
    };
    let record = Incoming::Other(Record::Schema(schema.clone()));
    store
        .commit(&h1, EPOCH, vec![(Sequence(1), record)], at(0))
        .unwrap();
    commit(2, 20, 30);
    assert_eq!(store.compact(at(1_000)).unwrap().filed, 1);
    commit(3, 0, 1_000);
    commit(4, 15, 1_001);
    let check = || {
        let samples = store.metrics(&MetricSelector::default(), everything());
        let times: Vec<_> = (0..10).chain(15..30).map(at).collect();
        assert_eq!(samples[0].times.to_vec(), times);
        assert_eq!(samples[1].values[10], f64::from(15 * 3 + 1));
    };
    check();
    assert!(store.compact(at(5_000)).unwrap().filed > 0);
    check();
}
