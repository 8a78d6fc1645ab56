//! Symptoms and attestations: what detection says of a component.

use serde::{Deserialize, Serialize};

use crate::component::ComponentId;
use crate::reference::Reference;
use crate::time::{TimeRange, Timestamp};

/// A signal judged abnormal. One per (component, kind, subject): a flapping one stays one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Symptom {
    /// Of what.
    pub component: ComponentId,
    /// Kind from [`kinds`], or `log.<catalogue phrase>`.
    pub kind: String,
    /// Other party where the kind has one: the callee of an edge, as seen by its caller, or the
    /// caller, as seen by the callee. `None` otherwise.
    pub peer: Option<ComponentId>,
    /// Evidence family: observations of one family on one component say the same thing. From [`families`].
    pub family: String,
    /// Earliest and latest moment at which it may have begun.
    pub onset: TimeRange,
    /// Last observation that showed it.
    pub last_seen: Timestamp,
    /// 0 (barely) to 1 (certain and grave).
    pub severity: f64,
    /// Whether this is reason enough to open an incident: somebody is hurt, or a contract broke.
    pub gate: bool,
    /// One line for people, with the observed and the usual value. Hostile parts: escape when shown.
    pub text: String,
    /// Share of the time in which nobody is hurt and this component shows it all the same, 0 to 1. As learned; 0: never seen so,
    /// or not learned.
    #[serde(default)]
    pub usual: f64,
    /// The observations.
    pub reference: Reference,
}

/// A family of signals of a component that was seen, with coverage, and normal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attestation {
    /// Of what.
    pub component: ComponentId,
    /// Which family, from [`families`].
    pub family: String,
    /// Share of expected observations that arrived in the window, 0 to 1.
    pub coverage: f64,
    /// Last observation.
    pub last_seen: Timestamp,
    /// What was measured and how large a shift would have shown, for people.
    pub text: String,
    /// The observations.
    pub reference: Reference,
}

/// Families of evidence.
pub mod families {
    /// Space and inodes of a filesystem, mount state.
    pub const FILESYSTEM: &str = "filesystem";
    /// CPU time, run queue, pressure.
    pub const CPU: &str = "cpu";
    /// Memory, swap, OOM.
    pub const MEMORY: &str = "memory";
    /// Disk latency, queue, IO pressure.
    pub const DISK: &str = "disk";
    /// Interface counters and host-wide TCP counters.
    pub const NETWORK: &str = "network";
    /// The service manager's word on a unit.
    pub const UNIT: &str = "unit";
    /// Accept queue, unread bytes, CLOSE-WAIT of a service.
    pub const SOCKETS: &str = "sockets";
    /// Health of edges towards callees or callers.
    pub const EDGE: &str = "edge";
    /// Log lines.
    pub const LOG: &str = "log";
    /// Presence on the collector.
    pub const HEARTBEAT: &str = "heartbeat";
    /// What declared probes found.
    pub const PROBE: &str = "probe";
    /// What a host or service uses of what it may use: open files, tasks, CPU quota, ports, tracked connections.
    pub const LIMITS: &str = "limits";
    /// The wall clock against others'.
    pub const CLOCK: &str = "clock";
}

