//! Whatever hosts send, detection neither panics nor breaks the shape of a situation.

// The lint lets tests unwrap, but not the functions that they share.
#![allow(clippy::unwrap_used)]

use std::net::{IpAddr, Ipv4Addr};

use firstlook_detect::{DetectConfig, Detector};
use firstlook_model::signal::names;
use firstlook_model::{
    ActiveState, Change, ChangeKind, ComponentId, Direction, EdgeObservation, EdgeStats, HostId,
    Inventory, Listener, LogBlock, LogEntry, LogSource, LogTemplate, Loss, MetricBlock, Mount,
    Record, Schema, Series, Severity, SignalKind, Situation, TemplateId, Timestamp, Unit,
    UnitState,
};
use proptest::collection::vec;
use proptest::prelude::*;

const HOSTS: [&str; 3] = ["a", "b", "c"];
const SIGNALS: [&str; 15] = [
    names::FILESYSTEM_SIZE,
    names::FILESYSTEM_AVAILABLE,
    names::FILESYSTEM_INODES,
    names::FILESYSTEM_INODES_AVAILABLE,
    names::PRESSURE_CPU_SOME,
    names::CPU_CORES,
    names::TCP_SEGMENTS_OUT,
    names::TCP_RETRANSMITS,
    names::INTERFACE_RX_PACKETS,
    names::SERVICE_CPU,
    names::SERVICE_ACCEPT_QUEUE,
    names::SERVICE_ACCEPT_BACKLOG,
    "probe.front.up",
    "probe.front.failure",
    "probe.front.certificate_days",
];

fn host(index: usize) -> HostId {
    HostId::new(HOSTS[index % HOSTS.len()]).unwrap()
}

fn component() -> impl Strategy<Value = ComponentId> {
    let texts = [
        "host:a",
        "agent:a",
        "service:a/x.service",
        "service:a/firstlook-agent.service",
        "service:b/x.service",
        "filesystem:a/",
        "interface:a/eth0",
        "disk:a/sda",
        "endpoint:192.0.2.1:80",
    ];
    proptest::sample::select(texts.to_vec()).prop_map(|text| text.parse().unwrap())
}

fn time() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        8 => (0i64..300).prop_map(|s| Timestamp::from_secs(1_700_000_000 + s)),
        1 => any::<i64>().prop_map(Timestamp::from_micros),
        1 => Just(Timestamp::from_micros(i64::MIN)),
        1 => Just(Timestamp::from_micros(i64::MAX)),
    ]
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>(),
        Just(f64::NAN),
        Just(0.0),
        0.0..1e9f64,
        Just(f64::INFINITY)
    ]
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (0u8..4).prop_map(|last| IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))),
        Just("127.0.0.1".parse().unwrap()),
        Just("::ffff:10.0.0.1".parse().unwrap()),
        Just("0.0.0.0".parse().unwrap()),
        any::<u128>().prop_map(|bits| IpAddr::V6(bits.into())),
    ]
}

fn schema() -> Schema {
    let of = |signal: &str| match signal.split('.').next() {
        Some("filesystem") => "filesystem:a/",
        Some("interface") => "interface:a/eth0",
        Some("service") => "service:a/x.service",
        _ => "host:a",
    };
    let series = SIGNALS.map(|signal| Series {
        component: of(signal).parse().unwrap(),
        signal: signal.to_owned(),
        unit: Unit::Count,
        kind: if signal.ends_with("_total") {
            SignalKind::Counter
        } else {
            SignalKind::Gauge
        },
    });
    Schema::new(series.to_vec())
}

fn metrics() -> impl Strategy<Value = Record> {
    (vec(time(), 1..4), vec(vec(value(), 3), 13..16)).prop_map(|(times, columns)| {
        Record::Metrics(MetricBlock {
            schema: schema().id(),
            times,
            columns: columns.try_into().expect("columns of three"),
        })
    })
}

