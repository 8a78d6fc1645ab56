//! The open incidents, and what one step does to them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use firstlook_model::{
    HostId, Incident, IncidentId, IncidentState, Situation, Symptom, Timestamp, Verdict,
};

use crate::change::{IncidentChange, Reason};
use crate::sight::Sight;
use crate::story;
use crate::tracked::{Tracked, places_of};

/// How often an incident that merely goes on is updated, so that what is stored stays fresh.
const REFRESH: Duration = Duration::from_secs(10);

/// Settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How long all symptoms must be absent, while measured, before an incident closes. Default 20 s.
    /// Zero closes at the first step without symptoms.
    pub settling: Duration,
    /// How long another suspect must lead before the title and the timeline say so. Default 3 s.
    pub leader_hold: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            settling: Duration::from_secs(20),
            leader_hold: Duration::from_secs(3),
        }
    }
}

/// A group of symptoms that gates, and the verdict on it.
#[derive(Clone, Debug, PartialEq)]
pub struct Sighting {
    /// Symptoms that belong together. Not empty.
    pub symptoms: Vec<Symptom>,
    /// What diagnosis says of them.
    pub verdict: Verdict,
}

/// The open incidents.
#[derive(Clone, Debug)]
pub struct Incidents {
    config: Config,
    open: Vec<Tracked>,
    shut_out: BTreeSet<HostId>,
}

impl Incidents {
    /// With no open incident.
    pub fn new(config: Config) -> Self {
        Self::restored(config, Vec::new())
    }

    /// With the open incidents of an earlier life; closed ones among them are left out. The settling
    /// time begins anew.
    pub fn restored(config: Config, open: Vec<Incident>) -> Self {
        let mut open: Vec<Tracked> = open
            .into_iter()
            .filter(|incident| incident.state == IncidentState::Open)
            .map(Tracked::restored)
            .collect();
        open.sort_by_key(|tracked| tracked.incident.id);
        Self {
            config,
            open,
            shut_out: BTreeSet::new(),
        }
    }

    /// A host was shut out: its symptoms keep no incident open any more.
    pub fn shut_out(&mut self, host: &HostId) {
        self.shut_out.insert(host.clone());
    }

    /// A host that was shut out is heard again.
    pub fn let_in(&mut self, host: &HostId) {
        self.shut_out.remove(host);
    }

    /// The open incidents, by number.
    pub fn open(&self) -> impl Iterator<Item = &Incident> {
        self.open.iter().map(|tracked| &tracked.incident)
    }

    /// One step at the situation's reference time. `sightings` are the groups that gate, each with its
    /// verdict; `next_id` gives the number of an incident that opens, and is asked once for each.
    /// Returned: what to store and tell, merged and closed ones first, at most one change for each incident.
    ///
    /// Steps must not go back in time; one that does changes nothing.
    pub fn step(
        &mut self,
        situation: &Situation,
        sightings: Vec<Sighting>,
        mut next_id: impl FnMut() -> IncidentId,
    ) -> Vec<IncidentChange> {
        let now = situation.reference_time;
        if self.open.iter().any(|tracked| tracked.updated > now) {
            return Vec::new();
        }
        let shut_out = self.shut_out.clone();
        let sight = Sight::of(situation, &shut_out);
        let mut changes = Vec::new();
        let mut reasons: BTreeMap<IncidentId, Reason> = BTreeMap::new();
        let mut opened = Vec::new();
        for sighting in sightings.into_iter().filter(|s| !s.symptoms.is_empty()) {
            match self.belongs_to(&sighting) {
                Some(mut ids) => {
                    let oldest = ids.remove(0);
                    for id in ids {
                        changes.extend(self.merge(id, oldest, now));
                        note(&mut reasons, oldest, Reason::Merged(id));
                    }
                    let reason = self.tracked(oldest).map(|t| t.see(sighting, &sight, now));
                    reason
                        .flatten()
                        .into_iter()
                        .for_each(|r| note(&mut reasons, oldest, r));
                }
                None => {
                    let tracked = Tracked::opened(next_id(), sighting, now);
                    opened.push(tracked.incident.id);
                    self.open.push(tracked);
                }
            }
        }
        for tracked in &mut self.open {
            tracked.settle(&sight, now);
            if tracked.tell_leader(now, self.config.leader_hold) {
                note(&mut reasons, tracked.incident.id, Reason::LeadingSuspect);
            }
        }
        changes.extend(self.close_settled(now, &opened));
        changes.extend(self.report(now, &opened, &reasons));
        changes
    }

