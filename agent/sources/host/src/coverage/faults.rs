//! The table of faults: every kind of the first catalogue.

use super::Fault;

const fn fault(kind: &'static str, elsewhere: &'static str, missing: &'static str) -> Fault {
    Fault {
        kind,
        elsewhere,
        missing,
    }
}

const EDGES: &str = "edges: round-trip time, retransmits, back-off, queues, connections by state";
const LOGS: &str = "logs: templates of each service";
const UNITS: &str = "units: state, result, exit code, restarts";
const ONE_NAMESPACE: &str = "of other network namespaces than the agent's: connections shorter than a dump's interval, \
    because a socket that hears of their end would keep the namespace alive; and what the kernel counts of TCP: not read yet";

pub(super) static FAULTS: &[Fault] = &[
    fault(
        "disk-full",
        LOGS,
        "quotas: no file tells them, and quotactl(2) has no safe call",
    ),
    fault("inodes-full", LOGS, ""),
    fault(
        "filesystem-readonly",
        "logs: the kernel's own (kmsg)",
        "XFS counts no errors that can be read; its shutdown shows in the kernel's log",
    ),
    fault(
        "filesystem-hung",
        "logs: the kernel's hung tasks",
        "threads in D state other than a process's first: one file per thread would cost more than all else",
    ),
    fault("disk-slow", EDGES, ""),
    fault(
        "disk-failing",
        "logs: the kernel's I/O errors and resets",
        "SMART needs CAP_SYS_RAWIO and ioctls without a safe call; disks of LVM are dm-N: the volume's name is the \
         source of its mount; paths that multipath gave up: an ioctl without a safe call tells",
    ),
    fault("cpu-saturated", EDGES, ""),
    fault("cpu-throttled", "", ""),
    fault("cpu-stolen", "", ""),
    fault("memory-exhausted", "", ""),
    fault("memory-leak", "", ""),
    fault(
        "oom-kill",
        "logs: the kernel's OOM lines; units: Result=oom-kill",
        "",
    ),
    fault("fd-exhausted", LOGS, ""),
    fault(
        "pids-exhausted",
        "logs: the kernel's refusals of forks",
        "RLIMIT_NPROC of a user: no file counts a user's tasks",
    ),
    fault(
        "threads-exhausted",
        "",
        "the size of a program's own pool: only the program knows",
    ),
    fault(
        "clock-skew",
        "the collector: offset of the agent's clock",
        "state of the kernel's clock (adjtimex): no safe call; offset by systemd-timesyncd: it tells none in a file; \
         ntpd: not asked",
    ),
    fault(
        "thermal-throttled",
        "logs: the kernel's temperature lines",
        "throttle counters of AMD and ARM: their kernels have none",
    ),
    fault("packet-loss", EDGES, ""),
    fault("latency-added", EDGES, ""),
    fault("bandwidth-saturated", EDGES, ""),
    fault("link-down", EDGES, ""),
    fault("host-partitioned", "edges; the collector: silence", ""),
    fault(
        "host-down",
        "edges of its peers; the collector: silence; logs: its last words",
        "which neighbour did not answer: only how many",
    ),
    fault(
        "agent-down",
        "the collector: silence; edges of its peers",
        "",
    ),
    fault("firewall-reject", EDGES, ONE_NAMESPACE),
    fault("firewall-drop", EDGES, ONE_NAMESPACE),
    fault(
        "mtu-hole",
        EDGES,
        "path MTU of each connection: not read yet",
    ),
    fault(
        "dns-down",
        "probes; units; logs; edges over TCP",
        "edges over UDP: sock_diag tells no peers of theirs",
    ),
    fault("dns-name-missing", "probes; logs", ""),
    fault("listen-overflow", EDGES, ONE_NAMESPACE),
    fault(
        "ephemeral-ports-exhausted",
        "edges: connections to each callee; logs",
        "which callee TIME-WAIT is with: only how many ports the fullest takes",
    ),
    fault(
        "conntrack-full",
        "logs: the kernel's",
        "tables of other network namespaces than the agent's",
    ),
    fault(
        "nic-errors",
        "logs: the kernel's",
        "counters of ethtool: ioctls without a safe call",
    ),
    fault("service-down", "units; edges; probes", ""),
    fault("crash-loop", UNITS, ""),
    fault(
        "service-hung",
        "edges; probes; logs: silence",
        ONE_NAMESPACE,
    ),
    fault("watchdog-timeout", UNITS, ""),
    fault("bad-deploy", "changes; logs; probes", ""),
    fault("config-error", "changes; logs", ""),
    fault("dependency-down", "edges; logs", ""),
    fault("database-lock", LOGS, ""),
    fault(
        "connections-exhausted",
        LOGS,
        "the database's own maximum: only it knows",
    ),
    fault(
        "pool-exhausted",
        "edges; logs",
        "the pool's own maximum: only the program knows",
    ),
    fault("replication-lag", "edges; logs", ""),
    fault("replica-broken", "edges; logs", ""),
    fault(
        "certificate-expired",
        "certificates in files and on ports; probes; logs",
        "",
    ),
    fault(
        "certificate-expiring",
        "certificates in files and on ports; probes",
        "what a service shows on a port that is not declared, or only to who names a site",
    ),
    fault("auth-failure", "logs; changes", ""),
    fault("cron-storm", "units; changes", ""),
    fault("load-surge", EDGES, ""),
    fault("retry-storm", EDGES, ""),
    fault("gc-or-stall", EDGES, ""),
    fault("quota-or-licence", LOGS, ""),
    fault("external-dependency", "edges of all its callers", ""),
];
