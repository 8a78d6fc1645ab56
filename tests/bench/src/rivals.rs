//! What else watches a host, run as its makers set it up, at one sample a second: the comparison for what the
//! agent costs. Each runs in a folder of its own, listens on loopback at most, and ends with its handle.

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::process::{Held, free_port, hold};

/// How long one may take to begin.
const WITHIN: Duration = Duration::from_secs(30);
/// What an answer may hold, in bytes.
const ANSWER_LIMIT: u64 = 16 * 1024 * 1024;

/// Something that watches this host.
pub struct Rival {
    pub name: &'static str,
    process: Held,
    port: Option<u16>,
    path: &'static str,
    scraped: bool,
}

impl Rival {
    /// Its process; it may have children.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Asks it for everything, where that is how it is used.
    pub fn scrape(&self) -> anyhow::Result<()> {
        match self.port {
            Some(port) if self.scraped => ask(port, self.path).map(|_| ()),
            _ => Ok(()),
        }
    }

    /// How many series it offers; `None` where it does not say.
    pub fn series(&self) -> anyhow::Result<Option<usize>> {
        let Some(port) = self.port else {
            return Ok(None);
        };
        let body = ask(port, self.path)?;
        let series = body
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        Ok(Some(series.count()))
    }
}

/// Starts those that are installed.
///
/// # Errors
/// When one is, and does not answer.
pub fn start(folder: &Path) -> anyhow::Result<Vec<Rival>> {
    let all = [
        node_exporter as fn(&Path) -> anyhow::Result<Option<Rival>>,
        netdata,
        collectd,
        atop,
    ];
    let started = all.iter().map(|start| start(folder));
    started.filter_map(Result::transpose).collect()
}

/// The exporter alone.
///
/// # Errors
/// When it is installed, and does not answer.
pub fn start_exporter(folder: &Path) -> anyhow::Result<Vec<Rival>> {
    Ok(node_exporter(folder)?.into_iter().collect())
}

