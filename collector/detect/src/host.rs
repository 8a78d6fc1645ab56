//! One host: everything that it said, reduced to what judging needs.

mod accept;
mod block;
mod frozen;
mod judge;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use firstlook_model::signal::SERIES_LIMIT;
use firstlook_model::{
    Change, ChangeKind, ComponentId, EdgeObservation, HostId, Inventory, LogBlock, LogSource,
    MetricBlock, Mount, Schema, SchemaId, Timestamp, UnitState,
};
use serde::{Deserialize, Serialize};

use crate::accept::Acceptances;
use crate::baseline::Baseline;
use crate::blind::Losses;
use crate::certificates::Certificates;
use crate::clock::{HostClock, SourceClock};
use crate::config::DetectConfig;
use crate::cpu::Cpu;
use crate::disk::Disk;
use crate::edges::Edges;
use crate::io::Io;
use crate::jobs::Jobs;
use crate::level::Levels;
use crate::limits::HostLimits;
use crate::listeners::Listeners;
use crate::logs::{Budget, Logs};
use crate::lost::Lost;
use crate::memory::Memory;
use crate::network::Network;
use crate::oom::Oom;
use crate::plan::Plan;
use crate::probes::Probes;
use crate::refusals::Refusals;
use crate::service::Service;
use crate::space::Filesystem;
use crate::units::Unit;
use crate::window::Window;

/// Schemas remembered: the present one and those of blocks still on their way.
const PLANS: usize = 4;
/// A block this much older than the newest observation is late, or the host's clock was set back.
const LATE: Duration = Duration::from_secs(60);
/// So many late blocks in a row mean that the clock was set back.
const STEP_AFTER: u32 = 3;
/// What has not been seen for this long is gone.
const FORGOTTEN: Duration = Duration::from_secs(3_600);
/// Window of the coverage of samples, in seconds.
const COVERAGE_S: u64 = 30;

/// One host's state. Times are its own clock's, but for `contact`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Host {
    pub id: HostId,
    pub clock: HostClock,
    /// Last contact, by the collector's clock.
    pub contact: Option<Timestamp>,
    /// When the collector received the last of its records that were taken.
    pub recorded: Option<Timestamp>,
    /// Newest observation, log lines aside.
    pub newest: Option<Timestamp>,
    began: Option<Timestamp>,
    late_blocks: u32,
    samples: Window,
    step_s: Baseline,
    pub(crate) levels: Levels,
    // Kept as lists of slots.
    #[serde(skip)]
    pub(crate) plans: VecDeque<(SchemaId, Arc<Plan>)>,
    cpu: Cpu,
    lost: Lost,
    source_clock: SourceClock,
    memory: Memory,
    io: Io,
    pub network: Network,
    oom: Oom,
    limits: HostLimits,
    filesystems: BTreeMap<ComponentId, Filesystem>,
    disks: BTreeMap<ComponentId, Disk>,
    services: BTreeMap<ComponentId, Service>,
    units: BTreeMap<ComponentId, Unit>,
    jobs: Jobs,
    probes: Probes,
    certificates: Certificates,
    pub logs: Logs,
    pub edges: Edges,
    pub listeners: Listeners,
    addresses: BTreeMap<IpAddr, Timestamp>,
    mounts: Vec<Mount>,
    blind: Vec<String>,
    changes: VecDeque<Change>,
    pub losses: Losses,
    others: Vec<ComponentId>,
    #[serde(default)]
    pub accepted: Acceptances,
}

impl Host {
    pub fn new(id: HostId) -> Self {
        Self {
            id,
            clock: HostClock::default(),
            contact: None,
            recorded: None,
            newest: None,
            began: None,
            late_blocks: 0,
            samples: Window::seconds(COVERAGE_S),
            step_s: Baseline::NEW,
            levels: Levels::default(),
            plans: VecDeque::new(),
            cpu: Cpu::default(),
            lost: Lost::default(),
            source_clock: SourceClock::default(),
            memory: Memory::default(),
            io: Io::default(),
            network: Network::default(),
            oom: Oom::default(),
            limits: HostLimits::default(),
            filesystems: BTreeMap::new(),
            disks: BTreeMap::new(),
            services: BTreeMap::new(),
            units: BTreeMap::new(),
            jobs: Jobs::default(),
            probes: Probes::default(),
            certificates: Certificates::default(),
            logs: Logs::default(),
            edges: Edges::default(),
            listeners: Listeners::default(),
            addresses: BTreeMap::new(),
            mounts: Vec::new(),
            blind: Vec::new(),
            changes: VecDeque::new(),
            losses: Losses::default(),
            others: Vec::new(),
            accepted: Acceptances::default(),
        }
    }

