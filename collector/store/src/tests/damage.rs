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

/// A store with filed and recent lines, closed.
fn a_store(directory: &Path) {
    let store = open(directory);
    let h1 = host("h1");
    let lines = (0..200).map(|second| (second, logs(vec![line(&h1, second, "fine")])));
    feed(&store, &h1, 1, lines.collect());
    store.compact(at(1_000)).unwrap();
    store.flush().unwrap();
    let late = vec![(300, logs(vec![line(&h1, 300, "fine")]))];
    feed(&store, &h1, 201, late);
}

/// Every file of a store in turn is emptied, cut, or overwritten in the middle: the store opens all the same, never
/// gives a wrong answer, and what it could not open stands beside it.
#[test]
fn damage_to_any_file_is_set_aside_or_a_smaller_answer() {
    let sound = tempfile::tempdir().unwrap();
    a_store(sound.path());
    let mut set_aside = 0;
    for file in files(sound.path()) {
        for harm in 0..3 {
            let parent = tempfile::tempdir().unwrap();
            let copy = parent.path().join("store");
            for from in files(sound.path()) {
                let to = copy.join(from.strip_prefix(sound.path()).unwrap());
                std::fs::create_dir_all(to.parent().unwrap()).unwrap();
                std::fs::copy(&from, to).unwrap();
            }
            let victim = copy.join(file.strip_prefix(sound.path()).unwrap());
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
            let store = open(&copy);
            let read = store.logs(&LogFilter::new(everything(), 1_000));
            assert!(read.len() <= 201);
            assert!(read.iter().all(|line| line.entry.text == "fine"));
            assert_eq!(
                store.stats().set_aside,
                u64::from(store.set_aside().is_some())
            );
            if let Some(aside) = store.set_aside() {
                set_aside += 1;
                assert_eq!(aside.path, parent.path().join("store.corrupt-1"));
                assert!(aside.path.join("keyspaces").is_dir(), "it is whole");
                assert!(read.is_empty());
            }
        }
    }
    assert!(set_aside > 0, "no damage was noticed at opening");
}

fn lines(store: &Store) -> usize {
    store.logs(&LogFilter::new(everything(), 1_000)).len()
}

#[test]
fn openings_that_end_the_process_again_and_again_set_the_store_aside_once() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("store");
    a_store(&directory);
    let mark = parent.path().join("store.opening");
    std::fs::write(&mark, "..").unwrap();
    assert_eq!(lines(&open(&directory)), 201, "two may be chance");
    std::fs::write(&mark, "...").unwrap();
    let store = open(&directory);
    let aside = store.set_aside().unwrap().clone();
    assert!(aside.what.contains("ended the process"), "{aside:?}");
    assert_eq!(lines(&store), 0);
    drop(store);
    let store = open(&directory);
    assert_eq!(store.set_aside(), None, "it is told where it happens");
    assert_eq!(
        store.stats().set_aside,
        1,
        "and counted while it stands there"
    );
    drop(store);
    // The way back, as the manual has it.
    std::fs::remove_dir_all(&directory).unwrap();
    std::fs::rename(&aside.path, &directory).unwrap();
    let store = open(&directory);
    assert_eq!((lines(&store), store.stats().set_aside), (201, 0));
}

#[test]
fn a_store_that_is_damaged_for_the_fourth_time_is_not_begun_anew() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("store");
    for n in 1..=4 {
        a_store(&directory);
        std::fs::write(parent.path().join("store.opening"), "...").unwrap();
        match Store::open(&directory, StoreConfig::default()) {
            Ok(store) => assert_eq!(store.stats().set_aside, n),
            Err(error @ StoreError::DamagedAgain { aside: 3, .. }) if n == 4 => {
                let text = error.to_string();
                assert!(
                    text.contains("check the disk") && text.contains(directory.to_str().unwrap())
                );
                assert!(directory.join("keyspaces").is_dir(), "it stays");
            }
            Err(error) => panic!("{n}: {error}"),
        }
        if n < 4 {
            std::fs::remove_dir_all(&directory).unwrap();
        }
    }
}

