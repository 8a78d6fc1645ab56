//! A trace of this machine's own numbers, once a second, with the jitter that sampling really has.
//!
//! Units are the agent's: ticks and milliseconds become seconds, kilobytes and sectors bytes. A trace file
//! is JSON: times in milliseconds from its start, and the values of each series.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

/// Series of one host, as the targets are set.
pub const SERIES: usize = 300;

/// Recorded samples.
#[derive(Serialize, Deserialize)]
pub struct Trace {
    /// Milliseconds since the first sample, rising.
    pub millis: Vec<i64>,
    /// Values of each series, as many as there are times.
    pub series: BTreeMap<String, Vec<f64>>,
}

impl Trace {
    /// Reads the trace at `path`, or records one (and writes it there).
    pub fn obtain(path: Option<&Path>, seconds: u32) -> anyhow::Result<Self> {
        if let Some(path) = path.filter(|path| path.exists()) {
            let text = std::fs::read_to_string(path).context("cannot read the trace")?;
            let trace: Self = serde_json::from_str(&text).context("the trace is malformed")?;
            let even = trace
                .series
                .values()
                .all(|values| values.len() == trace.millis.len());
            let rising = trace.millis.windows(2).all(|pair| pair[0] < pair[1]);
            if !even || !rising || trace.millis.len() < 120 || trace.series.is_empty() {
                bail!("the trace is shorter than 120 samples, uneven, or its times do not rise");
            }
            return Ok(trace);
        }
        let trace = Self::record(seconds)?;
        if let Some(path) = path {
            std::fs::write(path, serde_json::to_string(&trace)?)
                .context("cannot write the trace")?;
        }
        Ok(trace)
    }

    fn record(seconds: u32) -> anyhow::Result<Self> {
        let begin = Instant::now();
        let mut millis = Vec::new();
        let mut series: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for second in 0..u64::from(seconds) {
            let due = begin + Duration::from_secs(second);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let sample = sample()?;
            millis.push(i64::try_from(begin.elapsed().as_millis())?);
            if second == 0 {
                let chosen = sample.into_iter().take(SERIES);
                series = chosen.map(|(name, value)| (name, vec![value])).collect();
                continue;
            }
            let now: BTreeMap<_, _> = sample.into_iter().collect();
            for (name, values) in &mut series {
                values.push(now.get(name).copied().unwrap_or(f64::NAN));
            }
        }
        Ok(Self { millis, series })
    }

    /// Share of series that changed at all.
    pub fn moving(&self) -> f64 {
        let moving = |values: &&Vec<f64>| values.windows(2).any(|pair| pair[0] != pair[1]);
        let count = self.series.values().filter(moving).count();
        count as f64 / self.series.len() as f64
    }

    /// Milliseconds of one round of the trace when it is played again and again.
    fn round_millis(&self) -> i64 {
        self.millis
            .last()
            .map_or(0, |last| (last + 1_000) / 1_000 * 1_000)
    }

    /// Time of the `index`th sample of a host that begins `shift` samples into the trace.
    pub fn time(&self, shift: usize, index: usize) -> i64 {
        let at = shift + index;
        let rounds = (at / self.millis.len()) as i64;
        rounds * self.round_millis() + self.millis[at % self.millis.len()]
    }

    /// Value of a series there: counters go on rising round after round, gauges come back.
    pub fn value(&self, values: &[f64], shift: usize, index: usize) -> f64 {
        let at = shift + index;
        let (round, at) = (at / values.len(), at % values.len());
        let (first, last) = (values[0], values[values.len() - 1]);
        if counts(values) {
            values[at] + round as f64 * (last - first)
        } else {
            values[at]
        }
    }
}

/// Whether a series only rises: a counter.
pub fn counts(values: &[f64]) -> bool {
    values.first() < values.last() && values.windows(2).all(|pair| pair[0] <= pair[1])
}

/// All numbers now, the ones that an agent surely reports first.
fn sample() -> anyhow::Result<Vec<(String, f64)>> {
    let mut out = Vec::with_capacity(600);
    let read = |path: &str| std::fs::read_to_string(path);
    fields(&mut out, "stat", &read("/proc/stat")?, 0.01);
    for (name, value) in pairs(&read("/proc/meminfo")?) {
        out.push((format!("meminfo {name}"), value * 1_024.0));
    }
    for resource in ["cpu", "memory", "io"] {
        // Not every kernel keeps pressure.
        let Ok(text) = read(&format!("/proc/pressure/{resource}")) else {
            continue;
        };
        for line in text.lines() {
            let kind = line.split(' ').next().unwrap_or_default();
            let total = line
                .rsplit_once("total=")
                .and_then(|(_, total)| total.parse::<f64>().ok());
            out.extend(total.map(|micros| (format!("pressure {resource} {kind}"), micros / 1e6)));
        }
    }
    disks(&mut out, &read("/proc/diskstats")?);
    fields(&mut out, "net/dev", &read("/proc/net/dev")?, 1.0);
    fields(&mut out, "net/snmp", &read("/proc/net/snmp")?, 1.0);
    for (name, value) in pairs(&read("/proc/vmstat")?) {
        out.push((format!("vmstat {name}"), value));
    }
    Ok(out)
}

fn pairs(text: &str) -> impl Iterator<Item = (&str, f64)> {
    text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        Some((words.next()?, words.next()?.parse().ok()?))
    })
}

/// Every number of every line, named by the line's first word and its place. Only lines of processors are
/// in ticks; `intr` and `softirq` are cut after their sums.
fn fields(out: &mut Vec<(String, f64)>, file: &str, text: &str, tick: f64) {
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let Some(first) = words.next() else { continue };
        let most = if matches!(first, "intr" | "softirq") {
            1
        } else {
            32
        };
        let scale = if first.starts_with("cpu") { tick } else { 1.0 };
        let numbers = words.filter_map(|word| word.parse::<f64>().ok()).take(most);
        for (place, value) in numbers.enumerate() {
            // Ticks are whole: dividing gives the nearest hundredth, as the agent does.
            let value = if scale < 1.0 {
                value / (1.0 / scale)
            } else {
                value
            };
            out.push((format!("{file} {first} {place}"), value));
        }
    }
}

/// Source: iostats.rst of the kernel's documentation.
fn disks(out: &mut Vec<(String, f64)>, text: &str) {
    for line in text.lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let Some(device) = words.get(2) else { continue };
        if device.starts_with("loop") || device.starts_with("ram") {
            continue;
        }
        for (place, word) in words.iter().enumerate().skip(3) {
            let Ok(value) = word.parse::<f64>() else {
                continue;
            };
            let value = match place {
                5 | 9 => value * 512.0,
                6 | 10 | 12 | 13 => value / 1_000.0,
                _ => value,
            };
            out.push((format!("diskstats {device} {place}"), value));
        }
    }
}
