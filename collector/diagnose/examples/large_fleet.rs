//! How long one verdict takes on a large fleet: 1,000 components, 5,000 edges, 60 symptoms.
//!
//! `cargo run --release -p firstlook-diagnose --example large_fleet`

use std::io::Write;
use std::time::Instant;

use firstlook_diagnose::{Catalogue, diagnose, symptom_gate};
use firstlook_model::symptom::families;
use firstlook_model::{
    Attestation, ComponentId, Edge, EdgeStats, Reference, Situation, Symptom, TimeRange, Timestamp,
};

const HOSTS: usize = 125;
const SERVICES: usize = 5;
const EDGES: usize = 5_000;
const ROUNDS: u32 = 20;

fn id(text: String) -> ComponentId {
    text.parse().expect("a component id")
}

fn service(number: usize) -> ComponentId {
    id(format!(
        "service:h{}/s{}.service",
        number / SERVICES,
        number % SERVICES
    ))
}

fn range() -> TimeRange {
    TimeRange::new(Timestamp::from_secs(960), Timestamp::from_secs(961))
}

fn reference(component: &ComponentId) -> Reference {
    Reference::Unit {
        component: component.clone(),
        range: range(),
    }
}

fn symptom(component: ComponentId, kind: &str, family: &str, peer: Option<ComponentId>) -> Symptom {
    Symptom {
        reference: reference(&component),
        component,
        kind: kind.into(),
        peer,
        family: family.into(),
        onset: range(),
        last_seen: Timestamp::from_secs(1_000),
        severity: 0.9,
        gate: true,
        text: kind.into(),
        usual: 0.0,
    }
}

/// Layers of services, each calling eight of the layer below; the first of the lowest is down.
fn fleet() -> Situation {
    let services = HOSTS * SERVICES;
    let mut components: Vec<ComponentId> = (0..services).map(service).collect();
    for host in 0..HOSTS {
        components.push(id(format!("host:h{host}")));
        components.push(id(format!("interface:h{host}/eth0")));
        components.push(id(format!("filesystem:h{host}/")));
    }
    let edges: Vec<Edge> = (0..EDGES)
        .map(|number| {
            let caller = 100 + number % (services - 100);
            let callee = (number * 7 + number / 8) % (caller - caller % 100).max(1);
            (service(caller), service(callee), number)
        })
        .map(|(caller, callee, number)| Edge {
            caller,
            callee,
            port: 1_000 + u16::try_from(number % 60_000).unwrap_or(0),
            from_caller: Some(EdgeStats {
                bytes_sent: 1_000,
                bytes_received: 9_000,
                segments_sent: 50,
                ..EdgeStats::default()
            }),
            from_callee: None,
            first_seen: Timestamp::from_secs(0),
            last_seen: Timestamp::from_secs(999),
        })
        .collect();
    let down = service(0);
    let mut symptoms = vec![
        symptom(down.clone(), "unit.failed", families::UNIT, None),
        symptom(
            down.clone(),
            "sockets.listener-gone",
            families::SOCKETS,
            None,
        ),
    ];
    let callers = edges
        .iter()
        .filter(|e| e.callee == down)
        .map(|e| e.caller.clone());
    for caller in callers.collect::<std::collections::BTreeSet<_>>() {
        symptoms.push(symptom(
            caller.clone(),
            "edge.lost",
            families::EDGE,
            Some(down.clone()),
        ));
        symptoms.push(symptom(caller, "log.errors", families::LOG, None));
    }
    symptoms.truncate(60);
    let attestations = components.iter().flat_map(|component| {
        [
            families::UNIT,
            families::SOCKETS,
            families::CPU,
            families::NETWORK,
        ]
        .map(|family| Attestation {
            component: component.clone(),
            family: family.into(),
            coverage: 1.0,
            last_seen: Timestamp::from_secs(999),
            text: "as usual".into(),
            reference: reference(component),
        })
    });
    Situation {
        reference_time: Timestamp::from_secs(1_000),
        attestations: attestations
            .filter(|a| {
                symptoms
                    .iter()
                    .all(|s| s.component != a.component || s.family != a.family)
            })
            .collect(),
        symptoms,
        components,
        edges,
        mounts: Vec::new(),
        changes: Vec::new(),
        blind_spots: Vec::new(),
    }
}

fn main() -> std::io::Result<()> {
    let situation = fleet();
    let catalogue = Catalogue::builtin();
    let begun = Instant::now();
    let groups = (0..ROUNDS).map(|_| symptom_gate(&situation).len()).max();
    let gated = begun.elapsed() / ROUNDS;
    let begun = Instant::now();
    let mut verdict = None;
    for _ in 0..ROUNDS {
        verdict = Some(diagnose(&catalogue, &situation, None));
    }
    let judged = begun.elapsed() / ROUNDS;
    let first = verdict.as_ref().and_then(|v| v.suspects.first());
    writeln!(
        std::io::stdout(),
        "{} components, {} edges, {} symptoms: gate {gated:?} ({groups:?} groups), verdict {judged:?} ({:?})",
        situation.components.len(),
        situation.edges.len(),
        situation.symptoms.len(),
        first.map(|s| (s.component.to_string(), s.fault.as_str(), s.probability)),
    )
}