/// Overwrites the beginning of each file of values in a table's `folder`.
fn overwrite_values(folder: &Path) {
    let of_tables = files(&folder.join("tables"));
    assert!(!of_tables.is_empty(), "the table has no file");
    for file in of_tables {
        let mut bytes = std::fs::read(&file).unwrap();
        bytes[..64].fill(0xa5);
        std::fs::write(&file, bytes).unwrap();
    }
}

#[test]
fn a_store_that_failed_is_read_before_it_is_believed() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("store");
    a_store(&directory);
    let mark = parent.path().join("store.suspect");
    std::fs::write(&mark, "").unwrap();
    let store = open(&directory);
    assert_eq!(
        (lines(&store), store.set_aside()),
        (201, None),
        "it is sound"
    );
    assert!(!mark.exists());
    let segment = store.0.segments.all()[0].table.folder().to_owned();
    drop(store);
    overwrite_values(&segment);
    let store = open(&directory);
    assert_eq!(
        store.set_aside(),
        None,
        "unreadable places of the past are skipped"
    );
    assert_eq!(lines(&store), 1);
    assert!(store.stats().unreadable > 0);
    drop(store);
    std::fs::write(&mark, "").unwrap();
    let store = open(&directory);
    assert!(store.set_aside().is_some());
    assert!(!mark.exists());
}

/// The engine itself would delete such a table as one that was never finished.
#[test]
fn a_lost_marker_costs_no_table() {
    for lost in ["first", "own"] {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("store");
        a_store(&directory);
        let store = open(&directory);
        let own = store.0.segments.all()[0].table.folder().to_owned();
        drop(store);
        let folder = match lost {
            "first" => directory.join("keyspaces/0"),
            _ => own.clone(),
        };
        let marker = folder.join("current");
        let kept = std::fs::read(&marker).unwrap();
        std::fs::remove_file(&marker).unwrap();
        let store = open(&directory);
        let aside = store.set_aside().unwrap().clone();
        assert!(aside.what.contains("current is missing"), "{aside:?}");
        drop(store);
        std::fs::remove_dir_all(&directory).unwrap();
        std::fs::rename(&aside.path, &directory).unwrap();
        std::fs::write(&marker, kept).unwrap();
        assert_eq!(lines(&open(&directory)), 201, "{lost}");
    }
}

/// The engine comes upon the place in the background, when it joins its own files.
#[test]
fn damage_that_stops_all_writes_is_found_at_the_next_opening() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("store");
    let h1 = host("h1");
    let store = open(&directory);
    for second in 0..3 {
        let lines = vec![(second, logs(vec![line(&h1, second, "fine")]))];
        feed(&store, &h1, 1 + second as u64, lines);
        store.flush().unwrap();
    }
    let recent = store.0.tables.recent.folder().to_owned();
    drop(store);
    overwrite_values(&recent);
    let store = open(&directory);
    assert_eq!(store.set_aside(), None, "it opens");
    let failed = (2..5_000).find_map(|half| {
        // Around what is damaged, so that the engine must join the two.
        let record = |seconds| Incoming::Other(logs(vec![line(&h1, seconds, "fine")]));
        let batch = [(half * 2, 0), (half * 2 + 1, 10)];
        let batch = batch.map(|(sequence, seconds)| (Sequence(sequence), record(seconds)));
        let written = store.commit(&h1, EPOCH, batch.into(), at(20));
        // It fails in the background, and the next write tells.
        let _ = store.0.tables.recent.flush_soon();
        written.err()
    });
    assert!(matches!(failed, Some(StoreError::Write(_))), "{failed:?}");
    assert!(store.has_failed());
    assert!(parent.path().join("store.suspect").exists());
    drop(store);
    let store = open(&directory);
    assert!(store.set_aside().is_some());
    feed(
        &store,
        &h1,
        4,
        vec![(10, logs(vec![line(&h1, 10, "fine")]))],
    );
    assert!(!store.has_failed());
}
