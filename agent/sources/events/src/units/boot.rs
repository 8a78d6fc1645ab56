//! Whether the kernel booted since the agent last ran, and whether it is another one.

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
    let kernel = fs::read_to_string(proc_root.join("sys/kernel/osrelease")).unwrap_or_default();
    let position = format!("{boot}\n{}", kernel.trim());
    let known = source.checkpoints.load(READER);
    if known.as_deref() == Some(position.as_bytes()) {
        return;
    }
    let known = known.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    // An earlier agent kept the boot alone.
    let (known_boot, known_kernel) = match &known {
        Some(known) => known.split_once('\n').unwrap_or((known, "")),
        None => (boot, ""),
    };
    if known_boot != boot {
        let now = clock::now();
        let uptime = fs::read_to_string(proc_root.join("uptime")).unwrap_or_default();
        let time = booted(&uptime, now);
        let change = Change {
            id: format!("reboot:{boot}@{}", time.as_millis() / 1_000),
            time,
            component: source.config.machine(),
            kind: ChangeKind::Reboot,
            text: text(source.config.host.as_str(), known_kernel, kernel.trim()),
            detail: String::new(),
        };
        source
            .sink
            .offer("units", Observation::Changes(vec![change]));
    }
    let checkpoint = Checkpoint {
        reader: READER.to_owned(),
        position: position.into_bytes(),
    };
    let lines = Lines {
        lines: Vec::new(),
        checkpoints: vec![checkpoint],
    };
    source.sink.deliver(lines).await;
}

fn text(host: &str, before: &str, kernel: &str) -> String {
    let told = match (before, kernel) {
        (_, "") => format!("{host} booted"),
        ("", kernel) => format!("{host} booted, kernel {kernel}"),
        (before, kernel) if before == kernel => format!("{host} booted, kernel {kernel} as before"),
        (before, kernel) => format!("{host} booted, kernel went from {before} to {kernel}"),
    };
    told.chars().filter(|c| !c.is_control()).take(512).collect()
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
    fn boot_tells_the_kernels() {
        for (before, kernel, told) in [
            (
                "6.1.0-18",
                "6.1.0-22",
                "h1 booted, kernel went from 6.1.0-18 to 6.1.0-22",
            ),
            (
                "6.1.0-18",
                "6.1.0-18",
                "h1 booted, kernel 6.1.0-18 as before",
            ),
            ("", "6.1.0-18", "h1 booted, kernel 6.1.0-18"),
            ("6.1.0-18", "", "h1 booted"),
        ] {
            assert_eq!(text("h1", before, kernel), told);
        }
    }

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
