//! Which values a series showed: a bit for each of 128 cells of one width, which doubles whenever a value would lie beyond
//! them. What lies in a cell that was shown was shown; what does not is so far from the nearest.

use serde::{Deserialize, Serialize};

const CELLS: i64 = 128;
/// How near to each other values lie is told by how far it is to the third cell that was shown beyond the nearest.
const BEYOND: usize = 3;
/// A width is no finer than this part of the first value: what is finer is rounding.
const FINEST: f64 = 1e-6;
/// No cell is wider than two to this power.
const WIDEST: i16 = 1_000;

/// The values that were shown.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Kept", into = "Kept")]
pub(crate) struct Cells {
    /// The lowest cell is the lowest bit of the first.
    shown: [u64; 2],
    /// The lowest cell begins at so many widths.
    low: i32,
    /// A cell is two to this power wide.
    power: i16,
}

/// As it is kept, without names: there are many.
type Kept = (u64, u64, i32, i16);

impl From<Cells> for Kept {
    fn from(cells: Cells) -> Self {
        (cells.shown[0], cells.shown[1], cells.low, cells.power)
    }
}

impl From<Kept> for Cells {
    fn from((first, second, low, power): Kept) -> Self {
        Self {
            shown: [first, second],
            low,
            // What comes from outside is no power that cells never have.
            power: power.clamp(-WIDEST / 2, WIDEST / 2),
        }
    }
}

/// How a value lies to those that were shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Apart {
    /// To the nearest.
    pub distance: f64,
    /// From the nearest on to the third beyond, or the last where there are fewer.
    pub gap: f64,
}

impl Apart {
    /// It was shown.
    pub const NONE: Self = Self {
        distance: 0.0,
        gap: 0.0,
    };
}

impl Cells {
    /// Whether the value lies in a cell that was shown.
    #[inline]
    pub fn holds(&self, value: f64) -> bool {
        let cell = self.cell(value);
        let half = self.shown[usize::from(cell >= 64)];
        (0..CELLS).contains(&cell) && half >> (cell & 63) & 1 == 1
    }

    /// How the value lies to what was shown, none apart where it was; `None` where nothing was.
    pub fn apart(&self, value: f64) -> Option<Apart> {
        if self.holds(value) {
            return Some(Apart::NONE);
        }
        let width = width(self.power);
        let edge = |at: i64| (i64::from(self.low) + at) as f64 * width;
        let under = match self.cell(value) {
            ..=0 => 0,
            CELLS.. => u128::MAX,
            cell => (1_u128 << cell) - 1,
        };
        let (below, above) = (self.all() & under, self.all() & !under);
        let down = highest(below).map(|at| Apart {
            distance: (value - edge(at + 1)).max(0.0),
            gap: (at - beyond(below, highest)) as f64 * width,
        });
        let up = lowest(above).map(|at| Apart {
            distance: (edge(at) - value).max(0.0),
            gap: (beyond(above, lowest) - at) as f64 * width,
        });
        let both = [down, up].into_iter().flatten();
        both.min_by(|a, b| a.distance.total_cmp(&b.distance))
    }

    /// Takes in a value of at most 1e30. `least`: the smallest width where nothing was shown before.
    pub fn add(&mut self, value: f64, least: f64) {
        if self.shown == [0; 2] {
            self.power = power(least.max(value.abs() * FINEST));
            self.low = narrow(floor(value / width(self.power)) - CELLS / 2);
        }
        let cell = self.cell(value);
        if !(0..CELLS).contains(&cell) {
            self.make_room(value);
        }
        let cell = self.cell(value).clamp(0, CELLS - 1);
        self.shown[usize::from(cell >= 64)] |= 1 << (cell & 63);
    }

    /// Moves the cells, twice as wide until there is room for what was shown and a value beyond it, so that both are among them.
    fn make_room(&mut self, value: f64) {
        let shown = self.all();
        let at = |bit: i64, halved: i16| (i64::from(self.low) + bit) >> halved.min(63);
        let ends = |halved: i16| {
            let cell = floor(value * width(-self.power - halved));
            let low = lowest(shown).map_or(cell, |bit| at(bit, halved));
            let high = highest(shown).map_or(cell, |bit| at(bit, halved));
            (cell.min(low), cell.max(high))
        };
        let has_room = |halved: &i16| {
            let (low, high) = ends(*halved);
            high.saturating_sub(low) < CELLS
        };
        let halved = (0..WIDEST - self.power).find(has_room).unwrap_or(0);
        let (low, high) = ends(halved);
        let low = low - (CELLS - 1 - (high - low)) / 2;
        let (mut left, mut moved) = (shown, 0_u128);
        while let Some(bit) = lowest(left) {
            left &= left - 1;
            moved |= 1 << (at(bit, halved) - low);
        }
        self.shown = [moved as u64, (moved >> 64) as u64];
        self.low = narrow(low);
        self.power += halved;
    }

    fn all(&self) -> u128 {
        u128::from(self.shown[0]) | u128::from(self.shown[1]) << 64
    }

    /// Which cell the value lies in, of those from 0 to 127 or beyond them.
    #[inline]
    fn cell(&self, value: f64) -> i64 {
        // Where this wraps it is beyond them, too.
        floor(value * width(-self.power)).wrapping_sub(i64::from(self.low))
    }
}

