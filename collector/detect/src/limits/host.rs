//! Limits of a whole host.

use firstlook_model::symptom::{families, kinds};
use firstlook_model::{ComponentId, HostId, Timestamp, signal::names};
use serde::{Deserialize, Serialize};

use super::{FULL, Room};
use crate::context::Context;
use crate::draft::{Finding, Health, Source};
use crate::plan::Row;
use crate::window::{Meter, Window};
use crate::words;

pub(crate) const SIGNALS: [&str; 10] = [
    names::FILES_OPEN,
    names::FILES_LIMIT,
    names::TASKS,
    names::TASKS_PID_LIMIT,
    names::TASKS_LIMIT,
    names::TCP_EPHEMERAL_PORTS_USED,
    names::TCP_EPHEMERAL_PORTS,
    names::CONNTRACK_ENTRIES,
    names::CONNTRACK_LIMIT,
    names::CONNTRACK_DROPS,
];
const FILES: usize = 0;
const FILES_LIMIT: usize = 1;
const TASKS: usize = 2;
const TASKS_PID_LIMIT: usize = 3;
const TASKS_LIMIT: usize = 4;
const PORTS: usize = 5;
const PORTS_LIMIT: usize = 6;
const TRACKED: usize = 7;
const TRACKED_LIMIT: usize = 8;
const TRACKED_DROPS: usize = 9;

/// Drops over ten seconds that are no accident: hashing may fail for a packet now and then.
const LEAST_DROPS: f64 = 3.0;

/// What a host has a limited number of.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct HostLimits {
    files: Room,
    tasks: Room,
    ports: Room,
    tracked: Room,
    drops: Meter,
    dropped: Window,
    ports_limit: Option<f64>,
}

impl Default for HostLimits {
    fn default() -> Self {
        Self {
            files: Room::default(),
            tasks: Room::default(),
            ports: Room::default(),
            tracked: Room::default(),
            drops: Meter::default(),
            dropped: Window::seconds(10),
            ports_limit: None,
        }
    }
}

impl HostLimits {
    pub fn take(&mut self, at: Timestamp, row: &Row<'_>) {
        self.files.take(at, row.get(FILES), row.get(FILES_LIMIT));
        let limits = [row.get(TASKS_PID_LIMIT), row.get(TASKS_LIMIT)];
        let nearest = limits.into_iter().flatten().reduce(f64::min);
        self.tasks.take(at, row.get(TASKS), nearest);
        // The range is read each second, the ports in use every few.
        self.ports_limit = row.get(PORTS_LIMIT).or(self.ports_limit);
        self.ports.take(at, row.get(PORTS), self.ports_limit);
        self.tracked
            .take(at, row.get(TRACKED), row.get(TRACKED_LIMIT));
        if let Some((drops, secs)) = self.drops.step(at, row.get(TRACKED_DROPS)) {
            self.dropped.push(at, drops, secs);
            let (dropped, _) = self.dropped.sums();
            self.tracked
                .refused(at, if dropped >= LEAST_DROPS { dropped } else { 0.0 });
        }
    }

    /// The kernel says itself that it drops packets for want of an entry.
    pub fn table_is_full(&mut self, at: Timestamp) {
        self.tracked.said_refused(at);
    }

    pub fn findings(&self, host: &HostId, now: Timestamp, context: &Context) -> Vec<Finding> {
        let id = ComponentId::host(host.clone());
        // Of what several hosts of one kernel share each tells the same: only who is hurt by it matters.
        let hurts = context.hurt.contains(host);
        let rooms = [
            (
                &self.files,
                kinds::FILES_EXHAUSTED,
                "open files of the kernel",
                names::FILES_OPEN,
            ),
            (
                &self.tasks,
                kinds::TASKS_EXHAUSTED,
                "tasks of the kernel",
                names::TASKS,
            ),
            (
                &self.ports,
                kinds::PORTS_EXHAUSTED,
                "ports for calls to one address",
                names::TCP_EPHEMERAL_PORTS_USED,
            ),
            (
                &self.tracked,
                kinds::TRACKING_EXHAUSTED,
                "tracked connections",
                names::CONNTRACK_ENTRIES,
            ),
        ];
        rooms
            .into_iter()
            .filter_map(|(room, kind, noun, signal)| {
                room.finding(&id, now, kind, noun, hurts, signal)
            })
            .collect()
    }

    pub fn health(&self, host: &HostId, now: Timestamp, coverage: f64) -> Option<Health> {
        let all = [&self.files, &self.tasks, &self.ports, &self.tracked];
        let read = self.files.is_read(now) && self.tasks.is_read(now);
        if !read || !all.iter().all(|room| room.is_roomy(now)) {
            return None;
        }
        Some(Health {
            component: ComponentId::host(host.clone()),
            family: families::LIMITS,
            coverage,
            last: self.files.last?,
            text: format!(
                "{} of open files, {} of tasks, {} of ports and {} of tracked connections in use, would have shown {}",
                words::percent(self.files.share()),
                words::percent(self.tasks.share()),
                words::percent(self.ports.share()),
                words::percent(self.tracked.share()),
                words::percent(FULL),
            ),
            source: Source::Metric(names::FILES_OPEN),
        })
    }

    /// The host's clock was set back.
    pub fn stepped(&mut self) {
        let rooms = [
            &mut self.files,
            &mut self.tasks,
            &mut self.ports,
            &mut self.tracked,
        ];
        rooms.into_iter().for_each(Room::stepped);
        self.drops.reset();
        self.dropped.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::REFUSAL;

    #[test]
    fn one_line_of_the_kernel_is_enough_and_holds_for_a_minute() {
        let mut limits = HostLimits::default();
        let host = HostId::new("h1").unwrap();
        let at = Timestamp::from_secs;
        let shown = |limits: &HostLimits, now: i64| {
            let found = limits.findings(&host, at(now), &Context::default());
            found.iter().map(|f| f.kind).collect::<Vec<_>>()
        };
        assert!(shown(&limits, 100).is_empty());
        limits.table_is_full(at(100));
        assert_eq!(shown(&limits, 101), [kinds::TRACKING_EXHAUSTED]);
        let held = i64::try_from(REFUSAL.hold.as_secs()).unwrap();
        assert!(shown(&limits, 101 + held).is_empty());
    }
}
