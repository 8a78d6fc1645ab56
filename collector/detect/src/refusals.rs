//! What detection refused, by reason.

/// Counters of what hosts sent and detection would not take. They only rise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusals {
    /// Items about components that are not the sending host's own.
    pub foreign: u64,
    /// Blocks whose schema is not known.
    pub unknown_schema: u64,
    /// Blocks that do not fit their schema, edges without a port.
    pub malformed: u64,
    /// Blocks that came again, or far out of order.
    pub late: u64,
    /// Changes that only somebody may announce, and an agent claimed to see.
    pub unannounced: u64,
    /// Items over a budget: hosts, series, schemas, edges, templates, units, changes.
    pub over_budget: u64,
}
