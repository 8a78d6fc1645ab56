//! Whether the kernel booted since the agent last ran.

use std::fs;
use std::time::Duration;

use firstlook_model::{Change, ChangeKind, Checkpoint, Lines, Observation, Timestamp};

use crate::Source;
use crate::clock;

const READER: &str = "boot";

/// Reports a boot that the last agent did not see. The very first agent reports none.
pub(crate) async fn report(source: &Source) {
    let proc_root = &source.config.proc_root;
    let Ok(boot) = fs::read_to_string(proc_root.join("sys/kernel/random/boot_id")) else {
        return;
    };
    let boot = boot.trim();
    let known = source.checkpoints.load(READER);
    if known.as_deref() == Some(boot.as_bytes()) {
        return;
    }
    if known.is_some() {
        let now = clock::now();
        let uptime = fs::read_to_string(proc_root.join("uptime")).unwrap_or_default();
        let time = booted(&uptime, now);
        let change = Change {
            id: format!("reboot:{boot}@{}", time.as_millis() / 1_000),
            time,
            component: source.config.machine(),
            kind: ChangeKind::Reboot,
            text: format!("{} booted", source.config.host),
            detail: String::new(),
        };
        source
            .sink
            .offer("units", Observation::Changes(vec![change]));
    }
    let checkpoint = Checkpoint {
        reader: READER.to_owned(),
        position: boot.as_bytes().to_vec(),
    };
    let lines = Lines {
        lines: Vec::new(),
        checkpoints: vec![checkpoint],
    };
    source.sink.deliver(lines).await;
}

/// When the kernel booted, by `/proc/uptime`; now when that is unreadable.
fn booted(uptime: &str, now: Timestamp) -> Timestamp {
    let seconds = uptime
        .split_whitespace()
        .next()
        .and_then(|text| text.parse::<f64>().ok());
    let up = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    now.minus(up.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_time_is_now_less_uptime_and_survives_nonsense() {
        let now = Timestamp::from_secs(1_000);
        assert_eq!(
            booted("400.50 799.1\n", now),
            Timestamp::from_micros(599_500_000)
        );
        assert_eq!(booted("-5 x", now), now);
        assert_eq!(booted("", now), now);
    }
}
