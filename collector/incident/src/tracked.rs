//! One open incident: what it takes in, who leads, when it is quiet.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use firstlook_model::{
    ComponentId, Incident, IncidentId, IncidentState, Suspect, Symptom, Timestamp, Verdict,
};

use crate::change::Reason;
use crate::incidents::Sighting;
use crate::sight::{Key, Sight, key};
use crate::story;

/// Symptoms last shown longer ago are held only: hosts report every second or two.
const SHOWN_WITHIN: Duration = Duration::from_secs(5);

/// An abstaining verdict that holds for so long replaces one that named somebody: what has come to light speaks
/// against that one. One that passes is a gap in what was measured.
const DOUBTED_FOR: Duration = Duration::from_secs(8);

/// Change of a probability from which the verdict says something else.
const PROBABILITY_STEP: f64 = 0.05;

/// An open incident, with what is not worth storing.
#[derive(Clone, Debug)]
pub(crate) struct Tracked {
    pub incident: Incident,
    /// Since when all its symptoms are absent while measured.
    pub quiet_since: Option<Timestamp>,
    /// Whether any of its symptoms is present.
    pub is_seen: bool,
    /// Whether a host of its gating symptoms was shut out.
    was_shut_out: bool,
    /// Who the title says leads, and who leads now since when.
    told: Option<Leader>,
    leads: Option<(Leader, Timestamp)>,
    /// Since when verdicts abstain, though the last one that did not named somebody.
    doubted: Option<Timestamp>,
    pub updated: Timestamp,
}

type Leader = (ComponentId, String);

/// Components of symptoms, and the other ends of their edges.
pub(crate) fn places_of(symptoms: &[Symptom]) -> BTreeSet<&ComponentId> {
    symptoms
        .iter()
        .flat_map(|s| s.peer.iter().chain([&s.component]))
        .collect()
}

fn leader(suspects: &[Suspect]) -> Option<Leader> {
    suspects
        .first()
        .map(|s| (s.component.clone(), s.fault.clone()))
}

impl Tracked {
    pub fn opened(id: IncidentId, sighting: Sighting, now: Timestamp) -> Self {
        let Sighting {
            mut symptoms,
            verdict,
        } = sighting;
        symptoms.sort_by_cached_key(key);
        symptoms.dedup_by(|a, b| key(a) == key(b));
        let leads = leader(&verdict.suspects);
        let told = leads.clone().filter(|_| story::named(&verdict).is_some());
        let mut incident = Incident {
            id,
            state: IncidentState::Open,
            began: symptoms.iter().map(|s| s.onset.from).min().unwrap_or(now),
            opened: now,
            closed: None,
            title: story::first_title(&verdict, &symptoms),
            symptoms,
            verdict,
            timeline: Vec::new(),
        };
        if let Some(text) = story::gravest(&incident.symptoms).map(story::of_symptom) {
            story::tell(&mut incident, now, format!("opened: {text}"));
        }
        if let Some(text) = story::named(&incident.verdict).map(story::of_suspect) {
            story::tell(&mut incident, now, format!("leading suspect: {text}"));
        }
        let leads = leads.map(|leader| (leader, now));
        Self {
            incident,
            quiet_since: None,
            is_seen: true,
            was_shut_out: false,
            told,
            leads,
            doubted: None,
            updated: now,
        }
    }

    pub fn restored(incident: Incident) -> Self {
        let told = leader(&incident.verdict.suspects);
        let updated = incident.verdict.reference_time;
        let leads = told.clone().map(|leader| (leader, updated));
        Self {
            incident,
            quiet_since: None,
            is_seen: true,
            was_shut_out: false,
            told,
            leads,
            doubted: None,
            updated,
        }
    }

    /// Whether a sighting belongs here: it shares a component, an end of an edge, or a likely suspect.
    pub fn touches(&self, places: &BTreeSet<&ComponentId>) -> bool {
        let mine = places_of(&self.incident.symptoms);
        let suspects = self.incident.verdict.suspects.iter();
        let likely = suspects
            .filter(|s| s.probability >= 0.5)
            .map(|s| &s.component);
        mine.into_iter()
            .chain(likely)
            .any(|place| places.contains(place))
    }

    /// Takes in a sighting of this incident. Returns what is new.
    pub fn see(&mut self, sighting: Sighting, sight: &Sight<'_>, now: Timestamp) -> Option<Reason> {
        let joined = self.join(&sighting.symptoms, now);
        // After a repair its symptoms are held for a while and shown no more: what is weighed then says
        // how it looks when mended, not what it was.
        let newest = sighting.symptoms.iter().map(|s| s.last_seen).max();
        let shown = newest.is_some_and(|at| now.since(at) <= SHOWN_WITHIN);
        let changed = if joined || (shown && !self.fades(sight)) {
            self.judge(sighting.verdict)
        } else {
            self.doubted = None;
            false
        };
        let reason = if joined {
            Some(Reason::NewSymptoms)
        } else {
            None
        };
        reason.or(changed.then_some(Reason::Verdict))
    }

    /// Adds and refreshes symptoms. Whether there were new ones.
    fn join(&mut self, symptoms: &[Symptom], now: Timestamp) -> bool {
        let known: BTreeSet<Key> = self.incident.symptoms.iter().map(key).collect();
        let mut new: Vec<&Symptom> = symptoms
            .iter()
            .filter(|s| !known.contains(&key(s)))
            .collect();
        new.sort_by(|a, b| {
            a.onset
                .from
                .cmp(&b.onset.from)
                .then_with(|| key(a).cmp(&key(b)))
        });
        new.dedup_by(|a, b| key(a) == key(b));
        for symptom in &new {
            story::tell(&mut self.incident, now, story::of_symptom(symptom));
        }
        let joined = !new.is_empty();
        self.take_over(symptoms);
        joined
    }

