//! What detection costs: nanoseconds per sample, microseconds per log line and edge, milliseconds per
//! situation. `cargo run --release -p firstlook-detect --example cost`.
#![allow(clippy::print_stdout)]

use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use firstlook_detect::{DetectConfig, Detector};
use firstlook_model::signal::names;
use firstlook_model::{
    ComponentId, ComponentKind, Direction, EdgeObservation, EdgeStats, HostId, Inventory, Listener,
    LogBlock, LogEntry, LogSource, MetricBlock, Schema, Series, Severity, SignalKind, TemplateId,
    Timestamp, Unit,
};

const HOSTS: usize = 50;
const SERVICES: usize = 150;
const BLOCKS: i64 = 30;
const TIMES: i64 = 10;
const EDGES: u16 = 400;
const LINES: i64 = 20_000;

fn host(index: usize) -> HostId {
    HostId::new(format!("h{index}")).expect("a valid name")
}

fn address(index: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, index as u8))
}

fn service(of: usize, index: usize) -> ComponentId {
    let name = format!("unit{index}.service");
    ComponentId::on_host(ComponentKind::Service, host(of), name).expect("a valid name")
}

/// Per service seven signals, the rest of the host's as one would expect.
fn schema(of: usize) -> Schema {
    let service_signals = [
        (names::SERVICE_CPU, Unit::Seconds, SignalKind::Counter),
        (names::SERVICE_MEMORY, Unit::Bytes, SignalKind::Gauge),
        (names::SERVICE_PROCESSES, Unit::Count, SignalKind::Gauge),
        (names::SERVICE_THREADS, Unit::Count, SignalKind::Gauge),
        (names::SERVICE_BLOCKED, Unit::Count, SignalKind::Gauge),
        (names::SERVICE_CONNECTIONS, Unit::Count, SignalKind::Gauge),
        (names::SERVICE_THROTTLED, Unit::Seconds, SignalKind::Counter),
    ];
    let host_signals = [
        (names::PRESSURE_CPU_SOME, Unit::Seconds, SignalKind::Counter),
        (names::PRESSURE_IO_SOME, Unit::Seconds, SignalKind::Counter),
        (names::CPU_IDLE, Unit::Seconds, SignalKind::Counter),
        (names::MEMORY_TOTAL, Unit::Bytes, SignalKind::Gauge),
        (names::MEMORY_AVAILABLE, Unit::Bytes, SignalKind::Gauge),
        (names::TCP_SEGMENTS_OUT, Unit::Count, SignalKind::Counter),
        (names::TCP_RETRANSMITS, Unit::Count, SignalKind::Counter),
    ];
    let series = |component: &ComponentId, (signal, unit, kind): (&str, Unit, SignalKind)| Series {
        component: component.clone(),
        signal: signal.to_owned(),
        unit,
        kind,
    };
    let me = ComponentId::host(host(of));
    let mut all: Vec<Series> = host_signals.map(|s| series(&me, s)).into();
    for index in 0..SERVICES {
        let id = service(of, index);
        all.extend(service_signals.map(|s| series(&id, s)));
    }
    Schema::new(all)
}

fn block(schema: &Schema, first: i64) -> MetricBlock {
    let times = (0..TIMES)
        .map(|i| Timestamp::from_secs(first + i))
        .collect();
    let value = |column: usize, i: i64| ((column as i64 * 7 + i * 13) % 101) as f64;
    let column = |index: usize, kind: SignalKind| {
        let of_time = |i: i64| match kind {
            SignalKind::Gauge => 1_000.0 + value(index, first + i),
            SignalKind::Counter => (first + i) as f64 * 0.01,
        };
        (0..TIMES).map(of_time).collect::<Vec<_>>()
    };
    let columns = schema
        .series()
        .iter()
        .enumerate()
        .map(|(i, s)| column(i, s.kind));
    MetricBlock {
        schema: schema.id(),
        times,
        columns: columns
            .collect::<Vec<_>>()
            .try_into()
            .expect("columns of one length"),
    }
}

