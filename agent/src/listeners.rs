//! Who listens at an address of this host, and which services it has, for those who receive from them.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use firstlook_model::{ComponentId, ComponentKind, Inventory, Listener, UnitState};

/// Services that are remembered; a host has some hundreds.
const SERVICES_LIMIT: usize = 4_096;

/// What the newest inventory says, and what was told of units. Clones share it.
#[derive(Clone, Default)]
pub struct Listeners(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    listeners: Vec<Listener>,
    addresses: Vec<IpAddr>,
    /// By name.
    services: BTreeMap<String, ComponentId>,
}

impl Known {
    fn service(&mut self, component: &ComponentId) {
        let name = component.name();
        let room =
            self.services.len() < SERVICES_LIMIT && component.kind() == ComponentKind::Service;
        if room && !self.services.contains_key(name) {
            self.services.insert(name.to_owned(), component.clone());
        }
    }
}

impl Listeners {
    /// Takes an inventory in.
    pub fn note(&self, inventory: &Inventory) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.listeners.clone_from(&inventory.listeners);
        known.addresses.clone_from(&inventory.addresses);
        for listener in &inventory.listeners {
            known.service(&listener.component);
        }
    }

    /// Takes in which units there are.
    pub fn note_units(&self, units: &[UnitState]) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        units.iter().for_each(|unit| known.service(&unit.component));
    }

    /// The service that goes by this name, with or without `.service`.
    pub fn named(&self, name: &str) -> Option<ComponentId> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let whole = || known.services.get(&format!("{name}.service"));
        known.services.get(name).or_else(whole).cloned()
    }

    /// The services that listen, and where.
    pub fn services(&self) -> Vec<(SocketAddr, ComponentId)> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let services = known.listeners.iter().filter(|l| is_service(l));
        services
            .map(|l| ((l.address, l.port).into(), l.component.clone()))
            .collect()
    }

    /// The service that listens there; `None` when none is known to, or the address is not of this host. Who is
    /// bound to the very address comes before who is bound to all.
    pub fn owner(&self, at: SocketAddr) -> Option<ComponentId> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ours = at.ip().is_loopback() || known.addresses.contains(&at.ip());
        let bound = |to: &dyn Fn(IpAddr) -> bool| {
            let is = |l: &&Listener| l.port == at.port() && to(l.address) && is_service(l);
            known.listeners.iter().find(is)
        };
        // `::` takes version 4 too, unless it was told not to: then another listens on `0.0.0.0`.
        let family =
            |address: IpAddr| address.is_unspecified() && address.is_ipv4() == at.ip().is_ipv4();
        let found = bound(&|address| address == at.ip())
            .or_else(|| bound(&family))
            .or_else(|| bound(&|address| address.is_unspecified() && address.is_ipv6()));
        found.filter(|_| ours).map(|l| l.component.clone())
    }
}

fn is_service(listener: &Listener) -> bool {
    listener.component.kind() == ComponentKind::Service
}

#[cfg(test)]
mod tests {
    use super::*;
    use firstlook_model::{ActiveState, Timestamp};

    #[test]
    fn an_address_of_this_host_has_the_service_that_is_bound_most_closely() {
        let listener = |address: &str, name: &str| {
            let address: SocketAddr = address.parse().unwrap();
            Listener {
                address: address.ip(),
                port: address.port(),
                component: name.parse().unwrap(),
            }
        };
        let listeners = Listeners::default();
        assert_eq!(listeners.owner("127.0.0.1:80".parse().unwrap()), None);
        listeners.note(&Inventory {
            time: Timestamp::default(),
            hostname: String::new(),
            kernel: String::new(),
            os: String::new(),
            boot_id: String::new(),
            booted: Timestamp::default(),
            cores: 1,
            memory_bytes: 1,
            addresses: vec!["192.0.2.1".parse().unwrap()],
            listeners: vec![
                listener("[::]:80", "service:h1/six.service"),
                listener("0.0.0.0:80", "service:h1/all.service"),
                listener("127.0.0.1:80", "service:h1/one.service"),
                listener("[::]:81", "service:h1/six.service"),
                listener("0.0.0.0:82", "host:h1"),
                listener("0.0.0.0:83", "service:h1/all.service"),
            ],
            mounts: Vec::new(),
            agent_version: String::new(),
            blind: Vec::new(),
        });
        assert_eq!(listeners.services().len(), 5);
        for (address, owner) in [
            ("127.0.0.1:80", Some("one.service")),
            ("192.0.2.1:80", Some("all.service")),
            ("[::1]:80", Some("six.service")),
            ("127.0.0.1:81", Some("six.service")),
            ("127.0.0.1:82", None),
            ("[::1]:83", None),
            ("192.0.2.2:80", None),
        ] {
            let found = listeners.owner(address.parse().unwrap());
            assert_eq!(found.as_ref().map(ComponentId::name), owner, "{address}");
        }
        for name in ["one", "one.service"] {
            let found = listeners.named(name).unwrap();
            assert_eq!(found.name(), "one.service");
        }
        assert_eq!(listeners.named("two"), None);
        let unit = UnitState {
            component: "service:h1/two.service".parse().unwrap(),
            time: Timestamp::default(),
            active: ActiveState::Active,
            sub: String::new(),
            result: String::new(),
            restarts: 0,
            main_pid: 0,
            exit_code: 0,
            exit_status: 0,
            since: None,
            wanted: true,
            invocation: String::new(),
        };
        listeners.note_units(&[unit]);
        assert!(listeners.named("two").is_some());
    }
}
