//! The telemetry store: metric blocks, logs, edges and events of all hosts, durable, under a budget.
//!
//! What is committed is kept as it came, under (host, time), with how far the host's journal is
//! acknowledged, in one synced write. Compaction later joins the small pieces of two minutes into large
//! ones, retention drops the oldest. Readers see both alike and know nothing of either.
//!
//! Corrupt values are set aside and counted; everything else is still served. Nothing outside this crate
//! knows which engine is underneath; inside, only `engine.rs` does.

mod commit;
mod committer;
mod compact;
mod config;
mod engine;
mod error;
mod hosts;
mod incoming;
mod key;
mod merge;
mod opening;
mod quarantine;
mod query;
mod replay;
mod retain;
mod schemas;
mod segments;
mod stats;
mod store;
mod templates;
mod value;

#[cfg(test)]
mod tests;

pub use commit::Committed;
pub use compact::Compacted;
pub use config::{JOURNAL_LIMIT_BYTES, StoreConfig};
pub use error::{EngineError, StoreError};
pub use hosts::HostContact;
pub use incoming::Incoming;
pub use key::WINDOW;
pub use opening::SetAside;
pub use query::{LogFilter, MetricSelector, SeriesSamples, Stored, StoredLog};
pub use retain::Retained;
pub use stats::StoreStats;
pub use store::Store;
