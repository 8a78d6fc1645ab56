use super::*;

fn config(age_minutes: u64, bytes: u64) -> StoreConfig {
    StoreConfig {
        retention_age: minutes(age_minutes),
        retention_bytes: bytes,
        ..StoreConfig::default()
    }
}

/// One change every five minutes, compacted and retained as a collector would.
fn live(store: &Store, from: i64, to: i64) {
    let h1 = host("h1");
    for minute in (from..to).step_by(5) {
        let record = Record::Changes(vec![change(&h1, minute * 60, &minute.to_string())]);
        feed(store, &h1, minute as u64 + 1, vec![(minute * 60, record)]);
        store.compact(at(minute * 60 + 290)).unwrap();
        store.retain(at(minute * 60 + 290)).unwrap();
    }
}

#[test]
fn what_is_older_than_the_retention_age_goes_and_the_rest_stays() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), config(60, 1 << 30)).unwrap();
    live(&store, 0, 180);
    let ids: Vec<i64> = store
        .changes(everything(), None)
        .iter()
        .map(|change| change.item.id.parse().unwrap())
        .collect();
    assert_eq!(ids.last(), Some(&175));
    assert!((110..=120).contains(&ids[0]), "{ids:?}");
    assert!(ids.windows(2).all(|pair| pair[0] + 5 == pair[1]), "{ids:?}");
    assert!(store.stats().expired_segments > 20);
    drop(store);
    let store = Store::open(directory.path(), config(60, 1 << 30)).unwrap();
    assert_eq!(store.changes(everything(), None).len(), ids.len());
    let kept = store.acknowledged(&host("h1"), EPOCH);
    assert_eq!(
        kept,
        Some(Sequence(176)),
        "retention forgets telemetry, not what is acknowledged"
    );
}

#[test]
fn when_bytes_run_out_the_oldest_go_first() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), config(60 * 24, 1 << 20)).unwrap();
    let h1 = host("h1");
    // Text that zstd cannot shrink, about 200 kB in each of 40 windows.
    let mut seed = 1u64;
    let mut noise = || {
        let step = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            char::from(b'!' + (seed >> 33) as u8 % 90)
        };
        std::iter::repeat_with(step).take(8_000).collect::<String>()
    };
    for window in 0..40 {
        let entries = (0..25).map(|_| line(&h1, window * 120, &noise())).collect();
        let block = Record::Logs(LogBlock {
            templates: Vec::new(),
            entries,
        });
        feed(&store, &h1, window as u64 + 1, vec![(window * 120, block)]);
        store.compact(at(window * 120 + 240)).unwrap();
        store.flush().unwrap();
        store.retain(at(window * 120 + 240)).unwrap();
    }
    assert!(
        store.disk_bytes() <= 1 << 20,
        "{} bytes",
        store.disk_bytes()
    );
    assert!(
        store.stats().crowded_out_segments > 5,
        "{:?}",
        store.stats()
    );
    let left = store.logs(&crate::LogFilter::new(everything(), usize::MAX));
    assert_eq!(left.last().map(|line| line.entry.time), Some(at(39 * 120)));
    assert!(left[0].entry.time > at(20 * 120), "the oldest are gone");
}

#[test]
fn schemas_and_templates_go_when_nothing_uses_them_any_more() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), config(60, 1 << 30)).unwrap();
    let h1 = host("h1");
    let records = vec![
        (0, Record::Schema(schema(&h1, 3))),
        (0, logs(vec![line(&h1, 0, "once")])),
    ];
    feed(&store, &h1, 1, records);
    assert_eq!(store.retain(at(3_600)).unwrap().rows, 0);
    assert!(store.retain(at(3 * 24 * 3_600)).unwrap().rows >= 3);
    assert!(store.series(None).is_empty());
    drop(store);
    let store = Store::open(directory.path(), config(60, 1 << 30)).unwrap();
    assert!(store.series(None).is_empty());
    assert!(
        store
            .templates(&[line(&h1, 0, "once").template].into())
            .is_empty()
    );
}

#[test]
fn a_configuration_that_cannot_work_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    for config in [config(0, 1 << 30), config(60, 1)] {
        let refused = Store::open(directory.path(), config);
        assert!(matches!(refused, Err(crate::StoreError::Config(_))));
    }
}
