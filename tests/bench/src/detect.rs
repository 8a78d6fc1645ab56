//! `detect`: how well level one, as the collector runs it on every series, tells anomalies in recorded, labelled streams,
//! and how fast, beside simple methods on the same streams in the same run.
//!
//! Each stream is fed in the order of time, a sample at a time. Level one says how strange a sample is: how far it, the last
//! few and the step to it lie from what is usual at that hour, against the same of the samples before, and how great news it is
//! against all of ten or twenty days before. That is what the product judges by. Beside it the distance in the deviations of
//! late; and, where detections are events, a departure that goes on told once, as a symptom is.

mod curve;
mod method;
mod nab;
mod published;
mod smd;

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Args;
use firstlook_detect::Level;

use crate::cpu::Stopwatch;
use crate::detect::method::Method;
use crate::detect::nab::{Sheet, Stream};
use crate::detect::smd::{Machine, Scores};
use crate::report::{Report, Target};

/// What is read of one file, once unpacked.
const FILE_LIMIT_BYTES: u64 = 64 * 1024 * 1024;
/// Rounds over all series for the speed: one is over too soon to be measured.
const ROUNDS: usize = 10;
/// Samples within which a departure that goes on is told once: of these the one with the highest score over the first, third,
/// fifth … stream.
const TOLD_ONCE_IN: usize = 100;
const TOLD: Method = Method::LevelOneTold { rest: TOLD_ONCE_IN };
const RESTS: [usize; 6] = [25, 50, 100, 200, 400, 800];

#[derive(Args)]
pub struct Options {
    /// Folder with the folders `nab` and `smd`, as their publishers lay them out; tables of the latter as `.csv.zst`.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Print each machine's figures, and what the choice of the rest rests on.
    #[arg(long)]
    each: bool,
}

/// Measures; says so where there are no recordings.
///
/// # Errors
/// When recordings are there and cannot be read, or are not of the form.
pub fn measure(options: &Options) -> anyhow::Result<Report> {
    let mut report = Report::new("detect");
    let Some(data) = &options.data else {
        report.note("data not present, skipped: no --data");
        return Ok(report);
    };
    let (nab, smd) = (data.join("nab"), data.join("smd"));
    let streams = if nab.is_dir() {
        let (streams, absent) = nab::read(&nab)?;
        if !absent.is_empty() {
            report.note(format!(
                "in windows.json but not there: {}",
                absent.join(", ")
            ));
        }
        streams
    } else {
        skipped(&mut report, &nab);
        Vec::new()
    };
    let machines = if smd.is_dir() {
        smd::read(&smd)?
    } else {
        skipped(&mut report, &smd);
        Vec::new()
    };
    if !streams.is_empty() {
        tell_streams(&mut report, &streams);
    }
    if !machines.is_empty() {
        tell_machines(&mut report, &machines, options.each);
    }
    if options.each {
        tell_choice(&mut report, &streams);
    }
    if !streams.is_empty() || !machines.is_empty() {
        let speed = speed(&streams, &machines);
        let name = "samples through level one";
        report.against(
            name,
            speed / 1e6,
            "million per CPU-second",
            Target::AtLeast(10.0),
        );
        report.note(format!(
            "level one with a floor of a thousandth, as recordings have no units; told once in {TOLD_ONCE_IN} samples, which was \
             chosen on every second stream of NAB"
        ));
    }
    Ok(report)
}

fn skipped(report: &mut Report, folder: &Path) {
    report.note(format!("data not present, skipped: {}", folder.display()));
}

fn sheet<'a>(streams: impl IntoIterator<Item = &'a Stream>, method: Method) -> Sheet {
    let mut sheet = Sheet::default();
    for stream in streams {
        let scores = method.scores(&stream.times_us, &stream.samples, stream.probation());
        sheet.add(stream, &scores);
    }
    sheet
}

/// The half of the streams that the power was chosen on.
fn chosen_on(streams: &[Stream]) -> impl Iterator<Item = &Stream> {
    streams.iter().step_by(2)
}

