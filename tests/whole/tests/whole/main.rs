//! The whole: the real programs on loopback, used, broken and attacked from outside.
#![expect(
    clippy::unwrap_used,
    reason = "tests; what they share is no test function"
)]

mod announced;
mod cases;
mod certificates;
mod checkpoints;
mod damage;
mod exactly_once;
mod forward;
mod full_disk;
mod join;
mod kept;
mod lapsed;
mod names;
mod path;
mod probes;
mod received;
mod remote;
mod restarts;
mod revocation;
mod session;
mod silence;
mod snapshots;
mod strain;
mod theories;
mod units;
mod verdict;
