//! A recorded incident on disk: a folder with `case.json`, `metrics.csv` and more. `docs/replay.md` is its form.

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read};
use std::path::Path;

use anyhow::{Context, bail, ensure};
use firstlook_rank::{Alarm, Edge, Series};
use serde::Deserialize;

use super::told::Told;
use super::withheld::Withheld;

/// No file of a case may be larger, nor its signals, nor one that is read by the line.
pub const LARGEST_FILE_BYTES: u64 = 64 << 20;
const LARGEST_METRICS_BYTES: u64 = 256 << 20;
const LARGEST_LINES_BYTES: u64 = 1 << 30;
/// What spans say is summed up over no less than this.
const LEAST_STEP_S: f64 = 10.0;
/// No recording may have more columns, or more rows.
const MOST_COLUMNS: usize = 16_384;
const MOST_ROWS: usize = 200_000;
/// No call graph may have more edges.
const MOST_EDGES: usize = 100_000;
/// Files that a case may have.
const KNOWN_FILES: &[&str] = &[
    "case.json",
    "metrics.csv",
    "edges.csv",
    "logs.ndjson",
    "changes.ndjson",
    "spans.ndjson",
    super::live::FILE,
];

/// What `case.json` says; a field that is not here is ignored.
#[derive(Debug, Deserialize)]
pub struct About {
    pub set: String,
    #[serde(default)]
    pub interval_s: Option<f64>,
    pub reference_time: f64,
    pub alarm: Noticed,
    #[serde(default)]
    pub normal_until: Option<f64>,
    #[serde(default)]
    history: Option<String>,
    #[serde(default)]
    pub truth: Truth,
}

#[derive(Debug, Deserialize)]
pub struct Noticed {
    pub time: f64,
    #[serde(default)]
    component: Option<String>,
    #[serde(default)]
    signal: Option<String>,
}

impl Noticed {
    /// Its component, as a host says it: without the encoding that tables need.
    pub fn named(&self) -> Option<String> {
        self.component.as_deref().map(decoded)
    }

    /// As it is ranked by, told so many seconds late.
    pub fn late(&self, seconds: u32) -> Alarm {
        Alarm {
            time: self.time + f64::from(seconds),
            component: self.component.clone(),
            signal: self.signal.clone(),
        }
    }
}

/// For the scorer alone.
#[derive(Debug, Default, Deserialize)]
pub struct Truth {
    #[serde(default)]
    pub component: Option<String>,
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Its kind of fault, as the catalogue names it.
    #[serde(default)]
    pub fault: Option<String>,
    /// The change at fault, or `none`.
    #[serde(default)]
    pub change: Option<String>,
    /// Changes that look like it.
    #[serde(default)]
    pub decoys: Vec<String>,
}

impl Truth {
    /// Names of the component at fault, as a host says them: without the encoding that tables need.
    pub fn names(&self) -> impl Iterator<Item = String> {
        self.component
            .iter()
            .chain(&self.aliases)
            .map(|name| decoded(name))
    }
}

