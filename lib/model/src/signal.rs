//! Signals: named streams of numbers, and the schema that lists a host's.
//!
//! Names use base units and end with the unit; counters end in `_total` and only rise (a fall is a
//! reset). What was observed is kept raw: rates and ratios are derived when reading.

use serde::{Deserialize, Serialize};

use crate::component::ComponentId;
use crate::id::{SchemaId, stable_hash};

/// How a signal's numbers behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SignalKind {
    /// May rise and fall.
    Gauge,
    /// Only rises; a fall is a reset or a wrap.
    Counter,
}

/// What a signal's numbers count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Plain number of things.
    Count,
    /// Bytes.
    Bytes,
    /// Seconds.
    Seconds,
    /// 0 to 1.
    Ratio,
}

/// One stream of numbers of one component.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Series {
    /// What it was observed of.
    pub component: ComponentId,
    /// Name from [`names`], or another that keeps the same form.
    pub signal: String,
    /// What the numbers count.
    pub unit: Unit,
    /// How they behave.
    pub kind: SignalKind,
}

/// Longest name of a signal, in bytes.
pub const SIGNAL_NAME_LIMIT_BYTES: usize = 128;
/// Most series that one host may report.
pub const SERIES_LIMIT: usize = 20_000;

/// The series of one host in column order. Two schemas with the same series have the same id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    id: SchemaId,
    series: Vec<Series>,
}

impl Schema {
    /// A schema of these series in this order.
    pub fn new(series: Vec<Series>) -> Self {
        let mut text = String::new();
        for s in &series {
            text.push_str(&format!(
                "{}\0{}\0{:?}\0{:?}\n",
                s.component, s.signal, s.unit, s.kind
            ));
        }
        Self {
            id: SchemaId(stable_hash(text.as_bytes())),
            series,
        }
    }

    /// Stable hash of the contents.
    pub fn id(&self) -> SchemaId {
        self.id
    }

    /// Series in column order.
    pub fn series(&self) -> &[Series] {
        &self.series
    }
}

