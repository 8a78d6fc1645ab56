//! Log blocks and lines.

use std::collections::BTreeMap;

use firstlook_model::log::{CONTAINS_LIMIT_BYTES, LINE_LIMIT_BYTES, LOG_BLOCK_LIMIT_ENTRIES};
use firstlook_model::{
    LinesQuestion, LogBlock, LogEntry, LogTemplate, TemplateId, TimeRange, Timestamp,
};

use super::enums::Checked;
use super::fields::{self, InvalidMessage};
use crate::wire;

impl From<&LogBlock> for wire::LogBlock {
    fn from(block: &LogBlock) -> Self {
        let mut components = Vec::new();
        let mut known = BTreeMap::new();
        let mut last = 0i64;
        let entries = block
            .entries
            .iter()
            .map(|entry| {
                let component = *known.entry(&entry.component).or_insert_with(|| {
                    components.push(entry.component.to_string());
                    (components.len() - 1) as u32
                });
                let time_delta = entry.time.as_micros().wrapping_sub(last);
                last = entry.time.as_micros();
                wire::LogEntry {
                    time_delta,
                    component,
                    template: entry.template.0,
                    severity: wire::Severity::from(entry.severity).into(),
                    source: wire::LogSource::from(entry.source).into(),
                    text: entry.text.clone(),
                }
            })
            .collect();
        let templates = block
            .templates
            .iter()
            .map(|t| wire::LogTemplate {
                id: t.id.0,
                text: t.text.clone(),
            })
            .collect();
        Self {
            components,
            templates,
            entries,
        }
    }
}

impl TryFrom<wire::LogBlock> for LogBlock {
    type Error = InvalidMessage;
    fn try_from(block: wire::LogBlock) -> Result<Self, InvalidMessage> {
        let limit = LOG_BLOCK_LIMIT_ENTRIES;
        let components =
            fields::list("log components", block.components, limit, fields::component)?;
        let templates = fields::list("log templates", block.templates, limit, |t| {
            let text = fields::text("template text", t.text, LINE_LIMIT_BYTES)?;
            Ok(LogTemplate {
                id: TemplateId(t.id),
                text,
            })
        })?;
        let mut last = 0i64;
        let entries = fields::list("log entries", block.entries, limit, |entry| {
            last = last.wrapping_add(entry.time_delta);
            let component = components.get(entry.component as usize).cloned();
            Ok(LogEntry {
                time: Timestamp::from_micros(last),
                component: fields::required("log entry component", component)?,
                template: TemplateId(entry.template),
                severity: wire::Severity::checked(entry.severity)?,
                source: wire::LogSource::checked(entry.source)?,
                text: fields::text("log line", entry.text, LINE_LIMIT_BYTES)?,
            })
        })?;
        Ok(Self { templates, entries })
    }
}

impl From<&LogEntry> for wire::LogLine {
    fn from(entry: &LogEntry) -> Self {
        Self {
            time: entry.time.as_micros(),
            component: entry.component.to_string(),
            template: entry.template.0,
            severity: wire::Severity::from(entry.severity).into(),
            source: wire::LogSource::from(entry.source).into(),
            text: entry.text.clone(),
        }
    }
}

impl TryFrom<wire::LogLine> for LogEntry {
    type Error = InvalidMessage;
    fn try_from(line: wire::LogLine) -> Result<Self, InvalidMessage> {
        Ok(Self {
            time: Timestamp::from_micros(line.time),
            component: fields::component(line.component)?,
            template: TemplateId(line.template),
            severity: wire::Severity::checked(line.severity)?,
            source: wire::LogSource::checked(line.source)?,
            text: fields::text("log line", line.text, LINE_LIMIT_BYTES)?,
        })
    }
}

/// The request's number is left to the sender.
impl From<&LinesQuestion> for wire::ReadLines {
    fn from(question: &LinesQuestion) -> Self {
        let severity = question.severity.map(wire::Severity::from);
        Self {
            request: 0,
            component: question.component.to_string(),
            from: question.range.from.as_micros(),
            to: question.range.to.as_micros(),
            limit: question.limit,
            severity: severity.unwrap_or_default().into(),
            contains: question.contains.clone(),
        }
    }
}

impl TryFrom<wire::ReadLines> for LinesQuestion {
    type Error = InvalidMessage;
    fn try_from(ask: wire::ReadLines) -> Result<Self, InvalidMessage> {
        let range = TimeRange::new(
            Timestamp::from_micros(ask.from),
            Timestamp::from_micros(ask.to),
        );
        if range.from >= range.to {
            return Err(InvalidMessage::OutOfRange {
                field: "end of the range",
                value: ask.to.into(),
            });
        }
        let any = i32::from(wire::Severity::Unspecified);
        Ok(Self {
            component: fields::component(ask.component)?,
            range,
            limit: ask.limit,
            severity: (ask.severity != any)
                .then(|| wire::Severity::checked(ask.severity))
                .transpose()?,
            contains: fields::text("text to look for", ask.contains, CONTAINS_LIMIT_BYTES)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use firstlook_model::Severity;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_question_for_lines_comes_back_as_it_was_asked(
            from in any::<i64>(),
            length in 1..1_000_000i64,
            limit in any::<u32>(),
            severity in prop::option::of(prop::sample::select(vec![Severity::Debug, Severity::Critical])),
            contains in ".{0,40}",
        ) {
            let micros = Timestamp::from_micros;
            let question = LinesQuestion {
                component: "service:h1/a.service".parse().unwrap(),
                range: TimeRange::new(micros(from.saturating_sub(length)), micros(from)),
                limit,
                severity,
                contains,
            };
            let asked = wire::ReadLines::from(&question);
            let expected = (question.range.from < question.range.to).then_some(question);
            prop_assert_eq!(LinesQuestion::try_from(asked).ok(), expected);
        }

        #[test]
        fn any_question_is_read_or_refused(
            (component, contains) in (".{0,40}", ".{0,40}"),
            (from, to) in any::<(i64, i64)>(),
            (limit, severity) in any::<(u32, i32)>(),
        ) {
            let ask = wire::ReadLines { request: 1, component, from, to, limit, severity, contains };
            if let Ok(question) = LinesQuestion::try_from(ask) {
                prop_assert!(question.range.from < question.range.to);
            }
        }
    }

    #[test]
    fn a_long_text_to_look_for_is_refused() {
        let ask = wire::ReadLines {
            component: "host:h1".to_owned(),
            to: 1,
            contains: "x".repeat(CONTAINS_LIMIT_BYTES + 1),
            ..wire::ReadLines::default()
        };
        let error = LinesQuestion::try_from(ask).unwrap_err().to_string();
        assert!(error.contains("text to look for"), "{error}");
    }
}
