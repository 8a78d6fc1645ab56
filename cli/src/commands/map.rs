//! `firstlook map`: components, the dependencies observed between them, and how both fare.

use firstlook_model::{Calls, ComponentId, Edge, EdgeStats, Timestamp};
use firstlook_proto::wire;
use serde_json::{Value, json};

use super::Context;
use crate::Answer;
use crate::args::Span;
use crate::exit::{Exit, Failure};
use crate::json;
use crate::render::{Style, Tone, age, counted, escape, wrap};
use crate::when;

struct Component {
    id: ComponentId,
    health: wire::Health,
    text: String,
}

pub async fn run(
    mut context: Context,
    about: Option<String>,
    to: Option<String>,
    all: bool,
    span: Span,
) -> Result<Answer, Failure> {
    let range = when::range(&span, context.now)?;
    let request = wire::MapRequest {
        component: about.clone().unwrap_or_default(),
        range: None,
    };
    let reply = context.client.map(request).await?.into_inner();
    let now = Timestamp::from_micros(reply.reference_time);
    let components = reply.components.into_iter().map(check);
    let components = components.collect::<Result<Vec<_>, Failure>>()?;
    let edges = reply
        .edges
        .into_iter()
        .map(Edge::try_from)
        .collect::<Result<Vec<_>, _>>()?;
    let edges: Vec<_> = edges
        .into_iter()
        .filter(|e| {
            to.as_ref()
                .is_none_or(|to| e.callee.to_string() == *to || e.callee.label() == *to)
        })
        .filter(|e| e.last_seen >= range.from && e.first_seen < range.to)
        .collect();
    if about.is_some() && components.is_empty() && edges.is_empty() {
        let message = "no such component: `firstlook map --all` lists them".to_owned();
        return Err(Failure {
            exit: Exit::NotFound,
            message,
        });
    }
    if let (Some(to), true) = (&to, edges.is_empty()) {
        let message = format!("no dependency on {to} was seen in this range");
        return Err(Failure {
            exit: Exit::NotFound,
            message,
        });
    }
    let text = if context.json {
        document(&components, &edges, now)?
    } else {
        let everything = all || about.is_some();
        screen(&components, &edges, now, context.style, everything)
    };
    Ok(Answer::done(text))
}

fn check(view: wire::ComponentView) -> Result<Component, Failure> {
    let health = view.health();
    Ok(Component {
        id: view.component.parse()?,
        health,
        text: view.text,
    })
}

fn word(health: wire::Health) -> &'static str {
    match health {
        wire::Health::Fine => "fine",
        wire::Health::Broken => "broken",
        wire::Health::CannotSee | wire::Health::Unspecified => "cannot-see",
    }
}

fn document(components: &[Component], edges: &[Edge], now: Timestamp) -> Result<String, Failure> {
    let components: Vec<Value> = components
        .iter()
        .map(|c| json!({ "component": json::component(&c.id), "health": word(c.health), "text": c.text }))
        .collect();
    let edges: Vec<Value> = edges
        .iter()
        .map(|e| {
            json!({
                "caller": json::component(&e.caller),
                "callee": json::component(&e.callee),
                "port": e.port,
                "from_caller": e.from_caller,
                "from_callee": e.from_callee,
                "first_seen": e.first_seen,
                "last_seen": e.last_seen,
            })
        })
        .collect();
    json::document(
        "map",
        json!({ "reference_time": now, "components": components, "edges": edges }),
    )
}

