//! `rca`: how often the component at fault comes first on recorded incidents, with the alarm in time and late, and in other
//! units; how often somebody is blamed while all is normal; whether the probabilities mean what they say; and what each kind
//! of evidence is worth.

mod ablation;
mod calibration;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Args;
use serde::Deserialize;

use self::calibration::{Fit, Forecast};
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
    /// Replay without each kind of evidence in turn instead, the alarm in time.
    #[arg(long)]
    ablate: bool,
}

/// Recordings of one kind.
struct Set {
    name: String,
    folder: PathBuf,
    cases: Vec<PathBuf>,
}

/// What is read of one replayed case.
#[derive(Deserialize)]
struct Replayed {
    verdict: Option<String>,
    truth_rank: Option<usize>,
    probability: Option<f64>,
    over: Option<f64>,
    lead: Option<f64>,
    /// Of the first in order, named or not. None: the truth is not given, or there is no first.
    first_right: Option<bool>,
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
    let Ok(folders) = folders(&options.data) else {
        report.note(format!(
            "data not present, skipped: {}",
            options.data.display()
        ));
        return Ok(report);
    };
    let sets = folders.into_iter().map(Set::read);
    let sets = sets.collect::<anyhow::Result<Vec<Set>>>()?;
    if options.ablate {
        ablation::measure(&mut report, options, &sets)?;
    } else {
        accuracy(&mut report, options, &sets)?;
    }
    Ok(report)
}

fn accuracy(report: &mut Report, options: &Options, sets: &[Set]) -> anyhow::Result<()> {
    let mut by_delay = LATE.map(|_| Vec::new());
    for Set {
        name,
        folder,
        cases,
    } in sets
    {
        for (late, replayed_sets) in LATE.into_iter().zip(&mut by_delay) {
            let replayed = replay(&options.bin_dir, cases, late, &[])?;
            Totals::of(&replayed).tell(report, &format!("{name}, {late} s late"), true);
            replayed_sets.push((name.as_str(), replayed));
        }
        let copy = tempfile::tempdir()?;
        let scaled = in_other_units(folder, copy.path())?;
        let replayed = replay(&options.bin_dir, &scaled, 0, &[])?;
        Totals::of(&replayed).tell(report, &format!("{name}, other units"), true);
    }
    for (late, replayed) in LATE.into_iter().zip(&by_delay) {
        tell_probabilities(report, late, replayed);
    }
    tell_left_out(report, &by_delay[0]);
    Ok(())
}

