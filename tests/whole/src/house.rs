//! A collector with its folder, and its responder.

use std::collections::HashSet;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use firstlook_enrol::Authority;
use firstlook_model::Timestamp;
use serde_json::Value;
use tempfile::TempDir;

use crate::binaries::program;
use crate::papers::Papers;
use crate::process::Process;
use crate::small_disk::SmallDisk;
use crate::wait::until;

/// Ports below those that the kernel gives to clients: while a collector is away, nobody else may get its port.
const PORTS: std::ops::Range<u16> = 10_240..32_000;

/// What a command said, and how it ended.
#[derive(Debug)]
pub struct Said {
    /// Exit code; -1 for a signal.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// A collector, its data, and a responder's credentials. Ends with its handle.
pub struct House {
    folder: TempDir,
    agents: u16,
    responders: u16,
    collector: Option<Process>,
    disk: Option<SmallDisk>,
    options: Vec<String>,
}

impl House {
    /// A folder and ports; nothing runs.
    pub fn empty() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        Self {
            folder,
            agents: free_port(),
            responders: free_port(),
            collector: None,
            disk: None,
            options: Vec::new(),
        }
    }

    /// A collector that runs.
    pub fn open() -> Self {
        let mut house = Self::empty();
        house.start();
        house
    }

    /// A collector that runs with its data on a disk of so many MiB.
    pub fn on_small_disk(mib: u32) -> Self {
        let mut house = Self::empty();
        house.disk = Some(SmallDisk::over(&house.path("data"), mib));
        house.start();
        house
    }

    /// A collector that runs with further options.
    pub fn with_options(options: &[&str]) -> Self {
        let mut house = Self::empty();
        house.options = options.iter().map(|option| (*option).to_owned()).collect();
        house.start();
        house
    }

    /// The disk of [`House::on_small_disk`].
    ///
    /// # Panics
    /// When the data are not on one.
    pub fn disk(&self) -> &SmallDisk {
        self.disk.as_ref().expect("a house on a small disk")
    }

    /// Starts the collector and waits until it listens.
    ///
    /// # Panics
    /// When it ends instead.
    pub fn start(&mut self) {
        let before = self.log_text().matches("collector runs").count();
        let mut collector = self.launch();
        until("the collector", || {
            assert!(
                collector.runs(),
                "the collector ended: {}",
                collector.said()
            );
            (collector.said().matches("collector runs").count() > before).then_some(())
        });
        self.collector = Some(collector);
    }

    /// Starts the collector and gives it away, whatever becomes of it.
    pub fn launch(&self) -> Process {
        let mut command = Command::new(program("firstlook-collector"));
        command.arg("run").arg("--data-dir").arg(self.path("data"));
        command.args(["--listen", &format!("127.0.0.1:{}", self.agents)]);
        command.args(["--query-listen", &format!("127.0.0.1:{}", self.responders)]);
        command.args(&self.options);
        if let Some(disk) = &self.disk {
            command = disk.within(&command);
        }
        Process::start(&mut command, &self.log())
    }

    /// The collector.
    ///
    /// # Panics
    /// When it does not run.
    pub fn collector(&mut self) -> &mut Process {
        self.collector.as_mut().expect("the collector runs")
    }

    /// Ends the collector by SIGTERM.
    pub fn stop(&mut self) -> ExitStatus {
        self.collector.take().expect("the collector runs").stop()
    }

    /// Ends the collector by SIGKILL.
    pub fn kill(&mut self) {
        self.collector.take().expect("the collector runs").kill();
    }

    /// A path in this house's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The collector's data.
    pub fn data(&self) -> PathBuf {
        let disk = self.disk.as_ref();
        disk.map_or_else(|| self.path("data"), SmallDisk::seen)
    }

