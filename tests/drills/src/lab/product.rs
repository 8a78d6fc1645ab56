//! Firstlook itself in the lab: a collector on `col1`, an agent on every host, and the responder's
//! command beside them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use super::host::Host;
use super::network;
use super::plan::{BRIDGE_SPACE, HOSTS, HostPlan, LAB_DIR, Role};
use crate::command::{Ended, run};

/// Users of the daemons.
const USERS: &str = "/etc/sysusers.d/firstlook.conf";
const USERS_TEXT: &str = concat!(
    include_str!("../../../../deploy/systemd/firstlook-agent.sysusers"),
    include_str!("../../../../deploy/systemd/firstlook-collector.sysusers"),
);
const AGENT: &str = "firstlook-agent.service";
const PROGRAMS: [&str; 3] = ["firstlook", "firstlook-agent", "firstlook-collector"];
const STEP_DEADLINE: Duration = Duration::from_secs(60);
/// For one question to the collector.
const ASK_DEADLINE: Duration = Duration::from_secs(15);
const LONG_ASK_DEADLINE: Duration = Duration::from_secs(120);
const ANSWER_DEADLINE: Duration = Duration::from_secs(90);
const REPORTING_DEADLINE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(500);
/// `firstlook`'s exit code for "there is none", such as no open incident.
const NOT_FOUND: i32 = 3;

/// Puts the binaries into a layer that all hosts share, and gives the layer's folder.
///
/// # Errors
/// When a binary is missing.
pub fn make_layer(bin_dir: &Path) -> anyhow::Result<PathBuf> {
    let layer = layer();
    let bin = layer.join("usr/local/bin");
    fs::create_dir_all(&bin)?;
    for program in PROGRAMS {
        let from = bin_dir.join(program);
        fs::copy(&from, bin.join(program)).with_context(|| format!("taking {}", from.display()))?;
    }
    Ok(layer)
}

/// The folder of the layer that all hosts share.
pub fn layer() -> PathBuf {
    Path::new(LAB_DIR).join("product")
}

/// Puts the units that are shipped, and configuration, into a mounted root, before boot.
///
/// # Errors
/// When a file cannot be written.
pub fn install(plan: &HostPlan) -> anyhow::Result<()> {
    let agent = include_str!("../../../../deploy/systemd/firstlook-agent.service");
    let collector = include_str!("../../../../deploy/systemd/firstlook-collector.service");
    let unit = |name: &str, unit: &str, otherwise: &str| -> anyhow::Result<()> {
        let file = format!("etc/systemd/system/{name}.service");
        plan.write(&file, unit)?;
        plan.write(&format!("{file}.d/lab.conf"), otherwise)
    };
    let otherwise = include_str!("../../assets/agent.conf");
    unit("firstlook-agent", agent, otherwise)?;
    plan.write(
        "etc/firstlook/agent.toml",
        include_str!("../../assets/agent.toml"),
    )?;
    plan.write(USERS.trim_start_matches('/'), USERS_TEXT)?;
    if plan.role == Role::Collector {
        let otherwise = include_str!("../../assets/collector.conf");
        unit("firstlook-collector", collector, otherwise)?;
    }
    Ok(())
}

/// Starts the collector, joins every host, and waits until all report.
///
/// # Errors
/// When a step fails, or a host does not report within 120 s.
pub fn start(hosts: &[Host]) -> anyhow::Result<Responder> {
    let collector = hosts.iter().find(|host| host.plan.role == Role::Collector);
    let collector = collector.context("the plan has no collector")?;
    collector.check(&["systemd-sysusers", USERS], STEP_DEADLINE)?;
    let address = collector.plan.address();
    let init = [
        "firstlook-collector",
        "init",
        "--data-dir",
        "/var/lib/firstlook-collector",
    ];
    let addresses = ["--address", &address, "--address", collector.plan.name];
    collector.check(&[&init[..], &addresses[..]].concat(), STEP_DEADLINE)?;
    let unit = "firstlook-collector.service";
    let enable = ["systemctl", "--quiet", "enable", "--now", unit];
    collector.check(&enable, STEP_DEADLINE)?;
    let responder = Responder::of(collector.plan);
    responder.wait_until_answered()?;
    thread::scope(|scope| {
        let joins: Vec<_> = hosts
            .iter()
            .map(|host| {
                let on_it = |command: &[&str]| host.check(command, STEP_DEADLINE);
                let (responder, address) = (&responder, &address);
                scope.spawn(move || join(host.plan.name, on_it, responder, address))
            })
            .collect();
        joins
            .into_iter()
            .try_for_each(|join| join.join().expect("joining does not panic"))
    })?;
    let names: Vec<&str> = HOSTS.iter().map(|host| host.name).collect();
    responder.wait_until_reporting(&names)?;
    Ok(responder)
}

