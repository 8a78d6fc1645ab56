//! Three looks at where a series is, each held against what that look showed before.
//!
//! How far the sample lies from what is usual; how far the last few together do, which tells what lasts from a spike; and how
//! far the sample lies from the one before, which tells a jump from a slow rise. A spike, a shift and a jump are strange in
//! different looks, and what is strange in more of them is stranger. So is what the series never showed, even near to what is
//! usual.

use serde::{Deserialize, Serialize};

/// Looks: the sample, the last few, the step.
const LOOKS: usize = 3;
/// Samples that the second look is about.
const FEW: f64 = 6.0;
/// Norms beyond which a sample alone is so far out that a departure is under way.
const FAR: f64 = 6.0;
/// A departure that goes on for so many times what the level remembers is what the series does now.
const LASTS: f32 = 4.0;
/// Most that one sample counts for in what is known of the past, in norms.
const FARTHEST: f64 = 32.0;
/// Weight of one sample in that past once it is long: three days of samples once a second.
const SAMPLES: u32 = 262_144;
/// A norm is the 3.5th root of the mean of distances to the power of 3.5. Squares would say little of how far a series goes at
/// its farthest; with the highest powers the farthest of all alone would count.
const POWER: f64 = 3.5;
/// News counts for so many norms: a sample 0.12 deviations away from all that was shown is as strange as one at three norms.
const NEWS: f64 = 35.0;

/// Running state of the looks at one series.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Looks {
    /// Mean power of each look's distances, over days.
    past: [f64; LOOKS],
    /// What that was when the departure under way began, or is: one that goes on does not become its own measure.
    before: [f64; LOOKS],
    /// Mean distance of the last few samples.
    lasting: f64,
    /// Distance of the last sample.
    last: f64,
    /// Samples in the past, up to [`SAMPLES`].
    count: u32,
    /// For how long a departure has been under way, in what the level remembers; 0 while none is.
    far: f32,
}

/// What the looks at one sample showed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Shown {
    /// Powers of the distances.
    powers: [f64; LOOKS],
    /// Mean powers of the distances before, none under that of the smallest that means anything; above 0.
    past: [f64; LOOKS],
    /// How great news it is that it was never shown before; 0 where it was.
    unseen: f64,
}

impl Shown {
    /// Mean over the looks of the distance in norms of the distances before, and what the news counts for: mostly the greater,
    /// and more where both are great.
    pub fn norms(&self) -> f64 {
        let looks = self.powers.iter().zip(&self.past);
        let sum: f64 = looks
            .map(|(now, past)| (now / past).powf(1.0 / POWER))
            .sum();
        let (distance, news) = (sum / LOOKS as f64, NEWS * self.unseen);
        (distance.powi(4) + news.powi(4)).sqrt().sqrt()
    }

    /// Whether [`Self::norms`] reaches so many; mostly without a root.
    #[inline]
    pub fn reaches(&self, norms: f64) -> bool {
        let mut looks = self.powers.iter().zip(&self.past);
        // The mean is no more than the greatest.
        (self.unseen > 0.0 || looks.any(|(now, past)| *now >= power(norms) * past))
            && self.norms() >= norms
    }
}

impl Looks {
    /// Before the first sample.
    pub const NEW: Self = Self {
        past: [0.0; LOOKS],
        before: [0.0; LOOKS],
        lasting: 0.0,
        last: 0.0,
        count: 0,
        far: 0.0,
    };

    /// Where there is no past yet, the usual distance stands for it.
    #[inline]
    pub fn begin(&mut self, scale: f64) {
        if self.count == 0 {
            (self.past, self.count) = ([power(scale); LOOKS], 1);
        }
    }

    /// Samples in the past, up to where it is long.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Takes a sample's distance from what was usual, of at most 1e30; gives that distance no farther than it counts for, too.
    /// `least`: the smallest distance that means anything. `passed`: the part of what the level remembers that the sample is.
    /// `unseen`: how great news the sample is.
    #[inline]
    pub fn take(&mut self, distance: f64, least: f64, passed: f64, unseen: f64) -> (Shown, f64) {
        let (own, least) = (power(distance), power(least));
        let counted = self.counted(distance, own, least);
        self.lasting += (counted - self.lasting) * (1.0 / FEW);
        let step = distance - self.last;
        self.last = distance;
        let powers = [own, power(self.lasting), power(step)];
        let before = if self.far > 0.0 && self.far < LASTS {
            self.before
        } else {
            self.past.map(|past| past.max(least))
        };
        self.before = before;
        self.far = if own > power(FAR) * before[0] {
            self.far + passed as f32
        } else {
            0.0
        };
        let weight = self.weight();
        self.count = (self.count + 1).min(SAMPLES);
        for (past, now) in self.past.iter_mut().zip(powers) {
            let most = power(FARTHEST) * past.max(least);
            *past += weight * (now.min(most) - *past);
        }
        let shown = Shown {
            powers,
            past: before,
            unseen,
        };
        (shown, counted)
    }

    /// Weight of the next sample in the past.
    #[inline]
    pub fn weight(&self) -> f64 {
        1.0 / f64::from(self.count + 1)
    }

    /// One absurd sample must not make the series blind for days.
    #[inline]
    fn counted(&self, distance: f64, own: f64, least: f64) -> f64 {
        let most = power(FARTHEST) * self.past[0].max(least);
        if own <= most {
            distance
        } else {
            most.powf(1.0 / POWER).copysign(distance)
        }
    }
}

