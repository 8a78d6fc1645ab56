//! Fire drills: a lab of real services on several hosts, real faults, scored verdicts.
//!
//! The lab is six systemd hosts in namespaces of this machine (`lab`). A drill injects one fault
//! (`fault`), asks the collector who is to blame as a responder would (`watch`), and scores the
//! answer (`verdict`). What namespaces cannot do is done to a virtual machine beside them (`vm`). A `quiet` run does what harms nobody, and no incident may open. `lab-check` proves the lab itself, without the product.
//!
//! Exit codes: 0 every drill passed, 1 a drill or the lab failed, 2 usage.

mod args;
mod catalogue;
mod check;
mod clock;
mod command;
mod diagnostics;
mod drill;
mod elsewhere;
mod fault;
mod lab;
mod quiet;
mod record;
mod report;
mod say;
mod verdict;
mod vm;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;

use crate::args::{Args, Work};
use crate::lab::{Contents, Lab, clean, reaper};

fn main() -> ExitCode {
    let work = match Args::parse().into_work() {
        Ok(work) => work,
        Err(error) => error.exit(),
    };
    match run(work) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say::progress(&format!("drills: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Does the work; false means that it was done and something did not pass.
fn run(work: Work) -> anyhow::Result<bool> {
    match work {
        Work::List { drills, json } => {
            report::list(&drills, json)?;
            Ok(true)
        }
        Work::Clean => {
            let _lock = lab::lock()?;
            clean::remove_everything()?;
            Ok(true)
        }
        Work::Reap => {
            reaper::wait_and_clean();
            Ok(true)
        }
        Work::Enter { host, command } => lab::enter(host, &command),
        Work::LabCheck { keep } => {
            let mut lab = Lab::up(&Contents::ServicesOnly)?;
            let all_hold = check::run(&lab);
            finish(&mut lab, keep)?;
            let gone = keep || check::nothing_is_left()?;
            Ok(all_hold? && gone)
        }
        Work::Quiet { time, lab: options } => {
            let mut lab = Lab::up(&with_product(options.bin_dir, false)?)?;
            let quiet = quiet::run(&lab, time);
            finish(&mut lab, options.keep)?;
            quiet
        }
        Work::Drills {
            drills,
            json,
            machine,
            record,
            lab: options,
        } => {
            let mut lab = Lab::up(&with_product(options.bin_dir, machine)?)?;
            let outcomes = drill::run_all(&lab, &drills, record.as_deref());
            finish(&mut lab, options.keep)?;
            let report = report::Report::new(outcomes?);
            report.print(json)?;
            Ok(report.failed == 0)
        }
    }
}

fn with_product(bin_dir: Option<PathBuf>, machine: bool) -> anyhow::Result<Contents> {
    let bin_dir =
        bin_dir.context("set FIRSTLOOK_BIN_DIR to the folder with the product's binaries")?;
    Ok(Contents::WithProduct { bin_dir, machine })
}

/// Takes the lab down, or says how to use the one that is kept.
fn finish(lab: &mut Lab, keep: bool) -> anyhow::Result<()> {
    if !keep {
        return lab.down();
    }
    lab.keep();
    say::progress(
        "the lab is kept; `enter HOST COMMAND…` runs a command in it, `clean` removes it",
    );
    Ok(())
}
