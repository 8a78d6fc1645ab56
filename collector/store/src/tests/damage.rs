use std::path::{Path, PathBuf};

use super::*;
use crate::engine::Write;
use crate::{LogFilter, MetricSelector, StoreError};

/// Overwrites every value of recent and filed telemetry whose key starts with `kind`.
fn spoil(store: &Store, kind: u8) -> usize {
    let inner = &store.0;
    let view = inner.engine.view();
    let mut tables: Vec<_> = inner
        .segments
        .all()
        .iter()
        .map(|s| s.table.clone())
        .collect();
    tables.push(inner.tables.recent.clone());
    let mut writes = Vec::new();
    for table in tables {
        for key in view
            .all_keys(&table)
            .map(Result::unwrap)
            .filter(|key| key[0] == kind)
        {
            writes.push(Write::Put(
                table.clone(),
                key.to_vec(),
                b"\x01nonsense".to_vec(),
            ));
        }
    }
    let spoilt = writes.len();
    inner.engine.write(writes).unwrap();
    spoilt
}

#[test]
fn corrupt_values_are_set_aside_and_the_rest_is_served() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let h1 = host("h1");
    let schema = schema(&h1, 2);
    let mut records = vec![(0, Record::Schema(schema.clone()))];
    for second in (0..400).step_by(10) {
        records.push((second, Record::Metrics(block(&schema, second, 2))));
        records.push((second, logs(vec![line(&h1, second, "fine")])));
        records.push((second, Record::Changes(vec![change(&h1, second, "x")])));
    }
    feed(&store, &h1, 1, records);
    store.compact(at(300)).unwrap();
    let spoilt = spoil(&store, b'm');
    assert!(spoilt > 10, "some filed, some recent");
    assert!(
        store
            .metrics(&MetricSelector::default(), everything())
            .is_empty()
    );
    assert_eq!(store.stats().quarantined, spoilt as u64);
    assert_eq!(store.logs(&LogFilter::new(everything(), 1_000)).len(), 40);
    assert_eq!(store.changes(everything(), None).len(), 40);
    let kept = store
        .0
        .engine
        .view()
        .all(&store.0.tables.quarantine)
        .count();
    assert_eq!(kept, spoilt);
    // Found once: they are out of the way.
    assert!(
        store
            .metrics(&MetricSelector::default(), everything())
            .is_empty()
    );
    assert_eq!(store.stats().quarantined, spoilt as u64);
}

#[test]
fn compaction_and_replay_step_over_corrupt_values() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let h1 = host("h1");
    let lines = (0..100).map(|second| (second, logs(vec![line(&h1, second, "fine")])));
    feed(&store, &h1, 1, lines.collect());
    feed(
        &store,
        &h1,
        101,
        vec![(0, Record::Changes(vec![change(&h1, 0, "x")]))],
    );
    assert_eq!(spoil(&store, b'c'), 1);
    let rubbish = vec![Write::Put(
        store.0.tables.recent.clone(),
        b"?".to_vec(),
        vec![1],
    )];
    store.0.engine.write(rubbish).unwrap();
    assert_eq!(store.compact(at(1_000)).unwrap().joined, 100);
    assert_eq!(store.stats().quarantined, 2);
    spoil(&store, b'l');
    let mut told = 0;
    store.replay(everything(), |_, _, _| told += 1);
    assert_eq!(told, 0);
    assert_eq!(store.stats().quarantined, 3);
}

#[test]
fn corrupt_rows_of_hosts_and_schemas_do_not_keep_the_store_from_opening() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    for name in ["h1", "h2"] {
        feed(
            &store,
            &host(name),
            1,
            vec![(0, Record::Schema(schema(&host(name), 1)))],
        );
    }
    let tables = &store.0.tables;
    let key = |table| {
        let view = store.0.engine.view();
        view.all_keys(table).next().unwrap().unwrap().to_vec()
    };
    let writes = vec![
        Write::Put(tables.hosts.clone(), key(&tables.hosts), vec![9]),
        Write::Put(tables.schemas.clone(), key(&tables.schemas), vec![9]),
    ];
    store.0.engine.write(writes).unwrap();
    drop(store);
    let store = open(directory.path());
    assert_eq!(store.stats().quarantined, 2);
    assert_eq!(store.acknowledged(&host("h1"), EPOCH), None);
    assert_eq!(store.acknowledged(&host("h2"), EPOCH), Some(Sequence(1)));
    assert_eq!(store.series(None).len(), 1);
}

#[test]
fn a_store_in_use_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let _store = open(directory.path());
    let second = Store::open(directory.path(), StoreConfig::default());
    assert!(matches!(second, Err(StoreError::Locked { .. })));
}

#[test]
fn a_path_that_is_no_directory_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let refused = Store::open(&file, StoreConfig::default());
    assert!(matches!(refused, Err(StoreError::Directory { .. })));
}

#[test]
fn another_format_is_refused_with_both_versions() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let meta = store
        .0
        .engine
        .table("meta", crate::engine::Shape::Small)
        .unwrap();
    store
        .0
        .engine
        .write(vec![Write::Put(meta, b"format".to_vec(), vec![2])])
        .unwrap();
    drop(store);
    let refused = Store::open(directory.path(), StoreConfig::default());
    let Err(error @ StoreError::Format { .. }) = refused else {
        panic!("a foreign format was opened");
    };
    assert!(
        error
            .to_string()
            .contains("has format [2], this version reads 1")
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

/// Every file of a store in turn is emptied, cut, or overwritten in the middle: opening and reading either
/// work or end in an error that says where; they never panic, and never give a wrong answer.
#[test]
fn damage_to_any_file_is_an_error_or_a_smaller_answer() {
    let sound = tempfile::tempdir().unwrap();
    let store = open(sound.path());
    let h1 = host("h1");
    let lines = (0..200).map(|second| (second, logs(vec![line(&h1, second, "fine")])));
    feed(&store, &h1, 1, lines.collect());
    store.compact(at(1_000)).unwrap();
    store.flush().unwrap();
    feed(
        &store,
        &h1,
        201,
        vec![(300, logs(vec![line(&h1, 300, "fine")]))],
    );
    drop(store);

    let mut refused = 0;
    for file in files(sound.path()) {
        for harm in 0..3 {
            let copy = tempfile::tempdir().unwrap();
            for from in files(sound.path()) {
                let to = copy.path().join(from.strip_prefix(sound.path()).unwrap());
                std::fs::create_dir_all(to.parent().unwrap()).unwrap();
                std::fs::copy(&from, to).unwrap();
            }
            let victim = copy.path().join(file.strip_prefix(sound.path()).unwrap());
            let mut bytes = std::fs::read(&victim).unwrap();
            let middle = bytes.len() / 2;
            match harm {
                0 => bytes.clear(),
                1 => bytes.truncate(middle),
                _ => bytes
                    .iter_mut()
                    .skip(middle)
                    .take(64)
                    .for_each(|b| *b ^= 0x55),
            }
            std::fs::write(&victim, bytes).unwrap();
            match Store::open(copy.path(), StoreConfig::default()) {
                Ok(store) => {
                    let read = store.logs(&LogFilter::new(everything(), 1_000));
                    assert!(read.len() <= 201);
                    assert!(read.iter().all(|line| line.entry.text == "fine"));
                }
                Err(error) => {
                    refused += 1;
                    let text = error.to_string();
                    assert!(text.contains(copy.path().to_str().unwrap()), "{text}");
                }
            }
        }
    }
    assert!(refused > 0, "no damage was noticed at opening");
}
