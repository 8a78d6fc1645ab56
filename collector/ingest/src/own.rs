//! A host speaks of itself: a record that names another host's components is refused whole, before it is
//! stored, so that nobody is shown words in another's name.

use firstlook_model::{ComponentId, HostId, Record};

/// The first component in `record` that is not of `host`.
pub(crate) fn stranger<'a>(host: &HostId, record: &'a Record) -> Option<&'a ComponentId> {
    let strange = |component: &&ComponentId| component.host_id() != Some(host);
    match record {
        Record::Schema(schema) => schema.series().iter().map(|s| &s.component).find(strange),
        Record::Logs(block) => block.entries.iter().map(|e| &e.component).find(strange),
        Record::Edges(edges) => edges.iter().map(|e| &e.local).find(strange),
        Record::Units(units) => units.iter().map(|u| &u.component).find(strange),
        Record::Changes(changes) => changes.iter().map(|c| &c.component).find(strange),
        Record::Inventory(inventory) => {
            let listeners = inventory.listeners.iter().map(|l| &l.component);
            let mounts = inventory.mounts.iter();
            let mounts = mounts.flat_map(|m| m.used_by.iter().chain([&m.component]));
            listeners.chain(mounts).find(strange)
        }
        Record::Metrics(_) | Record::Losses(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use firstlook_model::{Change, ChangeKind, Timestamp};

    #[test]
    fn another_hosts_component_is_found_behind_its_own() {
        let change = |component: &str| Change {
            id: String::new(),
            time: Timestamp::from_secs(0),
            component: component.parse().unwrap(),
            kind: ChangeKind::Deploy,
            text: String::new(),
            detail: String::new(),
        };
        let host = HostId::new("h1").unwrap();
        let own = Record::Changes(vec![change("host:h1"), change("service:h1/a.service")]);
        assert_eq!(stranger(&host, &own), None);
        let mixed = Record::Changes(vec![change("host:h1"), change("service:h2/a.service")]);
        let named = stranger(&host, &mixed).map(ToString::to_string);
        assert_eq!(named.as_deref(), Some("service:h2/a.service"));
    }
}
