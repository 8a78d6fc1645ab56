//! Listening sockets: who answers on which port, and who no longer does.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use firstlook_model::symptom::{families, kinds};
use firstlook_model::{ComponentId, ComponentKind, Listener, Timestamp, signal::names};
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::draft::{Finding, Source};
use crate::watch::Span;

/// A restart takes its listener away for less than this.
const GONE_AFTER: Duration = Duration::from_secs(3);
/// Callers are hurt from here on; a slow restart is over by then.
const GATES_AFTER: Duration = Duration::from_secs(6);
/// What listened for less than this was passing.
const SETTLED: Duration = Duration::from_secs(30);
/// How long a vanished listener is remembered.
const REMEMBERED: Duration = Duration::from_secs(3_600);
/// Most ports of one host.
const LISTENERS_LIMIT: usize = 4_000;

#[derive(Debug, Serialize, Deserialize)]
struct Port {
    component: ComponentId,
    first: Timestamp,
    last: Timestamp,
    /// First inventory without it.
    gone: Option<Timestamp>,
}

/// Ports of one host, those that vanished included.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Listeners {
    ports: BTreeMap<(u16, IpAddr), Port>,
    last: Option<Timestamp>,
}

impl Listeners {
    /// Takes the whole list. Returns how many were over the budget.
    pub fn take(&mut self, at: Timestamp, listeners: &[Listener]) -> u64 {
        if self.last.is_some_and(|last| at <= last) {
            return 0;
        }
        self.last = Some(at);
        let mut present = BTreeSet::new();
        let mut refused = 0;
        for listener in listeners {
            let key = (listener.port, listener.address.to_canonical());
            if self.ports.len() >= LISTENERS_LIMIT && !self.ports.contains_key(&key) {
                refused += 1;
                continue;
            }
            present.insert(key);
            let port = self.ports.entry(key).or_insert_with(|| Port {
                component: listener.component.clone(),
                first: at,
                last: at,
                gone: None,
            });
            port.component = listener.component.clone();
            if port.gone.take().is_some() {
                port.first = at;
            }
            port.last = at;
        }
        for (key, port) in &mut self.ports {
            if !present.contains(key) && port.gone.is_none() {
                port.gone = Some(at);
            }
        }
        self.ports
            .retain(|_, port| at.since(port.last) <= REMEMBERED);
        refused
    }

    /// Who listens, or last listened, on an address and port. One that still does comes first, then one on just
    /// this address: containers have addresses of their own beside what listens on every address of the host.
    pub fn owner(&self, address: IpAddr, port: u16) -> Option<&ComponentId> {
        let fits = |bound: &IpAddr| bound.is_unspecified() || *bound == address.to_canonical();
        let of_port = self.of_port(port).filter(|((_, bound), _)| fits(bound));
        of_port
            .max_by_key(|((_, bound), p)| (p.gone.is_none(), !bound.is_unspecified(), p.last))
            .map(|(_, p)| &p.component)
    }

    /// Whether something listens on the port by the last inventory; `None` when there is none.
    pub fn is_open(&self, address: IpAddr, port: u16) -> Option<bool> {
        self.last?;
        let fits = |bound: &IpAddr| bound.is_unspecified() || *bound == address.to_canonical();
        let mut of_port = self.of_port(port);
        Some(of_port.any(|((_, bound), p)| fits(bound) && p.gone.is_none()))
    }

    fn of_port(&self, port: u16) -> impl Iterator<Item = (&(u16, IpAddr), &Port)> {
        let first = (port, IpAddr::from([0u8; 4]));
        self.ports
            .range(first..)
            .take_while(move |((p, _), _)| *p == port)
    }

    /// Services that listen now.
    pub fn owners(&self) -> impl Iterator<Item = &ComponentId> {
        self.ports
            .values()
            .filter(|p| p.gone.is_none())
            .map(|p| &p.component)
    }

    /// Listeners that vanished from services that are `wanted`.
    pub fn findings(
        &self,
        now: Timestamp,
        context: &Context,
        wanted: impl Fn(&ComponentId) -> bool,
    ) -> Vec<Finding> {
        let mut found = Vec::new();
        let service = |p: &Port| p.component.kind() == ComponentKind::Service;
        for ((number, _), port) in self.ports.iter().filter(|(_, p)| service(p)) {
            let Some(gone) = port.gone else { continue };
            let settled = port.last.since(port.first) >= SETTLED;
            if !settled || now.since(gone) < GONE_AFTER || !wanted(&port.component) {
                continue;
            }
            let called = context.callers(&port.component).any();
            found.push(Finding {
                component: port.component.clone(),
                peer: None,
                kind: kinds::LISTENER_GONE,
                family: families::SOCKETS,
                span: Span {
                    after: Some(port.last),
                    first: gone,
                    last: now,
                },
                severity: if called { 0.9 } else { 0.4 },
                gate: called && now.since(gone) >= GATES_AFTER,
                text: format!("nothing listens on port {number} any more"),
                source: Source::Metric(names::SERVICE_ACCEPT_BACKLOG),
            });
        }
        found
    }

    pub fn stepped(&mut self) {
        self.last = None;
    }
}
