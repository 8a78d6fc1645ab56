//! Limits of one service.

use firstlook_model::symptom::{families, kinds};
use firstlook_model::{ComponentId, Timestamp, signal::names};
use serde::{Deserialize, Serialize};

use super::{FULL, Room};
use crate::baseline::Baseline;
use crate::context::Context;
use crate::draft::{Finding, Health, Source};
use crate::plan::Row;
use crate::watch::{Reading, Rule, Watch};
use crate::window::{Meter, Window};
use crate::words;

pub(crate) const SIGNALS: [&str; 7] = [
    names::SERVICE_OPEN_FILES,
    names::SERVICE_OPEN_FILES_LIMIT,
    names::SERVICE_TASKS,
    names::SERVICE_TASKS_LIMIT,
    names::SERVICE_TASKS_REFUSED,
    names::SERVICE_CPU_PERIODS,
    names::SERVICE_THROTTLED_PERIODS,
];
const FILES: usize = 0;
const FILES_LIMIT: usize = 1;
const TASKS: usize = 2;
const TASKS_LIMIT: usize = 3;
const TASKS_REFUSED: usize = 4;
const PERIODS: usize = 5;
const THROTTLED: usize = 6;

/// Share of its periods in which the quota stops it, over the window, times the usual, and the least number of periods
/// in which it must have wanted to run.
const STOPPED: f64 = 0.5;
const FREE: f64 = 0.25;
const ABOVE_USUAL: f64 = 2.0;
const LEAST_PERIODS: f64 = 30.0;
const THROTTLE: Rule = Rule::new(4, 8, 20);
/// Smallest deviation of that share that means anything.
const SHARE_FLOOR: f64 = 0.02;

/// What a service has a limited number of. Most have never been near any: then it is a few numbers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ServiceLimits {
    files: Room,
    tasks: Room,
    refusals: Meter,
    periods: Meter,
    stops: Meter,
    stopped: Window,
    usual_stopped: Baseline,
    throttled: Watch,
    quota: bool,
}

impl Default for ServiceLimits {
    fn default() -> Self {
        Self {
            files: Room::default(),
            tasks: Room::default(),
            refusals: Meter::default(),
            periods: Meter::default(),
            stops: Meter::default(),
            stopped: Window::seconds(15),
            usual_stopped: Baseline::NEW,
            throttled: Watch::default(),
            quota: false,
        }
    }
}

impl ServiceLimits {
    pub fn take(&mut self, at: Timestamp, row: &Row<'_>, warm: bool) {
        self.files.take(at, row.get(FILES), row.get(FILES_LIMIT));
        self.tasks.take(at, row.get(TASKS), row.get(TASKS_LIMIT));
        if let Some((refused, _)) = self.refusals.step(at, row.get(TASKS_REFUSED)) {
            self.tasks.refused(at, refused);
        }
        let periods = self.periods.step(at, row.get(PERIODS));
        let stops = self.stops.step(at, row.get(THROTTLED));
        if let (Some((periods, _)), Some((stops, _))) = (periods, stops) {
            self.take_quota(at, stops, periods, warm);
        }
    }

    fn take_quota(&mut self, at: Timestamp, stops: f64, periods: f64, warm: bool) {
        self.quota |= periods > 0.0;
        if !self.quota {
            // Nothing stops it: that is what a quota that is set later is held against.
            self.usual_stopped.feed(0.0, SHARE_FLOOR);
            return;
        }
        self.stopped.push(at, stops, periods);
        let (_, runnable) = self.stopped.sums();
        let share = self.stopped.ratio().unwrap_or(0.0).min(1.0);
        let usual = self.usual_stopped.location();
        let enough = runnable >= LEAST_PERIODS;
        let bad = enough && share >= STOPPED && share >= ABOVE_USUAL * usual;
        if warm {
            let reading = Reading::of(bad, share < FREE || share < usual);
            self.throttled.take(at, reading, share, usual, THROTTLE);
        } else {
            self.throttled.learn(at, share < FREE);
        }
        if self.throttled.is_quiet() {
            self.usual_stopped.feed(share, SHARE_FLOOR);
        }
    }

    pub fn findings(&self, id: &ComponentId, now: Timestamp, context: &Context) -> Vec<Finding> {
        let hurts = context.callers(id).any();
        let files = self.files.finding(
            id,
            now,
            kinds::FILES_EXHAUSTED,
            "open files of one of its processes",
            hurts,
            names::SERVICE_OPEN_FILES,
        );
        let tasks = self.tasks.finding(
            id,
            now,
            kinds::TASKS_EXHAUSTED,
            "tasks",
            hurts,
            names::SERVICE_TASKS,
        );
        let throttled = self.throttled.live(now, THROTTLE).map(|run| {
            let (stops, periods) = self.stopped.sums();
            Finding {
                component: id.clone(),
                peer: None,
                kind: kinds::CPU_THROTTLED,
                family: families::LIMITS,
                span: run.span,
                severity: run.latest,
                // Whoever waits for it says so himself.
                gate: false,
                text: format!(
                    "its CPU quota stopped it in {stops:.0} of {periods:.0} periods ({}), usual {}",
                    words::percent(run.latest),
                    words::percent(run.usual),
                ),
                source: Source::Metric(names::SERVICE_THROTTLED_PERIODS),
            }
        });
        [files, tasks, throttled].into_iter().flatten().collect()
    }

    /// Attested only where both files and tasks were read: half a look clears nobody.
    pub fn health(&self, id: &ComponentId, now: Timestamp, coverage: f64) -> Option<Health> {
        let read = self.files.is_read(now) && self.tasks.is_read(now);
        let roomy = self.files.is_roomy(now) && self.tasks.is_roomy(now);
        let stopped = self.stopped.ratio().unwrap_or(0.0);
        if !read || !roomy || !self.throttled.is_quiet() || stopped >= FREE {
            return None;
        }
        let quota = if self.quota {
            format!(
                ", stopped by its CPU quota in {} of its periods, would have shown {}",
                words::percent(stopped),
                words::percent(STOPPED)
            )
        } else {
            String::new()
        };
        Some(Health {
            component: id.clone(),
            family: families::LIMITS,
            coverage,
            last: self.files.last?,
            text: format!(
                "{} of open files and {} of tasks in use, would have shown {}{quota}",
                words::percent(self.files.share()),
                words::percent(self.tasks.share()),
                words::percent(FULL),
            ),
            source: Source::Metric(names::SERVICE_OPEN_FILES),
        })
    }

    /// What is usual is forgotten: of the quota alone, for the others' limits are fixed.
    pub fn forget_usual(&mut self) {
        (self.throttled, self.usual_stopped) = (Watch::default(), Baseline::NEW);
    }

    /// The host's clock was set back: what is usual stays.
    pub fn stepped(&mut self) {
        self.files.stepped();
        self.tasks.stepped();
        [&mut self.refusals, &mut self.periods, &mut self.stops]
            .into_iter()
            .for_each(Meter::reset);
        self.stopped.clear();
        self.throttled.reset();
    }
}
