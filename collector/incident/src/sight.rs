//! What is seen now: which symptoms are present, and which places could show one at all.

use std::collections::{BTreeMap, BTreeSet};

use firstlook_model::symptom::kinds::AGENT_SILENT;
use firstlook_model::{ComponentId, HostId, Situation, Symptom};

/// Age up to which an attestation shows that its host is seen, in seconds.
const FRESH_S: f64 = 15.0;

/// What makes two sightings of a symptom the same one.
pub(crate) type Key = (ComponentId, String, Option<ComponentId>);

/// The key of a symptom.
pub(crate) fn key(symptom: &Symptom) -> Key {
    (
        symptom.component.clone(),
        symptom.kind.clone(),
        symptom.peer.clone(),
    )
}

/// An index of one situation.
pub(crate) struct Sight<'a> {
    present: BTreeMap<Key, &'a Symptom>,
    attested: BTreeSet<(&'a ComponentId, &'a str)>,
    seen_hosts: BTreeSet<&'a HostId>,
    silent_hosts: BTreeSet<&'a HostId>,
    blind: BTreeSet<&'a ComponentId>,
    shut_out: &'a BTreeSet<HostId>,
}

impl<'a> Sight<'a> {
    pub fn of(situation: &'a Situation, shut_out: &'a BTreeSet<HostId>) -> Self {
        let fresh: Vec<_> = situation
            .attestations
            .iter()
            .filter(|a| situation.reference_time.seconds_from(a.last_seen) <= FRESH_S)
            .collect();
        let silent = situation.symptoms.iter().filter(|s| s.kind == AGENT_SILENT);
        Self {
            present: situation.symptoms.iter().map(|s| (key(s), s)).collect(),
            attested: fresh
                .iter()
                .map(|a| (&a.component, a.family.as_str()))
                .collect(),
            seen_hosts: fresh.iter().filter_map(|a| a.component.host_id()).collect(),
            silent_hosts: silent.filter_map(|s| s.component.host_id()).collect(),
            blind: situation.blind_spots.iter().map(|b| &b.component).collect(),
            shut_out,
        }
    }

    /// The symptom as it is now, if it is present.
    pub fn present(&self, key: &Key) -> Option<&'a Symptom> {
        self.present.get(key).copied()
    }

    /// Whether the symptom's host was shut out.
    pub fn is_shut_out(&self, symptom: &Symptom) -> bool {
        let host = symptom.component.host_id();
        host.is_some_and(|host| self.shut_out.contains(host))
    }

    /// Whether an absent symptom is known to be absent: its signal was measured. Silence is not
    /// recovery: what nobody sees may still be there. Of a host that was shut out nobody waits for more.
    pub fn would_show(&self, symptom: &Symptom) -> bool {
        let component = &symptom.component;
        let Some(host) = component.host_id() else {
            return true;
        };
        if self.shut_out.contains(host) {
            return true;
        }
        if self.silent_hosts.contains(host) {
            return false;
        }
        if self
            .attested
            .contains(&(component, symptom.family.as_str()))
        {
            return true;
        }
        self.seen_hosts.contains(host) && !self.blind.contains(component)
    }
}
