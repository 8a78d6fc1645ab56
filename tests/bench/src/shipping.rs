//! `log-shipping`: lines of 200 bytes from a file to where they are kept, beside rsyslog.
//!
//! The agent redacts, mines templates, keeps what is on its way on disk and sends it over mutual TLS; it is done when
//! the collector shows the last line. rsyslog forwards the same lines in the clear over TCP, once from a queue in
//! memory and once from one on disk, and is done when the last byte has come.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Args;

use crate::process::{Held, hold};
use crate::product::{HOST, Product};
use crate::report::{Report, Target};
use crate::rivals::{is_missing, usage};

/// Bytes of a line, its end included.
const LINE_BYTES: usize = 200;
/// How long a shipper may take before it counts as stuck.
const WITHIN: Duration = Duration::from_secs(300);
/// How often arrival is asked for: each question costs time that the shipper could use.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// How long a shipper has to find its file.
const SETTLE: Duration = Duration::from_secs(4);
/// A word that only the last line has.
const LAST: &str = "bench-ends-with-this-line";

/// How much, and with what.
#[derive(Args)]
pub struct Options {
    /// Megabytes of lines.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=4_000))]
    megabytes: u32,
    /// Folder with firstlook, firstlook-agent and firstlook-collector in release builds.
    #[arg(long, env = "FIRSTLOOK_BIN_DIR")]
    bin_dir: PathBuf,
}

/// What shipping took.
struct Shipped {
    cpu_seconds: f64,
    wall_seconds: f64,
}

/// CPU and speed of the agent beside rsyslog.
///
/// # Errors
/// When a program cannot be started, or the lines do not arrive.
pub fn measure(options: &Options) -> anyhow::Result<Report> {
    let bytes = u64::from(options.megabytes) * 1_000_000;
    let lines = lines(bytes / LINE_BYTES as u64);
    let gigabytes = lines.len() as f64 / 1e9;
    let mut report = Report::new("log-shipping");
    let (agent, lost) = by_agent(options, &lines)?;
    let rivals = [
        (
            "rsyslog, queue in memory",
            "queue.type=\"LinkedList\" queue.size=\"200000\"",
        ),
        (
            "rsyslog, queue on disk",
            "queue.type=\"Disk\" queue.filename=\"queue\" queue.size=\"200000\" queue.maxdiskspace=\"8g\"",
        ),
    ];
    let mut best = f64::INFINITY;
    let mut compared = Vec::new();
    for (name, queue) in rivals {
        if let Some(shipped) = by_rsyslog(&lines, queue)? {
            best = best.min(shipped.cpu_seconds);
            compared.push((name, shipped));
        }
    }
    let per_gigabyte = |shipped: &Shipped| shipped.cpu_seconds / gigabytes;
    let speed = |shipped: &Shipped| lines.len() as f64 / 1e6 / shipped.wall_seconds;
    let unit = "CPU-seconds per GB";
    let target = Target::AtMost(best / gigabytes);
    if compared.is_empty() {
        report.figure("agent", per_gigabyte(&agent), unit);
        report.note("rsyslog is not installed: there is no comparison");
    } else {
        report.against("agent", per_gigabyte(&agent), unit, target);
    }
    report.figure("agent, speed", speed(&agent), "MB/s");
    report.against("agent, records lost", lost, "records", Target::AtMost(0.0));
    for (name, shipped) in &compared {
        report.figure(*name, per_gigabyte(shipped), unit);
        report.figure(format!("{name}, speed"), speed(shipped), "MB/s");
    }
    report.note(format!(
        "{} MB in lines of {LINE_BYTES} bytes, written to a file at once, one shipper after the other; the agent redacts, \
         mines templates, keeps records on disk until acknowledged and sends over mutual TLS, to a collector on the \
         same cores; rsyslog forwards in the clear to a reader that throws away",
        options.megabytes
    ));
    Ok(report)
}

/// Lines as a web application writes them: a few sorts, each with values that differ.
fn lines(count: u64) -> String {
    const VERBS: [&str; 4] = ["GET", "POST", "PUT", "DELETE"];
    const PATHS: [&str; 5] = ["/orders", "/orders/items", "/users", "/cart", "/search"];
    let mut text = String::with_capacity(count as usize * LINE_BYTES);
    // xorshift64, with a fixed beginning: every run ships the same.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for number in 0..count {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let (verb, path) = (VERBS[state as usize % 4], PATHS[state as usize % 5]);
        let begin = text.len();
        let _ = match state % 3 {
            0 => std::fmt::Write::write_fmt(
                &mut text,
                format_args!(
                    "INFO request served request={number} verb={verb} path={path}/{} status=200 bytes={} took={}ms client=10.{}.{}.7 ",
                    state >> 48,
                    state >> 52,
                    (state >> 20) % 900,
                    (state >> 8) % 250,
                    (state >> 16) % 250,
                ),
            ),
            1 => std::fmt::Write::write_fmt(
                &mut text,
                format_args!(
                    "INFO database query {number} returned {} rows in {} us from shard {} for tenant {:08x} ",
                    (state >> 30) % 1_000,
                    (state >> 12) % 90_000,
                    state >> 61,
                    state >> 32,
                ),
            ),
            _ => std::fmt::Write::write_fmt(
                &mut text,
                format_args!(
                    "WARN cache miss for key user:{}:profile after {} lookups, loading from 10.0.{}.{}:6379 ",
                    state >> 40,
                    (state >> 9) % 40,
                    (state >> 17) % 250,
                    (state >> 25) % 250,
                ),
            ),
        };
        while text.len() < begin + LINE_BYTES - 1 {
            text.push(if (text.len() - begin).is_multiple_of(8) {
                ' '
            } else {
                'x'
            });
        }
        text.truncate(begin + LINE_BYTES - 1);
        text.push('\n');
    }
    text.push_str(LAST);
    text.push('\n');
    text
}

