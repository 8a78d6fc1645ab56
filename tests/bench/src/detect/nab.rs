//! The Numenta Anomaly Benchmark: its streams, and the score of its standard profile as its version 1.1 computes it.
//! Source: Lavin and Ahmad, "Evaluating real-time anomaly detection algorithms", ICMLA 2015; numenta/NAB.
//!
//! A window is found by its earliest detection, which earns up to 1, more the earlier; a missed one costs 1. Each
//! detection outside all windows costs up to 0.11, less just after a window. The first 15% of a stream, 750 samples at
//! most, count for nothing. One threshold holds for all streams: the one with the highest sum. A score of 0 is that of
//! never detecting, 100 that of detecting just the first sample of each window.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, ensure};

use super::read_text;

/// What a false detection far from any window costs.
const FALSE_COST: f64 = 0.11;
/// Share of a stream that is its probation, and its greatest length in samples.
const PROBATION: f64 = 0.15;
const PROBATION_LIMIT: usize = 750;

/// A labelled stream.
pub struct Stream {
    /// As `category/file.csv`.
    pub name: String,
    pub times_us: Vec<i64>,
    pub samples: Vec<f64>,
    /// First and last sample of each anomalous part, in order.
    pub windows: Vec<(usize, usize)>,
}

impl Stream {
    /// Samples that count for nothing.
    pub fn probation(&self) -> usize {
        ((PROBATION * self.samples.len() as f64) as usize).min(PROBATION_LIMIT)
    }
}

/// Reads all streams that `windows.json` names and that are there; the names of the others.
///
/// # Errors
/// When a file cannot be read, or is not of the form; with the place.
pub fn read(folder: &Path) -> anyhow::Result<(Vec<Stream>, Vec<String>)> {
    let path = folder.join("windows.json");
    let labels: BTreeMap<String, Vec<(String, String)>> =
        serde_json::from_str(&read_text(&path)?).with_context(|| path.display().to_string())?;
    let (mut streams, mut absent) = (Vec::new(), Vec::new());
    for (name, windows) in labels {
        let path = folder.join(&name);
        if !path.exists() {
            absent.push(name);
            continue;
        }
        let stream = parse(name, &read_text(&path)?, &windows);
        streams.push(stream.with_context(|| path.display().to_string())?);
    }
    Ok((streams, absent))
}

fn parse(name: String, text: &str, windows: &[(String, String)]) -> anyhow::Result<Stream> {
    let (mut times_us, mut samples) = (Vec::new(), Vec::new());
    let mut lines = text.lines().zip(1..);
    ensure!(
        lines
            .next()
            .is_some_and(|(head, _)| head == "timestamp,value"),
        "line 1 is not \"timestamp,value\""
    );
    for (line, number) in lines {
        let row = line.split_once(',').and_then(|(time, value)| {
            let value = value.parse::<f64>().ok().filter(|v| v.is_finite())?;
            Some((time_us(time)?, value))
        });
        let (time, value) =
            row.with_context(|| format!("line {number} is not a time and a number"))?;
        times_us.push(time);
        samples.push(value);
    }
    let place = |text: &str| {
        let at = time_us(text).and_then(|time| times_us.iter().position(|t| *t == time));
        at.with_context(|| format!("no sample at {text}, where a window has an end"))
    };
    let windows = windows
        .iter()
        .map(|(from, to)| Ok((place(from)?, place(to)?)))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let ends: Vec<usize> = windows.iter().flat_map(|(from, to)| [*from, *to]).collect();
    ensure!(ends.is_sorted(), "windows overlap or are not in order");
    Ok(Stream {
        name,
        times_us,
        samples,
        windows,
    })
}

/// Microseconds since 1970 of `YYYY-MM-DD hh:mm:ss`, with or without a fraction, in UTC.
fn time_us(text: &str) -> Option<i64> {
    let (date, clock) = text.split_once(' ')?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(clock, ':')?;
    if !(1..=12).contains(&month)
        || !(1..=31).contains(&day)
        || hour > 23
        || minute > 59
        || second > 60
    {
        return None;
    }
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let micros: i64 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
    // Years from March, so that the day that leap years have is the last.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days =
        365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 719_469;
    Some((days * 86_400 + hour * 3_600 + minute * 60 + second) * 1_000_000 + micros)
}