fn screen(
    components: &[Component],
    edges: &[Edge],
    now: Timestamp,
    style: Style,
    everything: bool,
) -> String {
    if components.is_empty() {
        return "no component is known: no host has reported\n".to_owned();
    }
    let mut out = String::new();
    let trouble: Vec<_> = components
        .iter()
        .filter(|c| c.health != wire::Health::Fine)
        .collect();
    let fine = components.len() - trouble.len();
    let broken = trouble.iter().any(|c| c.health == wire::Health::Broken);
    let show_fine = everything || !broken;
    for c in components
        .iter()
        .filter(|c| show_fine || c.health != wire::Health::Fine)
    {
        let (mark, tone) = match c.health {
            wire::Health::Fine => ("fine  ", Tone::Good),
            wire::Health::Broken => ("BROKEN", Tone::Bad),
            _ => ("BLIND ", Tone::Unsure),
        };
        let text = format!("{}  {}", escape(&c.id.to_string()), escape(&c.text));
        out.push_str(&format!(
            "{}  {}\n",
            style.paint(tone, mark),
            wrap(&text, 8)
        ));
    }
    if !show_fine && fine > 0 {
        let fine = counted(fine as u64, "component");
        out.push_str(&format!("{fine} fine: --all shows them\n"));
    }
    let touches = |c: &ComponentId| trouble.iter().any(|t| &t.id == c);
    let shown: Vec<_> = edges
        .iter()
        .filter(|e| show_fine || touches(&e.caller) || touches(&e.callee))
        .collect();
    if !shown.is_empty() {
        out.push_str(&format!(
            "\n{}\n",
            style.paint(Tone::Strong, "DEPENDENCIES")
        ));
    }
    for edge in shown {
        let names = format!(
            "{} -> {} :{}",
            escape(&edge.caller.label()),
            escape(&edge.callee.label()),
            edge.port
        );
        out.push_str(&format!("  {}\n", wrap(&names, 4)));
        out.push_str(&format!("      {}\n", wrap(&fare(edge, now), 6)));
    }
    out
}

/// The caller's view where there is one: it feels the trouble.
fn fare(edge: &Edge, now: Timestamp) -> String {
    let seen = format!("last seen {} ago", age(edge.last_seen, now));
    match (&edge.from_caller, &edge.from_callee) {
        (Some(stats), Some(_)) => format!("{}; both ends seen; {seen}", numbers(stats)),
        (Some(stats), None) => format!("{}; only the caller is seen; {seen}", numbers(stats)),
        (None, Some(stats)) => format!("{}; only the callee is seen; {seen}", numbers(stats)),
        (None, None) => seen,
    }
}

fn numbers(s: &EdgeStats) -> String {
    let mut parts: Vec<String> = s.calls.iter().map(calls).collect();
    if s.calls.is_some_and(|calls| calls.alone) {
        return format!("{}, by spans alone", parts.concat());
    }
    parts.push(counted(u64::from(s.established), "connection"));
    if s.opened > 0 {
        parts.push(format!("{} new", s.opened));
    }
    if let Some(rtt) = s.rtt_us {
        parts.push(format!("rtt {:.1} ms", f64::from(rtt) / 1e3));
    }
    if s.retransmits > 0 {
        parts.push(format!(
            "{} of {} segments sent again",
            s.retransmits, s.segments_sent
        ));
    }
    if s.syn_sent > 0 {
        let attempts = counted(u64::from(s.syn_sent), "attempt");
        parts.push(format!("{attempts} unanswered"));
    }
    if s.stalled_ms > 1_000 {
        parts.push(format!("silent for {:.1} s", s.stalled_ms as f64 / 1e3));
    }
    parts.join(", ")
}

/// As `12/s, 3% failed, mean 40 ms`.
fn calls(c: &Calls) -> String {
    let each_second = c.requests as f64 * 1e3 / f64::from(c.interval_ms.max(1));
    let rate = match each_second {
        rate if rate >= 10.0 => format!("{rate:.0}/s"),
        rate => format!("{rate:.1}/s"),
    };
    let failed = match 100.0 * c.failed as f64 / c.requests.max(1) as f64 {
        0.0 => String::new(),
        share if share < 1.0 => ", under 1% failed".to_owned(),
        share => format!(", {share:.0}% failed"),
    };
    let mean = match f64::from(c.mean_us) / 1e3 {
        ms if ms >= 10.0 => format!("{ms:.0} ms"),
        ms => format!("{ms:.1} ms"),
    };
    format!("{rate}{failed}, mean {mean}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_go_before_connections_and_stand_for_them_where_spans_alone_tell() {
        let told = |requests, failed, mean_us, alone| {
            numbers(&EdgeStats {
                established: 2,
                calls: Some(Calls {
                    interval_ms: 10_000,
                    requests,
                    failed,
                    mean_us,
                    longest_us: mean_us,
                    alone,
                }),
                ..EdgeStats::default()
            })
        };
        assert_eq!(
            told(120, 4, 40_000, false),
            "12/s, 3% failed, mean 40 ms, 2 connections"
        );
        assert_eq!(
            told(1, 0, 1_500, true),
            "0.1/s, mean 1.5 ms, by spans alone"
        );
        assert!(told(1_000, 1, 1, true).contains(", under 1% failed,"));
    }
}