fn run(command: &mut Command, folder: &Path, name: &str) -> anyhow::Result<Option<Held>> {
    let log = fs::File::create(folder.join(format!("{name}.log")))?;
    command.stdout(log.try_clone()?).stderr(log);
    match hold(command) {
        Ok(held) => Ok(Some(held)),
        Err(error) if error.chain().any(is_missing) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether an error says that a program is not there.
pub fn is_missing(cause: &(dyn std::error::Error + 'static)) -> bool {
    let io = cause.downcast_ref::<std::io::Error>();
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

fn node_exporter(folder: &Path) -> anyhow::Result<Option<Rival>> {
    const NAME: &str = "prometheus-node-exporter";
    let port = free_port()?;
    let mut command = Command::new(NAME);
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let Some(process) = run(&mut command, folder, NAME)? else {
        return Ok(None);
    };
    answering(Rival {
        name: NAME,
        process,
        port: Some(port),
        path: "/metrics",
        scraped: true,
    })
}

/// With its plug-ins, keeping its samples in memory as it does by default for a while.
fn netdata(folder: &Path) -> anyhow::Result<Option<Rival>> {
    const NAME: &str = "netdata";
    let (home, port) = (folder.join(NAME), free_port()?);
    for part in ["cache", "lib", "log", "etc"] {
        fs::create_dir_all(home.join(part))?;
    }
    let at = |part: &str| home.join(part).display().to_string();
    let settings = format!(
        "[global]\nrun as user = root\nupdate every = 1\n\
         [directories]\ncache = {}\nlib = {}\nlog = {}\nconfig = {}\n\
         [web]\nbind to = 127.0.0.1:{port}\n[ml]\nenabled = no\n",
        at("cache"),
        at("lib"),
        at("log"),
        at("etc"),
    );
    let file = home.join("netdata.conf");
    fs::write(&file, settings)?;
    let mut command = Command::new(NAME);
    command
        .arg("-D")
        .arg("-P")
        .arg(home.join("pid"))
        .arg("-c")
        .arg(&file);
    let Some(process) = run(&mut command, folder, NAME)? else {
        return Ok(None);
    };
    answering(Rival {
        name: NAME,
        process,
        port: Some(port),
        path: "/api/v1/allmetrics?format=prometheus",
        scraped: false,
    })
}

/// With the plug-ins that see what the agent sees, writing to files.
fn collectd(folder: &Path) -> anyhow::Result<Option<Rival>> {
    const NAME: &str = "collectd";
    const PLUGINS: [&str; 13] = [
        "cpu",
        "df",
        "disk",
        "interface",
        "irq",
        "load",
        "memory",
        "processes",
        "protocols",
        "swap",
        "tcpconns",
        "vmem",
        "csv",
    ];
    let home = folder.join(NAME);
    fs::create_dir_all(&home)?;
    let mut settings = format!(
        "BaseDir \"{0}\"\nPIDFile \"{0}/pid\"\nInterval 1\nFQDNLookup false\nTypesDB \"/usr/share/collectd/types.db\"\n",
        home.display()
    );
    for plugin in PLUGINS {
        settings.push_str(&format!("LoadPlugin {plugin}\n"));
    }
    settings.push_str(&format!(
        "<Plugin csv>\nDataDir \"{}/csv\"\n</Plugin>\n<Plugin tcpconns>\nAllPortsSummary true\n</Plugin>\n",
        home.display()
    ));
    let file = home.join("collectd.conf");
    fs::write(&file, settings)?;
    let mut command = Command::new(NAME);
    command.arg("-f").arg("-C").arg(&file);
    Ok(run(&mut command, folder, NAME)?.map(|process| Rival {
        name: NAME,
        process,
        port: None,
        path: "",
        scraped: false,
    }))
}

/// Writing its raw file.
fn atop(folder: &Path) -> anyhow::Result<Option<Rival>> {
    const NAME: &str = "atop";
    let mut command = Command::new(NAME);
    command.arg("-w").arg(folder.join("atop.raw")).arg("1");
    Ok(run(&mut command, folder, NAME)?.map(|process| Rival {
        name: NAME,
        process,
        port: None,
        path: "",
        scraped: false,
    }))
}

fn answering(rival: Rival) -> anyhow::Result<Option<Rival>> {
    let deadline = Instant::now() + WITHIN;
    while let Err(error) = rival.series() {
        ensure!(
            Instant::now() < deadline,
            "{} did not answer in time: {error:#}",
            rival.name
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(Some(rival))
}

/// One request over plain HTTP, its answer read to the end.
fn ask(port: u16, path: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut reply = Vec::new();
    stream.take(ANSWER_LIMIT).read_to_end(&mut reply)?;
    let reply = String::from_utf8_lossy(&reply);
    let (head, body) = reply.split_once("\r\n\r\n").context("no answer")?;
    if !head.starts_with("HTTP/1.0 200") && !head.starts_with("HTTP/1.1 200") {
        bail!("the request was refused");
    }
    Ok(body.to_owned())
}

/// CPU time and resident memory of a process with all that it has started.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    pub cpu_seconds: f64,
    pub resident_bytes: f64,
}

/// What a process has used, its children with it.
///
/// # Errors
/// When it is gone.
pub fn usage(pid: u32) -> anyhow::Result<Usage> {
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    let page = rustix::param::page_size() as f64;
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    let mut own = HashMap::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        // Gone meanwhile.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        let rest = stat.rsplit(')').next().context("malformed stat")?;
        let fields: Vec<f64> = rest
            .split_whitespace()
            .skip(1)
            .map_while(|f| f.parse().ok())
            .collect();
        ensure!(fields.len() > 20, "short stat");
        children.entry(fields[0] as u32).or_default().push(pid);
        // Its own time, and that of children that it has waited for.
        own.insert(
            pid,
            Usage {
                cpu_seconds: fields[10..14].iter().sum::<f64>() / ticks,
                resident_bytes: fields[20] * page,
            },
        );
    }
    let mut all = Usage::default();
    let mut queue = vec![pid];
    ensure!(own.contains_key(&pid), "process {pid} has ended");
    while let Some(pid) = queue.pop() {
        if let Some(usage) = own.get(&pid) {
            all.cpu_seconds += usage.cpu_seconds;
            all.resident_bytes += usage.resident_bytes;
        }
        queue.extend(children.remove(&pid).unwrap_or_default());
    }
    Ok(all)
}
