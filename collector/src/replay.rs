//! `replay`: recorded incidents in, rankings out, scored where the truth is known.

mod case;
mod told;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use firstlook_rank::blame::{self, Blame};
use firstlook_rank::{Alarm, Ranking, Suspect, rank};

use self::case::{Case, Truth};

#[derive(Debug, Args)]
pub struct ReplayOptions {
    /// Folders of recorded incidents
    #[arg(required = true, value_name = "CASE")]
    cases: Vec<PathBuf>,
    /// Print one JSON object per case instead
    #[arg(long)]
    json: bool,
    /// Print what speaks for each suspect
    #[arg(long, conflicts_with = "json")]
    explain: bool,
    /// Take the alarm as so many seconds late
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    late: u32,
}

/// What the truth says where no change is at fault, and so do we.
const NO_CHANGE: &str = "none";

/// How often the truth came at each rank, within one set.
#[derive(Debug, Default)]
struct Score {
    cases: u32,
    spoke: u32,
    /// How many had the truth at rank 1, 2 … 5, abstentions among the wrong.
    at: [u32; 5],
    /// The same by the order alone, whether it spoke or not.
    ordered_at: [u32; 5],
    quiet: u32,
    false_verdicts: u32,
    /// How many have a known answer about changes, how many were answered right, and how many blamed a decoy.
    about_changes: u32,
    changes_right: u32,
    decoys_blamed: u32,
}

/// Replays the cases and returns what to print.
pub fn run(options: &ReplayOptions) -> anyhow::Result<String> {
    let mut out = String::new();
    let mut sets: BTreeMap<String, Score> = BTreeMap::new();
    for folder in &options.cases {
        let case = case::read(folder).with_context(|| folder.display().to_string())?;
        let alarm = case.about.alarm.late(options.late);
        let ranking = rank(&case.series, &case.edges, &alarm);
        let place = place(&case.about.truth, &ranking.suspects);
        let blame = blamed(&case, &alarm, &ranking);
        let score = sets.entry(case.about.set.clone()).or_default();
        if case.about.truth.component.is_some() {
            score.count(place, ranking.verdict().is_some());
        }
        score.count_change(&case.about.truth, blame);
        let while_normal = speaks_while_normal(&case);
        if let Some(spoke) = while_normal {
            score.quiet += 1;
            score.false_verdicts += u32::from(spoke);
        }
        if options.json {
            let mut document = json(&case, &ranking, place);
            document["spoke_while_normal"] = while_normal.into();
            add_blame(&mut document, &case, blame);
            writeln!(out, "{document}")?;
        } else {
            out.push_str(&lines(&case, &ranking, place, options.explain));
            out.push_str(blame_line(blame).as_str());
        }
    }
    if !options.json {
        for (set, score) in &sets {
            out.push_str(&score.line(set));
        }
    }
    Ok(out)
}

/// The rank of the true component, from 1; ties count against us. None: unknown truth, or not among the suspects.
fn place(truth: &Truth, suspects: &[Suspect]) -> Option<usize> {
    let named = truth.component.as_ref()?;
    let is_true = |s: &&Suspect| s.component == *named || truth.aliases.contains(&s.component);
    let best = suspects.iter().find(is_true)?;
    let order = |s: &Suspect| (s.own_share.unwrap_or(0.0), s.score);
    let before = suspects
        .iter()
        .filter(|s| order(s) >= order(best) && !is_true(s));
    Some(before.count() + 1)
}

/// What change is at fault. None: no change is known, or nothing to hold it against.
fn blamed<'a>(case: &'a Case, alarm: &Alarm, ranking: &Ranking) -> Option<Blame<'a>> {
    let mut edges = case.edges.clone();
    edges.extend(case.told.edges.iter().cloned());
    let first = ranking.suspects.first().map(|s| s.component.as_str());
    let told = blame::Told {
        changes: &case.told.changes,
        notes: &case.told.notes,
        operations: &case.told.operations,
    };
    blame::blame(&case.series, &edges, alarm, first, told)
}

/// Whether the answer about changes is right, and whether a decoy is blamed. None: the truth is not given.
fn judge(truth: &Truth, blame: Option<Blame<'_>>) -> Option<(bool, bool)> {
    let at_fault = truth.change.as_deref()?;
    Some(match blame {
        Some(Blame::Change(change)) => (change.id == at_fault, truth.decoys.contains(&change.id)),
        Some(Blame::NoChange) => (at_fault == NO_CHANGE, false),
        Some(Blame::Undecided) | None => (false, false),
    })
}

