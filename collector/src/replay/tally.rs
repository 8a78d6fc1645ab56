//! How the live path did on the cases of a set, and what its probabilities were worth.

use super::live::{Given, Live};

/// Bins of probability.
const BINS: usize = 5;

/// A bin: verdicts of a case weigh one together, however many they are. A probability is that of a component with a kind of
/// fault: right are those whose kind is, too, where one is asked for.
#[derive(Clone, Copy, Debug, Default)]
struct Bin {
    weight: f64,
    said: f64,
    right: f64,
    component_right: f64,
}

/// Cases of one set that were replayed as they were live.
#[derive(Debug, Default)]
pub struct Tally {
    cases: u32,
    /// With a component at fault that is known; and a kind.
    with_truth: u32,
    with_kind: u32,
    right: u32,
    kind_right: u32,
    abstained: u32,
    ruled_out: u32,
    others: usize,
    seconds: Vec<f64>,
    bins: [Bin; BINS],
}

impl Tally {
    /// A case whose alarm was at `alarm_s`, and whether its component at fault is known.
    pub fn count(&mut self, live: &Live, alarm_s: f64, known: bool) {
        self.cases += 1;
        self.others += live.others;
        if !known {
            return;
        }
        self.with_truth += 1;
        let first = live.last().and_then(|given| given.first.as_ref());
        self.abstained += u32::from(first.is_none());
        let kind = first.and_then(|first| first.kind_right);
        self.with_kind += u32::from(kind.is_some());
        self.right += u32::from(first.is_some_and(|first| first.right == Some(true)));
        self.kind_right += u32::from(kind == Some(true));
        self.ruled_out += u32::from(live.given.iter().any(|given| given.truth_ruled_out));
        self.seconds.extend(live.right_after_s(alarm_s));
        self.weigh(&live.given);
    }

    fn weigh(&mut self, given: &[Given]) {
        let firsts: Vec<_> = given
            .iter()
            .filter_map(|given| given.first.as_ref())
            .collect();
        let weight = 1.0 / firsts.len().max(1) as f64;
        for first in firsts {
            let place = ((first.probability * BINS as f64) as usize).min(BINS - 1);
            let bin = &mut self.bins[place];
            bin.weight += weight;
            bin.said += weight * first.probability;
            if first.right == Some(true) {
                bin.component_right += weight;
                bin.right += weight * f64::from(u8::from(first.kind_right != Some(false)));
            }
        }
    }

    /// Mean distance between what was said and what came of it, by weight; None where nothing was said.
    fn calibration_error(&self, came: impl Fn(&Bin) -> f64) -> Option<f64> {
        let all: f64 = self.bins.iter().map(|bin| bin.weight).sum();
        let off = self.bins.iter().map(|bin| (bin.said - came(bin)).abs());
        (all > 0.0).then(|| off.sum::<f64>() / all)
    }

    /// For people.
    pub fn lines(&self, set: &str) -> String {
        let mut seconds = self.seconds.clone();
        seconds.sort_by(f64::total_cmp);
        let median = seconds.get(seconds.len() / 2);
        let median = median.map_or_else(
            || "never".to_owned(),
            |s| format!("{s:.1} s after the alarm"),
        );
        let mut out = format!(
            "{set}, as it was live: {} cases, component right at the end {} of {}, kind too {} of {}, abstained {}; first right {median} in the median; ruled out wrongly {}; other incidents {}\n",
            self.cases,
            self.right,
            self.with_truth,
            self.kind_right,
            self.with_kind,
            self.abstained,
            self.ruled_out,
            self.others,
        );
        let errors = (
            self.calibration_error(|bin| bin.right),
            self.calibration_error(|bin| bin.component_right),
        );
        if let (Some(error), Some(of_component)) = errors {
            for (number, bin) in self
                .bins
                .iter()
                .enumerate()
                .filter(|(_, bin)| bin.weight > 0.0)
            {
                let from = number as f64 / BINS as f64;
                let to = from + 1.0 / BINS as f64;
                out.push_str(&format!(
                    "  said {from:.1} to {to:.1}, {:.2} in the mean: right {:.2} of {:.1} cases' verdicts, the component alone {:.2}\n",
                    bin.said / bin.weight,
                    bin.right / bin.weight,
                    bin.weight,
                    bin.component_right / bin.weight,
                ));
            }
            out.push_str(&format!(
                "  expected calibration error {error:.3}; of the component alone {of_component:.3}\n"
            ));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use firstlook_model::{ComponentId, Timestamp};

    use super::super::live::First;
    use super::*;

    fn given(at_s: i64, said: Option<(f64, bool)>) -> Given {
        let component: ComponentId = "host:db1".parse().expect("a component");
        Given {
            at: Timestamp::from_secs(at_s),
            first: said.map(|(probability, right)| First {
                component,
                fault: "disk-full".to_owned(),
                probability,
                right: Some(right),
                kind_right: Some(right),
            }),
            truth_place: None,
            truth_ruled_out: false,
        }
    }

    #[test]
    fn a_case_weighs_one_however_long_it_lasts() {
        let mut tally = Tally::default();
        let long = (0..9).map(|at| given(at, Some((0.9, true)))).collect();
        let short = vec![given(0, Some((0.9, false)))];
        for verdicts in [long, short] {
            let live = Live {
                given: verdicts,
                ..Live::default()
            };
            tally.count(&live, -2.0, true);
        }
        // Half of what was said at 0.9 is right.
        let error = tally.calibration_error(|bin| bin.right);
        assert!((error.expect("said") - 0.4).abs() < 1e-9);
        let lines = tally.lines("exported");
        assert!(
            lines.contains(
                "right at the end 1 of 2, kind too 1 of 2, abstained 0; first right 2.0 s"
            ),
            "{lines}"
        );
        assert!(
            lines.contains("said 0.8 to 1.0, 0.90 in the mean: right 0.50 of 2.0"),
            "{lines}"
        );
    }

    #[test]
    fn a_probability_is_of_a_component_with_its_kind_where_one_is_asked_for() {
        let mut tally = Tally::default();
        for kind_right in [Some(true), Some(false), None, None] {
            let mut one = given(0, Some((0.9, true)));
            one.first.as_mut().expect("said").kind_right = kind_right;
            let live = Live {
                given: vec![one],
                ..Live::default()
            };
            tally.count(&live, 0.0, true);
        }
        let lines = tally.lines("x");
        let told = "right 0.75 of 4.0 cases' verdicts, the component alone 1.00\n";
        assert!(lines.contains(told), "{lines}");
        let errors = "expected calibration error 0.150; of the component alone 0.100\n";
        assert!(lines.ends_with(errors), "{lines}");
    }

    #[test]
    fn an_abstention_is_no_right_answer_and_says_nothing() {
        let mut tally = Tally::default();
        let abstains = Live {
            given: vec![given(0, None)],
            others: 3,
            ..Live::default()
        };
        tally.count(&abstains, 0.0, true);
        tally.count(&Live::default(), 0.0, true);
        tally.count(&abstains, 0.0, false);
        let lines = tally.lines("x");
        assert!(lines.starts_with("x, as it was live: 3 cases, component right at the end 0 of 2, kind too 0 of 0, abstained 2; first right never"), "{lines}");
        assert!(lines.ends_with("other incidents 6\n"), "{lines}");
    }
}
