//! Ways to give each sample of one series an anomaly score as it comes, never looking ahead: level one's, and simple
//! ones to compare with. Scores are at least 0, and only their order counts: none is squeezed under 1, where the highest
//! would become equal.

use std::collections::VecDeque;

use firstlook_detect::Level;
use firstlook_model::{SignalKind, Unit};

/// Of the published windowed Gaussian: samples in its window, and by how many it moves on.
const GAUSSIAN_WINDOW: usize = 6_400;
const GAUSSIAN_STEP: usize = 100;
/// What it takes for the deviation of a flat window.
const GAUSSIAN_FLAT: f64 = 1e-6;
/// Deviations from which its score, one less the tail's probability, is 1 in doubles: all beyond is one tie.
const GAUSSIAN_CERTAIN: f64 = 8.29;
/// Samples of the moving average.
const AVERAGE_WINDOW: usize = 60;

/// A way to score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    /// Distance from level one's usual level, in its scales.
    LevelOne,
    /// The same distance held against all that the series had before: their power mean, which the worst ones rule where
    /// the power is high. What a series does every day is no news then, however far from its usual level it leads.
    LevelOneOwnPast { power: f64 },
    /// Standard deviations from the mean of the last samples, as published.
    WindowedGaussian,
    /// Difference to the mean of the last samples.
    MovingAverage,
    /// Standard deviations from the mean of the series' first samples. Not streaming: it needs to be told how many.
    FirstSamples,
}

impl Method {
    /// A score per sample. `first` is how many samples [`Method::FirstSamples`] is fitted on; the others need none.
    pub fn scores(self, times_us: &[i64], samples: &[f64], first: usize) -> Vec<f64> {
        match self {
            Self::LevelOne => level_one(times_us, samples),
            Self::LevelOneOwnPast { power } => own_past(times_us, samples, power),
            Self::WindowedGaussian => windowed_gaussian(samples),
            Self::MovingAverage => moving_average(samples),
            Self::FirstSamples => first_samples(samples, first),
        }
    }
}

/// Level one as it is for a gauge from 0 to 1: recordings carry no unit, and this one has the smallest floor.
pub fn level() -> Level {
    Level::new(Unit::Ratio, SignalKind::Gauge)
}

fn level_one(times_us: &[i64], samples: &[f64]) -> Vec<f64> {
    let mut level = level();
    let score = |(at_us, sample): (&i64, &f64)| {
        let departure = level.feed(*at_us, *sample);
        departure.map_or(0.0, |d| d.distance.abs() / d.scale)
    };
    times_us.iter().zip(samples).map(score).collect()
}

fn own_past(times_us: &[i64], samples: &[f64], power: f64) -> Vec<f64> {
    let mut level = level();
    let (mut sum, mut count) = (0.0_f64, 0.0);
    let score = |(at_us, sample): (&i64, &f64)| {
        let Some(departure) = level.feed(*at_us, *sample) else {
            return 0.0;
        };
        if count == 0.0 {
            // The scale stands for a past that there is not yet.
            (sum, count) = (departure.scale.powf(power), 1.0);
        }
        let distance = departure.distance.abs();
        let usual = (sum / count).powf(1.0 / power);
        sum += distance.powf(power);
        count += 1.0;
        distance / usual
    };
    times_us.iter().zip(samples).map(score).collect()
}

fn windowed_gaussian(samples: &[f64]) -> Vec<f64> {
    let (mut window, mut waiting) = (VecDeque::new(), Vec::new());
    let (mut mean, mut deviation) = (0.0, f64::INFINITY);
    let score = |sample: &f64| {
        let score = ((sample - mean).abs() / deviation).min(GAUSSIAN_CERTAIN);
        if window.len() < GAUSSIAN_WINDOW {
            window.push_back(*sample);
        } else {
            waiting.push(*sample);
            if waiting.len() < GAUSSIAN_STEP {
                return score;
            }
            window.drain(..GAUSSIAN_STEP);
            window.extend(waiting.drain(..));
        }
        (mean, deviation) = moments(window.iter());
        score
    };
    samples.iter().map(score).collect()
}

fn moving_average(samples: &[f64]) -> Vec<f64> {
    let mut sum = 0.0;
    let score = |(at, sample): (usize, &f64)| {
        let before = at.min(AVERAGE_WINDOW);
        let score = if before == 0 {
            0.0
        } else {
            (sample - sum / before as f64).abs()
        };
        sum += sample;
        if at >= AVERAGE_WINDOW {
            sum -= samples[at - AVERAGE_WINDOW];
        }
        score
    };
    samples.iter().enumerate().map(score).collect()
}

fn first_samples(samples: &[f64], first: usize) -> Vec<f64> {
    let (mean, deviation) = moments(samples.iter().take(first));
    samples
        .iter()
        .map(|sample| (sample - mean).abs() / deviation)
        .collect()
}

/// Mean and standard deviation, this not zero.
fn moments<'a>(samples: impl ExactSizeIterator<Item = &'a f64> + Clone) -> (f64, f64) {
    let count = samples.len().max(1) as f64;
    let mean = samples.clone().sum::<f64>() / count;
    let variance = samples.map(|x| (x - mean) * (x - mean)).sum::<f64>() / count;
    let deviation = variance.sqrt();
    (
        mean,
        if deviation == 0.0 {
            GAUSSIAN_FLAT
        } else {
            deviation
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Method; 5] = [
        Method::LevelOne,
        Method::LevelOneOwnPast { power: 4.0 },
        Method::WindowedGaussian,
        Method::MovingAverage,
        Method::FirstSamples,
    ];

    fn wave(count: usize) -> (Vec<i64>, Vec<f64>) {
        let value = |i: usize| ((i * 7) % 11) as f64;
        (
            (1..=count as i64).collect(),
            (0..count).map(value).collect(),
        )
    }

    #[test]
    fn no_method_looks_ahead() {
        let (times, samples) = wave(400);
        for method in ALL {
            let whole = method.scores(&times, &samples, 50);
            let part = method.scores(&times[..300], &samples[..300], 50);
            assert_eq!(whole[..300], part, "{method:?}");
        }
    }

    #[test]
    fn a_jump_scores_highest() {
        let (times, mut samples) = wave(400);
        samples[350] = 1_000.0;
        for method in ALL {
            let scores = method.scores(&times, &samples, 50);
            let highest = (0..400).max_by(|a, b| scores[*a].total_cmp(&scores[*b]));
            assert_eq!(highest, Some(350), "{method:?}");
        }
    }

    #[test]
    fn what_a_series_did_before_is_less_strange_the_second_time() {
        let (times, mut samples) = wave(400);
        (samples[100], samples[350]) = (50.0, 50.0);
        let scores = Method::LevelOneOwnPast { power: 4.0 }.scores(&times, &samples, 0);
        assert!(
            scores[350] < 0.9 * scores[100],
            "{} {}",
            scores[350],
            scores[100]
        );
    }
}
