//! `replay`: recorded incidents in, rankings out, scored where the truth is known.

mod case;
mod live;
mod score;
mod tally;
mod told;
mod withheld;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use firstlook_model::{Evidence, Incident};
use firstlook_rank::blame::{self, Blame};
use firstlook_rank::{Alarm, Ranking, Series, Standing, Suspect, rank};

use self::case::Case;
use self::live::{Given, Live};
use self::score::{NO_CHANGE, Score, judge, place};
use self::tally::Tally;
use self::withheld::Withheld;

/// What of a case's answer is of its series alone.
const BY_SERIES: [&str; 9] = [
    "verdict",
    "suspects",
    "truth_rank",
    "probability",
    "over",
    "lead",
    "first_right",
    "excess_spreads",
    "quiet_score",
];

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
    /// Withhold a kind of evidence, to see what it is worth; can be given several times
    #[arg(long, value_name = "EVIDENCE", value_enum)]
    without: Vec<Withheld>,
    /// Folder of a team's own kinds of faults, for cases that hold what was heard
    #[arg(long, value_name = "DIR")]
    catalogue: Option<PathBuf>,
}

/// Replays the cases and returns what to print.
pub fn run(options: &ReplayOptions) -> anyhow::Result<String> {
    let mut out = String::new();
    let mut sets: BTreeMap<String, Score> = BTreeMap::new();
    let mut lived: BTreeMap<String, Tally> = BTreeMap::new();
    let catalogue = crate::catalogue::open(options.catalogue.as_deref())?;
    for folder in &options.cases {
        let case =
            case::read(folder, &options.without).with_context(|| folder.display().to_string())?;
        let alarm = case.about.alarm.late(options.late);
        let ranking = ranked(&case, &case.series, &alarm, &options.without);
        let place = place(&case.about.truth, &ranking.suspects);
        let blame = blamed(&case, &alarm, &ranking);
        let live = live::replay(folder, &case.about, &catalogue, &options.without)
            .with_context(|| folder.display().to_string())?;
        let score = sets.entry(case.about.set.clone()).or_default();
        if case.about.truth.component.is_some() {
            let (place, spoke) = match live.as_ref().map(Live::last) {
                Some(last) => (
                    last.and_then(|given| given.truth_place),
                    last.is_some_and(|given| given.first.is_some()),
                ),
                None => (place, ranking.verdict().is_some()),
            };
            score.count(place, spoke);
        }
        score.count_change(&case.about.truth, blame);
        let while_normal = speaks_while_normal(&case, &options.without);
        score.count_normal(while_normal);
        if let Some(live) = &live {
            let (alarm_s, known) = (case.about.alarm.time, case.about.truth.component.is_some());
            let tally = lived.entry(case.about.set.clone()).or_default();
            tally.count(live, alarm_s, known);
        }
        if options.json {
            let mut document = json(&case, &ranking, place);
            document["without"] = withheld::names(&options.without).into();
            document["spoke_while_normal"] = while_normal.into();
            add_blame(&mut document, &case, blame);
            document["live"] = live.as_ref().map(|live| live_json(live, &case)).into();
            if let Some(live) = &live {
                answer_live(&mut document, live, case.about.truth.component.is_some());
            }
            writeln!(out, "{document}")?;
        } else if let Some(live) = &live {
            out.push_str(&live_lines(live, &case, options.explain));
            if options.explain {
                out.push_str("  by its series alone, ");
                out.push_str(&lines(&case, &ranking, place, true));
                out.push_str(blame_line(blame).as_str());
            }
        } else {
            out.push_str(&lines(&case, &ranking, place, options.explain));
            out.push_str(blame_line(blame).as_str());
        }
    }
    if !options.json {
        for (set, score) in &sets {
            out.push_str(&score.line(set));
        }
        for (set, tally) in &lived {
            out.push_str(&tally.lines(set));
        }
    }
    Ok(out)
}

