//! Running location and scale that an outlier cannot drag.

use serde::{Deserialize, Serialize};

/// Weight of one sample once warm: the memory is some hundred samples long.
const ALPHA: f64 = 1.0 / 64.0;
/// Scales beyond which a sample moves the location no further.
const CLIP: f64 = 3.0;

/// Robust exponentially weighted location and mean absolute deviation.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Baseline {
    location: f64,
    scale: f64,
    seen: u32,
}

impl Baseline {
    /// Samples averaged plainly at first.
    pub const WARM: u32 = 16;

    /// Before the first sample.
    pub const NEW: Self = Self {
        location: 0.0,
        scale: 0.0,
        seen: 0,
    };

    /// Takes a finite sample. `floor` is the smallest scale that means anything in its unit; 1% of the
    /// level is one too, so that a flat series that stirs is no alarm.
    #[inline]
    pub fn feed(&mut self, sample: f64, floor: f64) {
        self.feed_weighted(sample, floor, ALPHA);
    }

    /// [`Self::feed`] with another weight of one sample once warm, of at most 1.
    #[inline]
    pub fn feed_weighted(&mut self, sample: f64, floor: f64, once_warm: f64) {
        if self.seen == 0 {
            (self.location, self.scale, self.seen) = (sample, floor, 1);
            return;
        }
        let scale = self.scale(floor);
        let distance = sample - self.location;
        let weight = if self.seen < Self::WARM {
            self.seen += 1;
            1.0 / f64::from(self.seen)
        } else {
            once_warm
        };
        self.location += weight * distance.clamp(-CLIP * scale, CLIP * scale);
        self.scale += weight * (distance.abs().min(2.0 * CLIP * scale) - self.scale);
    }

    /// The usual level; 0 before the first sample.
    pub fn location(&self) -> f64 {
        self.location
    }

    /// The usual deviation, floored.
    #[inline]
    pub fn scale(&self, floor: f64) -> f64 {
        self.scale.max(self.least(floor))
    }

    /// The smallest deviation that means anything at this level.
    #[inline]
    pub fn least(&self, floor: f64) -> f64 {
        floor.max(0.01 * self.location.abs())
    }

    /// Enough samples to judge by.
    pub fn is_warm(&self) -> bool {
        self.seen >= Self::WARM
    }

    /// Samples taken, up to where it is warm.
    pub fn seen(&self) -> u32 {
        self.seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outlier_hardly_moves_the_level() {
        let mut usual = Baseline::default();
        (0..100).for_each(|i| usual.feed(10.0 + f64::from(i % 3), 0.1));
        let before = usual.location();
        usual.feed(1e9, 0.1);
        assert!((usual.location() - before).abs() < 0.2);
    }

    #[test]
    fn a_lasting_shift_becomes_usual() {
        let mut usual = Baseline::default();
        (0..100).for_each(|_| usual.feed(10.0, 0.1));
        (0..600).for_each(|_| usual.feed(20.0, 0.1));
        assert!(
            (usual.location() - 20.0).abs() < 0.5,
            "{}",
            usual.location()
        );
    }

    #[test]
    fn a_first_outlier_is_forgotten() {
        let mut usual = Baseline::default();
        usual.feed(1e6, 0.1);
        (0..600).for_each(|_| usual.feed(1.0, 0.1));
        assert!(usual.location() < 1_000.0, "{}", usual.location());
    }
}
