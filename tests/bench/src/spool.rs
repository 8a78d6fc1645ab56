//! `spool`: an hour without the collector. The journal holds its budget, gives up the cheapest first, and is drained.
//!
//! The hour is played: a trace of this machine, the edges and changes of a busy host and the lines of four chatty
//! services go through the agent's own pipeline into its own journal. The agent itself then drains it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::ensure;
use clap::Args;
use firstlook_journal::{Entry, Journal, JournalConfig, Shed};
use firstlook_model::{
    Change, ChangeKind, ComponentId, ComponentKind, Direction, EdgeObservation, EdgeStats, Frame,
    HostId, Lines, LogSource, Observation, RawLine, Record, RecordClass, Schema, Series,
    SignalKind, Timestamp, Unit,
};
use firstlook_pipeline::{Pipeline, PipelineConfig};
use firstlook_proto::convert::encode_record;

use crate::cpu::Stopwatch;
use crate::product::{HOST, Product};
use crate::report::{Report, Target};
use crate::trace::{Trace, counts};

/// The budget that the target is set for.
const BUDGET_BYTES: u64 = 64 * 1024 * 1024;
const HOUR_S: usize = 3_600;
/// Seconds between two batches, as the agent makes them.
const FLUSH_EVERY_S: usize = 2;
/// How often the trace stands side by side: a host with 1,500 series.
const COPIES: usize = 5;
const EDGES: u16 = 60;
const EDGES_EVERY_S: usize = 5;
const CHANGES_EVERY_S: usize = 60;
const SERVICES: usize = 4;
/// How long draining may take before it counts as stuck.
const WITHIN: Duration = Duration::from_secs(600);

/// How chatty, and with what.
#[derive(Args)]
pub struct Options {
    /// Lines per second of each of four services.
    #[arg(long, default_value_t = 250, value_parser = clap::value_parser!(u32).range(0..=5_000))]
    lines: u32,
    /// Folder with firstlook, firstlook-agent and firstlook-collector in release builds.
    #[arg(long, env = "FIRSTLOOK_BIN_DIR")]
    bin_dir: PathBuf,
    /// A trace to read instead of recording, or to write when it is not there.
    #[arg(long)]
    trace: Option<PathBuf>,
}

/// What the journal held after the hour.
struct Kept {
    bytes: u64,
    disk_bytes: u64,
    given: [u64; 3],
    given_bytes: u64,
    shed: Shed,
    cpu_seconds: f64,
}

/// Fills and drains.
///
/// # Errors
/// When a program cannot be started, or the journal is not drained in time.
pub fn measure(options: &Options) -> anyhow::Result<Report> {
    let trace = Trace::obtain(options.trace.as_deref(), 120)?;
    let folder = tempfile::tempdir()?;
    let product = Product::start(&options.bin_dir, folder.path())?;
    let kept = fill(&product.state_dir().join("journal"), &trace, options.lines)?;
    let waiting: u64 = kept.given.iter().sum::<u64>() - shed_of(&kept.shed).iter().sum::<u64>();

    let began = Instant::now();
    let _agent = product.run_agent("")?;
    while product.counter("firstlook_store_records")? < waiting {
        ensure!(
            began.elapsed() < WITHIN,
            "the journal was not drained in time"
        );
        std::thread::sleep(Duration::from_millis(250));
    }
    let drained = began.elapsed().as_secs_f64();

    let [logs, metrics, facts] = shed_of(&kept.shed);
    let mut report = Report::new("spool");
    let mib = |bytes: u64| bytes as f64 / (1 << 20) as f64;
    report.against(
        "records of an hour, kept",
        mib(kept.bytes),
        "MiB",
        Target::AtMost(64.0),
    );
    report.figure("on disk", mib(kept.disk_bytes), "MiB");
    report.figure("records of an hour, made", mib(kept.given_bytes), "MiB");
    report.against("facts shed", facts as f64, "records", Target::AtMost(0.0));
    report.against(
        "samples and edges shed",
        metrics as f64,
        "records",
        Target::AtMost(0.0),
    );
    let share = logs as f64 / (kept.given[0].max(1) as f64);
    report.figure("batches of lines shed", 100.0 * share, "%");
    report.against("drained", drained, "seconds", Target::AtMost(60.0));
    report.figure("gathering the hour", kept.cpu_seconds, "CPU-seconds");
    report.note(format!(
        "{} series once a second, {EDGES} edges every {EDGES_EVERY_S} s, a change every {CHANGES_EVERY_S} s and {SERVICES} services \
         with {} lines a second each, through the agent's pipeline; drained by the agent over loopback into a collector \
         on the same cores, from its start to the last record stored",
        trace.series.len() * COPIES,
        options.lines
    ));
    Ok(report)
}

fn shed_of(shed: &Shed) -> [u64; 3] {
    [RecordClass::Logs, RecordClass::Metrics, RecordClass::Facts]
        .map(|class| shed.of(class).records)
}

fn fill(folder: &Path, trace: &Trace, lines: u32) -> anyhow::Result<Kept> {
    let config = JournalConfig {
        budget_bytes: BUDGET_BYTES,
    };
    let journal = Journal::open(folder, config)?.journal;
    let mut pipeline = Pipeline::new(PipelineConfig::default())?;
    let host = HostId::new(HOST)?;
    let mut player = Hour::new(&host, trace, lines)?;
    let mut kept = Kept {
        bytes: 0,
        disk_bytes: 0,
        given: [0; 3],
        given_bytes: 0,
        shed: Shed::default(),
        cpu_seconds: 0.0,
    };
    let watch = Stopwatch::start();
    for second in 0..HOUR_S {
        for observation in player.second(second) {
            pipeline.push(observation);
        }
        if !(second + 1).is_multiple_of(FLUSH_EVERY_S) {
            continue;
        }
        let flushed = pipeline.flush(player.at(second));
        let entries = flushed
            .records
            .iter()
            .map(|record| entry(record, &mut kept))
            .collect::<anyhow::Result<Vec<_>>>()?;
        journal.append(&entries, &[], &Shed::default())?;
    }
    kept.cpu_seconds = watch.passed().cpu;
    (kept.bytes, kept.shed) = (journal.bytes(), journal.shed()?);
    kept.disk_bytes = size_of_folder(folder)?;
    Ok(kept)
}

