//! `templates`: how well lines are grouped by the statement that wrote them, and how fast, on labelled logs,
//! beside Drain3 as it comes, on the same lines in the same run.
//!
//! A line counts as grouped right when the lines of its group are just those of its event (GA); FGA is the
//! harmonic mean of the share of groups, and of events, that are right. Each log has a miner of its own, and all
//! have the same settings. A line's group is the one that it has once all lines were read, as in the published
//! comparisons; what it was given as it streamed by is told beside.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use clap::Args;
use firstlook_model::{ComponentId, HostId, Timestamp};
use firstlook_pipeline::template::{Miner, TemplateLimits};
use serde::Deserialize;

use crate::cpu::Stopwatch;
use crate::report::{Report, Target};

/// Rounds over all lines for the speed: one is over too soon to be measured.
const ROUNDS: usize = 20;
/// What is read of one file.
const FILE_LIMIT_BYTES: u64 = 64 * 1024 * 1024;
const DRAIN3: &str = include_str!("../assets/drain3.py");

#[derive(Args)]
pub struct Options {
    /// Folder with a folder per log, each with `truth.csv`: columns `content` and `event`, a row per line.
    #[arg(long)]
    data: PathBuf,
    /// Python with Drain3 installed; without it there is no comparison.
    #[arg(long)]
    python: Option<PathBuf>,
    /// Print each log's figures too.
    #[arg(long)]
    each: bool,
}

/// A labelled log.
struct Log {
    name: String,
    lines: Vec<String>,
    events: Vec<String>,
}

/// Measures.
///
/// # Errors
/// When the logs cannot be read, or Drain3 does not run.
pub fn measure(options: &Options) -> anyhow::Result<Report> {
    let logs = read(&options.data)?;
    let count: usize = logs.iter().map(|log| log.lines.len()).sum();
    let mut report = Report::new("templates");
    let (mut last, mut streamed) = (Vec::new(), Vec::new());
    for log in &logs {
        let component = component(&log.name)?;
        let mut miner = Miner::new(TemplateLimits::default());
        let mut mine = || -> Vec<u64> {
            miner.next_window(Timestamp::from_secs(0));
            let mined = log
                .lines
                .iter()
                .map(|line| miner.mine(&component, line, Timestamp::from_secs(0)).id.0);
            mined.collect()
        };
        streamed.push(score(&mine(), &log.events));
        last.push(score(&mine(), &log.events));
    }
    let (ga, fga) = mean(&last);
    report.against(
        "grouping accuracy, mean",
        ga,
        "share",
        Target::AtLeast(0.90),
    );
    report.against("F1 of groups, mean", fga, "share", Target::AtLeast(0.85));
    let (ga, fga) = mean(&streamed);
    report.figure("grouping accuracy, as lines come", ga, "share");
    report.figure("F1 of groups, as lines come", fga, "share");
    if options.each {
        for (log, (ga, fga)) in logs.iter().zip(&last) {
            report.figure(format!("{}: grouping accuracy", log.name), *ga, "share");
            report.figure(format!("{}: F1 of groups", log.name), *fga, "share");
        }
    }
    let speed = speed(&logs)?;
    report.figure("lines mined", speed / 1e3, "thousand per CPU-second");
    match &options.python {
        Some(python) => {
            let (drain3, drain3_speed) = drain3(python, &logs)?;
            let (ga, fga) = mean(&drain3);
            report.figure("Drain3: grouping accuracy, mean", ga, "share");
            report.figure("Drain3: F1 of groups, mean", fga, "share");
            report.figure(
                "Drain3: lines mined",
                drain3_speed / 1e3,
                "thousand per CPU-second",
            );
            let ratio = speed / drain3_speed;
            report.against("as fast as Drain3", ratio, "times", Target::AtLeast(5.0));
        }
        None => report.note("no --python: no comparison"),
    }
    report.note(format!(
        "{} logs, {count} lines, one setting for all",
        logs.len()
    ));
    Ok(report)
}

fn component(name: &str) -> anyhow::Result<ComponentId> {
    Ok(ComponentId::host(HostId::new(name.to_lowercase())?))
}

/// Lines per CPU-second, masking and looking up included.
fn speed(logs: &[Log]) -> anyhow::Result<f64> {
    let components: Vec<_> = logs
        .iter()
        .map(|log| component(&log.name))
        .collect::<Result<_, _>>()?;
    let watch = Stopwatch::start();
    let mut mined = 0u64;
    for _ in 0..ROUNDS {
        let mut miner = Miner::new(TemplateLimits::default());
        for (log, component) in logs.iter().zip(&components) {
            for line in &log.lines {
                let template = miner.mine(component, line, Timestamp::from_secs(0));
                mined += template.nth_in_window.min(1);
            }
            miner.next_window(Timestamp::from_secs(0));
        }
    }
    Ok(mined as f64 / watch.passed().cpu)
}

/// Shares of lines, and harmonic mean of shares of groups, that are right.
fn score<G: Copy + Eq + std::hash::Hash>(groups: &[G], events: &[String]) -> (f64, f64) {
    let mut of_group: HashMap<G, HashMap<&str, usize>> = HashMap::new();
    let mut of_event: HashMap<&str, usize> = HashMap::new();
    for (group, event) in groups.iter().zip(events) {
        *of_group
            .entry(*group)
            .or_default()
            .entry(event)
            .or_default() += 1;
        *of_event.entry(event).or_default() += 1;
    }
    let (mut lines, mut right) = (0, 0);
    for events in of_group.values() {
        if let [(event, count)] = events.iter().collect::<Vec<_>>()[..]
            && of_event[event] == *count
        {
            lines += count;
            right += 1;
        }
    }
    let ga = lines as f64 / groups.len().max(1) as f64;
    let (precision, recall) = (
        f64::from(right) / of_group.len().max(1) as f64,
        f64::from(right) / of_event.len().max(1) as f64,
    );
    let sum = precision + recall;
    (
        ga,
        if sum > 0.0 {
            2.0 * precision * recall / sum
        } else {
            0.0
        },
    )
}

