//! Processes and cgroups rolled up into services, under a budget.
//!
//! A unit of a service manager has its series at once; a scope, or a command that no unit claims, once a
//! process of it is five seconds old, so that short-lived commands do not churn the schema. What finds no
//! room is counted for a service named `other`.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::Duration;

use firstlook_model::signal::names;
use firstlook_model::{ComponentId, ComponentKind, HostId};

use crate::cgroups::{CgroupFiles, CgroupReading, CgroupRoots, detail};
use crate::family::Group;
use crate::limits::Limits;
use crate::membership::Membership;
use crate::reader::Descriptors;
use crate::registry::Registry;
use crate::rising::Rising;
use crate::roots::HostRoots;
use crate::text::value;

/// The service that stands for all without series of their own.
pub(crate) const OTHER: &str = "other";

pub(crate) static SIGNALS: [&str; 23] = [
    names::SERVICE_CPU,
    names::SERVICE_MEMORY,
    names::SERVICE_MEMORY_LIMIT,
    names::SERVICE_PROCESSES,
    names::SERVICE_THREADS,
    names::SERVICE_BLOCKED,
    names::SERVICE_STOPPED,
    names::SERVICE_OOM_KILLS,
    names::SERVICE_THROTTLED,
    names::SERVICE_ACCEPT_QUEUE,
    names::SERVICE_ACCEPT_BACKLOG,
    names::SERVICE_CONNECTIONS,
    names::SERVICE_CLOSE_WAIT,
    names::SERVICE_UNREAD_BYTES,
    names::SERVICE_MEMORY_HIGH,
    names::SERVICE_CPU_PERIODS,
    names::SERVICE_THROTTLED_PERIODS,
    names::SERVICE_MEMORY_HIGH_EVENTS,
    names::SERVICE_MEMORY_LIMIT_EVENTS,
    names::SERVICE_OOM_EVENTS,
    names::SERVICE_ZOMBIES,
    names::SERVICE_OPEN_FILES,
    names::SERVICE_OPEN_FILES_LIMIT,
];
/// What is read of cgroups in turns is read of each service once in so many samples, or more seldom where
/// there are many.
pub(crate) const DETAIL_EVERY: u64 = 5;
/// Services whose turn it may be in one sample: each is up to nine files opened anew.
const DETAIL_PER_SAMPLE: u64 = 20;
/// Cgroup ids and memberships remembered; beyond, they are learnt anew within a minute.
const REMEMBERED_LIMIT: usize = 10_000;

/// What one process adds to its service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    /// CPU time since the last sample.
    pub seconds: f64,
    pub resident_bytes: f64,
    pub threads: u32,
    pub blocked: bool,
    pub stopped: bool,
    pub zombie: bool,
    /// Open files and how many may be open, as last looked at.
    pub files: Option<(u64, u64)>,
    /// Old enough to earn its service series of its own.
    pub settled: bool,
}

/// What the sockets of one service show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SocketTally {
    /// Longest accept queue and the backlog of that listener; `None` without a listener.
    pub accept: Option<(u32, u32)>,
    pub connections: u64,
    pub close_wait: u64,
    pub unread_bytes: u64,
}

/// Socket tallies by service.
pub(crate) type SocketTallies = HashMap<Arc<str>, SocketTally>;

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    seconds: f64,
    resident_bytes: f64,
    processes: u32,
    threads: u64,
    blocked: u32,
    stopped: u32,
    zombies: u32,
    /// Of the process that is nearest to its limit.
    files: Option<(u64, u64)>,
}

#[derive(Debug)]
struct Service {
    group: Group<23>,
    detail: Group<12>,
    /// When its turn is.
    turn: u64,
    cgroup: Option<(Membership, CgroupFiles)>,
    /// Its cgroup has used no CPU time since the last sample.
    still: bool,
    /// The round in which its cgroup was last looked at.
    looked: u64,
    /// Processes of several cgroups go by this name: one of these says nothing about the others.
    several: bool,
    tally: Tally,
    cpu: Rising,
    cpu_total: f64,
    throttled: Rising,
    oom_kills: Rising,
    /// Periods, throttled periods, events of memory.
    counts: [Rising; 5],
    listened: bool,
    connected: bool,
    present: Duration,
}

/// All services of the host.
#[derive(Debug)]
pub(crate) struct Services {
    host: HostId,
    roots: CgroupRoots,
    open: Descriptors,
    limit: usize,
    members: HashMap<Arc<str>, Service>,
    memberships: HashMap<Arc<str>, Membership>,
    cgroup_ids: HashMap<u64, Arc<str>>,
    other: Arc<str>,
    beyond: u64,
    now: Duration,
    round: u64,
    admitted: u64,
}

impl Services {
    pub(crate) fn new(
        host: HostId,
        roots: &HostRoots,
        open: &Descriptors,
        limits: &Limits,
    ) -> Self {
        Self {
            host,
            roots: CgroupRoots::new(roots),
            open: open.clone(),
            limit: limits.services,
            members: HashMap::new(),
            memberships: HashMap::new(),
            cgroup_ids: HashMap::new(),
            other: OTHER.into(),
            beyond: 0,
            now: Duration::ZERO,
            round: 0,
            admitted: 0,
        }
    }

