//! Exponential histograms on a fixed grid of bounds, powers of four: whatever scale a point has, its buckets lie within
//! those of the grid, so that counts on it are exact, and buckets of two points and of two processes add up.

use super::super::wire::metrics::{Buckets, ExponentialPoint};
use super::PARTS_LIMIT;

/// The grid's bounds are 4 to these powers: 15 microseconds to 16 million.
const POWERS: std::ops::RangeInclusive<i32> = -8..=12;
/// Scales that are told (opentelemetry-proto, `ExponentialHistogramDataPoint`): a bucket's bounds are powers of 2^(2^-scale).
const SCALES: std::ops::RangeInclusive<i32> = -10..=20;

/// The grid's bounds and how many were at most as large. What is zero or negative is below all of them. `None` when the
/// point is none of the sort.
pub(super) fn buckets(point: &ExponentialPoint) -> Option<Vec<(f64, u64)>> {
    let positive = point.positive.as_ref();
    let sides = [positive, point.negative.as_ref()];
    let long = |side: &&Buckets| side.bucket_counts.len() > PARTS_LIMIT;
    if !SCALES.contains(&point.scale) || sides.into_iter().flatten().any(|side| long(&side)) {
        return None;
    }
    let negative = point.negative.iter().flat_map(|side| &side.bucket_counts);
    let least = negative.fold(point.zero_count, |sum, count| sum.saturating_add(*count));
    let mut counts: Vec<_> = POWERS.map(|power| (power, 0_u64)).collect();
    if let Some(side) = positive {
        for (at, count) in (0_i64..).zip(&side.bucket_counts) {
            let power = power(i64::from(side.offset) + at, point.scale);
            // Beyond the grid it is in the last bucket, which has no bound.
            let bucket = counts
                .iter_mut()
                .find(|(bound, _)| i64::from(*bound) >= power);
            if let Some((_, sum)) = bucket {
                *sum = sum.saturating_add(*count);
            }
        }
    }
    let mut below = least;
    let bounds = counts.into_iter().map(|(power, count)| {
        below = below.saturating_add(count);
        (4_f64.powi(power), below)
    });
    Some(bounds.collect())
}

/// The least power of four that is no less than the upper bound of a bucket.
fn power(index: i64, scale: i32) -> i64 {
    match scale {
        // The bucket's upper bound is 2^((index + 1) / 2^scale).
        0.. => ((index >> scale) + 2).div_euclid(2),
        // It is 2^((index + 1) * 2^-scale), a power of four.
        _ => (index + 1) << (-scale - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn point(scale: i32, offset: i32, counts: &[u64]) -> ExponentialPoint {
        ExponentialPoint {
            count: counts.iter().sum(),
            scale,
            positive: Some(Buckets {
                offset,
                bucket_counts: counts.to_vec(),
            }),
            ..ExponentialPoint::default()
        }
    }

    fn below(point: &ExponentialPoint, bound: f64) -> u64 {
        let found = buckets(point).unwrap();
        found.iter().find(|(at, _)| *at == bound).unwrap().1
    }

    #[test]
    fn buckets_of_any_scale_lie_within_those_of_the_grid() {
        // Scale 0: (1, 2], (2, 4], (4, 8].
        let zero = point(0, 0, &[1, 2, 4]);
        assert_eq!(
            (below(&zero, 1.0), below(&zero, 4.0), below(&zero, 16.0)),
            (0, 3, 7)
        );
        // Scale 1: four buckets to each factor of four; (2^-0.5, 1] is the first.
        let one = point(1, -1, &[1, 1, 1, 1, 1, 1]);
        assert_eq!(
            (below(&one, 1.0), below(&one, 4.0), below(&one, 16.0)),
            (1, 5, 6)
        );
        // Scale -2: (1, 16], (16, 256].
        let coarse = point(-2, 0, &[3, 5]);
        assert_eq!(
            (
                below(&coarse, 4.0),
                below(&coarse, 16.0),
                below(&coarse, 256.0)
            ),
            (0, 3, 8)
        );
    }

    #[test]
    fn zero_and_what_is_negative_are_below_every_bound() {
        let negative = Buckets {
            offset: 9,
            bucket_counts: vec![2, 3],
        };
        let point = ExponentialPoint {
            zero_count: 7,
            negative: Some(negative),
            ..point(0, 40, &[11])
        };
        let found = buckets(&point).unwrap();
        assert_eq!(found.len(), 21);
        assert!(
            found.iter().all(|(_, below)| *below == 12),
            "2^41 is beyond the grid"
        );
        assert_eq!(buckets(&self::point(21, 0, &[1])), None);
        assert_eq!(buckets(&self::point(0, 0, &[1; 201])), None);
    }

    proptest! {
        #[test]
        fn counts_rise_with_their_bounds_and_lose_none(
            scale in any::<i32>(),
            offset in any::<i32>(),
            counts in proptest::collection::vec(any::<u64>(), 0..9),
            zero_count in any::<u64>(),
        ) {
            let positive = Some(Buckets { offset, bucket_counts: counts.clone() });
            let point = ExponentialPoint { scale, positive, zero_count, ..ExponentialPoint::default() };
            let found = buckets(&point);
            prop_assert_eq!(found.is_some(), SCALES.contains(&scale));
            let all = counts.iter().fold(zero_count, |sum, count| sum.saturating_add(*count));
            for pair in found.unwrap_or_default().windows(2) {
                prop_assert!(zero_count <= pair[0].1 && pair[0].1 <= pair[1].1 && pair[1].1 <= all);
            }
        }

        #[test]
        fn a_value_is_below_the_bounds_that_are_not_below_its_bucket(scale in 0_i32..=8, value in 0.0001_f64..1e6) {
            let base = 2_f64.powf(2_f64.powi(-scale));
            let index = (value.ln() / base.ln()).ceil() - 1.0;
            let upper = base.powf(index + 1.0);
            let point = point(scale, index as i32, &[1]);
            for (bound, below) in buckets(&point).unwrap() {
                // Bounds that are all but the bucket's own are left to rounding.
                if (bound / upper - 1.0).abs() > 1e-6 {
                    prop_assert_eq!(below == 1, bound > upper, "{} in {}", value, bound);
                }
            }
        }
    }
}
