//! What is kept of a drill that did not pass, or of a lab that did not come up: logs of the product, and its last answers.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;

use crate::lab::Lab;
use crate::lab::host::Host;
use crate::lab::plan::Role;
use crate::say;

const STEP_DEADLINE: Duration = Duration::from_secs(20);
const LINES: &str = "1000";

/// What the responder asks for the record.
const QUESTIONS: [&str; 4] = ["status", "hosts", "map", "changes"];

/// Saves the product's logs on every host and gives the folder; `None`, and a word of why, when
/// nothing is to be had.
pub fn save_logs(hosts: &[Host], occasion: &str) -> Option<String> {
    let root = std::env::temp_dir().join(format!("firstlook-drills-{}", std::process::id()));
    let dir = root.join(occasion);
    said(write_logs(hosts, &dir), &dir)
}

/// As `save_logs`, and the collector's last answers.
pub fn save(lab: &Lab, drill: &str, last_why: &Value) -> Option<String> {
    let dir = PathBuf::from(save_logs(lab.hosts(), drill)?);
    if let Ok(machine) = lab.machine() {
        machine.save_logs(&dir);
    }
    said(write_answers(lab, &dir, last_why), &dir)
}

fn said(written: anyhow::Result<()>, dir: &Path) -> Option<String> {
    match written {
        Ok(()) => Some(dir.display().to_string()),
        Err(error) => {
            say::progress(&format!("drills: no logs saved: {error:#}"));
            None
        }
    }
}

fn write_logs(hosts: &[Host], dir: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
    for host in hosts {
        save_journal(host, "firstlook-agent", dir)?;
        if host.plan.role == Role::Collector {
            save_journal(host, "firstlook-collector", dir)?;
        }
    }
    Ok(())
}

fn write_answers(lab: &Lab, dir: &Path, last_why: &Value) -> anyhow::Result<()> {
    fs::write(dir.join("why.json"), serde_json::to_vec_pretty(last_why)?)?;
    let responder = lab.responder()?;
    for question in QUESTIONS {
        // The answer, whatever it is: a failure to answer is worth keeping as well.
        let text = match responder.ask(&[question, "--json"]) {
            Ok(ended) => format!("{}{}", ended.stdout, ended.stderr),
            Err(error) => format!("{error:#}\n"),
        };
        fs::write(dir.join(format!("{question}.json")), text)?;
    }
    Ok(())
}

fn save_journal(host: &Host, unit: &str, dir: &Path) -> anyhow::Result<()> {
    let command = ["journalctl", "--no-pager", "-o", "short-precise"];
    let command = [&command[..], &["-n", LINES, "-u", unit]].concat();
    let text = host
        .check(&command, STEP_DEADLINE)
        .unwrap_or_else(|error| format!("{error:#}\n"));
    fs::write(dir.join(format!("{}-{unit}.log", host.plan.name)), text)?;
    Ok(())
}
