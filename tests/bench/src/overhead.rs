//! What the agent costs a host of 200 processes and 1,000 connections, beside a known exporter scraped
//! once a second on the same host in the same seconds.
//!
//! The agent runs as people run it: joined to a real collector over loopback, its journal on disk.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::Args;

use crate::report::{Report, Target};

const EXPORTER: &str = "prometheus-node-exporter";
const COLLECTOR_WITHIN: Duration = Duration::from_secs(30);
/// Caches fill and the first samples cost more: they are not what a day costs.
const WARM_UP: Duration = Duration::from_secs(20);

/// How much load, and for how long.
#[derive(Args)]
pub struct Options {
    /// Seconds to measure, after a warm-up.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(10..=600))]
    seconds: u32,
    /// Idle processes to start.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(0..=5_000))]
    processes: u32,
    /// TCP connections to hold on loopback, each used every few seconds.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(0..=20_000))]
    connections: u32,
    /// Folder with firstlook, firstlook-agent and firstlook-collector in release builds.
    #[arg(long, env = "FIRSTLOOK_BIN_DIR")]
    bin_dir: PathBuf,
}

/// A child that ends with this process.
struct Held(Child);

impl Drop for Held {
    fn drop(&mut self) {
        // It may have ended by itself: then there is nothing to end.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn hold(command: &mut Command) -> anyhow::Result<Held> {
    let program = command.get_program().to_string_lossy().into_owned();
    Ok(Held(
        command
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("starting {program}"))?,
    ))
}

/// CPU time and resident memory of a process.
struct Usage {
    cpu_seconds: f64,
    resident_bytes: f64,
}

fn usage(pid: u32) -> anyhow::Result<Usage> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let rest = stat.rsplit(')').next().context("malformed stat")?;
    let field = |index: usize| -> anyhow::Result<f64> {
        Ok(rest
            .split_whitespace()
            .nth(index)
            .context("short stat")?
            .parse()?)
    };
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    let page = rustix::param::page_size() as f64;
    Ok(Usage {
        cpu_seconds: (field(11)? + field(12)?) / ticks,
        resident_bytes: field(21)? * page,
    })
}

