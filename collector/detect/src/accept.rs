//! Acceptance: somebody says that what a component does now is as it should be.
//!
//! What was usual of it is forgotten when the word is heard, whatever time it is said to be of, and is learned anew from
//! what comes after. For a minute nothing is judged by it, as when the component was first seen; and what was told only
//! because of what had been usual is over. A host that is accepted is accepted with all that lives on it.
//!
//! Forgotten:
//! * level one: the usual level, the days and the looks of each series of the component;
//! * edges from and to it, at whichever host watches them, as far as both ends are known at that time: round-trip time,
//!   connects, bytes that come back and how long answers take, the share of segments that is sent again;
//! * services: CPU time, memory and its growth, what callers ask of it, what it leaves unread, periods in which its quota
//!   stops it; of a cron, how many processes it has;
//! * disks: how long a request takes, and how much is asked; interfaces: packets in error; of a host or the interface that
//!   carries its traffic, the share of segments that is sent again;
//! * logs: rates of error lines, of each sort and in all; of phrases about how long or how often (timeouts, failed logins,
//!   waits for locks, lags, pauses). Sorts of lines that are news are known from then on.
//!
//! Not forgotten, for nobody can accept it away: what is measured against a fixed limit (space, memory, CPU, open files,
//! tasks, ports, tracked connections, a clock, heat), what failed (units, kills, probes, certificates, arrays, errors of disks
//! and filesystems), who is silent, what nobody answers (connects, segments in backoff, large packets, lost connections),
//! listeners that are gone, full accept queues, stopped processes, and phrases that tell of such: no space, refused, expired.
//! Where it is known how many of those are usual (connects that hang, attempts that fail, overflows) that is kept, too. And a
//! component's neighbours keep what they know of themselves: what its callers write, what it asks of others.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use firstlook_model::{Change, ChangeKind, ComponentId, ComponentKind, HostId};
use serde::{Deserialize, Serialize};

use crate::detector::Detector;
use crate::edges::EdgeKey;
use crate::graph;
use crate::host::Host;

/// Acceptances that are remembered. One that is heard again after so many others forgets once more: it then takes a minute
/// to learn what is usual, and no more.
const REMEMBERED: usize = 64;

/// Acceptances that a host has heard, the last ones, by their ids. All hosts hear each: that one had nothing to forget is
/// no reason to forget what it learns later.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Acceptances(VecDeque<Arc<str>>);

impl Acceptances {
    /// Whether it is news.
    pub fn hear(&mut self, id: &Arc<str>) -> bool {
        if self.0.contains(id) {
            return false;
        }
        if self.0.len() >= REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(Arc::clone(id));
        true
    }

    /// Takes over what another has heard.
    pub fn join(&mut self, other: &Self) {
        for id in &other.0 {
            self.hear(id);
        }
    }
}

/// Whether a component is accepted with another.
pub(crate) fn covers(accepted: &ComponentId, component: &ComponentId) -> bool {
    let host = accepted.kind() == ComponentKind::Host;
    accepted == component || (host && accepted.host_id() == component.host_id())
}

impl Detector {
    /// Lets one host hear of an announced acceptance, of whatever host, before what it reported after that is heard again.
    /// [`Detector::observe_changes`] then tells all others, and changes nothing more here.
    pub fn observe_acceptance(&mut self, host: &HostId, change: &Change) {
        if change.kind == ChangeKind::Accepted && self.host(host).is_some() {
            self.accept(change, |one| one == host);
        }
    }

    /// Forgets what was usual of a component at the hosts that hear of it now, and have not before.
    pub(crate) fn accept(&mut self, change: &Change, hears: impl Fn(&HostId) -> bool) {
        let id: Arc<str> = change.id.as_str().into();
        let mut news = BTreeSet::new();
        for (name, host) in self.hosts.iter_mut().filter(|(name, _)| hears(name)) {
            if host.accepted.hear(&id) {
                news.insert(name.clone());
            }
        }
        // All edges of a large fleet are named for those alone that may watch one of these.
        let concerned = news
            .iter()
            .any(|name| may_watch(&self.hosts, name, &change.component));
        let mut edges = match concerned {
            true => edges_of(&self.hosts, &change.component),
            false => BTreeMap::new(),
        };
        for (name, host) in &mut self.hosts {
            if news.contains(name) {
                let edges = edges.remove(name).unwrap_or_default();
                host.forget_usual(&change.component, &edges);
            }
        }
    }
}

/// Whether a host may watch an edge from or to what is accepted.
fn may_watch(hosts: &BTreeMap<HostId, Host>, name: &HostId, accepted: &ComponentId) -> bool {
    let Some(of) = accepted.host_id() else {
        return false;
    };
    let (host, far) = (hosts.get(name), hosts.get(of));
    let Some((host, far)) = host.zip(far) else {
        return false;
    };
    let mut edges = host.edges.iter();
    name == of || edges.any(|(key, _)| far.has_address(key.remote))
}

/// Edges from and to what is accepted, by the host that watches them.
fn edges_of(
    hosts: &BTreeMap<HostId, Host>,
    accepted: &ComponentId,
) -> BTreeMap<HostId, Vec<EdgeKey>> {
    let mut edges: BTreeMap<HostId, Vec<EdgeKey>> = BTreeMap::new();
    for link in graph::links(hosts) {
        if covers(accepted, &link.caller) || covers(accepted, &link.callee) {
            let watched = edges.entry(link.host.id.clone()).or_default();
            watched.push(link.key.clone());
        }
    }
    edges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_accepted_with_what_lives_on_it_and_a_service_alone() {
        let id = |text: &str| text.parse::<ComponentId>().unwrap();
        let (host, shop) = (id("host:app1"), id("service:app1/shop.service"));
        assert!(covers(&host, &shop) && covers(&host, &host) && covers(&shop, &shop));
        assert!(!covers(&shop, &host));
        assert!(!covers(&host, &id("service:app2/shop.service")));
        assert!(!covers(&shop, &id("service:app1/cart.service")));
    }

    #[test]
    fn what_was_heard_is_no_news_and_takes_little_room() {
        let mut heard = Acceptances::default();
        for number in 0..1_000 {
            let id: Arc<str> = format!("announced:{number}").into();
            assert!(heard.hear(&id) && !heard.hear(&id));
        }
        assert_eq!(heard.0.len(), REMEMBERED);
        let mut other = Acceptances::default();
        other.join(&heard);
        assert_eq!(other.0, heard.0);
    }
}
