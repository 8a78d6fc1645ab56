//! How much callers ask of a service, against what they usually ask.
//!
//! What they send is counted, not how often they connect: after a restart all connect anew and ask no more than before.

use std::time::Duration;

use firstlook_model::symptom::{families, kinds};
use firstlook_model::{ComponentId, Timestamp, signal::names};
use serde::{Deserialize, Serialize};

use crate::baseline::Baseline;
use crate::draft::{Finding, Source};
use crate::own::is_own;
use crate::watch::{Reading, Rule, Watch};
use crate::window::Window;
use crate::words;

/// Times the usual, bytes a second and deviations above it from which it is a surge, all three. Who takes over from one of two
/// replicas is asked for twice as much.
const TIMES: f64 = 3.0;
const ABOVE: f64 = 4_000.0;
const DEVIATIONS: f64 = 6.0;
/// Times the usual at which it is none any more.
const OVER: f64 = 2.0;
/// Smallest deviation that means anything, in bytes a second.
const FLOOR: f64 = 200.0;
/// Dumps of sockets come every few seconds.
const RULE: Rule = Rule::new(3, 4, 20);
/// A surge that lasts so long is how it is.
const ADOPT_AFTER: Duration = Duration::from_secs(1_800);

/// What all callers of one service send it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Demand {
    sent: Window,
    usual: Baseline,
    surge: Watch,
}

impl Default for Demand {
    fn default() -> Self {
        Self {
            sent: Window::seconds(8),
            usual: Baseline::NEW,
            surge: Watch::default(),
        }
    }
}

impl Demand {
    /// Takes what callers sent within one interval between two dumps of sockets.
    pub fn take(&mut self, at: Timestamp, bytes: f64, interval: Duration, warm: bool) {
        self.sent.push(at, bytes, interval.as_secs_f64());
        let Some(rate) = self.sent.ratio() else {
            return;
        };
        let usual = self.usual.location();
        let bad = rate >= TIMES * usual
            && rate >= usual + ABOVE
            && rate >= usual + DEVIATIONS * self.usual.scale(FLOOR);
        let clear = rate < OVER * usual || rate < usual + ABOVE / 2.0;
        if warm && self.usual.is_warm() {
            let reading = Reading::of(bad, clear);
            self.surge.take(at, reading, rate, usual, RULE);
        } else {
            self.surge.learn(at, clear);
        }
        let long = |run: &crate::watch::Run| run.span.length() > ADOPT_AFTER;
        if self.surge.live(at, RULE).is_some_and(long) {
            self.forget_usual();
        }
        if self.surge.is_quiet() {
            self.usual.feed(rate, FLOOR);
        }
    }

    /// Never reason for an incident: to be asked for more is what a service is for.
    pub fn finding(&self, id: &ComponentId, now: Timestamp) -> Option<Finding> {
        let run = self.surge.live(now, RULE).filter(|_| !is_own(id))?;
        let times = run.latest / run.usual.max(1.0);
        Some(Finding {
            component: id.clone(),
            peer: None,
            kind: kinds::LOAD_SURGED,
            family: families::SOCKETS,
            span: run.span,
            severity: (0.2 + 0.1 * times).min(0.9),
            gate: false,
            text: format!(
                "callers send it {}/s, usual {}/s: {times:.1} times as much",
                words::bytes(run.latest),
                words::bytes(run.usual),
            ),
            // No series counts what they send: what it costs the service is the nearest.
            source: Source::Metric(names::SERVICE_CPU),
        })
    }

    /// What it is asked is how it is.
    pub fn forget_usual(&mut self) {
        (self.surge, self.usual) = (Watch::default(), Baseline::NEW);
    }

    /// The host's clock was set back.
    pub fn stepped(&mut self) {
        self.sent.clear();
        self.surge.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(secs: i64) -> Timestamp {
        Timestamp::from_secs(1_700_000_000 + secs)
    }

    fn service() -> ComponentId {
        "service:app1/shop.service".parse().unwrap()
    }

    /// Asked every two seconds, with so many bytes a second each.
    fn asked(demand: &mut Demand, from: i64, rates: &[f64]) -> Option<String> {
        let interval = Duration::from_secs(2);
        let mut now = second(from);
        for rate in rates {
            demand.take(now, 2.0 * rate, interval, true);
            now = now.plus(interval);
        }
        demand.finding(&service(), now).map(|found| found.text)
    }

    #[test]
    fn several_times_the_usual_is_a_surge_and_twice_is_not() {
        let mut demand = Demand::default();
        assert_eq!(asked(&mut demand, 0, &[10_000.0; 40]), None);
        assert_eq!(asked(&mut demand, 80, &[20_000.0; 10]), None);
        let found = asked(&mut demand, 100, &[90_000.0; 10]).unwrap();
        assert!(found.contains("times as much"), "{found}");
        // It ends, and is no longer said.
        assert_eq!(asked(&mut demand, 120, &[10_000.0; 20]), None);
    }

    #[test]
    fn a_surge_that_lasts_becomes_usual_and_one_in_little_traffic_is_none() {
        let mut demand = Demand::default();
        asked(&mut demand, 0, &[10_000.0; 40]);
        assert!(asked(&mut demand, 80, &[90_000.0; 400]).is_some());
        assert_eq!(asked(&mut demand, 880, &[90_000.0; 560]), None);
        let mut idle = Demand::default();
        asked(&mut idle, 0, &[50.0; 40]);
        assert_eq!(asked(&mut idle, 80, &[3_000.0; 10]), None);
    }

    #[test]
    fn what_callers_send_is_of_no_own_service() {
        let mut demand = Demand::default();
        asked(&mut demand, 0, &[10_000.0; 40]);
        asked(&mut demand, 80, &[90_000.0; 10]);
        let own = "service:col1/firstlook-collector.service".parse().unwrap();
        assert!(demand.finding(&own, second(100)).is_none());
        assert!(demand.finding(&service(), second(100)).is_some());
    }
}
