use firstlook_model::block::MetricBlock;
use firstlook_model::unit::ActiveState;
use firstlook_model::{
    Calls, ChangeKind, Columns, ComponentId, Direction, EdgeObservation, EdgeStats, Inventory,
    Listener, LogBlock, LogEntry, LogSource, LogTemplate, Mount, Schema, SchemaId, Series,
    Severity, SignalKind, TemplateId, Unit,
};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn time() -> impl Strategy<Value = Timestamp> {
    (0i64..4_000_000_000_000_000).prop_map(Timestamp::from_micros)
}

fn component() -> impl Strategy<Value = ComponentId> {
    prop_oneof![
        "[a-z0-9][a-z0-9.-]{0,10}".prop_map(|h| format!("host:{h}")),
        ("[a-z][a-z0-9]{0,6}", "[^\\p{Cc}]{1,20}").prop_map(|(h, n)| format!("service:{h}/{n}")),
        ("[a-z][a-z0-9]{0,6}", "[a-z/]{0,20}").prop_map(|(h, n)| format!("filesystem:{h}/{n}")),
    ]
    .prop_map(|text| text.parse().unwrap())
}

fn address() -> impl Strategy<Value = std::net::IpAddr> {
    prop_oneof![
        any::<[u8; 4]>().prop_map(std::net::IpAddr::from),
        any::<[u8; 16]>().prop_map(std::net::IpAddr::from),
    ]
}

fn schema() -> impl Strategy<Value = Record> {
    vec((component(), "[a-z._]{1,20}", any::<bool>()), 0..10).prop_map(|all| {
        Record::Schema(Schema::new(
            all.into_iter()
                .map(|(component, signal, counter)| Series {
                    component,
                    signal,
                    unit: if counter { Unit::Bytes } else { Unit::Ratio },
                    kind: if counter {
                        SignalKind::Counter
                    } else {
                        SignalKind::Gauge
                    },
                })
                .collect(),
        ))
    })
}

fn logs() -> impl Strategy<Value = Record> {
    let entry =
        (time(), component(), any::<u64>(), ".{0,60}").prop_map(|(time, c, id, text)| LogEntry {
            time,
            component: c,
            template: TemplateId(id),
            severity: Severity::Error,
            source: LogSource::Journald,
            text,
        });
    let template = (any::<u64>(), ".{0,40}").prop_map(|(id, text)| LogTemplate {
        id: TemplateId(id),
        text,
    });
    (vec(template, 0..4), vec(entry, 0..8))
        .prop_map(|(templates, entries)| Record::Logs(LogBlock { templates, entries }))
}

fn calls() -> impl Strategy<Value = Option<Calls>> {
    let numbers = any::<(u32, u64, u64, u32, u32, bool)>();
    let calls = numbers.prop_map(|(interval_ms, a, b, c, d, alone)| Calls {
        interval_ms: interval_ms.max(1),
        requests: a.max(b).max(1),
        failed: a.min(b),
        mean_us: c.min(d),
        longest_us: c.max(d),
        alone,
    });
    proptest::option::of(calls)
}

fn edges() -> impl Strategy<Value = Record> {
    let edge = (
        time(),
        component(),
        address(),
        any::<u16>(),
        any::<u32>(),
        any::<Option<u32>>(),
        calls(),
    );
    vec(edge, 0..6).prop_map(|all| {
        Record::Edges(
            all.into_iter()
                .map(
                    |(time, local, remote, port, n, rtt_us, calls)| EdgeObservation {
                        time,
                        interval_ms: n.max(1),
                        local,
                        direction: Direction::Inbound,
                        remote,
                        port,
                        stats: EdgeStats {
                            established: n,
                            bytes_sent: u64::from(n) << 20,
                            rtt_us,
                            stalled_ms: 9,
                            calls,
                            ..EdgeStats::default()
                        },
                    },
                )
                .collect(),
        )
    })
}

