//! The lab's network: a bridge in a namespace of its own, one cable to each host.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;

use super::plan::{BRIDGE, BRIDGE_ADDRESS, BRIDGE_SPACE, HOSTS, HostPlan, network_spaces};
use crate::command::{check, words};

const DEADLINE: Duration = Duration::from_secs(30);

/// Makes namespaces, bridge and cables. Nothing of the machine's own network is touched.
///
/// # Errors
/// When a step is refused; what was made so far is left to `remove`.
pub fn create() -> anyhow::Result<()> {
    for space in network_spaces() {
        ip(&["netns", "add", &space])?;
        ip(&["-n", &space, "link", "set", "lo", "up"])?;
    }
    ip(&["-n", BRIDGE_SPACE, "link", "add", BRIDGE, "type", "bridge"])?;
    ip(&[
        "-n",
        BRIDGE_SPACE,
        "addr",
        "add",
        BRIDGE_ADDRESS,
        "dev",
        BRIDGE,
    ])?;
    ip(&["-n", BRIDGE_SPACE, "link", "set", BRIDGE, "up"])?;
    for host in &HOSTS {
        let (space, address) = (host.outer_name(), format!("{}/24", host.address()));
        let far_end = ["peer", "name", "eth0", "netns", &space];
        let near_end = ["-n", BRIDGE_SPACE, "link", "add", &space, "type", "veth"];
        ip(&[&near_end[..], &far_end[..]].concat())?;
        ip(&["-n", &space, "addr", "add", &address, "dev", "eth0"])?;
        ip(&["-n", &space, "link", "set", "eth0", "up"])?;
        ip(&["-n", BRIDGE_SPACE, "link", "set", &space, "up"])?;
        plug(host)?;
    }
    Ok(())
}

/// Makes the bridge's end of a virtual machine's cable; `qemu` is the other.
pub fn create_tap(host: &HostPlan) -> anyhow::Result<()> {
    let name = host.outer_name();
    ip(&[
        "-n",
        BRIDGE_SPACE,
        "tuntap",
        "add",
        "dev",
        &name,
        "mode",
        "tap",
    ])?;
    ip(&["-n", BRIDGE_SPACE, "link", "set", &name, "up"])?;
    plug(host)
}

/// Puts the host's cable into the bridge.
pub fn plug(host: &HostPlan) -> anyhow::Result<()> {
    ip(&[
        "-n",
        BRIDGE_SPACE,
        "link",
        "set",
        &host.outer_name(),
        "master",
        BRIDGE,
    ])
}

/// Takes the host's cable out of the bridge. Its own end keeps its carrier, as behind a dead switch.
pub fn unplug(host: &HostPlan) -> anyhow::Result<()> {
    ip(&[
        "-n",
        BRIDGE_SPACE,
        "link",
        "set",
        &host.outer_name(),
        "nomaster",
    ])
}

/// A command that runs in a network namespace but otherwise on this machine.
pub fn command_in(space: &str, program: impl AsRef<Path>) -> Command {
    let mut command = Command::new("nsenter");
    command
        .arg(format!("--net={}", space_path(space).display()))
        .arg("--")
        .arg(program.as_ref());
    command
}

/// The file that holds the namespace.
pub fn space_path(space: &str) -> PathBuf {
    Path::new("/run/netns").join(space)
}

/// The namespaces of the plan that exist.
pub fn existing() -> Vec<String> {
    network_spaces()
        .into_iter()
        .filter(|space| space_path(space).exists())
        .collect()
}

/// Removes the plan's namespaces, and with them the bridge and all cables.
pub fn remove() -> anyhow::Result<()> {
    for space in existing() {
        ip(&["netns", "del", &space])?;
    }
    Ok(())
}

fn ip(arguments: &[&str]) -> anyhow::Result<()> {
    let mut command = words(&["ip"]);
    check(command.args(arguments), DEADLINE)
        .map(drop)
        .context("setting up the lab's network")
}
