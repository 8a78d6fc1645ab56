//! A small world of hosts that report as real agents do: metrics each second, edges every two, units and
//! inventory when they change and each minute. Steady traffic with noise; tests turn the knobs.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use firstlook_detect::{DetectConfig, Detector};
use firstlook_model::{
    ActiveState, Attestation, Change, ChangeKind, ComponentId, ComponentKind, HostId, LogBlock,
    LogEntry, LogSource, LogTemplate, Record, Severity, Situation, Symptom, TemplateId, Timestamp,
};

/// A seeded linear congruential generator.
#[derive(Clone, Debug)]
pub struct Lcg(pub u64);

impl Lcg {
    /// Uniform in 0..1.
    pub fn next(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as f64 / (1u64 << 31) as f64
    }

    /// `value` give or take `share` of it.
    pub fn around(&mut self, value: f64, share: f64) -> f64 {
        value * (1.0 + share * (2.0 * self.next() - 1.0))
    }
}

#[derive(Clone, Debug)]
pub struct SimService {
    pub name: &'static str,
    pub cores: f64,
    pub memory: f64,
    pub processes: f64,
    pub stopped: f64,
    /// Processes in a sleep that no signal ends.
    pub blocked: f64,
    pub queue: f64,
    pub port: Option<u16>,
    pub listens: bool,
    pub oom_kills: f64,
    /// Open files of its process nearest to its limit of 1,024, and tasks of its cgroup of at most 100.
    pub open_files: f64,
    pub tasks: f64,
    /// Tasks refused each second.
    pub refused: f64,
    /// Share of the ten periods each second in which its CPU quota stops it.
    pub throttled: f64,
    pub quota: bool,
    pub active: ActiveState,
    pub sub: &'static str,
    pub result: &'static str,
    pub exit: (i32, i32),
    pub restarts: u32,
    pub wanted: bool,
    pub reported: bool,
}

#[derive(Clone, Debug)]
pub struct SimHost {
    pub id: HostId,
    pub address: IpAddr,
    /// Whether what it reports reaches the collector.
    pub heard: bool,
    /// Its clock against the collector's.
    pub ahead_ms: i64,
    pub pressure: f64,
    /// Share of the time in which tasks wait and none runs.
    pub withheld: f64,
    pub running: f64,
    pub busy: f64,
    pub io_pressure: f64,
    /// Whether all its services use its filesystem, and not the first alone.
    pub shared: bool,
    pub memory_available: f64,
    pub memory_pressure: f64,
    pub loss: f64,
    pub fails: f64,
    pub rx_packets: f64,
    pub queued: f64,
    pub interface_up: f64,
    pub drops: f64,
    pub host_oom: f64,
    /// Of 28,000 ports, of 65,536 tracked connections; connections dropped each second for want of an entry, and
    /// connections lost each second to full accept queues.
    pub ports: f64,
    pub tracked: f64,
    pub untracked: f64,
    pub overflows: f64,
    /// Share of its CPU time that the hypervisor keeps, and times it was slowed by heat within ten seconds.
    pub stolen: f64,
    pub too_hot: f64,
    /// Of its disk: seconds that a write takes, bytes written each second, and members of its array of two that work.
    pub wait_s: f64,
    pub written: f64,
    pub members: f64,
    /// Its clock against its source, in seconds.
    pub offset: f64,
    pub available: f64,
    pub inodes: f64,
    pub readonly: f64,
    pub hung: f64,
    /// What the probe of its first service finds: the status of a page, every five seconds.
    pub page: f64,
    pub services: Vec<SimService>,
    pub changed_inventory: bool,
    pub blind: Vec<String>,
    pub(crate) counters: BTreeMap<(ComponentId, &'static str), f64>,
}

#[derive(Clone, Debug)]
pub struct SimEdge {
    pub caller: (usize, &'static str),
    /// Host and service, or an address where no agent is.
    pub callee: Result<(usize, &'static str), IpAddr>,
    pub port: u16,
    pub connections: u32,
    pub segments: f64,
    pub bytes: f64,
    pub rtt_ms: f64,
    pub loss: f64,
    pub syn_sent: u32,
    pub backing_off: u32,
    pub full_backing_off: u32,
    /// Connections that begin within one interval.
    pub opened: u32,
    pub stalled_ms: u64,
    pub unread: u64,
    pub close_wait: u32,
    /// Whether anything of it is there to be seen.
    pub there: bool,
}

pub struct World {
    pub secs: i64,
    pub rng: Lcg,
    pub hosts: Vec<SimHost>,
    pub edges: Vec<SimEdge>,
    pub detector: Detector,
    config: DetectConfig,
    pub journal: Vec<(HostId, Timestamp, Record)>,
    /// What somebody announced, which the analysis hears again after each restart.
    pub(crate) announced: Vec<Change>,
    pub(crate) lines: Vec<(usize, LogEntry, String)>,
}

pub const EDGE: usize = 0;
pub const APP: usize = 1;
pub const DB: usize = 2;
pub const START: i64 = 1_700_000_000;

pub fn service(host: &str, name: &str) -> ComponentId {
    ComponentId::on_host(ComponentKind::Service, HostId::new(host).unwrap(), name).unwrap()
}

pub fn id(text: &str) -> ComponentId {
    text.parse().unwrap()
}

fn sim_service(name: &'static str, cores: f64, port: Option<u16>) -> SimService {
    SimService {
        name,
        cores,
        memory: 100e6,
        processes: 4.0,
        stopped: 0.0,
        blocked: 0.0,
        queue: 0.0,
        port,
        listens: true,
        oom_kills: 0.0,
        open_files: 60.0,
        tasks: 9.0,
        refused: 0.0,
        throttled: 0.05,
        quota: true,
        active: ActiveState::Active,
        sub: "running",
        result: "success",
        exit: (0, 0),
        restarts: 0,
        wanted: true,
        reported: false,
    }
}

fn sim_host(name: &str, last: u8, services: Vec<SimService>) -> SimHost {
    SimHost {
        id: HostId::new(name).unwrap(),
        address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)),
        heard: true,
        ahead_ms: 0,
        pressure: 0.05,
        withheld: 0.0,
        running: 1.0,
        busy: 0.4,
        io_pressure: 0.05,
        shared: false,
        memory_available: 4e9,
        memory_pressure: 0.0,
        loss: 0.001,
        fails: 0.0,
        rx_packets: 400.0,
        queued: 0.0,
        interface_up: 1.0,
        drops: 0.1,
        host_oom: 0.0,
        ports: 300.0,
        tracked: 900.0,
        untracked: 0.0,
        overflows: 0.0,
        stolen: 0.002,
        too_hot: 0.0,
        wait_s: 0.002,
        written: 2e6,
        members: 2.0,
        offset: 0.000_4,
        available: 120e6,
        inodes: 50_000.0,
        readonly: 0.0,
        hung: 0.0,
        page: 200.0,
        services,
        changed_inventory: true,
        blind: Vec::new(),
        counters: BTreeMap::new(),
    }
}

fn sim_edge(caller: (usize, &'static str), callee: (usize, &'static str), port: u16) -> SimEdge {
    SimEdge {
        caller,
        callee: Ok(callee),
        port,
        connections: 8,
        segments: 200.0,
        bytes: 40_000.0,
        rtt_ms: 0.4,
        loss: 0.0,
        syn_sent: 0,
        backing_off: 0,
        full_backing_off: 0,
        opened: 0,
        stalled_ms: 0,
        unread: 0,
        close_wait: 0,
        there: true,
    }
}

impl World {
    /// edge1 (haproxy) → app1 (app) → db1 (postgresql), with an agent on each, and a bystander dns1.
    pub fn new() -> Self {
        Self::with(DetectConfig::default())
    }