    /// Begins a sample: what its cgroups used so far is read before their processes are, so that whatever these do from
    /// here on shows in the next.
    pub(crate) fn begin(&mut self, now: Duration, scratch: &mut Vec<u8>) {
        self.now = now;
        self.round += 1;
        self.beyond = 0;
        for member in self.members.values_mut() {
            member.look(self.round, scratch);
        }
    }

    /// Whether no process of this service has run since the last sample: the kernel counted no time for its cgroup.
    pub(crate) fn is_still(&self, service: &str) -> bool {
        self.members.get(service).is_some_and(|member| member.still)
    }

    /// The name of the service for all without room.
    pub(crate) fn other(&self) -> Arc<str> {
        Arc::clone(&self.other)
    }

    /// A shared copy of the name.
    pub(crate) fn intern(&self, name: &str) -> Arc<str> {
        match self.members.get_key_value(name) {
            Some((known, _)) => Arc::clone(known),
            None => name.into(),
        }
    }

    /// Learns the cgroups of a service from one of its processes.
    pub(crate) fn belongs(&mut self, service: &Arc<str>, membership: &Membership) {
        self.learn_id(service, membership);
        if let Some(member) = self.members.get_mut(service) {
            let same = |known: &Membership| {
                known.unit_unified == membership.unit_unified
                    && known.controllers == membership.controllers
            };
            if !member.cgroup.as_ref().is_some_and(|(known, _)| same(known)) {
                member.several |= member.cgroup.is_some();
                (member.still, member.looked) = (false, 0);
                member.cgroup = CgroupFiles::open(&self.roots, membership, &self.open)
                    .map(|files| (membership.clone(), files));
            }
            return;
        }
        if self.memberships.len() >= REMEMBERED_LIMIT {
            self.memberships.clear();
        }
        self.memberships
            .insert(Arc::clone(service), membership.clone());
    }

    /// A socket's cgroup id is the inode of its creator's cgroup2 folder.
    fn learn_id(&mut self, service: &Arc<str>, membership: &Membership) {
        if membership.unit_unified.is_none() {
            return;
        }
        let folder = self.roots.unified(&membership.unified);
        let Some(found) = folder.and_then(|folder| std::fs::metadata(folder).ok()) else {
            return;
        };
        if self.cgroup_ids.len() >= REMEMBERED_LIMIT {
            self.cgroup_ids.clear();
        }
        self.cgroup_ids.insert(found.ino(), Arc::clone(service));
    }

    /// The service whose processes live in a cgroup.
    pub(crate) fn by_cgroup(&self, id: u64) -> Option<&Arc<str>> {
        self.cgroup_ids.get(&id)
    }

    /// The services of all cgroups that are known.
    pub(crate) fn cgroups(&self) -> &HashMap<u64, Arc<str>> {
        &self.cgroup_ids
    }

    /// Counts one process.
    pub(crate) fn add(&mut self, service: &Arc<str>, claimed: bool, part: &Part) {
        let now = self.now;
        if let Some(member) = self.members.get_mut(service) {
            return member.count(part, now);
        }
        let steady = claimed && service.ends_with(".service");
        if steady || part.settled {
            if self.members.len() < self.limit {
                self.admit(service);
            } else {
                self.beyond += 1;
            }
        }
        let name = if self.members.contains_key(service) {
            Arc::clone(service)
        } else {
            self.other()
        };
        if !self.members.contains_key(&name) {
            self.admit(&name);
        }
        if let Some(member) = self.members.get_mut(&name) {
            member.count(part, now);
        }
    }

    fn admit(&mut self, name: &Arc<str>) {
        let id = ComponentId::on_host(ComponentKind::Service, self.host.clone(), &**name);
        let Ok(component) = id else {
            self.beyond += 1;
            return;
        };
        let cgroup = self.memberships.remove(name).and_then(|membership| {
            CgroupFiles::open(&self.roots, &membership, &self.open).map(|files| (membership, files))
        });
        let service = Service {
            detail: Group::new(component.clone(), &detail::SIGNALS),
            group: Group::new(component, &SIGNALS),
            turn: self.admitted,
            cgroup,
            still: false,
            looked: 0,
            several: false,
            tally: Tally::default(),
            cpu: Rising::default(),
            cpu_total: 0.0,
            throttled: Rising::default(),
            oom_kills: Rising::default(),
            counts: [Rising::default(); 5],
            listened: false,
            connected: false,
            present: self.now,
        };
        self.admitted += 1;
        self.members.insert(Arc::clone(name), service);
    }

