//! Services: what their processes and sockets show.

use std::time::Duration;

use firstlook_model::symptom::{families, kinds};
use firstlook_model::{ComponentId, Timestamp, signal::names};
use serde::{Deserialize, Serialize};

use crate::anew::Anew;
use crate::baseline::Baseline;
use crate::context::Context;
use crate::demand::Demand;
use crate::draft::{Finding, Health, Source};
use crate::growth::{Growth, Left};
use crate::lifetime::Lifetime;
use crate::limits::ServiceLimits;
use crate::plan::Row;
use crate::watch::{Reading, Rule, Run, Span, Watch};
use crate::window::{Meter, Window};
use crate::words;

pub(crate) const SIGNALS: [&str; 9] = [
    names::SERVICE_CPU,
    names::SERVICE_MEMORY,
    names::SERVICE_PROCESSES,
    names::SERVICE_STOPPED,
    names::SERVICE_OOM_KILLS,
    names::SERVICE_ACCEPT_QUEUE,
    names::SERVICE_ACCEPT_BACKLOG,
    names::SERVICE_BLOCKED,
    names::SERVICE_MEMORY_LIMIT,
];
const CPU: usize = 0;
const MEMORY: usize = 1;
const PROCESSES: usize = 2;
const STOPPED: usize = 3;
const OOM_KILLS: usize = 4;
const QUEUE: usize = 5;
const BACKLOG: usize = 6;
const BLOCKED: usize = 7;
const MEMORY_LIMIT: usize = 8;

const ACCEPT: Rule = Rule::new(2, 2, 15);
const ACCEPT_GATES_AFTER: Duration = Duration::from_secs(4);
const STOP: Rule = Rule::new(2, 1, 15);
/// Dumps of sockets come every few seconds.
const READ: Rule = Rule::new(2, 4, 20);
const READ_GATES_AFTER: Duration = Duration::from_secs(6);
/// At most this much CPU, in cores, is idle, whatever is usual; and this share of the usual.
const IDLE_CORES: f64 = 0.005;
const IDLE_SHARE: f64 = 0.2;
/// More of its usual CPU time than this, and it works.
const WORK_SHARE: f64 = 0.5;
/// So long in a sleep that no signal ends, and what it waits for may be hung.
const STUCK_AFTER: Duration = Duration::from_secs(5);
/// A sample older than this says no more that somebody waits: samples may be five seconds apart.
const STUCK_FRESH: Duration = Duration::from_secs(12);
const CPU_FLOOR: f64 = 0.02;
const MEMORY_FLOOR: f64 = 16.0 * 1024.0 * 1024.0;
/// Scales within which a level is usual.
const USUAL: f64 = 8.0;

/// What callers sent and the service has not taken, at one time.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Backlog {
    pub unread_bytes: f64,
    pub close_wait: f64,
    /// What callers sent since the dump before.
    pub sent_bytes: f64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Service {
    cpu: Meter,
    oom_kills: Meter,
    used: Window,
    usual_cpu: Baseline,
    usual_memory: Baseline,
    memory: f64,
    memory_limit: Option<f64>,
    processes: Option<f64>,
    growth: Growth,
    queue: Option<(f64, f64)>,
    accept: Watch,
    stop: Watch,
    read: Watch,
    usual_unread: Baseline,
    usual_close_wait: Baseline,
    waiting: Backlog,
    demand: Demand,
    pub limits: ServiceLimits,
    /// When some process of it has been in a sleep that no signal ends, sample by sample.
    blocked: Option<Span>,
    /// When last none was.
    unblocked: Option<Timestamp>,
    life: Lifetime,
    #[serde(default)]
    anew: Anew,
}

impl Default for Service {
    fn default() -> Self {
        Self {
            cpu: Meter::default(),
            oom_kills: Meter::default(),
            used: Window::seconds(10),
            usual_cpu: Baseline::NEW,
            usual_memory: Baseline::NEW,
            memory: 0.0,
            memory_limit: None,
            processes: None,
            growth: Growth::default(),
            queue: None,
            accept: Watch::default(),
            stop: Watch::default(),
            read: Watch::default(),
            usual_unread: Baseline::NEW,
            usual_close_wait: Baseline::NEW,
            waiting: Backlog::default(),
            demand: Demand::default(),
            limits: ServiceLimits::default(),
            blocked: None,
            unblocked: None,
            life: Lifetime::default(),
            anew: Anew::default(),
        }
    }
}

