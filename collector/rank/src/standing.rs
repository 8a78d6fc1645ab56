//! With what probability the first suspect is the right one.
//!
//! Two things are held against it: what is asked of a first to be named, and the second suspect. Both are ratios, so that a
//! share of an excess and a score of shifts are read alike, and the odds are a product of powers of the two: a logistic
//! function of their logarithms.
//!
//! The three constants were fitted on 143 recorded incidents of four sets (`docs/replay.md`) by maximum likelihood, with a
//! weak pull of both powers towards nothing (a tenth of half their squares). `firstlook-bench rca` fits them anew, and also
//! without each set in turn. What was learned of calls since moves them to -0.6, 1.9 and 2.9, which is worse where the alarm is late.

use crate::excess::FAINTEST_EXCESS;
use crate::{LEAST_SCORE, MARGIN, Ranking};

/// Log-odds of a first that is just at what is asked of it, and level with the second …
const INTERCEPT: f64 = -0.9;
/// … the power of how far it is over that …
const POWER_OF_OVER: f64 = 2.4;
/// … and of how far it is ahead of the second.
const POWER_OF_LEAD: f64 = 3.1;
/// On so many recordings that was fitted: they cannot make anything surer than the next of its kind after as many that
/// were all right, or all wrong.
const RECORDINGS: f64 = 143.0;
/// A ratio tells no more beyond this, and no less under one over it.
const LARGEST_RATIO: f64 = 20.0;
/// No number counts for more, so that none overflows.
const LARGEST: f64 = 1e12;

/// How the first suspect stands; both are from 1/20 to 20.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Standing {
    /// How many times what is asked of it: of its score, or where it has a share of the alarm's excess, of that excess.
    pub over: f64,
    /// How many times the second suspect, by score or by share; 20 where there is no second.
    pub lead: f64,
}

impl Standing {
    /// Rises with both, and is never 0 or 1.
    pub fn probability(&self) -> f64 {
        let log_odds = INTERCEPT + POWER_OF_OVER * self.over.ln() + POWER_OF_LEAD * self.lead.ln();
        let fitted = 1.0 / (1.0 + (-log_odds).exp());
        (fitted * RECORDINGS + 1.0) / (RECORDINGS + 2.0)
    }
}

impl Ranking {
    /// How the first stands, whether it is named or not. None: nobody moved.
    ///
    /// What quiet windows show is part of what is asked. Where they could not be searched, the least score alone is.
    pub fn standing(&self) -> Option<Standing> {
        let first = self.suspects.first()?;
        let second = self.suspects.get(1);
        let (over, lead) = if let Some(share) = first.own_share {
            let of_second = second.and_then(|s| s.own_share).unwrap_or(0.0);
            let excess = self.excess.unwrap_or(0.0);
            (ratio(excess, FAINTEST_EXCESS), ratio(share, of_second))
        } else {
            let of_second = second.map_or(0.0, |s| s.score);
            let quiet = self.past.as_ref().map_or(0.0, |p| p.quiet);
            let asked = least_score(quiet);
            (ratio(first.score, asked), ratio(first.score, of_second))
        };
        Some(Standing { over, lead })
    }
}

/// What a score must be above to stand out, where a quiet window shows `quiet`.
pub(crate) fn least_score(quiet: f64) -> f64 {
    (MARGIN * quiet).max(LEAST_SCORE)
}

/// The first over the second, bent smoothly so as to stay within [`LARGEST_RATIO`]; what is level gives one.
fn ratio(first: f64, second: f64) -> f64 {
    // What is no number is nothing.
    let known = |value: f64| if value > 0.0 { value.min(LARGEST) } else { 0.0 };
    let (first, second) = (known(first), known(second));
    if first + second > 0.0 {
        let bent = (first + second / LARGEST_RATIO) / (second + first / LARGEST_RATIO);
        // What is nearly nothing loses its digits.
        bent.clamp(1.0 / LARGEST_RATIO, LARGEST_RATIO)
    } else {
        1.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Past, Suspect};

    fn suspect(own_share: Option<f64>, score: f64) -> Suspect {
        Suspect {
            component: "a".into(),
            own_share,
            score,
            evidence: Vec::new(),
        }
    }

    /// Ranked by scores, with `quiet` as the highest in a quiet window.
    fn by_score(first: f64, second: f64, quiet: f64) -> Ranking {
        Ranking {
            suspects: vec![suspect(None, first), suspect(None, second)],
            excess: None,
            past: Some(Past {
                quiet,
                latest: Default::default(),
            }),
        }
    }

    /// Ranked by shares of an excess of so many spreads.
    fn by_share(first: f64, second: f64, excess: f64) -> Ranking {
        Ranking {
            suspects: vec![suspect(Some(first), 0.0), suspect(Some(second), 9.0)],
            excess: Some(excess),
            past: None,
        }
    }

    fn probability(ranking: &Ranking) -> f64 {
        ranking.standing().unwrap().probability()
    }

    #[test]
    fn level_with_the_second_at_what_is_asked_the_odds_are_the_intercept() {
        // 1 / (1 + e^0.9), pulled to the middle by one right and one wrong beside 143.
        let expected = (0.289_050_497 * 143.0 + 1.0) / 145.0;
        for ranking in [
            by_score(2.6, 2.6, 0.0),
            by_score(3.0, 3.0, 2.0),
            by_share(0.5, 0.5, 3.0),
        ] {
            assert!(
                (probability(&ranking) - expected).abs() < 1e-8,
                "{ranking:?}"
            );
        }
    }

    #[test]
    fn nobody_has_no_standing_and_one_alone_has_the_largest_lead() {
        let mut ranking = by_score(5.0, 4.0, 1.0);
        ranking.suspects.truncate(1);
        assert_eq!(ranking.standing().unwrap().lead, LARGEST_RATIO);
        ranking.suspects.clear();
        assert_eq!(ranking.standing(), None);
    }

    #[test]
    fn loud_quiet_windows_make_it_less_sure_and_a_greater_excess_surer() {
        assert!(probability(&by_score(5.0, 3.0, 4.0)) < probability(&by_score(5.0, 3.0, 2.0)));
        assert!(probability(&by_share(0.8, 0.2, 3.0)) < probability(&by_share(0.8, 0.2, 9.0)));
    }

    #[test]
    fn who_has_no_share_is_not_the_second_to_one_who_has() {
        let mut ranking = by_share(0.8, 0.2, 9.0);
        ranking.suspects[1].own_share = None;
        assert_eq!(ranking.standing().unwrap().lead, LARGEST_RATIO);
    }

    proptest! {
        #[test]
        fn the_probability_rises_with_the_score_and_falls_with_the_second(
            second in 0.0f64..20.0, ahead in 0.0f64..20.0, more in 0.01f64..20.0, quiet in 0.0f64..20.0
        ) {
            let first = second + ahead;
            let held = probability(&by_score(first, second, quiet));
            prop_assert!(probability(&by_score(first + more, second, quiet)) > held);
            let nearer = second + ahead.min(more);
            prop_assert!(probability(&by_score(first, nearer, quiet)) <= held);
            prop_assert!(probability(&by_score(first, second, quiet + more)) <= held);
        }

        #[test]
        fn any_numbers_give_a_probability_that_is_never_certain(
            first in prop::num::f64::ANY, second in prop::num::f64::ANY, third in prop::num::f64::ANY
        ) {
            for ranking in [by_score(first, second, third), by_share(first, second, third)] {
                let probability = probability(&ranking);
                prop_assert!((1.0 / 145.0..=144.0 / 145.0).contains(&probability), "{probability}");
            }
        }
    }
}
