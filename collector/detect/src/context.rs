//! What judging one host needs to know of the others: made first, from all of them.

use std::collections::{BTreeMap, BTreeSet};

use firstlook_model::{ComponentId, HostId, Timestamp};

/// Who depends on a component. Times are the collector's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Callers {
    /// Callers on other hosts, or without an agent.
    pub remote: u32,
    /// Callers on the same host.
    pub local: u32,
    /// Last time at which a connection from any of them lived or was opened.
    pub last_alive: Option<Timestamp>,
}

impl Callers {
    pub fn any(&self) -> bool {
        self.remote + self.local > 0
    }
}

/// Facts across hosts at one reference time.
#[derive(Debug, Default)]
pub(crate) struct Context {
    pub callers: BTreeMap<ComponentId, Callers>,
    /// Hosts with services whose callers are hurt (slow, stalled or lost edges towards them).
    pub hurt: BTreeSet<HostId>,
    /// Hosts on which something says that no space is left.
    pub no_space: BTreeSet<HostId>,
    /// Names of all hosts.
    pub hosts: BTreeSet<HostId>,
}

impl Context {
    pub fn callers(&self, component: &ComponentId) -> Callers {
        self.callers.get(component).cloned().unwrap_or_default()
    }
}
