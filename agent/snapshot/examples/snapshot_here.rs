//! Takes a snapshot of this machine and says what it cost: time, size, items, what is missing.

#![allow(clippy::print_stdout)]

use std::sync::Arc;
use std::time::Instant;

use firstlook_model::{HostId, SnapshotId, Timestamp};
use firstlook_snapshot::{Redact, Roots, SnapshotLimits, SnapshotRequest, take};

struct Nothing;

impl Redact for Nothing {
    fn line(&self, text: &str) -> String {
        text.to_owned()
    }
    fn text(&self, text: &str) -> String {
        text.to_owned()
    }
}

fn main() {
    let request = SnapshotRequest {
        id: SnapshotId::new("here").expect("a valid id"),
        host: HostId::new("here").expect("a valid name"),
        reason: "measurement".to_owned(),
        now: Timestamp::default(),
        roots: Roots::default(),
        config_paths: vec!["/etc/hosts".into(), "/etc/shadow-is-absent".into()],
        work_dir: std::env::temp_dir(),
        limits: SnapshotLimits::default(),
    };
    let redact: Arc<dyn Redact> = Arc::new(Nothing);
    let began = Instant::now();
    match take(&request, Vec::new(), &redact) {
        Ok(archive) => {
            let unpacked: u64 = archive.manifest.items.iter().map(|i| i.size_bytes).sum();
            println!(
                "{:.3} s, {} bytes in all, {unpacked} unpacked",
                began.elapsed().as_secs_f64(),
                archive.size_bytes
            );
            for item in &archive.manifest.items {
                println!("{:>9} {}", item.size_bytes, item.path);
            }
            for missing in &archive.manifest.missing {
                println!("  missing {}: {}", missing.what, missing.why);
            }
        }
        Err(error) => println!("failed: {error}"),
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|line| line.starts_with("VmHWM"));
    println!("{}", peak.unwrap_or("peak memory unknown"));
}