/// Undoes `%` and two hexadecimal digits for a byte; anything else stays.
fn decoded(name: &str) -> String {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after
            .get(..2)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits
            .filter(|d| *first == b'%' && d.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|d| u8::from_str_radix(d, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    String::from_utf8(bytes).unwrap_or_else(|_| name.to_owned())
}

/// A case, read whole.
#[derive(Debug)]
pub struct Case {
    pub name: String,
    pub about: About,
    /// Nothing after the reference time.
    pub series: Vec<Series>,
    /// Who calls whom; empty: not recorded.
    pub edges: Vec<Edge>,
    /// Logs, failed spans and changes; empty: not recorded.
    pub told: Told,
    /// Files whose name means nothing here.
    pub unknown_files: Vec<String>,
}

/// Reads the case in a folder, and nothing of what is withheld.
///
/// # Errors
/// A file is absent, too large or not in its form; the message names it.
pub fn read(folder: &Path, without: &[Withheld]) -> anyhow::Result<Case> {
    let about = text(&folder.join("case.json"), LARGEST_FILE_BYTES)?;
    let about: About = serde_json::from_str(&about).context("case.json is not in its form")?;
    let signals = |file: &str| metrics(&text(&folder.join(file), LARGEST_METRICS_BYTES)?);
    let mut series = signals("metrics.csv").context("metrics.csv")?;
    if let Some(history) = &about.history {
        let earlier = signals(history).context("history")?;
        prepend(&mut series, earlier, about.interval_s.unwrap_or(60.0));
    }
    let calls = folder.join("edges.csv");
    let edges = if calls.exists() && !without.contains(&Withheld::Topology) {
        edges(&text(&calls, LARGEST_FILE_BYTES)?).context("edges.csv")?
    } else {
        Vec::new()
    };
    let mut told = told(folder, &about, without)?;
    series.append(&mut told.series);
    for one in &mut series {
        one.points.retain(|(time, _)| *time <= about.reference_time);
    }
    Ok(Case {
        name: folder
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
        about,
        series,
        edges,
        told,
        unknown_files: unknown_files(folder)?,
    })
}

fn told(folder: &Path, about: &About, without: &[Withheld]) -> anyhow::Result<Told> {
    let open = |file: &str, kind: Withheld| -> anyhow::Result<Box<dyn BufRead>> {
        let path = folder.join(file);
        if !path.exists() || without.contains(&kind) {
            return Ok(Box::new(Cursor::new("")));
        }
        let file = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        let length = file.metadata().map(|m| m.len());
        let fits = length.is_ok_and(|length| length <= LARGEST_LINES_BYTES);
        ensure!(fits, "{} is too large", path.display());
        Ok(Box::new(BufReader::new(file.take(LARGEST_LINES_BYTES))))
    };
    let until = about.reference_time;
    let step = about.interval_s.unwrap_or_default().max(LEAST_STEP_S);
    let mut told = Told::default();
    told.read_logs(open("logs.ndjson", Withheld::Logs)?, until)
        .context("cannot read logs.ndjson")?;
    told.read_spans(open("spans.ndjson", Withheld::Spans)?, until, step)
        .context("cannot read spans.ndjson")?;
    told.read_changes(open("changes.ndjson", Withheld::Changes)?, until)
        .context("cannot read changes.ndjson")?;
    if without.contains(&Withheld::Topology) {
        told.edges.clear();
    }
    Ok(told)
}

fn text(path: &Path, largest: u64) -> anyhow::Result<String> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut text = String::new();
    file.take(largest + 1)
        .read_to_string(&mut text)
        .with_context(|| format!("cannot read {}", path.display()))?;
    ensure!(
        text.len() as u64 <= largest,
        "{} is too large",
        path.display()
    );
    Ok(text)
}

fn unknown_files(folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut unknown = Vec::new();
    for entry in folder.read_dir().context("cannot list the case")? {
        let name = entry.context("cannot list the case")?.file_name();
        let name = name.to_string_lossy().into_owned();
        if !KNOWN_FILES.contains(&name.as_str()) {
            unknown.push(name);
        }
    }
    unknown.sort();
    Ok(unknown)
}

/// `time`, then a column per `component|signal`. An empty cell is no observation, nor is what is no number by its own word (NaN).
fn metrics(text: &str) -> anyhow::Result<Vec<Series>> {
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().context("no header")?.split(',').collect();
    ensure!(
        header.first() == Some(&"time"),
        "the first column is not time"
    );
    ensure!(
        header.len() <= MOST_COLUMNS,
        "more than {MOST_COLUMNS} columns"
    );
    let mut series = Vec::new();
    for name in header.iter().skip(1) {
        let Some((component, signal)) = name.rsplit_once('|') else {
            bail!("a column is not named component|signal: {name:?}");
        };
        series.push(Series {
            component: component.into(),
            signal: signal.into(),
            points: Vec::new(),
        });
    }
    let mut latest = f64::NEG_INFINITY;
    for (row, line) in lines.enumerate() {
        ensure!(row < MOST_ROWS, "more than {MOST_ROWS} rows");
        let cells: Vec<&str> = line.split(',').collect();
        ensure!(
            cells.len() == header.len(),
            "row {}: not as wide as the header",
            row + 2
        );
        let time = number(cells[0]).with_context(|| format!("row {}: time", row + 2))?;
        ensure!(time >= latest, "row {}: times do not ascend", row + 2);
        latest = time;
        for (one, cell) in series.iter_mut().zip(&cells[1..]) {
            if !cell.is_empty() && !cell.eq_ignore_ascii_case("nan") {
                let value = number(cell).with_context(|| format!("row {}", row + 2))?;
                one.points.push((time, value));
            }
        }
    }
    Ok(series)
}

/// `caller,callee` under a header.
fn edges(text: &str) -> anyhow::Result<Vec<Edge>> {
    let mut lines = text.lines();
    ensure!(
        lines.next() == Some("caller,callee"),
        "the header is not caller,callee"
    );
    let mut edges = Vec::new();
    for (row, line) in lines.enumerate() {
        ensure!(row < MOST_EDGES, "more than {MOST_EDGES} edges");
        let ends = line.split_once(',');
        let (caller, callee) = ends.with_context(|| format!("row {}: no two ends", row + 2))?;
        edges.push(Edge {
            caller: caller.into(),
            callee: callee.into(),
        });
    }
    Ok(edges)
}

fn number(cell: &str) -> anyhow::Result<f64> {
    let value: f64 = cell
        .parse()
        .with_context(|| format!("no number: {cell:?}"))?;
    ensure!(value.is_finite(), "not finite: {cell:?}");
    Ok(value)
}

/// Puts a history before the series, moved to end one interval before them.
fn prepend(series: &mut Vec<Series>, earlier: Vec<Series>, interval: f64) {
    let ends = |all: &[Series], first: bool| {
        let times = all.iter().flat_map(|s| {
            if first {
                s.points.first()
            } else {
                s.points.last()
            }
        });
        let times = times.map(|(time, _)| *time);
        if first {
            times.reduce(f64::min)
        } else {
            times.reduce(f64::max)
        }
    };
    let (Some(start), Some(end)) = (ends(series, true), ends(&earlier, false)) else {
        return;
    };
    let moved = start - interval - end;
    for mut old in earlier {
        for point in &mut old.points {
            point.0 += moved;
        }
        let same = |s: &&mut Series| s.component == old.component && s.signal == old.signal;
        match series.iter_mut().find(same) {
            Some(one) => one.points.splice(0..0, old.points).for_each(drop),
            None => series.push(old),
        }
    }
}

#[cfg(test)]
mod tests;
