use std::collections::BTreeSet;

use firstlook_model::{
    ActiveState, Columns, Direction, EdgeObservation, EdgeStats, Inventory, Loss, SchemaId,
    UnitState,
};

use super::*;
use crate::{LogFilter, MetricSelector, WINDOW};

fn edge(host: &HostId, seconds: i64) -> EdgeObservation {
    EdgeObservation {
        time: at(seconds),
        interval_ms: 2_000,
        local: ComponentId::host(host.clone()),
        direction: Direction::Outbound,
        remote: "192.0.2.7".parse().unwrap(),
        port: 443,
        stats: EdgeStats::default(),
    }
}

fn unit(host: &HostId, name: &str, seconds: i64) -> UnitState {
    UnitState {
        component: ComponentId::on_host(ComponentKind::Service, host.clone(), name).unwrap(),
        time: at(seconds),
        active: ActiveState::Active,
        sub: "running".to_owned(),
        result: "success".to_owned(),
        restarts: 0,
        main_pid: 1,
        exit_code: 0,
        exit_status: 0,
        since: None,
        wanted: true,
        invocation: String::new(),
    }
}

fn inventory(seconds: i64, cores: u32) -> Inventory {
    Inventory {
        time: at(seconds),
        hostname: "h1".to_owned(),
        kernel: "6.1".to_owned(),
        os: "Debian".to_owned(),
        boot_id: String::new(),
        booted: at(-100),
        cores,
        memory_bytes: 1,
        addresses: vec!["192.0.2.1".parse().unwrap()],
        listeners: Vec::new(),
        mounts: Vec::new(),
        agent_version: "0".to_owned(),
        blind: Vec::new(),
    }
}

#[test]
fn samples_are_selected_by_host_component_signal_and_range() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    for name in ["h1", "h2"] {
        let host = host(name);
        let schema = schema(&host, 3);
        let records = vec![
            (0, Record::Schema(schema.clone())),
            (0, Record::Metrics(block(&schema, 0, 300))),
        ];
        feed(&store, &host, 1, records);
    }
    let select = |selector: MetricSelector| {
        let samples = store.metrics(&selector, range(100, 200));
        assert!(
            samples
                .iter()
                .all(|s| s.times.len() == 100 && s.values.len() == 100)
        );
        assert!(
            samples
                .iter()
                .all(|s| s.times[0] == at(100) && s.times[99] == at(199))
        );
        samples.len()
    };
    assert_eq!(select(MetricSelector::default()), 6);
    let hosts = Some(vec![host("h2")]);
    assert_eq!(
        select(MetricSelector {
            hosts,
            ..Default::default()
        }),
        3
    );
    let component = Some(ComponentId::host(host("h1")));
    assert_eq!(
        select(MetricSelector {
            component,
            ..Default::default()
        }),
        3
    );
    let signal = Some("test.signal_1".to_owned());
    assert_eq!(
        select(MetricSelector {
            signal,
            ..Default::default()
        }),
        2
    );
    assert_eq!(store.series(None).len(), 6);
    assert_eq!(store.series(Some(&host("h1"))).len(), 3);
    assert!(
        store
            .metrics(&MetricSelector::default(), range(300, 400))
            .is_empty()
    );
}

#[test]
fn a_block_that_spans_a_suspended_night_is_found_on_both_sides() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let h1 = host("h1");
    let schema = schema(&h1, 1);
    let night = MetricBlock {
        schema: schema.id(),
        times: vec![at(0), at(1), at(30_000)],
        columns: vec![vec![1.0, f64::NAN, 3.0]].try_into().unwrap(),
    };
    let batch = vec![
        (Sequence(1), Incoming::Other(Record::Schema(schema))),
        (Sequence(2), incoming(night)),
    ];
    store.commit(&h1, EPOCH, batch, at(30_001)).unwrap();
    let evening = store.metrics(&MetricSelector::default(), range(0, 60));
    assert_eq!(evening[0].values[0], 1.0);
    assert!(evening[0].values[1].is_nan(), "missing stays missing");
    let morning = store.metrics(&MetricSelector::default(), range(29_990, 30_010));
    assert_eq!(morning[0].values, [3.0]);
}

#[test]
fn samples_of_an_unknown_schema_are_kept_until_it_is_known() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let h1 = host("h1");
    let schema = schema(&h1, 2);
    feed(
        &store,
        &h1,
        1,
        vec![(0, Record::Metrics(block(&schema, 0, 2)))],
    );
    assert!(
        store
            .metrics(&MetricSelector::default(), everything())
            .is_empty()
    );
    feed(&store, &h1, 2, vec![(3, Record::Schema(schema))]);
    assert_eq!(
        store
            .metrics(&MetricSelector::default(), everything())
            .len(),
        2
    );
}