/// Measures.
///
/// # Errors
/// When a program cannot be started or does not answer.
pub fn measure(options: &Options) -> anyhow::Result<Report> {
    let folder = tempfile::tempdir()?;
    let (_collector, agent) = start_firstlook(options, folder.path())?;
    let idle: Vec<Held> = (0..options.processes)
        .map(|_| hold(Command::new("sleep").arg("900")))
        .collect::<anyhow::Result<_>>()?;
    let _connections = Connections::open(options.connections)?;
    let exporter = start_exporter(&idle)?;
    let scrapes = |until: Instant| -> anyhow::Result<u32> {
        let mut count = 0;
        while Instant::now() < until {
            let next = Instant::now() + Duration::from_secs(1);
            if let Some((_, port)) = &exporter {
                scrape(*port)?;
                count += 1;
            }
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        Ok(count)
    };
    scrapes(Instant::now() + WARM_UP)?;
    let before = (
        usage(agent.0.id())?,
        exporter.as_ref().map(|(e, _)| usage(e.0.id())),
    );
    let began = Instant::now();
    let scraped = scrapes(began + Duration::from_secs(options.seconds.into()))?;
    let length = began.elapsed().as_secs_f64();
    let after = (
        usage(agent.0.id())?,
        exporter.as_ref().map(|(e, _)| usage(e.0.id())),
    );

    let mut report = Report::new("agent-overhead");
    let share = (after.0.cpu_seconds - before.0.cpu_seconds) / length;
    report.against(
        "agent, CPU",
        share,
        "seconds per second",
        Target::AtMost(0.01),
    );
    let resident = after.0.resident_bytes / 1e6;
    report.against("agent, resident", resident, "MB", Target::AtMost(30.0));
    match (before.1, after.1) {
        (Some(before), Some(after)) => {
            let (before, after) = (before?, after?);
            let share = (after.cpu_seconds - before.cpu_seconds) / length;
            report.figure("node exporter, CPU", share, "seconds per second");
            report.figure("node exporter, resident", after.resident_bytes / 1e6, "MB");
            report.note(format!(
                "the exporter was scraped {scraped} times in {length:.0} s"
            ));
        }
        _ => report.note(format!("{EXPORTER} is not installed: no comparison")),
    }
    report.note(format!(
        "{} idle processes and {} connections beside what ran already; CPU counts in ticks of 10 ms",
        options.processes, options.connections
    ));
    Ok(report)
}

/// A free port on loopback.
fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn start_firstlook(options: &Options, folder: &Path) -> anyhow::Result<(Held, Held)> {
    let program = |name: &str| Command::new(options.bin_dir.join(name));
    let (agents, responders) = (free_port()?, free_port()?);
    let (data, state) = (folder.join("collector"), folder.join("agent"));
    let log = |name: &str| std::fs::File::create(folder.join(name));
    let collector = hold(
        program("firstlook-collector")
            .arg("run")
            .arg("--data-dir")
            .arg(&data)
            .args(["--listen", &format!("127.0.0.1:{agents}")])
            .args(["--query-listen", &format!("127.0.0.1:{responders}")])
            .stderr(log("collector.log")?),
    )?;
    let ask = |words: &[&str]| -> anyhow::Result<Option<serde_json::Value>> {
        let output = program("firstlook")
            .args([
                "--json",
                "--collector",
                &format!("https://127.0.0.1:{responders}"),
            ])
            .arg("--credentials")
            .arg(data.join("responder"))
            .args(words)
            .output()?;
        Ok(serde_json::from_slice(&output.stdout).ok())
    };
    let deadline = Instant::now() + COLLECTOR_WITHIN;
    let token = loop {
        if let Some(reply) = ask(&["tokens", "create"])? {
            break reply["token"]
                .as_str()
                .context("no token in the reply")?
                .to_owned();
        }
        ensure!(
            Instant::now() < deadline,
            "the collector did not answer in time"
        );
        std::thread::sleep(Duration::from_millis(200));
    };
    let url = format!("https://127.0.0.1:{agents}");
    let joined = program("firstlook-agent")
        .args([
            "join",
            &url,
            "--token",
            &token,
            "--name",
            "bench",
            "--state-dir",
        ])
        .arg(&state)
        .stderr(log("join.log")?)
        .status()?;
    ensure!(joined.success(), "the agent could not join");
    let agent = hold(
        program("firstlook-agent")
            .arg("run")
            .arg("--state-dir")
            .arg(&state)
            .stderr(log("agent.log")?),
    )?;
    let deadline = Instant::now() + COLLECTOR_WITHIN;
    loop {
        let hosts = ask(&["hosts"])?;
        if hosts.is_some_and(|h| h["hosts"][0]["state"] == "reporting") {
            return Ok((collector, agent));
        }
        ensure!(
            Instant::now() < deadline,
            "the agent did not report in time"
        );
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The exporter, where it is installed. `_started` shows that the load is there first.
fn start_exporter(_started: &[Held]) -> anyhow::Result<Option<(Held, u16)>> {
    let port = free_port()?;
    let mut command = Command::new(EXPORTER);
    command
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stderr(Stdio::null());
    let Ok(exporter) = hold(&mut command) else {
        return Ok(None);
    };
    let deadline = Instant::now() + COLLECTOR_WITHIN;
    while scrape(port).is_err() {
        ensure!(
            Instant::now() < deadline,
            "{EXPORTER} did not answer in time"
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(Some((exporter, port)))
}

/// One scrape over plain HTTP, read to its end.
fn scrape(port: u16) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply)?;
    if !reply.starts_with(b"HTTP/1.0 200") && !reply.starts_with(b"HTTP/1.1 200") {
        bail!("the exporter refused");
    }
    Ok(())
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
        let out = peer.0.stdout.take().context("no output of the peer")?;
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
