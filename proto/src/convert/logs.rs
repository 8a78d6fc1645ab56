//! Log blocks and lines.

use std::collections::BTreeMap;

use firstlook_model::log::{LINE_LIMIT_BYTES, LOG_BLOCK_LIMIT_ENTRIES};
use firstlook_model::{LogBlock, LogEntry, LogTemplate, TemplateId, Timestamp};

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
