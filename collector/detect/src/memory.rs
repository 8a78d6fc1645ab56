//! The host's memory: what is available, and stalls for want of it.

use firstlook_model::symptom::{families, kinds};
use firstlook_model::{ComponentId, HostId, Timestamp, signal::names};
use serde::{Deserialize, Serialize};

use crate::draft::{Finding, Health, Source};
use crate::plan::Row;
use crate::watch::{Reading, Rule, Watch};
use crate::window::{Meter, Window};
use crate::words;

pub(crate) const SIGNALS: [&str; 4] = [
    names::MEMORY_TOTAL,
    names::MEMORY_AVAILABLE,
    names::PRESSURE_MEMORY_SOME,
    names::PRESSURE_MEMORY_FULL,
];
const TOTAL: usize = 0;
const AVAILABLE: usize = 1;
const SOME: usize = 2;
const FULL: usize = 3;

/// Share of memory available at or below which it is nearly gone, and from which it is not.
const GONE: f64 = 0.04;
const AMPLE: f64 = 0.08;
/// Share of time in which some task, and in which all, waited for memory.
const STALLED_SOME: f64 = 0.3;
const STALLED_FULL: f64 = 0.1;
/// Stalls with memory gone that are reason for an incident.
const GATE_SOME: f64 = 0.5;
const RULE: Rule = Rule::new(4, 5, 15);

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Memory {
    some: Meter,
    full: Meter,
    stalled: Window,
    all_stalled: Window,
    total: f64,
    available: f64,
    last: Option<Timestamp>,
    watch: Watch,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            some: Meter::default(),
            full: Meter::default(),
            stalled: Window::seconds(10),
            all_stalled: Window::seconds(10),
            total: 0.0,
            available: 0.0,
            last: None,
            watch: Watch::default(),
        }
    }
}

impl Memory {
    pub fn take(&mut self, at: Timestamp, row: &Row<'_>, warm: bool) {
        if let Some((waited, secs)) = self.some.step(at, row.get(SOME)) {
            self.stalled.push(at, waited, secs);
        }
        if let Some((waited, secs)) = self.full.step(at, row.get(FULL)) {
            self.all_stalled.push(at, waited, secs);
        }
        let (Some(total), Some(available)) = (row.get(TOTAL), row.get(AVAILABLE)) else {
            return;
        };
        if total <= 0.0 {
            return;
        }
        (self.total, self.available, self.last) = (total, available, Some(at));
        if !warm {
            self.watch.learn(at, available / total >= AMPLE);
            return;
        }
        let share = available / total;
        let bad = share <= GONE || self.is_stalled();
        let clear = share >= AMPLE && !self.is_stalled();
        self.watch
            .take(at, Reading::of(bad, clear), share, 0.0, RULE);
    }

    /// Bytes that are available; `None`: not known.
    pub fn available(&self) -> Option<f64> {
        self.last.map(|_| self.available)
    }

    fn some(&self) -> f64 {
        self.stalled.ratio().unwrap_or(0.0)
    }

    fn is_stalled(&self) -> bool {
        self.some() >= STALLED_SOME || self.all_stalled.ratio().unwrap_or(0.0) >= STALLED_FULL
    }

    pub fn finding(&self, host: &HostId, now: Timestamp) -> Option<Finding> {
        let run = self.watch.live(now, RULE)?;
        let share = self.available / self.total;
        let stalled = self.some();
        Some(Finding {
            component: ComponentId::host(host.clone()),
            peer: None,
            kind: kinds::MEMORY_PRESSURE,
            family: families::MEMORY,
            span: run.span,
            severity: (1.0 - share / AMPLE).max(stalled),
            gate: share <= GONE && stalled >= GATE_SOME,
            text: format!(
                "{} of {} available ({}), some task waited for memory {} of the time over 10 s",
                words::bytes(self.available),
                words::bytes(self.total),
                words::percent(share),
                words::percent(stalled),
            ),
            source: Source::Metric(names::MEMORY_AVAILABLE),
        })
    }

    pub fn health(&self, host: &HostId, coverage: f64) -> Option<Health> {
        let last = self.last?;
        let share = self.available / self.total;
        (share >= AMPLE && !self.is_stalled()).then(|| Health {
            component: ComponentId::host(host.clone()),
            family: families::MEMORY,
            coverage,
            last,
            text: format!(
                "{} of {} available, would have shown {}",
                words::percent(share),
                words::bytes(self.total),
                words::percent(GONE),
            ),
            source: Source::Metric(names::MEMORY_AVAILABLE),
        })
    }

    pub fn stepped(&mut self) {
        *self = Self::default();
    }
}