impl Service {
    /// Takes one sample. Whether the kernel killed one of its processes for want of memory since the last.
    pub fn take(&mut self, at: Timestamp, row: &Row<'_>, warm: bool) -> bool {
        // Of what is gone the schema tells for a while yet that nothing is seen.
        if (0..SIGNALS.len()).any(|signal| row.get(signal).is_some()) {
            self.life.seen(at);
        }
        if let Some((used, secs)) = self.cpu.step(at, row.get(CPU)) {
            self.used.push(at, used, secs);
            // What it uses while it may be held is not what is usual.
            if self
                .blocked
                .is_none_or(|span| at.since(span.first) < STUCK_AFTER)
            {
                self.usual_cpu.feed(used / secs, CPU_FLOOR);
            }
        }
        if let Some(memory) = row.get(MEMORY) {
            self.memory = memory;
            self.usual_memory.feed(memory, MEMORY_FLOOR);
            self.growth.take(at, memory);
            self.memory_limit = row.get(MEMORY_LIMIT);
        }
        self.processes = row.get(PROCESSES);
        if let (Some(stopped), Some(processes)) = (row.get(STOPPED), row.get(PROCESSES)) {
            let bad = stopped >= 1.0 && stopped >= processes;
            self.stop
                .take(at, Reading::of(bad, !bad), stopped, 0.0, STOP);
        }
        if let Some(blocked) = row.get(BLOCKED) {
            if blocked >= 1.0 {
                let begins = Span {
                    after: self.unblocked,
                    ..Span::at(at)
                };
                // What was not seen for a while may have been free meanwhile.
                let goes_on = |span: &Span| at.since(span.last) <= STUCK_FRESH;
                let span = self.blocked.filter(goes_on).unwrap_or(begins);
                self.blocked = Some(Span { last: at, ..span });
            } else {
                (self.blocked, self.unblocked) = (None, Some(at));
            }
        }
        self.queue = row.get(QUEUE).zip(row.get(BACKLOG));
        if let Some((queue, backlog)) = self.queue {
            let bad = backlog >= 1.0 && queue >= backlog;
            if warm {
                let reading = Reading::of(bad, queue <= 0.5 * backlog);
                self.accept.take(at, reading, queue, 0.0, ACCEPT);
            } else {
                self.accept.learn(at, !bad);
            }
        }
        let kills = self.oom_kills.step(at, row.get(OOM_KILLS));
        kills.is_some_and(|(kills, _)| kills > 0.0)
    }

    /// Takes what one dump of sockets shows of its callers' connections, `interval` after the one before.
    pub fn take_backlog(
        &mut self,
        at: Timestamp,
        waiting: Backlog,
        interval: Duration,
        warm: bool,
    ) {
        self.waiting = waiting;
        self.demand.take(at, waiting.sent_bytes, interval, warm);
        let unread = waiting.unread_bytes > 4.0 * self.usual_unread.location() + 1.0;
        let left = waiting.close_wait >= 2.0 * self.usual_close_wait.location() + 2.0;
        let bad = self.is_idle() && (unread || left);
        if !warm || !self.is_known(at) {
            self.read.learn(at, !unread && !left);
        } else {
            let reading = Reading::of(bad, !unread && !left);
            self.read.take(at, reading, waiting.unread_bytes, 0.0, READ);
        }
        if self.read.is_quiet() {
            self.usual_unread.feed(waiting.unread_bytes, 1.0);
            self.usual_close_wait.feed(waiting.close_wait, 0.5);
        }
    }

    /// When some process of it has been in a sleep that no signal ends, sample by sample: `None` unless for seconds.
    pub fn blocked(&self, now: Timestamp) -> Option<Span> {
        let lasts = |span: &Span| {
            now.since(span.first) >= STUCK_AFTER && now.since(span.last) <= STUCK_FRESH
        };
        self.blocked.filter(lasts)
    }

    /// When it has waited for something that may be hung, as a frozen filesystem. Who writes much is seen in such a sleep in every
    /// sample, too, each time in another, and works meanwhile.
    pub fn stuck(&self, now: Timestamp) -> Option<Span> {
        self.blocked(now).filter(|_| !self.works())
    }

    fn works(&self) -> bool {
        self.used
            .ratio()
            .is_some_and(|cores| cores > IDLE_CORES.max(WORK_SHARE * self.usual_cpu.location()))
    }

    /// Memory that only grows; `available`: bytes that its host has to give.
    pub fn growing(
        &self,
        id: &ComponentId,
        now: Timestamp,
        available: Option<f64>,
    ) -> Option<Finding> {
        let of_limit = self.memory_limit.map(|limit| Left {
            bytes: (limit - self.memory).max(0.0),
            of: "of its limit",
        });
        let of_host = available.map(|bytes| Left {
            bytes,
            of: "on its host",
        });
        let both = of_limit.into_iter().chain(of_host);
        let left = both.min_by(|a, b| a.bytes.total_cmp(&b.bytes));
        self.growth.finding(id, now, left)
    }

    /// How many it had in the last sample.
    pub fn processes(&self) -> Option<f64> {
        self.processes
    }

    /// In cores, over the last ten seconds.
    pub fn cores(&self) -> f64 {
        self.used.ratio().unwrap_or(0.0)
    }

    fn is_idle(&self) -> bool {
        // Not measured is not idle.
        self.used
            .ratio()
            .is_some_and(|cores| cores <= IDLE_CORES.max(IDLE_SHARE * self.usual_cpu.location()))
    }

