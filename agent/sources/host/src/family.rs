//! Series of things that come and go: disks, interfaces, file systems, services.

use std::collections::HashMap;
use std::time::Duration;

use firstlook_model::{ComponentId, ComponentKind, HostId};

use crate::registry::{Registry, Slot};

/// The series of one component. A series begins with its first value: what was never observed has none.
#[derive(Debug)]
pub(crate) struct Group<const N: usize> {
    component: ComponentId,
    signals: &'static [&'static str; N],
    slots: [Option<Slot>; N],
}

impl<const N: usize> Group<N> {
    pub(crate) fn new(component: ComponentId, signals: &'static [&'static str; N]) -> Self {
        Self {
            component,
            signals,
            slots: [None; N],
        }
    }

    /// Sets the values of the sample in hand, in the order of the signals; NaN where there is none.
    pub(crate) fn set(&mut self, registry: &mut Registry, values: &[f64; N]) {
        for ((slot, signal), value) in self.slots.iter_mut().zip(self.signals).zip(values) {
            if value.is_nan() {
                continue;
            }
            if slot.is_none() {
                *slot = registry.register(&self.component, signal);
            }
            if let Some(slot) = slot {
                registry.set(*slot, *value);
            }
        }
    }

    /// Ends its series.
    pub(crate) fn release(self, registry: &mut Registry) {
        for slot in self.slots.into_iter().flatten() {
            registry.release(slot);
        }
    }
}

/// Groups of one kind, by name, under a limit.
#[derive(Debug)]
pub(crate) struct Family<const N: usize> {
    host: HostId,
    kind: ComponentKind,
    signals: &'static [&'static str; N],
    members: HashMap<Box<str>, (Group<N>, Duration)>,
    limit: usize,
    refused: u64,
}

impl<const N: usize> Family<N> {
    pub(crate) fn new(
        host: HostId,
        kind: ComponentKind,
        signals: &'static [&'static str; N],
        limit: usize,
    ) -> Self {
        Self {
            host,
            kind,
            signals,
            members: HashMap::new(),
            limit,
            refused: 0,
        }
    }

    /// Sets one member's values, and takes it in when it is new and fits.
    pub(crate) fn set(&mut self, registry: &mut Registry, name: &str, values: &[f64; N]) {
        let now = registry.now();
        if let Some((group, seen)) = self.members.get_mut(name) {
            *seen = now;
            group.set(registry, values);
            return;
        }
        let component = ComponentId::on_host(self.kind, self.host.clone(), name);
        let (true, Ok(component)) = (self.members.len() < self.limit, component) else {
            self.refused += 1;
            return;
        };
        let mut group = Group::new(component, self.signals);
        group.set(registry, values);
        self.members.insert(name.into(), (group, now));
    }

    /// Ends the series of members not set for `absent`.
    pub(crate) fn expire(&mut self, registry: &mut Registry, absent: Duration) {
        let now = registry.now();
        let gone = self
            .members
            .extract_if(|_, (_, seen)| now.saturating_sub(*seen) >= absent);
        for (_, (group, _)) in gone {
            group.release(registry);
        }
    }

    /// Samples that found no room.
    pub(crate) fn refused(&self) -> u64 {
        self.refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use firstlook_model::Timestamp;

    static SIGNALS: [&str; 2] = ["disk.reads_total", "disk.in_flight"];

    fn family(limit: usize) -> Family<2> {
        let host = HostId::new("h1").unwrap();
        Family::new(host, ComponentKind::Disk, &SIGNALS, limit)
    }

    #[test]
    fn members_have_series_only_for_what_was_observed_and_end_when_long_absent() {
        let mut registry = Registry::new(Duration::ZERO);
        let mut disks = family(2);
        disks.set(&mut registry, "sda", &[5.0, f64::NAN]);
        let first = registry.frame(Timestamp::from_secs(0));
        assert_eq!(first.schema.series().len(), 1);
        assert_eq!(
            first.schema.series()[0].component.to_string(),
            "disk:h1/sda"
        );

        registry.begin(Duration::from_secs(600));
        disks.set(&mut registry, "sdb", &[1.0, 0.0]);
        disks.expire(&mut registry, Duration::from_secs(600));
        let second = registry.frame(Timestamp::from_secs(600));
        assert_eq!(second.values, [1.0, 0.0]);
        assert_eq!(
            second.schema.series()[0].component.to_string(),
            "disk:h1/sdb"
        );
    }

    #[test]
    fn members_beyond_the_limit_are_counted() {
        let mut registry = Registry::new(Duration::ZERO);
        let mut disks = family(1);
        disks.set(&mut registry, "sda", &[5.0, 0.0]);
        disks.set(&mut registry, "sdb", &[5.0, 0.0]);
        disks.set(&mut registry, "sda", &[6.0, 0.0]);
        assert_eq!(disks.refused(), 1);
        assert_eq!(registry.frame(Timestamp::from_secs(0)).values, [6.0, 0.0]);
    }
}
