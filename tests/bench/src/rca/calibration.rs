//! Whether a probability means what it says: reliability, expected calibration error and Brier score; and the logistic
//! function fitted anew, also on all sets but the one that it is then held against.

/// In so many bins of equal width.
pub const BINS: usize = 5;
/// How strongly the powers are pulled towards nothing: without each set in turn few were wrong, and a fit on them alone
/// would run away.
const PULL: f64 = 0.1;
const STEPS: usize = 100;
/// No step of the fit changes a constant by more, lest it overshoots.
const LONGEST_STEP: f64 = 2.0;
/// Smaller steps change no figure.
const SHORTEST_STEP: f64 = 1e-9;

/// A probability that was given, and what came of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forecast {
    pub probability: f64,
    pub right: bool,
}

/// The forecasts with a probability within one bin.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Bin {
    pub cases: u32,
    pub right: u32,
    /// Of their probabilities; 0 where there is none.
    pub mean: f64,
}

/// By bins of equal width, the lowest first; 1 is in the last.
pub fn reliability(forecasts: &[Forecast]) -> [Bin; BINS] {
    let mut bins = [Bin::default(); BINS];
    for forecast in forecasts {
        let at = (forecast.probability * BINS as f64) as usize;
        let bin = &mut bins[at.min(BINS - 1)];
        bin.cases += 1;
        bin.right += u32::from(forecast.right);
        bin.mean += (forecast.probability - bin.mean) / f64::from(bin.cases);
    }
    bins
}

/// How far the bins' means are from the shares that were right, by how many there are in each; 0 of none.
pub fn calibration_error(forecasts: &[Forecast]) -> f64 {
    let off = |bin: &Bin| (bin.mean * f64::from(bin.cases) - f64::from(bin.right)).abs();
    let sum: f64 = reliability(forecasts).iter().map(off).sum();
    sum / forecasts.len().max(1) as f64
}

/// The mean square of what each probability is off by; 0 of none.
pub fn brier(forecasts: &[Forecast]) -> f64 {
    let off = |f: &Forecast| f.probability - f64::from(u8::from(f.right));
    let sum: f64 = forecasts.iter().map(|f| off(f).powi(2)).sum();
    sum / forecasts.len().max(1) as f64
}

/// The share that was right, said of each.
pub fn base_rate(forecasts: &[Forecast]) -> Vec<Forecast> {
    let right = forecasts.iter().filter(|f| f.right).count();
    let probability = right as f64 / forecasts.len().max(1) as f64;
    let same = |f: &Forecast| Forecast { probability, ..*f };
    forecasts.iter().map(same).collect()
}

/// How the first of a case stood, and what came of it.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    pub over: f64,
    pub lead: f64,
    pub right: bool,
}

impl Case {
    fn terms(&self) -> [f64; 3] {
        [1.0, self.over.ln(), self.lead.ln()]
    }
}

/// The odds as a product of powers, as the collector has them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fit {
    /// Intercept, power of `over`, power of `lead`.
    pub constants: [f64; 3],
    /// How many cases it was fitted on.
    pub cases: usize,
}

impl Fit {
    /// By maximum likelihood and a weak pull, in Newton's steps.
    pub fn on(cases: &[Case]) -> Self {
        let mut fit = Self {
            constants: [0.0; 3],
            cases: cases.len(),
        };
        for _ in 0..STEPS {
            let step = fit.step(cases);
            let longest = step.iter().fold(0.0, |most: f64, s| most.max(s.abs()));
            let part = (LONGEST_STEP / longest).min(1.0);
            for (constant, step) in fit.constants.iter_mut().zip(step) {
                *constant += part * step;
            }
            if longest < SHORTEST_STEP {
                break;
            }
        }
        fit
    }

    /// Never 0 or 1: one right and one wrong are added to what it was fitted on.
    pub fn forecast(&self, case: &Case) -> Forecast {
        let cases = self.cases as f64;
        Forecast {
            probability: (self.logistic(case) * cases + 1.0) / (cases + 2.0),
            right: case.right,
        }
    }

    fn logistic(&self, case: &Case) -> f64 {
        let terms = self.constants.iter().zip(case.terms());
        1.0 / (1.0 + (-terms.map(|(constant, term)| constant * term).sum::<f64>()).exp())
    }

    fn step(&self, cases: &[Case]) -> [f64; 3] {
        // The intercept is hardly pulled: only so far that the equations can be solved where all cases are right.
        let pull = [SHORTEST_STEP, PULL, PULL];
        let mut equations = [[0.0; 4]; 3];
        for case in cases {
            let (terms, likely) = (case.terms(), self.logistic(case));
            for (equation, term) in equations.iter_mut().zip(terms) {
                for (held, other) in equation.iter_mut().zip(terms) {
                    *held += likely * (1.0 - likely) * term * other;
                }
                equation[3] += (f64::from(u8::from(case.right)) - likely) * term;
            }
        }
        for (at, equation) in equations.iter_mut().enumerate() {
            equation[at] += pull[at];
            equation[3] -= pull[at] * self.constants[at];
        }
        solved(equations)
    }
}