    pub fn findings(&self, id: &ComponentId, now: Timestamp, context: &Context) -> Vec<Finding> {
        let called = context.callers(id).any();
        let mut found = self.limits.findings(id, now, context);
        found.extend(self.demand.finding(id, now));
        if let Some(run) = self.accept.live(now, ACCEPT) {
            let (queue, backlog) = self.queue.unwrap_or((run.latest, run.latest));
            let text =
                format!("{queue:.0} connections wait to be accepted, its backlog is {backlog:.0}");
            let gate = run.span.length() >= ACCEPT_GATES_AFTER;
            let signal = names::SERVICE_ACCEPT_QUEUE;
            found.push(finding(
                id,
                kinds::ACCEPT_QUEUE_FULL,
                run,
                0.9,
                gate,
                text,
                signal,
            ));
        }
        if let Some(run) = self.read.live(now, READ) {
            let text = format!(
                "{} from callers unread, {} hung up on unanswered, and it uses {:.3} cores (usual {:.3})",
                words::bytes(self.waiting.unread_bytes),
                words::count(self.waiting.close_wait as u64, "connection"),
                self.cores(),
                self.usual_cpu.location(),
            );
            let gate = called && run.span.length() >= READ_GATES_AFTER;
            let signal = names::SERVICE_UNREAD_BYTES;
            found.push(finding(
                id,
                kinds::NOT_READING,
                run,
                0.8,
                gate,
                text,
                signal,
            ));
        }
        if let Some(run) = self.stop.live(now, STOP) {
            let number = words::count(run.latest as u64, "process");
            let text = format!("all its processes are stopped by a signal ({number})");
            let signal = names::SERVICE_STOPPED;
            let mut stopped = finding(id, kinds::STOPPED, run, 1.0, called, text, signal);
            stopped.family = families::UNIT;
            found.push(stopped);
        }
        found
    }

    pub fn health(&self, id: &ComponentId, now: Timestamp, coverage: f64) -> Vec<Health> {
        let Some(last) = self.life.last() else {
            return Vec::new();
        };
        let health = |family, text, signal| Health {
            component: id.clone(),
            family,
            coverage,
            last,
            text,
            source: Source::Metric(signal),
        };
        let mut attested: Vec<Health> = self.limits.health(id, now, coverage).into_iter().collect();
        let (cores, usual) = (self.cores(), self.usual_cpu.location());
        let power = USUAL * self.usual_cpu.scale(CPU_FLOOR);
        if self.usual_cpu.is_warm() && (cores - usual).abs() < power {
            let text = format!(
                "uses {cores:.2} cores, usual {usual:.2}; would have shown a shift of {power:.2}"
            );
            attested.push(health(families::CPU, text, names::SERVICE_CPU));
        }
        let usual = self.usual_memory.location();
        let power = USUAL * self.usual_memory.scale(MEMORY_FLOOR);
        let well = self.usual_memory.is_warm() && (self.memory - usual).abs() < power;
        if well && !self.growth.grows() {
            let text = format!(
                "uses {}, usual {}; would have shown a shift of {}",
                words::bytes(self.memory),
                words::bytes(usual),
                words::bytes(power),
            );
            attested.push(health(families::MEMORY, text, names::SERVICE_MEMORY));
        }
        if let Some((queue, backlog)) = self.queue.filter(|(q, b)| *q <= 0.5 * b)
            && self.read.is_quiet()
        {
            let text = format!(
                "accept queue {queue:.0} of {backlog:.0}, {} unread; would have shown a full queue or unread bytes",
                words::bytes(self.waiting.unread_bytes),
            );
            attested.push(health(families::SOCKETS, text, names::SERVICE_ACCEPT_QUEUE));
        }
        attested
    }

    pub fn life(&self) -> &Lifetime {
        &self.life
    }

    /// Whether what is usual of it may be judged by.
    pub fn is_known(&self, at: Timestamp) -> bool {
        self.anew.is_over(at)
    }

    /// What was usual of it is forgotten, and what was told because of that is over.
    pub fn forget_usual(&mut self, now: Timestamp) {
        // Else who waits for what is hung would seem to work.
        if self.blocked.is_none() {
            self.usual_cpu = Baseline::NEW;
        }
        self.usual_memory = Baseline::NEW;
        self.growth = Growth::default();
        (self.usual_unread, self.usual_close_wait) = (Baseline::NEW, Baseline::NEW);
        self.read = Watch::default();
        self.demand.forget_usual();
        self.limits.forget_usual();
        self.anew = Anew::from(now);
    }

    /// The host's clock was set back: usual levels stay, times start anew.
    pub fn stepped(&mut self) {
        self.anew = Anew::default();
        self.cpu.reset();
        self.oom_kills.reset();
        self.used.clear();
        self.limits.stepped();
        self.demand.stepped();
        self.growth.stepped();
        (self.blocked, self.unblocked) = (None, None);
        let watches = [&mut self.accept, &mut self.stop, &mut self.read];
        watches.into_iter().for_each(Watch::reset);
        self.life.stepped();
    }
}

fn finding(
    id: &ComponentId,
    kind: &'static str,
    run: &Run,
    severity: f64,
    gate: bool,
    text: String,
    signal: &'static str,
) -> Finding {
    Finding {
        component: id.clone(),
        peer: None,
        kind,
        family: families::SOCKETS,
        span: run.span,
        severity,
        gate,
        text,
        source: Source::Metric(signal),
    }
}
