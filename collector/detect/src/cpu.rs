//! The host's CPU: pressure and run queue, and who uses it.

use std::time::Duration;

use firstlook_model::symptom::{families, kinds};
use firstlook_model::{ComponentId, HostId, Timestamp, signal::names};
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::draft::{Finding, Health, Source};
use crate::plan::Row;
use crate::watch::{Reading, Rule, Run, Watch};
use crate::window::{Meter, Window};
use crate::words;

pub(crate) const SIGNALS: [&str; 5] = [
    names::PRESSURE_CPU_SOME,
    names::PROCESSES_RUNNING,
    names::CPU_CORES,
    names::CPU_IDLE,
    names::PRESSURE_CPU_FULL,
];
const PRESSURE: usize = 0;
const RUNNING: usize = 1;
const CORES: usize = 2;
const IDLE: usize = 3;
const FULL: usize = 4;

/// Share of time in which some task waited for CPU, over ten seconds.
const SATURATED: f64 = 0.6;
const RELAXED: f64 = 0.3;
/// At this share nothing else need be seen: a quota throttles without a run queue.
const CERTAIN: f64 = 0.8;
const RULE: Rule = Rule::new(4, 5, 15);
/// Saturation this long is reason for an incident by itself, where others depend on the host.
const LONG: Duration = Duration::from_secs(30);
/// Share of the host's busy time that must be its own services' work: where several hosts share a
/// kernel, pressure may be the neighbour's.
const OWN_WORK: f64 = 0.5;
/// Share of the time in which tasks wait and none runs, of that in which some wait, from which others have the cores: those
/// on the same machine, or a quota; and under which he has them himself again. Whoever saturates cores of his own has one running
/// all the time.
const WITHHELD: f64 = 0.5;
const HIS_OWN: f64 = 0.35;
/// Share of the services' CPU time from which one is the hog, and the least that it must use, in cores.
const HOG_SHARE: f64 = 0.5;
const HOG_CORES: f64 = 0.1;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Cpu {
    pressure: Meter,
    idle: Meter,
    waiting: Window,
    running: Window,
    idling: Window,
    #[serde(default)]
    full: Meter,
    #[serde(default = "ten_seconds")]
    stalled: Window,
    #[serde(default)]
    withheld: bool,
    cores: f64,
    watch: Watch,
}

fn ten_seconds() -> Window {
    Window::seconds(10)
}

impl Default for Cpu {
    fn default() -> Self {
        Self {
            pressure: Meter::default(),
            idle: Meter::default(),
            waiting: Window::seconds(10),
            running: Window::seconds(10),
            idling: Window::seconds(10),
            full: Meter::default(),
            stalled: ten_seconds(),
            withheld: false,
            cores: 0.0,
            watch: Watch::default(),
        }
    }
}

/// What services of a host use, in cores, the greediest first.
pub(crate) struct Use<'a> {
    pub by: Vec<(&'a ComponentId, f64)>,
}

impl Use<'_> {
    fn sum(&self) -> f64 {
        self.by.iter().map(|(_, cores)| cores).sum()
    }
}

impl Cpu {
    pub fn take(&mut self, at: Timestamp, row: &Row<'_>, warm: bool) {
        if let Some(cores) = row.get(CORES) {
            self.cores = cores;
        }
        if let Some(running) = row.get(RUNNING) {
            self.running.push(at, running, 1.0);
        }
        if let Some((idle, secs)) = self.idle.step(at, row.get(IDLE)) {
            self.idling.push(at, idle, secs);
        }
        if let Some((stalled, secs)) = self.full.step(at, row.get(FULL)) {
            self.stalled.push(at, stalled, secs);
        }
        let Some((waited, secs)) = self.pressure.step(at, row.get(PRESSURE)) else {
            return;
        };
        self.waiting.push(at, waited, secs);
        self.withheld = self.is_withheld();
        if !warm {
            self.watch
                .learn(at, self.waiting.ratio().is_some_and(|s| s < RELAXED));
            return;
        }
        let share = self.waiting.ratio().unwrap_or(0.0);
        let queued = self.cores > 0.0 && self.running.ratio().is_some_and(|r| r > self.cores);
        let bad = share >= CERTAIN || (share >= SATURATED && queued);
        self.watch
            .take(at, Reading::of(bad, share < RELAXED), share, 0.0, RULE);
    }

