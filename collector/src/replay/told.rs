//! What a case tells in lines: logs, spans and changes. One JSON object a line; a line that is not in its form is counted.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, BufRead, Read};

use firstlook_rank::blame::{Change, Note};
use firstlook_rank::{Edge, Series, spans};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// No file may tell more lines.
const MOST_LINES: usize = 1_000_000;
/// No line may be longer.
const LONGEST_LINE_BYTES: u64 = 1 << 20;
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
    duration_ms: Option<f64>,
    #[serde(default)]
    status: Value,
    #[serde(default)]
    name: Value,
    #[serde(default)]
    error: Value,
    #[serde(default)]
    status_message: Value,
    #[serde(default, rename = "peer.service")]
    peer: Value,
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
    /// What spans say of who is slow and who fails.
    pub series: Vec<Series>,
    pub refused: usize,
}

impl Told {
    /// Reads `logs.ndjson`; nothing after `until`.
    pub fn read_logs(&mut self, from: impl BufRead, until: f64) -> io::Result<()> {
        for line in self.lines::<Line>(from)? {
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
        Ok(())
    }

    /// Reads `changes.ndjson`: the words of every field, whatever it is called.
    pub fn read_changes(&mut self, from: impl BufRead, until: f64) -> io::Result<()> {
        for changed in self.lines::<Changed>(from)? {
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
        Ok(())
    }

    /// Reads `spans.ndjson`: the errors of failed ones, who calls whom, and series with a point each `step` seconds.
    pub fn read_spans(&mut self, from: impl BufRead, until: f64, step: f64) -> io::Result<()> {
        let mut read = self.lines::<Span>(from)?;
        read.retain(|span| span.time <= until);
        let owners: HashMap<(&str, &str), &str> = read
            .iter()
            .map(|s| {
                (
                    (s.trace_id.as_str(), s.span_id.as_str()),
                    s.component.as_str(),
                )
            })
            .collect();
        let components: BTreeSet<&str> = read.iter().map(|s| s.component.as_str()).collect();
        let operations: BTreeSet<&str> = read.iter().filter_map(|s| s.name.as_str()).collect();
        let operations = operations
            .into_iter()
            .map(|name| shortened(name.to_owned()));
        self.operations.extend(operations);
        let mut calls = BTreeSet::new();
        for span in &read {
            let parent = span.parent_id.as_deref().unwrap_or_default();
            let caller = owners.get(&(span.trace_id.as_str(), parent));
            if let Some(caller) = caller.filter(|caller| **caller != span.component) {
                calls.insert(((*caller).to_owned(), span.component.clone()));
            }
            if is_failure(&span.status) {
                let peer = span.peer.as_str();
                let told = [&span.error, &span.status_message];
                let told: Vec<&str> = told.into_iter().filter_map(Value::as_str).collect();
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
        let read: Vec<spans::Span<'_>> = read.iter().map(Span::ranked).collect();
        self.series.extend(spans::series(&read, step));
        Ok(())
    }

    fn lines<T: DeserializeOwned>(&mut self, mut from: impl BufRead) -> io::Result<Vec<T>> {
        let (mut read, mut line) = (Vec::new(), Vec::new());
        for at in 0_usize.. {
            line.clear();
            let mut head = from.by_ref().take(LONGEST_LINE_BYTES);
            if head.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            let cut = head.limit() == 0 && line.last() != Some(&b'\n');
            if cut {
                from.skip_until(b'\n')?;
            }
            match serde_json::from_slice(&line) {
                Ok(one) if at < MOST_LINES && !cut => read.push(one),
                _ => self.refused += 1,
            }
        }
        Ok(read)
    }
}

impl Span {
    fn ranked(&self) -> spans::Span<'_> {
        spans::Span {
            component: &self.component,
            trace: &self.trace_id,
            id: &self.span_id,
            parent: self.parent_id.as_deref(),
            name: self.name.as_str().unwrap_or_default(),
            start: self.time,
            duration: self.duration_ms.filter(|ms| *ms >= 0.0).map(|ms| ms / 1e3),
            failed: is_failure(&self.status),
        }
    }
}

/// Whether a span's status is one of failure: a word for it, OpenTelemetry's or gRPC's number (0 and 1 are none), or HTTP's.
fn is_failure(status: &Value) -> bool {
    let word = status.as_str().unwrap_or_default();
    let number = status.as_f64().or_else(|| word.parse().ok());
    match number {
        Some(code) => (2.0..100.0).contains(&code) || code >= 500.0,
        None => word.to_ascii_lowercase().ends_with("error"),
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
