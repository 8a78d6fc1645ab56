//! The command line: what was typed (`Args`) and what is to be done (`Work`).

use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};

use crate::catalogue::CATALOGUE;
use crate::drill::Drill;
use crate::elsewhere;
use crate::lab::plan::HostPlan;
use crate::vm::faults;

/// Fire drills: real services on several hosts, real faults, scored verdicts
#[derive(Debug, Parser)]
#[command(name = "drills", version, args_conflicts_with_subcommands = true)]
pub struct Args {
    /// Run those by which every change is tried: some minutes instead of a quarter of an hour
    #[arg(long, conflicts_with = "names")]
    core: bool,
    #[command(flatten)]
    first: OfTier,
    #[command(subcommand)]
    other: Option<Other>,
}

/// Of what brings up the lab with the product in it.
#[derive(Debug, clap::Args)]
pub struct WithLab {
    /// Leave the lab up at the end, to look around in it
    #[arg(long)]
    pub keep: bool,
    /// Folder with firstlook, firstlook-agent and firstlook-collector
    #[arg(
        long,
        env = "FIRSTLOOK_BIN_DIR",
        value_name = "DIR",
        hide_env_values = true
    )]
    pub bin_dir: Option<PathBuf>,
}

/// Of a run of the drills of one tier.
#[derive(Debug, clap::Args)]
struct OfTier {
    /// Drills to run, in this order; all when none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Print one JSON document on standard output instead of a table
    #[arg(long)]
    json: bool,
    /// List the drills named, or all, and end
    #[arg(long)]
    list: bool,
    /// Keep each drill's incident as a case in a folder of its name in DIR, for `firstlook-collector replay`
    #[arg(long, value_name = "DIR")]
    record: Option<PathBuf>,
    #[command(flatten)]
    lab: WithLab,
}

#[derive(Debug, Subcommand)]
enum Other {
    /// Drills of the second tier, for which a virtual machine under software emulation is brought up beside the lab
    Vm(OfTier),
    /// Faults at other places and of other kinds than those that the product was tuned on
    Elsewhere(OfTier),
    /// Prove the lab without the product: every fault has its effect, and heals
    LabCheck {
        /// Leave the lab up at the end
        #[arg(long)]
        keep: bool,
    },
    /// Do what harms nobody, as deploys, restarts, rotation of logs, backups and timers: no incident may open
    Quiet {
        /// For how many minutes, at most 240
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=240))]
        minutes: u64,
        #[command(flatten)]
        lab: WithLab,
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
        /// They need the virtual machine.
        machine: bool,
        /// Where each is kept as a case.
        record: Option<PathBuf>,
        lab: WithLab,
    },
    /// Do what harms nobody.
    Quiet { time: Duration, lab: WithLab },
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
            Some(Other::Quiet { minutes, lab }) => Ok(Work::Quiet {
                time: Duration::from_secs(minutes * 60),
                lab,
            }),
            Some(Other::Clean) => Ok(Work::Clean),
            Some(Other::Reap) => Ok(Work::Reap),
            Some(Other::Enter { host, command }) => match HostPlan::named(&host) {
                Some(host) => Ok(Work::Enter { host, command }),
                None => Err(usage(&format!("no host is called '{host}'"))),
            },
            Some(Other::Vm(tier)) => tier.work(&faults::CATALOGUE, false, true),
            Some(Other::Elsewhere(tier)) => tier.work(&elsewhere::CATALOGUE, false, false),
            None => self.first.work(&CATALOGUE, self.core, false),
        }
    }
}

impl OfTier {
    /// Those of `of` that are named, or all of them, or all that are `core`; without a lab where they are only listed.
    fn work(self, of: &'static [Drill], core: bool, machine: bool) -> Result<Work, clap::Error> {
        let wanted = |drill: &&Drill| drill.core || !core;
        let drills = match self.names.is_empty() {
            true => of.iter().filter(wanted).collect(),
            false => named(&self.names, of)?,
        };
        let (json, record, lab) = (self.json, self.record, self.lab);
        Ok(match self.list {
            true => Work::List { drills, json },
            false => Work::Drills {
                drills,
                json,
                machine,
                record,
                lab,
            },
        })
    }
}

fn named(names: &[String], among: &'static [Drill]) -> Result<Vec<&'static Drill>, clap::Error> {
    names
        .iter()
        .map(|name| {
            among
                .iter()
                .find(|drill| drill.name == name)
                .ok_or_else(|| {
                    let known: Vec<&str> = among.iter().map(|drill| drill.name).collect();
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
    fn the_core_is_a_part_of_all_and_goes_with_no_name() {
        assert_eq!(drills("--core").len(), 5);
        assert_eq!(work("--core disk-full").unwrap_err().exit_code(), 2);
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
    fn the_second_tier_has_drills_of_its_own_and_alone_brings_up_the_machine() {
        let machine = |line: &str| match work(line).unwrap() {
            Work::Drills { machine, .. } => machine,
            other => panic!("{other:?}"),
        };
        assert!(machine("vm") && !machine(""));
        assert_eq!(drills("vm").len(), faults::CATALOGUE.len());
        assert_eq!(
            drills("vm power-cut clock-skew"),
            ["power-cut", "clock-skew"]
        );
        for wrong in ["vm disk-full", "power-cut", "vm --core"] {
            assert_eq!(work(wrong).unwrap_err().exit_code(), 2, "{wrong}");
        }
        assert!(matches!(work("vm --list").unwrap(), Work::List { .. }));
    }

    #[test]
    fn what_was_not_tuned_on_has_drills_of_its_own() {
        assert_eq!(drills("elsewhere").len(), elsewhere::CATALOGUE.len());
        assert_eq!(drills("elsewhere edge-hung"), ["edge-hung"]);
        for wrong in ["elsewhere disk-full", "edge-hung"] {
            assert_eq!(work(wrong).unwrap_err().exit_code(), 2, "{wrong}");
        }
    }

    #[test]
    fn a_quiet_run_lasts_an_hour_unless_told_and_never_a_day() {
        let minutes = |line: &str| match work(line).unwrap() {
            Work::Quiet { time, .. } => time.as_secs() / 60,
            other => panic!("{other:?}"),
        };
        assert_eq!((minutes("quiet"), minutes("quiet --minutes 5")), (60, 5));
        for wrong in ["quiet --minutes 0", "quiet --minutes 1440"] {
            assert_eq!(work(wrong).unwrap_err().exit_code(), 2);
        }
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