    pub fn take_over(&mut self, symptoms: &[Symptom]) {
        let mine = std::mem::take(&mut self.incident.symptoms);
        let mut all: BTreeMap<Key, Symptom> = mine.into_iter().map(|s| (key(&s), s)).collect();
        for symptom in symptoms {
            // A symptom that went and came again began when it first did.
            let began = all.get(&key(symptom)).map(|known| known.onset);
            let onset = began
                .filter(|o| o.from < symptom.onset.from)
                .unwrap_or(symptom.onset);
            all.insert(
                key(symptom),
                Symptom {
                    onset,
                    ..symptom.clone()
                },
            );
        }
        self.incident.symptoms = all.into_values().collect();
        let earliest = self.incident.symptoms.iter().map(|s| s.onset.from).min();
        self.incident.began =
            earliest.map_or(self.incident.began, |at| at.min(self.incident.began));
    }

    /// Whether its symptoms are going: what remains of a repaired fault would only mislead.
    fn fades(&self, sight: &Sight<'_>) -> bool {
        let gating: Vec<Key> = self
            .incident
            .symptoms
            .iter()
            .filter(|s| s.gate)
            .map(key)
            .collect();
        let present = gating
            .iter()
            .filter(|key| sight.present(key).is_some())
            .count();
        2 * present < gating.len()
    }

    /// Takes a new verdict; one that abstains where the last one named somebody only when that lasts. Whether it
    /// says something else.
    fn judge(&mut self, verdict: Verdict) -> bool {
        let now = verdict.reference_time;
        if verdict.suspects.is_empty() && !self.incident.verdict.suspects.is_empty() {
            let since = *self.doubted.get_or_insert(now);
            if now.since(since) < DOUBTED_FOR {
                return false;
            }
            self.withdraw(now);
        }
        self.doubted = None;
        let changed = differs(&self.incident.verdict, &verdict);
        let leads = leader(&verdict.suspects);
        let since = match &self.leads {
            Some((known, since)) if Some(known) == leads.as_ref() => *since,
            _ => now,
        };
        self.leads = leads.map(|leader| (leader, since));
        self.incident.verdict = verdict;
        changed
    }

    /// Takes back whom the title named.
    fn withdraw(&mut self, now: Timestamp) {
        let first = self.incident.verdict.suspects.first();
        if let Some(suspect) = first.filter(|_| self.told.is_some()) {
            let suspect = story::of_suspect(suspect);
            let text = format!("no suspect any more: what was seen since speaks against {suspect}");
            story::tell(&mut self.incident, now, text);
        }
        self.told = None;
        if let Some(symptom) = story::gravest(&self.incident.symptoms) {
            self.incident.title = story::of_symptom(symptom);
        }
    }

    /// Says who leads once that has lasted, or at once where nobody was named before and the verdict stands by it.
    /// Whether it said something.
    pub fn tell_leader(&mut self, now: Timestamp, hold: Duration) -> bool {
        let Some((leader, since)) = &self.leads else {
            return false;
        };
        let certain = self.told.is_none() && story::named(&self.incident.verdict).is_some();
        let ready = certain || now.since(*since) >= hold;
        if self.told.as_ref() == Some(leader) || !ready {
            return false;
        }
        let Some(suspect) = self.incident.verdict.suspects.first() else {
            return false;
        };
        self.told = Some(leader.clone());
        self.incident.title = story::of_suspect(suspect);
        let title = self.incident.title.clone();
        story::tell(&mut self.incident, now, format!("leading suspect: {title}"));
        true
    }

    /// Starts, keeps or stops the settling time.
    pub fn settle(&mut self, sight: &Sight<'_>, now: Timestamp) {
        let gating = self.incident.symptoms.iter().filter(|s| s.gate);
        let absent = |s: &Symptom| sight.present(&key(s)).is_none() && sight.would_show(s);
        let quiet = gating.clone().all(absent);
        self.was_shut_out = gating.clone().any(|s| sight.is_shut_out(s));
        self.is_seen = self
            .incident
            .symptoms
            .iter()
            .any(|s| sight.present(&key(s)).is_some());
        self.quiet_since = quiet.then(|| self.quiet_since.unwrap_or(now));
    }

    pub fn closed(self, now: Timestamp) -> Incident {
        let mut incident = self.incident;
        let since = self.quiet_since.unwrap_or(now);
        let quiet_s = now.since(since).as_secs();
        let why = match self.was_shut_out {
            true => "and a host of it was revoked",
            false => "while measured",
        };
        let text = format!("closed: no symptom for {quiet_s} s, {why}");
        story::conclude(&mut incident, now, text);
        incident.state = IncidentState::Closed;
        incident.closed = Some(now);
        incident
    }
}

/// Whether two verdicts say different things: other suspects, in another order, clearly surer or less
/// so; others ruled out; other blind spots.
fn differs(old: &Verdict, new: &Verdict) -> bool {
    let same_suspect = |a: &Suspect, b: &Suspect| {
        a.component == b.component
            && a.fault == b.fault
            && (a.probability - b.probability).abs() < PROBABILITY_STEP
    };
    let same_suspects = old.suspects.len() == new.suspects.len()
        && old
            .suspects
            .iter()
            .zip(&new.suspects)
            .all(|(a, b)| same_suspect(a, b));
    let cleared = |v: &Verdict| {
        v.ruled_out
            .iter()
            .map(|c| c.component.clone())
            .collect::<BTreeSet<_>>()
    };
    !same_suspects || cleared(old) != cleared(new) || old.blind_spots != new.blind_spots
}