impl Set {
    fn read(folder: PathBuf) -> anyhow::Result<Self> {
        let name = folder.file_name().unwrap_or_default();
        Ok(Self {
            name: name.to_string_lossy().into_owned(),
            cases: folders(&folder)?,
            folder,
        })
    }
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

fn replay(
    bin_dir: &Path,
    cases: &[PathBuf],
    late: u32,
    without: &[&str],
) -> anyhow::Result<Vec<Replayed>> {
    let mut command = std::process::Command::new(bin_dir.join("firstlook-collector"));
    command
        .args(["replay", "--json", "--late", &late.to_string()])
        .args(without.iter().flat_map(|kind| ["--without", kind]))
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

/// How many of a set's cases came out how.
#[derive(Debug, Default, PartialEq, Eq)]
struct Totals {
    cases: u32,
    spoke: u32,
    /// Spoke, and the truth was first.
    right: u32,
    /// The truth was among the first 1, 2 … 5, whether it spoke or not.
    within: [u32; 5],
    /// Have a known answer about changes; it was right; a decoy was blamed.
    about_changes: u32,
    changes_right: u32,
    decoys_blamed: u32,
    /// Have a part that is known to be normal; somebody was blamed in it.
    normal: u32,
    blamed_while_normal: u32,
}

impl Totals {
    fn of(cases: &[Replayed]) -> Self {
        let count = |wanted: &dyn Fn(&Replayed) -> bool| {
            cases.iter().filter(|case| wanted(case)).count() as u32
        };
        Self {
            cases: cases.len() as u32,
            spoke: count(&|case| case.verdict.is_some()),
            right: count(&|case| case.verdict.is_some() && case.truth_rank == Some(1)),
            within: [1, 2, 3, 4, 5]
                .map(|rank| count(&|case| case.truth_rank.is_some_and(|at| at <= rank))),
            about_changes: count(&|case| case.change_right.is_some()),
            changes_right: count(&|case| case.change_right == Some(true)),
            decoys_blamed: count(&|case| case.decoy_blamed == Some(true)),
            normal: count(&|case| case.spoke_while_normal.is_some()),
            blamed_while_normal: count(&|case| case.spoke_while_normal == Some(true)),
        }
    }

    /// With what is aimed at, or without where evidence was withheld. Silent on what no case knows.
    fn tell(&self, report: &mut Report, what: &str, aimed: bool) {
        let mut share = |of: &str, part: u32, whole: u32| {
            let share = f64::from(part) / f64::from(whole.max(1));
            report.figure(format!("{what}: {of}"), share, "share");
        };
        share("AC@1", self.right, self.cases);
        share("AC@1 in order", self.within[0], self.cases);
        share("AC@3 in order", self.within[2], self.cases);
        share("Avg@5 in order", self.within.iter().sum(), 5 * self.cases);
        share("right when it spoke", self.right, self.spoke);
        if self.about_changes > 0 {
            share("change right", self.changes_right, self.about_changes);
        }
        let mut none = |of: &str, cases: u32| {
            let (of, cases) = (format!("{what}: {of}"), f64::from(cases));
            if aimed {
                report.against(of, cases, "cases", Target::AtMost(0.0));
            } else {
                report.figure(of, cases, "cases");
            }
        };
        if self.about_changes > 0 {
            none("decoys blamed", self.decoys_blamed);
        }
        if self.normal > 0 {
            none("blamed while normal", self.blamed_while_normal);
        }
    }
}

/// Whether the probabilities that the collector gave mean what they say, over all sets and in each.
fn tell_probabilities(report: &mut Report, late: u32, sets: &[(&str, Vec<Replayed>)]) {
    let forecast = |case: &Replayed| {
        Some(Forecast {
            probability: case.probability?,
            right: case.first_right?,
        })
    };
    let of = |cases: &[Replayed]| cases.iter().filter_map(forecast).collect::<Vec<_>>();
    let all: Vec<Forecast> = sets.iter().flat_map(|(_, cases)| of(cases)).collect();
    let what = format!("probability, {late} s late");
    tell_bins(report, &what, &all);
    tell_errors(report, &what, &all);
    for (name, cases) in sets {
        tell_errors(report, &format!("{what}, {name}"), &of(cases));
    }
}

/// The same of a function fitted anew on all sets but the one that it is held against.
fn tell_left_out(report: &mut Report, sets: &[(&str, Vec<Replayed>)]) {
    let standing = |case: &Replayed| {
        Some(calibration::Case {
            over: case.over?,
            lead: case.lead?,
            right: case.first_right?,
        })
    };
    let of = |cases: &Vec<Replayed>| cases.iter().filter_map(standing).collect::<Vec<_>>();
    let cases: Vec<Vec<calibration::Case>> = sets.iter().map(|(_, cases)| of(cases)).collect();
    let fit = Fit::on(&cases.concat());
    let names = ["intercept", "power of over", "power of lead"];
    for (name, constant) in names.into_iter().zip(fit.constants) {
        report.figure(format!("fitted on all: {name}"), constant, "");
    }
    let forecasts = calibration::left_out(&cases);
    let what = "fitted on the other sets";
    tell_bins(report, what, &forecasts.concat());
    tell_errors(report, what, &forecasts.concat());
    for ((name, _), forecasts) in sets.iter().zip(&forecasts) {
        tell_errors(report, &format!("{what}, {name}"), forecasts);
    }
}

fn tell_bins(report: &mut Report, what: &str, forecasts: &[Forecast]) {
    for (at, bin) in calibration::reliability(forecasts).iter().enumerate() {
        let edge = |at: usize| at as f64 / calibration::BINS as f64;
        let what = format!("{what}, {:.1} to {:.1}", edge(at), edge(at + 1));
        report.figure(format!("{what}: all"), f64::from(bin.cases), "cases");
        report.figure(format!("{what}: right"), f64::from(bin.right), "cases");
        report.figure(format!("{what}: mean"), bin.mean, "probability");
    }
}

fn tell_errors(report: &mut Report, what: &str, forecasts: &[Forecast]) {
    let base_rate = calibration::base_rate(forecasts);
    let share = base_rate.first().map_or(0.0, |f| f.probability);
    let mean = forecasts.iter().map(|f| f.probability).sum::<f64>();
    let mean = mean / forecasts.len().max(1) as f64;
    report.figure(format!("{what}: mean"), mean, "probability");
    report.figure(format!("{what}: right"), share, "share");
    let error = calibration::calibration_error(forecasts);
    report.figure(format!("{what}: calibration error"), error, "");
    for (of, forecasts) in [("", forecasts), (" of the base rate", &base_rate)] {
        let brier = calibration::brier(forecasts);
        report.figure(format!("{what}: Brier score{of}"), brier, "");
    }
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
    fn a_truth_put_first_by_one_that_abstains_is_right_in_order_alone() {
        let read = |line: &str| serde_json::from_str::<Replayed>(line).unwrap();
        let totals = Totals::of(&[
            read(r#"{"verdict":"a","truth_rank":1,"change_right":true,"decoy_blamed":false}"#),
            read(r#"{"verdict":null,"truth_rank":1,"spoke_while_normal":true}"#),
            read(r#"{"verdict":"b","truth_rank":3,"change_right":false,"decoy_blamed":true}"#),
            read(r#"{"verdict":null,"truth_rank":null,"spoke_while_normal":false}"#),
        ]);
        let expected = Totals {
            cases: 4,
            spoke: 2,
            right: 1,
            within: [2, 2, 3, 3, 3],
            about_changes: 2,
            changes_right: 1,
            decoys_blamed: 1,
            normal: 2,
            blamed_while_normal: 1,
        };
        assert_eq!(totals, expected);
    }

    #[test]
    fn memory_alone_is_scaled_and_what_is_absent_stays_absent() {
        let text = "time,a|mem_used,a|cpu\n1,2.5,3\n2,,4\n";
        assert_eq!(scaled(text), "time,a|mem_used,a|cpu\n1,2500,3\n2,,4\n");
    }
}
