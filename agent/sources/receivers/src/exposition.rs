//! Prometheus's text form, version 0.0.4, and OpenMetrics 1.0 where it is the same line by line.
//!
//! ```text
//! # TYPE http_requests_total counter
//! http_requests_total{code="200",method="get"} 1027 1395066363000 # {trace_id="x"} 1 (an exemplar)
//! ```
//! A line is a sample, a comment or empty. Of comments only `# TYPE` counts. In label values `\\`, `\"` and `\n` are
//! escaped. Time stamps and exemplars are passed over: a sample is of the time when it was scraped.

use std::collections::HashMap;

use firstlook_model::signal::SIGNAL_NAME_LIMIT_BYTES;
use firstlook_model::{SignalKind, Unit};

/// Longest line that is read; a longer one is refused.
const LINE_LIMIT_BYTES: usize = 16 * 1024;
/// Most labels of a sample.
const LABELS_LIMIT: usize = 32;
/// Most families whose type is remembered; those of others are taken from their names.
const TYPES_LIMIT: usize = 4_000;

/// One sample.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    /// `NAME` or `NAME{a="b",c="d"}`, labels in order of their names, values escaped as on the line.
    pub signal: String,
    pub unit: Unit,
    pub kind: SignalKind,
    /// Of a histogram's buckets, which are the first to go when there are too many series.
    pub bucket: bool,
    /// Finite, or not a number.
    pub value: f64,
}

impl Sample {
    /// A number of things.
    pub fn count(signal: String, kind: SignalKind, value: u64) -> Self {
        Self {
            signal,
            unit: Unit::Count,
            kind,
            bucket: false,
            value: value as f64,
        }
    }
}

/// A line that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Counter,
    Gauge,
    Histogram,
    Summary,
}

/// Takes a text in pieces as they come. Holds one line and the types at most.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    line: Vec<u8>,
    /// The rest of a line that was refused for its length is still to come.
    over: bool,
    types: HashMap<String, Family>,
    /// Lines refused so far.
    pub refused: u64,
}

impl Exposition {
    /// Takes the next piece.
    pub fn feed(&mut self, piece: &[u8], sink: &mut impl FnMut(Sample)) {
        for part in piece.split_inclusive(|b| *b == b'\n') {
            let (text, ends) = match part.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (part, false),
            };
            if self.line.len() + text.len() > LINE_LIMIT_BYTES {
                self.line.clear();
                self.over = true;
            } else if !self.over {
                self.line.extend_from_slice(text);
            }
            if ends {
                self.end_line(sink);
            }
        }
    }

    /// Takes the last line, if the text did not end with a line end. A text that broke off may end with half a
    /// number: then this must not be called.
    pub fn finish(&mut self, sink: &mut impl FnMut(Sample)) {
        if self.over || !self.line.is_empty() {
            self.end_line(sink);
        }
    }

    fn end_line(&mut self, sink: &mut impl FnMut(Sample)) {
        let line = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.over) {
            self.refused += 1;
            return;
        }
        match std::str::from_utf8(&line).map(|line| self.read(line)) {
            Ok(Ok(Some(sample))) => sink(sample),
            Ok(Ok(None)) => {}
            Ok(Err(Refused)) | Err(_) => self.refused += 1,
        }
        self.line = line;
        self.line.clear();
    }

    fn read(&mut self, line: &str) -> Result<Option<Sample>, Refused> {
        let line = line.trim_matches([' ', '\t', '\r']);
        if let Some(comment) = line.strip_prefix('#') {
            self.comment(comment);
            return Ok(None);
        }
        if line.is_empty() {
            return Ok(None);
        }
        let end = line.find(|c: char| !is_name(c)).unwrap_or(line.len());
        let (name, rest) = line.split_at(end);
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(Refused);
        }
        let rest = rest.trim_start_matches([' ', '\t']);
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(rest) => labels(rest)?,
            None => (Vec::new(), rest),
        };
        let value = value(rest)?;
        let signal = signal(name, labels)?;
        let (kind, bucket) = self.kind(name);
        Ok(Some(Sample {
            unit: unit(name),
            kind,
            bucket,
            value,
            signal,
        }))
    }

    fn comment(&mut self, comment: &str) {
        let mut words = comment.split_ascii_whitespace();
        let (Some("TYPE"), Some(name), Some(kind)) = (words.next(), words.next(), words.next())
        else {
            return;
        };
        let family = match kind {
            "counter" => Family::Counter,
            "gauge" | "gaugehistogram" | "info" | "stateset" => Family::Gauge,
            "histogram" => Family::Histogram,
            "summary" => Family::Summary,
            _ => return,
        };
        if name.len() <= SIGNAL_NAME_LIMIT_BYTES && self.types.len() < TYPES_LIMIT {
            self.types.insert(name.to_owned(), family);
        }
    }

    /// Whether it only rises, and whether it is a bucket.
    fn kind(&self, name: &str) -> (SignalKind, bool) {
        let counted = |counts: bool| match counts {
            true => SignalKind::Counter,
            false => SignalKind::Gauge,
        };
        match self.types.get(name) {
            Some(Family::Counter) => return (SignalKind::Counter, false),
            Some(_) => return (SignalKind::Gauge, false),
            None => {}
        }
        // OpenMetrics names a counter without the ending of its samples; histograms are named so by both.
        let (family, part) = name.rsplit_once('_').unwrap_or((name, ""));
        match (self.types.get(family), part) {
            (Some(Family::Histogram), "bucket") => (SignalKind::Counter, true),
            (Some(Family::Histogram | Family::Summary), "sum" | "count") => {
                (SignalKind::Counter, false)
            }
            (Some(Family::Counter), "total") => (SignalKind::Counter, false),
            // Without a type, a name that ends as a counter's is one.
            (None, "total") => (counted(true), false),
            (_, "bucket") => (SignalKind::Gauge, true),
            _ => (counted(false), false),
        }
    }
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

