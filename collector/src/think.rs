//! The step from what is seen to incidents, as it is taken live and in a replay.

use firstlook_diagnose::{Catalogue, diagnose, symptom_gate};
use firstlook_incident::{IncidentChange, Incidents, Sighting};
use firstlook_model::{IncidentId, Situation};

/// Groups the symptoms that hurt, weighs who is to blame for each group, and says what became of the incidents.
pub fn think(
    catalogue: &Catalogue,
    incidents: &mut Incidents,
    situation: &Situation,
    next_id: impl FnMut() -> IncidentId,
) -> Vec<IncidentChange> {
    let sightings = symptom_gate(situation).into_iter().map(|group| {
        let scope = group.scope();
        let verdict = diagnose(catalogue, situation, Some(&scope));
        Sighting {
            symptoms: group.symptoms,
            verdict,
        }
    });
    let sightings = sightings.collect();
    incidents.step(situation, sightings, next_id)
}