fn tell_streams(report: &mut Report, streams: &[Stream]) {
    let all = published::STREAMS;
    let set = if streams.len() == all {
        "NAB".to_owned()
    } else {
        format!("NAB {}/{all} streams", streams.len())
    };
    let others = published::on(streams);
    let target = others.map_or(published::BEST_ON_ALL, |others| rounded(others.artime, 1));
    let mut tell = |name: &str, method: Method| {
        let (_, score) = sheet(streams, method).best();
        report.figure(format!("{set}: {name}"), score, "of 100");
    };
    tell("windowed Gaussian", Method::WindowedGaussian);
    tell("z-score of the probation", Method::FirstSamples);
    tell("moving average", Method::MovingAverage);
    tell("level one, scales alone", Method::LevelOneScales);
    let (threshold, _) = sheet(chosen_on(streams), TOLD).best();
    let rest = sheet(streams.iter().skip(1).step_by(2), TOLD).at(threshold);
    report.figure(
        format!("{set}: told once, 2nd half, threshold of 1st"),
        rest,
        "of 100",
    );
    for (name, method) in [
        ("level one", Method::LevelOne),
        ("level one, told once", TOLD),
    ] {
        let (_, score) = sheet(streams, method).best();
        report.against(
            format!("{set}: {name}"),
            score,
            "of 100",
            Target::AtLeast(target),
        );
    }
    report.note(
        "NAB, standard profile, published for all 58 streams: ARTime 74.9, Numenta HTM 70.1, CAD OSE 69.9, RCF 51.7, \
         windowed Gaussian 39.6, random 11-17",
    );
    match others {
        Some(others) => {
            report.note(format!(
                "on just these streams the published results make ARTime {:.1}, windowed Gaussian {:.2}; \
                 with thresholds for all 58",
                others.artime, others.gaussian
            ));
            let ours = sheet(streams, Method::WindowedGaussian).at(published::GAUSSIAN_THRESHOLD);
            report.figure(
                format!("{set}: Gaussian, published threshold"),
                ours,
                "of 100",
            );
        }
        None => {
            report.note("NAB: a category lacks streams, so the target is the best on all of them")
        }
    }
}

/// Rounded up: a target is not made easier so that it reads well.
fn rounded(target: f64, digits: i32) -> f64 {
    let unit = 10_f64.powi(digits);
    (target * unit).ceil() / unit
}

fn tell_machines(report: &mut Report, machines: &[Machine], each: bool) {
    let set = format!("SMD {}/{} machines", machines.len(), published::MACHINES);
    let of = |method: Method| -> Vec<Scores> {
        machines
            .iter()
            .map(|machine| machine.scores(method))
            .collect()
    };
    let average = Scores::mean(&of(Method::MovingAverage));
    let level_one = of(Method::LevelOne);
    let targets = [average.area, average.f1, average.hit_rate].map(|score| rounded(score, 3));
    let Scores { area, f1, hit_rate } = Scores::mean(&level_one);
    let figures = [("AUC-PR", area), ("F1", f1), ("HitRate@100%", hit_rate)];
    for ((name, value), target) in figures.into_iter().zip(targets) {
        report.against(format!("{set}: {name}"), value, "", Target::AtLeast(target));
    }
    let rest = level_one.get(1..).unwrap_or_default();
    tell_scores(report, &format!("{set}: not the first"), Scores::mean(rest));
    tell_scores(report, &format!("{set}: moving average"), average);
    let scales = Scores::mean(&of(Method::LevelOneScales));
    tell_scores(report, &format!("{set}: scales alone"), scales);
    let fitted = Scores::mean(&of(Method::FirstSamples));
    tell_scores(report, &format!("{set}: z-score"), fitted);
    if each {
        for (machine, scores) in machines.iter().zip(level_one) {
            tell_scores(report, &machine.name, scores);
        }
    }
    report.note(
        "SMD, never point-adjusted; F1 at the 99% quantile of the unlabelled part; its z-score is not streaming: fitted on that part; published as AUC-PR/F1/HitRate@100%, mean \
         over eight machines: PCA reconstruction .571/.204/.603, z-score .521/.201/.679, difference to a moving average \
         .375/.235/.782; the targets are the last one's on the machines at hand, in this run",
    );
}