/// Kinds of symptoms that the catalogue predicts.
pub mod kinds {
    /// Those that harm nobody yet where they are no reason for an incident: what will fail if nobody acts.
    pub const RISKS: [&str; 12] = [
        SPACE_EXHAUSTED,
        INODES_EXHAUSTED,
        FILESYSTEM_ERRORS,
        MEMORY_GROWING,
        DISK_DEGRADED,
        DISK_ERRORS,
        FILES_EXHAUSTED,
        TASKS_EXHAUSTED,
        PORTS_EXHAUSTED,
        TRACKING_EXHAUSTED,
        CLOCK_SKEW,
        CERTIFICATE_EXPIRING,
    ];
    /// (filesystem) bytes available to users at or near none.
    pub const SPACE_EXHAUSTED: &str = "filesystem.space-exhausted";
    /// (filesystem) inodes at or near none.
    pub const INODES_EXHAUSTED: &str = "filesystem.inodes-exhausted";
    /// (filesystem) turned read-only.
    pub const READONLY: &str = "filesystem.readonly";
    /// (filesystem) calls do not return.
    pub const FILESYSTEM_HUNG: &str = "filesystem.hung";
    /// (host) run queue above cores and CPU pressure high.
    pub const CPU_SATURATED: &str = "cpu.saturated";
    /// (host) tasks wait for CPU and mostly none runs: a quota, or others on the same machine, have it.
    pub const CPU_WITHHELD: &str = "cpu.withheld";
    /// (service) uses most of a saturated host's CPU, and nobody calls it.
    pub const CPU_NOISY_NEIGHBOUR: &str = "cpu.noisy-neighbour";
    /// (service) uses most of a saturated host's CPU, and is called.
    pub const CPU_HOG: &str = "cpu.hog";
    /// (service) its CPU quota stops it for most of its periods.
    pub const CPU_THROTTLED: &str = "cpu.throttled";
    /// (host) the hypervisor gives its CPU time to others.
    pub const CPU_STOLEN: &str = "cpu.stolen";
    /// (host) slowed because it is too hot.
    pub const CPU_TOO_HOT: &str = "cpu.too-hot";
    /// (host) memory nearly gone, stalls.
    pub const MEMORY_PRESSURE: &str = "memory.pressure";
    /// (service) its memory only grows, and will be gone within a day.
    pub const MEMORY_GROWING: &str = "memory.growing";
    /// (service, host) the kernel killed for want of memory.
    pub const OOM_KILLED: &str = "memory.oom-killed";
    /// (host) IO pressure high.
    pub const IO_PRESSURE: &str = "disk.io-pressure";
    /// (disk) requests take far longer than is usual, though no more is asked of it.
    pub const DISK_SLOW: &str = "disk.slow";
    /// (disk) the kernel reports errors of the device.
    pub const DISK_ERRORS: &str = "disk.errors";
    /// (disk) an array or pool works without some of its members, or not at all.
    pub const DISK_DEGRADED: &str = "disk.degraded";
    /// (filesystem) it counts errors of its own structures or devices.
    pub const FILESYSTEM_ERRORS: &str = "filesystem.errors";
    /// (service, host) open files at their limit.
    pub const FILES_EXHAUSTED: &str = "limits.files-exhausted";
    /// (service, host) tasks at their limit, or refused.
    pub const TASKS_EXHAUSTED: &str = "limits.tasks-exhausted";
    /// (host) ports for calls to one address at their limit.
    pub const PORTS_EXHAUSTED: &str = "limits.ports-exhausted";
    /// (host) tracked connections at their limit, or packets dropped for want of an entry.
    pub const TRACKING_EXHAUSTED: &str = "limits.tracking-exhausted";
    /// (host) its clock disagrees with the collector's or its time source's.
    pub const CLOCK_SKEW: &str = "clock.skew";
    /// (service) wanted, but not running.
    pub const UNIT_DOWN: &str = "unit.down";
    /// (service) ended with an error.
    pub const UNIT_FAILED: &str = "unit.failed";
    /// (service) restarted by its manager again and again.
    pub const UNIT_RESTARTING: &str = "unit.restarting";
    /// (service) ended by its manager because it gave no sign of life.
    pub const UNIT_WATCHDOG: &str = "unit.watchdog";
    /// (service) its listener is gone.
    pub const LISTENER_GONE: &str = "sockets.listener-gone";
    /// (service) accept queue at its backlog.
    pub const ACCEPT_QUEUE_FULL: &str = "sockets.accept-queue-full";
    /// (host) connections are lost to full accept queues.
    pub const LISTEN_OVERFLOW: &str = "sockets.listen-overflow";
    /// (service) received bytes are not read, peers' hang-ups not answered.
    pub const NOT_READING: &str = "sockets.not-reading";
    /// (service) its callers ask several times as much of it as they usually do.
    pub const LOAD_SURGED: &str = "load.surged";
    /// (service) its processes are stopped by a signal.
    pub const STOPPED: &str = "process.stopped";
    /// (interface, host) segments are lost to all peers.
    pub const HOST_RETRANSMITS: &str = "network.retransmits";
    /// (interface) errors or drops.
    pub const INTERFACE_ERRORS: &str = "network.interface-errors";
    /// (interface) not operational.
    pub const INTERFACE_DOWN: &str = "network.interface-down";
    /// (interface) carries as much as its link can.
    pub const INTERFACE_SATURATED: &str = "network.saturated";
    /// (host) hears nothing from outside.
    pub const RECEIVES_NOTHING: &str = "network.receives-nothing";
    /// (caller, peer callee) segments are lost on the edge.
    pub const EDGE_RETRANSMITS: &str = "edge.retransmits";
    /// (caller, peer callee) connects get no answer.
    pub const EDGE_UNANSWERED: &str = "edge.unanswered";
    /// (caller, peer callee) the edge's connections ended and new ones fail.
    pub const EDGE_LOST: &str = "edge.lost";
    /// (caller, peer callee) round-trip time rose.
    pub const EDGE_SLOW: &str = "edge.slow";
    /// (caller, peer callee) requests are sent, no answer arrives.
    pub const EDGE_STALLED: &str = "edge.stalled";
    /// (caller, peer callee) connects several times as often as usual, and gets no more for it.
    pub const EDGE_RETRYING: &str = "edge.retrying";
    /// (caller, peer callee) connections are made, and stick at the first full segment.
    pub const EDGE_LARGE_STUCK: &str = "edge.large-stuck";
    /// (host) many jobs began within half a minute.
    pub const JOBS_TOGETHER: &str = "jobs.began-together";
    /// (service, host) more error lines than usual.
    pub const LOG_ERRORS: &str = "log.errors";
    /// (service) an error template never seen before on it.
    pub const LOG_NEW_ERROR: &str = "log.new-error";
    /// (service, host) says that no space is left.
    pub const LOG_NO_SPACE: &str = "log.no-space";
    /// (service) says that a connection was refused.
    pub const LOG_REFUSED: &str = "log.connection-refused";
    /// (service) says that something timed out.
    pub const LOG_TIMEOUT: &str = "log.timeout";
    /// (service) says that it may open no more files.
    pub const LOG_TOO_MANY_FILES: &str = "log.too-many-files";
    /// (service) says that it may start no more processes or threads.
    pub const LOG_CANNOT_FORK: &str = "log.cannot-fork";
    /// (service) says that no port is left for a call.
    pub const LOG_NO_PORTS: &str = "log.no-ports";
    /// (service) says that names cannot be resolved at present.
    pub const LOG_UNRESOLVED: &str = "log.name-unresolved";
    /// (service) says that a name does not exist.
    pub const LOG_NAME_MISSING: &str = "log.name-missing";
    /// (service) says that a certificate has expired.
    pub const LOG_CERTIFICATE_EXPIRED: &str = "log.certificate-expired";
    /// (service) says that it was not let in, or let nobody in.
    pub const LOG_AUTH_FAILED: &str = "log.auth-failed";
    /// (service) says that there are more clients than are allowed.
    pub const LOG_TOO_MANY_CLIENTS: &str = "log.too-many-clients";
    /// (service) says that its pool has no connection to spare.
    pub const LOG_POOL_EXHAUSTED: &str = "log.pool-exhausted";
    /// (service) says that its workers are all busy.
    pub const LOG_WORKERS_EXHAUSTED: &str = "log.workers-exhausted";
    /// (service) says that locks are waited for too long, or that a deadlock was broken.
    pub const LOG_LOCK_WAIT: &str = "log.lock-wait";
    /// (service) says that replication broke.
    pub const LOG_REPLICA_BROKEN: &str = "log.replica-broken";
    /// (service) says that replication falls behind.
    pub const LOG_REPLICA_LAGS: &str = "log.replica-lags";
    /// (service) says that a quota is used up or a licence over.
    pub const LOG_QUOTA: &str = "log.quota-exceeded";
    /// (service) says that its configuration cannot be used.
    pub const LOG_BAD_CONFIG: &str = "log.bad-config";
    /// (service) says that all its work stood still, to collect garbage or for another reason of its own.
    pub const LOG_LONG_PAUSE: &str = "log.long-pause";
    /// (host) its service manager says that it shuts the host down.
    pub const LOG_SHUTTING_DOWN: &str = "log.shutting-down";
    /// (host) its agent is silent on the collector.
    pub const AGENT_SILENT: &str = "heartbeat.silent";
    /// (host) peers still exchange data with it.
    pub const PEERS_REACH: &str = "heartbeat.peers-reach";
    /// (host) peers get no answer from it.
    pub const PEERS_CUT: &str = "heartbeat.peers-cut";
    /// (service, host) a declared probe of it is answered otherwise than asked for, or cannot be made.
    pub const PROBE_FAILED: &str = "probe.failed";
    /// (service, host) a declared probe of it gets no answer, or its unit is not active.
    pub const PROBE_UNANSWERED: &str = "probe.unanswered";
    /// (service, host) a certificate that is shown has ended: a probe or the agent sees it.
    pub const CERTIFICATE_EXPIRED: &str = "probe.certificate-expired";
    /// (service, host) a certificate ends within a week, or sooner than its probe asks for; or it has ended long ago, or in a file.
    pub const CERTIFICATE_EXPIRING: &str = "probe.certificate-expiring";
}
