//! Stopwatches for wall time and for this process's CPU time, all threads, user and kernel.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// A running stopwatch.
pub struct Stopwatch {
    wall: Instant,
    cpu: Duration,
}

/// What passed on a stopwatch, in seconds.
#[derive(Clone, Copy)]
pub struct Passed {
    pub wall: f64,
    pub cpu: f64,
}

impl Stopwatch {
    pub fn start() -> Self {
        Self {
            wall: Instant::now(),
            cpu: cpu_time(),
        }
    }

    pub fn passed(&self) -> Passed {
        Passed {
            wall: self.wall.elapsed().as_secs_f64(),
            cpu: cpu_time().saturating_sub(self.cpu).as_secs_f64(),
        }
    }
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), nanos)
}
