//! What the host sources see: samples this host for some seconds and prints the last values, edges and the
//! inventory.
//!
//! `look [SAMPLES]`, 5 by default, one second apart.
#![allow(clippy::print_stdout, reason = "an example's output")]

use std::time::{Duration, Instant};

use firstlook_model::{HostId, Timestamp};
use firstlook_sources_host::{HostRoots, HostSampler, Limits};

fn main() {
    let samples = std::env::args().nth(1).and_then(|a| a.parse().ok());
    let host = HostId::new("look").expect("a valid name");
    let mut sampler = HostSampler::new(host, HostRoots::default(), Limits::default());
    let started = Instant::now();
    for sample in 1..=samples.unwrap_or(5) {
        let elapsed = started.elapsed();
        let time = Timestamp::from_millis(elapsed.as_millis() as i64);
        let frame = sampler.sample(time, elapsed);
        for edge in sampler.take_edges().unwrap_or_default() {
            println!("{sample} {edge:?}");
        }
        if sample == samples.unwrap_or(5) {
            for (series, value) in frame.schema.series().iter().zip(&frame.values) {
                println!("{} {} {value}", series.component, series.signal);
            }
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    let inventory = sampler.inventory(Timestamp::default(), started.elapsed(), "look");
    println!("{inventory:#?}");
}