fn tell_scores(report: &mut Report, what: &str, scores: Scores) {
    report.figure(format!("{what}: AUC-PR"), scores.area, "");
    report.figure(format!("{what}: F1"), scores.f1, "");
    report.figure(format!("{what}: HitRate@100%"), scores.hit_rate, "");
}

/// What each rest reached on the streams that it was chosen on.
fn tell_choice(report: &mut Report, streams: &[Stream]) {
    for rest in RESTS {
        let (_, score) = sheet(chosen_on(streams), Method::LevelOneTold { rest }).best();
        report.figure(
            format!("told once in {rest}: NAB, 1st half"),
            score,
            "of 100",
        );
    }
}

/// Samples per CPU-second of level one alone: each series of all recordings from its first sample to its last.
fn speed(streams: &[Stream], machines: &[Machine]) -> f64 {
    let machine_times: Vec<Vec<i64>> = machines.iter().map(Machine::times_us).collect();
    let of_machines = machines.iter().zip(&machine_times);
    let of_machines =
        of_machines.flat_map(|(machine, times)| machine.metrics.iter().map(move |m| (times, m)));
    let series: Vec<(&Vec<i64>, &Vec<f64>)> = streams
        .iter()
        .map(|stream| (&stream.times_us, &stream.samples))
        .chain(of_machines)
        .collect();
    let watch = Stopwatch::start();
    let (mut fed, mut farthest) = (0usize, 0.0_f64);
    for _ in 0..ROUNDS {
        for (times, samples) in &series {
            let mut level = Level::unitless();
            for (at_us, sample) in times.iter().zip(*samples) {
                // Read, so that the compiler leaves nothing of it out.
                if let Some(departure) = level.feed(*at_us, *sample) {
                    farthest = farthest.max(departure.distance);
                }
            }
            // What it would have nominated is part of the work, too.
            std::hint::black_box(&level);
            fed += samples.len();
        }
    }
    std::hint::black_box(farthest);
    fed as f64 / watch.passed().cpu
}

/// The text of a file, unpacked where its name ends in `.zst`.
fn read_text(path: &Path) -> anyhow::Result<String> {
    let unpack = || -> anyhow::Result<String> {
        let file = std::fs::File::open(path)?;
        let source: Box<dyn std::io::Read> = match path.extension() {
            Some(end) if end == "zst" => Box::new(zstd::Decoder::new(file)?),
            _ => Box::new(file),
        };
        let mut text = String::new();
        let mut limited = std::io::Read::take(source, FILE_LIMIT_BYTES + 1);
        std::io::Read::read_to_string(&mut limited, &mut text)?;
        ensure!(
            text.len() as u64 <= FILE_LIMIT_BYTES,
            "larger than {FILE_LIMIT_BYTES} bytes"
        );
        Ok(text)
    };
    unpack().with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_there_are_no_recordings_it_says_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let report = measure(&Options {
            data: Some(folder.path().to_owned()),
            each: true,
        });
        let report = report.expect("no failure");
        let skipped = report
            .notes
            .iter()
            .filter(|note| note.starts_with("data not present, skipped"));
        assert_eq!(skipped.count(), 2);
    }

    #[test]
    fn a_bad_file_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let nab = folder.path().join("nab");
        std::fs::create_dir_all(nab.join("a")).expect("a folder");
        std::fs::write(nab.join("windows.json"), r#"{"a/b.csv": []}"#).expect("written");
        std::fs::write(nab.join("a/b.csv"), "timestamp,value\nnow,1\n").expect("written");
        let refused = measure(&Options {
            data: Some(folder.path().to_owned()),
            each: false,
        });
        let refused = format!("{:#}", refused.err().expect("refused"));
        assert!(
            refused.contains("a/b.csv") && refused.contains("line 2"),
            "{refused}"
        );
    }
}
