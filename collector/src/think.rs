//! The step from what is seen to incidents, as it is taken live and in a replay.

use std::time::Duration;

use firstlook_detect::BaseRates;
use firstlook_diagnose::{Catalogue, diagnose, symptom_gate};
use firstlook_incident::{IncidentChange, Incidents, Sighting};
use firstlook_model::{Change, ChangeKind, IncidentId, Situation, Timestamp};

/// Time between two looks by which it is learned what is usual while nobody is hurt.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// How often symptoms are seen while nobody is hurt, as it is learned.
#[derive(Debug, Default)]
pub struct Usual {
    pub rates: BaseRates,
    looked: Option<Timestamp>,
}

impl Usual {
    /// What was learned before.
    pub fn of(rates: BaseRates) -> Self {
        Self {
            rates,
            looked: None,
        }
    }

    /// Hears of a change that somebody announced, the first time: not again after a restart, for what was learned since is kept.
    pub fn hear(&mut self, announced: &Change) {
        if announced.kind == ChangeKind::Accepted {
            self.rates.accept(&announced.component);
        }
    }

    /// Learns from a situation in which no incident is open, once a minute.
    pub fn look(&mut self, calm: &Situation) {
        let now = calm.reference_time;
        if self
            .looked
            .is_none_or(|looked| now < looked || now.since(looked) >= LOOK_EVERY)
        {
            self.rates.learn(calm);
            self.looked = Some(now);
        }
    }
}

/// Says how usual each symptom is, groups those that hurt, weighs who is to blame for each group, and says what became of the incidents.
pub fn think(
    catalogue: &Catalogue,
    incidents: &mut Incidents,
    usual: &mut Usual,
    situation: &mut Situation,
    next_id: impl FnMut() -> IncidentId,
) -> Vec<IncidentChange> {
    usual.rates.tell(situation);
    let situation = &*situation;
    let sightings = symptom_gate(situation).into_iter().map(|group| {
        let scope = group.scope();
        let verdict = diagnose(catalogue, situation, Some(&scope));
        Sighting {
            symptoms: group.symptoms,
            verdict,
        }
    });
    let sightings = sightings.collect();
    let changes = incidents.step(situation, sightings, next_id);
    if incidents.open().next().is_none() {
        usual.look(situation);
    }
    changes
}

#[cfg(test)]
mod tests {
    use firstlook_incident::Config;
    use firstlook_model::symptom::{families, kinds};
    use firstlook_model::{ComponentId, Reference, Symptom, TimeRange};

    use super::*;

    fn situation(second: i64, gate: bool) -> Situation {
        let now = Timestamp::from_secs(1_700_000_000 + second);
        let component: ComponentId = "host:db1".parse().expect("a component");
        let range = TimeRange::new(now.minus(Duration::from_secs(9)), now);
        Situation {
            reference_time: now,
            symptoms: vec![Symptom {
                component: component.clone(),
                kind: kinds::CPU_SATURATED.to_owned(),
                peer: None,
                family: families::CPU.to_owned(),
                onset: range,
                last_seen: now,
                severity: 0.9,
                gate,
                text: "busy".to_owned(),
                usual: 0.0,
                reference: Reference::Heartbeat {
                    component: component.clone(),
                    range,
                },
            }],
            attestations: Vec::new(),
            components: vec![component],
            mounts: Vec::new(),
            changes: Vec::new(),
            edges: Vec::new(),
            blind_spots: Vec::new(),
        }
    }

    /// The share that is told of the symptom in the last of so many situations, one each so many seconds.
    fn told(count: i64, every_s: i64, gate: bool) -> f64 {
        let catalogue = Catalogue::builtin();
        let mut incidents = Incidents::new(Config::default());
        let (mut usual, mut told) = (Usual::default(), 0.0);
        for number in 0..count {
            let mut situation = situation(number * every_s, gate);
            let id = || IncidentId(1);
            think(&catalogue, &mut incidents, &mut usual, &mut situation, id);
            told = situation.symptoms[0].usual;
        }
        told
    }

    #[test]
    fn what_is_seen_in_peace_is_learned_once_a_minute_and_told() {
        let minutes = told(61, 60, false);
        assert!(minutes > 0.1, "{minutes}");
        // As many looks in a minute are one.
        assert!(told(60, 1, false) < minutes / 10.0);
    }

    #[test]
    fn what_is_accepted_is_looked_at_anew() {
        let mut usual = Usual::default();
        (0..600).for_each(|minute| usual.look(&situation(60 * minute, false)));
        let component: ComponentId = "host:db1".parse().expect("a component");
        let share = |usual: &Usual| usual.rates.share(&component, kinds::CPU_SATURATED);
        let word = |kind| Change {
            id: "announced:1".to_owned(),
            time: Timestamp::from_secs(1_700_000_000),
            component: component.clone(),
            kind,
            text: "as it should be".to_owned(),
            detail: String::new(),
        };
        let before = share(&usual);
        usual.hear(&word(ChangeKind::Deploy));
        assert_eq!(share(&usual), before);
        usual.hear(&word(ChangeKind::Accepted));
        assert!(share(&usual) < before / 2.0);
    }

    #[test]
    fn what_is_seen_while_somebody_is_hurt_is_not_learned() {
        assert_eq!(told(61, 60, true), 0.0);
    }
}
