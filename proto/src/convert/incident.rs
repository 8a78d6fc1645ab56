//! Incidents and verdicts.

use firstlook_model::{
    BlindSpot, Cleared, Evidence, Incident, IncidentId, IncidentState, NextLook, RankedChange,
    Suspect, Symptom, TimelineEntry, Timestamp, Verdict,
};

use super::fields::{self, InvalidMessage, LIST_LIMIT};
use super::views::range_to_wire;
use crate::wire;

const OPEN: &str = "open";
const CLOSED: &str = "closed";

fn state_word(state: IncidentState) -> &'static str {
    match state {
        IncidentState::Open => OPEN,
        IncidentState::Closed => CLOSED,
    }
}

impl From<&Incident> for wire::Incident {
    fn from(incident: &Incident) -> Self {
        Self {
            id: incident.id.to_string(),
            state: state_word(incident.state).to_owned(),
            began: incident.began.as_micros(),
            opened: incident.opened.as_micros(),
            closed: incident.closed.map(Timestamp::as_micros),
            title: incident.title.clone(),
            symptoms: incident.symptoms.iter().map(Into::into).collect(),
            verdict: Some((&incident.verdict).into()),
            timeline: incident
                .timeline
                .iter()
                .map(|t| wire::TimelineEntry {
                    time: t.time.as_micros(),
                    text: t.text.clone(),
                })
                .collect(),
        }
    }
}

impl TryFrom<wire::Incident> for Incident {
    type Error = InvalidMessage;
    fn try_from(incident: wire::Incident) -> Result<Self, InvalidMessage> {
        let state = match incident.state.as_str() {
            OPEN => IncidentState::Open,
            CLOSED => IncidentState::Closed,
            _ => {
                return Err(InvalidMessage::OutOfRange {
                    field: "incident state",
                    value: 0,
                });
            }
        };
        Ok(Self {
            id: IncidentId::try_from(incident.id)?,
            state,
            began: Timestamp::from_micros(incident.began),
            opened: Timestamp::from_micros(incident.opened),
            closed: incident.closed.map(Timestamp::from_micros),
            title: fields::long_text("title", incident.title)?,
            symptoms: fields::list("symptoms", incident.symptoms, LIST_LIMIT, TryInto::try_into)?,
            verdict: fields::required("verdict", incident.verdict)?.try_into()?,
            timeline: fields::list("timeline", incident.timeline, LIST_LIMIT, |t| {
                let text = fields::long_text("timeline entry", t.text)?;
                Ok(TimelineEntry {
                    time: Timestamp::from_micros(t.time),
                    text,
                })
            })?,
        })
    }
}

impl From<&Incident> for wire::IncidentSummary {
    fn from(incident: &Incident) -> Self {
        let leader = incident.verdict.suspects.first();
        Self {
            id: incident.id.to_string(),
            state: state_word(incident.state).to_owned(),
            began: incident.began.as_micros(),
            opened: incident.opened.as_micros(),
            closed: incident.closed.map(Timestamp::as_micros),
            title: incident.title.clone(),
            component: leader.map(|s| s.component.to_string()),
            fault: leader.map(|s| s.fault.clone()).unwrap_or_default(),
            probability: leader.map(|s| s.probability).unwrap_or_default(),
            symptoms: incident.symptoms.len() as u32,
        }
    }
}

impl From<&Symptom> for wire::Symptom {
    fn from(s: &Symptom) -> Self {
        Self {
            component: s.component.to_string(),
            kind: s.kind.clone(),
            peer: s.peer.as_ref().map(ToString::to_string),
            family: s.family.clone(),
            onset: Some(range_to_wire(s.onset)),
            last_seen: s.last_seen.as_micros(),
            severity: s.severity,
            gate: s.gate,
            text: s.text.clone(),
            reference: Some((&s.reference).into()),
            usual: s.usual,
        }
    }
}

impl TryFrom<wire::Symptom> for Symptom {
    type Error = InvalidMessage;
    fn try_from(s: wire::Symptom) -> Result<Self, InvalidMessage> {
        Ok(Self {
            component: fields::component(s.component)?,
            kind: fields::word("symptom kind", s.kind)?,
            peer: s.peer.map(fields::component).transpose()?,
            family: fields::word("family", s.family)?,
            onset: fields::range(fields::required("onset", s.onset)?),
            last_seen: Timestamp::from_micros(s.last_seen),
            severity: fields::finite("severity", s.severity)?,
            gate: s.gate,
            text: fields::long_text("symptom text", s.text)?,
            usual: fields::finite("usual share", s.usual)?,
            reference: fields::required("reference", s.reference)?.try_into()?,
        })
    }
}

