//! All host sources together: one sample, one frame.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use firstlook_model::signal::names;
use firstlook_model::{
    ComponentId, EdgeObservation, Frame, HostId, Inventory, StrainGauge, Timestamp,
};

use crate::addresses;
use crate::arrays::Arrays;
use crate::bonds::Bonds;
use crate::ceilings::Ceilings;
use crate::clock::Clock;
use crate::cpu::Cpu;
use crate::damage::Damage;
use crate::disk::Disks;
use crate::edac::Edac;
use crate::endpoints::Endpoints;
use crate::family::Group;
use crate::filesystem::{Filesystems, ask_kernel};
use crate::inventory::{self, Facts, Users};
use crate::limits::Limits;
use crate::memory::Memory;
use crate::mounts::Mounts;
use crate::neighbours::Neighbours;
use crate::netlink::Netlink;
use crate::netstat::Netstat;
use crate::network::Network;
use crate::nfs::Nfs;
use crate::own::{LeftOut, Own};
use crate::packets::Packets;
use crate::pressure::Pressure;
use crate::processes::Processes;
use crate::queues::Queues;
use crate::reader::Descriptors;
use crate::registry::Registry;
use crate::roots::HostRoots;
use crate::services::Services;
use crate::sockets::SocketSampler;
use crate::sockstat::Sockstat;
use crate::thermal::Thermal;
use crate::vmstat::Vmstat;

pub(crate) static COUNT: [&str; 1] = [names::PROCESSES];
pub(crate) static PORTS: [&str; 1] = [names::TCP_EPHEMERAL_PORTS_USED];
/// The mount table is read once in so many samples; statvfs sees what turns read-only at once.
const MOUNTS_EVERY: u64 = 5;
/// What has gone is looked for once in so many samples.
const EXPIRE_EVERY: u64 = 10;
/// Addresses are asked for once in so many samples.
const ADDRESSES_EVERY: u64 = 5;

/// Samples everything numeric that a host shows.
///
/// Blocks only on the kernel's own files: file systems are asked by threads of their own. One instance per
/// host, on one thread.
pub struct HostSampler {
    host: HostId,
    roots: HostRoots,
    limits: Limits,
    registry: Registry,
    scratch: Vec<u8>,
    round: u64,
    cpu: Cpu,
    thermal: Thermal,
    ceilings: Ceilings,
    clock: Clock,
    memory: Memory,
    edac: Edac,
    pressure: Pressure,
    vmstat: Vmstat,
    netstat: Netstat,
    sockstat: Sockstat,
    packets: Packets,
    neighbours: Neighbours,
    network: Network,
    queues: Queues,
    bonds: Bonds,
    disks: Disks,
    arrays: Arrays,
    mounts: Mounts,
    damage: Damage,
    filesystems: Filesystems,
    nfs: Nfs,
    processes: Processes,
    process_count: Group<1>,
    services: Services,
    sockets: SocketSampler,
    endpoints: Option<Endpoints>,
    ports: Group<1>,
    own: Own,
    facts: Facts,
    users: Users,
    route: Netlink,
    addresses: Result<Vec<std::net::IpAddr>, String>,
    edges: Option<Vec<EdgeObservation>>,
    missed: u64,
}

impl HostSampler {
    /// Costs less while the host suffers.
    pub fn easing(mut self, strain: StrainGauge) -> Self {
        self.sockets.ease(strain);
        self
    }

    /// Lets others ask whose a socket is.
    pub fn telling(mut self, endpoints: Option<Endpoints>) -> Self {
        self.endpoints = endpoints;
        self
    }

