//! The command line as it is parsed. Completion and man pages are made from here too.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

const EXIT_CODES: &str = "\
Exit codes:
  0 done   1 failed   2 usage   3 not found
  4 refused (the message says by what, and whom to ask)   5 conflict
  6 --check found an open incident, or lint what is wrong
  7 cannot see or reach";

/// Know which component is failing, and why, before anyone logs in to a server.
///
/// Without a command, shows the situation now, as `firstlook status` does.
#[derive(Debug, Parser)]
#[command(name = "firstlook", version, after_help = EXIT_CODES, max_term_width = 80)]
pub struct Args {
    /// Where to ask and how to show it.
    #[command(flatten)]
    pub global: Global,
    /// What to ask.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Options of every command.
#[derive(Clone, Debug, clap::Args)]
pub struct Global {
    /// The collector's address for responders, as https://collector:9444
    #[arg(long, global = true, env = "FIRSTLOOK_COLLECTOR", value_name = "URL")]
    pub collector: Option<String>,
    /// Folder with ca.pem, cert.pem and key.pem; with a token, ca.pem is enough
    #[arg(long, global = true, env = "FIRSTLOOK_CREDENTIALS", value_name = "DIR")]
    pub credentials: Option<PathBuf>,
    /// Bearer token, instead of a certificate
    #[arg(long, global = true, env = "FIRSTLOOK_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Print the versioned JSON of docs/json.md instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// When to colour; NO_COLOR is obeyed
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto)]
    pub color: Color,
}

/// When to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// A span of time, the last hour unless told.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Span {
    /// From when: RFC 3339, HH:MM or HH:MM:SS today in UTC, or an age such as 90s, 15m, 2h, 1d
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Until when, in the same forms; now unless told
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
}

/// What to ask.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the situation now: open incidents, hosts, blind spots
    Status {
        /// Exit with 6 when an incident is open
        #[arg(long)]
        check: bool,
    },
    /// List hosts: who reports, who is silent, what each cannot see; or shut one out
    #[command(args_conflicts_with_subcommands = true)]
    Hosts {
        #[command(subcommand)]
        command: Option<Hosts>,
        /// Only this host, in full
        host: Option<String>,
    },
    /// Show the verdict: suspects with the facts for and against, what is ruled out, what cannot be seen
    Why {
        /// Incident (INC-0042) or component (service:db1/postgresql.service, or db1); the worst open incident unless told
        about: Option<String>,
        /// Open the raw observations behind the fact of this number
        #[arg(long, value_name = "N")]
        open: Option<usize>,
        /// Exit with 6 when the incident is open
        #[arg(long)]
        check: bool,
    },
    /// Show components and the observed dependencies between them, with their health
    Map {
        /// Only what touches this component or host
        about: Option<String>,
        /// Only the edge to this component
        #[arg(long, value_name = "COMPONENT")]
        to: Option<String>,
        /// Include healthy parts when something is broken
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        span: Span,
    },
    /// Show log lines, oldest first
    Logs {
        /// Component or host; all unless told
        about: Option<String>,
        /// Only lines of this template
        #[arg(long, value_name = "ID")]
        template: Option<String>,
        /// Only lines at least this grave
        #[arg(long, value_enum, value_name = "SEVERITY")]
        severity: Option<SeverityArg>,
        /// Only lines that hold this text, in any case
        #[arg(long, value_name = "TEXT")]
        contains: Option<String>,
        /// At most this many lines, the newest
        #[arg(long, short = 'n', default_value_t = 200, value_name = "N",
              value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
        /// Read again what the component's host itself keeps, sent or not
        #[arg(long, requires = "about", conflicts_with = "template")]
        from_host: bool,
        #[command(flatten)]
        span: Span,
    },
    /// Show metrics: the list of a component's signals, or one signal over time
    Metrics {
        /// Component or host
        about: String,
        /// Signal, as filesystem.available_bytes, or a prefix that ends in *; lists all unless told
        signal: Option<String>,
        #[command(flatten)]
        span: Span,
    },
    /// Show what was changed, and how units changed state
    Changes {
        /// Component or host; all unless told
        about: Option<String>,
        #[command(flatten)]
        span: Span,
    },
    /// Tell of a change that no agent sees, as a deployment
    #[command(subcommand)]
    Change(Change),
    /// Make, list and revoke one-time tokens by which hosts join
    #[command(subcommand)]
    Tokens(Tokens),
    /// Take and keep snapshots of a host's state: what a fix would destroy
    #[command(subcommand)]
    Snapshot(Snapshot),
    /// Have your own idea of an incident weighed by the facts, as the engine weighs its own
    #[command(subcommand)]
    Theory(Theory),
    /// Keep an incident as a case, a folder that `firstlook-collector replay` reads, so that it can become a test
    #[command(subcommand)]
    Case(Case),
    /// Show kinds of faults that are known, or look over a team's own before the collector takes them
    #[command(subcommand)]
    Catalogue(Catalogue),
    /// Configure agents by groups of hosts; each agent tries a version out, and takes it back where it does worse
    #[command(subcommand)]
    Config(Config),
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Write man pages into a folder
    Man {
        /// Where
        dir: PathBuf,
    },
}

