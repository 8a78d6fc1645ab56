//! The second tier: a virtual machine on the lab's bridge, for what namespaces cannot do. It has a kernel, a clock, a
//! table of tracked connections, a hierarchy of cgroups (v2 alone), and a disk of its own, and its power can be cut.
//!
//! It takes payments. A till on `load1` sends them, signed with the time, each over a connection of its own.

pub mod console;
pub mod faults;
pub mod image;
pub mod proof;
pub mod qemu;

use std::fs;
use std::path::Path;
use std::process::Child;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use self::console::{Console, quoted};
use self::image::Images;
use self::proof::Cut;
use self::qemu::Emulator;
use crate::command::{Ended, check, words};
use crate::lab::host::Host;
use crate::lab::plan::{HOSTS, HostPlan, MACHINE, Role};
use crate::lab::product::{self, Responder};
use crate::lab::{Customers, network};
use crate::say;

/// An emulated processor takes some twenty seconds when nobody else wants the machine's.
const BOOT_DEADLINE: Duration = Duration::from_secs(240);
const STEP_DEADLINE: Duration = Duration::from_secs(90);
/// Programs that the machine has no use for, and whose size its disk would have to hold.
const UNWANTED: [&str; 2] = ["firstlook", "firstlook-collector"];
/// What it runs beside the agent, and its shell.
const UNITS: [&str; 5] = [
    "lab-console.service",
    "nftables.service",
    "pay.service",
    "pulse.service",
    "systemd-networkd.service",
];

/// The virtual machine, up or without power.
#[derive(Debug)]
pub struct Machine {
    plan: &'static HostPlan,
    emulator: Emulator,
    running: Mutex<Running>,
    /// The last one, until its power comes back.
    cut: Mutex<Option<Cut>>,
}

#[derive(Debug)]
struct Running {
    process: Child,
    console: Console,
}

/// Builds the machine's disk from the guest's image, the product's layer and its own files, and boots it.
///
/// # Errors
/// When a step fails, or it is not up within 240 s; the message carries the end of its console.
pub fn boot(images: &Images, product: &Path) -> anyhow::Result<Machine> {
    let begun = Instant::now();
    let plan = &MACHINE;
    plan.prepare(&[product.to_owned(), images.guest.clone()])?;
    product::install(plan)?;
    install(plan)?;
    network::create_tap(plan)?;
    let emulator = Emulator::prepare(plan, images)?;
    let running = Running {
        process: emulator.start()?,
        console: Console::new(emulator.shell_socket()),
    };
    let machine = Machine {
        plan,
        emulator,
        running: Mutex::new(running),
        cut: Mutex::new(None),
    };
    machine.come_up()?;
    say::progress(&format!(
        "lab: {} is up after {:.1} s",
        plan.name,
        begun.elapsed().as_secs_f64()
    ));
    Ok(machine)
}

/// Joins the machine, and starts the till on `load`.
///
/// # Errors
/// When a step fails, or the machine does not report within 120 s.
pub fn join(machine: &Machine, responder: &Responder, load: &Host) -> anyhow::Result<()> {
    let collector = HOSTS.iter().find(|host| host.role == Role::Collector);
    let collector = collector.context("the plan has no collector")?.address();
    let on_it = |command: &[&str]| machine.shell(&quoted(command));
    product::join(machine.plan.name, on_it, responder, &collector)?;
    load.shell("systemctl --quiet enable --now till.service")?;
    responder.wait_until_reporting(&[machine.plan.name])
}

/// Puts the till's files into the root of the host that has it, before boot.
///
/// # Errors
/// When a file cannot be written.
pub fn install_till(plan: &HostPlan) -> anyhow::Result<()> {
    plan.write("opt/till/till.py", include_str!("../assets/vm/till.py"))?;
    plan.write("opt/till/crowd.py", include_str!("../assets/vm/crowd.py"))?;
    let unit = include_str!("../assets/vm/till.service");
    plan.write("etc/systemd/system/till.service", unit)
}

/// What the till met so far.
///
/// # Errors
/// When it does not run.
pub fn till(load: &Host) -> anyhow::Result<Customers> {
    let path = load.inner_path("/run/till/counts.json");
    let text = fs::read_to_string(path).context("reading the till's counts")?;
    serde_json::from_str(&text).context("reading the till's counts")
}

/// Runs a command in the machine of a lab that was kept, and prints what it printed; false when it ended with another
/// code than 0.
///
/// # Errors
/// When the machine is not up.
pub fn enter(plan: &HostPlan, command: &[String]) -> anyhow::Result<bool> {
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    let socket = qemu::shell_socket_of(plan);
    ensure!(socket.exists(), "{} is not up", plan.name);
    let ended = Console::new(socket).ask(&quoted(&words), STEP_DEADLINE)?;
    say::result(&ended.stdout)?;
    say::progress(ended.stderr.trim_end());
    Ok(ended.code == Some(0))
}