    pub fn heard(&mut self, received: Timestamp) {
        self.contact = self.contact.max(Some(received));
        self.began.get_or_insert(self.clock.own(received));
    }

    fn touch(&mut self, at: Timestamp) {
        self.newest = self.newest.max(Some(at));
        self.began.get_or_insert(at);
    }

    fn is_warm(&self, at: Timestamp, config: &DetectConfig) -> bool {
        self.began
            .is_some_and(|began| at >= began.plus(config.warm_up))
    }

    pub fn take_schema(&mut self, schema: &Schema, config: &DetectConfig, refusals: &mut Refusals) {
        // Schemas come again every ten minutes: time to forget what is gone.
        self.forget_old(config);
        if self.plans.iter().any(|(id, _)| *id == schema.id()) {
            return;
        }
        if schema.series().len() > SERIES_LIMIT {
            refusals.over_budget += 1;
            return;
        }
        let foreign = schema
            .series()
            .iter()
            .filter(|s| s.component.host_id() != Some(&self.id))
            .count();
        if foreign > 0 {
            refusals.foreign += foreign as u64;
            return;
        }
        let mut slots = self.slots(schema);
        if slots.is_none() {
            // Series come and go: levels of those that went make room.
            self.levels = Levels::default();
            self.plans.clear();
            slots = self.slots(schema);
        }
        let Some(slots) = slots else { return };
        self.others = schema
            .series()
            .iter()
            .map(|s| s.component.clone())
            .collect();
        self.others.sort_unstable();
        self.others.dedup();
        let plan = Plan::new(schema.series(), slots);
        refusals.over_budget += (plan.probes_over + plan.certificates_over) as u64;
        self.probes.keep(&plan.probes);
        self.certificates.keep(&plan.certificates);
        self.plans.push_back((schema.id(), Arc::new(plan)));
        if self.plans.len() > PLANS {
            self.plans.pop_front();
        }
    }

    fn slots(&mut self, schema: &Schema) -> Option<Vec<u32>> {
        let series = schema.series().iter();
        series.map(|s| self.levels.slot(s, SERIES_LIMIT)).collect()
    }

    fn forget_old(&mut self, config: &DetectConfig) {
        let Some(newest) = self.newest else { return };
        let from = newest.minus(FORGOTTEN);
        self.filesystems.retain(|_, f| f.last() >= Some(from));
        self.disks.retain(|_, d| d.last() >= Some(from));
        self.services.retain(|_, s| s.life().last() >= Some(from));
        self.units.retain(|_, u| u.last() >= from);
        self.network.forget_before(from);
        self.logs.forget_before(from);
        while self
            .changes
            .front()
            .is_some_and(|c| newest.since(c.time) > config.changes_for)
        {
            self.changes.pop_front();
        }
    }

    pub fn take_block(
        &mut self,
        block: &MetricBlock,
        config: &DetectConfig,
        refusals: &mut Refusals,
    ) {
        let Some(plan) = self.plans.iter().find(|(id, _)| *id == block.schema) else {
            refusals.unknown_schema += 1;
            return;
        };
        let plan = Arc::clone(&plan.1);
        if block.columns.width() != plan.slots.len() {
            refusals.malformed += 1;
            return;
        }
        let (Some(first), Some(last)) = (block.times.first(), block.times.last()) else {
            return;
        };
        if self.newest.is_some_and(|newest| newest.since(*last) > LATE) {
            self.late_blocks += 1;
            if self.late_blocks < STEP_AFTER {
                refusals.late += 1;
                return;
            }
            self.step_back();
        }
        self.late_blocks = 0;
        self.began.get_or_insert(*first);
        for (slot, column) in plan.slots.iter().zip(block.columns.iter()) {
            self.levels.feed(*slot, &block.times, column);
        }
        self.count_samples(&block.times);
        self.judge_block(&plan, block, config);
        self.touch(*last);
    }

    /// The host's clock was set back: what is usual stays, everything about time starts anew.
    fn step_back(&mut self) {
        self.clock.stepped();
        self.newest = None;
        self.samples.clear();
        self.levels.stepped();
        self.cpu.stepped();
        self.lost.stepped();
        self.source_clock.stepped();
        self.disks.values_mut().for_each(Disk::stepped);
        self.memory.stepped();
        self.io.stepped();
        self.network.stepped();
        self.oom.stepped();
        self.limits.stepped();
        self.filesystems.clear();
        self.services.values_mut().for_each(Service::stepped);
        self.units.clear();
        self.jobs.stepped();
        self.probes.stepped();
        self.certificates.stepped();
        self.logs.stepped();
        self.edges.stepped();
        self.listeners.stepped();
    }