#[test]
fn a_schema_survives_reopening_and_only_the_newest_of_too_many_do() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let h1 = host("h1");
    let limit = crate::schemas::SCHEMAS_LIMIT;
    let batch = |from: usize, to: usize| -> Vec<_> {
        let record = |width| Incoming::Other(Record::Schema(one_series(&h1, width)));
        (from..to)
            .map(|n| (Sequence(n as u64 + 1), record(n)))
            .collect()
    };
    store.commit(&h1, EPOCH, batch(0, limit), at(0)).unwrap();
    store
        .commit(&h1, EPOCH, batch(limit, limit + 1), at(1))
        .unwrap();
    assert_eq!(store.stats().evicted_schemas, 1);
    assert_eq!(store.series(None).len(), limit);
    drop(store);
    assert_eq!(open(directory.path()).series(None).len(), limit);
}

fn one_series(host: &HostId, number: usize) -> Schema {
    let mut series = schema(host, 1).series().to_vec();
    series[0].signal = format!("test.only_{number}");
    Schema::new(series)
}

#[test]
fn lines_are_filtered_and_limited_from_either_end() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let (h1, h2) = (host("h1"), host("h2"));
    for host in [&h1, &h2] {
        let entry = |second| line(host, second, &format!("number {}", second % 10));
        let records = (0..400).map(|second| (second, logs(vec![entry(second)])));
        feed(&store, host, 1, records.collect());
    }
    store.compact(at(400)).unwrap();
    let all = LogFilter::new(everything(), usize::MAX);
    assert_eq!(store.logs(&all).len(), 800);
    let newest = LogFilter {
        limit: 3,
        newest_first: true,
        ..all.clone()
    };
    let times: Vec<_> = store
        .logs(&newest)
        .into_iter()
        .map(|l| l.entry.time)
        .collect();
    assert_eq!(times, [at(399), at(399), at(398)]);
    let oldest = LogFilter {
        limit: 3,
        host: Some(h1.clone()),
        ..all.clone()
    };
    let times: Vec<_> = store
        .logs(&oldest)
        .into_iter()
        .map(|l| l.entry.time)
        .collect();
    assert_eq!(times, [at(0), at(1), at(2)]);
    let count = |filter: LogFilter| store.logs(&filter).len();
    assert_eq!(
        count(LogFilter {
            range: range(100, 150),
            ..all.clone()
        }),
        100
    );
    let template = Some(line(&h1, 0, "number 7").template);
    assert_eq!(
        count(LogFilter {
            template,
            ..all.clone()
        }),
        80
    );
    let contains = Some("number 7".to_owned());
    assert_eq!(
        count(LogFilter {
            contains,
            host: Some(h2),
            ..all.clone()
        }),
        40
    );
    let severity_min = Some(Severity::Critical);
    assert_eq!(
        count(LogFilter {
            severity_min,
            ..all.clone()
        }),
        0
    );
    let component = Some(line(&h1, 0, "").component);
    assert_eq!(count(LogFilter { component, ..all }), 400);
}

#[test]
fn templates_are_kept_when_their_id_is_the_hash_of_their_text() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let h1 = host("h1");
    let honest = line(&h1, 0, "disk <*> is full");
    feed(&store, &h1, 1, vec![(0, logs(vec![honest.clone()]))]);
    let forged = Record::Logs(LogBlock {
        templates: vec![LogTemplate {
            id: TemplateId(1),
            text: "all is well".to_owned(),
        }],
        entries: Vec::new(),
    });
    feed(&store, &h1, 2, vec![(1, forged)]);
    drop(store);
    let store = open(directory.path());
    let templates = store.templates(&BTreeSet::from([honest.template, TemplateId(1)]));
    assert_eq!(templates.len(), 1);
    assert_eq!(templates[0].text, "disk <*> is full");
}

#[test]
fn events_are_found_by_time_host_and_component() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let (h1, h2) = (host("h1"), host("h2"));
    let loss = Loss {
        source: "journald".to_owned(),
        reason: "queue-full".to_owned(),
        count: 3,
        bytes: 0,
        from: at(0),
        to: at(130),
    };
    for host in [&h1, &h2] {
        let records = vec![
            (0, Record::Edges(vec![edge(host, 0), edge(host, 130)])),
            (
                1,
                Record::Units(vec![unit(host, "a.service", 1), unit(host, "b.service", 1)]),
            ),
            (
                2,
                Record::Changes(vec![change(host, -500, "old"), change(host, 2, "new")]),
            ),
            (3, Record::Losses(vec![loss.clone()])),
        ];
        feed(&store, host, 1, records);
    }
    for _ in 0..2 {
        assert_eq!(store.edges(range(0, 60), None).len(), 2);
        assert_eq!(store.edges(range(0, 200), Some(&h1)).len(), 2);
        let component = unit(&h2, "b.service", 0).component;
        let units = store.units(everything(), Some(&component));
        assert_eq!(
            (units.len(), &units[0].host, units[0].received),
            (1, &h2, at(3))
        );
        assert_eq!(store.units(everything(), None).len(), 4);
        let changes = store.changes(everything(), Some(&ComponentId::host(h1.clone())));
        let ids: Vec<_> = changes.iter().map(|c| c.item.id.as_str()).collect();
        assert_eq!(ids, ["old", "new"]);
        assert_eq!(store.losses(range(100, 200)).len(), 2);
        assert_eq!(store.losses(range(0, 100)).len(), 0);
        store.compact(at(5_000)).unwrap();
    }
}