    /// A sampler of the host seen below these roots. Nothing is read before the first sample, except facts
    /// that do not change.
    pub fn new(host: HostId, roots: HostRoots, limits: Limits) -> Self {
        let open = Descriptors::new(limits.open_files);
        let machine = || ComponentId::host(host.clone());
        Self {
            registry: Registry::new(limits.schema_interval),
            scratch: Vec::new(),
            round: 0,
            cpu: Cpu::new(machine(), &roots, &open),
            thermal: Thermal::new(machine(), &roots),
            ceilings: Ceilings::new(machine(), &roots, &open),
            clock: Clock::new(&machine(), &roots),
            memory: Memory::new(machine(), &roots, &open),
            edac: Edac::new(machine(), &roots),
            pressure: Pressure::new(machine(), &roots, &open),
            vmstat: Vmstat::new(machine(), &roots, &open),
            netstat: Netstat::new(&machine(), &roots, &open),
            sockstat: Sockstat::new(machine(), &roots, &open),
            packets: Packets::new(machine(), &roots, &open),
            neighbours: Neighbours::new(machine(), &roots),
            network: Network::new(host.clone(), &roots, &open, &limits),
            queues: Queues::new(host.clone(), &limits),
            bonds: Bonds::new(host.clone(), &roots, &limits),
            disks: Disks::new(host.clone(), &roots, &open, &limits),
            arrays: Arrays::new(&host, &roots, &open, &limits),
            damage: Damage::new(host.clone(), &roots, &limits),
            mounts: Mounts::new(&roots, &open, limits.filesystems),
            nfs: Nfs::new(host.clone(), &roots, &limits),
            filesystems: Filesystems::new(host.clone(), ask_kernel(foreign_root(&roots)), &limits),
            processes: Processes::new(&roots, &open, limits.processes),
            process_count: Group::new(machine(), &COUNT),
            services: Services::new(host.clone(), &roots, &open, &limits),
            sockets: SocketSampler::new(host.clone(), &roots, &limits),
            endpoints: None,
            ports: Group::new(machine(), &PORTS),
            own: Own::new(host.clone(), &open),
            facts: Facts::read(&roots),
            users: Users::new(),
            route: Netlink::route(),
            addresses: Ok(Vec::new()),
            edges: None,
            missed: 0,
            host,
            roots,
            limits,
        }
    }

    /// Reads every source once. `monotonic` never goes back, and paces what is not read each time.
    pub fn sample(&mut self, now: Timestamp, monotonic: Duration) -> Frame {
        let (registry, scratch) = (&mut self.registry, &mut self.scratch);
        registry.begin(monotonic);
        if self.round.is_multiple_of(MOUNTS_EVERY) {
            self.mounts.refresh(scratch);
        }
        if self.round.is_multiple_of(ADDRESSES_EVERY) {
            self.addresses =
                addresses::read(&mut self.route).map_err(|error| format!("addresses: {error}"));
            let known = self.addresses.as_deref().unwrap_or_default();
            self.sockets.set_addresses(known);
        }
        self.cpu.sample(registry, scratch);
        self.thermal.sample(registry, scratch);
        self.ceilings.sample(registry, scratch);
        self.clock.sample(registry);
        self.memory.sample(registry, scratch);
        self.edac.sample(registry, scratch);
        self.pressure.sample(registry, scratch);
        self.vmstat.sample(registry, scratch);
        self.netstat.sample(registry, scratch);
        self.sockstat.sample(registry, scratch);
        self.packets.sample(registry, scratch);
        self.neighbours.sample(registry, scratch, &mut self.route);
        self.network.sample(registry, scratch);
        self.queues.sample(registry, &mut self.route);
        self.bonds.sample(registry, scratch);
        self.disks.sample(registry, scratch, &self.mounts);
        self.arrays.sample(registry, scratch);
        self.filesystems.sample(registry, &self.mounts);
        self.damage.sample(registry, scratch, &self.mounts);
        self.nfs.sample(registry, scratch, &self.mounts);

        self.services.begin(monotonic, scratch);
        let count = self.processes.sample(&mut self.services, scratch);
        self.process_count.set(registry, &[count as f64]);
        let time_wait = self.sockstat.time_wait();
        self.sockets.set_ports(self.sockstat.range(), time_wait);
        let edges = self
            .sockets
            .sample(now, monotonic, &self.services, &self.processes);
        self.edges = edges;
        if let Some(endpoints) = &self.endpoints {
            let own = self.addresses.as_deref().unwrap_or_default();
            endpoints.note(self.services.cgroups(), self.processes.owners(), own);
        }
        if let Some(used) = self.sockets.take_ports_used() {
            self.ports.set(registry, &[used as f64]);
        }
        let tallies = self.sockets.tallies();
        self.services.publish(registry, scratch, &tallies);

        if self.round.is_multiple_of(EXPIRE_EVERY) {
            self.expire();
        }
        self.round += 1;
        let left_out = self.left_out();
        self.own
            .sample(&mut self.registry, &mut self.scratch, &left_out);
        self.registry.frame(now)
    }

