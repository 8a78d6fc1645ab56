//! A small world to have faults in: edge1 (HAProxy) → app1, app2 → db1 (PostgreSQL), a load client, and
//! a collector that every host's agent reports to. Everything is measured and normal until told otherwise.

use std::net::IpAddr;

use firstlook_diagnose::{Catalogue, diagnose};
use firstlook_model::symptom::families;
use firstlook_model::{
    Attestation, BlindSpot, Change, ChangeKind, ComponentId, ComponentKind, Edge, EdgeStats, Mount,
    Reference, Situation, Suspect, Symptom, TimeRange, Timestamp, Verdict,
};

/// The reference time of every situation, in seconds.
pub const NOW: i64 = 1_700_000_600;

pub const HAPROXY: &str = "service:edge1/haproxy.service";
pub const APP1: &str = "service:app1/shop.service";
pub const APP2: &str = "service:app2/shop.service";
pub const DB: &str = "service:db1/postgresql@15-main.service";
pub const DB_DISK: &str = "filesystem:db1/var/lib/postgresql";
pub const LOAD: &str = "service:load1/load.service";
pub const COLLECTOR: &str = "service:coll1/firstlook-collector.service";

pub fn id(text: &str) -> ComponentId {
    text.parse().expect("a component id")
}

pub fn at(seconds_ago: f64) -> Timestamp {
    Timestamp::from_micros(NOW * 1_000_000 - (seconds_ago * 1e6) as i64)
}

pub struct World(pub Situation);

impl World {
    /// The lab, all well.
    pub fn lab() -> Self {
        let mut world = Self::empty();
        for host in ["edge1", "app1", "app2", "db1", "load1", "coll1"] {
            world.host(host);
        }
        for service in [HAPROXY, APP1, APP2, DB, LOAD, COLLECTOR] {
            world.service(service);
        }
        world.mount(DB_DISK, &[DB]);
        world.edge(LOAD, HAPROXY, 80);
        for app in [APP1, APP2] {
            world.edge(HAPROXY, app, 8080);
            world.edge(app, DB, 5432);
        }
        for host in ["edge1", "app1", "app2", "db1", "load1"] {
            let agent = format!("service:{host}/firstlook-agent.service");
            world.service(&agent);
            world.edge(&agent, COLLECTOR, 9443);
        }
        world
    }

    pub fn empty() -> Self {
        Self(Situation {
            reference_time: Timestamp::from_secs(NOW),
            symptoms: Vec::new(),
            attestations: Vec::new(),
            components: Vec::new(),
            edges: Vec::new(),
            mounts: Vec::new(),
            changes: Vec::new(),
            blind_spots: Vec::new(),
        })
    }

    pub fn host(&mut self, host: &str) {
        let name = format!("host:{host}");
        let interface = format!("interface:{host}/host0");
        self.0.components.extend([id(&name), id(&interface)]);
        for family in [
            families::CPU,
            families::MEMORY,
            families::DISK,
            families::NETWORK,
            families::HEARTBEAT,
            families::LIMITS,
            families::CLOCK,
        ] {
            self.attest(&name, family);
        }
        self.mount(&format!("filesystem:{host}/"), &[]);
    }

    pub fn service(&mut self, service: &str) {
        self.0.components.push(id(service));
        for family in [
            families::UNIT,
            families::SOCKETS,
            families::LOG,
            families::EDGE,
            families::MEMORY,
            families::LIMITS,
        ] {
            self.attest(service, family);
        }
    }

    pub fn mount(&mut self, filesystem: &str, users: &[&str]) {
        self.0.components.push(id(filesystem));
        self.attest(filesystem, families::FILESYSTEM);
        self.0.mounts.push(Mount {
            component: id(filesystem),
            fstype: "ext4".into(),
            device: "/dev/loop0".into(),
            used_by: users.iter().map(|user| id(user)).collect(),
        });
    }

    pub fn disk(&mut self, disk: &str) -> &mut Self {
        self.0.components.push(id(disk));
        self.attest(disk, families::DISK);
        self
    }

    pub fn edge(&mut self, caller: &str, callee: &str, port: u16) {
        let stats = EdgeStats {
            established: 4,
            bytes_sent: 20_000,
            bytes_received: 40_000,
            segments_sent: 120,
            rtt_us: Some(300),
            ..EdgeStats::default()
        };
        self.0.edges.push(Edge {
            caller: id(caller),
            callee: id(callee),
            port,
            from_caller: Some(stats.clone()),
            from_callee: Some(stats),
            first_seen: at(3_000.0),
            last_seen: at(1.0),
        });
    }

    pub fn attest(&mut self, component: &str, family: &str) {
        self.0.attestations.push(Attestation {
            component: id(component),
            family: family.into(),
            coverage: 0.98,
            last_seen: at(1.0),
            text: format!("{family} measured for 60 s and as usual"),
            reference: reference(&id(component)),
        });
    }

    /// A symptom that began some seconds ago; its family is no longer attested there.
    pub fn sick(&mut self, component: &str, kind: &str, began_s: f64) -> &mut Self {
        self.symptom(component, kind, None, began_s)
    }

