//! What others are published to reach on the first set, stream by stream.
//!
//! Source: `results/*/…_standard_scores.csv` of numenta/NAB, version 1.1, added up by category. A score is normalised
//! as ours is, so parts of the corpus can be compared; the thresholds were chosen on all of it.

use super::nab::Stream;

/// Streams of the whole corpus.
pub const STREAMS: usize = 58;
/// Machines of the whole second set.
pub const MACHINES: usize = 28;
/// The best score on the whole corpus: ARTime's.
pub const BEST_ON_ALL: f64 = 74.9;
/// Deviations at which the published windowed Gaussian detects. Its results say "1.0", rounded: at 7.13 deviations, a
/// probability of 1 - 5e-13, the score of each stream is the published one to six digits.
pub const GAUSSIAN_THRESHOLD: f64 = 7.13;

/// Sums of the published scores over one category's streams, before normalising.
struct Category {
    name: &'static str,
    streams: usize,
    artime: f64,
    gaussian: f64,
}

#[rustfmt::skip]
const CATEGORIES: [Category; 7] = [
    Category { name: "artificialNoAnomaly", streams: 5, artime: -0.11, gaussian: 0.0 },
    Category { name: "artificialWithAnomaly", streams: 6, artime: 2.4418, gaussian: -5.6924 },
    Category { name: "realAdExchange", streams: 6, artime: 7.0344, gaussian: 1.9318 },
    Category { name: "realAWSCloudwatch", streams: 17, artime: 11.6857, gaussian: -11.2562 },
    Category { name: "realKnownCause", streams: 7, artime: 5.2738, gaussian: -13.9250 },
    Category { name: "realTraffic", streams: 7, artime: 10.3195, gaussian: 3.9987 },
    Category { name: "realTweets", streams: 10, artime: 21.0155, gaussian: 0.9301 },
];

/// Published scores on some categories, normalised.
#[derive(Clone, Copy, Debug)]
pub struct Others {
    pub artime: f64,
    pub gaussian: f64,
}

/// What others reach on these streams; `None` unless they are whole categories.
pub fn on(streams: &[Stream]) -> Option<Others> {
    let of = |category: &Category| {
        let named = |stream: &&Stream| {
            let folder = stream.name.split_once('/').map(|(folder, _)| folder);
            folder == Some(category.name)
        };
        streams.iter().filter(named).count()
    };
    let present: Vec<&Category> = CATEGORIES.iter().filter(|c| of(c) > 0).collect();
    let whole = present
        .iter()
        .all(|category| of(category) == category.streams);
    let known: usize = present.iter().map(|category| of(category)).sum();
    let windows: usize = streams.iter().map(|stream| stream.windows.len()).sum();
    if !whole || known != streams.len() || windows == 0 {
        return None;
    }
    let windows = windows as f64;
    let normalised = |one: fn(&Category) -> f64| {
        let sum: f64 = present.iter().map(|category| one(category)).sum();
        100.0 * (sum + windows) / (2.0 * windows)
    };
    Some(Others {
        artime: normalised(|c| c.artime),
        gaussian: normalised(|c| c.gaussian),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(category: &str, windows: usize) -> Stream {
        Stream {
            name: format!("{category}/stream.csv"),
            times_us: Vec::new(),
            samples: Vec::new(),
            windows: vec![(0, 0); windows],
        }
    }

    #[test]
    fn the_categories_add_up_to_what_is_published_for_all() {
        // 116 windows, here all of one stream: only their number counts.
        let mut all: Vec<Stream> = CATEGORIES
            .iter()
            .flat_map(|c| (0..c.streams).map(|_| stream(c.name, 0)))
            .collect();
        assert_eq!(all.len(), STREAMS);
        all[0].windows = vec![(0, 0); 116];
        let others = on(&all).expect("whole categories");
        assert!((others.artime - 74.9).abs() < 0.06, "{others:?}");
        assert!((others.gaussian - 39.6).abs() < 0.06, "{others:?}");
    }

    #[test]
    fn a_category_that_lacks_streams_is_not_compared() {
        let traffic = |count: usize| -> Vec<Stream> {
            (0..count).map(|_| stream("realTraffic", 2)).collect()
        };
        assert!(on(&traffic(7)).is_some());
        assert!(on(&traffic(6)).is_none());
        assert!(on(&[stream("unknown", 1)]).is_none());
    }
}
