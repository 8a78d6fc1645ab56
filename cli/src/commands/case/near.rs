//! How near a component is to an incident: what is named there first, then what depends on it or it depends on.

use std::collections::{BTreeMap, BTreeSet};

use firstlook_model::{ComponentId, Incident};

/// Steps from the incident; [`Near::FAR`] where nothing leads there.
pub type Steps = u32;

/// Steps to every component of the graph.
#[derive(Debug, Default)]
pub struct Near {
    steps: BTreeMap<ComponentId, Steps>,
}

impl Near {
    /// Nothing leads there.
    pub const FAR: Steps = Steps::MAX;

    /// From what the incident names and `also`, along calls in both directions, and between a host and what lives on it.
    pub fn new(
        incident: &Incident,
        also: Option<&ComponentId>,
        calls: &BTreeSet<(ComponentId, ComponentId)>,
    ) -> Self {
        let mut beside: BTreeMap<ComponentId, BTreeSet<ComponentId>> = BTreeMap::new();
        let mut join = |a: &ComponentId, b: &ComponentId| {
            beside.entry(a.clone()).or_default().insert(b.clone());
            beside.entry(b.clone()).or_default().insert(a.clone());
        };
        let named: BTreeSet<ComponentId> = named(incident).chain(also).cloned().collect();
        for (caller, callee) in calls {
            join(caller, callee);
        }
        let ends = calls.iter().flat_map(|(caller, callee)| [caller, callee]);
        for component in ends.chain(&named) {
            if let Some(host) = component.its_host() {
                join(component, &host);
            }
        }
        let mut steps: BTreeMap<ComponentId, Steps> = BTreeMap::new();
        let mut next = named;
        for step in 0.. {
            next.retain(|component| !steps.contains_key(component));
            if next.is_empty() {
                break;
            }
            steps.extend(next.iter().map(|component| (component.clone(), step)));
            let around = next.iter().filter_map(|component| beside.get(component));
            next = around.flatten().cloned().collect();
        }
        Self { steps }
    }

    /// Steps to a component; one that nothing calls is one from its host.
    pub fn steps(&self, component: &ComponentId) -> Steps {
        let host = || Some(self.steps.get(&component.its_host()?)?.saturating_add(1));
        let known = self.steps.get(component).copied().or_else(host);
        known.unwrap_or(Self::FAR)
    }
}

/// What has a symptom, the other ends, and whom the verdict suspects or sees hurt.
fn named(incident: &Incident) -> impl Iterator<Item = &ComponentId> {
    let symptoms = incident.symptoms.iter();
    let suspects = incident.verdict.suspects.iter();
    symptoms
        .flat_map(|s| [Some(&s.component), s.peer.as_ref()])
        .flatten()
        .chain(suspects.flat_map(|s| s.hurts.iter().chain([&s.component])))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{id, incident};
    use super::*;

    #[test]
    fn the_incident_is_nearest_then_what_calls_lead_to_then_all_else() {
        let calls = [("web", "db"), ("db", "store"), ("mail", "queue")];
        let service = |name: &str| id(&format!("service:{name}/{name}.service"));
        let calls = calls.map(|(a, b)| (service(a), service(b)));
        let incident = incident("service:web/web.service");
        let near = Near::new(&incident, None, &calls.clone().into());
        let steps = |text: &str| near.steps(&id(text));
        assert_eq!(steps("service:web/web.service"), 0);
        assert_eq!(steps("host:web"), 1);
        assert_eq!(steps("disk:web/vda"), 2);
        assert_eq!(steps("service:db/db.service"), 1);
        assert_eq!(steps("service:store/store.service"), 2);
        assert_eq!(steps("service:mail/mail.service"), Near::FAR);
        assert_eq!(steps("disk:mail/vda"), Near::FAR);

        // What is true belongs to the case, whether or not anybody saw it.
        let truth = service("mail");
        let near = Near::new(&incident, Some(&truth), &calls.into());
        assert_eq!(near.steps(&truth), 0);
        assert_eq!(near.steps(&service("queue")), 1);
    }
}
