//! The files that Firstlook ships, in the program itself: a collector needs no folder to know them.

/// (name, text) of files of the folder `catalogue`.
macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$((
            concat!($name, ".toml"),
            include_str!(concat!("../../catalogue/", $name, ".toml")),
        )),*]
    };
}

/// Every shipped file. A test holds the list to the folder.
pub(super) const FILES: &[(&str, &str)] = files![
    "symptoms",
    "agent-down",
    "auth-failure",
    "bad-deploy",
    "bandwidth-saturated",
    "certificate-expired",
    "certificate-expiring",
    "clock-skew",
    "config-error",
    "connections-exhausted",
    "conntrack-full",
    "cpu-saturated",
    "cpu-stolen",
    "cpu-throttled",
    "crash-loop",
    "database-lock",
    "disk-failing",
    "disk-full",
    "disk-slow",
    "dns-down",
    "dns-name-missing",
    "ephemeral-ports-exhausted",
    "fd-exhausted",
    "filesystem-hung",
    "filesystem-readonly",
    "firewall-drop",
    "firewall-reject",
    "gc-or-stall",
    "host-partitioned",
    "inodes-full",
    "latency-added",
    "link-down",
    "listen-overflow",
    "load-surge",
    "memory-exhausted",
    "memory-leak",
    "nic-errors",
    "oom-kill",
    "outside-cause",
    "packet-loss",
    "pids-exhausted",
    "pool-exhausted",
    "quota-or-licence",
    "replica-broken",
    "replication-lag",
    "service-down",
    "service-hung",
    "thermal-throttled",
    "threads-exhausted",
    "unknown-fault",
    "watchdog-timeout",
];
