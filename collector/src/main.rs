//! `firstlook-collector`: takes in what agents see, and says which component is failing, and why.

mod analysis;
mod app;
mod bearer;
mod catalogue;
mod checkpoints;
mod config;
mod configs;
mod contacts;
mod diagnosis;
mod graph;
mod housekeeping;
mod kept_lines;
mod ledger;
mod office;
mod recovery;
mod registry;
mod replay;
mod snapshots;
mod think;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};

use crate::config::{Home, RunOptions};

/// Takes in what Firstlook agents see, and says which component is failing, and why.
#[derive(Debug, Parser)]
#[command(name = "firstlook-collector", version, max_term_width = 80)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make the authority and the first responder's credentials; safe to repeat
    Init {
        /// Where the collector keeps everything
        #[arg(long, value_name = "DIR")]
        data_dir: PathBuf,
        /// Name or address by which agents and responders reach it; may be repeated
        #[arg(long, value_name = "NAME_OR_IP")]
        address: Vec<String>,
    },
    /// Run until stopped; makes what is missing first
    Run(RunOptions),
    /// Rank the components of recorded incidents, and score the ranking where the truth is given
    Replay(replay::ReplayOptions),
    /// Let people and tools ask
    #[command(subcommand)]
    Responder(Responder),
}

#[derive(Debug, Subcommand)]
enum Responder {
    /// Make credentials for a responder: a certificate for a year in DATA_DIR/responders/NAME
    Add {
        /// Who
        name: String,
        /// Where the collector keeps everything
        #[arg(long, value_name = "DIR")]
        data_dir: PathBuf,
        /// Print a bearer token instead; it is shown once
        #[arg(long)]
        bearer: bool,
    },
}

fn main() -> ExitCode {
    firstlook_runtime::telemetry::init();
    match dispatch(Args::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Init { data_dir, address } => {
            let home = Home::open(&data_dir, &address)?;
            say(&format!(
                "responder's credentials: {}\n",
                home.responder_dir().display()
            ))
        }
        Command::Run(options) => {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build();
            runtime.context("cannot start")?.block_on(app::run(options))
        }
        Command::Replay(options) => say(&replay::run(&options)?),
        Command::Responder(Responder::Add {
            name,
            data_dir,
            bearer,
        }) => {
            let home = Home::open(&data_dir, &[])?;
            if bearer {
                let token = bearer::add(&home.bearer_file(), &name)?;
                return say(&format!("{token}\n"));
            }
            let dir = home.add_responder(&name)?;
            say(&format!("{}\n", dir.display()))
        }
    }
}

fn say(text: &str) -> anyhow::Result<()> {
    std::io::stdout()
        .write_all(text.as_bytes())
        .context("cannot write")
}
