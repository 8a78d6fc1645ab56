//! How many lines a component may write, and which are kept when it writes more.
//!
//! A bucket per component: each line takes one, a flush returns what the time since the last flush is
//! worth. When a bucket is empty, a line is still kept if it is the first, second, fourth, eighth … of its template
//! in this window, so that nothing new stays unseen and a flood costs little. The last fifth of a bucket is for
//! errors. Old lines (a backlog read after a restart) refill their bucket by their own time.

use std::collections::HashMap;
use std::time::Duration;

use firstlook_model::{ComponentId, Severity, Timestamp};

/// Most components with a bucket of their own; the others share one.
const BUCKETS_LIMIT: usize = 4_096;
/// Lines older than this against the last flush are a backlog.
const BACKLOG_AGE: Duration = Duration::from_secs(10);
/// Tokens are counted in thousandths, so that short flush intervals lose nothing.
const LINE: u64 = 1_000;

/// Budget of lines per component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineBudget {
    /// Lines per second in the long run. 0 keeps only first lines of templates. Default 500.
    pub lines_per_second: u32,
    /// How many seconds' worth may come at once. At least 1. Default 4.
    pub burst_seconds: u32,
}

impl Default for LineBudget {
    fn default() -> Self {
        Self {
            lines_per_second: 500,
            burst_seconds: 4,
        }
    }
}

#[derive(Debug)]
struct Bucket {
    tokens: u64,
    /// Latest time of a backlog line.
    backlog: Option<Timestamp>,
    used: bool,
}

/// Buckets of all components.
#[derive(Debug)]
pub(crate) struct LineLimiter {
    budget: LineBudget,
    buckets: HashMap<ComponentId, Bucket>,
    shared: Bucket,
    flushed: Option<Timestamp>,
}

impl LineLimiter {
    pub fn new(budget: LineBudget) -> Self {
        let shared = Bucket::full(&budget);
        Self {
            budget,
            buckets: HashMap::new(),
            shared,
            flushed: None,
        }
    }

    /// Goes on with another budget, at once: what it allows more is there, and what was spent stays spent.
    pub fn set_budget(&mut self, budget: LineBudget) {
        let capacity = budget.capacity();
        let more = capacity.saturating_sub(self.budget.capacity());
        let buckets = self.buckets.values_mut().chain([&mut self.shared]);
        buckets.for_each(|bucket| bucket.tokens = bucket.tokens.saturating_add(more).min(capacity));
        self.budget = budget;
    }

    /// Whether to keep a line of `time`, the `nth` of its template in this window.
    pub fn keep(
        &mut self,
        component: &ComponentId,
        time: Timestamp,
        severity: Severity,
        nth: u64,
    ) -> bool {
        let capacity = self.budget.capacity();
        let bucket = if let Some(bucket) = self.buckets.get_mut(component) {
            bucket
        } else if self.buckets.len() < BUCKETS_LIMIT {
            self.buckets
                .entry(component.clone())
                .or_insert_with(|| Bucket::full(&self.budget))
        } else {
            &mut self.shared
        };
        bucket.used = true;
        if self.flushed.is_some_and(|at| time < at.minus(BACKLOG_AGE)) {
            if let Some(before) = bucket.backlog {
                bucket.refill(&self.budget, time.since(before));
            }
            bucket.backlog = bucket.backlog.max(Some(time));
        }
        let reserve = if severity >= Severity::Error {
            0
        } else {
            capacity / 5
        };
        if bucket.tokens >= reserve + LINE {
            bucket.tokens -= LINE;
            return true;
        }
        nth.is_power_of_two()
    }

    /// Returns what the time since the last flush is worth, and forgets idle components.
    pub fn refill(&mut self, now: Timestamp) {
        let passed = self.flushed.map_or(Duration::ZERO, |at| now.since(at));
        let capacity = self.budget.capacity();
        let budget = &self.budget;
        self.buckets.retain(|_, bucket| {
            bucket.refill(budget, passed);
            std::mem::take(&mut bucket.used) || bucket.tokens < capacity
        });
        self.shared.refill(budget, passed);
        self.flushed = Some(now);
    }
}

impl LineBudget {
    fn capacity(&self) -> u64 {
        u64::from(self.lines_per_second) * u64::from(self.burst_seconds.max(1)) * LINE
    }
}

