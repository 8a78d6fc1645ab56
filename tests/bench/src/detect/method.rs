//! Ways to give each sample of one series an anomaly score as it comes, never looking ahead: level one's, and simple
//! ones to compare with. Scores are at least 0, and only their order counts: none is squeezed under 1, where the highest
//! would become equal.

use std::collections::VecDeque;

use firstlook_detect::{Departure, Level};

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
    /// How strange level one finds it: how far it, the last few and the step to it lie from what is usual at that hour, each
    /// against the same of the samples before; and how far from all values before.
    LevelOne,
    /// The same, where a departure that goes on is told once: a sample scores only where none of so many before it was as strange.
    LevelOneTold { rest: usize },
    /// The distance in the deviations of late.
    LevelOneScales,
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
            Self::LevelOne => level_one(times_us, samples, |d| d.strangeness()),
            Self::LevelOneTold { rest } => {
                told_once(level_one(times_us, samples, |d| d.strangeness()), rest)
            }
            Self::LevelOneScales => level_one(times_us, samples, |d| d.distance.abs() / d.scale),
            Self::WindowedGaussian => windowed_gaussian(samples),
            Self::MovingAverage => moving_average(samples),
            Self::FirstSamples => first_samples(samples, first),
        }
    }
}

fn level_one(times_us: &[i64], samples: &[f64], score_of: fn(&Departure) -> f64) -> Vec<f64> {
    let mut level = Level::unitless();
    let score = |(at_us, sample): (&i64, &f64)| {
        let departure = level.feed(*at_us, *sample);
        departure.as_ref().map_or(0.0, score_of)
    };
    times_us.iter().zip(samples).map(score).collect()
}

/// Keeps a score only where it is above all of the `rest` before it.
fn told_once(scores: Vec<f64>, rest: usize) -> Vec<f64> {
    // Places of falling scores among the last, the highest first.
    let mut falling: VecDeque<usize> = VecDeque::new();
    let told = |(at, score): (usize, &f64)| {
        while falling.front().is_some_and(|first| first + rest < at) {
            falling.pop_front();
        }
        let news = falling
            .front()
            .is_none_or(|highest| *score > scores[*highest]);
        while falling.back().is_some_and(|last| scores[*last] <= *score) {
            falling.pop_back();
        }
        falling.push_back(at);
        if news { *score } else { 0.0 }
    };
    scores.iter().enumerate().map(told).collect()
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

    const ALL: [Method; 6] = [
        Method::LevelOne,
        Method::LevelOneScales,
        Method::LevelOneTold { rest: 20 },
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
    fn a_departure_that_goes_on_is_told_once_and_a_greater_one_again() {
        let told = told_once(vec![0.0, 2.0, 1.0, 2.0, 3.0, 0.0, 0.0, 1.0], 2);
        assert_eq!(told, [0.0, 2.0, 0.0, 0.0, 3.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn what_a_series_did_before_is_less_strange_the_second_time() {
        let (times, mut samples) = wave(400);
        (samples[100], samples[350]) = (50.0, 50.0);
        let scores = Method::LevelOne.scores(&times, &samples, 0);
        assert!(
            scores[350] < 0.95 * scores[100],
            "{} {}",
            scores[350],
            scores[100]
        );
    }
}
