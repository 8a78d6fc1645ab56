//! What the agent costs a busy host, beside others that watch the same host in the same seconds.
//!
//! The agent runs as people run it: joined to a real collector over loopback, its journal on disk.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Args;

use crate::process::{Held, hold};
use crate::product::{HOST, Product};
use crate::report::{Report, Target};
use crate::rivals::{self, Rival, Usage, usage};

/// Caches fill and the first samples cost more: they are not what a day costs.
const WARM_UP: Duration = Duration::from_secs(60);

/// How much load, and for how long.
#[derive(Args)]
pub struct Options {
    /// Seconds to measure, after a warm-up.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(10..=600))]
    seconds: u32,
    /// Idle processes to start [default: 200, or 500 for agent-loaded].
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=5_000))]
    processes: Option<u32>,
    /// TCP connections to hold on loopback, each used every few seconds [default: 1000, or 10000].
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=20_000))]
    connections: Option<u32>,
    /// Units to start, each a cgroup with a process [default: 0, or 50]. Root may make them.
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=500))]
    units: Option<u32>,
    /// Folder with firstlook, firstlook-agent and firstlook-collector in release builds.
    #[arg(long, env = "FIRSTLOOK_BIN_DIR")]
    bin_dir: PathBuf,
}

/// What the agent costs beside an exporter, on a host of 200 processes and 1,000 connections.
///
/// # Errors
/// When a program cannot be started or does not answer.
pub fn measure(options: &Options) -> anyhow::Result<Report> {
    let load = Load {
        processes: options.processes.unwrap_or(200),
        connections: options.connections.unwrap_or(1_000),
        units: options.units.unwrap_or(0),
    };
    beside(
        "agent-overhead",
        options,
        &load,
        0.01,
        rivals::start_exporter,
    )
}

/// What it costs beside all that are installed, on a host of 500 processes, 10,000 connections and 50 units.
///
/// # Errors
/// When a program cannot be started or does not answer.
pub fn measure_loaded(options: &Options) -> anyhow::Result<Report> {
    let load = Load {
        processes: options.processes.unwrap_or(500),
        connections: options.connections.unwrap_or(10_000),
        units: options.units.unwrap_or(50),
    };
    beside("agent-loaded", options, &load, 0.015, rivals::start)
}

struct Load {
    processes: u32,
    connections: u32,
    units: u32,
}

