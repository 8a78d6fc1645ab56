//! The detector: takes records of all hosts, says what is wrong and what is well.

use std::collections::{BTreeMap, BTreeSet};

use firstlook_model::symptom::{families, kinds};
use firstlook_model::{
    Change, ChangeKind, ComponentId, ComponentKind, EdgeObservation, HostId, Inventory, LogBlock,
    Loss, MetricBlock, Mount, Record, Schema, Situation, Timestamp, UnitState,
};

use crate::accept::Acceptances;
use crate::blind;
use crate::config::DetectConfig;
use crate::context::Context;
use crate::draft::{Draft, Finding, Health, Source};
use crate::edges::{self, Tries};
use crate::graph::{self, Link};
use crate::heartbeat::{self, Presence};
use crate::host::Host;
use crate::level::Nominee;
use crate::own;
use crate::refusals::Refusals;
use crate::words;

/// Segments over ten seconds from which a component's edges attest their health.
const ATTESTING_SEGMENTS: f64 = 10.0;

/// Signals of all hosts in, situations out. See the crate's invariants.
#[derive(Debug)]
pub struct Detector {
    pub(crate) config: DetectConfig,
    pub(crate) hosts: BTreeMap<HostId, Host>,
    pub(crate) presence: Presence,
    /// For hosts that are still to come: what was accepted before is nothing that they have to forget.
    pub(crate) accepted: Acceptances,
    refusals: Refusals,
}

impl Detector {
    /// Knows nothing yet.
    pub fn new(config: DetectConfig) -> Self {
        Self {
            config,
            hosts: BTreeMap::new(),
            presence: Presence::default(),
            accepted: Acceptances::default(),
            refusals: Refusals::default(),
        }
    }

    /// Takes one record that the collector received at `received`. Within one host, records come in the
    /// order of their sequence; repeated and late ones are tolerated. Counts as a contact.
    pub fn observe_record(&mut self, host: &HostId, received: Timestamp, record: &Record) {
        self.observe_contact(host, received, None);
        match record {
            Record::Schema(schema) => self.observe_schema(host, schema),
            Record::Metrics(block) => self.observe_block(host, block),
            Record::Logs(block) => self.observe_logs(host, block),
            Record::Edges(seen) => self.observe_edges(host, seen),
            Record::Units(states) => self.observe_units(host, states),
            Record::Changes(changes) => self.observe_seen(host, changes),
            Record::Inventory(inventory) => self.observe_inventory(host, inventory),
            Record::Losses(losses) => self.observe_losses(host, losses),
        }
        if let Some(host) = self.hosts.get_mut(host) {
            host.recorded = host.recorded.max(Some(received));
            if let Some(newest) = host.newest {
                host.clock.bounded(received, newest);
            }
        }
    }

    /// The host was heard at `received`; `said` is its own wall clock at sending, if it told.
    pub fn observe_contact(&mut self, host: &HostId, received: Timestamp, said: Option<Timestamp>) {
        let Some(host) = self.host(host) else { return };
        if let Some(said) = said {
            host.clock.told(received, said);
        }
        host.heard(received);
        self.presence.heard(received, &self.config);
    }

    /// Takes a list of series. Blocks of a schema that was not taken are refused.
    pub fn observe_schema(&mut self, host: &HostId, schema: &Schema) {
        self.with(host, |host, config, refusals| {
            host.take_schema(schema, config, refusals)
        });
    }

    /// Takes samples.
    pub fn observe_block(&mut self, host: &HostId, block: &MetricBlock) {
        self.with(host, |host, config, refusals| {
            host.take_block(block, config, refusals)
        });
    }

    /// Takes log lines.
    pub fn observe_logs(&mut self, host: &HostId, block: &LogBlock) {
        let foreign = block
            .entries
            .iter()
            .filter(|e| !is_own(host, &e.component))
            .count();
        self.refusals.foreign += foreign as u64;
        let own = (foreign > 0).then(|| LogBlock {
            templates: block.templates.clone(),
            entries: block
                .entries
                .iter()
                .filter(|e| is_own(host, &e.component))
                .cloned()
                .collect(),
        });
        let block = own.as_ref().unwrap_or(block);
        self.with(host, |host, config, refusals| {
            host.take_logs(block, config, refusals)
        });
    }

