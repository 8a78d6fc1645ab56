//! The command line: what was typed (`Args`) and what is to be done (`Work`).

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};

use crate::drill::{CATALOGUE, Drill};
use crate::lab::plan::HostPlan;

/// Fire drills: real services on several hosts, real faults, scored verdicts
#[derive(Debug, Parser)]
#[command(name = "drills", version, args_conflicts_with_subcommands = true)]
pub struct Args {
    /// Drills to run, in this order; all when none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Print one JSON document on standard output instead of a table
    #[arg(long)]
    json: bool,
    /// List the drills named, or all, and end
    #[arg(long)]
    list: bool,
    /// Leave the lab up at the end, to look around in it
    #[arg(long)]
    keep: bool,
    /// Folder with firstlook, firstlook-agent and firstlook-collector
    #[arg(
        long,
        env = "FIRSTLOOK_BIN_DIR",
        value_name = "DIR",
        hide_env_values = true
    )]
    bin_dir: Option<PathBuf>,
    #[command(subcommand)]
    other: Option<Other>,
}

#[derive(Debug, Subcommand)]
enum Other {
    /// Prove the lab without the product: every fault has its effect, and heals
    LabCheck {
        /// Leave the lab up at the end
        #[arg(long)]
        keep: bool,
    },
    /// Remove what a crashed or kept run left behind
    Clean,
    /// Run a command in a host of the lab that is up
    Enter {
        /// The host's name
        host: String,
        /// The command and its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<String>,
    },
    /// Wait for standard input to end, then clean up (started by a run for itself)
    #[command(hide = true)]
    Reap,
}

/// What is to be done, every name resolved.
#[derive(Debug)]
pub enum Work {
    /// Name the drills.
    List {
        drills: Vec<&'static Drill>,
        json: bool,
    },
    /// Run these drills, in this order.
    Drills {
        drills: Vec<&'static Drill>,
        json: bool,
        keep: bool,
        bin_dir: Option<PathBuf>,
    },
    /// Prove the lab without the product.
    LabCheck { keep: bool },
    /// Remove leftovers.
    Clean,
    /// Run a command in a host.
    Enter {
        host: &'static HostPlan,
        command: Vec<String>,
    },
    /// Guard a run.
    Reap,
}

impl Args {
    /// Resolves names.
    ///
    /// # Errors
    /// A usage error for a name that no drill or host has.
    pub fn into_work(self) -> Result<Work, clap::Error> {
        match self.other {
            Some(Other::LabCheck { keep }) => Ok(Work::LabCheck { keep }),
            Some(Other::Clean) => Ok(Work::Clean),
            Some(Other::Reap) => Ok(Work::Reap),
            Some(Other::Enter { host, command }) => match HostPlan::named(&host) {
                Some(host) => Ok(Work::Enter { host, command }),
                None => Err(usage(&format!("no host is called '{host}'"))),
            },
            None if self.list => Ok(Work::List {
                drills: resolve(&self.names)?,
                json: self.json,
            }),
            None => Ok(Work::Drills {
                drills: resolve(&self.names)?,
                json: self.json,
                keep: self.keep,
                bin_dir: self.bin_dir,
            }),
        }
    }
}

fn resolve(names: &[String]) -> Result<Vec<&'static Drill>, clap::Error> {
    if names.is_empty() {
        return Ok(CATALOGUE.iter().collect());
    }
    names
        .iter()
        .map(|name| {
            CATALOGUE
                .iter()
                .find(|drill| drill.name == name)
                .ok_or_else(|| {
                    let known: Vec<&str> = CATALOGUE.iter().map(|drill| drill.name).collect();
                    usage(&format!(
                        "no drill is called '{name}'; there are {}",
                        known.join(", ")
                    ))
                })
        })
        .collect()
}

fn usage(message: &str) -> clap::Error {
    Args::command().error(ErrorKind::InvalidValue, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(line: &str) -> Result<Work, clap::Error> {
        Args::try_parse_from(std::iter::once("drills").chain(line.split_whitespace()))?.into_work()
    }

    fn drills(line: &str) -> Vec<&'static str> {
        match work(line).unwrap() {
            Work::Drills { drills, .. } => drills.iter().map(|drill| drill.name).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn no_name_means_every_drill() {
        assert_eq!(drills("").len(), CATALOGUE.len());
    }

    #[test]
    fn named_drills_run_in_the_order_given() {
        assert_eq!(
            drills("packet-loss disk-full"),
            ["packet-loss", "disk-full"]
        );
    }

    #[test]
    fn an_unknown_name_is_a_usage_error_that_names_the_known() {
        let error = work("disk-fill").unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("disk-full"), "{error}");
        assert_eq!(work("--list disk-fill").unwrap_err().exit_code(), 2);
    }

    #[test]
    fn options_of_a_drill_run_do_not_mix_with_the_other_commands() {
        assert_eq!(work("--json clean").unwrap_err().exit_code(), 2);
        assert!(matches!(
            work("lab-check --keep").unwrap(),
            Work::LabCheck { keep: true }
        ));
    }

    #[test]
    fn a_command_for_a_host_keeps_its_own_options() {
        match work("enter app1 journalctl -u shop").unwrap() {
            Work::Enter { host, command } => {
                assert_eq!(
                    (host.name, command.join(" ").as_str()),
                    ("app1", "journalctl -u shop")
                );
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(work("enter nowhere ls").unwrap_err().exit_code(), 2);
    }
}