/// Three linear equations, each with its right side last; the left side is positive definite.
fn solved(mut equations: [[f64; 4]; 3]) -> [f64; 3] {
    for at in 0..3 {
        let pivot = equations[at];
        for (row, equation) in equations.iter_mut().enumerate() {
            if row != at {
                let factor = equation[at] / pivot[at];
                for (held, of_pivot) in equation.iter_mut().zip(pivot) {
                    *held -= factor * of_pivot;
                }
            }
        }
    }
    [0, 1, 2].map(|at| equations[at][3] / equations[at][at])
}

/// Each set's forecasts by what was fitted on the others.
pub fn left_out(sets: &[Vec<Case>]) -> Vec<Vec<Forecast>> {
    let held_against = |(at, set): (usize, &Vec<Case>)| {
        let others = sets.iter().enumerate().filter(|(other, _)| *other != at);
        let others: Vec<Case> = others.flat_map(|(_, set)| set.iter().copied()).collect();
        let fit = Fit::on(&others);
        set.iter().map(|case| fit.forecast(case)).collect()
    };
    sets.iter().enumerate().map(held_against).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forecasts(given: &[(f64, bool)]) -> Vec<Forecast> {
        let forecast = |(probability, right): &(f64, bool)| Forecast {
            probability: *probability,
            right: *right,
        };
        given.iter().map(forecast).collect()
    }

    fn near(found: f64, expected: f64) -> bool {
        (found - expected).abs() < 1e-6
    }

    #[test]
    fn bins_hold_what_is_within_them_and_certainty_is_in_the_last() {
        let given = [(0.1, false), (0.9, true), (0.8, false), (1.0, true)];
        let bins = reliability(&forecasts(&given));
        assert_eq!((bins[0].cases, bins[0].right), (1, 0));
        assert_eq!((bins[4].cases, bins[4].right), (3, 2));
        assert!(near(bins[0].mean, 0.1) && near(bins[4].mean, 0.9));
        assert_eq!(bins[1], Bin::default());
    }

    #[test]
    fn errors_are_those_computed_by_hand() {
        let given = forecasts(&[(0.1, false), (0.9, true), (0.8, false), (1.0, true)]);
        // One off by 0.1, three whose mean of 0.9 is off by 0.9 - 2/3: (0.1 + 0.7) / 4.
        assert!(near(calibration_error(&given), 0.2));
        // (0.01 + 0.01 + 0.64 + 0) / 4
        assert!(near(brier(&given), 0.165));
        // Half are right: 0.25 whatever comes, and nothing to be off by.
        assert!(near(brier(&base_rate(&given)), 0.25));
        assert!(near(calibration_error(&base_rate(&given)), 0.0));
    }

    #[test]
    fn what_is_too_sure_is_off_though_all_means_agree() {
        let sure = forecasts(&[(0.95, true), (0.95, false), (0.05, true), (0.05, false)]);
        assert!(near(calibration_error(&sure), 0.45));
    }

    #[test]
    fn no_forecasts_are_no_error() {
        assert_eq!((brier(&[]), calibration_error(&[])), (0.0, 0.0));
    }

    /// So many right and wrong that stand so.
    fn standing(over: f64, lead: f64, right: usize, wrong: usize) -> Vec<Case> {
        let case = |right| Case { over, lead, right };
        let mut cases = vec![case(true); right];
        cases.extend(vec![case(false); wrong]);
        cases
    }

    #[test]
    fn a_fit_gives_the_shares_that_were_right() {
        // So many that the pull is nothing beside them. Odds of 1 at level, of 3 at e-fold over, of 9 at e-fold ahead.
        let e = std::f64::consts::E;
        let mut cases = standing(1.0, 1.0, 20_000, 20_000);
        cases.extend(standing(e, 1.0, 30_000, 10_000));
        cases.extend(standing(1.0, e, 36_000, 4_000));
        let found = Fit::on(&cases).constants;
        for (found, expected) in found.into_iter().zip([0.0, 3f64.ln(), 9f64.ln()]) {
            assert!((found - expected).abs() < 1e-3, "{found} is not {expected}");
        }
    }

    #[test]
    fn what_is_all_right_is_fitted_and_not_certain() {
        let cases = standing(2.0, 3.0, 10, 0);
        let forecast = Fit::on(&cases).forecast(&cases[0]);
        assert!(
            (0.9..=11.0 / 12.0).contains(&forecast.probability),
            "{forecast:?}"
        );
    }

    #[test]
    fn a_set_is_held_against_a_fit_that_has_not_seen_it() {
        let sets = [
            standing(2.0, 2.0, 30, 10),
            standing(2.0, 2.0, 10, 30),
            standing(2.0, 2.0, 10, 30),
        ];
        let forecasts = left_out(&sets);
        // The others of the first: 20 of 80 right; of the second 40 of 80.
        let expected = |right: f64| (right + 1.0) / 82.0;
        assert!(
            (forecasts[0][0].probability - expected(20.0)).abs() < 1e-3,
            "{:?}",
            forecasts[0][0]
        );
        assert!(
            (forecasts[1][0].probability - expected(40.0)).abs() < 1e-3,
            "{:?}",
            forecasts[1][0]
        );
        assert_eq!(forecasts[0].iter().filter(|f| f.right).count(), 30);
    }
}
