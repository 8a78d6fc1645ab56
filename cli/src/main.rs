//! `firstlook`: the responder's command. Asks a collector and shows what it says.

mod args;
mod client;
mod commands;
mod config;
mod exit;
mod json;
mod render;
mod when;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;

use crate::args::Args;
use crate::exit::{Exit, Failure};

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return complain(&Failure::failed(format!("cannot start: {error}"))),
    };
    match runtime.block_on(commands::run(args, std::io::stdout().is_terminal())) {
        Ok(answer) => show(&answer),
        Err(failure) => complain(&failure),
    }
}

/// What a command has to say, and how it went.
pub(crate) struct Answer {
    text: String,
    /// What a person must know beside it: for standard error.
    notes: Vec<String>,
    exit: Exit,
}

impl Answer {
    pub(crate) fn done(text: String) -> Self {
        Self::with_exit(text, Exit::Done)
    }

    pub(crate) fn with_exit(text: String, exit: Exit) -> Self {
        Self {
            text,
            notes: Vec::new(),
            exit,
        }
    }

    pub(crate) fn with_notes(text: String, notes: Vec<String>) -> Self {
        Self {
            notes,
            ..Self::done(text)
        }
    }
}

fn show(answer: &Answer) -> ExitCode {
    for note in &answer.notes {
        tell(note);
    }
    let mut out = std::io::stdout().lock();
    match out
        .write_all(answer.text.as_bytes())
        .and_then(|()| out.flush())
    {
        Ok(()) => answer.exit.into(),
        // Whoever read has seen enough, as `firstlook logs | head` has.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => answer.exit.into(),
        Err(error) => complain(&Failure::failed(format!("cannot write: {error}"))),
    }
}

fn complain(failure: &Failure) -> ExitCode {
    tell(&failure.message);
    failure.exit.into()
}

fn tell(message: &str) {
    let text = format!("firstlook: {}\n", render::text::escape(message));
    // Nothing is left to do when even that cannot be written.
    let _ = std::io::stderr().write_all(text.as_bytes());
}