impl Bucket {
    fn full(budget: &LineBudget) -> Self {
        Self {
            tokens: budget.capacity(),
            backlog: None,
            used: false,
        }
    }

    fn refill(&mut self, budget: &LineBudget, passed: Duration) {
        let millis = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
        let worth = millis.saturating_mul(u64::from(budget.lines_per_second));
        self.tokens = self.tokens.saturating_add(worth).min(budget.capacity());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use firstlook_model::HostId;

    fn component() -> ComponentId {
        ComponentId::host(HostId::new("h").unwrap())
    }

    fn kept(limiter: &mut LineLimiter, lines: u64, time: Timestamp, severity: Severity) -> usize {
        // nth 3 is no power of two: only tokens can keep it.
        (0..lines)
            .filter(|_| limiter.keep(&component(), time, severity, 3))
            .count()
    }

    #[test]
    fn a_component_has_its_burst_and_then_its_rate() {
        let mut limiter = LineLimiter::new(LineBudget {
            lines_per_second: 100,
            burst_seconds: 5,
        });
        let now = Timestamp::from_secs(1_000);
        limiter.refill(now);
        assert_eq!(kept(&mut limiter, 1_000, now, Severity::Info), 400);
        limiter.refill(now.plus(Duration::from_secs(2)));
        assert_eq!(kept(&mut limiter, 1_000, now, Severity::Info), 200);
    }

    #[test]
    fn another_budget_holds_at_once_and_what_was_spent_stays_spent() {
        let mut limiter = LineLimiter::new(LineBudget {
            lines_per_second: 100,
            burst_seconds: 1,
        });
        let now = Timestamp::from_secs(1_000);
        limiter.refill(now);
        assert_eq!(kept(&mut limiter, 10, now, Severity::Error), 10);
        let of = |lines_per_second| LineBudget {
            lines_per_second,
            burst_seconds: 1,
        };
        limiter.set_budget(of(20));
        assert_eq!(kept(&mut limiter, 1_000, now, Severity::Error), 20);
        limiter.set_budget(of(1_000));
        assert_eq!(kept(&mut limiter, 2_000, now, Severity::Error), 980);
        let later = now.plus(Duration::from_secs(1));
        limiter.refill(later);
        assert_eq!(kept(&mut limiter, 2_000, later, Severity::Error), 1_000);
    }

    #[test]
    fn errors_have_a_reserve() {
        let mut limiter = LineLimiter::new(LineBudget {
            lines_per_second: 100,
            burst_seconds: 5,
        });
        let now = Timestamp::from_secs(1_000);
        kept(&mut limiter, 1_000, now, Severity::Info);
        assert_eq!(kept(&mut limiter, 1_000, now, Severity::Error), 100);
    }

    #[test]
    fn an_empty_bucket_keeps_the_first_lines_of_a_template() {
        let mut limiter = LineLimiter::new(LineBudget {
            lines_per_second: 0,
            burst_seconds: 1,
        });
        let now = Timestamp::from_secs(1);
        let kept: Vec<u64> = (1..=20)
            .filter(|nth| limiter.keep(&component(), now, Severity::Info, *nth))
            .collect();
        assert_eq!(kept, [1, 2, 4, 8, 16]);
    }

    #[test]
    fn a_backlog_is_limited_by_its_own_time() {
        let mut limiter = LineLimiter::new(LineBudget {
            lines_per_second: 10,
            burst_seconds: 2,
        });
        limiter.refill(Timestamp::from_secs(100_000));
        let all_kept = (0..5_000).all(|n| {
            let time = Timestamp::from_millis(n * 200);
            limiter.keep(&component(), time, Severity::Info, 3)
        });
        assert!(all_kept, "5 lines a second were too many for 10");
    }

    #[test]
    fn a_flood_of_components_shares_one_bucket() {
        let mut limiter = LineLimiter::new(LineBudget {
            lines_per_second: 10,
            burst_seconds: 1,
        });
        for n in 0..10_000 {
            let name = ComponentId::endpoint(format!("192.0.2.1:{n}")).unwrap();
            limiter.keep(&name, Timestamp::default(), Severity::Info, 3);
        }
        assert_eq!(limiter.buckets.len(), BUCKETS_LIMIT);
        limiter.refill(Timestamp::from_secs(1));
        limiter.refill(Timestamp::from_secs(100));
        assert!(limiter.buckets.is_empty(), "idle components were kept");
    }
}