/// The greatest whole number that is not more; without a call, where the processor may lack it.
#[inline]
fn floor(value: f64) -> i64 {
    let whole = value as i64;
    whole.wrapping_sub(i64::from(whole as f64 > value))
}

fn narrow(low: i64) -> i32 {
    low.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
}

/// Two to the power, of at most [`WIDEST`] either way.
#[inline]
fn width(power: i16) -> f64 {
    f64::from_bits(((1_023 + i64::from(power)) as u64) << 52)
}

/// The power of two that is not more than a width above 0.
fn power(width: f64) -> i16 {
    (width.log2().floor() as i16).clamp(-WIDEST / 2, WIDEST / 2)
}

fn lowest(bits: u128) -> Option<i64> {
    (bits != 0).then(|| i64::from(bits.trailing_zeros()))
}

fn highest(bits: u128) -> Option<i64> {
    (bits != 0).then(|| CELLS - 1 - i64::from(bits.leading_zeros()))
}

/// The third beyond the first of these, or the last.
fn beyond(mut bits: u128, first: impl Fn(u128) -> Option<i64>) -> i64 {
    let mut at = first(bits).unwrap_or(0);
    for _ in 0..BEYOND {
        bits &= !(1 << at);
        let Some(next) = first(bits) else { break };
        at = next;
    }
    at
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[f64]) -> Cells {
        let mut cells = Cells::default();
        values.iter().for_each(|value| cells.add(*value, 1.0));
        cells
    }

    #[test]
    fn what_was_shown_is_held_and_the_rest_is_so_far_from_it() {
        let cells = of(&[0.0, 1.0, 2.0, 5.0, 50.0]);
        assert!([0.5, 1.5, 2.0, 5.9, 50.0].iter().all(|v| cells.holds(*v)));
        assert!(
            [-0.1, 3.0, 49.9, 51.0, 1e30, -1e30]
                .iter()
                .all(|v| !cells.holds(*v))
        );
        let apart = |value: f64| cells.apart(value).map(|a| (a.distance, a.gap));
        // From the end of the last cell; the third beyond it is the one of 1.
        assert_eq!(apart(60.0), Some((9.0, 49.0)));
        assert_eq!(apart(-7.0), Some((7.0, 5.0)));
        // In a gap: the nearer side counts.
        assert_eq!(apart(10.0), Some((4.0, 5.0)));
        assert_eq!(apart(45.0), Some((5.0, 0.0)));
        assert_eq!(apart(1.5), Some((0.0, 0.0)));
        assert_eq!(Cells::default().apart(1.0), None);
        assert!(!Cells::default().holds(0.0));
    }

    #[test]
    fn cells_grow_wider_so_that_all_that_was_shown_has_room() {
        let mut cells = of(&[0.0, 100.0]);
        assert!(!cells.holds(1.0));
        // Of cells 16 wide the first holds it, too.
        cells.add(1_500.0, 1.0);
        assert!([0.0, 15.0, 100.0, 1_500.0].iter().all(|v| cells.holds(*v)));
        assert!(![16.0, 1_450.0, -1.0].iter().any(|v| cells.holds(*v)));
    }

    #[test]
    fn the_first_and_the_last_cell_have_no_neighbours_beyond() {
        let mut cells = of(&[0.0]);
        (-64..64).for_each(|at| cells.add(f64::from(at), 1.0));
        assert_eq!(cells.all(), u128::MAX);
        let all = (-64..64).all(|at| {
            cells
                .apart(f64::from(at))
                .is_some_and(|a| a.distance == 0.0)
        });
        assert!(all);
        assert_eq!(
            cells.apart(64.0),
            Some(Apart {
                distance: 0.0,
                gap: 3.0
            })
        );
        assert_eq!(
            cells.apart(-65.0),
            Some(Apart {
                distance: 1.0,
                gap: 3.0
            })
        );
    }

    proptest! {
        /// Whatever comes is held from then on, and nobody's distance is more than to the nearest that came.
        #[test]
        fn what_came_is_held(
            values in prop::collection::vec(-1e30_f64..1e30, 1..20),
            small in prop::collection::vec(-1_000.0_f64..1_000.0, 1..20),
            asked in -1e30_f64..1e30,
            least in 1e-9_f64..1e9,
        ) {
            let mut cells = Cells::default();
            let all: Vec<f64> = small.iter().chain(&values).chain(&small).copied().collect();
            for (count, value) in all.iter().enumerate() {
                cells.add(*value, least);
                let came = &all[..=count];
                prop_assert!(came.iter().all(|value| cells.holds(*value)), "{cells:?}");
                prop_assert_eq!(cells.apart(*value), Some(Apart::NONE));
                let nearest = came.iter().map(|v| (v - asked).abs()).fold(f64::INFINITY, f64::min);
                let apart = cells.apart(asked).expect("some came");
                prop_assert!(apart.distance <= nearest * (1.0 + 1e-9), "{apart:?} {nearest}");
                prop_assert!(apart.gap >= 0.0);
                prop_assert!(apart.distance == 0.0 || !cells.holds(asked));
            }
        }
    }
}