fn logs() -> impl Strategy<Value = Record> {
    let text = prop_oneof![
        Just("No space left on device".to_owned()),
        Just("oom-kill: task_memcg=/system.slice/x.service,".to_owned()),
        Just("task_memcg=".to_owned()),
        ".{0,60}",
    ];
    let entry = (
        time(),
        component(),
        0u64..6,
        any::<bool>(),
        any::<bool>(),
        text,
    );
    vec(entry, 0..12).prop_map(|entries| {
        let entries: Vec<LogEntry> = entries
            .into_iter()
            .map(
                |(time, component, template, grave, kernel, text)| LogEntry {
                    time,
                    component,
                    template: TemplateId(template),
                    severity: if grave {
                        Severity::Critical
                    } else {
                        Severity::Info
                    },
                    source: if kernel {
                        LogSource::Kernel
                    } else {
                        LogSource::File
                    },
                    text,
                },
            )
            .collect();
        let templates = entries.iter().take(2).map(|e| LogTemplate {
            id: e.template,
            text: e.text.clone(),
        });
        Record::Logs(LogBlock {
            templates: templates.collect(),
            entries,
        })
    })
}

fn edges() -> impl Strategy<Value = Record> {
    let numbers = (any::<u32>(), any::<u32>(), any::<u64>(), any::<u64>());
    let one = (
        time(),
        component(),
        any::<bool>(),
        address(),
        0u16..4,
        any::<u32>(),
        numbers,
    );
    vec(one, 0..8).prop_map(|seen| {
        let observed = seen
            .into_iter()
            .map(|(time, local, out, remote, port, interval_ms, n)| {
                let stats = EdgeStats {
                    established: n.0,
                    syn_sent: n.1 % 3,
                    backing_off: n.1 % 2,
                    bytes_received: n.2,
                    bytes_sent: n.3,
                    segments_sent: n.2,
                    retransmits: n.3,
                    rtt_us: Some(n.0),
                    send_queue_bytes: n.2,
                    receive_queue_bytes: n.3,
                    stalled_ms: n.2,
                    ..EdgeStats::default()
                };
                let direction = if out {
                    Direction::Outbound
                } else {
                    Direction::Inbound
                };
                EdgeObservation {
                    time,
                    interval_ms,
                    local,
                    direction,
                    remote,
                    port,
                    stats,
                }
            });
        Record::Edges(observed.collect())
    })
}

fn units() -> impl Strategy<Value = Record> {
    let states = [
        ActiveState::Active,
        ActiveState::Failed,
        ActiveState::Inactive,
        ActiveState::Activating,
    ];
    let one = (
        time(),
        component(),
        proptest::sample::select(states.to_vec()),
        any::<u32>(),
        any::<i32>(),
        time(),
    );
    vec(one, 0..4).prop_map(|all| {
        let states =
            all.into_iter().map(
                |(time, component, active, restarts, exit, since)| UnitState {
                    component,
                    time,
                    active,
                    sub: "auto-restart".to_owned(),
                    result: if exit % 2 == 0 { "oom-kill" } else { "signal" }.to_owned(),
                    restarts,
                    main_pid: 0,
                    exit_code: exit % 5,
                    exit_status: exit,
                    since: Some(since),
                    wanted: true,
                    invocation: String::new(),
                },
            );
        Record::Units(states.collect())
    })
}

fn facts() -> impl Strategy<Value = Record> {
    let listener =
        (address(), 0u16..4, component()).prop_map(|(address, port, component)| Listener {
            address,
            port,
            component,
        });
    let mount = (component(), vec(component(), 0..3)).prop_map(|(component, used_by)| Mount {
        component,
        fstype: String::new(),
        device: String::new(),
        used_by,
    });
    let inventory = (
        time(),
        vec(address(), 0..4),
        vec(listener, 0..5),
        vec(mount, 0..3),
    )
        .prop_map(|(time, addresses, listeners, mounts)| {
            Record::Inventory(Inventory {
                time,
                hostname: String::new(),
                kernel: String::new(),
                os: String::new(),
                boot_id: String::new(),
                booted: time,
                cores: 0,
                memory_bytes: 0,
                addresses,
                listeners,
                mounts,
                agent_version: String::new(),
                blind: vec!["units: \u{1b}[31m".to_owned()],
            })
        });
    let kind = proptest::sample::select(vec![ChangeKind::Deploy, ChangeKind::Accepted]);
    let change =
        (time(), component(), ".{0,40}", kind).prop_map(|(time, component, text, kind)| {
            Record::Changes(vec![Change {
                id: text.clone(),
                time,
                component,
                kind,
                text,
                detail: String::new(),
            }])
        });
    let loss = (time(), ".{0,200}", any::<u64>()).prop_map(|(to, source, count)| {
        Record::Losses(vec![Loss {
            source,
            reason: String::new(),
            count,
            bytes: 0,
            from: to,
            to,
        }])
    });
    prop_oneof![inventory, change, loss]
}

