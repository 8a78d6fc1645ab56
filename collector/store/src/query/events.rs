//! Reading edges, units, changes, losses and inventories.

use firstlook_model::{
    Change, ComponentId, EdgeObservation, HostId, Inventory, Loss, TimeRange, Timestamp, UnitState,
};
use serde::de::DeserializeOwned;

use crate::Store;
use crate::key::Kind;
use crate::store::Inner;
use crate::value::decode_events;

/// Something that a host reported.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored<T> {
    /// Who reported it.
    pub host: HostId,
    /// When the collector had it.
    pub received: Timestamp,
    /// What was reported.
    pub item: T,
}

impl Store {
    /// Edges seen in a range, by time; of one host, or of all.
    pub fn edges(&self, range: TimeRange, host: Option<&HostId>) -> Vec<Stored<EdgeObservation>> {
        let hosts = self.0.asked(host.map(std::slice::from_ref));
        self.0
            .events(Kind::Edges, &hosts, range, |edge: &EdgeObservation| {
                edge.time
            })
    }

    /// States of units seen in a range, by time; of one service, or of all.
    pub fn units(
        &self,
        range: TimeRange,
        component: Option<&ComponentId>,
    ) -> Vec<Stored<UnitState>> {
        let hosts = self.0.hosts_of(component);
        let mut units = self
            .0
            .events(Kind::Units, &hosts, range, |unit: &UnitState| unit.time);
        units.retain(|unit| component.is_none_or(|id| *id == unit.item.component));
        units
    }

    /// Changes in a range, by time; of one component, or of all.
    pub fn changes(
        &self,
        range: TimeRange,
        component: Option<&ComponentId>,
    ) -> Vec<Stored<Change>> {
        let hosts = self.0.hosts_of(component);
        let mut changes = self
            .0
            .events(Kind::Changes, &hosts, range, |change: &Change| change.time);
        changes.retain(|change| component.is_none_or(|id| *id == change.item.component));
        changes
    }

    /// Losses that hosts reported as ended in a range, by that time.
    pub fn losses(&self, range: TimeRange) -> Vec<Stored<Loss>> {
        let hosts = self.0.asked(None);
        self.0
            .events(Kind::Losses, &hosts, range, |loss: &Loss| loss.to)
    }

    /// A host's latest facts.
    pub fn inventory(&self, host: &HostId) -> Option<Stored<Inventory>> {
        let inner = &self.0;
        let table = &inner.tables.inventories;
        let key = host.as_str().as_bytes();
        let bytes = inner.readable(inner.engine.view().get(table, key))??;
        let decoded = decode_events(&bytes).and_then(|value| {
            let mut items = parse::<Inventory>(&value)?;
            Ok(items.pop())
        });
        let (received, item) = inner.intact(table, key, &bytes, decoded)??;
        Some(Stored {
            host: host.clone(),
            received,
            item,
        })
    }
}

fn parse<T: DeserializeOwned>(
    value: &crate::value::EventsValue,
) -> Result<Vec<(Timestamp, T)>, crate::error::Corrupt> {
    let mut all = Vec::new();
    for (piece, text) in value.texts() {
        let items: Vec<T> = serde_json::from_slice(text)?;
        all.extend(items.into_iter().map(|item| (piece.received, item)));
    }
    Ok(all)
}

impl Inner {
    /// The host that a component lives on, else all.
    pub(crate) fn hosts_of(&self, component: Option<&ComponentId>) -> Vec<HostId> {
        let host = component.and_then(ComponentId::host_id);
        self.asked(host.map(std::slice::from_ref))
    }

    fn events<T: DeserializeOwned>(
        &self,
        kind: Kind,
        hosts: &[HostId],
        range: TimeRange,
        time: impl Fn(&T) -> Timestamp,
    ) -> Vec<Stored<T>> {
        let view = self.engine.view();
        let mut events = Vec::new();
        for host in hosts {
            for found in self.find(&view, kind, host, range) {
                let decoded = decode_events(&found.value).and_then(|value| parse::<T>(&value));
                let decoded = self.intact(&found.table, &found.raw, &found.value, decoded);
                let items = decoded.into_iter().flatten();
                let inside = items.filter(|(_, item)| range.contains(time(item)));
                events.extend(inside.map(|(received, item)| Stored {
                    host: host.clone(),
                    received,
                    item,
                }));
            }
        }
        events.sort_by_key(|event| time(&event.item));
        events
    }
}
