//! What stands beside the suspects: changes, blind spots, and where to look next.

use std::collections::{BTreeMap, BTreeSet};

use firstlook_model::{BlindSpot, ComponentKind, NextLook, RankedChange, Suspect};

use crate::catalogue::Catalogue;
use crate::graph::Node;
use crate::judge::Inquiry;
use crate::suspect::fill;

/// Distance up to which a component is a neighbour of an incident.
pub(crate) const NEIGHBOUR_HOPS: usize = 2;

/// Lead below which the two first suspects ask for another look, in decibans.
const CLOSE_DB: f64 = 5.0;

/// Most changes in a verdict.
const CHANGES_LIMIT: usize = 20;

/// How far back changes are listed, in seconds.
const CHANGES_SPAN_S: f64 = 2.0 * 3_600.0;

/// Time in which a change's nearness to the onset falls to a third, in seconds.
const NEARNESS_S: f64 = 900.0;

/// What a change that came after the onset keeps of its nearness.
const AFTER_ONSET: f64 = 0.3;

/// Changes around the incident, nearest to onset and suspects first.
pub(crate) fn changes(
    inquiry: &Inquiry<'_>,
    suspects: &[Suspect],
    neighbours: &[(usize, Node)],
) -> Vec<RankedChange> {
    let began = inquiry
        .witnesses
        .observed
        .iter()
        .map(|seen| seen.symptom.onset.from)
        .min();
    let Some(onset) = suspects.first().map(|s| s.since).or(began) else {
        return Vec::new();
    };
    let hops: BTreeMap<Node, usize> = neighbours
        .iter()
        .map(|(hops, node)| (*node, *hops))
        .collect();
    let mut ranked: Vec<(f64, RankedChange)> = Vec::new();
    for change in &inquiry.changes {
        let before_onset_s = onset.seconds_from(change.time);
        if before_onset_s > CHANGES_SPAN_S {
            continue;
        }
        let of_suspect = suspects
            .iter()
            .position(|s| s.component == change.component);
        let beside = suspects.iter().any(|s| {
            s.component.host_id().is_some() && s.component.host_id() == change.component.host_id()
        });
        let hops = inquiry
            .graph
            .node(&change.component)
            .and_then(|node| hops.get(&node));
        let proximity = match (of_suspect, hops) {
            (Some(0), _) => 1.0,
            (Some(_), _) => 0.8,
            _ if beside => 0.6,
            (None, Some(hops)) => 0.4 / (1.0 + *hops as f64),
            (None, None) => 0.05,
        };
        let order = if before_onset_s < 0.0 {
            AFTER_ONSET
        } else {
            1.0
        };
        let nearness = (-before_onset_s.abs() / NEARNESS_S).exp() * order;
        let change = RankedChange {
            change: (*change).clone(),
            before_onset_s,
        };
        ranked.push((proximity * nearness, change));
    }
    // The changes are sorted by time and id: the tie-break of a stable sort.
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    ranked.truncate(CHANGES_LIMIT);
    ranked.into_iter().map(|(_, change)| change).collect()
}

/// Blind spots among the neighbours, and the endpoints among them that no agent sees into.
pub(crate) fn blind_spots(inquiry: &Inquiry<'_>, neighbours: &[(usize, Node)]) -> Vec<BlindSpot> {
    let near: BTreeSet<Node> = neighbours.iter().map(|(_, node)| *node).collect();
    let is_near = |spot: &&BlindSpot| {
        inquiry
            .graph
            .node(&spot.component)
            .is_some_and(|n| near.contains(&n))
    };
    let mut spots: Vec<BlindSpot> = inquiry
        .situation
        .blind_spots
        .iter()
        .filter(is_near)
        .cloned()
        .collect();
    let known: BTreeSet<_> = spots.iter().map(|spot| spot.component.clone()).collect();
    for node in near {
        let id = inquiry.graph.id(node);
        if inquiry.graph.kind(node) == ComponentKind::Endpoint && !known.contains(id) {
            let text = "no agent sees into it: judged by its callers only".to_owned();
            spots.push(BlindSpot {
                component: id.clone(),
                text,
            });
        }
    }
    spots.sort_by(|a, b| (&a.component, &a.text).cmp(&(&b.component, &b.text)));
    spots.dedup();
    spots
}

/// The question that confirms or refutes the first suspect, when the second is close behind.
pub(crate) fn next_look(catalogue: &Catalogue, suspects: &[Suspect]) -> Option<NextLook> {
    let [first, second, ..] = suspects else {
        return None;
    };
    if first.decibans - second.decibans >= CLOSE_DB || first.probability >= crate::suspect::NAMED {
        return None;
    }
    let question = &catalogue.fault(&first.fault)?.question;
    let id = &first.component;
    let word = |word: &str| match word {
        "component" => Some(id.label()),
        "name" => Some(id.name().to_owned()),
        "host" => id.host_id().map(ToString::to_string),
        _ => None,
    };
    Some(NextLook {
        component: id.clone(),
        text: fill(&question.text, word),
        command: fill(&question.command, |w| {
            word(w).map(|value| shell_quoted(&value))
        }),
    })
}

/// A word for a POSIX shell: names come from hosts and may be hostile.
fn shell_quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:@=+,".contains(c);
    if !word.is_empty() && !word.starts_with('-') && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}
