//! What the store counts of itself.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        #[derive(Default)]
        pub(crate) struct Counters { $(pub $name: AtomicU64,)* }

        /// Counts since the store was opened.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct StoreStats { $($(#[$doc])* pub $name: u64,)* }

        impl Counters {
            pub(crate) fn snapshot(&self) -> StoreStats {
                StoreStats { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }

        impl StoreStats {
            /// Name and count of each, for metrics.
            pub fn each(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }
        }
    };
}

counters! {
    /// Records stored.
    records,
    /// Records ignored because they were stored before.
    duplicates,
    /// Sequence numbers that never came: shed by an agent's journal.
    gaps,
    /// Records acknowledged but not stored, because they cannot be encoded within the limits.
    refused,
    /// Templates not stored: their id is not the hash of their text, or there are too many.
    refused_templates,
    /// Schemas forgotten because a host has too many.
    evicted_schemas,
    /// Stored values that could not be read and were set aside.
    quarantined,
    /// Places that the engine could not read.
    unreadable,
    /// Small values joined by compaction.
    compacted,
    /// Segments dropped by retention for their age.
    expired_segments,
    /// Segments dropped by retention because of the budget of bytes.
    crowded_out_segments,
    /// Damaged predecessors that stood beside the store when it was opened, the one included that was set aside then.
    set_aside,
}

pub(crate) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}
