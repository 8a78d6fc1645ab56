//! What the agent itself uses, and what its host sources left out.

use firstlook_model::signal::names;
use firstlook_model::{ComponentId, HostId};
use rustix::time::{ClockId, clock_gettime};

use crate::family::Group;
use crate::reader::{Descriptors, KeptFile};
use crate::registry::Registry;
use crate::text::{fields, number};

/// (agent) CPU time of the host sources alone.
pub const HOST_CPU: &str = "agent.host_sources_cpu_seconds_total";
/// (agent) processes counted for the service `other` for want of room.
pub const PROCESSES_BEYOND: &str = "agent.processes_beyond_budget";
/// (agent) connections that were not followed for want of room.
pub const SOCKETS_BEYOND: &str = "agent.sockets_beyond_budget";
/// (agent) edges that were not reported for want of room.
pub const EDGES_BEYOND: &str = "agent.edges_beyond_budget";
/// (agent) connections that ended before anybody could tell whose they were, in the last interval.
pub const CONNECTIONS_UNATTRIBUTED: &str = "agent.connections_unattributed";
/// (agent) samples of disks, interfaces, file systems and further series that found no room.
pub const SERIES_REFUSED: &str = "agent.series_refused_total";
/// (agent) answers of the kernel that could not be read.
pub const MALFORMED: &str = "agent.malformed_answers_total";
/// (agent) samples left out because the one before took too long.
pub const SAMPLES_MISSED: &str = "agent.samples_missed_total";

pub(crate) static SIGNALS: [&str; 10] = [
    names::AGENT_CPU,
    names::AGENT_MEMORY,
    HOST_CPU,
    PROCESSES_BEYOND,
    SOCKETS_BEYOND,
    EDGES_BEYOND,
    CONNECTIONS_UNATTRIBUTED,
    SERIES_REFUSED,
    MALFORMED,
    SAMPLES_MISSED,
];

/// What was left out: now, or ever where the name says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LeftOut {
    pub processes: u64,
    pub sockets: u64,
    pub edges: u64,
    pub connections: u64,
    pub series_ever: u64,
    pub malformed_ever: u64,
    pub samples_ever: u64,
}

/// The source.
#[derive(Debug)]
pub(crate) struct Own {
    statm: KeptFile,
    group: Group<10>,
    page_bytes: f64,
}

impl Own {
    pub(crate) fn new(host: HostId, open: &Descriptors) -> Self {
        Self {
            // The agent's own procfs, wherever the host's is.
            statm: KeptFile::new("/proc/self/statm", open),
            group: Group::new(ComponentId::agent(host), &SIGNALS),
            page_bytes: rustix::param::page_size() as f64,
        }
    }

    pub(crate) fn sample(
        &mut self,
        registry: &mut Registry,
        scratch: &mut Vec<u8>,
        left_out: &LeftOut,
    ) {
        let pages = self.statm.read(scratch).and_then(resident_pages);
        let values = [
            seconds(ClockId::ProcessCPUTime),
            pages.map_or(f64::NAN, |pages| pages as f64 * self.page_bytes),
            seconds(ClockId::ThreadCPUTime),
            left_out.processes as f64,
            left_out.sockets as f64,
            left_out.edges as f64,
            left_out.connections as f64,
            left_out.series_ever as f64,
            left_out.malformed_ever as f64,
            left_out.samples_ever as f64,
        ];
        self.group.set(registry, &values);
    }
}

/// The second field of `/proc/PID/statm`.
fn resident_pages(bytes: &[u8]) -> Option<u64> {
    number(fields(bytes).nth(1)?)
}

fn seconds(clock: ClockId) -> f64 {
    let spent = clock_gettime(clock);
    spent.tv_sec as f64 + spent.tv_nsec as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_the_second_field() {
        assert_eq!(resident_pages(b"2034 1187 900 3 0 400 0\n"), Some(1187));
        assert_eq!(resident_pages(b"2034"), None);
    }
}
