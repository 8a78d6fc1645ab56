//! How often each kind of symptom is seen while nobody is hurt: what a fleet shows all the time says little when something fails.

use std::collections::{BTreeMap, BTreeSet};

use firstlook_model::{ComponentId, HostId, Situation};
use serde::{Deserialize, Serialize};

use crate::accept::covers;
use crate::checkpoint::BadCheckpoint;

/// Looks of one component that a fleet's share weighs as much as: four hours, looked at once a minute.
const PRIOR_LOOKS: f64 = 240.0;
/// Looks of all components before a fleet's share says something.
const FLEET_LOOKS: f64 = 2_000.0;
/// After so many looks what was seen counts half: a week of one component, …
const HALVED_AFTER: f64 = 10_080.0;
/// … and of all.
const FLEET_HALVED_AFTER: f64 = 1e7;
/// What is seen less often than this, decayed, is forgotten.
const FORGOTTEN: f64 = 0.05;
/// Most that a share comes to: something that is always there still says a little.
const MOST: f64 = 0.5;
/// Pairs of a component and a kind that are remembered.
const PAIRS_LIMIT: usize = 20_000;

/// Looks, and in how many of them it was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Share {
    seen: f64,
    looks: f64,
}

impl Share {
    fn fade(&mut self, halved_after: f64) {
        let left = 0.5_f64.powf(1.0 / halved_after);
        self.seen *= left;
        self.looks *= left;
    }

    fn look(&mut self, seen: f64, looks: f64, halved_after: f64) {
        self.seen += seen;
        self.looks += looks;
        if self.looks > halved_after {
            self.seen /= 2.0;
            self.looks /= 2.0;
        }
    }
}

/// What all components show of one kind of symptom.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct OfKind {
    /// The family that it is of: who is seen in it would have shown the symptom.
    family: String,
    share: Share,
}

/// Shares of quiet time in which symptoms are seen. Learned; pure, like all of detection.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BaseRates {
    kinds: BTreeMap<String, OfKind>,
    // A list, since a pair can be no key in every form that this is kept in.
    #[serde(with = "pairs")]
    own: BTreeMap<(ComponentId, String), Share>,
}

impl BaseRates {
    /// Looks once: `calm` is a situation in which no incident is open. To be called once a minute.
    pub fn learn(&mut self, calm: &Situation) {
        let attested = calm
            .attestations
            .iter()
            .map(|a| (a.family.as_str(), &a.component));
        let unwell = calm
            .symptoms
            .iter()
            .map(|s| (s.family.as_str(), &s.component));
        let mut measured: BTreeMap<&str, BTreeSet<&ComponentId>> = BTreeMap::new();
        for (family, component) in attested.chain(unwell) {
            measured.entry(family).or_default().insert(component);
        }
        let mut seen: BTreeMap<(&str, &str), BTreeSet<&ComponentId>> = BTreeMap::new();
        for symptom in &calm.symptoms {
            let kind = (symptom.kind.as_str(), symptom.family.as_str());
            seen.entry(kind).or_default().insert(&symptom.component);
        }
        for ((kind, family), components) in &seen {
            let of_kind = self.kinds.entry((*kind).to_owned()).or_default();
            of_kind.family = (*family).to_owned();
            for component in components {
                let pair = ((*component).clone(), (*kind).to_owned());
                if self.own.len() < PAIRS_LIMIT || self.own.contains_key(&pair) {
                    self.own.entry(pair).or_default();
                }
            }
        }
        for (kind, fleet) in &mut self.kinds {
            let family = fleet.family.as_str();
            let count =
                |components: Option<&BTreeSet<_>>| components.map_or(0, BTreeSet::len) as f64;
            let looks = count(measured.get(family));
            let seen = count(seen.get(&(kind.as_str(), family)));
            fleet.share.look(seen, looks, FLEET_HALVED_AFTER);
        }
        let is_seen = |component: &ComponentId, kind: &str| {
            let mut of_kind = seen.iter().filter(|((seen, _), _)| *seen == kind);
            of_kind.any(|(_, components)| components.contains(component))
        };
        for ((component, kind), share) in &mut self.own {
            let family = self
                .kinds
                .get(kind)
                .map_or("", |fleet| fleet.family.as_str());
            let looked = measured
                .get(family)
                .is_some_and(|all| all.contains(component));
            if !looked {
                // Nobody looked: it fades, and says nothing.
                share.fade(HALVED_AFTER);
                continue;
            }
            let seen = f64::from(u8::from(is_seen(component, kind)));
            share.look(seen, 1.0, HALVED_AFTER);
        }
        self.own.retain(|_, share| share.seen >= FORGOTTEN);
    }

    /// The share of quiet looks in which a component shows a kind of symptom, 0 to a half.
    pub fn share(&self, component: &ComponentId, kind: &str) -> f64 {
        let fleet = self.kinds.get(kind).map(|of_kind| of_kind.share);
        let fleet = fleet.unwrap_or_default();
        let fleet = fleet.seen / (FLEET_LOOKS + fleet.looks);
        let own = self.own.get(&(component.clone(), kind.to_owned()));
        let own = own.copied().unwrap_or_default();
        ((fleet * PRIOR_LOOKS + own.seen) / (PRIOR_LOOKS + own.looks)).min(MOST)
    }

    /// Says of each symptom how often it is seen where nobody is hurt.
    pub fn tell(&self, situation: &mut Situation) {
        for symptom in &mut situation.symptoms {
            symptom.usual = self.share(&symptom.component, &symptom.kind);
        }
    }

    /// As bytes, for [`BaseRates::restored`].
    pub fn kept(&self) -> Vec<u8> {
        // Writing to memory fails on nothing that these hold.
        rmp_serde::to_vec_named(self).unwrap_or_default()
    }

