//! What a case tells in lines: logs, failed spans and changes. One JSON object a line; a line that is not in its form is counted.

use std::collections::{BTreeMap, BTreeSet};

use firstlook_rank::Edge;
use firstlook_rank::blame::{Change, Note};
use serde::Deserialize;
use serde_json::Value;

/// No file may tell more lines.
const MOST_LINES: usize = 1_000_000;
/// No text is read further.
const LONGEST_TEXT_BYTES: usize = 16 << 10;
/// Severities that are no complaint.
const QUIET: &[&str] = &["TRACE", "DEBUG", "INFO", "NOTICE", ""];

#[derive(Deserialize)]
struct Line {
    time: f64,
    component: String,
    #[serde(default)]
    severity: String,
    #[serde(default)]
    text: String,
}

#[derive(Deserialize)]
struct Span {
    time: f64,
    component: String,
    trace_id: String,
    span_id: String,
    #[serde(default)]
    parent_id: Option<String>,
    #[serde(default)]
    status: String,
    #[serde(flatten)]
    more: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct Changed {
    time: f64,
    component: String,
    id: String,
    #[serde(flatten)]
    more: BTreeMap<String, Value>,
}

/// What was read, and how many lines were refused.
#[derive(Debug, Default)]
pub struct Told {
    pub notes: Vec<Note>,
    pub changes: Vec<Change>,
    /// Names of spans.
    pub operations: Vec<String>,
    /// Calls that spans show.
    pub edges: Vec<Edge>,
    pub refused: usize,
}

impl Told {
    /// Reads `logs.ndjson`; nothing after `until`.
    pub fn read_logs(&mut self, text: &str, until: f64) {
        for line in self.lines::<Line>(text) {
            if line.time <= until {
                self.notes.push(Note {
                    bad: !QUIET.contains(&line.severity.to_ascii_uppercase().as_str()),
                    component: line.component,
                    time: line.time,
                    text: shortened(line.text),
                    outside: false,
                });
            }
        }
    }

    /// Reads `changes.ndjson`: the words of every field, whatever it is called.
    pub fn read_changes(&mut self, text: &str, until: f64) {
        for changed in self.lines::<Changed>(text) {
            if changed.time <= until {
                let mut files = Vec::new();
                let mut words = changed.id.clone();
                for (name, value) in &changed.more {
                    gather(name, value, &mut words, &mut files);
                }
                self.changes.push(Change {
                    id: changed.id,
                    component: changed.component,
                    time: changed.time,
                    text: shortened(words),
                    files,
                });
            }
        }
    }

    /// Reads `spans.ndjson`: the errors of failed ones, and who calls whom.
    pub fn read_spans(&mut self, text: &str, until: f64) {
        let mut spans = self.lines::<Span>(text);
        spans.retain(|span| span.time <= until);
        let owners: BTreeMap<(&str, &str), &str> = spans
            .iter()
            .map(|s| {
                (
                    (s.trace_id.as_str(), s.span_id.as_str()),
                    s.component.as_str(),
                )
            })
            .collect();
        let components: BTreeSet<&str> = spans.iter().map(|s| s.component.as_str()).collect();
        let named = |s: &Span| Some(shortened(s.more.get("name")?.as_str()?.to_owned()));
        let operations: BTreeSet<String> = spans.iter().filter_map(named).collect();
        self.operations.extend(operations);
        let mut calls = BTreeSet::new();
        for span in &spans {
            let parent = span.parent_id.as_deref().unwrap_or_default();
            let caller = owners.get(&(span.trace_id.as_str(), parent));
            if let Some(caller) = caller.filter(|caller| **caller != span.component) {
                calls.insert(((*caller).to_owned(), span.component.clone()));
            }
            if span.status.eq_ignore_ascii_case("error") {
                let peer = span.more.get("peer.service").and_then(Value::as_str);
                let told = ["error", "status_message"];
                let told = told.map(|name| span.more.get(name).and_then(Value::as_str));
                let told: Vec<&str> = told.into_iter().flatten().collect();
                self.notes.push(Note {
                    component: span.component.clone(),
                    time: span.time,
                    text: shortened(told.join(": ")),
                    bad: true,
                    outside: peer.is_some_and(|peer| !components.contains(peer)),
                });
            }
        }
        let edges = calls.into_iter();
        self.edges
            .extend(edges.map(|(caller, callee)| Edge { caller, callee }));
    }

    fn lines<T: for<'a> Deserialize<'a>>(&mut self, text: &str) -> Vec<T> {
        let mut read = Vec::new();
        for (at, line) in text.lines().enumerate() {
            match serde_json::from_str(line) {
                Ok(one) if at < MOST_LINES => read.push(one),
                _ => self.refused += 1,
            }
        }
        read
    }
}

/// Adds all words in a value, and the files among them.
fn gather(name: &str, value: &Value, words: &mut String, files: &mut Vec<String>) {
    match value {
        Value::String(text) if name.contains("file") => files.push(text.clone()),
        Value::String(text) if words.len() < LONGEST_TEXT_BYTES => {
            words.push('\n');
            words.push_str(text);
        }
        Value::Array(values) => {
            for value in values {
                gather(name, value, words, files);
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                gather(name, value, words, files);
            }
        }
        _ => {}
    }
}

fn shortened(mut text: String) -> String {
    let mut end = LONGEST_TEXT_BYTES.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

#[cfg(test)]
mod tests;