fn edges(of: usize, at: i64) -> Vec<EdgeObservation> {
    let one = |port: u16| EdgeObservation {
        time: Timestamp::from_secs(at),
        interval_ms: 2_000,
        local: service(of, usize::from(port) % SERVICES),
        direction: Direction::Outbound,
        remote: address((of + 1 + usize::from(port)) % HOSTS),
        port,
        stats: EdgeStats {
            established: 4,
            bytes_sent: 1_000,
            bytes_received: 2_000,
            segments_sent: 30,
            rtt_us: Some(400),
            ..EdgeStats::default()
        },
    };
    (1..=EDGES).map(one).collect()
}

fn inventory(of: usize) -> Inventory {
    let listener = |port: u16| Listener {
        address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        port,
        component: service(of, usize::from(port) % SERVICES),
    };
    Inventory {
        time: Timestamp::from_secs(1),
        hostname: String::new(),
        kernel: String::new(),
        os: String::new(),
        boot_id: String::new(),
        booted: Timestamp::from_secs(0),
        cores: 8,
        memory_bytes: 1 << 34,
        addresses: vec![address(of)],
        listeners: (1..=EDGES).map(listener).collect(),
        mounts: Vec::new(),
        agent_version: String::new(),
        blind: Vec::new(),
    }
}

fn lines(of: usize) -> LogBlock {
    let entry = |i: i64| LogEntry {
        time: Timestamp::from_millis(300_000 + i),
        component: service(of, (i % 20) as usize),
        template: TemplateId((i % 50) as u64),
        severity: if i % 100 == 0 {
            Severity::Error
        } else {
            Severity::Info
        },
        source: LogSource::Journald,
        text: format!(
            "GET /api/items/{i} 200 in 12 ms from 192.0.2.17 for user 42 with session abcdef0123456789"
        ),
    };
    LogBlock {
        templates: Vec::new(),
        entries: (0..LINES).map(entry).collect(),
    }
}

fn main() {
    let mut detector = Detector::new(DetectConfig::default());
    let schemas: Vec<Schema> = (0..HOSTS).map(schema).collect();
    let mut samples = 0usize;
    let mut spent = std::time::Duration::ZERO;
    for (index, schema) in schemas.iter().enumerate() {
        detector.observe_schema(&host(index), schema);
        detector.observe_inventory(&host(index), &inventory(index));
    }
    for round in 0..BLOCKS {
        for (index, schema) in schemas.iter().enumerate() {
            let (id, block) = (host(index), block(schema, 10 + round * TIMES));
            let begun = Instant::now();
            detector.observe_block(&id, &block);
            spent += begun.elapsed();
            samples += block.observed();
        }
    }
    let per_sample = spent.as_nanos() as f64 / samples as f64;
    println!("observe_block: {per_sample:.1} ns per sample ({samples} samples)");

    let mut seen = 0usize;
    let mut spent = std::time::Duration::ZERO;
    for round in 0..20 {
        for index in 0..HOSTS {
            let (id, edges) = (host(index), edges(index, 260 + round * 2));
            let begun = Instant::now();
            detector.observe_edges(&id, &edges);
            spent += begun.elapsed();
            seen += edges.len();
        }
    }
    println!(
        "observe_edges: {:.0} ns per observation",
        spent.as_nanos() as f64 / seen as f64
    );

    let (id, block) = (host(0), lines(0));
    let begun = Instant::now();
    detector.observe_logs(&id, &block);
    let per_line = begun.elapsed().as_nanos() as f64 / LINES as f64;
    println!("observe_logs: {per_line:.0} ns per line");

    let begun = Instant::now();
    let situation = detector.situation(Timestamp::from_secs(310));
    println!(
        "situation: {:.1} ms for {HOSTS} hosts, {} components, {} edges, {} attestations, {} symptoms",
        begun.elapsed().as_secs_f64() * 1_000.0,
        situation.components.len(),
        situation.edges.len(),
        situation.attestations.len(),
        situation.symptoms.len(),
    );
}
