//! Ingest: the gRPC sessions of agents.
//!
//! authenticate → limits → convert → hand to the ledger, which de-duplicates and stores durably →
//! acknowledge. A record that does not convert is set aside and counted: it can neither stop the stream nor
//! be asked for again.

mod configs;
pub mod counters;
pub mod ledger;
mod own;
pub mod service;
pub mod session;
pub mod sessions;

pub use counters::IngestCounters;
pub use ledger::{Incoming, Ledger, LedgerError};
pub use service::{AgentService, SessionLimits};
pub use sessions::{AskRefused, LinesPiece, Piece, Sessions};