    /// Ends the sample: sets all values.
    pub(crate) fn publish(
        &mut self,
        registry: &mut Registry,
        scratch: &mut Vec<u8>,
        sockets: &SocketTallies,
    ) {
        let every = detail_every(self.members.len());
        for (name, member) in &mut self.members {
            if member.looked != self.round {
                member.look(self.round, scratch);
            }
            let reading = match &mut member.cgroup {
                Some((_, files)) => {
                    if (self.round + member.turn).is_multiple_of(every) {
                        let values = files.read_detail(scratch);
                        member.detail.set(registry, &values);
                    }
                    files.read(scratch, self.round)
                }
                None => CgroupReading::default(),
            };
            let values = member.values(&reading, sockets.get(name));
            member.group.set(registry, &values);
            member.tally = Tally::default();
        }
    }

    /// Ends the series of services without a process for `absent`.
    pub(crate) fn expire(&mut self, registry: &mut Registry, absent: Duration) {
        let now = self.now;
        let gone = self
            .members
            .extract_if(|_, member| now.saturating_sub(member.present) >= absent);
        for (_, member) in gone {
            member.group.release(registry);
            member.detail.release(registry);
        }
    }

    /// Processes counted for `other` in this sample because there are too many services.
    pub(crate) fn beyond(&self) -> u64 {
        self.beyond
    }
}

impl Service {
    fn look(&mut self, round: u64, scratch: &mut Vec<u8>) {
        let still = |(_, files): &mut (Membership, CgroupFiles)| files.look(scratch);
        self.still = self.cgroup.as_mut().is_some_and(still) && !self.several;
        self.looked = round;
    }

    fn count(&mut self, part: &Part, now: Duration) {
        let tally = &mut self.tally;
        tally.seconds += part.seconds;
        tally.resident_bytes += part.resident_bytes;
        tally.processes += 1;
        tally.threads += u64::from(part.threads);
        tally.blocked += u32::from(part.blocked);
        tally.stopped += u32::from(part.stopped);
        tally.zombies += u32::from(part.zombie);
        tally.files = nearer(tally.files, part.files);
        self.present = now;
    }

    /// Values in the order of the signals.
    ///
    /// Memory is the lesser of the processes' sum and the cgroup's own count: the one counts shared pages
    /// several times, the other counts cached files.
    fn values(&mut self, reading: &CgroupReading, sockets: Option<&SocketTally>) -> [f64; 23] {
        let tally = self.tally;
        self.cpu_total += match reading.cpu_seconds {
            Some(now) => {
                let before = self.cpu.total();
                self.cpu.rise(now) - before
            }
            None => tally.seconds,
        };
        let charged = reading
            .memory_bytes
            .map_or(f64::INFINITY, |bytes| bytes as f64);
        let rising =
            |counter: &mut Rising, now: Option<f64>| now.map_or(f64::NAN, |now| counter.rise(now));
        let throttled = rising(&mut self.throttled, reading.throttled_seconds);
        let oom_kills = rising(&mut self.oom_kills, reading.oom_kills.map(|n| n as f64));

        let [periods, throttled_periods] = reading.periods;
        let [high, limit, oom] = reading.memory_events;
        let mut counts = [periods, throttled_periods, high, limit, oom].map(value);
        for (count, counter) in counts.iter_mut().zip(&mut self.counts) {
            if !count.is_nan() {
                *count = counter.rise(*count);
            }
        }

        let sockets = sockets.copied().unwrap_or_default();
        self.listened |= sockets.accept.is_some();
        self.connected |= sockets.connections > 0 || sockets.close_wait > 0;
        let when = |seen: bool, value: f64| if seen { value } else { f64::NAN };
        let accept = |pick: fn((u32, u32)) -> u32| {
            when(
                self.listened,
                value(sockets.accept.map(|pair| u64::from(pick(pair)))),
            )
        };
        [
            self.cpu_total,
            tally.resident_bytes.min(charged),
            value(reading.limit_bytes),
            f64::from(tally.processes),
            tally.threads as f64,
            f64::from(tally.blocked),
            f64::from(tally.stopped),
            oom_kills,
            throttled,
            accept(|(queue, _)| queue),
            accept(|(_, backlog)| backlog),
            when(self.connected, sockets.connections as f64),
            when(self.connected, sockets.close_wait as f64),
            when(self.connected, sockets.unread_bytes as f64),
            value(reading.high_bytes),
            counts[0],
            counts[1],
            counts[2],
            counts[3],
            counts[4],
            f64::from(tally.zombies),
            value(tally.files.map(|(open, _)| open)),
            value(tally.files.map(|(_, limit)| limit)),
        ]
    }
}

/// How many samples a round of turns takes.
fn detail_every(services: usize) -> u64 {
    let services = u64::try_from(services).unwrap_or(u64::MAX);
    services.div_ceil(DETAIL_PER_SAMPLE).max(DETAIL_EVERY)
}

/// Of two counts of open files, each with its limit, the one that is nearer to it.
fn nearer(one: Option<(u64, u64)>, other: Option<(u64, u64)>) -> Option<(u64, u64)> {
    let share = |(open, limit): (u64, u64)| open as f64 / limit.max(1) as f64;
    match (one, other) {
        (Some(a), Some(b)) => Some(if share(b) > share(a) { b } else { a }),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests;
