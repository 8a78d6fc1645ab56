//! What cannot be seen: endpoints without an agent, blind sources, losses.

use std::collections::BTreeMap;
use std::time::Duration;

use firstlook_model::{ComponentId, ComponentKind, Edge, Loss, Timestamp};
use serde::{Deserialize, Serialize};

use crate::draft::Draft;
use crate::host::Host;
use crate::words;

/// Most endpoints, and most lines of one host, that are listed.
const ENDPOINTS_LIMIT: usize = 64;
const PER_HOST_LIMIT: usize = 16;
/// How long a loss is told, and how long one of log lines takes away their attestation.
const TOLD_FOR: Duration = Duration::from_secs(300);
const UNSURE_FOR: Duration = Duration::from_secs(60);

/// From here on a clock's error matters to the order of events.
const CLOCK_OFF: Duration = Duration::from_secs(2);

/// Losses that a host reported of late, by source and reason.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Losses(BTreeMap<(String, String), (u64, Timestamp)>);

impl Losses {
    pub fn take(&mut self, losses: &[Loss]) {
        for loss in losses {
            let key = (words::clip(&loss.source, 64), words::clip(&loss.reason, 64));
            if self.0.len() >= PER_HOST_LIMIT && !self.0.contains_key(&key) {
                continue;
            }
            let known = self.0.entry(key).or_insert((0, loss.to));
            if loss.to.since(known.1) > TOLD_FOR {
                known.0 = 0;
            }
            *known = (known.0.saturating_add(loss.count), known.1.max(loss.to));
        }
    }

    fn recent(&self, now: Timestamp, within: Duration) -> impl Iterator<Item = (&str, &str, u64)> {
        let recent = self
            .0
            .iter()
            .filter(move |(_, (_, at))| now.since(*at) <= within);
        recent.map(|((source, reason), (count, _))| (source.as_str(), reason.as_str(), *count))
    }

    /// Whether anything was lost of late.
    pub fn is_recent(&self, now: Timestamp) -> bool {
        self.recent(now, UNSURE_FOR).next().is_some()
    }
}

/// Blind spots of one host: sources that cannot see, and what was lost.
pub(crate) fn of_host(draft: &mut Draft, host: &Host) {
    let id = ComponentId::host(host.id.clone());
    for source in host.blind_sources().iter().take(PER_HOST_LIMIT) {
        draft.blind(id.clone(), format!("not seen: {source}"));
    }
    let error = host.clock.error();
    if error >= CLOCK_OFF {
        let off = words::span(error);
        draft.blind(
            id.clone(),
            format!("its clock is {off} off: its times are corrected by estimate"),
        );
    }
    let Some(now) = host.newest else { return };
    for (source, reason, count) in host.losses.recent(now, TOLD_FOR) {
        let what = words::count(count, "item");
        draft.blind(
            id.clone(),
            format!("{source} lost {what} of late ({reason})"),
        );
    }
}

/// Endpoints that are called and that no agent sees into, the most called first.
pub(crate) fn of_endpoints(draft: &mut Draft, edges: &[Edge]) {
    let mut called: BTreeMap<&ComponentId, Vec<String>> = BTreeMap::new();
    for edge in edges
        .iter()
        .filter(|e| e.callee.kind() == ComponentKind::Endpoint)
    {
        called
            .entry(&edge.callee)
            .or_default()
            .push(edge.caller.label());
    }
    let mut called: Vec<(&ComponentId, Vec<String>)> = called.into_iter().collect();
    called.sort_by_key(|(id, callers)| (std::cmp::Reverse(callers.len()), (*id).clone()));
    for (endpoint, mut callers) in called.into_iter().take(ENDPOINTS_LIMIT) {
        callers.dedup();
        let number = callers.len();
        callers.truncate(3);
        let more = if number > callers.len() {
            " and others"
        } else {
            ""
        };
        draft.blind(
            endpoint.clone(),
            format!(
                "no agent sees into it: a fault in it shows only at its callers ({}{more})",
                callers.join(", ")
            ),
        );
    }
}