    pub fn take_logs(&mut self, block: &LogBlock, config: &DetectConfig, refusals: &mut Refusals) {
        let budget = Budget {
            components: config.component_limit,
            templates: config.template_limit,
        };
        if let Some(first) = block.entries.first() {
            self.began.get_or_insert(first.time);
        }
        let learned = self.began.map(|began| began.plus(config.log_warm_up));
        let learning = |at: Timestamp| learned.is_none_or(|learned| at < learned);
        refusals.over_budget += self.logs.take(block, learning, budget);
        for entry in block
            .entries
            .iter()
            .filter(|e| e.source == LogSource::Kernel)
        {
            if self.began.is_some_and(|began| entry.time >= began) {
                self.take_kernel_line(entry);
            }
        }
    }

    pub fn take_edges(
        &mut self,
        seen: &[&EdgeObservation],
        config: &DetectConfig,
        refusals: &mut Refusals,
    ) {
        if let Some(last) = seen.iter().map(|e| e.time).max() {
            self.began.get_or_insert(last);
        }
        let learned = self.began.map(|began| began.plus(config.warm_up));
        let warm = |at: Timestamp| learned.is_some_and(|learned| at >= learned);
        let taken = self
            .edges
            .take(seen.iter().copied(), config.edge_limit, warm);
        refusals.over_budget += taken.over_budget;
        refusals.late += taken.late;
        let Some((at, interval)) = self.edges.batch() else {
            return;
        };
        let peers = self.peer_loss(at);
        self.network.take_peers(at, peers, warm(at));
        for (service, waiting) in taken.backlogs {
            if let Some(known) = self.services.get_mut(&service) {
                known.take_backlog(at, waiting, interval, warm(at));
            }
        }
        self.touch(at);
    }

    pub fn take_unit(&mut self, state: UnitState, config: &DetectConfig, refusals: &mut Refusals) {
        self.touch(state.time);
        let (service, at) = (state.component.clone(), state.time);
        let room = self.units.len() < config.component_limit;
        let warm = self.is_warm(at, config);
        match self.units.get_mut(&service) {
            Some(known) => {
                if warm && at > known.last() {
                    self.jobs.take_unit(known.state(), &state);
                }
                if known.take(state) {
                    self.killed(
                        &service,
                        at,
                        "its manager says that it was killed for want of memory",
                    );
                }
            }
            None if room => {
                self.units.insert(service, Unit::first(state));
            }
            None => refusals.over_budget += 1,
        }
    }

    pub fn take_change(&mut self, change: &Change, config: &DetectConfig, refusals: &mut Refusals) {
        if self
            .changes
            .iter()
            .any(|known| known.id == change.id && known.time == change.time)
        {
            return;
        }
        if change.kind == ChangeKind::Reboot {
            self.jobs.booted(change.time);
        }
        if self.changes.len() >= config.change_limit.max(1) {
            self.changes.pop_front();
            refusals.over_budget += 1;
        }
        let after = self
            .changes
            .iter()
            .rposition(|known| known.time <= change.time);
        self.changes
            .insert(after.map_or(0, |index| index + 1), change.clone());
    }

    /// Takes an inventory whose parts are all the host's own.
    pub fn take_inventory(&mut self, inventory: Inventory, refusals: &mut Refusals) {
        self.touch(inventory.time);
        refusals.over_budget += self.listeners.take(inventory.time, &inventory.listeners);
        let claimed = self.contact.unwrap_or(inventory.time);
        let addresses = inventory.addresses.iter().map(|a| a.to_canonical());
        self.addresses = addresses
            .filter(|a| !a.is_loopback() && !a.is_unspecified())
            .map(|a| (a, self.addresses.get(&a).copied().unwrap_or(claimed)))
            .collect();
        self.mounts = inventory.mounts;
        self.blind = inventory.blind;
    }

    /// Its addresses, each with when it was first claimed.
    pub fn addresses(&self) -> impl Iterator<Item = (&IpAddr, &Timestamp)> {
        self.addresses.iter()
    }

    pub fn has_address(&self, address: IpAddr) -> bool {
        self.addresses.contains_key(&address)
    }

    /// Sources that cannot see, as the host says.
    pub fn blind_sources(&self) -> &[String] {
        &self.blind
    }

    fn is_blind(&self, source: &str) -> bool {
        self.blind.iter().any(|line| line.starts_with(source))
    }

    pub fn mounts(&self) -> &[Mount] {
        &self.mounts
    }

    pub fn changes(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter()
    }
}
