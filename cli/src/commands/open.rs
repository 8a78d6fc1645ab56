//! Opening the raw observations behind a fact.

use firstlook_model::Reference;

use super::{Context, changes, hosts, logs, map, metrics};
use crate::Answer;
use crate::args::Span;
use crate::exit::Failure;

/// Runs the command that [`Reference::command`] names.
pub async fn run(context: Context, reference: Reference) -> Result<Answer, Failure> {
    let range = reference.range();
    let span = Span {
        since: Some(range.from.to_string()),
        until: Some(range.to.to_string()),
    };
    match reference {
        Reference::Metric {
            component, signal, ..
        } => metrics::run(context, component.to_string(), Some(signal), span).await,
        Reference::Log {
            component,
            template,
            ..
        } => {
            let filter = logs::Filter {
                about: Some(component.to_string()),
                template: template.map(|t| t.to_string()),
                severity: None,
                contains: None,
                limit: 50,
                from_host: false,
            };
            logs::run(context, filter, span).await
        }
        Reference::Edge { caller, callee, .. } => {
            map::run(
                context,
                Some(caller.to_string()),
                Some(callee.to_string()),
                true,
                span,
            )
            .await
        }
        Reference::Change { component, .. } | Reference::Unit { component, .. } => {
            changes::run(context, Some(component.to_string()), span).await
        }
        Reference::Heartbeat { component, .. } => {
            hosts::run(context, component.host_id().map(ToString::to_string)).await
        }
    }
}
