//! Keys of stored values.
//!
//! # Format
//! Kind, one byte; the host's name and a zero byte (no name holds one); then start, received, sequence
//! and epoch as 8 big-endian bytes each, times in microseconds with the sign bit turned, so that keys
//! sort by kind, host and start. `start` is the earliest observation of the value.
//!
//! All observations of a value lie in one [`WINDOW`], counted from the Unix epoch. A reader of a range
//! therefore begins at the window's floor and misses nothing.

use std::ops::Range;
use std::time::Duration;

use firstlook_model::{Epoch, HostId, Sequence, TimeRange, Timestamp};

use crate::error::Corrupt;

/// Span of time that one stored value may cover.
pub const WINDOW: Duration = Duration::from_secs(120);
const WINDOW_MICROS: i64 = WINDOW.as_micros() as i64;

/// What a stored value holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Changes,
    Edges,
    Inventory,
    Logs,
    Losses,
    Metrics,
    Units,
}

impl Kind {
    pub(crate) const ALL: [Self; 7] = [
        Self::Changes,
        Self::Edges,
        Self::Inventory,
        Self::Logs,
        Self::Losses,
        Self::Metrics,
        Self::Units,
    ];

    const fn tag(self) -> u8 {
        match self {
            Self::Changes => b'c',
            Self::Edges => b'e',
            Self::Inventory => b'i',
            Self::Logs => b'l',
            Self::Losses => b'x',
            Self::Metrics => b'm',
            Self::Units => b'u',
        }
    }

    fn from_tag(tag: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.tag() == tag)
    }
}

/// A key, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub kind: Kind,
    pub host: HostId,
    /// Earliest observation of the value.
    pub start: Timestamp,
    /// When its first piece was received.
    pub received: Timestamp,
    /// Of its first piece.
    pub sequence: Sequence,
    /// Of its first piece.
    pub epoch: Epoch,
}

impl Key {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = prefix(self.kind, &self.host);
        bytes.extend(sortable(self.start));
        bytes.extend(sortable(self.received));
        bytes.extend(self.sequence.0.to_be_bytes());
        bytes.extend(self.epoch.0.to_be_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Corrupt> {
        let (tag, rest) = bytes.split_first().ok_or(Corrupt::Key)?;
        let kind = Kind::from_tag(*tag).ok_or(Corrupt::Key)?;
        let zero = rest.iter().position(|b| *b == 0).ok_or(Corrupt::Key)?;
        let name = std::str::from_utf8(&rest[..zero]).map_err(|_| Corrupt::Key)?;
        let host = HostId::new(name)?;
        let numbers: &[u8; 32] = rest[zero + 1..].try_into().map_err(|_| Corrupt::Key)?;
        let number = |index: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&numbers[index * 8..index * 8 + 8]);
            u64::from_be_bytes(bytes)
        };
        Ok(Self {
            kind,
            host,
            start: from_sortable(number(0)),
            received: from_sortable(number(1)),
            sequence: Sequence(number(2)),
            epoch: Epoch(number(3)),
        })
    }

    /// The window of the value, as its number since the Unix epoch.
    pub(crate) fn window(&self) -> i64 {
        window_of(self.start)
    }
}

/// Keys of one kind and host whose values may hold observations of `range`.
pub(crate) fn scan_range(kind: Kind, host: &HostId, range: TimeRange) -> Range<Vec<u8>> {
    let floor = window_of(range.from).saturating_mul(WINDOW_MICROS);
    let mut from = prefix(kind, host);
    let mut to = from.clone();
    from.extend(sortable(Timestamp::from_micros(floor)));
    to.extend(sortable(range.to.max(range.from)));
    from..to
}

/// Number of the window that an instant lies in.
pub(crate) fn window_of(at: Timestamp) -> i64 {
    at.as_micros().div_euclid(WINDOW_MICROS)
}

/// First instant after a window, saturating.
pub(crate) fn window_end(window: i64) -> Timestamp {
    Timestamp::from_micros(window.saturating_add(1).saturating_mul(WINDOW_MICROS))
}

fn prefix(kind: Kind, host: &HostId) -> Vec<u8> {
    let name = host.as_str().as_bytes();
    let mut bytes = Vec::with_capacity(2 + name.len() + 32);
    bytes.push(kind.tag());
    bytes.extend_from_slice(name);
    bytes.push(0);
    bytes
}

fn sortable(at: Timestamp) -> [u8; 8] {
    ((at.as_micros() as u64) ^ (1 << 63)).to_be_bytes()
}

fn from_sortable(number: u64) -> Timestamp {
    Timestamp::from_micros((number ^ (1 << 63)) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_key() -> impl Strategy<Value = Key> {
        (
            0usize..7,
            "[a-z0-9][a-z0-9._-]{0,40}",
            any::<[i64; 2]>(),
            any::<[u64; 2]>(),
        )
            .prop_map(|(kind, host, [start, received], [sequence, epoch])| Key {
                kind: Kind::ALL[kind],
                host: HostId::new(host).unwrap(),
                start: Timestamp::from_micros(start),
                received: Timestamp::from_micros(received),
                sequence: Sequence(sequence),
                epoch: Epoch(epoch),
            })
    }

    proptest! {
        #[test]
        fn any_key_reads_back(key in any_key()) {
            prop_assert_eq!(Key::decode(&key.encode()).unwrap(), key);
        }

        #[test]
        fn keys_of_one_host_sort_by_start(a in any_key(), start in any::<i64>()) {
            let b = Key { start: Timestamp::from_micros(start), ..a.clone() };
            prop_assert_eq!(a.start.cmp(&b.start), a.encode().cmp(&b.encode()));
        }

        #[test]
        fn a_range_holds_every_value_that_may_observe_it(
            key in any_key(), into in 0i64..WINDOW_MICROS, span in 1i64..1_000_000_000,
        ) {
            // An observation in the key's window, at or after its start, inside the range.
            let at = key.start.as_micros().saturating_add(into);
            let seen = Timestamp::from_micros(at);
            prop_assume!(window_of(seen) == key.window());
            let range = TimeRange::new(
                Timestamp::from_micros(at.saturating_sub(span)),
                Timestamp::from_micros(at.saturating_add(1)),
            );
            prop_assume!(range.contains(seen));
            let scan = scan_range(key.kind, &key.host, range);
            prop_assert!(scan.contains(&key.encode()));
        }

        #[test]
        fn hostile_keys_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Key::decode(&bytes);
        }
    }
}
