//! How well scores tell labelled points apart, each point counted by itself: no point is called found because
//! another of its part was.

/// Area under the curve of precision over recall, as average precision: the mean over true points of the precision at
/// their score. Equal scores are taken together. 0 where nothing is true.
pub fn average_precision(scores: &[f64], truth: &[bool]) -> f64 {
    let mut points: Vec<(f64, bool)> = scores.iter().copied().zip(truth.iter().copied()).collect();
    points.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut seen, mut found, mut sum) = (0usize, 0usize, 0.0);
    for tied in points.chunk_by(|a, b| a.0 == b.0) {
        let more = tied.iter().filter(|(_, is)| *is).count();
        (seen, found) = (seen + tied.len(), found + more);
        sum += more as f64 * found as f64 / seen as f64;
    }
    sum / found.max(1) as f64
}

/// Harmonic mean of precision and recall where all above the threshold are detections.
pub fn f1(scores: &[f64], truth: &[bool], threshold: f64) -> f64 {
    let (mut right, mut said, mut are) = (0usize, 0usize, 0usize);
    for (score, is) in scores.iter().zip(truth) {
        let says = *score > threshold;
        right += usize::from(says && *is);
        said += usize::from(says);
        are += usize::from(*is);
    }
    2.0 * right as f64 / (said + are).max(1) as f64
}

/// The score that a share of all stays at or under. 0 where there are none.
pub fn quantile(scores: &[f64], share: f64) -> f64 {
    let mut sorted = scores.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (share * sorted.len() as f64).ceil() as usize;
    sorted
        .get(at.saturating_sub(1).min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or(0.0)
}

/// Share of the true ones among as many of the highest scores as there are true ones. Ties are broken against us.
pub fn hit_rate(scores: &[f64], truth: &[usize]) -> f64 {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| {
        let by_score = scores[*b].total_cmp(&scores[*a]);
        by_score.then(truth.contains(a).cmp(&truth.contains(b)))
    });
    let hits = order
        .iter()
        .take(truth.len())
        .filter(|at| truth.contains(at));
    hits.count() as f64 / truth.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn average_precision_is_the_mean_of_precision_at_each_true_point() {
        let truth = [true, false, true, false];
        // True points come first and third: (1/1 + 2/3) / 2.
        let area = average_precision(&[0.9, 0.8, 0.7, 0.1], &truth);
        assert!((area - 5.0 / 6.0).abs() < 1e-9, "{area}");
        assert_eq!(average_precision(&[0.9, 0.1, 0.8, 0.2], &truth), 1.0);
        // All tied says no more than the share of true points.
        assert_eq!(average_precision(&[0.5; 4], &truth), 0.5);
        assert_eq!(average_precision(&[0.5; 2], &[false; 2]), 0.0);
    }

    #[test]
    fn f1_counts_each_point() {
        let truth = [true, true, true, false];
        assert_eq!(f1(&[0.9, 0.1, 0.1, 0.1], &truth, 0.5), 0.5);
        assert_eq!(f1(&[0.9, 0.9, 0.9, 0.5], &truth, 0.5), 1.0);
        assert_eq!(f1(&[0.1; 4], &truth, 0.5), 0.0);
    }

    #[test]
    fn a_quantile_has_its_share_at_or_under_it() {
        let scores: Vec<f64> = (1..=1_000).rev().map(f64::from).collect();
        assert_eq!(quantile(&scores, 0.999), 999.0);
        assert_eq!(quantile(&scores, 1.0), 1_000.0);
        assert_eq!(quantile(&[], 0.5), 0.0);
    }

    #[test]
    fn a_hit_is_a_true_one_among_as_many_highest() {
        assert_eq!(hit_rate(&[0.9, 0.1, 0.8, 0.2], &[0, 1]), 0.5);
        assert_eq!(hit_rate(&[0.9, 0.1, 0.8, 0.2], &[0, 2]), 1.0);
        // Nothing told apart is nothing hit while there is another to name.
        assert_eq!(hit_rate(&[0.0; 4], &[0, 1]), 0.0);
    }
}
