//! Suspects as people read them: which are listed, in which order, in which words, how surely.

use std::collections::BTreeSet;

use firstlook_model::{ComponentId, Suspect};

use crate::catalogue::{Level, UNKNOWN_FAULT};
use crate::compete::{Contest, Outcome};
use crate::hypothesis::{Hypothesis, names};
use crate::weigh::rounded;

/// Probability from which a suspect is named.
pub(crate) const NAMED: f64 = 0.9;

/// Probability from which a suspect is worth a line.
const LISTED: f64 = 0.02;

/// Probability from which a second fault kind of one component is worth a line.
const LISTED_AGAIN: f64 = 0.1;

/// Most suspects in a verdict.
const SUSPECTS_LIMIT: usize = 6;

/// Probability of no known fault from which the engine abstains.
const ABSTAIN: f64 = 0.5;

/// P(symptom | fault) from which its component counts as hurt by the fault.
const HURT: f64 = 0.1;

/// Numbers of the hypotheses to show, most probable first. Empty: abstain.
pub(crate) fn listed(contest: &Contest<'_, '_>, outcome: &Outcome) -> Vec<usize> {
    if outcome.nothing >= ABSTAIN {
        return Vec::new();
    }
    let mut ranked: Vec<usize> = (0..contest.hypotheses.len()).collect();
    // Hypotheses are sorted by component and fault kind: the tie-break.
    ranked.sort_by(|a, b| {
        outcome.probability[*b]
            .total_cmp(&outcome.probability[*a])
            .then(a.cmp(b))
    });
    let mut components = BTreeSet::new();
    ranked.retain(|h| {
        let hypothesis = &contest.hypotheses[*h];
        let first = components.insert(hypothesis.node);
        let least = match first {
            true => LISTED,
            // Beside a known manner of failing, that it may be a new one goes without saying.
            false if hypothesis.fault.kind == UNKNOWN_FAULT => f64::INFINITY,
            false => LISTED_AGAIN,
        };
        outcome.accepted.contains(h) || outcome.probability[*h] >= least
    });
    ranked.truncate(SUSPECTS_LIMIT);
    ranked
}

/// One hypothesis in full.
pub(crate) fn suspect(contest: &Contest<'_, '_>, outcome: &Outcome, h: usize) -> Suspect {
    let hypothesis = &contest.hypotheses[h];
    let facts = contest.facts(h, &outcome.accepted);
    let decibans = rounded(facts.iter().map(|fact| fact.weight_db).sum());
    let (mut evidence_for, mut evidence_against): (Vec<_>, Vec<_>) =
        facts.into_iter().partition(|fact| fact.weight_db > 0.0);
    evidence_for.sort_by(|a, b| {
        b.weight_db
            .total_cmp(&a.weight_db)
            .then_with(|| a.text.cmp(&b.text))
    });
    evidence_against.sort_by(|a, b| {
        a.weight_db
            .total_cmp(&b.weight_db)
            .then_with(|| a.text.cmp(&b.text))
    });
    Suspect {
        component: contest.graph.id(hypothesis.node).clone(),
        fault: hypothesis.fault.kind.clone(),
        summary: summary(contest, hypothesis),
        decibans,
        probability: outcome.probability[h],
        since: hypothesis.since(contest.witnesses),
        hurts: hurts(contest, hypothesis),
        evidence_for,
        evidence_against,
    }
}

/// Why the verdict does not simply name one suspect; `None` when it does.
pub(crate) fn hesitation(suspects: &[Suspect], outcome: &Outcome, quiet: bool) -> Option<String> {
    let Some(first) = suspects.first() else {
        let text = if quiet {
            "no symptom: nothing to explain"
        } else {
            "no known fault explains these symptoms better than chance"
        };
        return Some(text.to_owned());
    };
    let named = suspects.iter().filter(|s| s.probability >= NAMED).count();
    let label = |s: &Suspect| format!("{} of {}", s.fault, s.component.label());
    match (named, suspects.get(1)) {
        (1, _) if outcome.accepted.len() == 1 => None,
        (n, _) if n > 1 => Some(format!(
            "{n} independent faults: none explains the others' symptoms"
        )),
        (_, Some(second)) => Some(format!(
            "not decided: {} ({:.0}%) or {} ({:.0}%)",
            label(first),
            first.probability * 100.0,
            label(second),
            second.probability * 100.0
        )),
        (_, None) => Some(format!(
            "only {:.0}% sure: few facts speak",
            first.probability * 100.0
        )),
    }
}

fn hurts(contest: &Contest<'_, '_>, hypothesis: &Hypothesis<'_>) -> Vec<ComponentId> {
    let graph = contest.graph;
    let explained = hypothesis.explains.iter().filter(|(_, q)| *q >= HURT);
    let hurt: BTreeSet<usize> = explained
        .filter(|(o, _)| !hypothesis.own.contains(o))
        .map(|(o, _)| contest.witnesses.observed[*o].node)
        .filter(|node| *node != hypothesis.node)
        .collect();
    hurt.into_iter()
        .map(|node| graph.id(node).clone())
        .collect()
}

fn summary(contest: &Contest<'_, '_>, hypothesis: &Hypothesis<'_>) -> String {
    let id = contest.graph.id(hypothesis.node);
    fill(&hypothesis.fault.summary, |word| match word {
        "component" => Some(id.label()),
        "name" => Some(id.name().to_owned()),
        "host" => id.host_id().map(ToString::to_string),
        "symptom" => strongest_own(contest, hypothesis),
        "change" => hypothesis.change.map(|change| change.text.clone()),
        _ => None,
    })
}

/// Text of the symptom on the component itself that the fault must show, or if it must show none in
/// particular, that speaks most for it.
fn strongest_own(contest: &Contest<'_, '_>, hypothesis: &Hypothesis<'_>) -> Option<String> {
    let weight = |o: usize| {
        let q = hypothesis
            .explains
            .iter()
            .find(|(e, _)| *e == o)
            .map_or(0.0, |(_, q)| *q);
        q / contest.witnesses.observed[o].base_rate
    };
    let must: Vec<_> = hypothesis
        .fault
        .predicts
        .iter()
        .filter(|p| p.level == Level::Must)
        .collect();
    let own = hypothesis.own.iter().copied().filter(|o| {
        let seen = &contest.witnesses.observed[*o];
        must.is_empty()
            || must
                .iter()
                .any(|p| names(&p.any, &seen.symptom.kind, seen.known))
    });
    let strongest = own.max_by(|a, b| weight(*a).total_cmp(&weight(*b)).then(b.cmp(a)))?;
    let text = &contest.witnesses.observed[strongest].symptom.text;
    let label = contest.graph.id(hypothesis.node).label();
    let bare = text
        .strip_prefix(&label)
        .map(|rest| rest.trim_start_matches([':', ' ']));
    Some(
        bare.filter(|rest| !rest.is_empty())
            .unwrap_or(text)
            .to_owned(),
    )
}

/// Puts values into `{word}` and `{word|instead}`; what has no value and no stand-in becomes nothing.
pub(crate) fn fill(template: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let mut text = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        let Some((slot, after)) = after.split_once('}') else {
            text.push('{');
            rest = after;
            continue;
        };
        let (word, instead) = slot.split_once('|').unwrap_or((slot, ""));
        match value(word) {
            Some(filled) => text.push_str(&filled),
            None => text.push_str(instead),
        }
        rest = after;
    }
    text.push_str(rest);
    text
}