/// Names and values as they stand on the line.
type Labels<'a> = Vec<(&'a str, &'a str)>;

/// Labels up to `}`, and what follows it. Values stay escaped.
fn labels(mut rest: &str) -> Result<(Labels<'_>, &str), Refused> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', '\t']);
        if let Some(rest) = rest.strip_prefix('}') {
            return Ok((labels, rest));
        }
        let end = rest.find(|c: char| !is_name(c)).ok_or(Refused)?;
        let (name, after) = rest.split_at(end);
        let after = after.trim_start_matches([' ', '\t']);
        let after = after.strip_prefix('=').ok_or(Refused)?;
        let after = after.trim_start_matches([' ', '\t']);
        let after = after.strip_prefix('"').ok_or(Refused)?;
        let end = quoted(after)?;
        if name.is_empty() || labels.len() >= LABELS_LIMIT {
            return Err(Refused);
        }
        labels.push((name, &after[..end]));
        rest = after[end + 1..].trim_start_matches([' ', '\t']);
        match rest.strip_prefix(',') {
            Some(next) => rest = next,
            None if rest.starts_with('}') => {}
            None => return Err(Refused),
        }
    }
}

/// Where the quotation mark is that ends a value.
fn quoted(text: &str) -> Result<usize, Refused> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match (escaped, byte) {
            (true, b'\\' | b'"' | b'n') => escaped = false,
            (true, _) => return Err(Refused),
            (false, b'\\') => escaped = true,
            (false, b'"') => return Ok(at),
            (false, byte) if byte.is_ascii_control() => return Err(Refused),
            _ => {}
        }
    }
    Err(Refused)
}

/// The first word; a second one is a time stamp, or the rest an exemplar.
fn value(rest: &str) -> Result<f64, Refused> {
    let mut words = rest.split_ascii_whitespace();
    let value: f64 = words
        .next()
        .and_then(|word| word.parse().ok())
        .ok_or(Refused)?;
    match words.next() {
        None => {}
        Some(word) if word.starts_with('#') => {}
        Some(stamp) => {
            let _: f64 = stamp.parse().map_err(|_| Refused)?;
            if words.next().is_some_and(|word| !word.starts_with('#')) {
                return Err(Refused);
            }
        }
    }
    // Infinity is said where there is nothing to say, as an age of what never was.
    Ok(if value.is_finite() { value } else { f64::NAN })
}

fn signal(name: &str, mut labels: Labels<'_>) -> Result<String, Refused> {
    labels.sort_unstable();
    if labels.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Err(Refused);
    }
    let mut signal = name.to_owned();
    for (index, (name, value)) in labels.iter().enumerate() {
        signal.push(if index == 0 { '{' } else { ',' });
        signal.push_str(&format!("{name}=\"{value}\""));
    }
    if !labels.is_empty() {
        signal.push('}');
    }
    // C1 controls are no ASCII and would reach a terminal as they are.
    let fits = signal.len() <= SIGNAL_NAME_LIMIT_BYTES && !signal.chars().any(char::is_control);
    fits.then_some(signal).ok_or(Refused)
}

/// By the ending of the name, as Prometheus names metrics. Numbers of observations are plain numbers.
fn unit(name: &str) -> Unit {
    let base = name.strip_suffix("_total").unwrap_or(name);
    let base = base.strip_suffix("_sum").unwrap_or(base);
    match base.rsplit('_').next() {
        Some("bytes") => Unit::Bytes,
        Some("seconds") => Unit::Seconds,
        Some("ratio") => Unit::Ratio,
        _ => Unit::Count,
    }
}

#[cfg(test)]
mod tests;
