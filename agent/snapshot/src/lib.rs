//! Snapshots of a host: the state that a fix would destroy, in one verifiable archive.
//!
//! [`take()`] reads what the kernel and the declared files show at this moment (processes, sockets, kernel log, mounts,
//! pressure and other counters, settings, packages), adds what the agent already has (units, recent journal), and
//! writes it as an archive of `firstlook-archive`. It never forks, reads no environment, follows no symbolic link
//! at the end of a declared path, and waits for nothing longer than its deadline: what did not come in time, could not be
//! read or did not fit is named in the manifest, with the reason.
//!
//! It blocks, so an async caller gives it a thread of its own.

mod gather;
mod request;
mod take;
mod task;
#[cfg(test)]
mod tests;

pub use request::{ExtraItem, Redact, Roots, SnapshotLimits, SnapshotRequest};
pub use take::{SnapshotArchive, SnapshotError, take};