fn facts() -> impl Strategy<Value = Record> {
    (component(), time(), any::<u32>(), ".{0,30}", address()).prop_flat_map(
        |(component, time, n, text, address)| {
            prop_oneof![
                Just(Record::Units(vec![UnitState {
                    component: component.clone(),
                    time,
                    active: ActiveState::Failed,
                    sub: "failed".into(),
                    result: text.clone(),
                    restarts: n,
                    main_pid: n,
                    exit_code: -1,
                    exit_status: 9,
                    since: (n % 2 == 0).then_some(time),
                    wanted: n % 3 == 0,
                    invocation: text.clone(),
                }])),
                Just(Record::Changes(vec![Change {
                    id: text.clone(),
                    time,
                    component: component.clone(),
                    kind: ChangeKind::ConfigFile,
                    text: text.clone(),
                    detail: text.clone(),
                }])),
                Just(Record::Losses(vec![Loss {
                    source: text.clone(),
                    reason: "over-budget".into(),
                    count: n.into(),
                    bytes: 1,
                    from: time,
                    to: time,
                }])),
                Just(Record::Inventory(Inventory {
                    time,
                    hostname: text.clone(),
                    kernel: "6".into(),
                    os: text.clone(),
                    boot_id: "b".into(),
                    booted: time,
                    cores: n,
                    memory_bytes: n.into(),
                    addresses: vec![address],
                    listeners: vec![Listener {
                        address,
                        port: 80,
                        component: component.clone()
                    }],
                    mounts: vec![Mount {
                        component: component.clone(),
                        fstype: "ext4".into(),
                        device: text.clone(),
                        used_by: vec![component],
                    }],
                    agent_version: "1".into(),
                    blind: vec![text],
                })),
            ]
        },
    )
}

fn metrics() -> impl Strategy<Value = Record> {
    vec(any::<f64>(), 1..5).prop_map(|values| {
        Record::Metrics(MetricBlock {
            schema: SchemaId(3),
            times: vec![Timestamp::from_secs(9)],
            columns: Columns::from_row(values),
        })
    })
}

proptest! {
    #[test]
    fn any_record_reads_back(record in prop_oneof![schema(), logs(), edges(), facts(), metrics()]) {
        let bytes = encode_record(&record).unwrap();
        let (read, raw) = decode_record(bytes.into()).unwrap();
        prop_assert_eq!(raw.is_some(), matches!(record, Record::Metrics(_)));
        prop_assert_eq!(read, record);
    }

    #[test]
    fn hostile_bytes_never_panic(bytes in vec(any::<u8>(), 0..400)) {
        let _ = decode_record(bytes.into());
    }

    #[test]
    fn a_damaged_record_never_panics(
        record in prop_oneof![schema(), logs(), edges(), facts(), metrics()],
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = encode_record(&record).unwrap();
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = decode_record(bytes.into());
    }
}

#[test]
fn a_record_over_the_limit_is_refused_before_it_is_decoded() {
    let bytes = vec![0u8; RECORD_LIMIT_BYTES + 1];
    assert!(matches!(
        decode_record(bytes.into()),
        Err(InvalidMessage::TooLong { .. })
    ));
}

#[test]
fn an_entry_that_names_no_component_is_refused() {
    let block = wire::LogBlock {
        components: vec![],
        templates: vec![],
        entries: vec![wire::LogEntry {
            severity: 2,
            source: 1,
            ..Default::default()
        }],
    };
    let bytes = wire::Record {
        kind: Some(Kind::Logs(block)),
    }
    .encode_to_vec();
    assert!(matches!(
        decode_record(bytes.into()),
        Err(InvalidMessage::Missing(_))
    ));
}

#[test]
fn calls_that_contradict_themselves_are_refused_and_none_are_none() {
    let right = wire::Calls {
        interval_ms: 10_000,
        requests: 3,
        failed: 3,
        mean_us: 7,
        longest_us: 7,
        alone: true,
    };
    let read = |calls| {
        EdgeStats::try_from(wire::EdgeStats {
            calls,
            ..wire::EdgeStats::default()
        })
    };
    assert_eq!(read(None).unwrap().calls, None);
    assert!(read(Some(right)).unwrap().calls.unwrap().alone);
    let broken: [fn(&mut wire::Calls); 4] = [
        |c| c.interval_ms = 0,
        |c| (c.requests, c.failed) = (0, 0),
        |c| c.failed = 4,
        |c| c.mean_us = 8,
    ];
    for break_it in broken {
        let mut calls = right;
        break_it(&mut calls);
        assert!(read(Some(calls)).is_err(), "{calls:?}");
    }
}
