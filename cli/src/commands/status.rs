//! `firstlook status`: the situation now.

use firstlook_model::{BlindSpot, Symptom, Timestamp};
use firstlook_proto::wire;
use serde_json::{Value, json};

use super::Context;
use crate::Answer;
use crate::exit::{Exit, Failure};
use crate::json;
use crate::render::incident::joined;
use crate::render::{Style, Tone, age, clock, escape, wrap};

/// Blind spots shown before the list is cut.
const BLIND_LIMIT: usize = 5;
/// Risks shown before the list is cut.
const RISK_LIMIT: usize = 5;

pub async fn run(mut context: Context, check: bool) -> Result<Answer, Failure> {
    let reply = context
        .client
        .status(wire::StatusRequest {})
        .await?
        .into_inner();
    let exit = if check && !reply.open.is_empty() {
        Exit::Findings
    } else {
        Exit::Done
    };
    let blind = reply.blind_spots.iter().cloned().map(BlindSpot::try_from);
    let blind = blind.collect::<Result<Vec<_>, _>>()?;
    let risks = reply.risks.iter().cloned().map(Symptom::try_from);
    let risks = risks.collect::<Result<Vec<_>, _>>()?;
    let text = if context.json {
        document(&reply, &blind, &risks)?
    } else {
        screen(&context, &reply, &blind, &risks)
    };
    Ok(Answer::with_exit(text, exit))
}

fn document(
    reply: &wire::StatusReply,
    blind: &[BlindSpot],
    risks: &[Symptom],
) -> Result<String, Failure> {
    let list = |incidents: &[wire::IncidentSummary]| -> Vec<Value> {
        incidents.iter().map(summary).collect()
    };
    json::document(
        "status",
        json!({
            "reference_time": Timestamp::from_micros(reply.reference_time),
            "collector_version": reply.version,
            "hosts": { "reporting": reply.hosts_reporting, "silent": reply.hosts_silent },
            "components": reply.components,
            "edges": reply.edges,
            "open": list(&reply.open),
            "closed": list(&reply.closed),
            "risks": risks.iter().map(json::symptom).collect::<Vec<_>>(),
            "blind_spots": blind.iter().map(json::blind_spot).collect::<Vec<_>>(),
            "counters": reply.counters.iter()
                .map(|c| (c.name.clone(), Value::from(c.value)))
                .collect::<serde_json::Map<_, _>>(),
        }),
    )
}

fn summary(i: &wire::IncidentSummary) -> Value {
    json!({
        "incident": i.id,
        "state": i.state,
        "title": i.title,
        "began": Timestamp::from_micros(i.began),
        "opened": Timestamp::from_micros(i.opened),
        "closed": i.closed.map(Timestamp::from_micros),
        "component": i.component,
        "fault": i.fault,
        "probability": i.probability,
        "symptoms": i.symptoms,
    })
}

fn screen(
    context: &Context,
    reply: &wire::StatusReply,
    blind: &[BlindSpot],
    risks: &[Symptom],
) -> String {
    let (style, now) = (context.style, context.now);
    let mut out = String::new();
    let sight = format!(
        "hosts: {} reporting, {} silent; components: {}; dependencies: {}",
        reply.hosts_reporting, reply.hosts_silent, reply.components, reply.edges
    );
    if reply.open.is_empty() && reply.hosts_reporting == 0 {
        let nothing = style.paint(Tone::Unsure, "CANNOT SEE");
        out.push_str(&format!("{nothing}  no host reports to this collector\n"));
    } else if reply.open.is_empty() {
        out.push_str(&format!(
            "{}  no open incident\n",
            style.paint(Tone::Good, "QUIET")
        ));
    }
    for incident in &reply.open {
        let opened = Timestamp::from_micros(incident.opened);
        let head = format!("{}  open {}", escape(&incident.id), age(opened, now));
        out.push_str(&format!("{}\n", style.paint(Tone::Bad, &head)));
        out.push_str(&format!("  {}\n", wrap(&escape(&incident.title), 2)));
        if let Some(component) = &incident.component {
            let leader = format!(
                "{}  {}  {:.0}%",
                escape(component),
                escape(&incident.fault),
                (incident.probability * 100.0).round().min(99.0)
            );
            out.push_str(&format!("  {leader}\n"));
        }
        out.push_str(&format!("  why: firstlook why {}\n", escape(&incident.id)));
    }
    out.push_str(&format!("{sight}\n"));
    out.push_str(&risky(style, risks));
    let lines = joined(blind);
    for line in lines.iter().take(BLIND_LIMIT) {
        out.push_str(&format!(
            "{}  {}\n",
            style.paint(Tone::Unsure, "BLIND"),
            wrap(line, 7)
        ));
    }
    if lines.len() > BLIND_LIMIT {
        out.push_str(&format!(
            "       and {} more: --json shows all\n",
            lines.len() - BLIND_LIMIT
        ));
    }
    for incident in &reply.closed {
        let closed = Timestamp::from_micros(incident.closed.unwrap_or(incident.opened));
        let text = format!(
            "{} {}  {}",
            escape(&incident.id),
            clock(closed, now),
            escape(&incident.title)
        );
        out.push_str(&format!(
            "{}  {}\n",
            style.paint(Tone::Faint, "CLOSED"),
            wrap(&text, 8)
        ));
    }
    out
}

/// What harms nobody yet.
fn risky(style: Style, risks: &[Symptom]) -> String {
    let mut out = String::new();
    for risk in risks.iter().take(RISK_LIMIT) {
        let text = format!(
            "{}: {}",
            escape(&risk.component.to_string()),
            escape(&risk.text)
        );
        out.push_str(&format!(
            "{}  {}\n",
            style.paint(Tone::Unsure, "RISK "),
            wrap(&text, 7)
        ));
    }
    if risks.len() > RISK_LIMIT {
        out.push_str(&format!(
            "       and {} more: --json shows all\n",
            risks.len() - RISK_LIMIT
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use firstlook_model::{ComponentId, Reference, TimeRange};

    use super::*;

    #[test]
    fn risks_are_shown_escaped_and_not_more_than_fit() {
        let at = Timestamp::from_secs(1_800_000_000);
        let component: ComponentId = "filesystem:db1/var".parse().unwrap();
        let risk = Symptom {
            kind: "filesystem.space-exhausted".to_owned(),
            peer: None,
            family: "filesystem".to_owned(),
            onset: TimeRange::new(at, at),
            last_seen: at,
            severity: 0.5,
            gate: false,
            text: "98% full\u{1b}[2J".to_owned(),
            usual: 0.0,
            reference: Reference::Heartbeat {
                component: component.clone(),
                range: TimeRange::new(at, at),
            },
            component,
        };
        let style = Style { color: false };
        assert_eq!(risky(style, &[]), "");
        let shown = risky(style, &vec![risk; RISK_LIMIT + 2]);
        assert!(
            shown.starts_with("RISK   filesystem:db1/var: 98% full"),
            "{shown}"
        );
        assert!(!shown.contains('\u{1b}'), "{shown}");
        assert!(
            shown.ends_with("       and 2 more: --json shows all\n"),
            "{shown}"
        );
        assert_eq!(shown.lines().count(), RISK_LIMIT + 1);
    }
}