/// Severities to filter by.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum SeverityArg {
    /// Everything.
    Debug,
    /// Routine.
    Info,
    /// Unusual.
    Warning,
    /// Failed.
    Error,
    /// Cannot go on.
    Critical,
}

/// What can be done to a host's membership.
#[derive(Debug, Subcommand)]
pub enum Hosts {
    /// Shut a host out at once: its session ends, its certificates are void
    ///
    /// Only a new join token lets it in again. What it reported stays.
    Revoke {
        /// Which host
        host: String,
        /// Why, for the audit
        #[arg(long, default_value = "", value_name = "TEXT")]
        reason: String,
    },
}

/// What can be told of changes.
#[derive(Debug, Subcommand)]
pub enum Change {
    /// Announce a change: verdicts weigh it like one that an agent saw
    ///
    /// Announcing the same again under the same --id changes nothing, so a pipeline may be run twice.
    ///
    /// With --kind accepted it says that what the component does now is as it should be: what was usual of it is forgotten,
    /// and learned anew within a minute or so; symptoms that rest on that alone end. A host is accepted with all that lives
    /// on it. It does nothing for what is measured against a fixed limit, failed, refused, silent or expired, and it is never
    /// blamed.
    Add {
        /// What was changed: a component, as app1/shop.service, or a host
        about: String,
        /// One line: what was done, as "shop 1.4.2 deployed"
        text: String,
        /// What sort of change
        #[arg(long, value_enum, default_value_t = ChangeSort::Deploy)]
        kind: ChangeSort,
        /// The announcer's own id of it, as of a pipeline; one is drawn unless told
        #[arg(long, value_name = "ID")]
        id: Option<String>,
        /// When, as with --since; now unless told
        #[arg(long, value_name = "TIME")]
        at: Option<String>,
        /// File with more, as a diff, at most 64 KiB; - for standard input
        #[arg(long, value_name = "FILE")]
        detail: Option<PathBuf>,
    },
}

/// Sorts of changes that people announce.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ChangeSort {
    /// A new release.
    Deploy,
    /// A package.
    Package,
    /// A unit file.
    UnitFile,
    /// A configuration file.
    ConfigFile,
    /// A program file.
    Binary,
    /// A restart.
    Restart,
    /// A setting.
    Setting,
    /// What runs by the clock.
    Schedule,
    /// A certificate.
    Certificate,
    /// A container's image.
    Image,
    /// None: what it does now is as it should be, and is learned as usual.
    Accepted,
}

/// Tokens.
#[derive(Debug, Subcommand)]
pub enum Tokens {
    /// Make a token: it joins one host within ten minutes and is shown once
    Create {
        /// Bind it to this host name
        #[arg(long, value_name = "NAME")]
        host: Option<String>,
        /// The bound name may be taken over from a host that is enrolled already
        #[arg(long, requires = "host")]
        replace: bool,
    },
    /// List tokens
    List,
    /// Make a token void
    Revoke {
        /// Its id from the list
        id: String,
    },
}

