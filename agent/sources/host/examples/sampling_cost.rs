//! What the host sources cost: samples this host and prints the CPU time of each part, as JSON.
//!
//! `sampling_cost [SAMPLES] [MILLISECONDS BETWEEN]`, 60 and 1000 by default.
#![allow(clippy::print_stdout, reason = "an example's output")]

use std::time::{Duration, Instant};

use firstlook_model::{HostId, Timestamp};
use firstlook_sources_host::{HostRoots, HostSampler, Limits};
use rustix::time::{ClockId, clock_gettime};

fn cpu() -> Duration {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(spent.tv_sec.unsigned_abs(), spent.tv_nsec as u32)
}

fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|a| a.parse::<u64>());
    let samples = arguments.next().and_then(Result::ok).unwrap_or(60).max(1);
    let pause = arguments.next().and_then(Result::ok).unwrap_or(1_000);
    let host = HostId::new("cost").expect("a valid name");
    let mut sampler = HostSampler::new(host, HostRoots::default(), Limits::default());
    let started = Instant::now();
    let mut spent = Vec::new();
    let (mut series, mut edges) = (0, 0);
    for _ in 0..samples {
        let before = cpu();
        let time = Timestamp::from_millis(started.elapsed().as_millis() as i64);
        let frame = sampler.sample(time, started.elapsed());
        series = frame.values.len();
        edges = sampler.take_edges().map_or(edges, |edges| edges.len());
        spent.push((cpu() - before).as_secs_f64() * 1e3);
        std::thread::sleep(Duration::from_millis(pause));
    }
    let elapsed = started.elapsed().as_secs_f64();
    let first = spent[0];
    let mean = spent.iter().sum::<f64>() / samples as f64;
    spent.sort_by(f64::total_cmp);
    println!(
        "{{\"samples\":{samples},\"series\":{series},\"edges\":{edges},\"first_ms\":{first:.3},\
         \"mean_ms\":{mean:.3},\"p50_ms\":{:.3},\"max_ms\":{:.3},\"core_share\":{:.5},\
         \"resident_bytes\":{}}}",
        spent[spent.len() / 2],
        spent[spent.len() - 1],
        cpu().as_secs_f64() / elapsed,
        resident_bytes().unwrap_or(0),
    );
}