fn mean(scores: &[(f64, f64)]) -> (f64, f64) {
    let count = scores.len().max(1) as f64;
    let (ga, fga) = scores
        .iter()
        .fold((0.0, 0.0), |(ga, fga), score| (ga + score.0, fga + score.1));
    (ga / count, fga / count)
}

fn drain3(python: &Path, logs: &[Log]) -> anyhow::Result<(Vec<(f64, f64)>, f64)> {
    #[derive(Deserialize)]
    struct Mined {
        clusters: Vec<u64>,
        cpu_seconds: f64,
    }
    let folder = tempfile::tempdir()?;
    let mut lines = String::new();
    for log in logs {
        for line in &log.lines {
            let _ = writeln!(lines, "{}\t{}", log.name, line.replace(['\n', '\r'], " "));
        }
    }
    let (script, input) = (folder.path().join("drain3.py"), folder.path().join("lines"));
    // A script of this name would be taken for the library.
    let script = script.with_file_name("mine.py");
    std::fs::write(&script, DRAIN3)?;
    std::fs::write(&input, lines)?;
    let said = Command::new(python)
        .arg(&script)
        .arg(&input)
        .output()
        .context("starting Python")?;
    ensure!(
        said.status.success(),
        "Drain3: {}",
        String::from_utf8_lossy(&said.stderr)
    );
    let mined: Mined = serde_json::from_slice(&said.stdout).context("what Drain3 said")?;
    let mut clusters = &mined.clusters[..];
    let mut scores = Vec::new();
    for log in logs {
        let (own, rest) = clusters
            .split_at_checked(log.lines.len())
            .context("Drain3 left lines out")?;
        scores.push(score(own, &log.events));
        clusters = rest;
    }
    Ok((scores, mined.clusters.len() as f64 / mined.cpu_seconds))
}

fn read(data: &Path) -> anyhow::Result<Vec<Log>> {
    let mut logs = BTreeMap::new();
    for entry in std::fs::read_dir(data).with_context(|| data.display().to_string())? {
        let path = entry?.path().join("truth.csv");
        if path.exists() {
            let log = read_log(&path).with_context(|| path.display().to_string())?;
            logs.insert(path, log);
        }
    }
    ensure!(
        !logs.is_empty(),
        "{} has no folder with truth.csv",
        data.display()
    );
    Ok(logs.into_values().collect())
}

fn read_log(path: &Path) -> anyhow::Result<Log> {
    ensure!(
        path.metadata()?.len() <= FILE_LIMIT_BYTES,
        "larger than {FILE_LIMIT_BYTES} bytes"
    );
    let text = std::fs::read_to_string(path)?;
    let mut rows = rows(&text);
    let header = rows.next().context("empty")?;
    let column = |name: &str| {
        let at = header.iter().position(|field| field == name);
        at.with_context(|| format!("no column {name}"))
    };
    let (content, event) = (column("content")?, column("event")?);
    let folder = path
        .parent()
        .and_then(Path::file_name)
        .context("no folder")?;
    let mut log = Log {
        name: folder.to_string_lossy().into_owned(),
        lines: Vec::new(),
        events: Vec::new(),
    };
    for row in rows {
        let field = |at: usize| row.get(at).cloned().context("a row is cut short");
        log.lines.push(field(content)?);
        log.events.push(field(event)?);
    }
    Ok(log)
}

/// Rows of CSV, by RFC 4180.
fn rows(text: &str) -> impl Iterator<Item = Vec<String>> {
    let mut rest = text.chars().peekable();
    std::iter::from_fn(move || {
        rest.peek()?;
        let (mut row, mut field, mut quoted) = (Vec::new(), String::new(), false);
        while let Some(c) = rest.next() {
            match c {
                '"' if quoted && rest.peek() == Some(&'"') => {
                    rest.next();
                    field.push('"');
                }
                '"' if quoted || field.is_empty() => quoted = !quoted,
                ',' if !quoted => row.push(std::mem::take(&mut field)),
                '\r' if !quoted => {}
                '\n' if !quoted => break,
                c => field.push(c),
            }
        }
        row.push(field);
        Some(row)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(names: &str) -> Vec<String> {
        names.chars().map(String::from).collect()
    }

    #[test]
    fn a_group_is_right_when_its_lines_are_just_those_of_an_event() {
        assert_eq!(score(&[1, 1, 2], &events("aab")), (1.0, 1.0));
        // Split: the lines of a are all wrong, that of b is right.
        let (ga, fga) = score(&[1, 3, 2], &events("aab"));
        assert!(
            (ga - 1.0 / 3.0).abs() < 1e-9 && (fga - 0.4).abs() < 1e-9,
            "{ga} {fga}"
        );
        assert_eq!(score(&[1, 1, 1], &events("aab")), (0.0, 0.0));
    }

    #[test]
    fn fields_with_commas_quotes_and_line_ends_are_read() {
        let text = "line,content\r\n1,\"a, \"\"b\"\"\nc\"\n2,plain \"x\" \n3,";
        let all: Vec<_> = rows(text).collect();
        assert_eq!(all[1], ["1", "a, \"b\"\nc"]);
        assert_eq!(all[2], ["2", "plain \"x\" "]);
        assert_eq!(all[3], ["3", ""]);
        assert_eq!(all.len(), 4);
    }
}
