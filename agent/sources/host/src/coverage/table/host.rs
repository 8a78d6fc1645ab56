//! Signals of the host as a whole.

use firstlook_model::ComponentKind::Host;
use firstlook_model::signal::names as n;

use super::{PRESSURE, plain};
use crate::coverage::Gathered;
use crate::{clock, edac, neighbours, thermal};

pub(super) static ROWS: &[Gathered] = &[
    plain(
        Host,
        "/proc/stat",
        &[
            n::CPU_USER,
            n::CPU_NICE,
            n::CPU_SYSTEM,
            n::CPU_IDLE,
            n::CPU_IRQ,
            n::CPU_CORES,
        ],
        &["cpu-saturated", "cron-storm", "load-surge"],
    ),
    plain(
        Host,
        "/proc/stat",
        &[n::CPU_IOWAIT],
        &["disk-slow", "filesystem-hung"],
    ),
    plain(
        Host,
        "/proc/stat",
        &[n::CPU_SOFTIRQ],
        &["cpu-saturated", "packet-loss"],
    ),
    plain(Host, "/proc/stat", &[n::CPU_STEAL], &["cpu-stolen"]),
    plain(
        Host,
        "/proc/stat",
        &[n::PROCESSES_RUNNING],
        &["cpu-saturated", "cron-storm"],
    ),
    plain(
        Host,
        "/proc/stat",
        &[n::PROCESSES_BLOCKED],
        &["filesystem-hung", "disk-slow"],
    ),
    plain(
        Host,
        "/proc/loadavg",
        &[n::LOAD_1M],
        &["cpu-saturated", "filesystem-hung"],
    ),
    plain(
        Host,
        "entries of /proc",
        &[n::PROCESSES],
        &["pids-exhausted", "cron-storm"],
    ),
    plain(
        Host,
        "/proc/loadavg, kernel.pid_max, kernel.threads-max",
        &[n::TASKS, n::TASKS_PID_LIMIT, n::TASKS_LIMIT],
        &["pids-exhausted"],
    ),
    plain(
        Host,
        "fs.file-nr",
        &[n::FILES_OPEN, n::FILES_LIMIT],
        &["fd-exhausted"],
    ),
    plain(
        Host,
        "thermal_throttle of each core in sysfs",
        &[n::CPU_THERMAL_THROTTLES],
        &["thermal-throttled"],
    )
    .every(thermal::EVERY)
    .needs("a processor that counts it (Intel)"),
    plain(
        Host,
        "cpufreq of each core in sysfs",
        &[n::CPU_FREQUENCY, n::CPU_FREQUENCY_MAX],
        &["thermal-throttled"],
    )
    .every(thermal::EVERY)
    .needs("a cpufreq driver: virtual machines have none"),
    plain(
        Host,
        "/proc/meminfo",
        &[
            n::MEMORY_TOTAL,
            n::MEMORY_AVAILABLE,
            n::SWAP_TOTAL,
            n::SWAP_FREE,
        ],
        &["memory-exhausted", "oom-kill"],
    ),
    plain(
        Host,
        "edac/mc of the devices in sysfs",
        &edac::SIGNALS,
        &["host-down"],
    )
    .every(edac::EVERY)
    .needs("memory with ECC and a driver for its controller: virtual machines have none"),
    plain(Host, "/proc/vmstat", &[n::OOM_KILLS], &["oom-kill"]),
    plain(
        Host,
        "/proc/vmstat",
        &[
            n::SWAP_IN,
            n::SWAP_OUT,
            n::MAJOR_FAULTS,
            n::REFAULTS,
            n::ALLOCATION_STALLS,
            n::COMPACTION_STALLS,
        ],
        &["memory-exhausted"],
    ),
    plain(
        Host,
        "/proc/pressure",
        &[n::PRESSURE_CPU_SOME, n::PRESSURE_CPU_FULL],
        &["cpu-saturated"],
    )
    .needs(PRESSURE),
    plain(
        Host,
        "/proc/pressure",
        &[n::PRESSURE_MEMORY_SOME, n::PRESSURE_MEMORY_FULL],
        &["memory-exhausted"],
    )
    .needs(PRESSURE),
    plain(
        Host,
        "/proc/pressure",
        &[n::PRESSURE_IO_SOME, n::PRESSURE_IO_FULL],
        &["disk-slow", "filesystem-hung"],
    )
    .needs(PRESSURE),
    plain(
        Host,
        "/proc/net/snmp",
        &[n::TCP_SEGMENTS_OUT, n::TCP_SEGMENTS_IN, n::TCP_RETRANSMITS],
        &["packet-loss", "mtu-hole", "host-partitioned"],
    ),
    plain(
        Host,
        "/proc/net/snmp",
        &[
            n::TCP_ATTEMPT_FAILS,
            n::TCP_RESETS_OUT,
            n::TCP_ESTABLISHED_RESETS,
        ],
        &["service-down", "firewall-reject", "dependency-down"],
    ),
    plain(
        Host,
        "/proc/net/snmp",
        &[n::TCP_ESTABLISHED],
        &["load-surge", "connections-exhausted"],
    ),
    plain(
        Host,
        "/proc/net/netstat",
        &[n::TCP_TIMEOUTS, n::TCP_SYN_RETRANSMITS],
        &["host-partitioned", "firewall-drop", "packet-loss"],
    ),
    plain(
        Host,
        "/proc/net/netstat",
        &[n::TCP_OUT_OF_ORDER],
        &["packet-loss"],
    ),
    plain(
        Host,
        "/proc/net/netstat",
        &[
            n::TCP_LISTEN_OVERFLOWS,
            n::TCP_LISTEN_DROPS,
            n::TCP_SYN_COOKIES,
            n::TCP_BACKLOG_DROPS,
        ],
        &["listen-overflow"],
    ),
    plain(
        Host,
        "/proc/net/netstat",
        &[n::TCP_MEMORY_PRESSURES],
        &["memory-exhausted"],
    ),
    plain(
        Host,
        "/proc/net/sockstat, net.ipv4.tcp_mem",
        &[n::TCP_ORPHANS, n::TCP_MEMORY, n::TCP_MEMORY_LIMIT],
        &["memory-exhausted"],
    ),
    plain(
        Host,
        "/proc/net/sockstat, /proc/net/netstat, net.ipv4.ip_local_port_range",
        &[
            n::TCP_TIME_WAIT,
            n::TCP_TIME_WAIT_OVERFLOWS,
            n::TCP_EPHEMERAL_PORTS,
        ],
        &["ephemeral-ports-exhausted"],
    ),
    plain(
        Host,
        "sock_diag",
        &[n::TCP_EPHEMERAL_PORTS_USED],
        &["ephemeral-ports-exhausted"],
    )
    .every(0),
    plain(
        Host,
        "/proc/net/snmp, /proc/net/snmp6",
        &[n::UDP_IN, n::UDP_OUT, n::UDP_NO_PORTS],
        &["dns-down"],
    ),
    plain(
        Host,
        "/proc/net/snmp, /proc/net/snmp6",
        &[
            n::UDP_ERRORS,
            n::UDP_RECEIVE_BUFFER_ERRORS,
            n::UDP_SEND_BUFFER_ERRORS,
        ],
        &["packet-loss"],
    ),
    plain(
        Host,
        "/proc/net/softnet_stat",
        &[n::SOFTNET_DROPS, n::SOFTNET_SQUEEZES],
        &["packet-loss", "bandwidth-saturated"],
    ),
    plain(
        Host,
        "net.netfilter of sysctl, /proc/net/stat/nf_conntrack",
        &[n::CONNTRACK_ENTRIES, n::CONNTRACK_LIMIT, n::CONNTRACK_DROPS],
        &["conntrack-full"],
    )
    .needs("nf_conntrack loaded: else nothing is tracked"),
    plain(
        Host,
        "rtnetlink, net.*.neigh.default.gc_thresh3",
        &neighbours::SIGNALS,
        &["host-down", "link-down"],
    )
    .every(neighbours::EVERY),
    plain(
        Host,
        "clock_gettime(2)",
        &clock::STEP_SIGNALS,
        &["clock-skew"],
    ),
    plain(
        Host,
        "chronyd on 127.0.0.1:323",
        &[n::CLOCK_OFFSET],
        &["clock-skew"],
    )
    .every(clock::EVERY)
    .needs("chronyd with its command port on loopback, as by default"),
    plain(
        Host,
        "chronyd, or /run/systemd/timesync/synchronized",
        &[n::CLOCK_SYNCHRONIZED, n::CLOCK_SYNCHRONIZATION_AGE],
        &["clock-skew"],
    )
    .every(clock::EVERY)
    .needs("chronyd or systemd-timesyncd"),
];
