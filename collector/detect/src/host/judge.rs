//! What one host shows at one time.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use firstlook_model::symptom::families;
use firstlook_model::{ComponentId, ComponentKind, Timestamp, signal::names};

use super::Host;
use crate::context::Context;
use crate::cpu::Use;
use crate::draft::{Draft, Finding, Health, Source};
use crate::level::{Nominee, STRANGE};
use crate::network::PeerLoss;

/// Segments from which a peer counts as one with traffic, and how many of them lost make it a losing one.
const PEER_SEGMENTS: f64 = 10.0;
const PEER_LOSS: f64 = 0.02;
const PEER_RETRANSMITS: f64 = 2.0;

/// A series that was not sampled for this long is no nominee.
const NOMINATED_WITHIN: Duration = Duration::from_secs(30);

impl Host {
    /// Adds the host's own symptoms and attestations, edges aside. `silent`: no contact at present.
    pub fn judge(&self, draft: &mut Draft, context: &Context, silent: bool) {
        let Some(now) = self.newest else { return };
        let peers = self.peer_loss(now);
        for finding in self.findings(now, context, peers) {
            draft.symptom(&self.clock, silent, finding);
        }
        if !silent {
            self.attest(draft, now, peers);
        }
    }

    fn findings(&self, now: Timestamp, context: &Context, peers: PeerLoss) -> Vec<Finding> {
        let usage = self.usage();
        let mut found = self.cpu.findings(&self.id, now, &usage, context);
        found.extend(self.lost.findings(&self.id, now));
        found.extend(self.source_clock.finding(&self.id, &self.clock, now));
        for (id, disk) in &self.disks {
            found.extend(disk.findings(id, now));
        }
        found.extend(self.memory.finding(&self.id, now));
        found.extend(self.io.finding(&self.id, now));
        found.extend(self.limits.findings(&self.id, now, context));
        found.extend(self.network.findings(&self.id, now, peers));
        for (id, filesystem) in &self.filesystems {
            found.extend(filesystem.findings(id, now, context));
        }
        for frozen in self.frozen(now, context) {
            // What its own calls say is said already.
            let same = |f: &Finding| f.kind == frozen.kind && f.component == frozen.component;
            if !found.iter().any(same) {
                found.push(frozen);
            }
        }
        for (id, service) in &self.services {
            found.extend(service.findings(id, now, context));
            found.extend(service.growing(id, now, self.memory.available()));
        }
        for unit in self.units.values() {
            found.extend(unit.findings(&self.clock, now, context));
        }
        found.extend(self.jobs.finding(&self.id, now));
        found.extend(self.probes.findings(now));
        found.extend(self.certificates.findings(now));
        let known =
            |id: &ComponentId| self.services.contains_key(id) || self.units.contains_key(id);
        found.extend(self.oom.findings(&self.id, now, &context.hosts, known));
        found.extend(self.logs.findings(now));
        if !self.is_blind("listeners") && !self.is_blind("sockets") {
            found.extend(
                self.listeners
                    .findings(now, context, |id| self.is_missed(id, context)),
            );
        }
        found
    }

    /// Whether a listener's absence matters: its service is meant to be up, or somebody calls it.
    fn is_missed(&self, service: &ComponentId, context: &Context) -> bool {
        let wanted = self.units.get(service).is_none_or(|unit| unit.is_wanted());
        wanted || context.callers(service).any()
    }

