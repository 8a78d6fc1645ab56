//! `firstlook logs`.

use firstlook_model::{LogEntry, Severity, TemplateId};
use firstlook_proto::wire;
use serde_json::{Value, json};

use super::Context;
use crate::Answer;
use crate::args::{SeverityArg, Span};
use crate::exit::Failure;
use crate::json;
use crate::render::{Tone, clock, escape};
use crate::when;
use firstlook_proto::convert::range_to_wire;

/// Which lines.
pub struct Filter {
    pub about: Option<String>,
    pub template: Option<String>,
    pub severity: Option<SeverityArg>,
    pub contains: Option<String>,
    pub limit: u32,
    pub from_host: bool,
}

pub async fn run(mut context: Context, filter: Filter, span: Span) -> Result<Answer, Failure> {
    // A host asked for its own lines reads them by its own clock.
    let range = match filter.from_host {
        true => when::range(&span, context.now)?,
        false => when::range_with_ahead(&span, context.now)?,
    };
    let template = filter
        .template
        .as_deref()
        .map(str::parse::<TemplateId>)
        .transpose();
    let template = template.map_err(|e| Failure::usage(e.to_string()))?;
    let severity = filter
        .severity
        .map_or(wire::Severity::Unspecified, severity);
    let request = wire::LogsRequest {
        about: filter.about.unwrap_or_default(),
        range: Some(range_to_wire(range)),
        template: template.map(|t| t.0),
        severity: severity.into(),
        contains: filter.contains.unwrap_or_default(),
        limit: filter.limit,
        from_host: filter.from_host,
    };
    let mut stream = context.client.logs(request).await?.into_inner();
    let (mut lines, mut left_out, mut notes) = (Vec::new(), 0, Vec::new());
    while let Some(reply) = stream.message().await? {
        left_out += reply.left_out;
        notes.extend(reply.notes);
        for line in reply.lines {
            lines.push(LogEntry::try_from(line)?);
        }
    }
    let text = if context.json {
        let lines: Vec<Value> = lines.iter().map(document).collect();
        json::document(
            "logs",
            json!({
                "range": range,
                "lines": lines,
                "left_out": left_out,
                "from_host": filter.from_host,
                "notes": notes,
            }),
        )?
    } else {
        screen(&context, &lines, left_out, &notes)
    };
    Ok(Answer::done(text))
}

fn severity(arg: SeverityArg) -> wire::Severity {
    match arg {
        SeverityArg::Debug => wire::Severity::Debug,
        SeverityArg::Info => wire::Severity::Info,
        SeverityArg::Warning => wire::Severity::Warning,
        SeverityArg::Error => wire::Severity::Error,
        SeverityArg::Critical => wire::Severity::Critical,
    }
}

fn document(entry: &LogEntry) -> Value {
    json!({
        "time": entry.time,
        "component": json::component(&entry.component),
        "severity": entry.severity,
        "source": entry.source,
        "template": entry.template,
        "text": entry.text,
    })
}

fn screen(context: &Context, lines: &[LogEntry], left_out: u64, notes: &[String]) -> String {
    let mut out = String::new();
    for note in notes {
        let note = format!("not all was read: {}", escape(note));
        out.push_str(&format!("{}\n", context.style.paint(Tone::Unsure, &note)));
    }
    if lines.is_empty() {
        out.push_str("no lines in this range\n");
        return out;
    }
    if left_out > 0 {
        let note = "older lines are left out: --limit shows more".to_owned();
        out.push_str(&format!("{}\n", context.style.paint(Tone::Faint, &note)));
    }
    for entry in lines {
        let (mark, tone) = match entry.severity {
            Severity::Critical => ("C", Tone::Bad),
            Severity::Error => ("E", Tone::Bad),
            Severity::Warning => ("W", Tone::Unsure),
            Severity::Info => ("I", Tone::Faint),
            Severity::Debug => ("D", Tone::Faint),
        };
        // Log lines are shown whole: cutting them at 80 columns would cut the reason.
        out.push_str(&format!(
            "{} {} {}  {}\n",
            clock(entry.time, context.now),
            context.style.paint(tone, mark),
            context
                .style
                .paint(Tone::Faint, &escape(&entry.component.label())),
            escape(&entry.text)
        ));
    }
    out
}