    fn tracked(&mut self, id: IncidentId) -> Option<&mut Tracked> {
        self.open
            .iter_mut()
            .find(|tracked| tracked.incident.id == id)
    }

    /// Open incidents that the sighting touches, oldest first. `None`: it is a new one.
    fn belongs_to(&self, sighting: &Sighting) -> Option<Vec<IncidentId>> {
        let places = places_of(&sighting.symptoms);
        let touched = self.open.iter().filter(|tracked| tracked.touches(&places));
        let mut ids: Vec<IncidentId> = touched.map(|tracked| tracked.incident.id).collect();
        ids.sort();
        (!ids.is_empty()).then_some(ids)
    }

    /// Closes an incident that became part of an older one, which takes over its symptoms.
    fn merge(
        &mut self,
        id: IncidentId,
        into: IncidentId,
        now: Timestamp,
    ) -> Option<IncidentChange> {
        let place = self
            .open
            .iter()
            .position(|tracked| tracked.incident.id == id)?;
        let mut part = self.open.remove(place).incident;
        if let Some(whole) = self.tracked(into) {
            whole.take_over(&part.symptoms);
            whole.incident.began = whole.incident.began.min(part.began);
            story::tell(
                &mut whole.incident,
                now,
                format!("{id} is part of this incident"),
            );
        }
        story::conclude(&mut part, now, format!("closed: it is part of {into}"));
        part.state = IncidentState::Closed;
        part.closed = Some(now);
        Some(IncidentChange::Closed(part))
    }

    fn close_settled(&mut self, now: Timestamp, opened: &[IncidentId]) -> Vec<IncidentChange> {
        let settling = self.config.settling;
        let over = |tracked: &Tracked| {
            let quiet = tracked
                .quiet_since
                .is_some_and(|since| now.since(since) >= settling);
            quiet && !opened.contains(&tracked.incident.id)
        };
        let (closed, open) = std::mem::take(&mut self.open).into_iter().partition(over);
        self.open = open;
        let closed: Vec<Tracked> = closed;
        closed
            .into_iter()
            .map(|tracked| IncidentChange::Closed(tracked.closed(now)))
            .collect()
    }

    fn report(
        &mut self,
        now: Timestamp,
        opened: &[IncidentId],
        reasons: &BTreeMap<IncidentId, Reason>,
    ) -> Vec<IncidentChange> {
        let mut changes = Vec::new();
        for tracked in &mut self.open {
            let id = tracked.incident.id;
            let due = tracked.is_seen && now.since(tracked.updated) >= REFRESH;
            let reason = reasons
                .get(&id)
                .copied()
                .or(due.then_some(Reason::StillSeen));
            if opened.contains(&id) {
                tracked.updated = now;
                changes.push(IncidentChange::Opened(tracked.incident.clone()));
            } else if let Some(reason) = reason {
                tracked.updated = now;
                changes.push(IncidentChange::Updated {
                    incident: tracked.incident.clone(),
                    reason,
                });
            }
        }
        changes
    }
}

fn note(reasons: &mut BTreeMap<IncidentId, Reason>, id: IncidentId, reason: Reason) {
    let known = reasons.entry(id).or_insert(reason);
    *known = reason.min(*known);
}

#[cfg(test)]
mod tests;
