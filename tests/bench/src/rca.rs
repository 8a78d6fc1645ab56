//! `rca`: how often the component at fault comes first on recorded incidents, with the alarm in time and late, and in other
//! units; and how often somebody is blamed while all is normal.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Args;
use serde::Deserialize;

use crate::report::{Report, Target};

/// How late the alarm is taken, in seconds.
const LATE: [u32; 3] = [0, 60, 180];
/// What memory is multiplied by for the run in other units: a ranking that looks at sizes would turn on it.
const OTHER_UNIT: f64 = 1_000.0;

#[derive(Args)]
pub struct Options {
    /// Folder with a folder per set, each with a folder per case, as `docs/replay.md` says.
    #[arg(long)]
    data: PathBuf,
    /// Folder of the programs.
    #[arg(long, env = "FIRSTLOOK_BIN_DIR")]
    bin_dir: PathBuf,
}

/// What is read of one replayed case.
#[derive(Deserialize)]
struct Replayed {
    verdict: Option<String>,
    truth_rank: Option<usize>,
    spoke_while_normal: Option<bool>,
    change_right: Option<bool>,
    decoy_blamed: Option<bool>,
}

/// Measures; says so where there are no recordings.
///
/// # Errors
/// When the collector does not replay.
pub fn measure(options: &Options) -> anyhow::Result<Report> {
    let mut report = Report::new("rca");
    report
        .note("an abstention counts as wrong; \"in order\" is the ranking whether it spoke or not");
    let Ok(sets) = folders(&options.data) else {
        report.note(format!(
            "data not present, skipped: {}",
            options.data.display()
        ));
        return Ok(report);
    };
    for set in sets {
        let name = set
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let cases = folders(&set)?;
        for late in LATE {
            let replayed = replay(&options.bin_dir, &cases, late)?;
            tell(&mut report, &format!("{name}, {late} s late"), &replayed);
        }
        let folder = tempfile::tempdir()?;
        let scaled = in_other_units(&set, folder.path())?;
        tell(
            &mut report,
            &format!("{name}, other units"),
            &replay(&options.bin_dir, &scaled, 0)?,
        );
    }
    Ok(report)
}

fn folders(of: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(of).with_context(|| of.display().to_string())?;
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    found.sort();
    Ok(found)
}

fn replay(bin_dir: &Path, cases: &[PathBuf], late: u32) -> anyhow::Result<Vec<Replayed>> {
    let mut command = std::process::Command::new(bin_dir.join("firstlook-collector"));
    command
        .args(["replay", "--json", "--late", &late.to_string()])
        .args(cases);
    let ran = command
        .output()
        .context("firstlook-collector does not run")?;
    ensure!(
        ran.status.success(),
        "replay failed: {}",
        String::from_utf8_lossy(&ran.stderr)
    );
    let text = String::from_utf8(ran.stdout)?;
    text.lines()
        .map(|line| serde_json::from_str(line).context("what replay printed"))
        .collect()
}

fn tell(report: &mut Report, what: &str, cases: &[Replayed]) {
    let known: Vec<&Replayed> = cases
        .iter()
        .filter(|case| case.truth_rank.is_some() || case.verdict.is_some())
        .collect();
    let count = cases.len().max(1) as f64;
    let share = |held: usize| held as f64 / count;
    let within = |rank: usize| {
        known
            .iter()
            .filter(|case| case.truth_rank.is_some_and(|at| at <= rank))
            .count()
    };
    let spoke: Vec<&&Replayed> = known.iter().filter(|case| case.verdict.is_some()).collect();
    let right = spoke
        .iter()
        .filter(|case| case.truth_rank == Some(1))
        .count();
    report.figure(format!("{what}: AC@1"), share(right), "share");
    report.figure(format!("{what}: AC@1 in order"), share(within(1)), "share");
    report.figure(format!("{what}: AC@3 in order"), share(within(3)), "share");
    let average = (1..=5).map(|rank| share(within(rank))).sum::<f64>() / 5.0;
    report.figure(format!("{what}: Avg@5 in order"), average, "share");
    report.figure(
        format!("{what}: right when it spoke"),
        right as f64 / spoke.len().max(1) as f64,
        "share",
    );
    tell_changes(report, what, cases);
    let normal = cases.iter().filter_map(|case| case.spoke_while_normal);
    if normal.clone().count() > 0 {
        let blamed = normal.filter(|spoke| *spoke).count() as f64;
        report.against(
            format!("{what}: blamed while normal"),
            blamed,
            "cases",
            Target::AtMost(0.0),
        );
    }
}

/// How often the change at fault was told, or that there is none; silent where no case knows.
fn tell_changes(report: &mut Report, what: &str, cases: &[Replayed]) {
    let about: Vec<bool> = cases.iter().filter_map(|case| case.change_right).collect();
    if about.is_empty() {
        return;
    }
    let right = about.iter().filter(|right| **right).count() as f64;
    let share = right / about.len() as f64;
    report.figure(format!("{what}: change right"), share, "share");
    let decoys = cases.iter().filter(|case| case.decoy_blamed == Some(true));
    report.against(
        format!("{what}: decoys blamed"),
        decoys.count() as f64,
        "cases",
        Target::AtMost(0.0),
    );
}

/// A copy of a set whose memory signals are in another unit: its cases.
fn in_other_units(set: &Path, copy: &Path) -> anyhow::Result<Vec<PathBuf>> {
    for entry in fs::read_dir(set)? {
        let from = entry?.path();
        let to = copy.join(from.file_name().unwrap_or_default());
        if from.is_dir() {
            fs::create_dir(&to)?;
            in_other_units(&from, &to)?;
        } else if from.extension().is_some_and(|end| end == "csv") {
            let text = fs::read_to_string(&from).with_context(|| from.display().to_string())?;
            fs::write(to, scaled(&text))?;
        } else {
            fs::copy(from, to)?;
        }
    }
    folders(copy)
}

/// A table with the columns of memory multiplied; one without such columns as it is.
fn scaled(text: &str) -> String {
    let is_memory = |column: &str| {
        let signal = column.split_once('|').map(|(_, signal)| signal);
        signal.is_some_and(|signal| signal.to_lowercase().contains("mem"))
    };
    let (head, rows) = text.split_once('\n').unwrap_or((text, ""));
    let memory: Vec<bool> = head.split(',').map(is_memory).collect();
    let mut out = format!("{head}\n");
    for row in rows.lines() {
        let cells = row.split(',').enumerate();
        let cells = cells.map(|(at, cell)| match cell.parse::<f64>() {
            Ok(value) if memory.get(at) == Some(&true) => (value * OTHER_UNIT).to_string(),
            _ => cell.to_owned(),
        });
        out.push_str(&cells.collect::<Vec<_>>().join(","));
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_alone_is_scaled_and_what_is_absent_stays_absent() {
        let text = "time,a|mem_used,a|cpu\n1,2.5,3\n2,,4\n";
        assert_eq!(scaled(text), "time,a|mem_used,a|cpu\n1,2500,3\n2,,4\n");
    }
}
