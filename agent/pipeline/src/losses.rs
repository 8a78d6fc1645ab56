//! What was lost on this host, summed by source and reason until the next flush.

use std::collections::BTreeMap;

use firstlook_model::{Loss, Timestamp};

/// Most pairs of source and reason held; further ones are summed as `other`.
const PAIRS_LIMIT: usize = 256;
/// Longest source or reason kept, in bytes.
const NAME_LIMIT_BYTES: usize = 128;

/// A ledger of losses.
#[derive(Debug, Default)]
pub(crate) struct LossLedger {
    pairs: BTreeMap<(String, String), Loss>,
}

impl LossLedger {
    /// Counts `count` items of `bytes` in all, lost at `time`.
    pub fn lose(&mut self, source: &str, reason: &str, count: u64, bytes: u64, time: Timestamp) {
        self.add(Loss {
            source: source.to_owned(),
            reason: reason.to_owned(),
            count,
            bytes,
            from: time,
            to: time,
        });
    }

    /// Adds a loss that somebody else counted.
    pub fn add(&mut self, mut loss: Loss) {
        clip(&mut loss.source, NAME_LIMIT_BYTES);
        clip(&mut loss.reason, NAME_LIMIT_BYTES);
        let mut key = (loss.source.clone(), loss.reason.clone());
        if self.pairs.len() >= PAIRS_LIMIT && !self.pairs.contains_key(&key) {
            key = ("other".to_owned(), "other".to_owned());
            (loss.source, loss.reason) = key.clone();
        }
        match self.pairs.get_mut(&key) {
            Some(sum) => {
                sum.count = sum.count.saturating_add(loss.count);
                sum.bytes = sum.bytes.saturating_add(loss.bytes);
                sum.from = sum.from.min(loss.from);
                sum.to = sum.to.max(loss.to);
            }
            None => {
                self.pairs.insert(key, loss);
            }
        }
    }

    /// All sums, by source and reason; the ledger is empty afterwards.
    pub fn take(&mut self) -> Vec<Loss> {
        std::mem::take(&mut self.pairs).into_values().collect()
    }
}

/// Cuts `text` to at most `limit` bytes, at a character's boundary. Whether it did.
pub(crate) fn clip(text: &mut String, limit: usize) -> bool {
    if text.len() <= limit {
        return false;
    }
    let end = (0..=limit)
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0);
    text.truncate(end);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_of_one_source_and_reason_are_summed() {
        let mut ledger = LossLedger::default();
        ledger.lose("logs", "rate", 2, 20, Timestamp::from_secs(5));
        ledger.lose("logs", "rate", 1, 10, Timestamp::from_secs(3));
        ledger.lose("logs", "pending", 1, 1, Timestamp::from_secs(4));
        let losses = ledger.take();
        assert_eq!(losses.len(), 2);
        assert_eq!((losses[1].count, losses[1].bytes), (3, 30));
        assert_eq!(losses[1].from, Timestamp::from_secs(3));
        assert_eq!(losses[1].to, Timestamp::from_secs(5));
        assert!(ledger.take().is_empty());
    }

    #[test]
    fn a_flood_of_names_is_summed_as_other() {
        let mut ledger = LossLedger::default();
        for n in 0..10_000 {
            ledger.lose(&format!("s{n}"), "r", 1, 0, Timestamp::default());
        }
        let losses = ledger.take();
        assert!(losses.len() <= PAIRS_LIMIT + 1);
        assert_eq!(losses.iter().map(|l| l.count).sum::<u64>(), 10_000);
    }

    #[test]
    fn clipping_never_splits_a_character() {
        let mut text = "añb".to_owned();
        assert!(clip(&mut text, 2));
        assert_eq!(text, "a");
    }
}
