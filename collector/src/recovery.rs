//! What the analysis knew before a restart: each host's checkpoint, and what was received after it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use firstlook_detect::{BaseRates, Detector};
use firstlook_model::{HostId, TimeRange, Timestamp};
use firstlook_store::Store;

use crate::checkpoints::Checkpoints;

/// How much is heard again of a host that has no checkpoint, and at most of one that has.
const REPLAY: Duration = Duration::from_secs(600);
/// What was received after a checkpoint may have been seen before it: how long before, at most.
const DELAY: Duration = Duration::from_secs(60);
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
/// their checkpoints.
///
/// # Errors
/// When the checkpoints' folder cannot be read. A checkpoint that cannot is logged, and its host learned anew.
pub fn recover(
    detector: &mut Detector,
    checkpoints: &Checkpoints,
    store: &Store,
    revoked: &BTreeSet<HostId>,
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
        Ok(rates) => recovered.rates = rates,
        Err(error) => tracing::error!(
            error = format!("{error:#}"),
            "what symptoms are usual is not known: it is learned anew"
        ),
    }
    let received = store.hosts().into_iter();
    let received = received.filter_map(|host| Some((host.host, host.last_received?)));
    let from = received
        .filter(|(host, _)| !revoked.contains(host))
        .filter_map(|(host, last)| missed_from(known.get(&host).copied(), last, now))
        .min();
    if let Some(from) = from {
        let range = TimeRange::new(from.minus(DELAY), now.plus(AHEAD));
        store.replay(range, |host, received, record| {
            let heard = known
                .get(host)
                .is_some_and(|recorded| received <= *recorded);
            if !heard && !revoked.contains(host) {
                detector.observe_record(host, received, &record);
                recovered.records += 1;
            }
        });
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
    let (host, recorded) = detector.restore(&state)?;
    if recorded > Some(now.plus(CLOCK_ERROR)) {
        detector.forget_host(&host);
        anyhow::bail!("it says that it was received later than now: the clock was set back");
    }
    Ok((host, recorded))
}
