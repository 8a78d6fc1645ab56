//! IO pressure of the host.

use firstlook_model::symptom::{families, kinds};
use firstlook_model::{ComponentId, HostId, Timestamp, signal::names};
use serde::{Deserialize, Serialize};

use crate::draft::{Finding, Health, Source};
use crate::plan::Row;
use crate::watch::{Reading, Rule, Watch};
use crate::window::{Meter, Window};
use crate::words;

pub(crate) const SIGNALS: [&str; 1] = [names::PRESSURE_IO_SOME];
const SOME: usize = 0;

/// Share of time in which some task waited for IO, over ten seconds. Builds and backups reach half of it.
const HIGH: f64 = 0.6;
const LOW: f64 = 0.3;
/// Who waits for a disk for seconds shows in all of them.
const CALM: f64 = 0.1;
const RULE: Rule = Rule::new(5, 8, 15);

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Io {
    some: Meter,
    waiting: Window,
    watch: Watch,
}

impl Default for Io {
    fn default() -> Self {
        Self {
            some: Meter::default(),
            waiting: Window::seconds(10),
            watch: Watch::default(),
        }
    }
}

impl Io {
    pub fn take(&mut self, at: Timestamp, row: &Row<'_>, warm: bool) {
        let Some((waited, secs)) = self.some.step(at, row.get(SOME)) else {
            return;
        };
        self.waiting.push(at, waited, secs);
        if !warm {
            self.watch
                .learn(at, self.waiting.ratio().is_some_and(|s| s < LOW));
            return;
        }
        let share = self.waiting.ratio().unwrap_or(0.0);
        self.watch.take(
            at,
            Reading::of(share >= HIGH, share < LOW),
            share,
            0.0,
            RULE,
        );
    }

    /// Whether next to no task waits for a disk. Not measured is not calm.
    pub fn is_calm(&self) -> bool {
        self.waiting.ratio().is_some_and(|share| share < CALM)
    }

    /// Never a gate by itself: work on disks is what they are for.
    pub fn finding(&self, host: &HostId, now: Timestamp) -> Option<Finding> {
        let run = self.watch.live(now, RULE)?;
        Some(Finding {
            component: ComponentId::host(host.clone()),
            peer: None,
            kind: kinds::IO_PRESSURE,
            family: families::DISK,
            span: run.span,
            severity: run.latest,
            gate: false,
            text: format!(
                "some task waited for IO {} of the time over 10 s; usual under {}",
                words::percent(run.latest),
                words::percent(LOW),
            ),
            source: Source::Metric(names::PRESSURE_IO_SOME),
        })
    }

    pub fn health(&self, host: &HostId, coverage: f64) -> Option<Health> {
        let share = self.waiting.ratio().filter(|s| *s < LOW)?;
        Some(Health {
            component: ComponentId::host(host.clone()),
            family: families::DISK,
            coverage,
            last: self.waiting.last()?,
            text: format!(
                "some task waited for IO {} of the time over 10 s, would have shown {}",
                words::percent(share),
                words::percent(HIGH),
            ),
            source: Source::Metric(names::PRESSURE_IO_SOME),
        })
    }

    pub fn stepped(&mut self) {
        *self = Self::default();
    }
}
