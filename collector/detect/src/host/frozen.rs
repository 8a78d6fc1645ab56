//! Filesystems that do not come back to who writes to them, though they still tell at once how full they are: frozen ones,
//! and network mounts whose server is gone.
//!
//! No counter of the kernel names them, and nobody seems to wait for a disk. What shows is who uses them: processes in
//! a sleep that no signal ends. Many share the root, and few a filesystem of their own: the one of whose users most are
//! stuck is meant.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use firstlook_model::symptom::{families, kinds};
use firstlook_model::{ComponentId, Timestamp, signal::names};

use super::Host;
use crate::context::Context;
use crate::draft::{Finding, Source};
use crate::service::Service;
use crate::watch::Span;
use crate::words;

/// More of the users of a filesystem than this are stuck, or it is not what holds them.
const SHARE: f64 = 0.5;
const GATES_AFTER: Duration = Duration::from_secs(8);

impl Host {
    /// Services some process of which is in a sleep that no signal ends, and has been for seconds.
    fn stuck(&self, now: Timestamp) -> BTreeMap<&ComponentId, Span> {
        let stuck = |(id, service): (_, &Service)| Some((id, service.stuck(now)?));
        self.services.iter().filter_map(stuck).collect()
    }

    /// Of the filesystems that each stuck service uses, the one that is likely to hold it, while no task waits for a disk.
    pub(super) fn frozen(&self, now: Timestamp, context: &Context) -> Vec<Finding> {
        let stuck = self.stuck(now);
        if stuck.is_empty() || !self.io.is_calm() {
            return Vec::new();
        }
        let users = self.users();
        let mut held: BTreeMap<&ComponentId, Vec<(&ComponentId, Span)>> = BTreeMap::new();
        for (service, span) in &stuck {
            if let Some(filesystem) = likeliest(service, &users, &stuck) {
                held.entry(filesystem).or_default().push((service, *span));
            }
        }
        held.into_iter()
            .filter_map(|(filesystem, users)| finding(filesystem, &users, context))
            .collect()
    }

    /// The services that use each filesystem.
    fn users(&self) -> BTreeMap<&ComponentId, BTreeSet<&ComponentId>> {
        let mut users: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for mount in &self.mounts {
            let by = users.entry(&mount.component).or_default();
            by.extend(&mount.used_by);
        }
        users
    }
}

/// Of the filesystems that a service uses, the one most of whose users are stuck; of several the one with the fewest users.
fn likeliest<'a>(
    service: &ComponentId,
    users: &BTreeMap<&'a ComponentId, BTreeSet<&ComponentId>>,
    stuck: &BTreeMap<&ComponentId, Span>,
) -> Option<&'a ComponentId> {
    let share = |users: &BTreeSet<&ComponentId>| {
        let held = users.iter().filter(|user| stuck.contains_key(*user));
        held.count() as f64 / users.len() as f64
    };
    let used = users.iter().filter(|(_, by)| by.contains(service));
    let (filesystem, users) =
        used.max_by(|(_, a), (_, b)| share(a).total_cmp(&share(b)).then(b.len().cmp(&a.len())))?;
    (share(users) > SHARE).then_some(*filesystem)
}

/// `None` without users.
fn finding(
    filesystem: &ComponentId,
    users: &[(&ComponentId, Span)],
    context: &Context,
) -> Option<Finding> {
    let (service, span) = users.iter().max_by_key(|(_, span)| span.length())?;
    let called = users.iter().any(|(user, _)| context.callers(user).any());
    Some(Finding {
        component: filesystem.clone(),
        peer: None,
        kind: kinds::FILESYSTEM_HUNG,
        family: families::FILESYSTEM,
        span: *span,
        severity: 0.9,
        gate: called && span.length() >= GATES_AFTER,
        text: format!(
            "{} has waited on it for {}, in a sleep that no signal ends, while no task waits for a disk",
            service.name(),
            words::span(span.length()),
        ),
        source: Source::Metric(names::SERVICE_BLOCKED),
    })
}