    /// A symptom of an edge, as its first end sees it.
    pub fn sick_edge(&mut self, from: &str, to: &str, kind: &str, began_s: f64) -> &mut Self {
        for edge in &mut self.0.edges {
            let ends = [&edge.caller, &edge.callee];
            if ends.contains(&&id(from)) && ends.contains(&&id(to)) {
                for stats in [&mut edge.from_caller, &mut edge.from_callee]
                    .into_iter()
                    .flatten()
                {
                    stats.retransmits = 30;
                    stats.bytes_received = 0;
                }
            }
        }
        self.symptom(from, kind, Some(id(to)), began_s)
    }

    fn symptom(
        &mut self,
        component: &str,
        kind: &str,
        peer: Option<ComponentId>,
        began_s: f64,
    ) -> &mut Self {
        let component = id(component);
        let family = family(kind);
        self.0
            .attestations
            .retain(|a| a.component != component || a.family != family);
        self.0.symptoms.push(Symptom {
            text: format!("{} seen", kind),
            usual: 0.0,
            reference: reference(&component),
            component,
            kind: kind.into(),
            peer,
            family: family.into(),
            onset: TimeRange::new(at(began_s), at(began_s - 1.0)),
            last_seen: at(0.5),
            severity: 0.9,
            gate: !kind.starts_with("network.") && !kind.starts_with("log.err"),
        });
        self
    }

    /// Words for the last symptom.
    pub fn says(&mut self, text: &str) -> &mut Self {
        self.0.symptoms.last_mut().expect("a symptom").text = text.into();
        self
    }

    /// How often the last symptom is seen there while nobody is hurt.
    pub fn usually(&mut self, share: f64) -> &mut Self {
        self.0.symptoms.last_mut().expect("a symptom").usual = share;
        self
    }

    /// The host's agent stopped reporting some seconds ago: nothing of it is seen since.
    pub fn silent(&mut self, host: &str, since_s: f64) -> &mut Self {
        let name = format!("host:{host}");
        self.sick(&name, "heartbeat.silent", since_s);
        for attestation in &mut self.0.attestations {
            if attestation
                .component
                .host_id()
                .is_some_and(|h| h.as_str() == host)
            {
                attestation.last_seen = at(since_s);
            }
        }
        for edge in &mut self.0.edges {
            let here = |c: &ComponentId| c.host_id().is_some_and(|h| h.as_str() == host);
            if here(&edge.caller) {
                edge.from_caller = None;
                edge.last_seen = at(since_s);
            }
        }
        self
    }

    pub fn changed(&mut self, component: &str, kind: ChangeKind, ago_s: f64) -> &mut Self {
        self.0.changes.push(Change {
            id: format!("{kind:?}-{component}-{ago_s}"),
            time: at(ago_s),
            component: id(component),
            kind,
            text: format!("{kind:?} of {component}"),
            detail: String::new(),
        });
        self
    }

    /// A file of a component, changed as a unified diff says.
    pub fn edited(&mut self, component: &str, diff: &str, ago_s: f64) -> &mut Self {
        self.changed(component, ChangeKind::ConfigFile, ago_s);
        self.0.changes.last_mut().expect("a change").detail = diff.into();
        self
    }

    pub fn blind(&mut self, component: &str, text: &str) -> &mut Self {
        self.0.blind_spots.push(BlindSpot {
            component: id(component),
            text: text.into(),
        });
        self
    }

    pub fn verdict(&self) -> Verdict {
        diagnose(&Catalogue::builtin(), &self.0, None)
    }
}

/// The first suspicion of a component.
pub fn of<'v>(verdict: &'v Verdict, component: &str) -> Option<&'v Suspect> {
    let mut suspects = verdict.suspects.iter();
    suspects.find(|s| s.component == id(component))
}

pub fn is_cleared(verdict: &Verdict, component: &str) -> bool {
    let mut cleared = verdict.ruled_out.iter();
    cleared.any(|c| c.component == id(component))
}

pub fn family(kind: &str) -> &'static str {
    if kind == "cpu.throttled" {
        return families::LIMITS;
    }
    match kind.split('.').next().expect("split gives one") {
        "filesystem" => families::FILESYSTEM,
        "cpu" => families::CPU,
        "memory" => families::MEMORY,
        "disk" => families::DISK,
        "unit" | "process" | "jobs" => families::UNIT,
        "sockets" | "load" => families::SOCKETS,
        "network" => families::NETWORK,
        "edge" => families::EDGE,
        "log" => families::LOG,
        "heartbeat" => families::HEARTBEAT,
        "probe" => families::PROBE,
        "limits" => families::LIMITS,
        "clock" => families::CLOCK,
        other => panic!("no family for {other}"),
    }
}

fn reference(component: &ComponentId) -> Reference {
    let range = TimeRange::new(at(120.0), at(0.0));
    match component.kind() {
        ComponentKind::Service => Reference::Log {
            component: component.clone(),
            template: None,
            range,
        },
        _ => Reference::Metric {
            component: component.clone(),
            signal: "signal".into(),
            range,
        },
    }
}

/// An address outside that no agent sees into.
pub fn outside() -> String {
    let address: IpAddr = [192, 0, 2, 7].into();
    format!("endpoint:{address}:443")
}