    /// Takes what one dump of connections showed.
    pub fn observe_edges(&mut self, host: &HostId, seen: &[EdgeObservation]) {
        let valid = |e: &&EdgeObservation| {
            is_own(host, &e.local) && e.interval_ms > 0 && !e.remote.is_unspecified()
        };
        // Without its port an edge names nobody's listener.
        let known = |e: &&EdgeObservation| e.port != 0;
        let own: Vec<&EdgeObservation> = seen.iter().filter(valid).collect();
        self.refusals.foreign += (seen.len() - own.len()) as u64;
        let all = own.len();
        let own: Vec<&EdgeObservation> = own.into_iter().filter(known).collect();
        self.refusals.malformed += (all - own.len()) as u64;
        self.with(host, |host, config, refusals| {
            host.take_edges(&own, config, refusals)
        });
    }

    /// Takes states of units.
    pub fn observe_units(&mut self, host: &HostId, states: &[UnitState]) {
        for state in states {
            let service = state.component.kind() == ComponentKind::Service;
            if !service || !is_own(host, &state.component) {
                self.refusals.foreign += 1;
                continue;
            }
            self.with(host, |host, config, refusals| {
                host.take_unit(state.clone(), config, refusals)
            });
        }
    }

    /// Takes changes by the collector's own word: those that somebody announced. An acceptance among them makes what was
    /// usual of its component be learned anew, once however often it is heard.
    pub fn observe_changes(&mut self, host: &HostId, changes: &[Change]) {
        for change in changes {
            if !is_own(host, &change.component) {
                self.refusals.foreign += 1;
                continue;
            }
            self.with(host, |host, config, refusals| {
                host.take_change(change, config, refusals)
            });
            if change.kind == ChangeKind::Accepted {
                self.accept(change, |_| true);
                self.accepted.hear(&change.id.as_str().into());
            }
        }
    }

    /// Takes changes that an agent saw. What is as it should be nobody sees: were an agent believed in that, whoever took
    /// over a host could make the collector forget what it was like.
    fn observe_seen(&mut self, host: &HostId, changes: &[Change]) {
        for change in changes {
            if change.kind == ChangeKind::Accepted {
                self.refusals.unannounced += 1;
            } else {
                self.observe_changes(host, std::slice::from_ref(change));
            }
        }
    }

    /// Takes a host's facts.
    pub fn observe_inventory(&mut self, host: &HostId, inventory: &Inventory) {
        let mut own = inventory.clone();
        own.listeners.retain(|l| is_own(host, &l.component));
        own.mounts.retain(|m| is_own(host, &m.component));
        let mut foreign = inventory.listeners.len() - own.listeners.len();
        foreign += inventory.mounts.len() - own.mounts.len();
        for mount in &mut own.mounts {
            let all = mount.used_by.len();
            mount.used_by.retain(|c| is_own(host, c));
            foreign += all - mount.used_by.len();
        }
        self.refusals.foreign += foreign as u64;
        self.with(host, |host, _, refusals| host.take_inventory(own, refusals));
    }

    /// Takes what was lost before it could be kept.
    pub fn observe_losses(&mut self, host: &HostId, losses: &[Loss]) {
        self.with(host, |host, _, _| host.losses.take(losses));
    }

    /// Forgets a host that is no more. Its silence then means nothing.
    pub fn forget_host(&mut self, host: &HostId) {
        self.hosts.remove(host);
    }

    /// What was refused, by reason.
    pub fn refused(&self) -> &Refusals {
        &self.refusals
    }