/// Configurations of agents.
#[derive(Debug, Subcommand)]
pub enum Config {
    /// Make a group, or a new version of its configuration
    ///
    /// Agents check it again, try it out, and say how it fares. What is wrong in it is refused, and nothing changes.
    Set {
        /// Which group
        group: String,
        /// TOML with the sections logs, budget and redact; - for standard input
        file: PathBuf,
        /// Names of hosts, in which * stands for any text, as 'web*'; as before unless told
        #[arg(long, value_name = "PATTERN", num_args = 1..)]
        hosts: Vec<String>,
        /// Why, for the record
        #[arg(long, default_value = "", value_name = "TEXT")]
        reason: String,
    },
    /// List groups, and on how many of their hosts the present version runs
    List,
    /// Show the present version of a group, or what is wanted of a host, and how it fares there
    Show {
        /// Which group
        #[arg(required_unless_present = "host", conflicts_with = "host")]
        group: Option<String>,
        /// Which host, instead of a group
        #[arg(long, value_name = "HOST")]
        host: Option<String>,
    },
    /// List the versions of a group, the newest first
    History {
        /// Which group
        group: String,
    },
    /// Make a new version of what an earlier one said
    Revert {
        /// Which group
        group: String,
        /// Which version; the one before the present unless told
        version: Option<u64>,
        /// Why, for the record
        #[arg(long, default_value = "", value_name = "TEXT")]
        reason: String,
    },
    /// Remove a group with all its versions: its hosts go back to their own files
    Remove {
        /// Which group
        group: String,
        /// Why, for the audit
        #[arg(long, default_value = "", value_name = "TEXT")]
        reason: String,
    },
}

/// Theories.
#[derive(Debug, Subcommand)]
pub enum Theory {
    /// Weigh a theory about an open incident, and keep it there for the others
    Add {
        /// Which incident, as INC-0042
        incident: String,
        /// What may be failing: a component, as service:db1/postgresql.service, or a host
        component: String,
        /// How, as `firstlook catalogue list` names it; what explains most there unless told
        fault: Option<String>,
    },
    /// List the theories about an incident, the most probable first; about an open one weighed by what is seen now
    List {
        /// Which incident; the worst open one unless told
        incident: Option<String>,
    },
}

/// Cases.
#[derive(Debug, Subcommand)]
pub enum Case {
    /// Write an incident's series, calls, log lines and changes into a folder
    ///
    /// The folder appears whole or not at all. What the engine made of the incident is not in it.
    Export {
        /// Which incident, as INC-0042
        incident: String,
        /// Folder to write; must be empty, or not be there; named after the incident unless told
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        /// How much of the time before the incident goes with it: what is usual is learnt from there
        #[arg(long, default_value_t = 15, value_name = "MINUTES",
              value_parser = clap::value_parser!(u32).range(1..=1_440))]
        before: u32,
        /// What was failing, once a person knows it: replay scores itself by it
        #[arg(long, value_name = "COMPONENT")]
        truth: Option<String>,
        /// And in which manner, as `firstlook catalogue list` names it
        #[arg(long, value_name = "FAULT", requires = "truth")]
        fault: Option<String>,
    },
}

/// The catalogue of faults.
#[derive(Debug, Subcommand)]
pub enum Catalogue {
    /// List kinds of faults
    List,
    /// Show what a kind of fault shows and where, what speaks against it, and how to confirm it
    Explain {
        /// Which, as disk-full
        fault: String,
    },
    /// Look over a team's files as the collector would read them; nothing changes
    Lint {
        /// TOML files, or folders of them
        #[arg(required = true, value_name = "FILE_OR_DIR")]
        files: Vec<PathBuf>,
    },
}

/// Snapshots.
#[derive(Debug, Subcommand)]
pub enum Snapshot {
    /// Ask a host's agent for the state that a fix would destroy
    Take {
        /// Which host
        host: String,
        /// Why, for the record
        #[arg(long, default_value = "", value_name = "TEXT")]
        reason: String,
    },
    /// List snapshots
    List {
        /// Only this host
        host: Option<String>,
    },
    /// Show what a snapshot holds and what could not be had
    Show {
        /// Its id from the list
        id: String,
    },
    /// Check every hash of a snapshot on the collector
    Verify {
        /// Its id from the list
        id: String,
    },
    /// Copy a snapshot's archive here
    Fetch {
        /// Its id from the list
        id: String,
        /// File to write; ID.tar.zst unless told
        #[arg(long, short = 'o', value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
