//! What must be done now and then: compaction, retention, old tokens, half-received archives.

use std::path::Path;
use std::time::Duration;

use firstlook_desk::Desk;
use firstlook_runtime::clock;
use firstlook_store::Store;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_secs(30);
/// Spent tokens are kept this long, for whoever asks what became of them.
const TOKENS_KEPT: Duration = Duration::from_secs(7 * 86_400);

/// Runs until `stop`, or until the store takes no more writes: to store nothing and say that all hosts are silent
/// would be a lie, and only a new start opens the store anew.
pub async fn run(store: Store, desk: Desk, stop: CancellationToken) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let (swept, desk) = (store.clone(), desk.clone());
        let swept = tokio::task::spawn_blocking(move || sweep(&swept, &desk)).await;
        if let Err(error) = swept {
            tracing::error!(%error, "housekeeping failed");
        }
        if store.has_failed() {
            tracing::error!("the store takes no more writes: start the collector again");
            return;
        }
    }
}

fn sweep(store: &Store, desk: &Desk) {
    let now = clock::now();
    if let Err(error) = store.compact(now) {
        tracing::error!(%error, "store not compacted, will try again");
    }
    match store.retain(now) {
        Ok(retained) if retained.crowded_out > 0 => {
            tracing::warn!(
                segments = retained.crowded_out,
                bytes = retained.bytes,
                "telemetry dropped over its budget"
            );
        }
        Ok(_) => {}
        Err(error) => tracing::error!(%error, "store not trimmed, will try again"),
    }
    if let Err(error) = desk.tokens().forget_expired(now.minus(TOKENS_KEPT)) {
        tracing::error!(%error, "old tokens not forgotten, will try again");
    }
}

/// Removes archives that were being received when the collector ended.
///
/// # Errors
/// When the folder cannot be read.
pub fn remove_parts(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "part") {
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}
