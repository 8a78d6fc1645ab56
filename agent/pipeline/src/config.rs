//! What a pipeline can be told.

use std::time::Duration;

use crate::limit::LineBudget;
use crate::redact::{RedactError, Rule};
use crate::template::TemplateLimits;

/// Configuration of a [`crate::Pipeline`].
#[derive(Clone, Debug)]
pub struct PipelineConfig {
    /// Own rules of redaction, applied after the built-in ones. Default none.
    pub redact_rules: Vec<Rule>,
    /// Budgets of templates.
    pub templates: TemplateLimits,
    /// How many lines a component may write.
    pub lines: LineBudget,
    /// How often schemas in use and templates in use are written again, so that a reader that lost
    /// records can go on. Default 10 minutes.
    pub announce_every: Duration,
    /// Most bytes held between two flushes, roughly. At half of it lines are dropped, at three
    /// quarters samples and edges, at all of it everything; each is counted. Default 16 MiB.
    pub pending_limit_bytes: usize,
}

impl Default for PipelineConfig {
    fn default() -> Self {
        Self {
            redact_rules: Vec::new(),
            templates: TemplateLimits::default(),
            lines: LineBudget::default(),
            announce_every: Duration::from_secs(600),
            pending_limit_bytes: 16 * 1024 * 1024,
        }
    }
}

/// Why a pipeline cannot be built. A retry with the same configuration cannot help.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// A rule of redaction cannot be used.
    #[error("redaction rules cannot be used")]
    Redact(#[from] RedactError),
}
