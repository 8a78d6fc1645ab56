//! Budgets of the host sources. Whatever goes beyond one is counted, never silently lost.

use std::time::Duration;

/// What the host sources may use. The defaults fit a host of some hundred processes.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Services with series of their own; the rest share one named `other`. Default 400.
    pub services: usize,
    /// Processes that are read; more are only counted. Default 20,000.
    pub processes: usize,
    /// Descriptors that may stay open between samples; the rest is opened anew each time, at twice
    /// the cost. At most half of what the process may open. Default 2,000.
    pub open_files: usize,
    /// Disks with series. Default 128.
    pub disks: usize,
    /// Interfaces with series. Default 64.
    pub interfaces: usize,
    /// File systems with series. Default 128.
    pub filesystems: usize,
    /// Connections that are followed; more are only counted. Default 20,000.
    pub sockets: usize,
    /// Ended connections that are looked at per sample; when more end, short-lived ones go unseen for a
    /// minute. Default 2,000.
    pub endings: usize,
    /// Edges reported per interval. Default 2,000.
    pub edges: usize,
    /// Listeners in the inventory. Default 2,000.
    pub listeners: usize,
    /// Shortest time between two dumps of connections. Default 2 s.
    pub edge_interval: Duration,
    /// Longest time between two dumps of connections. Default 10 s.
    pub edge_interval_max: Duration,
    /// Share of one core that dumps of connections may take before their interval stretches.
    /// Default 0.004.
    pub edge_cpu_share: f64,
    /// Descriptors looked at per dump to find who owns new sockets, where cgroups do not tell.
    /// Default 2,000.
    pub descriptor_walk: usize,
    /// How long statvfs may take before its file system counts as hung. Default 2 s.
    pub statvfs_deadline: Duration,
    /// Threads that may be stuck in hung mounts; with more, no file system is looked at. Default 8.
    pub stuck_threads: usize,
    /// How long something may be absent before its series end. Default 10 min.
    pub absent: Duration,
    /// Shortest time between two changes of the schema. Default 5 s.
    pub schema_interval: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            services: 400,
            processes: 20_000,
            open_files: 2_000,
            disks: 128,
            interfaces: 64,
            filesystems: 128,
            sockets: 20_000,
            endings: 2_000,
            edges: 2_000,
            listeners: 2_000,
            edge_interval: Duration::from_secs(2),
            edge_interval_max: Duration::from_secs(10),
            edge_cpu_share: 0.004,
            descriptor_walk: 2_000,
            statvfs_deadline: Duration::from_secs(2),
            stuck_threads: 8,
            absent: Duration::from_secs(600),
            schema_interval: Duration::from_secs(5),
        }
    }
}