fn record() -> impl Strategy<Value = Record> {
    let schema = Just(Record::Schema(schema()));
    prop_oneof![1 => schema, 4 => metrics(), 3 => logs(), 4 => edges(), 3 => units(), 3 => facts()]
}

fn is_sorted<T: Ord>(items: impl Iterator<Item = T>) -> bool {
    let items: Vec<T> = items.collect();
    items.windows(2).all(|pair| pair[0] < pair[1])
}

fn check(situation: &Situation) {
    let now = situation.reference_time;
    assert!(is_sorted(situation.symptoms.iter().map(|s| (
        &s.component,
        &s.kind,
        &s.peer
    ))));
    assert!(is_sorted(
        situation
            .attestations
            .iter()
            .map(|a| (&a.component, &a.family))
    ));
    assert!(is_sorted(situation.components.iter()));
    assert!(is_sorted(
        situation
            .edges
            .iter()
            .map(|e| (&e.caller, &e.callee, e.port))
    ));
    assert!(
        situation
            .changes
            .windows(2)
            .all(|pair| pair[0].time <= pair[1].time)
    );
    for symptom in &situation.symptoms {
        assert!((0.0..=1.0).contains(&symptom.severity), "{symptom:?}");
        assert!(
            symptom.last_seen <= now && symptom.onset.from <= now,
            "{symptom:?}"
        );
        assert!(!symptom.text.chars().any(char::is_control), "{symptom:?}");
    }
    for attestation in &situation.attestations {
        assert!(
            (0.0..=1.0).contains(&attestation.coverage),
            "{attestation:?}"
        );
        assert!(attestation.last_seen <= now);
        let unwell = situation
            .symptoms
            .iter()
            .any(|s| s.component == attestation.component && s.family == attestation.family);
        assert!(!unwell, "{attestation:?}");
    }
    assert!(situation.edges.iter().all(|e| e.caller != e.callee));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_records_leave_a_situation_of_the_right_shape(
        records in vec((0usize..3, time(), record()), 0..60),
        said in proptest::option::of(time()),
        asked in vec(time(), 1..4),
    ) {
        let small = DetectConfig { edge_limit: 6, template_limit: 3, component_limit: 2, change_limit: 2, ..DetectConfig::default() };
        for config in [DetectConfig::default(), small] {
            let mut detector = Detector::new(config.clone());
            detector.observe_record(&host(0), asked[0], &Record::Schema(schema()));
            for (of, received, record) in &records {
                // Announcements come by another way than what an agent saw.
                match record {
                    Record::Changes(changes) if changes.iter().any(|c| c.time < *received) => {
                        detector.observe_changes(&host(*of), changes);
                    }
                    record => detector.observe_record(&host(*of), *received, record),
                }
                detector.observe_contact(&host(*of), *received, said);
            }
            let mut again = Detector::new(config);
            for id in detector.hosts() {
                again.restore(&detector.checkpoint(id).expect("known"), Timestamp::from_micros(i64::MAX)).expect("its own checkpoint");
            }
            for now in &asked {
                let situation = detector.situation(*now);
                check(&situation);
                prop_assert_eq!(again.situation(*now), situation);
            }
        }
    }

    #[test]
    fn a_damaged_checkpoint_is_refused_or_taken_never_worse(
        records in vec(record(), 0..20),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<prop::sample::Index>(),
        cuts in any::<bool>(),
    ) {
        let mut detector = Detector::new(DetectConfig::default());
        let now = Timestamp::from_secs(1_700_000_000);
        detector.observe_record(&host(0), now, &Record::Schema(schema()));
        for record in &records {
            detector.observe_record(&host(0), now, record);
        }
        let mut kept = detector.checkpoint(&host(0)).expect("known");
        for (place, byte) in damage {
            let place = place.index(kept.len());
            kept[place] = byte;
        }
        if cuts {
            kept.truncate(cut.index(kept.len()));
        }
        let mut again = Detector::new(DetectConfig::default());
        if again.restore(&kept, Timestamp::from_micros(i64::MAX)).is_err() {
            prop_assert_eq!(again.hosts().count(), 0);
        }
    }
}
