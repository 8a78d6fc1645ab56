//! The product as people run it: a collector, an agent that joined it, and the responder's command.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::process::{Held, free_port, hold};

/// How long the collector or the agent may take to begin.
const WITHIN: Duration = Duration::from_secs(30);
/// How often it is asked whether it has.
const ASK_EVERY: Duration = Duration::from_millis(200);
/// What the agent calls its host.
pub const HOST: &str = "bench";

/// A collector, and an agent that joined it. Ends with its handle.
pub struct Product {
    bin_dir: PathBuf,
    folder: PathBuf,
    responders: u16,
    _collector: Held,
}

impl Product {
    /// Starts a collector with all it keeps in `folder`, and lets an agent join it.
    ///
    /// # Errors
    /// When a program cannot be started or does not answer.
    pub fn start(bin_dir: &Path, folder: &Path) -> anyhow::Result<Self> {
        let (agents, responders) = (free_port()?, free_port()?);
        let collector = hold(
            Command::new(bin_dir.join("firstlook-collector"))
                .arg("run")
                .arg("--data-dir")
                .arg(folder.join("collector"))
                .args(["--listen", &format!("127.0.0.1:{agents}")])
                .args(["--query-listen", &format!("127.0.0.1:{responders}")])
                .stderr(File::create(folder.join("collector.log"))?),
        )?;
        let product = Self {
            bin_dir: bin_dir.to_owned(),
            folder: folder.to_owned(),
            responders,
            _collector: collector,
        };
        let token = product.until("the collector did not answer", || {
            let reply = product.ask(&["tokens", "create"])?;
            Ok(reply.and_then(|reply| Some(reply["token"].as_str()?.to_owned())))
        })?;
        let url = format!("https://127.0.0.1:{agents}");
        let joined = product
            .agent()
            .args(["join", &url, "--token", &token, "--name", HOST])
            .arg("--state-dir")
            .arg(product.state_dir())
            .stderr(File::create(folder.join("join.log"))?)
            .status()?;
        ensure!(joined.success(), "the agent could not join");
        Ok(product)
    }

    /// Where the agent keeps its identity and its journal.
    pub fn state_dir(&self) -> PathBuf {
        self.folder.join("agent")
    }

    /// Starts the agent with this configuration.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run_agent(&self, config: &str) -> anyhow::Result<Held> {
        let file = self.folder.join("agent.toml");
        fs::write(&file, config)?;
        hold(
            self.agent()
                .arg("run")
                .arg("--config")
                .arg(file)
                .arg("--state-dir")
                .arg(self.state_dir())
                // As its unit does.
                .env("MALLOC_ARENA_MAX", "1")
                .stderr(File::create(self.folder.join("agent.log"))?),
        )
    }

    /// Waits until the collector hears the agent.
    ///
    /// # Errors
    /// When it does not in time.
    pub fn reporting(&self) -> anyhow::Result<()> {
        self.until("the agent did not report", || {
            let hosts = self.ask(&["hosts"])?;
            let reports = hosts.is_some_and(|h| h["hosts"][0]["state"] == "reporting");
            Ok(reports.then_some(()))
        })
    }

    /// Asks the collector by the responder's command; `None` where it gives no JSON.
    ///
    /// # Errors
    /// When the command cannot be started.
    pub fn ask(&self, words: &[&str]) -> anyhow::Result<Option<Value>> {
        let output = Command::new(self.bin_dir.join("firstlook"))
            .args(["--json", "--collector"])
            .arg(format!("https://127.0.0.1:{}", self.responders))
            .arg("--credentials")
            .arg(self.folder.join("collector/responder"))
            .args(words)
            .output()
            .context("starting firstlook")?;
        Ok(serde_json::from_slice(&output.stdout).ok())
    }

    /// What the collector counts under a name.
    ///
    /// # Errors
    /// When it does not answer or counts no such thing.
    pub fn counter(&self, name: &str) -> anyhow::Result<u64> {
        let status = self.ask(&["status"])?.context("no status")?;
        let count = status["counters"][name].as_u64();
        count.with_context(|| format!("the collector counts no {name}"))
    }

    fn agent(&self) -> Command {
        Command::new(self.bin_dir.join("firstlook-agent"))
    }

    fn until<T>(
        &self,
        else_say: &str,
        mut look: impl FnMut() -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<T> {
        let deadline = Instant::now() + WITHIN;
        loop {
            if let Some(found) = look()? {
                return Ok(found);
            }
            ensure!(Instant::now() < deadline, "{else_say} in time");
            std::thread::sleep(ASK_EVERY);
        }
    }
}
