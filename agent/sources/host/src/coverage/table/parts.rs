//! Signals of what a host has: file systems, disks, interfaces, services, the agent.

use firstlook_model::ComponentKind::{Agent, Disk, Filesystem, Interface, Service};
use firstlook_model::signal::names as n;

use super::{CGROUP, OWNERS, plain};
use crate::coverage::Gathered;
use crate::{arrays, bonds, damage, network, nfs, own, processes, queues, services};

pub(super) static ROWS: &[Gathered] = &[
    plain(
        Filesystem,
        "statvfs(3)",
        &[
            n::FILESYSTEM_SIZE,
            n::FILESYSTEM_AVAILABLE,
            n::FILESYSTEM_FREE,
        ],
        &["disk-full"],
    ),
    plain(
        Filesystem,
        "statvfs(3)",
        &[n::FILESYSTEM_INODES, n::FILESYSTEM_INODES_AVAILABLE],
        &["inodes-full"],
    ),
    plain(
        Filesystem,
        "statvfs(3), /proc/1/mountinfo",
        &[n::FILESYSTEM_READONLY],
        &["filesystem-readonly"],
    ),
    plain(
        Filesystem,
        "statvfs(3)",
        &[n::FILESYSTEM_HUNG],
        &["filesystem-hung"],
    ),
    plain(
        Filesystem,
        "errors_count of ext4, error_stats of btrfs in sysfs",
        &[n::FILESYSTEM_ERRORS],
        &["filesystem-readonly", "disk-failing"],
    )
    .every(damage::EVERY)
    .needs("ext4, or btrfs from Linux 5.14 on"),
    plain(
        Filesystem,
        "devinfo of btrfs in sysfs",
        &[n::FILESYSTEM_DEVICES_MISSING],
        &["disk-failing"],
    )
    .every(damage::EVERY)
    .needs("btrfs"),
    plain(
        Filesystem,
        "/proc/1/mountstats",
        &nfs::SIGNALS,
        &["filesystem-hung"],
    )
    .every(nfs::EVERY)
    .needs("NFS"),
    plain(
        Disk,
        "/proc/diskstats",
        &[
            n::DISK_READS,
            n::DISK_READ_BYTES,
            n::DISK_READ_SECONDS,
            n::DISK_WRITES,
            n::DISK_WRITTEN_BYTES,
            n::DISK_WRITE_SECONDS,
            n::DISK_IO_SECONDS,
            n::DISK_WEIGHTED_SECONDS,
        ],
        &["disk-slow"],
    ),
    plain(
        Disk,
        "/proc/diskstats",
        &[n::DISK_IN_FLIGHT],
        &["disk-slow", "filesystem-hung"],
    ),
    plain(
        Disk,
        "/proc/diskstats",
        &[n::DISK_FLUSHES, n::DISK_FLUSH_SECONDS],
        &["disk-slow"],
    )
    .needs("Linux 5.5"),
    plain(
        Disk,
        "/proc/mdstat",
        &arrays::ARRAY_SIGNALS,
        &["disk-failing"],
    )
    .every(arrays::EVERY)
    .needs("software arrays"),
    plain(
        Disk,
        "/proc/spl/kstat/zfs/*/state",
        &arrays::POOL_SIGNALS,
        &["disk-failing"],
    )
    .every(arrays::EVERY)
    .needs("ZFS"),
    plain(
        Interface,
        "/proc/net/dev",
        &[
            n::INTERFACE_RX_BYTES,
            n::INTERFACE_RX_PACKETS,
            n::INTERFACE_TX_BYTES,
            n::INTERFACE_TX_PACKETS,
        ],
        &["bandwidth-saturated", "host-partitioned", "load-surge"],
    ),
    plain(
        Interface,
        "/proc/net/dev",
        &[
            n::INTERFACE_RX_ERRORS,
            n::INTERFACE_RX_DROPS,
            n::INTERFACE_TX_ERRORS,
            n::INTERFACE_TX_DROPS,
            n::INTERFACE_RX_OVERRUNS,
        ],
        &["packet-loss", "nic-errors"],
    ),
    plain(
        Interface,
        "/proc/net/dev",
        &[
            n::INTERFACE_RX_FRAME_ERRORS,
            n::INTERFACE_TX_CARRIER_ERRORS,
            n::INTERFACE_COLLISIONS,
        ],
        &["nic-errors"],
    ),
    plain(
        Interface,
        "operstate in sysfs",
        &[n::INTERFACE_UP],
        &["link-down"],
    ),
    plain(
        Interface,
        "statistics in sysfs",
        &[n::INTERFACE_RX_MISSED],
        &["nic-errors", "packet-loss"],
    )
    .every(network::LINK_EVERY),
    plain(
        Interface,
        "carrier_changes in sysfs",
        &[n::INTERFACE_CARRIER_CHANGES],
        &["link-down", "nic-errors"],
    )
    .every(network::LINK_EVERY),
    plain(
        Interface,
        "speed and duplex in sysfs",
        &[n::INTERFACE_SPEED, n::INTERFACE_FULL_DUPLEX],
        &["nic-errors", "bandwidth-saturated"],
    )
    .every(network::LINK_EVERY)
    .needs("a driver that knows: virtual cards do not"),
    plain(
        Interface,
        "mtu in sysfs",
        &[n::INTERFACE_MTU],
        &["mtu-hole"],
    )
    .every(network::LINK_EVERY),
    plain(
        Interface,
        "queueing disciplines by rtnetlink",
        &queues::SIGNALS,
        &["bandwidth-saturated", "latency-added"],
    )
    .every(queues::EVERY),
    plain(
        Interface,
        "bonding in sysfs",
        &bonds::SIGNALS,
        &["link-down", "bandwidth-saturated"],
    )
    .every(bonds::EVERY)
    .needs("bonds"),
    plain(
        Service,
        "cpu.stat or cpuacct of its cgroup, else /proc/PID/stat",
        &[n::SERVICE_CPU],
        &[
            "cpu-saturated",
            "service-hung",
            "database-lock",
            "gc-or-stall",
        ],
    ),
    plain(
        Service,
        "/proc/PID/stat, memory.current of its cgroup",
        &[n::SERVICE_MEMORY],
        &["memory-leak", "memory-exhausted"],
    ),
    plain(
        Service,
        "memory.max and memory.high of its cgroup",
        &[n::SERVICE_MEMORY_LIMIT, n::SERVICE_MEMORY_HIGH],
        &["memory-leak", "oom-kill"],
    )
    .needs(CGROUP),
    plain(
        Service,
        "memory.events or memory.oom_control of its cgroup",
        &[
            n::SERVICE_OOM_KILLS,
            n::SERVICE_OOM_EVENTS,
            n::SERVICE_MEMORY_LIMIT_EVENTS,
        ],
        &["oom-kill"],
    )
    .needs(CGROUP),
    plain(
        Service,
        "memory.events of its cgroup",
        &[n::SERVICE_MEMORY_HIGH_EVENTS],
        &["memory-leak", "gc-or-stall"],
    )
    .needs("cgroup2 with the memory controller on"),
    plain(
        Service,
        "/proc/PID/stat",
        &[n::SERVICE_PROCESSES],
        &["service-down", "crash-loop", "cron-storm"],
    ),
    plain(
        Service,
        "/proc/PID/stat",
        &[n::SERVICE_THREADS],
        &["threads-exhausted"],
    ),
    plain(
        Service,
        "/proc/PID/stat",
        &[n::SERVICE_BLOCKED],
        &["filesystem-hung", "service-hung"],
    ),
    plain(
        Service,
        "/proc/PID/stat",
        &[n::SERVICE_STOPPED],
        &["service-hung"],
    ),
    plain(
        Service,
        "/proc/PID/stat",
        &[n::SERVICE_ZOMBIES],
        &["pids-exhausted", "service-hung"],
    ),
    plain(
        Service,
        "size of /proc/PID/fd, /proc/PID/limits",
        &[n::SERVICE_OPEN_FILES, n::SERVICE_OPEN_FILES_LIMIT],
        &["fd-exhausted"],
    )
    .every(processes::FILES_EVERY)
    .needs("Linux 6.2; before, CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH for other users' processes"),
    plain(
        Service,
        "cpu.stat of its cgroup",
        &[
            n::SERVICE_THROTTLED,
            n::SERVICE_CPU_PERIODS,
            n::SERVICE_THROTTLED_PERIODS,
        ],
        &["cpu-throttled"],
    )
    .needs(CGROUP),
    plain(
        Service,
        "cpu.pressure of its cgroup",
        &[n::SERVICE_PRESSURE_CPU_SOME],
        &["cpu-throttled", "cpu-saturated"],
    )
    .every(services::DETAIL_EVERY)
    .needs("cgroup2 and a kernel with PSI"),
    plain(
        Service,
        "memory.pressure of its cgroup",
        &[
            n::SERVICE_PRESSURE_MEMORY_SOME,
            n::SERVICE_PRESSURE_MEMORY_FULL,
        ],
        &["memory-exhausted", "gc-or-stall"],
    )
    .every(services::DETAIL_EVERY)
    .needs("cgroup2 and a kernel with PSI"),
    plain(
        Service,
        "io.pressure of its cgroup",
        &[n::SERVICE_PRESSURE_IO_SOME, n::SERVICE_PRESSURE_IO_FULL],
        &["disk-slow", "filesystem-hung"],
    )
    .every(services::DETAIL_EVERY)
    .needs("cgroup2 and a kernel with PSI"),
    plain(
        Service,
        "io.stat or blkio of its cgroup",
        &[
            n::SERVICE_READ_BYTES,
            n::SERVICE_WRITTEN_BYTES,
            n::SERVICE_READS,
            n::SERVICE_WRITES,
        ],
        &["disk-slow", "database-lock", "cron-storm"],
    )
    .every(services::DETAIL_EVERY)
    .needs(CGROUP),
    plain(
        Service,
        "pids of its cgroup",
        &[
            n::SERVICE_TASKS,
            n::SERVICE_TASKS_LIMIT,
            n::SERVICE_TASKS_REFUSED,
        ],
        &["pids-exhausted", "threads-exhausted"],
    )
    .every(services::DETAIL_EVERY)
    .needs(CGROUP),
    plain(
        Service,
        "sock_diag",
        &[n::SERVICE_ACCEPT_QUEUE, n::SERVICE_ACCEPT_BACKLOG],
        &["listen-overflow", "service-hung", "threads-exhausted"],
    )
    .needs(OWNERS),
    plain(
        Service,
        "sock_diag",
        &[n::SERVICE_CONNECTIONS],
        &[
            "connections-exhausted",
            "pool-exhausted",
            "load-surge",
            "database-lock",
        ],
    )
    .every(0)
    .needs(OWNERS),
    plain(
        Service,
        "sock_diag",
        &[n::SERVICE_CLOSE_WAIT, n::SERVICE_UNREAD_BYTES],
        &["service-hung", "gc-or-stall"],
    )
    .every(0)
    .needs(OWNERS),
    plain(Agent, "the agent itself", &own::SIGNALS, &["agent-down"]),
];