#[test]
fn the_latest_inventory_of_a_host_is_at_hand() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let h1 = host("h1");
    let records = vec![
        (0, Record::Inventory(inventory(0, 2))),
        (60, Record::Inventory(inventory(60, 4))),
    ];
    feed(&store, &h1, 1, records);
    drop(store);
    let latest = open(directory.path()).inventory(&h1).unwrap();
    assert_eq!((latest.item, latest.received), (inventory(60, 4), at(62)));
    assert_eq!(open(directory.path()).inventory(&host("h2")), None);
}

#[test]
fn a_replay_gives_the_records_of_all_hosts_as_they_came() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let mut wrote = Vec::new();
    let (h1, h2) = (host("h1"), host("h2"));
    for (host, shift) in [(&h1, 0), (&h2, 1)] {
        let schema = schema(host, 2);
        let mut records = vec![(shift, Record::Schema(schema.clone()))];
        for second in (shift..300).step_by(10) {
            records.push((second, Record::Metrics(block(&schema, second, 2))));
            records.push((second + 1, Record::Edges(vec![edge(host, second)])));
        }
        wrote.extend(
            records
                .iter()
                .map(|(s, r)| (at(s + 2), host.clone(), r.clone())),
        );
        feed(&store, host, 1, records);
    }
    wrote.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    for _ in 0..2 {
        let mut read = Vec::new();
        store.replay(everything(), |host, received, record| {
            read.push((received, host.clone(), record));
        });
        assert!(read == wrote);
        store.compact(at(5_000)).unwrap();
    }
}

/// A part that came late would be taken for a clock that was set back.
#[test]
fn a_record_that_crossed_windows_comes_whole() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let h1 = host("h1");
    let schema = schema(&h1, 2);
    let long = 3 * WINDOW.as_secs() as i64;
    let lines = vec![line(&h1, 1, "early"), line(&h1, long, "late")];
    let records = vec![
        (long, Record::Schema(schema.clone())),
        (long, Record::Metrics(block(&schema, 1, long))),
        (long, logs(lines)),
    ];
    feed(&store, &h1, 1, records.clone());
    for _ in 0..2 {
        let mut read = Vec::new();
        store.replay(everything(), |_, _, record| read.push(record));
        let whole: Vec<Record> = records.iter().map(|(_, record)| record.clone()).collect();
        assert!(read == whole, "{} records", read.len());
        store.compact(at(long + 5_000)).unwrap();
    }
}

#[test]
fn a_replay_tells_schemas_and_templates_from_before_its_range() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let h1 = host("h1");
    let schema = schema(&h1, 1);
    let bare = |second| {
        let entries = vec![line(&h1, second, "again")];
        Record::Logs(LogBlock {
            templates: Vec::new(),
            entries,
        })
    };
    let records = vec![
        (0, Record::Schema(schema.clone())),
        (0, logs(vec![line(&h1, 0, "again")])),
        (600, Record::Metrics(block(&schema, 600, 2))),
        (600, bare(600)),
        (700, Record::Metrics(block(&schema, 700, 2))),
        (700, bare(700)),
    ];
    feed(&store, &h1, 1, records.clone());
    let mut read = Vec::new();
    store.replay(range(500, 800), |_, _, record| read.push(record));
    let expected: Vec<_> = [
        Record::Schema(schema),
        records[2].1.clone(),
        logs(vec![line(&h1, 600, "again")]),
        records[4].1.clone(),
        bare(700),
    ]
    .into();
    assert_eq!(read, expected);
}

#[test]
fn a_block_of_another_width_than_its_schema_is_left_out() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let h1 = host("h1");
    let schema = schema(&h1, 2);
    let lying = MetricBlock {
        schema: schema.id(),
        times: vec![at(0)],
        columns: Columns::from_row(vec![1.0; 5]),
    };
    let unknown = MetricBlock {
        schema: SchemaId(5),
        ..lying.clone()
    };
    let records = vec![
        (0, Record::Schema(schema)),
        (1, Record::Metrics(lying)),
        (2, Record::Metrics(unknown)),
    ];
    feed(&store, &h1, 1, records);
    assert!(
        store
            .metrics(&MetricSelector::default(), everything())
            .is_empty()
    );
    store.compact(at(5_000)).unwrap();
    assert!(
        store
            .metrics(&MetricSelector::default(), everything())
            .is_empty()
    );
}
