//! What the agent costs its host.

use std::collections::VecDeque;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Own CPU time is a mean over so long.
const CPU_OVER: Duration = Duration::from_secs(10);
/// Starting costs more than running, and is let pass.
const STARTING: Duration = Duration::from_secs(60);

/// CPU time of the agent at some earlier moments, the oldest first.
#[derive(Default)]
pub struct OwnUse(VecDeque<(Duration, Duration)>);

impl OwnUse {
    /// Mean over the last ten seconds, in percent of one core; nothing in the first minute. `now` is the time since the agent was
    /// started.
    pub fn cpu_percent(&mut self, now: Duration) -> f64 {
        let spent = clock_gettime(ClockId::ProcessCPUTime);
        let spent = Duration::new(
            u64::try_from(spent.tv_sec).unwrap_or(0),
            u32::try_from(spent.tv_nsec).unwrap_or(0),
        );
        self.0.push_back((now, spent));
        while self.0.len() > 2 && now.saturating_sub(self.0[1].0) >= CPU_OVER {
            self.0.pop_front();
        }
        let (at, before) = self.0[0];
        let passed = now.saturating_sub(at).as_secs_f64();
        match passed > 0.0 && now >= STARTING {
            true => 100.0 * spent.saturating_sub(before).as_secs_f64() / passed,
            false => 0.0,
        }
    }
}

/// Memory that the agent uses; 0 where it cannot be read.
pub fn resident_mib() -> f64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: Option<u64> = text.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0) as f64 * rustix::param::page_size() as f64 / f64::from(1 << 20)
}
