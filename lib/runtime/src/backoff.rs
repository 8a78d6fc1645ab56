//! Waiting between attempts: exponential with full jitter, so that a fleet does not come back at once.

use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};

/// Grows from `first` to `limit`; each wait is drawn between nothing and the current length.
/// Source: "Exponential Backoff And Jitter", AWS architecture blog ("full jitter").
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    limit: Duration,
    next: Duration,
}

impl Backoff {
    /// Waits of up to `first`, doubling up to `limit`.
    pub fn new(first: Duration, limit: Duration) -> Self {
        Self {
            first,
            limit,
            next: first,
        }
    }

    /// How long to wait before the next attempt.
    pub fn next_wait(&mut self) -> Duration {
        self.next_wait_at(random_share())
    }

    /// The same with a given share (0 to 1) of the current length.
    pub fn next_wait_at(&mut self, share: f64) -> Duration {
        let length = self.next;
        self.next = (length * 2).min(self.limit);
        length.mul_f64(share.clamp(0.0, 1.0))
    }

    /// The attempt succeeded: begin anew next time.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

/// A random number from 0 to 1; the middle where the system gives no randomness.
pub fn random_share() -> f64 {
    let mut bytes = [0u8; 4];
    match SystemRandom::new().fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX),
        Err(_) => 0.5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_limit_and_begin_anew() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(5));
        let waits: Vec<_> = (0..5)
            .map(|_| backoff.next_wait_at(1.0).as_secs())
            .collect();
        assert_eq!(waits, [1, 2, 4, 5, 5]);
        backoff.reset();
        assert_eq!(backoff.next_wait_at(0.5), Duration::from_millis(500));
    }

    #[test]
    fn jitter_stays_within_the_current_length() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        for length in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert!(backoff.next_wait() <= Duration::from_secs(length));
        }
    }
}
