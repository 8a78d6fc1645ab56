//! A host speaks of itself: a record that names another host's components is refused whole, before it is
//! stored, so that nobody is shown words in another's name. And it says what it sees: that what it does is as it should be
//! only a person may announce.

use firstlook_model::{ChangeKind, ComponentId, HostId, Record};

/// Why `host` may not say so, if it may not.
pub(crate) fn fault(host: &HostId, record: &Record) -> Option<String> {
    if let Some(other) = stranger(host, record) {
        return Some(format!("it names {other}, which is not of this host"));
    }
    let Record::Changes(changes) = record else {
        return None;
    };
    let claimed = changes.iter().find(|c| c.kind == ChangeKind::Accepted)?;
    let component = &claimed.component;
    Some(format!(
        "it says that {component} is accepted, which no agent can see"
    ))
}

/// The first component in `record` that is not of `host`.
fn stranger<'a>(host: &HostId, record: &'a Record) -> Option<&'a ComponentId> {
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
    use firstlook_model::{Change, Timestamp};

    fn change(component: &str) -> Change {
        Change {
            id: String::new(),
            time: Timestamp::from_secs(0),
            component: component.parse().unwrap(),
            kind: ChangeKind::Deploy,
            text: String::new(),
            detail: String::new(),
        }
    }

    #[test]
    fn an_agent_cannot_accept_what_its_host_does() {
        let host = HostId::new("h1").unwrap();
        let claimed = Change {
            id: "announced:1".to_owned(),
            kind: ChangeKind::Accepted,
            ..change("service:h1/a.service")
        };
        let deployed = Record::Changes(vec![change("host:h1")]);
        assert_eq!(fault(&host, &deployed), None);
        let mixed = Record::Changes(vec![change("host:h1"), claimed]);
        let why = fault(&host, &mixed).unwrap();
        assert!(why.contains("service:h1/a.service is accepted"), "{why}");
    }

    #[test]
    fn another_hosts_component_is_found_behind_its_own() {
        let host = HostId::new("h1").unwrap();
        let own = Record::Changes(vec![change("host:h1"), change("service:h1/a.service")]);
        assert_eq!(stranger(&host, &own), None);
        let mixed = Record::Changes(vec![change("host:h1"), change("service:h2/a.service")]);
        let named = stranger(&host, &mixed).map(ToString::to_string);
        assert_eq!(named.as_deref(), Some("service:h2/a.service"));
    }
}
