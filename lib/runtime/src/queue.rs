//! A queue bounded by entries and bytes that drops its oldest when it is full, and gives back what it dropped.
//!
//! For streams where the newest is worth the most and the producer must never wait: samples, not logs.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

struct Shared<T> {
    state: Mutex<State<T>>,
    arrived: Notify,
}

struct State<T> {
    /// With the weight of each.
    entries: VecDeque<(T, usize)>,
    capacity: usize,
    bytes: usize,
    limit_bytes: usize,
    senders: usize,
    open: bool,
}

impl<T> Shared<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        // Every change is one push or pop: a panic elsewhere leaves the queue whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    fn pop(&mut self) -> Option<T> {
        let (entry, weight) = self.entries.pop_front()?;
        self.bytes -= weight;
        Some(entry)
    }
}

/// Makes a queue of at most `capacity` entries (at least one) that weigh at most `limit_bytes` together. The newest is
/// kept even when it alone is heavier.
pub fn drop_oldest<T>(capacity: usize, limit_bytes: usize) -> (Sender<T>, Receiver<T>) {
    let state = State {
        entries: VecDeque::new(),
        capacity: capacity.max(1),
        bytes: 0,
        limit_bytes,
        senders: 1,
        open: true,
    };
    let shared = Arc::new(Shared {
        state: Mutex::new(state),
        arrived: Notify::new(),
    });
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

/// The producing end. Never waits.
pub struct Sender<T>(Arc<Shared<T>>);

impl<T> Sender<T> {
    /// Appends `entry`, which weighs `weight_bytes`; gives back what had to make room, oldest first, or `entry` itself
    /// when nobody receives any more. Empty, mostly.
    #[must_use = "what was dropped must be counted"]
    pub fn send(&self, entry: T, weight_bytes: usize) -> Vec<T> {
        let mut state = self.0.state();
        if !state.open {
            return vec![entry];
        }
        let mut dropped = Vec::new();
        while state.entries.len() >= state.capacity
            || state.bytes.saturating_add(weight_bytes) > state.limit_bytes
        {
            match state.pop() {
                Some(oldest) => dropped.push(oldest),
                None => break,
            }
        }
        state.bytes += weight_bytes;
        state.entries.push_back((entry, weight_bytes));
        drop(state);
        self.0.arrived.notify_one();
        dropped
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.state().senders += 1;
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.state().senders -= 1;
        self.0.arrived.notify_one();
    }
}

/// The consuming end.
pub struct Receiver<T>(Arc<Shared<T>>);

impl<T> Receiver<T> {
    /// The oldest entry; `None` when every sender is gone and the queue is empty.
    ///
    /// # Cancel safety
    /// Safe: an entry leaves the queue only as the result.
    pub async fn recv(&mut self) -> Option<T> {
        loop {
            {
                let mut state = self.0.state();
                if let Some(entry) = state.pop() {
                    return Some(entry);
                }
                if state.senders == 0 {
                    return None;
                }
            }
            // A permit is stored when nobody waits yet, so no arrival is missed.
            self.0.arrived.notified().await;
        }
    }

    /// The oldest entry if there is one now.
    pub fn try_recv(&mut self) -> Option<T> {
        self.0.state().pop()
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.open = false;
        state.entries.clear();
        state.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NO_LIMIT: usize = usize::MAX;

    #[tokio::test]
    async fn the_oldest_makes_room_and_is_given_back() {
        let (sender, mut receiver) = drop_oldest(2, NO_LIMIT);
        assert!(sender.send(1, 0).is_empty());
        assert!(sender.send(2, 0).is_empty());
        assert_eq!(sender.send(3, 0), [1]);
        drop(sender);
        assert_eq!(receiver.recv().await, Some(2));
        assert_eq!(receiver.recv().await, Some(3));
        assert_eq!(receiver.recv().await, None);
    }

    #[tokio::test]
    async fn a_waiting_receiver_is_woken_by_an_entry_and_by_the_last_sender() {
        let (sender, mut receiver) = drop_oldest(1, NO_LIMIT);
        let (got, ()) = tokio::join!(receiver.recv(), async {
            assert!(sender.send(7, 0).is_empty())
        });
        assert_eq!(got, Some(7));
        let (got, ()) = tokio::join!(receiver.recv(), async { drop(sender) });
        assert_eq!(got, None);
    }

    #[test]
    fn an_entry_that_nobody_will_take_comes_back() {
        let (sender, receiver) = drop_oldest(1, NO_LIMIT);
        drop(receiver);
        assert_eq!(sender.send(7, 0), [7]);
    }

    #[test]
    fn one_heavy_entry_is_kept_alone() {
        let (sender, mut receiver) = drop_oldest(10, 100);
        assert!(sender.send(1, 60).is_empty());
        assert_eq!(sender.send(2, 500), [1]);
        assert_eq!(sender.send(3, 1), [2]);
        assert_eq!(receiver.try_recv(), Some(3));
    }

    proptest! {
        #[test]
        fn every_entry_comes_out_once_and_the_bounds_hold(
            weights in proptest::collection::vec(0usize..60, 0..60),
            takes in proptest::collection::vec(any::<bool>(), 60),
        ) {
            let (sender, mut receiver) = drop_oldest(8, 100);
            let (mut out, mut held) = (Vec::new(), VecDeque::new());
            for (number, (weight, take)) in weights.iter().zip(takes).enumerate() {
                for dropped in sender.send(number, *weight) {
                    prop_assert_eq!(held.pop_front().map(|(n, _)| n), Some(dropped));
                    out.push(dropped);
                }
                held.push_back((number, *weight));
                prop_assert!(held.len() <= 8);
                prop_assert!(held.iter().map(|(_, w)| w).sum::<usize>() <= 100);
                if take && let Some(taken) = receiver.try_recv() {
                    prop_assert_eq!(held.pop_front().map(|(n, _)| n), Some(taken));
                    out.push(taken);
                }
            }
            out.extend(std::iter::from_fn(|| receiver.try_recv()));
            prop_assert_eq!(out, (0..weights.len()).collect::<Vec<_>>());
        }
    }
}
