//! Which records are there: class and length of each, in order, in memory.

use std::collections::{BTreeMap, VecDeque};

use firstlook_model::RecordClass;

/// Every class, the one shed first in front.
pub(crate) const CLASSES: [RecordClass; 3] =
    [RecordClass::Logs, RecordClass::Metrics, RecordClass::Facts];

/// Place of a class in [`CLASSES`], and its byte in keys.
pub(crate) fn rank(class: RecordClass) -> u8 {
    match class {
        RecordClass::Logs => 0,
        RecordClass::Metrics => 1,
        RecordClass::Facts => 2,
    }
}

/// Live records.
#[derive(Default)]
pub(crate) struct Index {
    /// By sequence: class rank and length.
    live: BTreeMap<u64, (u8, u32)>,
    /// Sequences of each class, oldest first; entries that left by acknowledgement are skipped lazily.
    by_class: [VecDeque<u64>; 3],
    bytes: u64,
}

impl Index {
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn insert(&mut self, sequence: u64, rank: u8, length: u32) {
        let Some(queue) = self.by_class.get_mut(usize::from(rank)) else {
            return;
        };
        queue.push_back(sequence);
        self.live.insert(sequence, (rank, length));
        self.bytes += u64::from(length);
    }

    pub(crate) fn remove(&mut self, sequence: u64) {
        if let Some((_, length)) = self.live.remove(&sequence) {
            self.bytes -= u64::from(length);
        }
    }

    /// Live records up to and including `sequence`: sequence and class rank.
    pub(crate) fn up_to(&self, sequence: u64) -> Vec<(u64, u8)> {
        self.live
            .range(..=sequence)
            .map(|(s, (rank, _))| (*s, *rank))
            .collect()
    }

    /// The first live records after `sequence`: sequence, class rank and length.
    pub(crate) fn after(&self, sequence: u64) -> impl Iterator<Item = (u64, u8, u32)> {
        let start = sequence.saturating_add(1);
        self.live
            .range(start..)
            .map(|(s, (rank, length))| (*s, *rank, *length))
    }

    /// What must go so that the rest fits `budget`: cheapest class first, oldest first. The newest record
    /// always stays.
    pub(crate) fn over_budget(&mut self, budget: u64) -> Vec<(u64, u8, u32)> {
        let newest = self.live.last_key_value().map(|(s, _)| *s);
        let (mut bytes, mut out) = (self.bytes, Vec::new());
        for queue in &mut self.by_class {
            while bytes > budget {
                let Some(sequence) = queue.front().copied() else {
                    break;
                };
                if Some(sequence) == newest {
                    break;
                }
                queue.pop_front();
                if let Some((rank, length)) = self.live.get(&sequence) {
                    bytes -= u64::from(*length);
                    out.push((sequence, *rank, *length));
                }
            }
        }
        out
    }

    /// Drops leading entries of the class queues that are no longer live.
    pub(crate) fn tidy(&mut self) {
        for queue in &mut self.by_class {
            while queue.front().is_some_and(|s| !self.live.contains_key(s)) {
                queue.pop_front();
            }
        }
    }
}
