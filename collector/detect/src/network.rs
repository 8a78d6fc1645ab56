//! The host's network: TCP's counters, its interfaces, and whether it hears anything.

use std::collections::BTreeMap;
use std::time::Duration;

use firstlook_model::symptom::{families, kinds};
use firstlook_model::{ComponentId, ComponentKind, HostId, Timestamp, signal::names};
use serde::{Deserialize, Serialize};

use crate::accept::covers;
use crate::anew::Anew;
use crate::baseline::Baseline;
use crate::draft::{Finding, Health, Source};
use crate::plan::{Cells, Row};
use crate::watch::{Reading, Rule, Watch};
use crate::window::{Meter, Window};
use crate::words;

mod interface;

use interface::Interface;
pub(crate) use interface::SIGNALS as INTERFACE_SIGNALS;

pub(crate) const TCP_SIGNALS: [&str; 4] = [
    names::TCP_SEGMENTS_OUT,
    names::TCP_RETRANSMITS,
    names::TCP_ATTEMPT_FAILS,
    names::TCP_LISTEN_OVERFLOWS,
];
const SEGMENTS_OUT: usize = 0;
const RETRANSMITS: usize = 1;
const ATTEMPT_FAILS: usize = 2;
const LISTEN_OVERFLOWS: usize = 3;

/// Connections lost to full accept queues over ten seconds that are no accident of a burst, and times the usual.
const LEAST_OVERFLOWS: f64 = 5.0;
const OVERFLOWING: Rule = Rule::new(2, 2, 20);

/// Retransmitted share of segments, over ten seconds, and the least number that says something.
const LOSSY: f64 = 0.03;
const CLEAN: f64 = 0.01;
const LEAST_RETRANSMITS: f64 = 8.0;
/// Times the usual share.
const ABOVE_USUAL: f64 = 3.0;
/// In so many of the last ten samples segments must have been sent again: one burst is no loss.
const LEAST_STIRRED: usize = 3;
const LOSS: Rule = Rule::new(3, 3, 15);
/// By the edges, which come every few seconds.
const PEERS: Rule = Rule::new(2, 2, 20);
const GATE: f64 = 0.05;
const GATES_AFTER: Duration = Duration::from_secs(8);
/// Segments from which the absence of loss says something.
const POWER_SEGMENTS: f64 = 100.0;
/// Hearing nothing this long, while sending, on a host that usually hears at least one packet a second.
const DEAF: Rule = Rule::new(5, 5, 15);
const DEAF_GATES_AFTER: Duration = Duration::from_secs(10);
const USUALLY_HEARS: f64 = 1.0;

/// What a host's edges say of its peers: with how many it exchanges, with how many segments are lost.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PeerLoss {
    pub with_traffic: u32,
    pub losing: u32,
    pub segments: f64,
    pub retransmits: f64,
}

impl PeerLoss {
    /// A host loses segments only when it does so with its peers at large: with one of many, the fault
    /// lies with that one.
    fn is_at_large(&self) -> bool {
        self.losing >= 2 && self.losing * 2 >= self.with_traffic
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Network {
    sent: Meter,
    resent: Meter,
    failed: Meter,
    loss: Window,
    fails: Window,
    usual_loss: Baseline,
    usual_fails: Baseline,
    overflowed: Meter,
    overflows: Window,
    usual_overflows: Baseline,
    overflowing: Watch,
    losing: Watch,
    /// The same by the edges to other hosts: loopback traffic does not dilute it.
    peers_losing: Watch,
    deaf: Watch,
    usual_heard: Baseline,
    interfaces: BTreeMap<ComponentId, Interface>,
    #[serde(default)]
    anew: Anew,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            sent: Meter::default(),
            resent: Meter::default(),
            failed: Meter::default(),
            loss: Window::seconds(10),
            fails: Window::seconds(30),
            usual_loss: Baseline::NEW,
            usual_fails: Baseline::NEW,
            overflowed: Meter::default(),
            overflows: Window::seconds(10),
            usual_overflows: Baseline::NEW,
            overflowing: Watch::default(),
            losing: Watch::default(),
            peers_losing: Watch::default(),
            deaf: Watch::default(),
            usual_heard: Baseline::NEW,
            interfaces: BTreeMap::new(),
            anew: Anew::default(),
        }
    }
}