fn ranked(case: &Case, series: &[Series], alarm: &Alarm, without: &[Withheld]) -> Ranking {
    let recorded = !case.edges.is_empty();
    let edges = if recorded {
        &case.edges
    } else {
        &case.told.edges
    };
    let ranking = rank(series, edges, alarm);
    if without.contains(&Withheld::QuietWindows) {
        ranking.without_quiet_windows()
    } else {
        ranking
    }
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
fn speaks_while_normal(case: &Case, without: &[Withheld]) -> Option<bool> {
    let until = case.about.normal_until?;
    let mut series = case.series.clone();
    for one in &mut series {
        one.points.retain(|(time, _)| *time < until);
    }
    let alarm = Alarm {
        time: until,
        ..case.about.alarm.late(0)
    };
    let ranking = ranked(case, &series, &alarm, without);
    Some(ranking.verdict().is_some())
}

fn json(case: &Case, ranking: &Ranking, place: Option<usize>) -> serde_json::Value {
    let evidence = |e: &firstlook_rank::Evidence| serde_json::json!({ "weight": e.weight, "signal": e.signal, "text": text(e), "since": e.shift.since });
    let suspect = |s: &Suspect| {
        let facts: Vec<_> = s.evidence.iter().map(evidence).collect();
        serde_json::json!({ "component": s.component, "own_share": s.own_share, "score": s.score, "for": facts })
    };
    let suspects: Vec<_> = ranking.suspects.iter().map(suspect).collect();
    let standing = ranking.standing();
    let first_right = standing.and(case.about.truth.component.as_ref());
    let first_right = first_right.map(|_| place == Some(1));
    serde_json::json!({
        "case": case.name, "set": case.about.set,
        "verdict": ranking.verdict().map(|s| &s.component), "excess_spreads": ranking.excess,
        "quiet_score": ranking.past.as_ref().map(|p| p.quiet), "suspects": suspects, "truth_rank": place,
        "probability": standing.map(|s| s.probability()), "over": standing.map(|s| s.over),
        "lead": standing.map(|s| s.lead), "first_right": first_right, "unknown_files": case.unknown_files,
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
    out.push_str(&unknown_lines(case));
    if let (Some(suspect), Some(standing)) = (ranking.suspects.first(), ranking.standing()) {
        out.push_str(&probability_line(suspect, standing));
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

fn unknown_lines(case: &Case) -> String {
    let files = case.unknown_files.iter();
    let line = |file: &String| format!("  unknown file: {}\n", shown(file));
    files.map(line).collect()
}

/// A recording's words, for a terminal: what would steer it is replaced.
fn shown(text: &str) -> String {
    let plain = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().map(plain).collect()
}

fn probability_line(first: &Suspect, standing: Standing) -> String {
    format!(
        "  probability of {}: {:.2} ({:.1} times what is asked, {:.1} times the second)\n",
        first.component,
        standing.probability(),
        standing.over,
        standing.lead
    )
}

/// Puts the live verdict in the place of what the series alone say, and that under `by_series`.
fn answer_live(document: &mut serde_json::Value, live: &Live, truth_known: bool) {
    let mut by_series = serde_json::Map::new();
    for name in BY_SERIES {
        by_series.insert(name.to_owned(), document[name].take());
    }
    let last = live.last();
    let first = last.and_then(|given| given.first.as_ref());
    document["verdict"] = first.map(|first| first.component.to_string()).into();
    document["truth_rank"] = last.and_then(|given| given.truth_place).into();
    document["probability"] = first.map(|first| first.probability).into();
    let right = first.and_then(|first| first.right);
    document["first_right"] = right.filter(|_| truth_known).into();
    let fact = |e: &Evidence| serde_json::json!({ "weight": e.weight_db, "text": e.text });
    let facts = |of: &[Evidence]| of.iter().map(fact).collect::<Vec<_>>();
    let suspect = |s: &firstlook_model::Suspect| {
        serde_json::json!({
            "component": s.component.to_string(), "fault": s.fault, "probability": s.probability,
            "score": s.decibans, "for": facts(&s.evidence_for), "against": facts(&s.evidence_against),
        })
    };
    document["suspects"] = live.suspects().iter().map(suspect).collect();
    document["by_series"] = by_series.into();
}

fn live_json(live: &Live, case: &Case) -> serde_json::Value {
    let given = |given: &Given| {
        let first = given.first.as_ref();
        serde_json::json!({
            "at": given.at, "component": first.map(|f| &f.component), "fault": first.map(|f| &f.fault),
            "probability": first.map(|f| f.probability), "right": first.and_then(|f| f.right),
            "kind_right": first.and_then(|f| f.kind_right), "truth_ruled_out": given.truth_ruled_out,
        })
    };
    serde_json::json!({
        "opened": live.incident.as_ref().map(|incident| incident.opened),
        "verdict": live.incident.as_ref().map(|incident| &incident.verdict),
        "given": live.given.iter().map(given).collect::<Vec<_>>(),
        "right_after_s": live.right_after_s(case.about.alarm.time), "other_incidents": live.others,
    })
}

fn live_lines(live: &Live, case: &Case, explain: bool) -> String {
    let name = &case.name;
    let Some(incident) = &live.incident else {
        return format!("{name}, as it was live: no incident\n");
    };
    let mut out = match live.last().and_then(|given| given.first.as_ref()) {
        Some(first) => first_line(name, first, live.right_after_s(case.about.alarm.time)),
        None => {
            let why = incident.verdict.hesitation.as_ref();
            let why = why.map_or_else(String::new, |why| format!(": {}", shown(why)));
            format!("{name}, as it was live: abstains{why}\n")
        }
    };
    out.push_str(&unknown_lines(case));
    if explain {
        explain_incident(&mut out, incident);
    }
    out
}

fn first_line(name: &str, first: &live::First, right_after_s: Option<f64>) -> String {
    let held = match (first.right, first.kind_right) {
        (None, _) => "truth not given",
        (Some(false), _) => "wrong",
        (Some(true), Some(false)) => "right, its kind is wrong",
        (Some(true), _) => "right",
    };
    let when = right_after_s.map_or_else(String::new, |s| {
        format!(", first right {s:.1} s after the alarm")
    });
    let (fault, component, said) = (&first.fault, &first.component, first.probability);
    format!("{name}, as it was live: {fault} of {component}, {said:.2} ({held}{when})\n")
}

/// The first suspects with their facts, what was seen at any time, and who is cleared by what.
fn explain_incident(out: &mut String, incident: &Incident) {
    for suspect in incident.verdict.suspects.iter().take(3) {
        let (fault, component) = (&suspect.fault, &suspect.component);
        out.push_str(&format!(
            "  {:6.1} dB {fault} of {component}\n",
            suspect.decibans
        ));
        let facts = suspect.evidence_for.iter().chain(&suspect.evidence_against);
        out.extend(facts.map(fact_line));
    }
    out.push_str("  seen\n");
    for symptom in &incident.symptoms {
        let (component, kind) = (&symptom.component, &symptom.kind);
        let text = shown(&symptom.text);
        let peer = symptom.peer.as_ref();
        let peer = peer.map_or_else(String::new, |peer| format!(" → {peer}"));
        out.push_str(&format!("    {kind} of {component}{peer}: {text}\n"));
    }
    for cleared in &incident.verdict.ruled_out {
        out.push_str(&format!("  ruled out {}\n", cleared.component));
        out.extend(cleared.cleared_by.iter().map(fact_line));
    }
}

fn fact_line(fact: &Evidence) -> String {
    format!("    {:+6.1} {}\n", fact.weight_db, shown(&fact.text))
}

fn text(fact: &firstlook_rank::Evidence) -> String {
    let shift = &fact.shift;
    let of = fact.of.as_ref().map(|other| format!(" of {other}"));
    format!(
        "{}{} moved from {:.4} to {:.4}, {:.1} spreads",
        fact.signal,
        of.unwrap_or_default(),
        shift.before,
        shift.after,
        shift.spreads
    )
}

#[cfg(test)]
mod tests;
