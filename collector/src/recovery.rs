//! What the analysis knew before a restart: each host's checkpoint, and what was received after it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use firstlook_desk::Announcement;
use firstlook_detect::{BaseRates, Detector};
use firstlook_model::{HostId, TimeRange, Timestamp};
use firstlook_store::Store;

use crate::checkpoints::Checkpoints;

/// How much is heard again of a host that has no checkpoint, and at most of one that has.
const REPLAY: Duration = Duration::from_secs(600);
/// What was received after a checkpoint may have been seen before it: how long before, at most. A backlog that is older is not
/// heard again.
const DELAY: Duration = Duration::from_secs(600);
/// Observations of hosts whose clocks are ahead.
const AHEAD: Duration = Duration::from_secs(86_400);
/// A checkpoint this much newer than now is of another clock.
const CLOCK_ERROR: Duration = Duration::from_secs(60);

/// What was taken up.
#[derive(Debug, Default)]
pub struct Recovered {
    /// Hosts whose checkpoint was.
    pub hosts: usize,
    /// Those whose was not.
    pub unreadable: usize,
    /// Records heard again.
    pub records: u64,
    /// How often symptoms are seen while nobody is hurt.
    pub rates: BaseRates,
}

/// Brings `detector` to where it was: from checkpoints, then from `store`. The `revoked` are left out, and lose
/// their checkpoints. Of what was `announced`, in the order in which it was, acceptances are heard between the records where
/// they were: what came before them is not learned, and what came after is. Nothing else of it is heard.
///
/// # Errors
/// When the checkpoints' folder cannot be read, or a revoked host's file not removed. A checkpoint that cannot is logged, and its host learned anew.
pub fn recover(
    detector: &mut Detector,
    checkpoints: &Checkpoints,
    store: &Store,
    revoked: &BTreeSet<HostId>,
    announced: &[Announcement],
    now: Timestamp,
) -> anyhow::Result<Recovered> {
    let mut recovered = Recovered::default();
    let mut known = BTreeMap::new();
    for file in checkpoints.files().context("checkpoints")? {
        match take_up(detector, &file, now) {
            Ok((host, _)) if revoked.contains(&host) => {
                detector.forget_host(&host);
                checkpoints.remove(&host)?;
            }
            Ok((host, recorded)) => {
                recovered.hosts += 1;
                known.extend(recorded.map(|recorded| (host, recorded)));
            }
            Err(error) => {
                recovered.unreadable += 1;
                let file = file.display();
                tracing::error!(error = format!("{error:#}"), %file, "checkpoint not taken up: its host is learned anew");
            }
        }
    }
    match checkpoints.rates() {
        Ok(rates) => {
            recovered.rates = rates;
            revoked
                .iter()
                .for_each(|host| recovered.rates.forget_host(host));
        }
        Err(error) => tracing::error!(
            error = format!("{error:#}"),
            "what symptoms are usual is not known: it is learned anew"
        ),
    }
    for info in store.hosts() {
        let (recorded, host) = (known.get(&info.host).copied(), info.host);
        let last = info.last_received.filter(|_| !revoked.contains(&host));
        let Some(from) = last.and_then(|last| missed_from(recorded, last, now)) else {
            continue;
        };
        // Records are found by their own times, and a host's clock may be behind.
        let from = detector.own_time(&host, from).minus(DELAY);
        let range = TimeRange::new(from, now.plus(AHEAD));
        let mut words = announced.iter().peekable();
        let listen = |host: &HostId, received, record| {
            while let Some(word) = words.next_if(|word| word.at <= received) {
                detector.observe_acceptance(host, &word.change);
            }
            if recorded.is_none_or(|recorded| received > recorded) {
                detector.observe_record(host, received, &record);
                recovered.records += 1;
            }
            ControlFlow::Continue(())
        };
        store.replay_of(range, |one| *one == host, listen);
    }
    if recovered.hosts > 0 || recovered.records > 0 {
        detector.resume(now);
    }
    Ok(recovered)
}

/// From when on records of a host are to be heard again, if there are any: it was `last` heard, and what it said until
/// `recorded` is known.
fn missed_from(recorded: Option<Timestamp>, last: Timestamp, now: Timestamp) -> Option<Timestamp> {
    match recorded {
        Some(recorded) if recorded >= last => None,
        Some(recorded) => Some(recorded.max(last.minus(REPLAY))),
        None => Some(now.minus(REPLAY)),
    }
}

fn take_up(
    detector: &mut Detector,
    file: &Path,
    now: Timestamp,
) -> anyhow::Result<(HostId, Option<Timestamp>)> {
    let state = Checkpoints::read(file)?;
    Ok(detector.restore(&state, now.plus(CLOCK_ERROR))?)
}

#[cfg(test)]
mod tests;
