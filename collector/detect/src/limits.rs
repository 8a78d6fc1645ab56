//! What there is a limited number of: open files, tasks, ports, tracked connections, CPU time by quota.

mod host;
mod service;

use std::time::Duration;

use firstlook_model::symptom::families;
use firstlook_model::{ComponentId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::draft::{Finding, Source};
use crate::watch::{Reading, Rule, Watch};
use crate::words;

pub(crate) use host::{HostLimits, SIGNALS as HOST_SIGNALS};
pub(crate) use service::{SIGNALS as SERVICE_SIGNALS, ServiceLimits};

/// Share of the limit from which hardly any is left, and below which there is room again.
const FULL: f64 = 0.95;
const ROOMY: f64 = 0.85;
/// Share from which the next one is refused, or the one after.
const AT_THE_LIMIT: f64 = 0.99;
const LEVEL: Rule = Rule::new(3, 3, 20);
/// A refusal is an event: it counts at once, and for as long as its consequences usually take.
const REFUSAL: Rule = Rule::new(1, 0, 60);
/// How old the last reading may be that attests health: some come only every ten seconds or so.
const READ_WITHIN: Duration = Duration::from_secs(60);

/// One thing of which there is a limited number.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Room {
    level: Watch,
    refusals: Watch,
    /// The same by lines of the kernel, whose times run beside those of samples.
    said: Watch,
    used: f64,
    limit: f64,
    last: Option<Timestamp>,
}

impl Room {
    /// Takes a reading; one without a limit says nothing.
    fn take(&mut self, at: Timestamp, used: Option<f64>, limit: Option<f64>) {
        let (Some(used), Some(limit)) = (used, limit.filter(|limit| *limit >= 1.0)) else {
            return;
        };
        (self.used, self.limit, self.last) = (used, limit, Some(at));
        let share = used / limit;
        let reading = Reading::of(share >= FULL, share < ROOMY);
        self.level.take(at, reading, share, 0.0, LEVEL);
    }

    /// Takes how many were refused since the last reading.
    fn refused(&mut self, at: Timestamp, number: f64) {
        let reading = Reading::of(number > 0.0, number <= 0.0);
        self.refusals.take(at, reading, number, 0.0, REFUSAL);
    }

    /// The kernel wrote that one was refused.
    fn said_refused(&mut self, at: Timestamp) {
        self.said.take(at, Reading::Bad, 1.0, 0.0, REFUSAL);
    }

    fn share(&self) -> f64 {
        if self.limit >= 1.0 {
            self.used / self.limit
        } else {
            0.0
        }
    }

    /// What it shows. `hurts`: somebody depends on it now.
    fn finding(
        &self,
        id: &ComponentId,
        now: Timestamp,
        kind: &'static str,
        noun: &str,
        hurts: bool,
        signal: &'static str,
    ) -> Option<Finding> {
        let said = self.said.live(now, REFUSAL);
        let refusal = self.refusals.live(now, REFUSAL).or(said);
        let run = refusal.or_else(|| self.level.live(now, LEVEL))?;
        // What stood at its limit before we looked lives with it: a cache of open files, a pool of workers.
        let turned = refusal.is_some() || run.span.after.is_some();
        let full = refusal.is_some() || run.latest >= AT_THE_LIMIT;
        let text = match refusal {
            Some(run) if self.limit < 1.0 => format!("{:.0} {noun} refused", run.latest),
            Some(run) => format!(
                "{:.0} {noun} refused; {:.0} of {:.0} in use",
                run.latest, self.used, self.limit
            ),
            None => format!(
                "{:.0} of {:.0} {noun} in use ({}), would have shown {}",
                self.used,
                self.limit,
                words::percent(run.latest),
                words::percent(FULL),
            ),
        };
        Some(Finding {
            component: id.clone(),
            peer: None,
            kind,
            family: families::LIMITS,
            span: run.span,
            severity: match (full, turned) {
                (true, true) => 1.0,
                (true, false) | (false, true) => 0.6,
                (false, false) => 0.3,
            },
            gate: full && turned && hurts,
            text,
            source: Source::Metric(signal),
        })
    }

    fn is_read(&self, now: Timestamp) -> bool {
        self.last.is_some_and(|last| now.since(last) <= READ_WITHIN)
    }

    fn is_roomy(&self, now: Timestamp) -> bool {
        let refused = !self.refusals.is_quiet() || self.said.live(now, REFUSAL).is_some();
        !refused && self.level.is_quiet() && self.share() < ROOMY
    }

    fn stepped(&mut self) {
        self.level.reset();
        self.refusals.reset();
        self.said.reset();
        self.last = None;
    }
}