fn add_blame(document: &mut serde_json::Value, case: &Case, blame: Option<Blame<'_>>) {
    let said = match blame {
        Some(Blame::Change(change)) => Some(change.id.as_str()),
        Some(Blame::NoChange) => Some(NO_CHANGE),
        Some(Blame::Undecided) | None => None,
    };
    let judged = judge(&case.about.truth, blame);
    document["change"] = said.into();
    document["change_right"] = judged.map(|(right, _)| right).into();
    document["decoy_blamed"] = judged.map(|(_, decoy)| decoy).into();
    document["refused_lines"] = case.told.refused.into();
}

fn blame_line(blame: Option<Blame<'_>>) -> String {
    match blame {
        Some(Blame::Change(change)) => {
            format!("  change at fault: {} of {}\n", change.id, change.component)
        }
        Some(Blame::NoChange) => "  no known change is at fault\n".to_owned(),
        Some(Blame::Undecided) => "  a change may be at fault; which cannot be told\n".to_owned(),
        None => String::new(),
    }
}

/// Whether anybody would be suspected at the end of the part that is known to be normal. None: no such part.
fn speaks_while_normal(case: &Case) -> Option<bool> {
    let until = case.about.normal_until?;
    let mut series = case.series.clone();
    for one in &mut series {
        one.points.retain(|(time, _)| *time < until);
    }
    let alarm = Alarm {
        time: until,
        ..case.about.alarm.late(0)
    };
    Some(rank(&series, &case.edges, &alarm).verdict().is_some())
}

fn json(case: &Case, ranking: &Ranking, place: Option<usize>) -> serde_json::Value {
    let evidence = |e: &firstlook_rank::Evidence| serde_json::json!({ "weight": e.weight, "signal": e.signal, "text": text(e), "since": e.shift.since });
    let suspect = |s: &Suspect| {
        let facts: Vec<_> = s.evidence.iter().map(evidence).collect();
        serde_json::json!({ "component": s.component, "own_share": s.own_share, "score": s.score, "for": facts })
    };
    let suspects: Vec<_> = ranking.suspects.iter().map(suspect).collect();
    serde_json::json!({
        "case": case.name, "set": case.about.set,
        "verdict": ranking.verdict().map(|s| &s.component), "excess_spreads": ranking.excess,
        "quiet_score": ranking.past.as_ref().map(|p| p.quiet), "suspects": suspects, "truth_rank": place,
        "unknown_files": case.unknown_files,
    })
}

fn lines(case: &Case, ranking: &Ranking, place: Option<usize>, explain: bool) -> String {
    let named = ranking.verdict();
    let first = named.map_or("abstains", |s| s.component.as_str());
    let told = match (&case.about.truth.component, place) {
        (None, _) => "truth not given".to_owned(),
        (Some(_), Some(1)) if named.is_some() => "right".to_owned(),
        (Some(truth), Some(place)) => format!("wrong: {truth} is at {place}"),
        (Some(truth), None) => format!("wrong: {truth} is not named"),
    };
    let mut out = format!("{}: {first} ({told})\n", case.name);
    for file in &case.unknown_files {
        out.push_str(&format!("  unknown file: {file}\n"));
    }
    for suspect in ranking.suspects.iter().take(if explain { 5 } else { 0 }) {
        out.push_str(&format!("  {:6.2} {}\n", suspect.score, suspect.component));
        if let Some(share) = suspect.own_share {
            let percent = share * 100.0;
            out.push_str(&format!(
                "    {percent:.0}% of the alarm's excess is its own\n"
            ));
        }
        for fact in &suspect.evidence {
            out.push_str(&format!("    {:+6.2} {}\n", fact.weight, text(fact)));
        }
    }
    out
}

fn text(fact: &firstlook_rank::Evidence) -> String {
    let shift = &fact.shift;
    let of = fact.caller.as_ref().map(|c| format!(" of its caller {c}"));
    format!(
        "{}{} moved from {:.4} to {:.4}, {:.1} spreads",
        fact.signal,
        of.unwrap_or_default(),
        shift.before,
        shift.after,
        shift.spreads
    )
}

impl Score {
    fn count(&mut self, place: Option<usize>, spoke: bool) {
        self.cases += 1;
        self.spoke += u32::from(spoke);
        let ranks = (1..).zip(self.at.iter_mut().zip(&mut self.ordered_at));
        for (k, (at, ordered_at)) in ranks {
            let within = place.is_some_and(|place| place <= k);
            *at += u32::from(within && spoke);
            *ordered_at += u32::from(within);
        }
    }

    fn count_change(&mut self, truth: &Truth, blame: Option<Blame<'_>>) {
        if let Some((right, decoy)) = judge(truth, blame) {
            self.about_changes += 1;
            self.changes_right += u32::from(right);
            self.decoys_blamed += u32::from(decoy);
        }
    }

    fn line(&self, set: &str) -> String {
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

#[cfg(test)]
mod tests {
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