    fn usage(&self) -> Use<'_> {
        let mut by: Vec<(&ComponentId, f64)> = self
            .services
            .iter()
            .map(|(id, service)| (id, service.cores()))
            .collect();
        by.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        Use { by }
    }

    /// What the edges say of the host's peers elsewhere.
    pub(super) fn peer_loss(&self, now: Timestamp) -> PeerLoss {
        let mut loss = PeerLoss::default();
        if !self.edges.is_fresh(now) {
            return loss;
        }
        let mut peers: BTreeMap<IpAddr, (f64, f64)> = BTreeMap::new();
        for (key, track) in self.edges.iter() {
            if key.remote.is_loopback()
                || self.has_address(key.remote)
                || !self.edges.is_present(track)
            {
                continue;
            }
            let (all, resent) = track.segments();
            let peer = peers.entry(key.remote).or_default();
            *peer = (peer.0 + all, peer.1 + resent);
        }
        for (all, resent) in peers.into_values().filter(|(all, _)| *all >= PEER_SEGMENTS) {
            loss.with_traffic += 1;
            loss.losing += u32::from(resent >= PEER_RETRANSMITS && resent >= PEER_LOSS * all);
            loss.segments += all;
            loss.retransmits += resent;
        }
        loss
    }

    fn attest(&self, draft: &mut Draft, now: Timestamp, peers: PeerLoss) {
        let coverage = self.coverage();
        let mut attested = Vec::new();
        if self.lost.is_none() {
            attested.extend(self.cpu.health(&self.id, coverage));
        }
        attested.extend(self.source_clock.health(&self.id, &self.clock, coverage));
        attested.extend(self.memory.health(&self.id, coverage));
        attested.extend(self.io.health(&self.id, coverage));
        attested.extend(self.limits.health(&self.id, now, coverage));
        attested.extend(self.network.healths(&self.id, coverage, peers));
        // A frozen filesystem has room, and tells so at once: whoever waits for one may wait for it.
        if !self
            .services
            .values()
            .any(|service| service.blocked(now).is_some())
        {
            for (id, filesystem) in &self.filesystems {
                attested.extend(filesystem.health(id, coverage));
            }
        }
        for (id, service) in &self.services {
            attested.extend(service.health(id, now, coverage));
        }
        attested.extend(self.disk_healths(coverage));
        if !self.is_blind("units") {
            attested.extend(self.units.values().filter_map(|unit| unit.health(now, 1.0)));
        }
        attested.extend(self.probes.health(now, coverage));
        if !self.losses.is_recent(now) && !self.is_blind("strain-logs") {
            attested.extend(self.logs.healths(now, self.log_coverage()));
        }
        for health in attested {
            draft.attest(&self.clock, health);
        }
    }

    /// Disks none of whose series left its usual level, by level one.
    fn disk_healths(&self, coverage: f64) -> Vec<Health> {
        let Some(last) = self.samples.last() else {
            return Vec::new();
        };
        let strange: BTreeSet<&ComponentId> =
            self.nominees().into_iter().map(|n| n.component).collect();
        let disks = self
            .others
            .iter()
            .filter(|c| c.kind() == ComponentKind::Disk);
        let calm = disks.filter(|disk| !strange.contains(disk));
        let health = |disk: &ComponentId| Health {
            component: disk.clone(),
            family: families::DISK,
            coverage,
            last,
            text: format!(
                "requests, times and queue at their usual levels; would have shown {STRANGE:.0} times what they moved by before"
            ),
            source: Source::Metric(names::DISK_WEIGHTED_SECONDS),
        };
        calm.map(health).collect()
    }

    /// Series that level one nominates at present.
    pub fn nominees(&self) -> Vec<Nominee<'_>> {
        let Some(newest) = self.newest else {
            return Vec::new();
        };
        self.levels
            .nominees(newest.minus(NOMINATED_WITHIN))
            .collect()
    }

    /// Blind log sources leave half of what there is to read, as far as one can tell.
    fn log_coverage(&self) -> f64 {
        let blind = ["journald", "files"]
            .iter()
            .any(|source| self.is_blind(source));
        if blind { 0.5 } else { 0.9 }
    }

    /// Services of which processes or lines were seen, and nothing any more for so long that they are forgotten.
    fn forgotten(&self) -> BTreeSet<&ComponentId> {
        let Some(newest) = self.newest else {
            return BTreeSet::new();
        };
        let services = self.services.iter().map(|(id, s)| (id, s.life()));
        let seen = || services.clone().chain(self.logs.lives());
        let alive: BTreeSet<&ComponentId> = seen()
            .filter(|(_, life)| !life.is_forgotten(newest))
            .map(|(id, _)| id)
            .collect();
        seen()
            .map(|(id, _)| id)
            .filter(|id| id.kind() == ComponentKind::Service && !alive.contains(id))
            .collect()
    }

    /// Every component of the host. Commands that ran for a while and ended are none for long.
    pub fn components(&self) -> BTreeSet<ComponentId> {
        let own = [
            ComponentId::host(self.id.clone()),
            ComponentId::agent(self.id.clone()),
        ];
        let mounted = self
            .mounts
            .iter()
            .flat_map(|m| m.used_by.iter().chain([&m.component]));
        let mut all: BTreeSet<ComponentId> = own.into();
        let forgotten = self.forgotten();
        let by_signs = self.others.iter().chain(self.services.keys());
        let by_signs = by_signs.chain(self.logs.lives().map(|(id, _)| id));
        all.extend(by_signs.filter(|id| !forgotten.contains(id)).cloned());
        all.extend(self.filesystems.keys().cloned());
        all.extend(self.units.values().map(|u| u.component().clone()));
        all.extend(self.network.interfaces().cloned());
        all.extend(self.listeners.owners().cloned());
        all.extend(mounted.cloned());
        all.extend(self.changes.iter().map(|c| c.component.clone()));
        all
    }
}
