//! `firstlook-agent`: watches one host and streams what it sees to a collector.

mod app;
mod check;
mod config;
mod cost;
mod exposed;
mod intake;
mod lines;
mod listeners;
mod observe;
mod own;
mod received;
mod recent;
mod remote;
mod requests;
mod spool;
mod strain;

use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand};
use firstlook_model::HostId;
use firstlook_runtime::Signals;
use firstlook_uplink::{JoinError, JoinRequest};

use crate::check::Check;
use crate::config::{Config, DEFAULT_CONFIG, DEFAULT_STATE_DIR};

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 usage, 4 refused or not trusted, \
    5 joined already or name taken, 7 collector not reached, or not everything can be seen";
const CANNOT_SEE: u8 = 7;
/// How long what blocks, as a write to a disk that does not answer, may hold up the end.
const END_WITHIN: Duration = Duration::from_secs(1);

/// Watches this host and streams what it sees to a Firstlook collector. Never acts by itself.
#[derive(Debug, Parser)]
#[command(name = "firstlook-agent", version, max_term_width = 80, after_help = EXIT_CODES)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Join a collector with a one-time token
    Join {
        /// The collector's address for agents, as https://collector:9443
        url: String,
        /// Token from `firstlook tokens create`
        #[arg(long, env = "FIRSTLOOK_JOIN_TOKEN", hide_env_values = true)]
        token: String,
        /// Where the agent keeps its identity and journal
        #[arg(long, default_value = DEFAULT_STATE_DIR, value_name = "DIR")]
        state_dir: PathBuf,
        /// Name wished for; this host's own name unless told
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
    },
    /// Say what can and cannot be seen on this host, and what would mend it
    Check {
        /// Configuration; without it, the default file if it is there
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Print a JSON document
        #[arg(long)]
        json: bool,
    },
    /// Watch and stream until stopped
    Run {
        /// Configuration; without it, the default file if it is there
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Where the agent keeps its identity and journal; over the configuration
        #[arg(long, value_name = "DIR")]
        state_dir: Option<PathBuf>,
        /// Look once, print what was seen, and end: no collector is needed, and nothing is kept
        #[arg(long, requires = "json")]
        once: bool,
        /// With --once: print a JSON document
        #[arg(long, requires = "once")]
        json: bool,
    },
}

fn main() -> ExitCode {
    firstlook_runtime::telemetry::init();
    let args = Args::parse();
    // One thread: what blocks has threads of its own, and the agent is to be small.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let result = runtime.context("cannot start").and_then(|runtime| {
        let result = runtime.block_on(async {
            match args.command {
                Command::Join {
                    url,
                    token,
                    state_dir,
                    name,
                } => join(url, token, state_dir, name).await,
                Command::Check { config, json } => check(config, json).await,
                Command::Run {
                    config,
                    state_dir,
                    once: true,
                    ..
                } => once(settings(config, state_dir)?).await,
                Command::Run {
                    config, state_dir, ..
                } => run(config, state_dir).await,
            }
        });
        runtime.shutdown_timeout(END_WITHIN);
        result
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<Hidden>() => ExitCode::from(CANNOT_SEE),
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::from(exit_code(&error))
        }
    }
}

/// As [`EXIT_CODES`] says.
fn exit_code(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<JoinError>() {
        Some(JoinError::Token | JoinError::Address(_)) => 2,
        Some(JoinError::Refused(_) | JoinError::Untrusted { .. } | JoinError::Authority) => 4,
        Some(JoinError::Joined(_) | JoinError::NameTaken(_)) => 5,
        Some(JoinError::Unreachable { .. }) => 7,
        _ => 1,
    }
}

async fn join(
    collector: String,
    token: String,
    state_dir: PathBuf,
    name: Option<String>,
) -> anyhow::Result<()> {
    let name = match name {
        Some(name) => HostId::new(name).context("--name cannot be used")?,
        None => own_name().context("this host's own name cannot be used: say --name NAME")?,
    };
    let identity = firstlook_uplink::join(
        JoinRequest {
            collector,
            token,
            name,
        },
        &state_dir,
    )
    .await?;
    tracing::info!(host = %identity.host, collector = identity.collector, "joined");
    Ok(())
}

/// The host's own name, in lower case.
fn own_name() -> anyhow::Result<HostId> {
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .to_lowercase();
    Ok(HostId::new(name)?)
}

async fn run(config: Option<PathBuf>, state_dir: Option<PathBuf>) -> anyhow::Result<()> {
    // First: what is asked from here on ends cleanly.
    let signals = Signals::install().context("signals cannot be received")?;
    app::run(settings(config, state_dir)?, signals).await
}

fn settings(config: Option<PathBuf>, state_dir: Option<PathBuf>) -> anyhow::Result<Config> {
    let mut settings = match config {
        Some(path) => Config::read(&path)?,
        None => Config::read_default(DEFAULT_CONFIG.as_ref())?,
    };
    if let Some(dir) = state_dir {
        settings.state_dir = dir;
    }
    Ok(settings)
}

/// The name that this host joined with, or its own.
fn name(settings: &Config) -> anyhow::Result<HostId> {
    check::joined_name(&settings.state_dir)
        .map_or_else(own_name, Ok)
        .context("this host's own name cannot be used")
}

async fn once(settings: Config) -> anyhow::Result<()> {
    let host = name(&settings)?;
    let seen = observe::observe(&settings, &host).await?;
    print(&format!("{:#}\n", seen.document(&host)))
}

async fn check(config: Option<PathBuf>, json: bool) -> anyhow::Result<()> {
    let settings = settings(config, None)?;
    let host = name(&settings)?;
    let seen = observe::observe(&settings, &host).await?;
    let check = Check::of(host, &seen, &settings)?;
    print(&match json {
        true => format!("{:#}\n", check.document()),
        false => check.text(),
    })?;
    if check.is_whole() {
        Ok(())
    } else {
        Err(Hidden.into())
    }
}

/// A closed pipe is no failure.
fn print(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        printed => Ok(printed?),
    }
}

/// Something cannot be seen: it was told already.
#[derive(Debug, thiserror::Error)]
#[error("not everything can be seen")]
struct Hidden;
