//! `firstlook changes`: what was altered, and how units changed state.

use firstlook_model::{Change, Timestamp, UnitState};
use firstlook_proto::convert::range_to_wire;
use firstlook_proto::wire;
use serde_json::{Value, json};

use super::Context;
use crate::Answer;
use crate::args::Span;
use crate::exit::Failure;
use crate::json;
use crate::render::{clock, escape, wrap};
use crate::when;

pub async fn run(
    mut context: Context,
    about: Option<String>,
    span: Span,
) -> Result<Answer, Failure> {
    let range = when::range_with_ahead(&span, context.now)?;
    let request = wire::ChangesRequest {
        about: about.unwrap_or_default(),
        range: Some(range_to_wire(range)),
    };
    let reply = context.client.changes(request).await?.into_inner();
    let changes = reply
        .changes
        .into_iter()
        .map(Change::try_from)
        .collect::<Result<Vec<_>, _>>()?;
    let units = reply
        .units
        .into_iter()
        .map(UnitState::try_from)
        .collect::<Result<Vec<_>, _>>()?;
    let text = if context.json {
        json::document(
            "changes",
            json!({
                "range": range,
                "changes": changes.iter().map(json::change).collect::<Vec<Value>>(),
                "units": units,
            }),
        )?
    } else {
        screen(&changes, &units, context.now)
    };
    Ok(Answer::done(text))
}

fn screen(changes: &[Change], units: &[UnitState], now: Timestamp) -> String {
    let mut lines: Vec<(Timestamp, String)> = Vec::new();
    for change in changes {
        lines.push((
            change.time,
            format!(
                "{}  {}",
                escape(&change.component.label()),
                escape(&change.text)
            ),
        ));
    }
    for unit in units {
        let state = format!("{:?}", unit.active).to_lowercase();
        let mut text = format!(
            "{}  unit is {state} ({})",
            escape(&unit.component.label()),
            escape(&unit.sub)
        );
        if !unit.result.is_empty() && unit.result != "success" {
            text.push_str(&format!(", result {}", escape(&unit.result)));
        }
        lines.push((unit.time, text));
    }
    lines.sort_by_key(|(time, _)| *time);
    if lines.is_empty() {
        return "no change recorded in this range\n".to_owned();
    }
    let mut out = String::new();
    for (time, text) in lines {
        let stamp = clock(time, now);
        let indent = stamp.chars().count() + 2;
        out.push_str(&format!("{stamp}  {}\n", wrap(&text, indent)));
    }
    out
}