    /// Series of a host that left their usual level, as level one sees it: where to look, no symptoms.
    /// In the order of their first appearance. Empty for an unknown host.
    pub fn nominees(&self, host: &HostId) -> Vec<Nominee<'_>> {
        self.hosts.get(host).map_or_else(Vec::new, Host::nominees)
    }

    pub(crate) fn host(&mut self, id: &HostId) -> Option<&mut Host> {
        if !self.hosts.contains_key(id) {
            if self.hosts.len() >= self.config.host_limit {
                self.refusals.over_budget += 1;
                return None;
            }
            let mut new = Host::new(id.clone());
            new.accepted = self.accepted.clone();
            self.hosts.insert(id.clone(), new);
        }
        self.hosts.get_mut(id)
    }

    fn with(&mut self, id: &HostId, take: impl FnOnce(&mut Host, &DetectConfig, &mut Refusals)) {
        if self.host(id).is_none() {
            return;
        }
        if let Some(host) = self.hosts.get_mut(id) {
            take(host, &self.config, &mut self.refusals);
        }
    }

    /// Everything that diagnosis may know at `reference_time`, which is the collector's. Asking changes
    /// nothing: the same records give the same answer, however often it was asked before.
    pub fn situation(&self, reference_time: Timestamp) -> Situation {
        let now = reference_time;
        let links = graph::links(&self.hosts);
        let silent = heartbeat::silent(&self.hosts, now, &self.config);
        let found = edge_findings(&links, &self.hosts, &silent);
        let context = self.context(&links, &found);
        let mut draft = Draft::new(now, self.config.attest_within);
        for (host, finding) in found {
            draft.unwell(&finding.component, families::EDGE);
            if let Some(peer) = &finding.peer {
                draft.unwell(peer, families::EDGE);
            }
            draft.symptom(&host.clock, silent.contains_key(&host.id), finding);
        }
        for (id, host) in &self.hosts {
            host.judge(&mut draft, &context, silent.contains_key(id));
            blind::of_host(&mut draft, host);
        }
        attest_edges(&mut draft, &links, &silent);
        heartbeat::judge(
            &mut draft,
            &self.hosts,
            &silent,
            &links,
            &self.presence,
            now,
            &self.config,
        );
        let edges = graph::merged(&links, now);
        blind::of_endpoints(&mut draft, &edges);
        let mut components: BTreeSet<ComponentId> =
            self.hosts.values().flat_map(Host::components).collect();
        components.extend(
            edges
                .iter()
                .flat_map(|e| [e.caller.clone(), e.callee.clone()]),
        );
        let (symptoms, attestations, blind_spots) = draft.finish();
        Situation {
            reference_time,
            symptoms,
            attestations,
            components: components.into_iter().collect(),
            mounts: self.mounts(),
            changes: self.changes(now),
            edges,
            blind_spots,
        }
    }

    fn context(&self, links: &[Link<'_>], found: &[(&Host, Finding)]) -> Context {
        let hurts = [
            kinds::EDGE_SLOW,
            kinds::EDGE_STALLED,
            kinds::EDGE_UNANSWERED,
            kinds::EDGE_LOST,
        ];
        // Round trips within one host, and our own agents', suffer from any busy minute.
        let abroad = |f: &Finding| {
            let peer = f.peer.as_ref()?.host_id()?;
            (f.component.host_id() != Some(peer) && !own::is_own(&f.component))
                .then(|| peer.clone())
        };
        let hurt = found
            .iter()
            .filter(|(_, f)| hurts.contains(&f.kind))
            .filter_map(|(_, f)| abroad(f));
        let says = |host: &&Host| host.newest.is_some_and(|now| host.logs.says_no_space(now));
        Context {
            callers: graph::callers(links),
            hurt: hurt.collect(),
            no_space: self
                .hosts
                .values()
                .filter(says)
                .map(|h| h.id.clone())
                .collect(),
            hosts: self.hosts.keys().cloned().collect(),
        }
    }

    fn mounts(&self) -> Vec<Mount> {
        let mut mounts: Vec<Mount> = self
            .hosts
            .values()
            .flat_map(Host::mounts)
            .cloned()
            .collect();
        mounts.sort_unstable();
        mounts.dedup();
        mounts
    }

    fn changes(&self, now: Timestamp) -> Vec<Change> {
        let corrected = self.hosts.values().flat_map(|host| {
            host.changes().map(|change| Change {
                time: host.clock.corrected(change.time),
                ..change.clone()
            })
        });
        let lately = |c: &Change| c.time <= now && now.since(c.time) <= self.config.changes_for;
        let mut changes: Vec<Change> = corrected.filter(lately).collect();
        changes.sort_by(|a, b| (a.time, &a.component, &a.id).cmp(&(b.time, &b.component, &b.id)));
        changes
    }
}