impl Network {
    pub fn take_tcp(&mut self, at: Timestamp, row: &Row<'_>, warm: bool) {
        self.take_overflows(at, row, warm);
        if let Some((fails, secs)) = self.failed.step(at, row.get(ATTEMPT_FAILS)) {
            self.fails.push(at, fails, secs);
            self.usual_fails.feed(fails / secs, 0.1);
        }
        let sent = self.sent.step(at, row.get(SEGMENTS_OUT));
        let resent = self.resent.step(at, row.get(RETRANSMITS));
        let (Some((sent, _)), Some((resent, _))) = (sent, resent) else {
            return;
        };
        // The counter of segments sent leaves out those sent again.
        self.loss.push(at, resent, sent + resent);
        let share = self.loss.ratio().unwrap_or(0.0);
        if !warm || !self.anew.is_over(at) {
            self.losing.learn(at, share < CLEAN);
            self.usual_loss.feed(share, 0.005);
            return;
        }
        let usual = self.usual_loss.location();
        let enough =
            self.loss.sums().0 >= LEAST_RETRANSMITS && self.loss.stirred() >= LEAST_STIRRED;
        let bad = enough && share >= LOSSY && share >= ABOVE_USUAL * usual;
        self.losing.take(
            at,
            Reading::of(bad, share < CLEAN || share < usual),
            share,
            usual,
            LOSS,
        );
        if self.losing.is_quiet() {
            self.usual_loss.feed(share, 0.005);
        }
    }

    fn take_overflows(&mut self, at: Timestamp, row: &Row<'_>, warm: bool) {
        let Some((lost, secs)) = self.overflowed.step(at, row.get(LISTEN_OVERFLOWS)) else {
            return;
        };
        self.overflows.push(at, lost, secs);
        let (many, _) = self.overflows.sums();
        let usual = self.usual_overflows.location();
        let bad = lost > 0.0 && many >= LEAST_OVERFLOWS && many >= ABOVE_USUAL * usual;
        if warm {
            let reading = Reading::of(bad, many == 0.0 || many < usual);
            self.overflowing.take(at, reading, many, usual, OVERFLOWING);
        } else {
            self.overflowing.learn(at, many == 0.0);
        }
        if self.overflowing.is_quiet() {
            self.usual_overflows.feed(many, 1.0);
        }
    }

    /// Takes what one dump of connections says of the host's peers.
    pub fn take_peers(&mut self, at: Timestamp, peers: PeerLoss, warm: bool) {
        let (resent, all) = (peers.retransmits, peers.segments);
        let share = if all > 0.0 { resent / all } else { 0.0 };
        let bad = peers.is_at_large() && resent >= LEAST_RETRANSMITS && share >= LOSSY;
        if warm && self.anew.is_over(at) {
            let usual = self.usual_loss.location();
            let reading = Reading::of(bad && share >= ABOVE_USUAL * usual, share < CLEAN);
            self.peers_losing.take(at, reading, share, usual, PEERS);
        } else {
            self.peers_losing.learn(at, share < CLEAN);
        }
    }