    pub fn with(config: DetectConfig) -> Self {
        let services = |own: SimService| vec![own, sim_service("cron.service", 0.0, None)];
        Self {
            secs: 0,
            rng: Lcg(7),
            hosts: vec![
                sim_host(
                    "edge1",
                    1,
                    services(sim_service("haproxy.service", 0.1, Some(443))),
                ),
                sim_host(
                    "app1",
                    2,
                    services(sim_service("app.service", 0.2, Some(8000))),
                ),
                sim_host(
                    "db1",
                    3,
                    services(sim_service("postgresql.service", 0.15, Some(5432))),
                ),
                sim_host(
                    "dns1",
                    4,
                    services(sim_service("dnsmasq.service", 0.01, Some(53))),
                ),
            ],
            edges: vec![
                sim_edge((EDGE, "haproxy.service"), (APP, "app.service"), 8000),
                sim_edge((APP, "app.service"), (DB, "postgresql.service"), 5432),
                sim_edge((EDGE, "haproxy.service"), (3, "dnsmasq.service"), 53),
            ],
            detector: Detector::new(config.clone()),
            config,
            journal: Vec::new(),
            announced: Vec::new(),
            lines: Vec::new(),
        }
    }

    /// The collector restarts: what it says is what it said before.
    pub(crate) fn restart(&mut self) {
        let mut again = Detector::new(self.config.clone());
        for host in self.detector.hosts() {
            let kept = self.detector.checkpoint(host).expect("a known host");
            let (of, _) = again
                .restore(&kept, Timestamp::from_micros(i64::MAX))
                .expect("its own checkpoint");
            assert_eq!(&of, host);
        }
        for change in &self.announced {
            crate::accept::hear(&mut again, change);
        }
        let now = self.now();
        assert_eq!(again.situation(now), self.detector.situation(now));
        self.detector = again;
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis((START + self.secs) * 1_000 + 200)
    }

    /// Lets time pass, and asks for the situation each second, as the collector does.
    pub fn run(&mut self, secs: i64) {
        for _ in 0..secs {
            self.tick();
            let _ = self.detector.situation(self.now());
        }
    }