fn numbers(text: &str, between: char) -> Option<[i64; 3]> {
    let parts = text
        .split(between)
        .map(|part| part.parse::<u16>().ok().map(i64::from));
    parts.collect::<Option<Vec<_>>>()?.try_into().ok()
}

/// What detecting one sample is worth.
#[derive(Clone, Copy, Debug)]
struct Point {
    score: f64,
    worth: f64,
    /// The window that it lies in.
    window: Option<usize>,
}

/// The scored samples of several streams.
#[derive(Default)]
pub struct Sheet {
    points: Vec<Point>,
    windows: usize,
}

impl Sheet {
    /// Adds a stream with a score per sample.
    pub fn add(&mut self, stream: &Stream, scores: &[f64]) {
        let (mut before, mut next) = (None, 0);
        let most = sigmoid(-1.0);
        for (at, score) in scores.iter().enumerate() {
            while stream.windows.get(next).is_some_and(|(_, last)| *last < at) {
                before = stream.windows.get(next);
                next += 1;
            }
            let within = stream.windows.get(next).filter(|(first, _)| *first <= at);
            let worth = match (within, before) {
                (Some((first, last)), _) => {
                    // As published: the last sample of a window is still worth something.
                    sigmoid(-((last - at + 1) as f64) / (last - first + 1) as f64) / most
                }
                (None, Some((first, last))) => {
                    FALSE_COST * sigmoid((at - last) as f64 / (last - first).max(1) as f64)
                }
                (None, None) => -FALSE_COST,
            };
            if at >= stream.probation() {
                self.points.push(Point {
                    score: *score,
                    worth,
                    window: within.map(|_| self.windows + next),
                });
            }
        }
        self.windows += stream.windows.len();
    }

    /// The score where all that reach the threshold are detections.
    pub fn at(&self, threshold: f64) -> f64 {
        let mut sum = Sum::of(self.windows);
        for point in self.points.iter().filter(|point| point.score >= threshold) {
            sum.add(point);
        }
        self.normalised(sum.total)
    }

    /// The threshold with the highest score, and the score. It is above all scores where detecting never pays.
    pub fn best(&self) -> (f64, f64) {
        let mut points = self.points.clone();
        points.sort_by(|a, b| b.score.total_cmp(&a.score));
        let mut sum = Sum::of(self.windows);
        let mut best = (f64::INFINITY, sum.total);
        // Equal scores are detected together.
        for tied in points.chunk_by(|a, b| a.score == b.score) {
            tied.iter().for_each(|point| sum.add(point));
            if sum.total > best.1 {
                best = (tied[0].score, sum.total);
            }
        }
        (best.0, self.normalised(best.1))
    }

    fn normalised(&self, total: f64) -> f64 {
        let windows = self.windows.max(1) as f64;
        100.0 * (total + windows) / (2.0 * windows)
    }
}

/// A running sum.
struct Sum {
    total: f64,
    /// What each window brings: -1 while it is missed.
    windows: Vec<f64>,
}

impl Sum {
    fn of(windows: usize) -> Self {
        Self {
            total: -(windows as f64),
            windows: vec![-1.0; windows],
        }
    }

    fn add(&mut self, point: &Point) {
        let Some(window) = point.window else {
            self.total += point.worth;
            return;
        };
        let brings = self.windows[window].max(point.worth);
        self.total += brings - self.windows[window];
        self.windows[window] = brings;
    }
}

/// From 1 well within a window over 0 at its end to -1 well behind it.
fn sigmoid(position: f64) -> f64 {
    if position >= 3.0 {
        -1.0
    } else {
        2.0 / (1.0 + (5.0 * position).exp()) - 1.0
    }
}

#[cfg(test)]
mod tests;
