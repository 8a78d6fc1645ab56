//! The agent's pipeline: what its sources observed becomes records for its journal.
//!
//! Pure steps in order: normalise, redact, template, limit, batch. No IO, no clock, no randomness, no async: time
//! comes as an argument. Everything is bounded, and what does not fit is dropped and counted by
//! source and reason in [`firstlook_model::Record::Losses`].
//!
//! Sources and reasons: `logs` `rate` (over a component's budget), `pending` (too much between two
//! flushes; also `metrics`, `edges`, `units`, `changes`), `metrics` `shape`, `schema-limit` and `same-time`, `limit` for
//! what was cut to size (`units`, `changes`, `inventory`, `checkpoints`).

mod batch;
pub mod config;
mod limit;
mod logs;
mod losses;
mod metrics;
pub mod normalise;
pub mod pipeline;
pub mod redact;
pub mod severity;
pub mod stamp;
pub mod template;
#[cfg(test)]
mod tests;

pub use config::{PipelineConfig, PipelineError};
pub use limit::LineBudget;
pub use pipeline::{Counters, Flushed, Pipeline};
pub use redact::{RULES_LIMIT, RedactError, Redactor, Rule};
pub use template::TemplateLimits;
