//! Lines of `logs.ndjson` and `changes.ndjson`, the nearest to the incident kept where there are too many.

use std::collections::{BTreeMap, VecDeque};

use firstlook_model::{Change, LogEntry, Severity, Timestamp};
use serde_json::{Value, json};

use super::limits;
use super::names;
use super::near::Steps;

/// Lines in a bounded space. Lines are added in order of time.
#[derive(Debug)]
pub struct Lines {
    most: usize,
    most_bytes: usize,
    kept: BTreeMap<Steps, VecDeque<(Timestamp, String)>>,
    count: usize,
    bytes: usize,
    /// How many were left out.
    pub left_out: usize,
}

impl Lines {
    /// None yet, and room for what the reader takes.
    pub fn new() -> Self {
        Self::within(limits::LINES, limits::FILE_BYTES)
    }

    fn within(most: usize, most_bytes: usize) -> Self {
        Self {
            most,
            most_bytes,
            kept: BTreeMap::new(),
            count: 0,
            bytes: 0,
            left_out: 0,
        }
    }

    /// Keeps a line. Where that is too much, what is farthest from the incident goes, of that the oldest.
    pub fn push(&mut self, steps: Steps, time: Timestamp, line: &Value) {
        let mut text = line.to_string();
        text.push('\n');
        self.bytes += text.len();
        self.count += 1;
        let near = self.kept.entry(steps).or_default();
        near.push_back((time, text));
        while self.count > self.most || self.bytes > self.most_bytes {
            let Some(mut farthest) = self.kept.last_entry() else {
                break;
            };
            if let Some((_, text)) = farthest.get_mut().pop_front() {
                self.bytes -= text.len();
                self.count -= 1;
                self.left_out += 1;
            }
            if farthest.get().is_empty() {
                farthest.remove();
            }
        }
    }

    /// How many are kept.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The file, oldest first.
    pub fn text(self) -> String {
        let mut all: Vec<_> = self.kept.into_values().flatten().collect();
        all.sort_by_key(|(time, _)| *time);
        all.into_iter().map(|(_, text)| text).collect()
    }
}

/// A log line.
pub fn of_log(entry: &LogEntry) -> Value {
    json!({
        "time": entry.time.as_secs_f64(),
        "component": names::component(&entry.component),
        "severity": word(entry.severity),
        "text": shortened(&entry.text),
        "attributes": { "source": entry.source, "template": entry.template },
    })
}

/// A change.
pub fn of_change(change: &Change) -> Value {
    json!({
        "time": change.time.as_secs_f64(),
        "component": names::component(&change.component),
        "kind": change.kind,
        "id": change.id,
        "text": change.text,
        "detail": change.detail,
    })
}

/// OpenTelemetry's word.
fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Debug => "DEBUG",
        Severity::Info => "INFO",
        Severity::Warning => "WARN",
        Severity::Error => "ERROR",
        Severity::Critical => "FATAL",
    }
}

fn shortened(text: &str) -> &str {
    let mut end = limits::TEXT_BYTES.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::super::tests::id;
    use super::*;
    use firstlook_model::{ChangeKind, LogSource, TemplateId};

    fn kept(most: usize, most_bytes: usize) -> (Vec<i64>, usize) {
        let mut lines = Lines::within(most, most_bytes);
        // Steps and second.
        for (steps, second) in [(0, 1), (7, 2), (1, 3), (0, 4), (7, 5)] {
            lines.push(steps, Timestamp::from_secs(second), &json!(second));
        }
        let left_out = lines.left_out;
        assert_eq!(lines.count() + left_out, 5);
        let text = lines.text();
        assert!(text.len() <= most_bytes);
        (text.lines().map(|l| l.parse().unwrap()).collect(), left_out)
    }

    #[test]
    fn the_farthest_and_then_the_oldest_goes_where_there_is_no_room() {
        assert_eq!(kept(9, 99), (vec![1, 2, 3, 4, 5], 0));
        assert_eq!(kept(4, 99), (vec![1, 3, 4, 5], 1));
        assert_eq!(kept(3, 99), (vec![1, 3, 4], 2));
        // Two bytes a line.
        assert_eq!(kept(9, 4), (vec![1, 4], 3));
        assert_eq!(kept(1, 99), (vec![4], 4));
    }

    #[test]
    fn lines_are_in_the_form_that_replay_reads() {
        let entry = LogEntry {
            time: Timestamp::from_micros(1_700_000_000_250_000),
            component: id("service:h1/a,b.service"),
            template: TemplateId(7),
            severity: Severity::Warning,
            source: LogSource::File,
            text: "é".repeat(limits::TEXT_BYTES),
        };
        let line = of_log(&entry);
        assert_eq!(line["time"], 1_700_000_000.25);
        assert_eq!(line["component"], "service:h1/a%2Cb.service");
        assert_eq!(line["severity"], "WARN");
        assert_eq!(line["text"].as_str().unwrap().len(), limits::TEXT_BYTES);
        let change = Change {
            id: "build-12".to_owned(),
            time: entry.time,
            component: id("host:h1"),
            kind: ChangeKind::ConfigFile,
            text: "a\nb".to_owned(),
            detail: String::new(),
        };
        let line = of_change(&change);
        assert_eq!(
            (&line["kind"], &line["id"]),
            (&json!("config-file"), &json!("build-12"))
        );
        let mut lines = Lines::new();
        lines.push(0, change.time, &line);
        assert_eq!(lines.text().lines().count(), 1);
    }
}
