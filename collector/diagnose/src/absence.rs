//! What speaks against a fault: predicted symptoms that are absent though they were measured, and
//! forbidden ones that are present. What was not measured weighs nothing.

use firstlook_model::{Evidence, Reference, TimeRange, Timestamp};

use crate::catalogue::{Fault, Level, Prediction, Relation};
use crate::graph::Graph;
use crate::hypothesis::names;
use crate::relation::{Place, Seat};
use crate::weigh::{capped, rounded};
use crate::witness::{Measured, Observed, Witnesses, unit};

/// What each further silent place of one prediction counts for, beside the one before.
const FURTHER_PLACE: f64 = 0.5;

/// One predicted symptom that is absent though it was measured.
pub(crate) struct Absence {
    /// Weight in decibans, negative.
    pub weight_db: f64,
    /// Where, for people.
    pub at: String,
    /// What was measured there, in the words of the attestation; `None` where there is none.
    pub measured: Option<String>,
    /// What would have shown.
    pub words: String,
    /// The observations.
    pub reference: Option<Reference>,
    /// Share of expected observations that arrived, 0 to 1.
    pub coverage: f64,
    /// When it was last measured.
    pub last_seen: Timestamp,
}

/// Absences and forbidden sights, in decibans, negative.
pub(crate) fn weigh(
    seat: &Seat<'_, '_>,
    fault: &Fault,
    witnesses: &Witnesses<'_>,
    since: Option<Timestamp>,
) -> Vec<Evidence> {
    let since = since.unwrap_or(witnesses.reference_time);
    let mut evidence: Vec<Evidence> = absences(seat, fault, witnesses, since)
        .into_iter()
        .map(|absence| absence.against(fault))
        .collect();
    evidence.extend(forbidden(seat, fault, witnesses));
    evidence
}

/// Every predicted symptom that is absent though it was measured and due. `since` is when the fault
/// would have begun.
pub(crate) fn absences(
    seat: &Seat<'_, '_>,
    fault: &Fault,
    witnesses: &Witnesses<'_>,
    since: Timestamp,
) -> Vec<Absence> {
    let mut all = Vec::new();
    let kind = seat.graph.kind(seat.node);
    let expected = |p: &&Prediction| p.level != Level::May && p.holds_for(kind);
    for prediction in fault.predicts.iter().filter(expected) {
        let mut factor = 1.0;
        for mut absence in of_prediction(seat, prediction, witnesses, since) {
            absence.weight_db = rounded(absence.weight_db * factor);
            factor *= FURTHER_PLACE;
            if absence.weight_db <= -0.1 {
                all.push(absence);
            }
        }
    }
    all
}

/// Whether one of the symptoms that the fault must show is looked for where it would show.
pub(crate) fn is_looked_for(
    seat: &Seat<'_, '_>,
    fault: &Fault,
    witnesses: &Witnesses<'_>,
    since: Timestamp,
) -> bool {
    let mut must = fault.predicts.iter().filter(|p| p.level == Level::Must);
    must.any(|p| !of_prediction(seat, p, witnesses, since).is_empty())
}

impl Absence {
    fn against(self, fault: &Fault) -> Evidence {
        let (at, kind, words) = (self.at, &fault.kind, self.words);
        let text = match self.measured {
            Some(measured) => format!("{at}: {measured}; {kind} would show {words}"),
            None => format!("{at}: no sign of {words}, which {kind} would show"),
        };
        Evidence {
            weight_db: self.weight_db,
            text,
            reference: self.reference,
        }
    }
}