    /// What was learned before.
    ///
    /// # Errors
    /// When the bytes are none that [`BaseRates::kept`] gave.
    pub fn restored(bytes: &[u8]) -> Result<Self, BadCheckpoint> {
        Ok(rmp_serde::from_slice(bytes)?)
    }

    /// What a component does is as it should be: what it showed before says nothing of what it will show.
    pub fn accept(&mut self, accepted: &ComponentId) {
        self.own
            .retain(|(component, _), _| !covers(accepted, component));
    }

    /// Forgets a host that is no more.
    pub fn forget_host(&mut self, host: &HostId) {
        self.own
            .retain(|(component, _), _| component.host_id() != Some(host));
    }
}

/// A map whose keys are pairs, as a list.
mod pairs {
    use std::collections::BTreeMap;

    use firstlook_model::ComponentId;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Share;

    type Own = BTreeMap<(ComponentId, String), Share>;

    pub fn serialize<S: Serializer>(own: &Own, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(own)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Own, D::Error> {
        let list = Vec::<((ComponentId, String), Share)>::deserialize(from)?;
        Ok(list.into_iter().take(super::PAIRS_LIMIT).collect())
    }
}

#[cfg(test)]
mod tests {
    use firstlook_model::{Attestation, Reference, Symptom, TimeRange, Timestamp};

    use super::*;

    fn host(name: &str) -> ComponentId {
        format!("host:{name}").parse().expect("a component")
    }

    fn symptom(component: &ComponentId, kind: &str) -> Symptom {
        let range = TimeRange::new(Timestamp::from_secs(0), Timestamp::from_secs(1));
        Symptom {
            component: component.clone(),
            kind: kind.to_owned(),
            peer: None,
            family: "cpu".to_owned(),
            onset: range,
            last_seen: range.to,
            severity: 0.5,
            gate: false,
            text: String::new(),
            usual: 0.0,
            reference: Reference::Heartbeat {
                component: component.clone(),
                range,
            },
        }
    }

    fn attested(component: &ComponentId) -> Attestation {
        let range = TimeRange::new(Timestamp::from_secs(0), Timestamp::from_secs(1));
        Attestation {
            component: component.clone(),
            family: "cpu".to_owned(),
            coverage: 1.0,
            last_seen: range.to,
            text: String::new(),
            reference: Reference::Heartbeat {
                component: component.clone(),
                range,
            },
        }
    }

    fn situation(symptoms: Vec<Symptom>) -> Situation {
        Situation {
            reference_time: Timestamp::from_secs(1),
            symptoms,
            attestations: Vec::new(),
            components: ["a", "b", "c", "d"].map(host).to_vec(),
            mounts: Vec::new(),
            changes: Vec::new(),
            edges: Vec::new(),
            blind_spots: Vec::new(),
        }
    }

    #[test]
    fn what_a_component_shows_all_the_time_is_usual_of_it_and_hardly_of_others() {
        let mut rates = BaseRates::default();
        let always = situation(vec![symptom(&host("a"), "cpu.saturated")]);
        (0..600).for_each(|_| rates.learn(&always));
        assert_eq!(rates.share(&host("a"), "cpu.saturated"), MOST);
        assert!(rates.share(&host("b"), "cpu.saturated") < 0.3);
        assert_eq!(rates.share(&host("a"), "disk.slow"), 0.0);
        let mut told = situation(vec![symptom(&host("a"), "cpu.saturated")]);
        rates.tell(&mut told);
        assert_eq!(told.symptoms[0].usual, MOST);
    }

    #[test]
    fn once_says_little_and_a_quiet_week_is_forgotten() {
        let mut rates = BaseRates::default();
        rates.learn(&situation(vec![symptom(&host("a"), "cpu.saturated")]));
        assert!(rates.share(&host("a"), "cpu.saturated") < 0.01);
        let often = situation(vec![symptom(&host("a"), "cpu.saturated")]);
        (0..600).for_each(|_| rates.learn(&often));
        let before = rates.share(&host("a"), "cpu.saturated");
        // While nobody looks it is not unlearned.
        (0..60).for_each(|_| rates.learn(&situation(Vec::new())));
        let unseen = rates.share(&host("a"), "cpu.saturated");
        assert!((unseen - before).abs() < 0.01, "{before} {unseen}");
        let mut quiet = situation(Vec::new());
        quiet.attestations.push(attested(&host("a")));
        (0..30 * 1_440).for_each(|_| rates.learn(&quiet));
        assert!(rates.share(&host("a"), "cpu.saturated") < 0.02);
    }

    #[test]
    fn what_is_accepted_was_never_seen() {
        let mut rates = BaseRates::default();
        let both = ["a", "b"].map(|name| symptom(&host(name), "cpu.saturated"));
        (0..100).for_each(|_| rates.learn(&situation(both.to_vec())));
        rates.accept(&host("a"));
        assert!(rates.share(&host("a"), "cpu.saturated") < 0.1);
        assert!(rates.share(&host("b"), "cpu.saturated") > 0.3);
    }

    #[test]
    fn it_survives_being_kept_and_a_host_that_is_gone_does_not() {
        let mut rates = BaseRates::default();
        rates.learn(&situation(vec![symptom(&host("a"), "cpu.saturated")]));
        let mut again = BaseRates::restored(&rates.kept()).expect("read");
        assert_eq!(again, rates);
        assert!(BaseRates::restored(b"something else").is_err());
        again.forget_host(&HostId::new("a").expect("a name"));
        assert!(again.own.is_empty() && !again.kinds.is_empty());
    }
}
