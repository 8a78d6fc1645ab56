//! Evidence that is kept from a replay, to see what it is worth.

use clap::ValueEnum;

/// A kind of evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Withheld {
    /// Who calls whom, as recorded and as spans show it
    Topology,
    /// Log lines
    Logs,
    /// Spans: how long each works itself and what fails there, the errors of failed ones, the calls and the names of operations
    Spans,
    /// What was changed
    Changes,
    /// What the same search finds in the time before
    QuietWindows,
}

/// As they are given.
pub fn names(withheld: &[Withheld]) -> Vec<String> {
    let values = withheld.iter().filter_map(Withheld::to_possible_value);
    values.map(|value| value.get_name().to_owned()).collect()
}
