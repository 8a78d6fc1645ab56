//! The versioned JSON of `docs/json.md`.
//!
//! Every document is an object with `version` and `kind`. Fields are only ever added within a version.

use firstlook_model::{
    BlindSpot, Change, Cleared, ComponentId, Evidence, Incident, Reference, Suspect, Symptom,
};
use serde_json::{Map, Value, json};

use crate::exit::Failure;

/// Version of every shape here.
pub const VERSION: u32 = 1;

/// A whole document, one line end at its end.
///
/// # Errors
/// Never in practice: the values are made here.
pub fn document(kind: &str, body: Value) -> Result<String, Failure> {
    let mut whole = Map::new();
    whole.insert("version".into(), VERSION.into());
    whole.insert("kind".into(), kind.into());
    if let Value::Object(fields) = body {
        whole.extend(fields);
    }
    let text = serde_json::to_string_pretty(&Value::Object(whole));
    Ok(text.map_err(|e| Failure::failed(e.to_string()))? + "\n")
}

/// `{id, kind, host, name}`.
pub fn component(id: &ComponentId) -> Value {
    json!({
        "id": id.to_string(),
        "kind": id.kind().as_str(),
        "host": id.host_id().map(ToString::to_string),
        "name": id.name(),
    })
}

/// The model's reference with the command that opens it.
pub fn reference(reference: &Reference) -> Value {
    let mut value = serde_json::to_value(reference).unwrap_or_default();
    if let Value::Object(fields) = &mut value {
        fields.insert("command".into(), reference.command().into());
    }
    value
}

fn evidence(evidence: &Evidence) -> Value {
    json!({
        "weight_db": evidence.weight_db,
        "text": evidence.text,
        "reference": evidence.reference.as_ref().map(reference),
    })
}

fn list<T>(items: &[T], each: impl Fn(&T) -> Value) -> Value {
    Value::Array(items.iter().map(each).collect())
}

/// A suspect with the facts for and against it.
pub fn suspect(s: &Suspect) -> Value {
    json!({
        "component": component(&s.component),
        "fault": s.fault,
        "summary": s.summary,
        "decibans": s.decibans,
        "probability": s.probability,
        "since": s.since,
        "hurts": list(&s.hurts, component),
        "for": list(&s.evidence_for, evidence),
        "against": list(&s.evidence_against, evidence),
    })
}

fn cleared(c: &Cleared) -> Value {
    json!({
        "component": component(&c.component),
        "cleared_by": list(&c.cleared_by, evidence),
    })
}

/// A blind spot.
pub fn blind_spot(b: &BlindSpot) -> Value {
    json!({ "component": component(&b.component), "text": b.text })
}

/// A change.
pub fn change(c: &Change) -> Value {
    json!({
        "id": c.id,
        "time": c.time,
        "component": component(&c.component),
        "kind": c.kind,
        "text": c.text,
        "detail": c.detail,
    })
}

/// A symptom.
pub fn symptom(s: &Symptom) -> Value {
    json!({
        "component": component(&s.component),
        "kind": s.kind,
        "peer": s.peer.as_ref().map(component),
        "family": s.family,
        "onset": s.onset,
        "last_seen": s.last_seen,
        "severity": s.severity,
        "gate": s.gate,
        "usual": s.usual,
        "text": s.text,
        "reference": reference(&s.reference),
    })
}

/// An incident with its verdict: the body of `why --json`.
pub fn incident(i: &Incident) -> Value {
    let v = &i.verdict;
    json!({
        "incident": i.id.to_string(),
        "state": i.state,
        "title": i.title,
        "began": i.began,
        "opened": i.opened,
        "closed": i.closed,
        "reference_time": v.reference_time,
        "suspects": list(&v.suspects, suspect),
        "ruled_out": list(&v.ruled_out, cleared),
        "blind_spots": list(&v.blind_spots, blind_spot),
        "changes": list(&v.changes, |c| {
            let mut value = change(&c.change);
            if let Value::Object(fields) = &mut value {
                fields.insert("before_onset_s".into(), c.before_onset_s.into());
            }
            value
        }),
        "next_look": v.next_look.as_ref().map(|n| json!({
            "component": component(&n.component),
            "text": n.text,
            "command": n.command,
        })),
        "hesitation": v.hesitation,
        "symptoms": list(&i.symptoms, symptom),
        "timeline": list(&i.timeline, |t| json!({ "time": t.time, "text": t.text })),
    })
}
