//! References: where the raw observations behind a statement can be opened.

use serde::{Deserialize, Serialize};

use crate::component::ComponentId;
use crate::id::TemplateId;
use crate::time::TimeRange;

/// What to open, and the command that opens it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "lowercase")]
pub enum Reference {
    /// A metric series.
    Metric {
        /// Whose.
        component: ComponentId,
        /// Name of the signal.
        signal: String,
        /// When.
        range: TimeRange,
    },
    /// Log lines.
    Log {
        /// Whose.
        component: ComponentId,
        /// Only this template; `None` for all lines.
        template: Option<TemplateId>,
        /// When.
        range: TimeRange,
    },
    /// An edge's statistics.
    Edge {
        /// Who depends.
        caller: ComponentId,
        /// On whom.
        callee: ComponentId,
        /// When.
        range: TimeRange,
    },
    /// A change.
    Change {
        /// Of what.
        component: ComponentId,
        /// The change's id.
        id: String,
        /// When.
        range: TimeRange,
    },
    /// Unit states of a service.
    Unit {
        /// Whose.
        component: ComponentId,
        /// When.
        range: TimeRange,
    },
    /// Presence of a host's agent on the collector.
    Heartbeat {
        /// Whose.
        component: ComponentId,
        /// When.
        range: TimeRange,
    },
}

impl Reference {
    /// The range of time that it opens.
    pub fn range(&self) -> TimeRange {
        match self {
            Self::Metric { range, .. }
            | Self::Log { range, .. }
            | Self::Edge { range, .. }
            | Self::Change { range, .. }
            | Self::Unit { range, .. }
            | Self::Heartbeat { range, .. } => *range,
        }
    }

    /// The command line that opens it, for a shell. Arguments are quoted where they need it.
    pub fn command(&self) -> String {
        let span = format!("--since {} --until {}", self.range().from, self.range().to);
        match self {
            Self::Metric {
                component, signal, ..
            } => {
                format!(
                    "firstlook metrics {} {} {span}",
                    quoted(component),
                    shell_quoted(signal)
                )
            }
            Self::Log {
                component,
                template: Some(template),
                ..
            } => {
                format!(
                    "firstlook logs {} --template {template} {span}",
                    quoted(component)
                )
            }
            Self::Log {
                component,
                template: None,
                ..
            } => {
                format!("firstlook logs {} {span}", quoted(component))
            }
            Self::Edge { caller, callee, .. } => {
                format!(
                    "firstlook map {} --to {} {span}",
                    quoted(caller),
                    quoted(callee)
                )
            }
            Self::Change { component, .. } | Self::Unit { component, .. } => {
                format!("firstlook changes {} {span}", quoted(component))
            }
            Self::Heartbeat { component, .. } => {
                format!("firstlook hosts {}", shell_quoted(component.name()))
            }
        }
    }
}

fn quoted(component: &ComponentId) -> String {
    shell_quoted(&component.to_string())
}

/// Quotes for POSIX shells unless every character is plain.
fn shell_quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./-_".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    #[test]
    fn commands_quote_hostile_names() {
        let range = TimeRange::new(Timestamp::from_secs(0), Timestamp::from_secs(60));
        let component: ComponentId = "service:h1/a b; rm 'x'".parse().unwrap();
        let log = Reference::Log {
            component,
            template: None,
            range,
        };
        assert_eq!(
            log.command(),
            "firstlook logs 'service:h1/a b; rm '\\''x'\\''' --since 1970-01-01T00:00:00Z \
             --until 1970-01-01T00:01:00Z"
        );
    }
}