impl From<&Verdict> for wire::Verdict {
    fn from(v: &Verdict) -> Self {
        Self {
            reference_time: v.reference_time.as_micros(),
            suspects: v.suspects.iter().map(Into::into).collect(),
            ruled_out: v
                .ruled_out
                .iter()
                .map(|c| wire::Cleared {
                    component: c.component.to_string(),
                    cleared_by: c.cleared_by.iter().map(Into::into).collect(),
                })
                .collect(),
            blind_spots: v.blind_spots.iter().map(Into::into).collect(),
            changes: v
                .changes
                .iter()
                .map(|c| wire::RankedChange {
                    change: Some((&c.change).into()),
                    before_onset_s: c.before_onset_s,
                })
                .collect(),
            next_look: v.next_look.as_ref().map(|n| wire::NextLook {
                component: n.component.to_string(),
                text: n.text.clone(),
                command: n.command.clone(),
            }),
            hesitation: v.hesitation.clone(),
        }
    }
}

impl TryFrom<wire::Verdict> for Verdict {
    type Error = InvalidMessage;
    fn try_from(v: wire::Verdict) -> Result<Self, InvalidMessage> {
        let limit = LIST_LIMIT;
        Ok(Self {
            reference_time: Timestamp::from_micros(v.reference_time),
            suspects: fields::list("suspects", v.suspects, limit, TryInto::try_into)?,
            ruled_out: fields::list("ruled out", v.ruled_out, limit, |c| {
                Ok(Cleared {
                    component: fields::component(c.component)?,
                    cleared_by: evidence_list(c.cleared_by)?,
                })
            })?,
            blind_spots: fields::list("blind spots", v.blind_spots, limit, TryInto::try_into)?,
            changes: fields::list("changes", v.changes, limit, |c| {
                Ok(RankedChange {
                    change: fields::required("change", c.change)?.try_into()?,
                    before_onset_s: fields::finite("seconds before onset", c.before_onset_s)?,
                })
            })?,
            next_look: v
                .next_look
                .map(|n| {
                    Ok::<_, InvalidMessage>(NextLook {
                        component: fields::component(n.component)?,
                        text: fields::long_text("next look", n.text)?,
                        command: fields::long_text("command", n.command)?,
                    })
                })
                .transpose()?,
            hesitation: v.hesitation,
        })
    }
}

fn evidence_list(evidence: Vec<wire::Evidence>) -> Result<Vec<Evidence>, InvalidMessage> {
    fields::list("evidence", evidence, LIST_LIMIT, TryInto::try_into)
}

impl From<&Evidence> for wire::Evidence {
    fn from(e: &Evidence) -> Self {
        let reference = e.reference.as_ref().map(Into::into);
        Self {
            weight_db: e.weight_db,
            text: e.text.clone(),
            reference,
        }
    }
}

impl TryFrom<wire::Evidence> for Evidence {
    type Error = InvalidMessage;
    fn try_from(e: wire::Evidence) -> Result<Self, InvalidMessage> {
        Ok(Self {
            weight_db: fields::finite("weight", e.weight_db)?,
            text: fields::long_text("evidence", e.text)?,
            reference: e.reference.map(TryInto::try_into).transpose()?,
        })
    }
}

impl From<&Suspect> for wire::Suspect {
    fn from(s: &Suspect) -> Self {
        Self {
            component: s.component.to_string(),
            fault: s.fault.clone(),
            summary: s.summary.clone(),
            decibans: s.decibans,
            probability: s.probability,
            since: s.since.as_micros(),
            hurts: s.hurts.iter().map(ToString::to_string).collect(),
            evidence_for: s.evidence_for.iter().map(Into::into).collect(),
            evidence_against: s.evidence_against.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<wire::Suspect> for Suspect {
    type Error = InvalidMessage;
    fn try_from(s: wire::Suspect) -> Result<Self, InvalidMessage> {
        Ok(Self {
            component: fields::component(s.component)?,
            fault: fields::word("fault", s.fault)?,
            summary: fields::long_text("summary", s.summary)?,
            decibans: fields::finite("decibans", s.decibans)?,
            probability: fields::finite("probability", s.probability)?,
            since: Timestamp::from_micros(s.since),
            hurts: fields::list("hurts", s.hurts, LIST_LIMIT, fields::component)?,
            evidence_for: evidence_list(s.evidence_for)?,
            evidence_against: evidence_list(s.evidence_against)?,
        })
    }
}

impl From<&BlindSpot> for wire::BlindSpot {
    fn from(b: &BlindSpot) -> Self {
        Self {
            component: b.component.to_string(),
            text: b.text.clone(),
        }
    }
}

impl TryFrom<wire::BlindSpot> for BlindSpot {
    type Error = InvalidMessage;
    fn try_from(b: wire::BlindSpot) -> Result<Self, InvalidMessage> {
        Ok(Self {
            component: fields::component(b.component)?,
            text: fields::long_text("blind spot", b.text)?,
        })
    }
}