fn beside(
    figure: &'static str,
    options: &Options,
    load: &Load,
    target: f64,
    rivals: fn(&Path) -> anyhow::Result<Vec<Rival>>,
) -> anyhow::Result<Report> {
    let folder = tempfile::tempdir()?;
    let product = Product::start(&options.bin_dir, folder.path())?;
    let agent = product.run_agent("")?;
    product.reporting()?;
    // Before their processes: these are gone first, and the units then empty.
    let units: Vec<Unit> = (0..load.units)
        .map(Unit::start)
        .collect::<anyhow::Result<_>>()?;
    let idle: Vec<Held> = (0..load.processes)
        .map(|_| hold(Command::new("sleep").arg("900")))
        .collect::<anyhow::Result<_>>()?;
    // As on a host that starts everything by units: no process is outside of all.
    for (process, unit) in idle.iter().zip(units.iter().cycle()) {
        unit.take(process.id())?;
    }
    let _connections = Connections::open(load.connections)?;
    let rivals = rivals(folder.path())?;
    let scrapes = |until: Instant| -> anyhow::Result<()> {
        while Instant::now() < until {
            let next = Instant::now() + Duration::from_secs(1);
            for rival in &rivals {
                rival.scrape()?;
            }
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        Ok(())
    };
    scrapes(Instant::now() + WARM_UP)?;
    let all = || -> anyhow::Result<Vec<Usage>> {
        let pids = std::iter::once(agent.id()).chain(rivals.iter().map(Rival::pid));
        pids.map(usage).collect()
    };
    let before = all()?;
    let began = Instant::now();
    scrapes(began + Duration::from_secs(options.seconds.into()))?;
    let length = began.elapsed().as_secs_f64();
    let after = all()?;

    let share = |index: usize| (after[index].cpu_seconds - before[index].cpu_seconds) / length;
    let resident = |index: usize| after[index].resident_bytes / 1e6;
    let mut report = Report::new(figure);
    let unit = "seconds per second";
    report.against("agent, CPU", share(0), unit, Target::AtMost(target));
    report.against("agent, resident", resident(0), "MB", Target::AtMost(30.0));
    let all = product.ask(&["metrics", HOST])?;
    if let Some(series) = all.and_then(|all| Some(all["series"].as_array()?.len())) {
        report.figure("agent, series", series as f64, "series");
    }
    for (index, rival) in rivals.iter().enumerate() {
        report.figure(format!("{}, CPU", rival.name), share(index + 1), unit);
        report.figure(
            format!("{}, resident", rival.name),
            resident(index + 1),
            "MB",
        );
        if let Some(series) = rival.series()? {
            report.figure(format!("{}, series", rival.name), series as f64, "series");
        }
    }
    if rivals.is_empty() {
        report.note("none of those to compare with is installed");
    }
    report.note(format!(
        "{} idle processes in {} units and {} connections with both ends here, beside what ran already, over {length:.0} s; CPU \
         counts in ticks of 10 ms; all ran at once, and what is scraped was scraped once a second",
        load.processes, load.units, load.connections
    ));
    Ok(report)
}

/// A unit's cgroup in each hierarchy, with a process in it. Removed with its handle.
struct Unit {
    process: Option<Held>,
    folders: Vec<PathBuf>,
}

impl Unit {
    fn start(number: u32) -> anyhow::Result<Self> {
        let process = hold(Command::new("sleep").arg("900"))?;
        let pid = process.id();
        let mut unit = Self {
            process: Some(process),
            folders: Vec::new(),
        };
        let root = Path::new("/sys/fs/cgroup");
        let places = ["", "unified", "systemd", "cpu", "memory", "pids", "blkio"];
        for place in places.map(|place| root.join(place)) {
            if !place.join("cgroup.procs").exists() {
                continue;
            }
            let folder = place.join(format!("system.slice/firstlook-bench-{number}.service"));
            std::fs::create_dir_all(&folder).context("a unit's cgroup: root may make one")?;
            unit.folders.push(folder.clone());
        }
        ensure!(!unit.folders.is_empty(), "no cgroup file system is mounted");
        unit.take(pid)?;
        Ok(unit)
    }

    /// Moves a process into it.
    fn take(&self, pid: u32) -> anyhow::Result<()> {
        for folder in &self.folders {
            std::fs::write(folder.join("cgroup.procs"), pid.to_string())?;
        }
        Ok(())
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        self.process = None;
        for folder in &self.folders {
            // Of no further use, whether it goes or not: it is empty.
            let _ = std::fs::remove_dir(folder);
            let _ = folder.parent().map(std::fs::remove_dir);
        }
    }
}

/// Connections to another process, which answers what it is sent.
struct Connections {
    _peer: Held,
}

impl Connections {
    fn open(count: u32) -> anyhow::Result<Self> {
        let mut peer = Command::new(std::env::current_exe()?);
        peer.args(["answer-connections", &count.to_string()])
            .stdout(Stdio::piped());
        let mut peer = hold(&mut peer)?;
        let out = peer.output().context("no output of the peer")?;
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line)?;
        let port: u16 = line.trim().parse().context("the peer named no port")?;
        let sockets: Vec<TcpStream> = (0..count)
            .map(|_| TcpStream::connect(("127.0.0.1", port)))
            .collect::<Result<_, _>>()
            .context("connections cannot be opened: raise the limit of open files (ulimit -n)")?;
        // Each connection is used every five seconds. The thread ends with the process.
        std::thread::spawn(move || {
            loop {
                for chunk in sockets.chunks(sockets.len().div_ceil(50).max(1)) {
                    for mut socket in chunk {
                        // A connection that the peer closed stays closed: the bench is ending.
                        let _ = socket.write_all(b"ping");
                    }
                    std::thread::sleep(Duration::from_millis(100));
                }
            }
        });
        Ok(Self { _peer: peer })
    }
}

/// The peer: accepts `count` connections, says its port first, and reads what comes until it is killed.
///
/// # Errors
/// When it cannot listen or accept.
pub fn answer_connections(count: u32) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", listener.local_addr()?.port())?;
    out.flush()?;
    let mut sockets = Vec::new();
    for _ in 0..count {
        let (socket, _) = listener.accept()?;
        socket.set_nonblocking(true)?;
        sockets.push(socket);
    }
    let mut buffer = [0u8; 64];
    // Bounded: whoever started it ends it, and after ten minutes it ends by itself.
    for _ in 0..6_000 {
        for mut socket in &sockets {
            if let Ok(read) = socket.read(&mut buffer)
                && read > 0
            {
                let _ = socket.write_all(&buffer[..read]);
            }
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}
