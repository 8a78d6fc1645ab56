//! Memory that only ever grows, and when it will be gone at that pace.
//!
//! The least of each five minutes is kept: what a collector of garbage gives back, and what a burst takes for a while, is
//! no growth. A restart begins anew.

use std::collections::VecDeque;
use std::time::Duration;

use firstlook_model::symptom::{families, kinds};
use firstlook_model::{ComponentId, Timestamp, signal::names};
use serde::{Deserialize, Serialize};

use crate::draft::{Finding, Source};
use crate::watch::Span;
use crate::words;

const STEP_S: i64 = 300;
/// Steps that are judged, an hour in all.
const STEPS: usize = 12;
/// Steps of them that must rise, and the share of the level by which none may fall.
const RISING: usize = 9;
const FALL: f64 = 0.005;
/// By so much in the hour, and by this share of the level: less is how programs breathe.
const LEAST_BYTES: f64 = 32.0 * 1024.0 * 1024.0;
const LEAST_SHARE: f64 = 0.1;
/// Of the growth, what each half of the hour must have at least: what fills up and stays so is no leak.
const LEAST_HALF: f64 = 0.3;
/// What would be gone later than this is nobody's worry yet.
const HORIZON: Duration = Duration::from_secs(86_400);

/// The memory of one service over the last hour.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Growth {
    /// Least of each finished step, in bytes, the oldest first.
    least: VecDeque<f32>,
    /// The step under way, in steps since the epoch, and its least.
    step: Option<(i64, f64)>,
}

impl Growth {
    /// Takes a sample. Times must not fall.
    pub fn take(&mut self, at: Timestamp, bytes: f64) {
        let now = at.as_micros().div_euclid(STEP_S * 1_000_000);
        match &mut self.step {
            Some((step, least)) if *step == now => *least = least.min(bytes),
            Some((step, least)) => {
                if *step + 1 == now {
                    if self.least.len() > STEPS {
                        self.least.pop_front();
                    }
                    self.least.push_back(*least as f32);
                } else {
                    self.least.clear();
                }
                self.step = Some((now, bytes));
            }
            none => *none = Some((now, bytes)),
        }
    }

    /// `left`: bytes that it may still take before its limit, or its host, has no more.
    pub fn finding(&self, id: &ComponentId, now: Timestamp, left: Option<Left>) -> Option<Finding> {
        let grown = self.grown()?;
        let left = left?;
        let pace = grown.later_half / (STEP_S * STEPS as i64 / 2) as f64;
        let gone_in = Duration::try_from_secs_f64(left.bytes / pace).ok()?;
        if gone_in > HORIZON {
            return None;
        }
        let hour = Duration::from_secs(STEP_S.unsigned_abs() * STEPS as u64);
        Some(Finding {
            component: id.clone(),
            peer: None,
            kind: kinds::MEMORY_GROWING,
            family: families::MEMORY,
            span: Span {
                after: None,
                first: now.minus(hour),
                last: now,
            },
            severity: 0.3,
            gate: false,
            text: format!(
                "its memory rose by {} to {} within an hour and did not fall: at this pace the {} left {} are gone in {}",
                words::bytes(grown.bytes),
                words::bytes(grown.to),
                words::bytes(left.bytes),
                left.of,
                words::span(gone_in),
            ),
            source: Source::Metric(names::SERVICE_MEMORY),
        })
    }

    /// Whether it grows, whatever may be left.
    pub fn grows(&self) -> bool {
        self.grown().is_some()
    }

    fn grown(&self) -> Option<Grown> {
        if self.least.len() <= STEPS {
            return None;
        }
        let at = |step: usize| self.least.get(step).map(|bytes| f64::from(*bytes));
        let (from, middle, to) = (at(0)?, at(STEPS / 2)?, at(STEPS)?);
        let pairs = || self.least.iter().zip(self.least.iter().skip(1));
        let bytes = to - from;
        let falls = pairs().any(|(a, b)| f64::from(*b) < f64::from(*a) * (1.0 - FALL));
        let rising = pairs().filter(|(a, b)| b > a).count();
        let halves = [middle - from, to - middle];
        let steady = halves.iter().all(|half| *half >= LEAST_HALF * bytes);
        let enough = bytes >= LEAST_BYTES.max(LEAST_SHARE * to);
        (enough && !falls && rising >= RISING && steady).then_some(Grown {
            bytes,
            to,
            later_half: halves[1],
        })
    }

    /// The host's clock was set back.
    pub fn stepped(&mut self) {
        *self = Self::default();
    }
}

#[derive(Clone, Copy, Debug)]
struct Grown {
    bytes: f64,
    to: f64,
    later_half: f64,
}

/// What may still be taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Left {
    pub bytes: f64,
    /// Of what, for people.
    pub of: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: f64 = 1024.0 * 1024.0;
    const LIMIT: Left = Left {
        bytes: 100.0 * MIB,
        of: "of its limit",
    };

    fn minute(minute: i64) -> Timestamp {
        Timestamp::from_secs(1_700_000_100 + 60 * minute)
    }

    /// A sample a minute, in MiB.
    fn after(minutes: i64, level: impl Fn(i64) -> f64, left: Left) -> Option<String> {
        let mut growth = Growth::default();
        (0..minutes).for_each(|m| growth.take(minute(m), level(m) * MIB));
        let id = "service:app1/shop.service".parse().unwrap();
        growth
            .finding(&id, minute(minutes), Some(left))
            .map(|found| found.text)
    }

    #[test]
    fn a_leak_is_said_with_the_time_that_is_left() {
        let text = after(80, |m| 200.0 + 2.0 * m as f64, LIMIT).unwrap();
        assert!(text.contains("rose by 120 MiB"), "{text}");
        // 100 MiB at 2 MiB a minute.
        assert!(text.contains("gone in 50 min"), "{text}");
    }

    #[test]
    fn garbage_that_is_collected_is_none_and_a_leak_below_it_is_one() {
        let sawtooth = |m: i64| 300.0 + 40.0 * (m % 4) as f64;
        assert_eq!(after(120, sawtooth, LIMIT), None);
        let leaking = |m: i64| sawtooth(m) + 1.5 * m as f64;
        assert!(after(120, leaking, LIMIT).is_some());
        // Collected every quarter of an hour: it falls.
        assert_eq!(after(120, |m| 200.0 + 8.0 * (m % 15) as f64, LIMIT), None);
    }

    #[test]
    fn what_fills_up_and_stays_or_is_far_from_its_limit_is_none() {
        let cache = |m: i64| 200.0 + (10.0 * m as f64).min(150.0);
        assert_eq!(after(90, cache, LIMIT), None);
        let plenty = Left {
            bytes: 1e12,
            of: "on its host",
        };
        assert_eq!(after(80, |m| 200.0 + 2.0 * m as f64, plenty), None);
        assert_eq!(after(80, |_| 200.0, LIMIT), None);
        assert_eq!(after(80, |m| 200.0 + 0.2 * m as f64, LIMIT), None);
        // Too short a time to tell.
        assert_eq!(after(50, |m| 200.0 + 2.0 * m as f64, LIMIT), None);
    }

    #[test]
    fn a_restart_and_a_gap_begin_anew() {
        let restarted = |m: i64| 200.0 + 2.0 * (m % 60) as f64;
        assert_eq!(after(100, restarted, LIMIT), None);
        let mut growth = Growth::default();
        for m in (0..60).chain(75..95) {
            growth.take(minute(m), (200.0 + 2.0 * m as f64) * MIB);
        }
        assert!(!growth.grows());
    }
}
