//! What the host sources gather, for which faults, and what no source gathers and why: the tables behind
//! `docs/signals.md`, which is written from here (`cargo run -p firstlook-sources-host --example signals`).
//!
//! Tests hold the tables to the code: every signal that a source registers is listed once, with the kind of
//! component it is of, and nothing else is listed.

mod faults;
mod page;
mod table;

use firstlook_model::ComponentKind;

pub use page::page;

/// Signals that are read alike.
#[derive(Clone, Copy, Debug)]
pub struct Gathered {
    /// Names, as in the model.
    pub signals: &'static [&'static str],
    /// What they are of.
    pub of: ComponentKind,
    /// The kernel's file, or who is asked.
    pub read_from: &'static str,
    /// Seconds between two readings, at the default interval; 0 for an interval that adapts.
    pub every_seconds: u64,
    /// Kinds of fault in whose signs they are.
    pub serves: &'static [&'static str],
    /// What must be so for them to be seen; empty where any user on any supported kernel sees them.
    pub needs: &'static str,
}

/// One kind of fault: what shows it besides the signals of these sources, and what does not show it.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// Its id.
    pub kind: &'static str,
    /// Signs that other sources gather; empty where there are none.
    pub elsewhere: &'static str,
    /// Signs that nobody gathers, with the reason; empty where there are none.
    pub missing: &'static str,
}

/// All that the host sources gather.
pub fn gathered() -> impl Iterator<Item = &'static Gathered> {
    table::rows()
}

/// All kinds of fault.
pub fn faults() -> &'static [Fault] {
    faults::FAULTS
}

#[cfg(test)]
mod tests;