/// Silent places of one prediction, the weightiest first.
fn of_prediction(
    seat: &Seat<'_, '_>,
    prediction: &Prediction,
    witnesses: &Witnesses<'_>,
    since: Timestamp,
) -> Vec<Absence> {
    let Some(known) = witnesses.kind(&prediction.any[0]) else {
        return Vec::new();
    };
    let one_is_enough = prediction.one_is_enough();
    let satisfied = |seen: &Observed<'_>, relation: Relation| {
        names(&prediction.any, &seen.symptom.kind, seen.known) && seat.holds(relation, seen) > 0.0
    };
    let anywhere = || {
        witnesses
            .observed
            .iter()
            .any(|seen| prediction.at.iter().any(|r| satisfied(seen, *r)))
    };
    if one_is_enough && anywhere() {
        return Vec::new();
    }
    let places = prediction
        .at
        .iter()
        .flat_map(|r| seat.places(*r, known.edge));
    let absent = |place: Place<'_>| {
        let (p, by) = silent(seat.graph, witnesses, prediction, &place, &known.family)?;
        let due = due(prediction.lag_s, by.last_seen.seconds_from(since))?;
        let ratio = (1.0 - p * by.coverage * due) / (1.0 - known.base_rate);
        Some(Absence {
            weight_db: capped(10.0 * ratio.log10()),
            at: label(seat.graph, &place),
            coverage: by
                .by
                .map_or(by.coverage, |attestation| unit(attestation.coverage)),
            measured: by.by.map(|attestation| attestation.text.clone()),
            last_seen: by.last_seen,
            words: known.words.clone(),
            reference: reference(seat.graph, &place, by, since, witnesses.reference_time),
        })
    };
    let mut found: Vec<Absence> = places.filter_map(absent).collect();
    found.sort_by(|a, b| {
        a.weight_db
            .total_cmp(&b.weight_db)
            .then_with(|| a.at.cmp(&b.at))
    });
    // One silent place suffices for one absence: the best measured.
    found.truncate(if one_is_enough { 1 } else { found.len() });
    found
}

/// Share of such faults that would have shown by now: all of them after the time that they may take, before it as
/// much as has passed. `None`: it was last measured before the fault began.
fn due(lag_s: f64, measured_s: f64) -> Option<f64> {
    if measured_s >= lag_s {
        return Some(1.0);
    }
    (measured_s > 0.0).then(|| measured_s / lag_s)
}

/// P(seen there | fault) and how it was measured, if the place is silent.
fn silent<'w>(
    graph: &Graph<'_>,
    witnesses: &Witnesses<'w>,
    prediction: &Prediction,
    place: &Place<'_>,
    family: &str,
) -> Option<(f64, Measured<'w>)> {
    let named = |o: &usize| {
        let seen = &witnesses.observed[*o];
        names(&prediction.any, &seen.symptom.kind, seen.known)
    };
    match place {
        Place::At(node, p) => {
            let shows = witnesses.of(*node).iter().any(named);
            let measured = witnesses
                .measured(graph, *node, family)
                .filter(|_| !shows)?;
            Some((prediction.p * p, measured))
        }
        Place::On(link, p) => {
            let of_edge = |node, peer| {
                let there = witnesses.of(node).iter().filter(|o| named(o));
                there
                    .map(|o| witnesses.observed[*o].peer)
                    .any(|seen| seen == Some(peer))
            };
            let shows = of_edge(link.caller, link.callee) || of_edge(link.callee, link.caller);
            let measured = witnesses.edge_measured(graph, link).filter(|_| !shows)?;
            Some((prediction.p * p, measured))
        }
    }
}

fn label(graph: &Graph<'_>, place: &Place<'_>) -> String {
    match place {
        Place::At(node, _) => graph.id(*node).label(),
        Place::On(link, _) => {
            format!(
                "{} → {}",
                graph.id(link.caller).label(),
                graph.id(link.callee).label()
            )
        }
    }
}

fn reference(
    graph: &Graph<'_>,
    place: &Place<'_>,
    by: Measured<'_>,
    since: Timestamp,
    now: Timestamp,
) -> Option<Reference> {
    match place {
        Place::On(link, _) => Some(Reference::Edge {
            caller: graph.id(link.caller).clone(),
            callee: graph.id(link.callee).clone(),
            range: TimeRange::new(since, now),
        }),
        Place::At(..) => by.by.map(|attestation| attestation.reference.clone()),
    }
}

fn forbidden(seat: &Seat<'_, '_>, fault: &Fault, witnesses: &Witnesses<'_>) -> Vec<Evidence> {
    let mut found = Vec::new();
    for seen in &witnesses.observed {
        let weight = fault
            .forbids
            .iter()
            .filter(|f| names(&f.any, &seen.symptom.kind, seen.known))
            .filter(|f| {
                f.at.iter()
                    .any(|relation| seat.holds(*relation, seen) > 0.0)
            })
            .map(|f| f.weight_db)
            .fold(0.0, f64::min);
        let severity = 0.5 + 0.5 * unit(seen.symptom.severity);
        let weight_db = rounded(weight * severity * seen.is_of_this_place());
        if weight_db < 0.0 {
            let text = format!(
                "{}; {} would not show that",
                seen.says(seat.graph),
                fault.kind
            );
            found.push(Evidence {
                weight_db,
                text,
                reference: Some(seen.symptom.reference.clone()),
            });
        }
    }
    found
}
