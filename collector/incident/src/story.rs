//! What the timeline and the title say.

use firstlook_model::{Incident, Suspect, Symptom, TimelineEntry, Timestamp, Verdict};

/// Most entries of one incident's timeline: enough for a long night, and bounded.
const TIMELINE_LIMIT: usize = 500;

/// Adds a line, unless the timeline is full.
pub(crate) fn tell(incident: &mut Incident, time: Timestamp, text: String) {
    if incident.timeline.len() < TIMELINE_LIMIT {
        incident.timeline.push(TimelineEntry { time, text });
    }
}

/// The line that the last word of an incident gets, whether the timeline is full or not.
pub(crate) fn conclude(incident: &mut Incident, time: Timestamp, text: String) {
    incident.timeline.truncate(TIMELINE_LIMIT - 1);
    incident.timeline.push(TimelineEntry { time, text });
}

/// A symptom in one line that names its place.
pub(crate) fn of_symptom(symptom: &Symptom) -> String {
    let label = symptom.component.label();
    if symptom.text.contains(&label) {
        symptom.text.clone()
    } else {
        format!("{label}: {}", symptom.text)
    }
}

/// A suspect in one line.
pub(crate) fn of_suspect(suspect: &Suspect) -> String {
    format!(
        "{} of {}: {}",
        suspect.fault,
        suspect.component.label(),
        suspect.summary
    )
}

/// A title for an incident that has only begun: the leading suspect where the verdict stands by it, else what is
/// certain, the gravest symptom.
pub(crate) fn first_title(verdict: &Verdict, symptoms: &[Symptom]) -> String {
    match named(verdict) {
        Some(suspect) => of_suspect(suspect),
        None => gravest(symptoms).map(of_symptom).unwrap_or_default(),
    }
}

/// The leading suspect, unless the verdict hesitates.
pub(crate) fn named(verdict: &Verdict) -> Option<&Suspect> {
    let first = verdict.suspects.first();
    first.filter(|_| verdict.hesitation.is_none())
}

/// The gravest symptom, those that gate before those that do not; the earliest of equals.
pub(crate) fn gravest(symptoms: &[Symptom]) -> Option<&Symptom> {
    symptoms.iter().min_by(|a, b| {
        b.gate
            .cmp(&a.gate)
            .then(b.severity.total_cmp(&a.severity))
            .then(a.onset.from.cmp(&b.onset.from))
            .then_with(|| (&a.component, &a.kind).cmp(&(&b.component, &b.kind)))
    })
}
