//! The Server Machine Dataset: machines with metrics from 0 to 1 once a minute, a part to learn on and a labelled one.
//! Source: Su et al., "Robust anomaly detection for multivariate time series", KDD 2019; NetManAIOps/OmniAnomaly.
//!
//! A point's score is the sum over the metrics of the squares of their scores, the same for every method: a metric far
//! out counts more than many a little out. A metric's share in an anomalous part is the same sum over that part.

use std::ops::Range;
use std::path::Path;

use anyhow::{Context, ensure};

use super::curve::{average_precision, f1, hit_rate, quantile};
use super::method::Method;
use super::read_text;

/// Time between points.
const INTERVAL_US: i64 = 60_000_000;
/// Share of the points to learn on that stay at or under the threshold of F1: they are not labelled, and some of them
/// are anomalous.
const QUIET: f64 = 0.99;

/// A machine.
pub struct Machine {
    pub name: String,
    /// Each metric over both parts.
    pub metrics: Vec<Vec<f64>>,
    /// Points to learn on; the labelled ones follow.
    pub learn: usize,
    /// Whether each labelled point is anomalous.
    pub truth: Vec<bool>,
    pub parts: Vec<Part>,
}

/// An anomalous part, and the metrics that show it.
#[derive(Debug, PartialEq)]
pub struct Part {
    /// Among the labelled points.
    points: Range<usize>,
    metrics: Vec<usize>,
}

/// How well a method does.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scores {
    pub area: f64,
    pub f1: f64,
    pub hit_rate: f64,
}

impl Scores {
    /// Means over machines.
    pub fn mean(of: &[Self]) -> Self {
        let mean = |one: fn(&Self) -> f64| of.iter().map(one).sum::<f64>() / of.len().max(1) as f64;
        Self {
            area: mean(|s| s.area),
            f1: mean(|s| s.f1),
            hit_rate: mean(|s| s.hit_rate),
        }
    }
}

impl Machine {
    /// Times of the points.
    pub fn times_us(&self) -> Vec<i64> {
        let points = self.learn + self.truth.len();
        (1..).map(|at| at * INTERVAL_US).take(points).collect()
    }

    /// Scores of a method, streaming over the part to learn on and then over the labelled one.
    pub fn scores(&self, method: Method) -> Scores {
        let times = self.times_us();
        let mut all = vec![0.0; times.len()];
        let mut shares: Vec<Vec<f64>> = vec![Vec::new(); self.parts.len()];
        for metric in &self.metrics {
            let mut squares = method.scores(&times, metric, self.learn);
            squares.iter_mut().for_each(|score| *score *= *score);
            all.iter_mut()
                .zip(&squares)
                .for_each(|(sum, square)| *sum += square);
            let labelled = &squares[self.learn..];
            for (part, shares) in self.parts.iter().zip(&mut shares) {
                shares.push(labelled[part.points.clone()].iter().sum());
            }
        }
        let (learned, labelled) = all.split_at(self.learn);
        let hits = self.parts.iter().zip(&shares);
        let hits = hits.map(|(part, shares)| hit_rate(shares, &part.metrics));
        Scores {
            area: average_precision(labelled, &self.truth),
            f1: f1(labelled, &self.truth, quantile(learned, QUIET)),
            hit_rate: hits.sum::<f64>() / self.parts.len().max(1) as f64,
        }
    }
}

/// Reads all machines of a folder, in order of their names.
///
/// # Errors
/// When a file cannot be read, or is not of the form; with the place.
pub fn read(folder: &Path) -> anyhow::Result<Vec<Machine>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let file = entry?.file_name();
        let name = file
            .to_str()
            .and_then(|name| name.strip_suffix("_test_label.csv"));
        names.extend(name.map(str::to_owned));
    }
    names.sort();
    names
        .into_iter()
        .map(|name| machine(folder, name))
        .collect()
}

