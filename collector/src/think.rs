//! The step from what is seen to incidents, as it is taken live and in a replay.

use std::time::Duration;

use firstlook_detect::BaseRates;
use firstlook_diagnose::{Catalogue, diagnose, symptom_gate};
use firstlook_incident::{IncidentChange, Incidents, Sighting};
use firstlook_model::{IncidentId, Situation, Timestamp};

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

    /// Learns from a situation in which no incident is open, once a minute.
    pub fn look(&mut self, calm: &Situation) {
        let now = calm.reference_time;
        if self
            .looked
            .is_none_or(|looked| now.since(looked) >= LOOK_EVERY)
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