    /// Does what may take its time, up to a quarter of a second, once a sample is out: looks for callers that each
    /// sample misses.
    pub fn linger(&mut self, monotonic: Duration) {
        self.sockets.glance(monotonic, &self.services);
    }

    fn expire(&mut self) {
        let (registry, limits) = (&mut self.registry, &self.limits);
        self.network.expire(registry, limits);
        self.queues.expire(registry, limits);
        self.bonds.expire(registry, limits);
        self.nfs.expire(registry, limits);
        self.disks.expire(registry, limits);
        self.filesystems.expire(registry, limits);
        self.arrays.expire(registry, limits);
        self.damage.expire(registry, limits);
        self.services.expire(registry, limits.absent);
    }

    fn left_out(&self) -> LeftOut {
        let (sockets, edges) = self.sockets.beyond();
        let refused = self.network.refused()
            + self.queues.refused()
            + self.bonds.refused()
            + self.nfs.refused()
            + self.disks.refused()
            + self.filesystems.refused()
            + self.arrays.refused()
            + self.damage.refused();
        LeftOut {
            processes: self.services.beyond() + self.processes.beyond(),
            sockets,
            edges,
            connections: self.sockets.unattributed(),
            series_ever: refused + self.registry.refused(),
            malformed_ever: self.sockets.malformed(),
            samples_ever: self.missed,
        }
    }

    /// Edges of the last sample, where a dump of connections was due; `None` otherwise. Taken once.
    pub fn take_edges(&mut self) -> Option<Vec<EdgeObservation>> {
        self.edges.take()
    }

    /// Counts samples that were left out because this sampler was busy.
    pub fn add_missed(&mut self, samples: u64) {
        self.missed += samples;
    }

    /// The host's facts as of the last sample.
    pub fn inventory(
        &mut self,
        now: Timestamp,
        monotonic: Duration,
        agent_version: &str,
    ) -> Inventory {
        self.users
            .refresh(monotonic, &self.roots.proc, &self.mounts, &self.processes);
        let cpu = *self.cpu.latest();
        let booted = cpu.booted.and_then(|s| i64::try_from(s).ok()).unwrap_or(0);
        Inventory {
            booted: Timestamp::from_secs(booted),
            cores: cpu.cores,
            memory_bytes: self.memory.total(),
            addresses: self.sockets.addresses().to_vec(),
            listeners: self.sockets.listeners(),
            mounts: inventory::mounts(&self.host, &self.mounts, &self.users),
            blind: self.blind(),
            ..inventory::begin(&self.facts, now, agent_version)
        }
    }

    /// What cannot be seen now, each with its reason; sorted.
    pub fn blind(&self) -> Vec<String> {
        let beyond = self.mounts.refused();
        let mounts = (beyond > 0).then(|| format!("mounts: {beyond} beyond the budget"));
        let mut blind: Vec<String> = self
            .cpu
            .blind()
            .chain(self.ceilings.blind())
            .chain(self.memory.blind())
            .chain(self.pressure.blind())
            .chain(self.vmstat.blind())
            .chain(self.netstat.blind())
            .chain(self.sockstat.blind())
            .chain(self.packets.blind())
            .chain(self.neighbours.blind())
            .chain(self.network.blind())
            .chain(self.queues.blind())
            .chain(self.disks.blind())
            .chain(self.mounts.blind())
            .chain(self.filesystems.blind())
            .chain(self.arrays.blind())
            .chain(self.damage.blind())
            .chain(self.nfs.blind())
            .chain(self.processes.blind())
            .chain(self.sockets.blind())
            .chain(self.addresses.as_ref().err().cloned())
            .chain(mounts)
            .collect();
        blind.sort();
        blind
    }
}

/// The root of process 1, where its mounts are not ours and it lets us look.
fn foreign_root(roots: &HostRoots) -> Option<Arc<Path>> {
    let first = std::fs::read_link(roots.proc.join("1/ns/mnt")).ok()?;
    let own = std::fs::read_link("/proc/self/ns/mnt").ok()?;
    let root = roots.proc.join("1/root");
    (first != own && std::fs::metadata(&root).is_ok()).then(|| root.into())
}
