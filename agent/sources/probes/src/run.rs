//! All probes as one task that ends together.

use firstlook_model::id::stable_hash;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use crate::board::Board;
use crate::config::Probe;
use crate::look::{Looker, Shared};
use crate::units::Units;

/// A probe ended by itself, which is a fault of ours.
#[derive(Debug, thiserror::Error)]
#[error("a probe ended by itself")]
pub struct ProbeEnded(#[from] tokio::task::JoinError);

/// Probes until `stop`; without probes it only waits. `board` is made of the same list, `units` are what is known of
/// units.
///
/// # Errors
/// When a probe ended by itself. Starting again can help.
pub async fn run(
    probes: Vec<Probe>,
    board: Board,
    units: Units,
    stop: CancellationToken,
) -> Result<(), ProbeEnded> {
    let shared = Shared {
        units,
        ..Shared::default()
    };
    let mut tasks = JoinSet::new();
    for (index, probe) in probes.into_iter().enumerate() {
        let board = board.clone();
        let mut looker = Looker::new(probe.clone(), &shared);
        tasks.spawn(async move {
            let mut tick = interval_at(Instant::now() + first(&probe), probe.interval());
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tick.tick().await;
                if let Some(found) = looker.look().await {
                    board.put(index, &found);
                }
            }
        });
    }
    // Tasks have no end of their own; dropping the set ends them, and a look leaves nothing half done.
    tokio::select! {
        () = stop.cancelled() => Ok(()),
        Some(ended) = tasks.join_next() => ended.map_err(ProbeEnded::from),
    }
}

/// Probes begin spread over their interval, each at the same place after every restart.
fn first(probe: &Probe) -> Duration {
    let interval = u64::try_from(probe.interval().as_millis())
        .unwrap_or(1)
        .max(1);
    Duration::from_millis(stable_hash(probe.name.as_bytes()) % interval)
}

#[cfg(test)]
mod tests {
    use super::*;
    use firstlook_model::HostId;
    use firstlook_model::probe::Failure;

    #[tokio::test(start_paused = true)]
    async fn a_result_is_put_up_once_under_its_service() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gone");
        let text = format!(
            "name = \"backup\"\nservice = \"b.service\"\nfile = {{ path = {path:?}, max_age_s = 5 }}"
        );
        let probes: Vec<Probe> = vec![toml::from_str(&text).unwrap()];
        let board = Board::new(&probes, &HostId::new("h1").unwrap());
        let names: Vec<_> = board.series().iter().map(|s| s.signal.as_str()).collect();
        assert_eq!(
            names,
            [
                "probe.backup.up",
                "probe.backup.failure",
                "probe.backup.age_seconds",
                "probe.backup.expected",
            ]
        );
        assert_eq!(board.series()[0].component.label(), "h1/b.service");
        assert!(board.take().iter().all(|v| v.is_nan()));

        let stop = CancellationToken::new();
        let seen = async {
            let found = loop {
                tokio::time::sleep(Duration::from_millis(500)).await;
                let found = board.take();
                if !found[0].is_nan() {
                    break found;
                }
            };
            let missing = f64::from(Failure::FileMissing.code());
            assert_eq!(found[..2], [0.0, missing]);
            assert!(found[2].is_nan());
            assert!(board.take()[0].is_nan());
            stop.cancel();
        };
        let (ended, ()) = tokio::join!(
            run(probes, board.clone(), Units::default(), stop.clone()),
            seen
        );
        ended.unwrap();
    }
}