    pub fn take_interfaces(&mut self, at: Timestamp, rows: &[(&Cells, Row<'_>)], warm: bool) {
        let (mut heard, mut said, mut secs) = (0.0, 0.0, None::<f64>);
        for (cells, row) in rows {
            let interface = match self.interfaces.get_mut(&cells.component) {
                Some(known) => known,
                None => self.interfaces.entry(cells.component.clone()).or_default(),
            };
            let moved = interface.take(at, row, warm);
            if let Some(moved) = moved.filter(|_| !is_loopback(&cells.component)) {
                heard += moved.heard;
                said += moved.said;
                secs = Some(secs.map_or(moved.secs, |s| s.max(moved.secs)));
            }
        }
        let Some(secs) = secs else { return };
        let usual = self.usual_heard.location();
        let deaf = heard == 0.0 && said > 0.0;
        if warm && usual >= USUALLY_HEARS {
            self.deaf
                .take(at, Reading::of(deaf, heard > 0.0), heard, usual, DEAF);
        } else {
            self.deaf.learn(at, heard > 0.0);
        }
        if heard > 0.0 {
            self.usual_heard.feed(heard / secs, 0.5);
        }
    }

    /// Connection attempts that failed at or after `from`, beyond what is usual in that time.
    pub fn fails_since(&self, from: Timestamp) -> f64 {
        let Some(last) = self.fails.last() else {
            return 0.0;
        };
        let secs = last.since(from).as_secs_f64().min(30.0) + 1.0;
        self.fails.parts_since(from) - 2.0 * self.usual_fails.location() * secs
    }

    /// The interface that carries most of the traffic, if one does.
    fn main_interface(&self) -> Option<&ComponentId> {
        let outward = || self.interfaces.iter().filter(|(id, _)| !is_loopback(id));
        let sum: f64 = outward().map(|(_, i)| i.traffic()).sum();
        let (id, most) = outward().max_by(|a, b| a.1.traffic().total_cmp(&b.1.traffic()))?;
        (sum > 0.0 && most.traffic() >= 0.5 * sum).then_some(id)
    }

    pub fn findings(&self, host: &HostId, now: Timestamp, peers: PeerLoss) -> Vec<Finding> {
        let host = ComponentId::host(host.clone());
        let main = self.main_interface();
        let mut found = Vec::new();
        found.extend(self.retransmits(main.unwrap_or(&host), now, peers));
        if let Some(run) = self.deaf.live(now, DEAF) {
            found.push(Finding {
                component: host.clone(),
                peer: None,
                kind: kinds::RECEIVES_NOTHING,
                family: families::NETWORK,
                span: run.span,
                severity: 1.0,
                gate: run.span.length() >= DEAF_GATES_AFTER,
                text: format!(
                    "its interfaces received nothing for {}, usual {:.0} packets/s",
                    words::span(run.span.length()),
                    run.usual
                ),
                source: Source::Metric(names::TCP_SEGMENTS_IN),
            });
        }
        // The kernel counts for all listeners together: whose queue it is, the service's own symptom says.
        if let Some(run) = self.overflowing.live(now, OVERFLOWING) {
            found.push(Finding {
                component: host.clone(),
                peer: None,
                kind: kinds::LISTEN_OVERFLOW,
                family: families::SOCKETS,
                span: run.span,
                severity: 0.8,
                gate: false,
                text: format!(
                    "{:.0} connections lost to full accept queues in 10 s, usual {:.0}",
                    run.latest, run.usual
                ),
                source: Source::Metric(names::TCP_LISTEN_OVERFLOWS),
            });
        }
        for (id, interface) in &self.interfaces {
            found.extend(interface.findings(id, now, main == Some(id)));
        }
        found
    }

    fn retransmits(&self, of: &ComponentId, now: Timestamp, peers: PeerLoss) -> Option<Finding> {
        let by_edges = self.peers_losing.live(now, PEERS);
        let run = by_edges.or_else(|| self.losing.live(now, LOSS))?;
        let at_large = peers.is_at_large();
        let (severity, gates) = match (peers.with_traffic, peers.losing) {
            _ if at_large => (0.9, true),
            (0, _) if run.latest >= GATE => (0.5, false),
            (1, 1) => (0.4, false),
            _ => return None,
        };
        let parts = match by_edges {
            Some(_) => (peers.retransmits, peers.segments),
            None => self.loss.sums(),
        };
        Some(Finding {
            component: of.clone(),
            peer: None,
            kind: kinds::HOST_RETRANSMITS,
            family: families::NETWORK,
            span: run.span,
            severity,
            gate: gates && run.latest >= GATE && run.span.length() >= GATES_AFTER,
            text: format!(
                "{}; with {} of {}",
                words::sent_again(parts, run.latest, run.usual),
                peers.losing,
                words::count(u64::from(peers.with_traffic), "peer"),
            ),
            source: Source::Metric(names::TCP_RETRANSMITS),
        })
    }

    pub fn healths(&self, host: &HostId, coverage: f64, peers: PeerLoss) -> Vec<Health> {
        let mut attested = Vec::new();
        let (resent, all) = self.loss.sums();
        let share = self.loss.ratio().unwrap_or(1.0);
        let quiet = self.deaf.is_quiet() && peers.losing == 0;
        if let Some(last) = self.loss.last()
            && all >= POWER_SEGMENTS
            && share < CLEAN
            && quiet
        {
            attested.push(Health {
                component: ComponentId::host(host.clone()),
                family: families::NETWORK,
                coverage,
                last,
                text: format!(
                    "{resent:.0} of {all:.0} segments sent again in 10 s, would have shown {}",
                    words::percent(LOSSY)
                ),
                source: Source::Metric(names::TCP_RETRANSMITS),
            });
        }
        if quiet && share < CLEAN {
            attested.extend(
                self.interfaces
                    .iter()
                    .filter_map(|(id, i)| i.health(id, coverage)),
            );
        }
        attested
    }

    /// What was usual of the interfaces that are accepted is forgotten; and of the host's segments, where the host is, or
    /// the interface that they are told of.
    pub fn forget_usual(&mut self, accepted: &ComponentId, now: Timestamp) {
        let host = accepted.kind() == ComponentKind::Host;
        if host || self.main_interface() == Some(accepted) {
            self.usual_loss = Baseline::NEW;
            (self.losing, self.peers_losing) = (Watch::default(), Watch::default());
            self.anew = Anew::from(now);
        }
        for (id, interface) in &mut self.interfaces {
            if covers(accepted, id) {
                interface.forget_usual(now);
            }
        }
    }

    pub fn interfaces(&self) -> impl Iterator<Item = &ComponentId> {
        self.interfaces.keys()
    }

    /// Forgets interfaces that have not reported since `from`.
    pub fn forget_before(&mut self, from: Timestamp) {
        self.interfaces
            .retain(|_, interface| interface.last() >= Some(from));
    }

    pub fn stepped(&mut self) {
        *self = Self::default();
    }
}

fn is_loopback(interface: &ComponentId) -> bool {
    interface.name() == "lo"
}