/// Joins a host that is up, and starts its agent. `on_it` runs a command there, and fails when that does.
///
/// # Errors
/// When a step fails.
pub fn join(
    name: &str,
    on_it: impl Fn(&[&str]) -> anyhow::Result<String>,
    responder: &Responder,
    collector: &str,
) -> anyhow::Result<()> {
    on_it(&["systemd-sysusers", USERS])?;
    let created = responder.json(&["tokens", "create", "--json"])?;
    let created = created.context("`firstlook tokens create` found nothing")?;
    let token = created["token"]
        .as_str()
        .context("`firstlook tokens create` gave no token")?;
    let url = format!("https://{collector}:9443");
    let state = ["--state-dir", "/var/lib/firstlook-agent", "--name", name];
    let join = ["firstlook-agent", "join", &url, "--token", token];
    on_it(&[&join[..], &state[..]].concat())?;
    on_it(&["systemctl", "--quiet", "enable", "--now", AGENT]).map(drop)
}

/// The responder's command, as a person beside the lab would use it.
#[derive(Debug)]
pub struct Responder {
    program: PathBuf,
    arguments: Vec<String>,
}

impl Responder {
    fn of(collector: &HostPlan) -> Self {
        let credentials = collector
            .root()
            .join("var/lib/firstlook-collector/responder");
        Self {
            program: layer().join("usr/local/bin/firstlook"),
            arguments: vec![
                "--collector".to_owned(),
                format!("https://{}:9444", collector.address()),
                "--credentials".to_owned(),
                credentials.display().to_string(),
            ],
        }
    }

    /// Runs `firstlook ARGUMENTS…` to its end, whatever the exit code.
    ///
    /// # Errors
    /// When it is not over within 15 s.
    pub fn ask(&self, arguments: &[&str]) -> anyhow::Result<Ended> {
        let mut command: Command = network::command_in(BRIDGE_SPACE, &self.program);
        run(command.args(&self.arguments).args(arguments), ASK_DEADLINE)
    }

    /// The same, for what takes longer.
    ///
    /// # Errors
    /// When it is not over within two minutes.
    pub fn ask_at_length(&self, arguments: &[&str]) -> anyhow::Result<Ended> {
        let mut command: Command = network::command_in(BRIDGE_SPACE, &self.program);
        run(
            command.args(&self.arguments).args(arguments),
            LONG_ASK_DEADLINE,
        )
    }

    /// The JSON document that `firstlook ARGUMENTS…` prints; `None` for its "not found".
    ///
    /// # Errors
    /// When it fails otherwise or prints no JSON.
    pub fn json(&self, arguments: &[&str]) -> anyhow::Result<Option<Value>> {
        let ended = self.ask(arguments)?;
        match ended.code {
            Some(0) => {
                let said = || format!("reading what `firstlook {}` says", arguments.join(" "));
                serde_json::from_str(&ended.stdout)
                    .map(Some)
                    .with_context(said)
            }
            Some(NOT_FOUND) => Ok(None),
            code => bail!(
                "`firstlook {}` ended with {code:?}: {}",
                arguments.join(" "),
                ended.stderr.trim()
            ),
        }
    }

    fn wait_until_answered(&self) -> anyhow::Result<()> {
        let begun = Instant::now();
        while let Err(error) = self.json(&["hosts", "--json"]) {
            ensure!(
                begun.elapsed() < ANSWER_DEADLINE,
                "the collector does not answer: {error:#}"
            );
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// Waits until all hosts of these names report.
    ///
    /// # Errors
    /// When one does not within 120 s.
    pub fn wait_until_reporting(&self, names: &[&str]) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            let answer = self.json(&["hosts", "--json"])?.unwrap_or_default();
            let missing = names.iter().filter(|name| !reports(&answer, name));
            let missing: Vec<&str> = missing.copied().collect();
            if missing.is_empty() {
                return Ok(());
            }
            ensure!(
                begun.elapsed() < REPORTING_DEADLINE,
                "not reporting: {}",
                missing.join(", ")
            );
            thread::sleep(POLL);
        }
    }
}

/// Whether a host is in the `hosts --json` answer as reporting.
fn reports(answer: &Value, name: &str) -> bool {
    let hosts = answer["hosts"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    hosts
        .iter()
        .any(|host| host["host"] == name && host["state"] == "reporting")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::reports;

    #[test]
    fn a_host_reports_only_when_the_collector_says_so() {
        let answer = json!({"version": 1, "hosts": [
            {"host": "app1", "state": "reporting"}, {"host": "app2", "state": "silent"}]});
        assert!(reports(&answer, "app1"));
        assert!(!reports(&answer, "app2"));
        assert!(!reports(&answer, "db1"));
        assert!(!reports(&json!({}), "app1"));
    }
}