/// The machine's own files, over those that every host has.
fn install(plan: &HostPlan) -> anyhow::Result<()> {
    let unit = |name: &str, text: &str| plan.write(&format!("etc/systemd/system/{name}"), text);
    plan.write(
        "opt/lab/console.py",
        include_str!("../assets/vm/console.py"),
    )?;
    plan.write("opt/pay/pay.py", include_str!("../assets/vm/pay.py"))?;
    plan.write("opt/pulse/pulse.py", include_str!("../assets/vm/pulse.py"))?;
    unit(
        "lab-console.service",
        include_str!("../assets/vm/console.service"),
    )?;
    unit("pay.service", include_str!("../assets/vm/pay.service"))?;
    unit("pulse.service", include_str!("../assets/vm/pulse.service"))?;
    let rules = include_str!("../assets/vm/nftables.conf");
    plan.write("etc/nftables.conf", rules)?;
    let network = include_str!("../assets/vm/eth0.network").replace("ADDRESS", &plan.address());
    plan.write("etc/systemd/network/eth0.network", &network)?;
    plan.write("etc/fstab", "/dev/vda / ext4 defaults 0 1\n")?;
    let agent = include_str!("../assets/vm/agent.toml");
    plan.write("etc/firstlook/agent.toml", agent)?;
    for program in UNWANTED {
        fs::remove_file(plan.root().join("usr/local/bin").join(program))?;
    }
    let mut enable = words(&["systemctl", "--quiet"]);
    enable
        .arg(format!("--root={}", plan.root().display()))
        .arg("enable")
        .args(UNITS);
    check(&mut enable, STEP_DEADLINE).map(drop)
}

impl Machine {
    /// Runs a shell line inside to its end and gives its standard output.
    ///
    /// # Errors
    /// When it fails, is not over within 90 s, or the machine has no power.
    pub fn shell(&self, line: &str) -> anyhow::Result<String> {
        let ended = self.ask(line, STEP_DEADLINE)?;
        if ended.code != Some(0) {
            let (code, said) = (ended.code, ended.stderr.trim().to_owned());
            bail!(
                "on {}: `{line}` ended with {code:?}: {said}",
                self.plan.name
            );
        }
        Ok(ended.stdout)
    }

    /// Cuts its power.
    ///
    /// # Errors
    /// When the emulator's process cannot be ended.
    fn cut_power(&self) -> anyhow::Result<()> {
        let mut running = self.running();
        running.console.hang_up();
        running.process.kill().context("ending the emulator")?;
        running.process.wait().context("ending the emulator")?;
        Ok(())
    }

    /// Gives it power, where it has none, and waits until it is up.
    ///
    /// # Errors
    /// As those of `boot`.
    fn boot_again(&self) -> anyhow::Result<()> {
        let mut running = self.running();
        if running.process.try_wait()?.is_some() {
            running.console.hang_up();
            running.process = self.emulator.start()?;
        }
        drop(running);
        self.come_up()
    }

    /// Saves what is to be known of it into that folder: the agent's log and the guest's console.
    pub fn save_logs(&self, dir: &Path) {
        let line = "journalctl --no-pager -o short-precise -n 1000 -u firstlook-agent";
        let log = match self.ask(line, STEP_DEADLINE) {
            Ok(ended) => ended.stdout,
            Err(error) => format!("{error:#}\n"),
        };
        let name = self.plan.name;
        let written = fs::write(dir.join(format!("{name}-firstlook-agent.log")), log);
        let to = dir.join(format!("{name}-console.log"));
        let copied = fs::copy(self.emulator.console_log(), to).map(drop);
        if let Err(error) = written.and(copied) {
            say::progress(&format!("drills: no logs of {name} saved: {error}"));
        }
    }

    /// Collects the emulator's exit after it was killed.
    pub fn reap(&mut self) {
        let mut running = self.running();
        let _ = running.process.kill();
        let _ = running.process.wait();
    }

    fn come_up(&self) -> anyhow::Result<()> {
        let booting = || format!("booting {}: {}", self.plan.name, self.emulator.said());
        let state = self
            .ask("systemctl is-system-running --wait", BOOT_DEADLINE)
            .with_context(booting)?;
        match state.stdout.trim() {
            "running" => Ok(()),
            "degraded" => {
                let failed = self.shell("systemctl --failed --plain --no-legend")?;
                say::progress(&format!("lab: {} is degraded: {failed}", self.plan.name));
                Ok(())
            }
            other => bail!("{}: its state is '{other}'", booting()),
        }
    }

    fn ask(&self, line: &str, deadline: Duration) -> anyhow::Result<Ended> {
        self.running().console.ask(line, deadline)
    }

    fn remember(&self, cut: Cut) {
        *self.cut.lock().unwrap_or_else(PoisonError::into_inner) = Some(cut);
    }

    fn take_cut(&self) -> Option<Cut> {
        let mut cut = self.cut.lock().unwrap_or_else(PoisonError::into_inner);
        cut.take()
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
