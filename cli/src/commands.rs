//! One file per command; each asks, then renders text or JSON.

mod case;
mod catalogue;
mod change;
mod changes;
mod config;
mod generate;
mod hosts;
mod logs;
mod map;
mod metrics;
mod open;
mod snapshot;
mod status;
mod theory;
mod tokens;
mod why;

use std::time::{SystemTime, UNIX_EPOCH};

use firstlook_model::Timestamp;

use crate::Answer;
use crate::args::{Args, Change, Color, Command, Hosts};
use crate::client::{self, Client, ConfigsClient, DiagnosisClient};
use crate::config::Target;
use crate::exit::Failure;
use crate::render::Style;

/// What every command works with.
pub(crate) struct Context {
    client: Client,
    configs: ConfigsClient,
    diagnosis: DiagnosisClient,
    json: bool,
    style: Style,
    now: Timestamp,
}

/// Runs the command that `args` names.
///
/// # Errors
/// [`Failure`] with the exit code to end with.
pub(crate) async fn run(args: Args, on_terminal: bool) -> Result<Answer, Failure> {
    let command = args.command.unwrap_or(Command::Status { check: false });
    match command {
        Command::Completions { shell } => return generate::completions(shell),
        Command::Man { dir } => return generate::man(&dir),
        _ => {}
    }
    let clients = client::connect(&Target::settle(&args.global)?).await?;
    let context = Context {
        client: clients.query,
        configs: clients.configs,
        diagnosis: clients.diagnosis,
        json: args.global.json,
        style: Style {
            color: colored(args.global.color, on_terminal),
        },
        now: now(),
    };
    ask(context, command).await
}

async fn ask(context: Context, command: Command) -> Result<Answer, Failure> {
    match command {
        Command::Status { check } => status::run(context, check).await,
        Command::Hosts {
            command: Some(Hosts::Revoke { host, reason }),
            ..
        } => hosts::revoke(context, host, reason).await,
        Command::Hosts { host, .. } => hosts::run(context, host).await,
        Command::Why { about, open, check } => why::run(context, about, open, check).await,
        Command::Map {
            about,
            to,
            all,
            span,
        } => map::run(context, about, to, all, span).await,
        Command::Logs {
            about,
            template,
            severity,
            contains,
            limit,
            from_host,
            span,
        } => {
            let filter = logs::Filter {
                about,
                template,
                severity,
                contains,
                limit,
                from_host,
            };
            logs::run(context, filter, span).await
        }
        Command::Metrics {
            about,
            signal,
            span,
        } => metrics::run(context, about, signal, span).await,
        Command::Changes { about, span } => changes::run(context, about, span).await,
        Command::Change(Change::Add {
            about,
            text,
            kind,
            id,
            at,
            detail,
        }) => {
            let announced = change::Announced {
                about,
                text,
                kind,
                id,
                at,
                detail,
            };
            change::add(context, announced).await
        }
        Command::Tokens(command) => tokens::run(context, command).await,
        Command::Config(command) => config::run(context, command).await,
        Command::Snapshot(command) => snapshot::run(context, command).await,
        Command::Theory(command) => theory::run(context, command).await,
        Command::Case(command) => case::run(context, command).await,
        Command::Catalogue(command) => catalogue::run(context, command).await,
        // Answered before connecting.
        Command::Completions { shell } => generate::completions(shell),
        Command::Man { dir } => generate::man(&dir),
    }
}

fn colored(color: Color, on_terminal: bool) -> bool {
    let wanted = std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    match color {
        Color::Auto => on_terminal && wanted,
        Color::Always => true,
        Color::Never => false,
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