/// Names of the signals that detection and the catalogue know. `(component kind)` in each comment.
pub mod names {
    /// (host) seconds of all cores in each mode, as `/proc/stat`.
    pub const CPU_USER: &str = "cpu.user_seconds_total";
    /// (host) niced user time.
    pub const CPU_NICE: &str = "cpu.nice_seconds_total";
    /// (host) kernel time.
    pub const CPU_SYSTEM: &str = "cpu.system_seconds_total";
    /// (host) idle time.
    pub const CPU_IDLE: &str = "cpu.idle_seconds_total";
    /// (host) idle while IO was outstanding.
    pub const CPU_IOWAIT: &str = "cpu.iowait_seconds_total";
    /// (host) hardware interrupts.
    pub const CPU_IRQ: &str = "cpu.irq_seconds_total";
    /// (host) soft interrupts.
    pub const CPU_SOFTIRQ: &str = "cpu.softirq_seconds_total";
    /// (host) taken by the hypervisor.
    pub const CPU_STEAL: &str = "cpu.steal_seconds_total";
    /// (host) cores online.
    pub const CPU_CORES: &str = "cpu.cores";
    /// (host) times that a core or its package was slowed because it was too hot.
    pub const CPU_THERMAL_THROTTLES: &str = "cpu.thermal_throttles_total";
    /// (host) mean frequency of the cores now.
    pub const CPU_FREQUENCY: &str = "cpu.frequency_hertz";
    /// (host) mean of the highest frequencies that the cores are made for.
    pub const CPU_FREQUENCY_MAX: &str = "cpu.frequency_max_hertz";
    /// (host) tasks runnable now.
    pub const PROCESSES_RUNNING: &str = "processes.running";
    /// (host) tasks blocked on IO now.
    pub const PROCESSES_BLOCKED: &str = "processes.blocked";
    /// (host) processes.
    pub const PROCESSES: &str = "processes.count";
    /// (host) one-minute load average.
    pub const LOAD_1M: &str = "load.1m";
    /// (host) tasks: processes and their threads, those of the kernel included.
    pub const TASKS: &str = "tasks.count";
    /// (host) process ids that the kernel hands out at most (`pid_max`): each task takes one.
    pub const TASKS_PID_LIMIT: &str = "tasks.pid_limit";
    /// (host) tasks that the kernel allows (`threads-max`).
    pub const TASKS_LIMIT: &str = "tasks.limit";
    /// (host) open files of all processes, as `file-nr`.
    pub const FILES_OPEN: &str = "files.open";
    /// (host) open files that the kernel allows (`file-max`).
    pub const FILES_LIMIT: &str = "files.limit";
    /// (host) memory in all.
    pub const MEMORY_TOTAL: &str = "memory.total_bytes";
    /// (host) memory available without swapping.
    pub const MEMORY_AVAILABLE: &str = "memory.available_bytes";
    /// (host) swap in all.
    pub const SWAP_TOTAL: &str = "memory.swap_total_bytes";
    /// (host) swap free.
    pub const SWAP_FREE: &str = "memory.swap_free_bytes";
    /// (host) errors of memory that its code corrected, as EDAC counts them.
    pub const MEMORY_CORRECTED_ERRORS: &str = "memory.corrected_errors_total";
    /// (host) errors of memory that nothing could correct.
    pub const MEMORY_UNCORRECTED_ERRORS: &str = "memory.uncorrected_errors_total";
    /// (host) OOM kills.
    pub const OOM_KILLS: &str = "vmstat.oom_kills_total";
    /// (host) pages swapped in.
    pub const SWAP_IN: &str = "vmstat.swap_in_pages_total";
    /// (host) pages swapped out.
    pub const SWAP_OUT: &str = "vmstat.swap_out_pages_total";
    /// (host) page faults that had to wait for a disk.
    pub const MAJOR_FAULTS: &str = "vmstat.major_faults_total";
    /// (host) pages read again that were reclaimed shortly before: memory is too small for what is in use.
    pub const REFAULTS: &str = "vmstat.refaults_total";
    /// (host) allocations that had to reclaim memory first.
    pub const ALLOCATION_STALLS: &str = "vmstat.allocation_stalls_total";
    /// (host) allocations that had to compact memory first.
    pub const COMPACTION_STALLS: &str = "vmstat.compaction_stalls_total";
    /// (host) seconds in which some task waited for CPU.
    pub const PRESSURE_CPU_SOME: &str = "pressure.cpu_some_seconds_total";
    /// (host) seconds in which tasks waited for CPU and none ran: a quota, or others on the same machine, had it. Always 0 for a
    /// whole machine.
    pub const PRESSURE_CPU_FULL: &str = "pressure.cpu_full_seconds_total";
    /// (host) seconds in which some task waited for memory.
    pub const PRESSURE_MEMORY_SOME: &str = "pressure.memory_some_seconds_total";
    /// (host) seconds in which all tasks waited for memory.
    pub const PRESSURE_MEMORY_FULL: &str = "pressure.memory_full_seconds_total";
    /// (host) seconds in which some task waited for IO.
    pub const PRESSURE_IO_SOME: &str = "pressure.io_some_seconds_total";
    /// (host) seconds in which all tasks waited for IO.
    pub const PRESSURE_IO_FULL: &str = "pressure.io_full_seconds_total";
    /// (host) TCP segments sent, retransmissions excluded.
    pub const TCP_SEGMENTS_OUT: &str = "tcp.segments_out_total";
    /// (host) TCP segments received.
    pub const TCP_SEGMENTS_IN: &str = "tcp.segments_in_total";
    /// (host) TCP segments retransmitted.
    pub const TCP_RETRANSMITS: &str = "tcp.segments_retransmitted_total";
    /// (host) connection attempts that failed (refused, mostly).
    pub const TCP_ATTEMPT_FAILS: &str = "tcp.attempt_fails_total";
    /// (host) resets sent.
    pub const TCP_RESETS_OUT: &str = "tcp.resets_out_total";
    /// (host) established connections reset.
    pub const TCP_ESTABLISHED_RESETS: &str = "tcp.established_resets_total";
    /// (host) connections established now.
    pub const TCP_ESTABLISHED: &str = "tcp.established";
    /// (host) retransmission timeouts.
    pub const TCP_TIMEOUTS: &str = "tcp.timeouts_total";
    /// (host) SYNs sent again.
    pub const TCP_SYN_RETRANSMITS: &str = "tcp.syn_retransmits_total";
    /// (host) connections lost to a full accept queue.
    pub const TCP_LISTEN_OVERFLOWS: &str = "tcp.listen_overflows_total";
    /// (host) SYNs dropped at listeners.
    pub const TCP_LISTEN_DROPS: &str = "tcp.listen_drops_total";
    /// (host) segments that arrived out of order.
    pub const TCP_OUT_OF_ORDER: &str = "tcp.out_of_order_total";
    /// (host) times that TCP entered memory pressure.
    pub const TCP_MEMORY_PRESSURES: &str = "tcp.memory_pressures_total";
    /// (host) connections that skipped TIME-WAIT because there were too many.
    pub const TCP_TIME_WAIT_OVERFLOWS: &str = "tcp.time_wait_overflows_total";
    /// (host) SYN cookies sent: the queue of half-open connections was full.
    pub const TCP_SYN_COOKIES: &str = "tcp.syn_cookies_total";
    /// (host) segments dropped because the backlog of a socket was full.
    pub const TCP_BACKLOG_DROPS: &str = "tcp.backlog_drops_total";
    /// (host) connections in TIME-WAIT now.
    pub const TCP_TIME_WAIT: &str = "tcp.time_wait";
    /// (host) connections that no process holds any more, and that are not yet closed.
    pub const TCP_ORPHANS: &str = "tcp.orphans";
    /// (host) memory that TCP uses for its queues.
    pub const TCP_MEMORY: &str = "tcp.memory_bytes";
    /// (host) memory that TCP may use for its queues.
    pub const TCP_MEMORY_LIMIT: &str = "tcp.memory_limit_bytes";
    /// (host) ports that the kernel hands out to callers.
    pub const TCP_EPHEMERAL_PORTS: &str = "tcp.ephemeral_ports";
    /// (host) such ports in use towards the one address and port that takes most of them.
    pub const TCP_EPHEMERAL_PORTS_USED: &str = "tcp.ephemeral_ports_used";
    /// (host) datagrams received.
    pub const UDP_IN: &str = "udp.datagrams_in_total";
    /// (host) datagrams sent.
    pub const UDP_OUT: &str = "udp.datagrams_out_total";
    /// (host) datagrams to a port where nobody listened.
    pub const UDP_NO_PORTS: &str = "udp.no_ports_total";
    /// (host) UDP receive errors.
    pub const UDP_ERRORS: &str = "udp.receive_errors_total";
    /// (host) datagrams dropped because a receive buffer was full.
    pub const UDP_RECEIVE_BUFFER_ERRORS: &str = "udp.receive_buffer_errors_total";
    /// (host) datagrams dropped because a send buffer was full.
    pub const UDP_SEND_BUFFER_ERRORS: &str = "udp.send_buffer_errors_total";
    /// (host) packets dropped because the queue of a core was full.
    pub const SOFTNET_DROPS: &str = "softnet.drops_total";
    /// (host) times that a core ran out of its share before its queue was empty.
    pub const SOFTNET_SQUEEZES: &str = "softnet.squeezes_total";
    /// (host) connections that the packet filter tracks.
    pub const CONNTRACK_ENTRIES: &str = "conntrack.entries";
    /// (host) connections that the packet filter can track.
    pub const CONNTRACK_LIMIT: &str = "conntrack.limit";
    /// (host) packets dropped because no connection could be tracked any more.
    pub const CONNTRACK_DROPS: &str = "conntrack.drops_total";
    /// (host) neighbours known by ARP or by NDP, of the one that is nearer to its limit.
    pub const NEIGHBOURS: &str = "neighbours.count";
    /// (host) neighbours asked for that did not answer.
    pub const NEIGHBOURS_FAILED: &str = "neighbours.failed";
    /// (host) neighbours asked for that have not answered yet.
    pub const NEIGHBOURS_PENDING: &str = "neighbours.pending";
    /// (host) neighbours that the kernel keeps at most, of that one.
    pub const NEIGHBOURS_LIMIT: &str = "neighbours.limit";
    /// (host) steps of the wall clock: it moved otherwise than time passed.
    pub const CLOCK_STEPS: &str = "clock.steps_total";
    /// (host) size of all those steps together, forwards and back.
    pub const CLOCK_STEPPED: &str = "clock.stepped_seconds_total";
    /// (host) how far the clock is from that of its time source, without a sign.
    pub const CLOCK_OFFSET: &str = "clock.offset_seconds";
    /// (host) 1 while the time service says that the clock follows a source.
    pub const CLOCK_SYNCHRONIZED: &str = "clock.synchronized";
    /// (host) time since the clock was last set by a source.
    pub const CLOCK_SYNCHRONIZATION_AGE: &str = "clock.synchronization_age_seconds";
    /// (filesystem) size.
    pub const FILESYSTEM_SIZE: &str = "filesystem.size_bytes";
    /// (filesystem) bytes free to unprivileged users.
    pub const FILESYSTEM_AVAILABLE: &str = "filesystem.available_bytes";
    /// (filesystem) bytes free, those reserved for root included.
    pub const FILESYSTEM_FREE: &str = "filesystem.free_bytes";
    /// (filesystem) inodes; 0 where the filesystem has no such limit.
    pub const FILESYSTEM_INODES: &str = "filesystem.inodes";
    /// (filesystem) inodes free to unprivileged users.
    pub const FILESYSTEM_INODES_AVAILABLE: &str = "filesystem.inodes_available";
    /// (filesystem) 1 when mounted read-only.
    pub const FILESYSTEM_READONLY: &str = "filesystem.readonly";
    /// (filesystem) 1 while statvfs has not returned within its deadline.
    pub const FILESYSTEM_HUNG: &str = "filesystem.hung";
    /// (filesystem) errors that it counted: of its own structures (ext4), or of its devices (btrfs).
    pub const FILESYSTEM_ERRORS: &str = "filesystem.errors_total";
    /// (filesystem) devices that a btrfs should have and has not.
    pub const FILESYSTEM_DEVICES_MISSING: &str = "filesystem.devices_missing";
    /// (filesystem) requests to its server sent again.
    pub const FILESYSTEM_RPC_RETRANSMITS: &str = "filesystem.rpc_retransmits_total";
    /// (filesystem) requests to its server that waited out the longest time.
    pub const FILESYSTEM_RPC_TIMEOUTS: &str = "filesystem.rpc_timeouts_total";
    /// (disk) reads completed.
    pub const DISK_READS: &str = "disk.reads_total";
    /// (disk) bytes read.
    pub const DISK_READ_BYTES: &str = "disk.read_bytes_total";
    /// (disk) time spent reading.
    pub const DISK_READ_SECONDS: &str = "disk.read_seconds_total";
    /// (disk) writes completed.
    pub const DISK_WRITES: &str = "disk.writes_total";
    /// (disk) bytes written.
    pub const DISK_WRITTEN_BYTES: &str = "disk.written_bytes_total";
    /// (disk) time spent writing.
    pub const DISK_WRITE_SECONDS: &str = "disk.write_seconds_total";
    /// (disk) requests in flight now.
    pub const DISK_IN_FLIGHT: &str = "disk.in_flight";
    /// (disk) time with a request in flight.
    pub const DISK_IO_SECONDS: &str = "disk.io_seconds_total";
    /// (disk) request-weighted time.
    pub const DISK_WEIGHTED_SECONDS: &str = "disk.weighted_seconds_total";
    /// (disk) flushes of its cache completed.
    pub const DISK_FLUSHES: &str = "disk.flushes_total";
    /// (disk) time spent flushing.
    pub const DISK_FLUSH_SECONDS: &str = "disk.flush_seconds_total";
    /// (disk) members that a software array has when it is whole.
    pub const ARRAY_MEMBERS: &str = "array.members";
    /// (disk) members of a software array that work.
    pub const ARRAY_MEMBERS_ACTIVE: &str = "array.members_active";
    /// (disk) members of a software array that are marked as failed.
    pub const ARRAY_MEMBERS_FAILED: &str = "array.members_failed";
    /// (disk) how far a rebuild, check or reshape of a software array has come; none while there is none.
    pub const ARRAY_SYNC: &str = "array.sync_ratio";
    /// (disk) 1 while a ZFS pool works with less redundancy than it should have.
    pub const POOL_DEGRADED: &str = "pool.degraded";
    /// (disk) 1 while a ZFS pool does not work: faulted, suspended, unavailable.
    pub const POOL_FAILED: &str = "pool.failed";
    /// (interface) bytes received.
    pub const INTERFACE_RX_BYTES: &str = "interface.received_bytes_total";
    /// (interface) packets received.
    pub const INTERFACE_RX_PACKETS: &str = "interface.received_packets_total";
    /// (interface) receive errors.
    pub const INTERFACE_RX_ERRORS: &str = "interface.receive_errors_total";
    /// (interface) receive drops.
    pub const INTERFACE_RX_DROPS: &str = "interface.receive_drops_total";
    /// (interface) bytes sent.
    pub const INTERFACE_TX_BYTES: &str = "interface.sent_bytes_total";
    /// (interface) packets sent.
    pub const INTERFACE_TX_PACKETS: &str = "interface.sent_packets_total";
    /// (interface) send errors.
    pub const INTERFACE_TX_ERRORS: &str = "interface.send_errors_total";
    /// (interface) send drops.
    pub const INTERFACE_TX_DROPS: &str = "interface.send_drops_total";
    /// (interface) 1 when operational.
    pub const INTERFACE_UP: &str = "interface.up";
    /// (interface) frames received damaged: CRC, length, alignment.
    pub const INTERFACE_RX_FRAME_ERRORS: &str = "interface.receive_frame_errors_total";
    /// (interface) packets that overran the receive queue.
    pub const INTERFACE_RX_OVERRUNS: &str = "interface.receive_overruns_total";
    /// (interface) packets that the card had no room for.
    pub const INTERFACE_RX_MISSED: &str = "interface.receive_missed_total";
    /// (interface) packets lost because the carrier went while sending.
    pub const INTERFACE_TX_CARRIER_ERRORS: &str = "interface.send_carrier_errors_total";
    /// (interface) collisions: on a switched link, a sign of wrong duplex.
    pub const INTERFACE_COLLISIONS: &str = "interface.collisions_total";
    /// (interface) times that the carrier came or went.
    pub const INTERFACE_CARRIER_CHANGES: &str = "interface.carrier_changes_total";
    /// (interface) bytes per second that the link carries at most, each way.
    pub const INTERFACE_SPEED: &str = "interface.speed_bytes";
    /// (interface) 1 where both ways can be used at once.
    pub const INTERFACE_FULL_DUPLEX: &str = "interface.full_duplex";
    /// (interface) bytes that wait in its queue to be sent.
    pub const INTERFACE_TX_QUEUE: &str = "interface.tx_queue_bytes";
    /// (interface) longest packet that it sends whole.
    pub const INTERFACE_MTU: &str = "interface.mtu_bytes";
    /// (interface) interfaces that a bond is made of.
    pub const BOND_MEMBERS: &str = "bond.members";
    /// (interface) those of them whose link works, as the bond sees it.
    pub const BOND_MEMBERS_UP: &str = "bond.members_up";
    /// (service) CPU time of its processes or cgroup.
    pub const SERVICE_CPU: &str = "service.cpu_seconds_total";
    /// (service) resident memory.
    pub const SERVICE_MEMORY: &str = "service.memory_bytes";
    /// (service) memory limit of its cgroup, where it has one.
    pub const SERVICE_MEMORY_LIMIT: &str = "service.memory_limit_bytes";
    /// (service) processes.
    pub const SERVICE_PROCESSES: &str = "service.processes";
    /// (service) threads.
    pub const SERVICE_THREADS: &str = "service.threads";
    /// (service) processes in uninterruptible sleep.
    pub const SERVICE_BLOCKED: &str = "service.processes_blocked";
    /// (service) processes stopped by a signal or a tracer.
    pub const SERVICE_STOPPED: &str = "service.processes_stopped";
    /// (service) processes that ended and that their parent has not taken note of.
    pub const SERVICE_ZOMBIES: &str = "service.processes_zombie";
    /// (service) open files of the process that is nearest to its own limit.
    pub const SERVICE_OPEN_FILES: &str = "service.open_files";
    /// (service) that limit.
    pub const SERVICE_OPEN_FILES_LIMIT: &str = "service.open_files_limit";
    /// (service) OOM kills in its cgroup.
    pub const SERVICE_OOM_KILLS: &str = "service.oom_kills_total";
    /// (service) time throttled by its CPU quota.
    pub const SERVICE_THROTTLED: &str = "service.cpu_throttled_seconds_total";
    /// (service) periods of its CPU quota in which it was runnable.
    pub const SERVICE_CPU_PERIODS: &str = "service.cpu_periods_total";
    /// (service) such periods in which it was throttled.
    pub const SERVICE_THROTTLED_PERIODS: &str = "service.cpu_throttled_periods_total";
    /// (service) memory from which on it is slowed and reclaimed, where it has such a limit.
    pub const SERVICE_MEMORY_HIGH: &str = "service.memory_high_bytes";
    /// (service) times that it was slowed for being above that.
    pub const SERVICE_MEMORY_HIGH_EVENTS: &str = "service.memory_high_events_total";
    /// (service) times that it was about to go over its memory limit.
    pub const SERVICE_MEMORY_LIMIT_EVENTS: &str = "service.memory_limit_events_total";
    /// (service) times that it was out of memory, whether or not something was killed.
    pub const SERVICE_OOM_EVENTS: &str = "service.oom_events_total";
    /// (service) seconds in which some task of it waited for CPU.
    pub const SERVICE_PRESSURE_CPU_SOME: &str = "service.pressure_cpu_some_seconds_total";
    /// (service) seconds in which some task of it waited for memory.
    pub const SERVICE_PRESSURE_MEMORY_SOME: &str = "service.pressure_memory_some_seconds_total";
    /// (service) seconds in which all its tasks waited for memory.
    pub const SERVICE_PRESSURE_MEMORY_FULL: &str = "service.pressure_memory_full_seconds_total";
    /// (service) seconds in which some task of it waited for IO.
    pub const SERVICE_PRESSURE_IO_SOME: &str = "service.pressure_io_some_seconds_total";
    /// (service) seconds in which all its tasks waited for IO.
    pub const SERVICE_PRESSURE_IO_FULL: &str = "service.pressure_io_full_seconds_total";
    /// (service) bytes read from disks.
    pub const SERVICE_READ_BYTES: &str = "service.read_bytes_total";
    /// (service) bytes written to disks.
    pub const SERVICE_WRITTEN_BYTES: &str = "service.written_bytes_total";
    /// (service) reads from disks.
    pub const SERVICE_READS: &str = "service.reads_total";
    /// (service) writes to disks.
    pub const SERVICE_WRITES: &str = "service.writes_total";
    /// (service) tasks of its cgroup: processes and threads.
    pub const SERVICE_TASKS: &str = "service.tasks";
    /// (service) tasks that its cgroup may have, where there is a limit.
    pub const SERVICE_TASKS_LIMIT: &str = "service.tasks_limit";
    /// (service) tasks refused because of that limit.
    pub const SERVICE_TASKS_REFUSED: &str = "service.tasks_refused_total";
    /// (service) automatic restarts, as systemd's NRestarts.
    pub const SERVICE_RESTARTS: &str = "service.restarts_total";
    /// (service) longest accept queue of its listeners now.
    pub const SERVICE_ACCEPT_QUEUE: &str = "service.accept_queue";
    /// (service) backlog of that listener.
    pub const SERVICE_ACCEPT_BACKLOG: &str = "service.accept_backlog";
    /// (service) connections established now.
    pub const SERVICE_CONNECTIONS: &str = "service.connections";
    /// (service) connections in CLOSE-WAIT: the peer hung up, the service has not.
    pub const SERVICE_CLOSE_WAIT: &str = "service.close_wait";
    /// (service) bytes received but not yet read by the service, over its connections.
    pub const SERVICE_UNREAD_BYTES: &str = "service.unread_bytes";
    /// (agent) CPU time.
    pub const AGENT_CPU: &str = "agent.cpu_seconds_total";
    /// (agent) resident memory.
    pub const AGENT_MEMORY: &str = "agent.memory_bytes";
    /// (agent) records shed under budget or overload.
    pub const AGENT_DROPPED: &str = "agent.dropped_records_total";
    /// (agent) bytes waiting in the journal.
    pub const AGENT_JOURNAL_BYTES: &str = "agent.journal_bytes";
    /// (agent) how much work the agent gives up while its host suffers: 0 calm, 1 eased, 2 strained, 3 bare.
    pub const AGENT_STRAIN: &str = "agent.strain";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::HostId;

    #[test]
    fn a_schema_is_named_by_its_contents() {
        let host = ComponentId::host(HostId::new("h1").unwrap());
        let series = |signal: &str| Series {
            component: host.clone(),
            signal: signal.to_owned(),
            unit: Unit::Count,
            kind: SignalKind::Gauge,
        };
        let a = Schema::new(vec![series("a"), series("b")]);
        assert_eq!(a.id(), Schema::new(vec![series("a"), series("b")]).id());
        assert_ne!(a.id(), Schema::new(vec![series("b"), series("a")]).id());
    }
}