fn machine(folder: &Path, name: String) -> anyhow::Result<Machine> {
    fn parsed<T>(path: &Path, parse: impl FnOnce(&str) -> anyhow::Result<T>) -> anyhow::Result<T> {
        parse(&read_text(path)?).with_context(|| path.display().to_string())
    }
    let path = |end: &str| folder.join(format!("{name}_{end}"));
    let mut metrics = parsed(&path("train.csv.zst"), columns)?;
    let labelled = parsed(&path("test.csv.zst"), columns)?;
    let truth = parsed(&path("test_label.csv"), labels)?;
    let learn = metrics.first().map_or(0, Vec::len);
    ensure!(
        metrics.len() == labelled.len(),
        "{name}: both parts must have the same metrics"
    );
    ensure!(
        labelled
            .first()
            .is_some_and(|metric| metric.len() == truth.len()),
        "{name}: each labelled point must have a label"
    );
    let parts = parsed(&path("interpretation.txt"), |text| {
        parts(text, truth.len(), metrics.len())
    })?;
    for (metric, more) in metrics.iter_mut().zip(labelled) {
        metric.extend(more);
    }
    Ok(Machine {
        name,
        metrics,
        learn,
        truth,
        parts,
    })
}

/// Columns of CSV without a head: one per metric.
fn columns(text: &str) -> anyhow::Result<Vec<Vec<f64>>> {
    let count = text.lines().next().context("empty")?.split(',').count();
    let mut columns = vec![Vec::new(); count];
    for (line, number) in text.lines().zip(1..) {
        let row: Option<Vec<f64>> = line
            .split(',')
            .map(|cell| cell.parse().ok().filter(|value: &f64| value.is_finite()))
            .collect();
        let row = row.filter(|row| row.len() == count);
        let row = row.with_context(|| format!("line {number} is not {count} numbers"))?;
        columns
            .iter_mut()
            .zip(row)
            .for_each(|(column, cell)| column.push(cell));
    }
    Ok(columns)
}

fn labels(text: &str) -> anyhow::Result<Vec<bool>> {
    let label = |(line, number): (&str, usize)| match line {
        "0" => Ok(false),
        "1" => Ok(true),
        _ => anyhow::bail!("line {number} is not 0 or 1"),
    };
    text.lines().zip(1..).map(label).collect()
}

/// Lines `start-end:metric,metric…`: points from 0, without the last; metrics from 1.
fn parts(text: &str, points: usize, metrics: usize) -> anyhow::Result<Vec<Part>> {
    let part = |line: &str| {
        let (range, shown) = line.split_once(':')?;
        let (from, to) = range.split_once('-')?;
        let range = from.parse().ok()?..to.parse().ok()?;
        let shown: Option<Vec<usize>> = shown
            .split(',')
            .map(|metric| metric.parse::<usize>().ok()?.checked_sub(1))
            .collect();
        let shown = shown.filter(|shown| shown.iter().all(|metric| *metric < metrics))?;
        (range.start < range.end && range.end <= points).then_some(Part {
            points: range,
            metrics: shown,
        })
    };
    let place =
        |number: usize| format!("line {number} is not start-end:metrics of what was labelled");
    text.lines()
        .zip(1..)
        .map(|(line, number)| part(line).with_context(|| place(number)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_of_the_form_is_refused_with_its_place() {
        assert_eq!(
            columns("1,2\n3,4\n").expect("good"),
            [[1.0, 3.0], [2.0, 4.0]]
        );
        assert_eq!(labels("0\n1\n").expect("good"), [false, true]);
        let part = Part {
            points: 2..4,
            metrics: vec![0, 1],
        };
        assert_eq!(parts("2-4:1,2\n", 4, 2).expect("good"), [part]);
        let place = |refused: Option<anyhow::Error>| refused.expect("refused").to_string();
        assert!(place(columns("1,2\n3\n").err()).contains("line 2"));
        assert!(place(columns("1,2\n3,inf\n").err()).contains("line 2"));
        assert!(place(labels("0\n2\n").err()).contains("line 2"));
        for bad in ["2-5:1", "4-2:1", "2-4:0", "2-4:3", "2-4:", "2:1", "x"] {
            assert!(place(parts(bad, 4, 2).err()).contains("line 1"), "{bad}");
        }
    }

    #[test]
    fn a_metric_that_jumps_is_found_and_named() {
        let quiet = |metric: usize| (0..200).map(move |i| ((i * (metric + 3)) % 7) as f64 / 20.0);
        let mut metrics: Vec<Vec<f64>> = (0..3).map(|metric| quiet(metric).collect()).collect();
        metrics[1][150..153].fill(9.0);
        let machine = Machine {
            name: "one".into(),
            metrics,
            learn: 100,
            truth: (0..100).map(|at| (50..53).contains(&at)).collect(),
            parts: vec![Part {
                points: 50..53,
                metrics: vec![1],
            }],
        };
        let scores = machine.scores(Method::LevelOne);
        assert_eq!((scores.area, scores.hit_rate), (1.0, 1.0), "{scores:?}");
    }
}
