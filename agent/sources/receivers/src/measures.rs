//! What was measured between two tellings: how often, and how long.

/// Most measures of one name that are held for its percentiles; of more, every second one, then every fourth …
pub(crate) const MEASURES_LIMIT: usize = 1_024;

/// Measures of one name.
#[derive(Debug, Default)]
pub(crate) struct Measures {
    /// Since the name was first told, those not sent for their rate included.
    pub count: f64,
    /// From here on: since the last telling. Number, sum and largest are of all, `held` is each `stride`-th.
    number: usize,
    sum: f64,
    largest: f64,
    pub held: Vec<f64>,
    stride: usize,
}

impl Measures {
    /// Takes one of those that are sent at this rate, above 0 and at most 1.
    pub fn add(&mut self, value: f64, rate: f64) {
        self.count += 1.0 / rate;
        self.largest = match self.number {
            0 => value,
            _ => self.largest.max(value),
        };
        if self.number.is_multiple_of(self.stride.max(1)) {
            self.held.push(value);
        }
        self.number += 1;
        self.sum += value;
        if self.held.len() >= MEASURES_LIMIT {
            let mut index = 0;
            self.held.retain(|_| {
                index += 1;
                index % 2 == 1
            });
            self.stride = self.stride.max(1) * 2;
        }
    }

    /// Mean, median, 95th percentile (nearest rank) and largest; not a number when there was none. Begins anew.
    pub fn take(&mut self) -> [f64; 4] {
        let mut held = std::mem::take(&mut self.held);
        let number = std::mem::take(&mut self.number);
        let sum = std::mem::take(&mut self.sum);
        self.stride = 1;
        if number == 0 {
            return [f64::NAN; 4];
        }
        held.sort_unstable_by(f64::total_cmp);
        let rank = |percent: usize| {
            let at = (held.len() * percent).div_ceil(100).saturating_sub(1);
            held.get(at).copied().unwrap_or(f64::NAN)
        };
        [sum / number as f64, rank(50), rank(95), self.largest]
    }
}