#[inline]
fn power(distance: f64) -> f64 {
    let distance = distance.abs();
    distance * distance * distance * distance.sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes distances, none under 0.1 meaning anything; the norms of the last.
    fn take(looks: &mut Looks, distances: impl IntoIterator<Item = f64>) -> f64 {
        let mut norms = f64::NAN;
        for distance in distances {
            looks.begin(0.1);
            norms = looks.take(distance, 0.1, 0.01, 0.0).0.norms();
        }
        norms
    }

    fn wave(count: usize) -> impl Iterator<Item = f64> {
        (0..count).map(|at| if at % 2 == 0 { 1.0 } else { -1.0 })
    }

    #[test]
    fn a_norm_of_equal_distances_is_that_distance() {
        let mut looks = Looks::NEW;
        take(&mut looks, wave(1_000));
        assert!((looks.past[0].powf(1.0 / POWER) - 1.0).abs() < 1e-3);
        assert!((looks.past[2].powf(1.0 / POWER) - 2.0).abs() < 2e-3);
    }

    #[test]
    fn a_sample_is_stranger_after_others_like_it() {
        let mut quiet = Looks::NEW;
        take(
            &mut quiet,
            (0..5_000).map(|at| if at % 40 < 20 { 1.0 } else { -1.0 }),
        );
        let (mut first, mut one_of_many) = (quiet.clone(), quiet);
        // Both come from the same place.
        let first = take(&mut first, [-1.0, -1.0, -1.0, -1.0, 0.0, 4.0]);
        let one_of_many = take(&mut one_of_many, [4.0, 4.0, 4.0, 4.0, 0.0, 4.0]);
        assert!(one_of_many > first + 0.5, "{one_of_many} {first}");
    }

    #[test]
    fn a_jump_is_stranger_than_a_slow_rise() {
        let mut quiet = Looks::NEW;
        // Waves so long that a step is a small part of them.
        take(
            &mut quiet,
            (0..5_000).map(|at| (f64::from(at) / 50.0).sin()),
        );
        let (mut jump, mut rise) = (quiet.clone(), quiet);
        take(&mut jump, [0.0, 0.0, 0.0, 0.0]);
        take(&mut rise, [2.6, 2.7, 2.8, 2.9]);
        let (jump, rise) = (take(&mut jump, [3.0]), take(&mut rise, [3.0]));
        assert!(jump > 2.0 * rise, "{jump} {rise}");
    }

    #[test]
    fn the_past_fades() {
        let mut looks = Looks::NEW;
        take(&mut looks, std::iter::repeat_n(1_000.0, 1_000_000));
        assert!(looks.past[0] > 0.99 * power(1_000.0));
        // As many again: half of it would be left in the mean of all.
        take(&mut looks, std::iter::repeat_n(0.0, 1_000_000));
        assert!(looks.past[0] < 0.05 * power(1_000.0), "{looks:?}");
    }

    #[test]
    fn a_departure_that_never_ends_is_what_the_series_does_now() {
        let mut looks = Looks::NEW;
        take(&mut looks, std::iter::repeat_n(0.0, 1_000));
        // A hundred of these are what the level remembers.
        let at_first = take(&mut looks, wave(300));
        let at_last = take(&mut looks, wave(300));
        assert!(at_first > 5.0 && at_last < 2.0, "{at_first} {at_last}");
    }

    #[test]
    fn one_absurd_sample_counts_for_little_in_every_look() {
        let mut looks = Looks::NEW;
        take(&mut looks, (0..1_000).map(|at| f64::from(at % 7)));
        let before = looks.past;
        take(&mut looks, [1e30]);
        let norms = looks.past.iter().zip(before);
        let mut grown = norms.map(|(now, before)| (now / before).powf(1.0 / POWER));
        assert!(grown.all(|times| times < 5.0), "{looks:?}");
        // Nor do those after it look as if it lasted.
        let after = take(&mut looks, (0..100).map(|at| f64::from(at % 7)));
        assert!(after < 1.0, "{after} {looks:?}");
    }

    #[test]
    fn what_has_reached_the_limit_has_it_by_its_roots() {
        let shown = |sample: f64, step: f64| Shown {
            powers: [power(sample), power(1.0), power(step)],
            past: [1.0; LOOKS],
            unseen: 0.0,
        };
        assert!((shown(4.0, 1.0).norms() - 2.0).abs() < 1e-9);
        // One look alone reaches 3, the mean of all does not; and the other way round none does.
        assert!(!shown(4.0, 1.0).reaches(3.0));
        assert!(shown(4.0, 4.1).reaches(3.0));
        assert!(!shown(2.9, 2.9).reaches(3.0));
    }

    #[test]
    fn what_was_never_shown_is_strange_near_to_what_is_usual() {
        let shown = |unseen: f64| Shown {
            powers: [1.0; LOOKS],
            past: [power(2.0); LOOKS],
            unseen,
        };
        assert_eq!(shown(0.0).norms(), 0.5);
        let news = shown(0.1);
        let norms = (3.5f64.powi(4) + 0.5f64.powi(4)).powf(0.25);
        assert!((news.norms() - norms).abs() < 1e-9, "{news:?}");
        assert!(news.reaches(3.0) && !shown(0.08).reaches(3.0));
    }
}