fn by_agent(options: &Options, lines: &str) -> anyhow::Result<(Shipped, f64)> {
    let folder = tempfile::tempdir()?;
    let product = Product::start(&options.bin_dir, folder.path())?;
    let file = folder.path().join("app.log");
    File::create(&file)?;
    let agent = product.run_agent(&format!(
        "[[files]]\nglob = \"{}\"\n[logs]\nlines_per_second = 1000000\n",
        file.display()
    ))?;
    product.reporting()?;
    std::thread::sleep(SETTLE);
    let host = format!("host:{HOST}");
    let shipped = ship(&file, lines, agent.id(), || {
        let found = product.ask(&["logs", &host, "--contains", LAST, "-n", "1"])?;
        Ok(found.is_some_and(|found| found["lines"].as_array().is_some_and(|l| !l.is_empty())))
    })?;
    let own = format!("agent:{HOST}");
    let counts = product.ask(&["metrics", &own, "agent.dropped_records_total"])?;
    let counts = counts.context("the agent's own losses are not known")?;
    let last = counts["series"][0]["points"]
        .as_array()
        .and_then(|points| points.last());
    let lost = last.and_then(|point| point[1].as_f64());
    Ok((
        shipped,
        lost.with_context(|| format!("no count of losses in {counts}"))?,
    ))
}

/// `None` where it is not installed.
fn by_rsyslog(lines: &str, queue: &str) -> anyhow::Result<Option<Shipped>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("app.log");
    File::create(&file)?;
    let (port, arrived) = sink()?;
    let Some(rsyslog) = rsyslog(folder.path(), &file, queue, port)? else {
        return Ok(None);
    };
    std::thread::sleep(SETTLE);
    let length = lines.len() as u64;
    ship(&file, lines, rsyslog.id(), || {
        Ok(arrived.load(Ordering::Relaxed) >= length)
    })
    .map(Some)
}

fn rsyslog(folder: &Path, file: &Path, queue: &str, port: u16) -> anyhow::Result<Option<Held>> {
    let settings = format!(
        "global(workDirectory=\"{0}\")\nmodule(load=\"imfile\")\n\
         template(name=\"raw\" type=\"string\" string=\"%msg%\\n\")\n\
         input(type=\"imfile\" File=\"{1}\" Tag=\"bench\")\n\
         action(type=\"omfwd\" target=\"127.0.0.1\" port=\"{port}\" protocol=\"tcp\" template=\"raw\" {queue})\n",
        folder.display(),
        file.display()
    );
    let config = folder.join("rsyslog.conf");
    fs::write(&config, settings)?;
    let log = File::create(folder.join("rsyslog.log"))?;
    let started = hold(
        Command::new("rsyslogd")
            .arg("-n")
            .arg("-f")
            .arg(&config)
            .arg("-i")
            .arg(folder.join("rsyslog.pid"))
            .stdout(log.try_clone()?)
            .stderr(log),
    );
    match started {
        Ok(held) => Ok(Some(held)),
        Err(error) if error.chain().any(is_missing) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes the lines and waits until they have arrived.
fn ship(
    file: &Path,
    lines: &str,
    pid: u32,
    mut arrived: impl FnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<Shipped> {
    let before = usage(pid)?;
    let began = Instant::now();
    let mut file = OpenOptions::new().append(true).open(file)?;
    file.write_all(lines.as_bytes())?;
    while !arrived()? {
        ensure!(began.elapsed() < WITHIN, "the lines did not arrive in time");
        std::thread::sleep(ASK_EVERY);
    }
    Ok(Shipped {
        cpu_seconds: usage(pid)?.cpu_seconds - before.cpu_seconds,
        wall_seconds: began.elapsed().as_secs_f64(),
    })
}

/// A port that takes what comes and counts it. Ends with the process.
fn sink() -> anyhow::Result<(u16, Arc<AtomicU64>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let count = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&count);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            drain(stream, &counted);
        }
    });
    Ok((port, count))
}

fn drain(mut stream: TcpStream, count: &AtomicU64) {
    let mut buffer = vec![0; 256 * 1024];
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        count.fetch_add(read as u64, Ordering::Relaxed);
    }
}
