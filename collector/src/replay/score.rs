//! Replayed cases held against the truth.

use firstlook_rank::Suspect;
use firstlook_rank::blame::Blame;

use super::case::Truth;

/// What the truth says where no change is at fault, and so do we.
pub const NO_CHANGE: &str = "none";

/// How often the truth came at each rank, within one set.
#[derive(Debug, Default)]
pub struct Score {
    cases: u32,
    spoke: u32,
    /// How many had the truth at rank 1, 2 … 5, abstentions among the wrong.
    at: [u32; 5],
    /// The same by the order alone, whether it spoke or not.
    ordered_at: [u32; 5],
    /// How many have a part that is known to be normal, and how many of them blamed somebody in it.
    quiet: u32,
    false_verdicts: u32,
    /// How many have a known answer about changes, how many were answered right, and how many blamed a decoy.
    about_changes: u32,
    changes_right: u32,
    decoys_blamed: u32,
}

impl Score {
    /// `place` is the truth's.
    pub fn count(&mut self, place: Option<usize>, spoke: bool) {
        self.cases += 1;
        self.spoke += u32::from(spoke);
        let ranks = (1..).zip(self.at.iter_mut().zip(&mut self.ordered_at));
        for (k, (at, ordered_at)) in ranks {
            let within = place.is_some_and(|place| place <= k);
            *at += u32::from(within && spoke);
            *ordered_at += u32::from(within);
        }
    }

    /// Nothing where the truth about changes is not given.
    pub fn count_change(&mut self, truth: &Truth, blame: Option<Blame<'_>>) {
        if let Some((right, decoy)) = judge(truth, blame) {
            self.about_changes += 1;
            self.changes_right += u32::from(right);
            self.decoys_blamed += u32::from(decoy);
        }
    }

    /// `spoke` is whether somebody was blamed while all was normal; None: no such part is given.
    pub fn count_normal(&mut self, spoke: Option<bool>) {
        if let Some(spoke) = spoke {
            self.quiet += 1;
            self.false_verdicts += u32::from(spoke);
        }
    }

    /// For people.
    pub fn line(&self, set: &str) -> String {
        let share = |part: u32, of: u32| f64::from(part) / f64::from(of.max(1));
        let figures = |at: &[u32; 5]| {
            let (first, third) = (share(at[0], self.cases), share(at[2], self.cases));
            let average = share(at.iter().sum(), self.cases * 5);
            format!("AC@1 {first:.2}, AC@3 {third:.2}, Avg@5 {average:.2}")
        };
        format!(
            "{set}: {} cases, {}; spoke {} times, right {:.2} of them; by order alone {}; verdicts while normal {} of {}; changes right {} of {}, decoys blamed {}\n",
            self.cases,
            figures(&self.at),
            self.spoke,
            share(self.at[0], self.spoke),
            figures(&self.ordered_at),
            self.false_verdicts,
            self.quiet,
            self.changes_right,
            self.about_changes,
            self.decoys_blamed,
        )
    }
}

/// The rank of the true component, from 1; ties count against us. None: unknown truth, or not among the suspects.
pub fn place(truth: &Truth, suspects: &[Suspect]) -> Option<usize> {
    let named = truth.component.as_ref()?;
    let is_true = |s: &&Suspect| s.component == *named || truth.aliases.contains(&s.component);
    let best = suspects.iter().find(is_true)?;
    let order = |s: &Suspect| (s.own_share.unwrap_or(0.0), s.score);
    let before = suspects
        .iter()
        .filter(|s| order(s) >= order(best) && !is_true(s));
    Some(before.count() + 1)
}

/// Whether the answer about changes is right, and whether a decoy is blamed. None: the truth is not given.
pub fn judge(truth: &Truth, blame: Option<Blame<'_>>) -> Option<(bool, bool)> {
    let at_fault = truth.change.as_deref()?;
    Some(match blame {
        Some(Blame::Change(change)) => (change.id == at_fault, truth.decoys.contains(&change.id)),
        Some(Blame::NoChange) => (at_fault == NO_CHANGE, false),
        Some(Blame::Undecided) | None => (false, false),
    })
}

#[cfg(test)]
mod tests {
    use firstlook_rank::blame;

    use super::*;

    fn suspect(component: &str, own_share: Option<f64>, score: f64) -> Suspect {
        Suspect {
            component: component.into(),
            own_share,
            score,
            evidence: Vec::new(),
        }
    }

    #[test]
    fn ties_count_against_us_and_an_alias_is_the_truth() {
        let suspects = [
            suspect("a", Some(0.5), 1.0),
            suspect("b", None, 3.0),
            suspect("c", None, 3.0),
        ];
        let truth = |component: &str, aliases: &[&str]| Truth {
            component: Some(component.into()),
            aliases: aliases.iter().map(|a| (*a).into()).collect(),
            ..Truth::default()
        };
        assert_eq!(place(&truth("a", &[]), &suspects), Some(1));
        assert_eq!(place(&truth("b", &[]), &suspects), Some(3));
        assert_eq!(place(&truth("x", &["c"]), &suspects), Some(3));
        assert_eq!(place(&truth("x", &[]), &suspects), None);
    }

    #[test]
    fn a_decoy_is_told_from_the_change_and_from_silence() {
        let change = |id: &str| blame::Change {
            id: id.into(),
            component: "a".into(),
            time: 0.0,
            text: String::new(),
            files: Vec::new(),
        };
        let (right, decoy) = (change("x"), change("y"));
        let truth = |at_fault: &str| Truth {
            change: Some(at_fault.into()),
            decoys: vec!["y".into()],
            ..Truth::default()
        };
        let judged = |blame| judge(&truth("x"), blame);
        assert_eq!(judged(Some(Blame::Change(&right))), Some((true, false)));
        assert_eq!(judged(Some(Blame::Change(&decoy))), Some((false, true)));
        assert_eq!(judged(Some(Blame::NoChange)), Some((false, false)));
        assert_eq!(judged(Some(Blame::Undecided)), Some((false, false)));
        let nothing = judge(&truth(NO_CHANGE), Some(Blame::NoChange));
        assert_eq!(nothing, Some((true, false)));
        assert_eq!(judge(&Truth::default(), None), None);
    }

    #[test]
    fn an_abstention_counts_as_wrong() {
        let mut score = Score::default();
        score.count(Some(1), false);
        score.count(Some(1), true);
        assert_eq!((score.at[0], score.ordered_at[0], score.spoke), (1, 2, 1));
    }
}