    pub fn findings(
        &self,
        host: &HostId,
        now: Timestamp,
        usage: &Use<'_>,
        context: &Context,
    ) -> Vec<Finding> {
        let Some(run) = self.watch.live(now, RULE) else {
            return Vec::new();
        };
        let withheld = self.withheld;
        let text = format!(
            "some task waited for CPU {} of the time over 10 s, {:.1} tasks runnable on {:.0} cores{}; usual under {}",
            words::percent(run.latest),
            self.running.ratio().unwrap_or(0.0),
            self.cores,
            match withheld {
                true =>
                    ", and mostly none ran: others on the machine have them, or a quota stops it",
                false => "",
            },
            words::percent(RELAXED),
        );
        let mut found = vec![Finding {
            component: ComponentId::host(host.clone()),
            peer: None,
            kind: match withheld {
                true => kinds::CPU_WITHHELD,
                false => kinds::CPU_SATURATED,
            },
            family: families::CPU,
            span: run.span,
            severity: run.latest,
            gate: self.gates(host, run, usage, context),
            text,
            source: Source::Metric(names::PRESSURE_CPU_SOME),
        }];
        // Where others than its services take the cores, the greatest among them is a victim, too.
        if self.is_own_work(usage) {
            found.extend(hog(run, usage, context));
        }
        found
    }

    /// Saturation alone harms nobody: somebody must be hurt by it, or depend on a host whose own work
    /// has saturated it for long.
    fn gates(&self, host: &HostId, run: &Run, usage: &Use<'_>, context: &Context) -> bool {
        if !self.is_own_work(usage) {
            return false;
        }
        let depended_on = || {
            let mut callers = context.callers.iter();
            callers.any(|(callee, by)| callee.host_id() == Some(host) && by.remote > 0)
        };
        context.hurt.contains(host)
            || (run.span.length() >= LONG && run.latest >= CERTAIN && depended_on())
    }

    /// What lies between is as it was: else one pressure would be two symptoms in turn.
    fn is_withheld(&self) -> bool {
        let least = if self.withheld { HIS_OWN } else { WITHHELD };
        let (waited, stalled) = (self.waiting.ratio(), self.stalled.ratio());
        let both = waited.zip(stalled);
        both.is_some_and(|(waited, stalled)| stalled >= least * waited)
    }

    fn is_own_work(&self, usage: &Use<'_>) -> bool {
        if usage.by.is_empty() {
            return true;
        }
        match self.idling.ratio() {
            Some(idle) if self.cores > 0.0 => {
                usage.sum() >= OWN_WORK * (self.cores - idle).max(0.0)
            }
            _ => true,
        }
    }

    pub fn health(&self, host: &HostId, coverage: f64) -> Option<Health> {
        let share = self.waiting.ratio().filter(|s| *s < RELAXED)?;
        Some(Health {
            component: ComponentId::host(host.clone()),
            family: families::CPU,
            coverage,
            last: self.waiting.last()?,
            text: format!(
                "some task waited for CPU {} of the time over 10 s, would have shown {}",
                words::percent(share),
                words::percent(SATURATED),
            ),
            source: Source::Metric(names::PRESSURE_CPU_SOME),
        })
    }

    pub fn stepped(&mut self) {
        *self = Self {
            cores: self.cores,
            ..Self::default()
        };
    }
}

fn hog(run: &Run, usage: &Use<'_>, context: &Context) -> Option<Finding> {
    let sum = usage.sum();
    let (hog, cores) = usage.by.first()?;
    let share = cores / sum;
    let greedy = *cores >= HOG_CORES && share >= HOG_SHARE;
    let called = context.callers(hog).any();
    greedy.then(|| Finding {
        component: (*hog).clone(),
        peer: None,
        kind: if called {
            kinds::CPU_HOG
        } else {
            kinds::CPU_NOISY_NEIGHBOUR
        },
        family: families::CPU,
        span: run.span,
        severity: share,
        gate: false,
        text: format!(
            "uses {cores:.2} cores, {} of what all services of the saturated host use{}",
            words::percent(share),
            if called { "" } else { ", and nobody calls it" },
        ),
        source: Source::Metric(names::SERVICE_CPU),
    })
}