/// A host may speak of what is on it, and of nothing else.
fn is_own(host: &HostId, component: &ComponentId) -> bool {
    component.host_id() == Some(host)
}

/// Symptoms of all edges, each with the host that observed it.
fn edge_findings<'a>(
    links: &[Link<'a>],
    hosts: &BTreeMap<HostId, Host>,
    silent: &BTreeMap<&HostId, Timestamp>,
) -> Vec<(&'a Host, Finding)> {
    let mut found: Vec<(&Host, Finding)> = Vec::new();
    let mut ended: BTreeMap<&HostId, Vec<&Link<'a>>> = BTreeMap::new();
    for link in links {
        let Some(now) = link.host.newest else {
            continue;
        };
        found.extend(
            link.judged()
                .findings(now)
                .into_iter()
                .map(|f| (link.host, f)),
        );
        if link.is_outbound() && edges::ended(&link.host.edges, link.track).is_some() {
            ended.entry(&link.host.id).or_default().push(link);
        }
    }
    for of_host in ended.values() {
        for link in of_host {
            let lost = lost(link, of_host.len(), hosts, silent);
            found.extend(lost.map(|f| (link.host, f)));
        }
    }
    found
}

fn lost(
    link: &Link<'_>,
    ended: usize,
    hosts: &BTreeMap<HostId, Host>,
    silent: &BTreeMap<&HostId, Timestamp>,
) -> Option<Finding> {
    let host = link.host;
    let span = edges::ended(&host.edges, link.track)?;
    let from = edges::tries_from(&span, host.newest?);
    let far = link
        .far
        .filter(|far| !silent.contains_key(far))
        .and_then(|far| hosts.get(far));
    let tries = Tries {
        fails: host.network.fails_since(from),
        refused: host.logs.refused_since(&link.caller, from),
        open: far.and_then(|far| far.listeners.is_open(link.key.remote, link.key.port)),
        ended,
    };
    edges::lost(&link.judged(), span, tries)
}

/// What the edges of one component carried.
#[derive(Default)]
struct Carried {
    edges: u64,
    all: f64,
    resent: f64,
    rtt_ms: Option<f64>,
    last: Option<Timestamp>,
    unsure: bool,
}

/// Attests the edges of every component whose edges are all well and carry enough to tell.
fn attest_edges(draft: &mut Draft, links: &[Link<'_>], silent: &BTreeMap<&HostId, Timestamp>) {
    let mut carried: BTreeMap<&ComponentId, (&Host, Carried)> = BTreeMap::new();
    let live = |link: &&Link<'_>| {
        link.host.edges.is_present(link.track) && !silent.contains_key(&link.host.id)
    };
    for link in links.iter().filter(live) {
        let local = if link.is_outbound() {
            &link.caller
        } else {
            &link.callee
        };
        let (_, sum) = carried
            .entry(local)
            .or_insert((link.host, Carried::default()));
        let Some((all, resent, rtt_ms)) = link.judged().health() else {
            sum.unsure |= link.track.is_unwell();
            continue;
        };
        sum.edges += 1;
        (sum.all, sum.resent) = (sum.all + all, sum.resent + resent);
        sum.rtt_ms = sum.rtt_ms.into_iter().chain(rtt_ms).reduce(f64::max);
        sum.last = sum.last.max(Some(link.track.last()));
    }
    for (component, (host, sum)) in carried {
        let Some(last) = sum
            .last
            .filter(|_| !sum.unsure && sum.all >= ATTESTING_SEGMENTS)
        else {
            continue;
        };
        let rtt = sum.rtt_ms.map_or_else(String::new, |ms| {
            format!(", round-trip time {}", words::millis(ms))
        });
        let health = Health {
            component: component.clone(),
            family: families::EDGE,
            coverage: 0.9,
            last,
            text: format!(
                "{} carried {:.0} segments in 10 s, {:.0} of them again{rtt}; {}",
                words::count(sum.edges, "edge"),
                sum.all,
                sum.resent,
                edges::power()
            ),
            source: Source::Metric(firstlook_model::signal::names::TCP_ESTABLISHED),
        };
        draft.attest(&host.clock, health);
    }
}