    /// Lets time pass until the symptom shows; panics after `limit` seconds. Returns the seconds it took.
    pub fn until(&mut self, component: &str, kind: &str, limit: i64) -> i64 {
        for passed in 1..=limit {
            self.tick();
            if self.symptom(component, kind).is_some() {
                return passed;
            }
        }
        panic!(
            "no {kind} on {component} within {limit} s, but {:#?}",
            self.shown()
        );
    }

    /// Like [`World::until`], for a symptom that gates.
    pub fn until_gate(&mut self, component: &str, kind: &str, limit: i64) -> i64 {
        for passed in 0..=limit {
            if self.symptom(component, kind).is_some_and(|s| s.gate) {
                return passed;
            }
            self.tick();
        }
        panic!(
            "no gate {kind} on {component} within {limit} s, but {:#?}",
            self.shown()
        );
    }

    pub fn situation(&self) -> Situation {
        self.detector.situation(self.now())
    }

    pub fn symptom(&self, component: &str, kind: &str) -> Option<Symptom> {
        let wanted = id(component);
        let all = self.situation().symptoms;
        all.into_iter()
            .find(|s| s.component == wanted && s.kind == kind)
    }

    pub fn attestation(&self, component: &str, family: &str) -> Option<Attestation> {
        let wanted = id(component);
        let all = self.situation().attestations;
        all.into_iter()
            .find(|a| a.component == wanted && a.family == family)
    }

    /// Every symptom in one line each.
    pub fn shown(&self) -> Vec<String> {
        let line = |s: &Symptom| {
            let gate = if s.gate { " GATE" } else { "" };
            format!("{} {}{gate}: {}", s.component, s.kind, s.text)
        };
        self.situation().symptoms.iter().map(line).collect()
    }

    /// Components that show anything.
    pub fn blamed(&self) -> Vec<String> {
        let mut all: Vec<String> = self
            .situation()
            .symptoms
            .iter()
            .map(|s| s.component.to_string())
            .collect();
        all.dedup();
        all
    }

    pub fn service(&mut self, host: usize, name: &str) -> &mut SimService {
        self.hosts[host]
            .services
            .iter_mut()
            .find(|s| s.name == name)
            .unwrap()
    }

    /// Puts a unit into a state; it is reported at the next tick.
    pub fn unit(
        &mut self,
        host: usize,
        name: &str,
        active: ActiveState,
        sub: &'static str,
    ) -> &mut SimService {
        let service = self.service(host, name);
        (service.active, service.sub, service.reported) = (active, sub, false);
        service
    }

    /// A service writes a line, whose template is the text before the first `|`; without a name the kernel does.
    pub fn log(&mut self, host: usize, name: &str, severity: Severity, text: &str) {
        let (component, source) = match name {
            "" => (self.machine(host), LogSource::Kernel),
            name => (
                service(self.hosts[host].id.as_str(), name),
                LogSource::Journald,
            ),
        };
        self.line(host, component, source, severity, text);
    }

    /// The service manager writes a line of the host's own.
    pub fn manager_says(&mut self, host: usize, text: &str) {
        let machine = self.machine(host);
        self.line(host, machine, LogSource::Journald, Severity::Info, text);
    }

    fn machine(&self, host: usize) -> ComponentId {
        ComponentId::host(self.hosts[host].id.clone())
    }

    fn line(
        &mut self,
        host: usize,
        component: ComponentId,
        source: LogSource,
        severity: Severity,
        text: &str,
    ) {
        let shape = text.split('|').next().unwrap().to_owned();
        let hash = shape
            .bytes()
            .fold(17u64, |h, b| h.wrapping_mul(31).wrapping_add(u64::from(b)));
        let entry = LogEntry {
            time: self.own_time(host),
            component,
            template: TemplateId(hash),
            severity,
            source,
            text: text.to_owned(),
        };
        self.lines.push((host, entry, shape));
    }

    pub fn change(&mut self, host: usize, name: &str, kind: ChangeKind, text: &str) {
        let time = self.own_time(host);
        let change = Change {
            id: format!("{text}@{}", time.as_micros()),
            time,
            component: service(self.hosts[host].id.as_str(), name),
            kind,
            text: text.to_owned(),
            detail: String::new(),
        };
        self.send(host, Record::Changes(vec![change]));
    }

    pub(crate) fn own_time(&self, host: usize) -> Timestamp {
        Timestamp::from_millis((START + self.secs) * 1_000 + self.hosts[host].ahead_ms)
    }

    /// A record reaches the collector, if its host does.
    pub(crate) fn send(&mut self, host: usize, record: Record) {
        if self.hosts[host].heard {
            let (id, now) = (self.hosts[host].id.clone(), self.now());
            self.detector.observe_record(&id, now, &record);
            self.journal.push((id, now, record));
        }
    }

    pub(crate) fn take_lines(&mut self, host: usize) -> Option<LogBlock> {
        let mut block = LogBlock::default();
        for (_, entry, shape) in self.lines.extract_if(.., |(of, ..)| *of == host) {
            let id = entry.template;
            block.templates.push(LogTemplate { id, text: shape });
            block.entries.push(entry);
        }
        (!block.entries.is_empty()).then_some(block)
    }
}