    /// Where agents connect.
    pub fn agents_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.agents)
    }

    /// The port where agents connect.
    pub fn agents_port(&self) -> u16 {
        self.agents
    }

    /// Where responders ask.
    pub fn responders_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.responders)
    }

    /// The collector's own authority, with its key.
    pub fn authority(&self) -> Authority {
        Authority::open(&self.data().join("authority"), now()).expect("the collector made it")
    }

    /// Papers of a host that the authority certifies but that never joined.
    pub fn papers(&self, host: &str) -> Papers {
        Papers::of_host(&self.authority(), host, now())
    }

    /// `firstlook` with `args`, as the first responder.
    pub fn ask(&self, args: &[&str]) -> Said {
        self.ask_as(&self.data().join("responder"), args)
    }

    /// `firstlook` with `args` and the credentials in a folder.
    pub fn ask_as(&self, credentials: &Path, args: &[&str]) -> Said {
        said(self.command(credentials).args(args))
    }

    /// `firstlook` in an environment of its own, told where and as whom to ask.
    pub fn command(&self, credentials: &Path) -> Command {
        let mut command = bare_command(self.folder.path());
        command.env("FIRSTLOOK_COLLECTOR", self.responders_url());
        command.env("FIRSTLOOK_CREDENTIALS", credentials);
        command
    }

    /// `firstlook --json` with `args`: the document, whose version and kind are checked.
    ///
    /// # Panics
    /// When the command fails or says something else.
    pub fn ask_json(&self, kind: &str, args: &[&str]) -> Value {
        let said = self.ask(&[args, &["--json"]].concat());
        assert_eq!((said.code, &*said.err), (0, ""), "{args:?}");
        document(kind, &said.out)
    }

    /// A counter of the collector; 0 where there is none of that name.
    pub fn counter(&self, name: &str) -> u64 {
        self.ask_json("status", &["status"])["counters"][name]
            .as_u64()
            .unwrap_or(0)
    }

    /// Waits until a counter is at least `least`.
    pub fn counted(&self, name: &str, least: u64) {
        until(name, || (self.counter(name) >= least).then_some(()));
    }

    /// A new join token.
    pub fn token(&self) -> String {
        let token = self.ask_json("token", &["tokens", "create"]);
        token["token"].as_str().expect("a token is text").to_owned()
    }

    /// `firstlook-agent join` with `token`; the identity goes into the folder `name`.
    pub fn join(&self, url: &str, token: &str, name: &str) -> Said {
        let mut command = Command::new(program("firstlook-agent"));
        command.args(["join", url, "--token", token, "--name", name, "--state-dir"]);
        said(command.arg(self.path(name)))
    }

    /// Joins as `name`, which must succeed, and gives the papers.
    pub fn admit(&self, name: &str) -> Papers {
        let said = self.join(&self.agents_url(), &self.token(), name);
        assert_eq!(said.code, 0, "{}", said.err);
        Papers::of_agent(&self.path(name))
    }

    fn log(&self) -> PathBuf {
        self.path("collector.log")
    }

    fn log_text(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }
}

/// `firstlook` that is told nothing, with an empty home.
pub fn bare_command(home: &Path) -> Command {
    let mut command = Command::new(program("firstlook"));
    for name in [
        "FIRSTLOOK_COLLECTOR",
        "FIRSTLOOK_CREDENTIALS",
        "NO_COLOR",
        "XDG_CONFIG_HOME",
    ] {
        command.env_remove(name);
    }
    command.env("HOME", home);
    command
}

/// Runs a command to its end.
pub fn said(command: &mut Command) -> Said {
    let output = command.output().expect("the command can be run");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said {
        code: output.status.code().unwrap_or(-1),
        out: text(&output.stdout),
        err: text(&output.stderr),
    }
}

/// A document of `firstlook --json`.
///
/// # Panics
/// When it is not one of this kind and version 1.
pub fn document(kind: &str, text: &str) -> Value {
    let document: Value = serde_json::from_str(text).expect("a JSON document");
    assert_eq!(
        (&document["version"], &document["kind"]),
        (&1.into(), &kind.into()),
        "{text}"
    );
    document
}

/// The time.
pub fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

fn free_port() -> u16 {
    static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let given = given.get_or_insert_default();
    // Begins where other processes hardly begin, too.
    let seed = now().as_micros().unsigned_abs() ^ (u64::from(std::process::id()) << 7);
    let span = u64::from(PORTS.end - PORTS.start);
    (0..span)
        .filter_map(|step| u16::try_from((seed + step) % span).ok())
        .map(|offset| PORTS.start + offset)
        .find(|port| !given.contains(port) && TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .inspect(|port| {
            given.insert(*port);
        })
        .expect("a port is free")
}