fn entry(record: &Record, kept: &mut Kept) -> anyhow::Result<Entry> {
    let (class, bytes) = (record.class(), encode_record(record)?);
    let place = match class {
        RecordClass::Logs => 0,
        RecordClass::Metrics => 1,
        RecordClass::Facts => 2,
    };
    kept.given[place] += 1;
    kept.given_bytes += bytes.len() as u64;
    Ok(Entry { class, bytes })
}

fn size_of_folder(folder: &Path) -> anyhow::Result<u64> {
    let mut all = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        all += if meta.is_dir() {
            size_of_folder(&entry.path())?
        } else {
            meta.len()
        };
    }
    Ok(all)
}

/// The hour that ends now.
struct Hour<'t> {
    trace: &'t Trace,
    schema: Arc<Schema>,
    services: Vec<ComponentId>,
    lines: u32,
    began_millis: i64,
    state: u64,
}

impl<'t> Hour<'t> {
    fn new(host: &HostId, trace: &'t Trace, lines: u32) -> anyhow::Result<Self> {
        let services: Vec<ComponentId> = (0..COPIES.max(SERVICES))
            .map(|n| {
                ComponentId::on_host(
                    ComponentKind::Service,
                    host.clone(),
                    format!("app{n}.service"),
                )
            })
            .collect::<Result<_, _>>()?;
        let series = services.iter().take(COPIES).flat_map(|service| {
            trace.series.iter().map(|(name, values)| Series {
                component: service.clone(),
                signal: name.clone(),
                unit: Unit::Count,
                kind: match counts(values) {
                    true => SignalKind::Counter,
                    false => SignalKind::Gauge,
                },
            })
        });
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
        Ok(Self {
            schema: Arc::new(Schema::new(series.collect())),
            trace,
            services,
            lines,
            began_millis: i64::try_from(now)? - HOUR_S as i64 * 1_000,
            state: 0x9e37_79b9_7f4a_7c15,
        })
    }

    fn at(&self, second: usize) -> Timestamp {
        Timestamp::from_millis(self.began_millis + second as i64 * 1_000)
    }

    fn second(&mut self, second: usize) -> Vec<Observation> {
        let time = self.at(second);
        let trace = self.trace;
        let values = (0..COPIES).flat_map(|copy| {
            let all = trace.series.values();
            all.map(move |values| trace.value(values, copy * 17, second))
        });
        let frame = Frame {
            schema: Arc::clone(&self.schema),
            time,
            values: values.collect(),
        };
        let mut seen = vec![Observation::Frame(frame)];
        if second.is_multiple_of(EDGES_EVERY_S) {
            seen.push(Observation::Edges(
                (0..EDGES).map(|n| self.edge(n, time)).collect(),
            ));
        }
        if second.is_multiple_of(CHANGES_EVERY_S) {
            seen.push(Observation::Changes(vec![self.change(second, time)]));
        }
        let lines = 0..self.lines as usize * SERVICES;
        let lines = lines.map(|n| self.line(n, time)).collect();
        seen.push(Observation::Lines(Lines {
            lines,
            checkpoints: Vec::new(),
        }));
        seen
    }

    fn random(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    fn edge(&mut self, number: u16, time: Timestamp) -> EdgeObservation {
        let state = self.random();
        EdgeObservation {
            time,
            interval_ms: EDGES_EVERY_S as u32 * 1_000,
            local: self.services[usize::from(number) % self.services.len()].clone(),
            direction: if number.is_multiple_of(2) {
                Direction::Inbound
            } else {
                Direction::Outbound
            },
            remote: [10, 0, 0, number as u8].into(),
            port: 8_000 + number,
            stats: EdgeStats {
                established: 4,
                opened: (state % 50) as u32,
                bytes_sent: state >> 44,
                bytes_received: state >> 42,
                segments_sent: state >> 54,
                rtt_us: Some((200 + state % 400) as u32),
                ..EdgeStats::default()
            },
        }
    }

    fn change(&mut self, second: usize, time: Timestamp) -> Change {
        Change {
            id: format!("config:/etc/app{second}.toml@{}", time.as_micros()),
            time,
            component: self.services[0].clone(),
            kind: ChangeKind::ConfigFile,
            text: format!("/etc/app{second}.toml changed"),
            detail: format!(
                "@@ -1 +1 @@\n-limit = {second}\n+limit = {}\n",
                self.random() % 1_000
            ),
        }
    }

    fn line(&mut self, number: usize, time: Timestamp) -> RawLine {
        let state = self.random();
        let text = match state % 3 {
            0 => format!(
                "request {:016x} served in {} us with status 200 for client 10.1.{}.{}",
                state,
                state % 90_000,
                (state >> 8) % 250,
                (state >> 16) % 250
            ),
            1 => format!(
                "query {} returned {} rows from shard {}",
                state >> 20,
                (state >> 9) % 5_000,
                state % 16
            ),
            _ => format!(
                "cache miss for key user:{}:profile after {} lookups",
                state >> 24,
                state % 40
            ),
        };
        RawLine {
            time,
            component: self.services[number % SERVICES].clone(),
            severity: None,
            source: LogSource::File,
            text,
        }
    }
}
