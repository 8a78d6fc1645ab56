//! One host: an overlay on the base image, booted with systemd as PID 1.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::plan::{self, HostPlan};
use super::{cgroup, lxcfs, network};
use crate::command::{Ended, check, run, words};
use crate::say;

/// Enough for a machine whose processors are busy with something else; 3 s is usual.
const BOOT_DEADLINE: Duration = Duration::from_secs(180);
const STEP_DEADLINE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);
/// Joins the cgroups in its first argument, then becomes the command in the others.
const JOIN_AND_RUN: &str = "for dir in $1; do echo $$ 2>/dev/null > \"$dir/cgroup.procs\" || [ -n \"$LENIENT\" ] || exit 70; done; \
     shift; unset LENIENT; exec \"$@\"";

/// A running host.
#[derive(Debug)]
pub struct Host {
    /// Its place in the plan.
    pub plan: &'static HostPlan,
    running: Mutex<Running>,
}

/// What a host runs as. Another after each boot.
#[derive(Debug)]
struct Running {
    container: Child,
    /// Its PID 1 as this machine counts; 0 before it is known.
    init: u32,
}

impl HostPlan {
    /// Mounts the host's root over `layers` (the uppermost first) and gives it its identity.
    ///
    /// # Errors
    /// When the mount is refused or a file cannot be written.
    pub fn prepare(&self, layers: &[PathBuf]) -> anyhow::Result<()> {
        let root = mount_overlay(&self.dir(), layers)?;
        let id = fs::read_to_string("/proc/sys/kernel/random/uuid")?.replace('-', "");
        self.write("etc/machine-id", &id)?;
        self.write("etc/hostname", &format!("{}\n", self.name))?;
        self.write("etc/hosts", &plan::hosts_file())?;
        fs::create_dir_all(root.join("var/log/journal"))?;
        Ok(())
    }

    /// Writes a file of the host, given without the leading slash, and the folders above it.
    ///
    /// # Errors
    /// The file system's.
    pub fn write(&self, path: &str, text: &str) -> anyhow::Result<()> {
        let path = self.root().join(path);
        let write = || -> io::Result<()> {
            fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
            fs::write(&path, text)
        };
        write().with_context(|| format!("writing {}", path.display()))
    }

    /// A command inside the host that runs now. It gets `PATH` and nothing else of our environment,
    /// and is accounted to the host.
    pub fn command(&self, init: u32, command: &[&str]) -> Command {
        let groups = cgroup::dirs(&self.outer_name()).into_iter().map(|dir| {
            let payload = dir.join("payload");
            if payload.is_dir() { payload } else { dir }
        });
        let target = init.to_string();
        let mut entering = joining(groups.collect());
        entering.args([
            "nsenter", "-t", &target, "-m", "-u", "-i", "-n", "-p", "-C", "--",
        ]);
        // In a pure v2 hierarchy an inner group takes no process: then it stays outside.
        entering.args(command).env("LENIENT", "1");
        entering
    }
}

impl Host {
    /// Boots a prepared host and waits until systemd says that it is up.
    ///
    /// # Errors
    /// When it does not boot within 180 s; the message carries the end of its console.
    pub fn boot(plan: &'static HostPlan) -> anyhow::Result<Self> {
        let host = Self {
            running: Mutex::new(Self::launch(plan)?),
            plan,
        };
        host.come_up()?;
        Ok(host)
    }

    fn launch(plan: &'static HostPlan) -> anyhow::Result<Running> {
        let name = plan.outer_name();
        cgroup::create(&name)?;
        let console = File::create(plan.dir().join("console.log"))?;
        let mut boot = joining(cgroup::dirs(&name));
        boot.args([
            "systemd-nspawn",
            "-q",
            "--register=no",
            "--keep-unit",
            "--boot",
        ])
        .args(["--resolv-conf=off", "--timezone=off", "--link-journal=no"])
        .args(["--capability=all", "--console=read-only", "-D"])
        .arg(plan.root())
        .arg(format!("--machine={name}"))
        .arg(format!("--hostname={}", plan.name))
        .arg(format!(
            "--network-namespace-path={}",
            network::space_path(&name).display()
        ))
        .args(lxcfs::bind_option())
        .env("SYSTEMD_SECCOMP", "0")
        .stdin(Stdio::null())
        .stdout(console.try_clone()?)
        .stderr(console)
        // A group of its own: an interrupt from the terminal is for us, not for the hosts.
        .process_group(0);
        let container = boot.spawn().context("starting systemd-nspawn")?;
        Ok(Running { container, init: 0 })
    }

    /// Waits until systemd says that it is up, and sees to the rest.
    fn come_up(&self) -> anyhow::Result<()> {
        let plan = self.plan;
        self.wait_until_up().with_context(|| {
            let console = fs::read_to_string(plan.dir().join("console.log")).unwrap_or_default();
            let lines: Vec<&str> = console.lines().collect();
            format!(
                "booting {}: {}",
                plan.name,
                lines[lines.len().saturating_sub(4)..].join(" | ")
            )
        })?;
        self.own_accounts()
    }

    /// Has it shut down in order, and waits for nothing.
    ///
    /// # Errors
    /// When it does not take the order.
    pub fn power_off(&self) -> anyhow::Result<()> {
        self.shell("kill -s RTMIN+4 1").map(drop)
    }

    /// Boots it again, if it is shut down or about to be.
    ///
    /// # Errors
    /// As those of `boot`, or when it was not on its way down and stays up.
    pub fn boot_again(&self) -> anyhow::Result<()> {
        let begun = Instant::now();
        while self.running().container.try_wait()?.is_none() {
            if begun.elapsed() > STEP_DEADLINE {
                bail!("{} does not shut down", self.plan.name);
            }
            thread::sleep(POLL);
        }
        *self.running() = Self::launch(self.plan)?;
        self.come_up()
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn init(&self) -> u32 {
        self.running().init
    }

    /// Runs a command inside to its end and gives its standard output.
    ///
    /// # Errors
    /// When it fails or is not over within `deadline`.
    pub fn check(&self, command: &[&str], deadline: Duration) -> anyhow::Result<String> {
        check(&mut self.plan.command(self.init(), command), deadline)
            .with_context(|| format!("on {}", self.plan.name))
    }

    /// Runs a shell line inside to its end and gives its standard output.
    ///
    /// # Errors
    /// When it fails or is not over within 60 s.
    pub fn shell(&self, line: &str) -> anyhow::Result<String> {
        self.check(&["sh", "-c", line], STEP_DEADLINE)
    }

    /// As `shell`, with any exit code.
    ///
    /// # Errors
    /// When it is not over within 60 s.
    pub fn try_shell(&self, line: &str) -> anyhow::Result<Ended> {
        run(
            &mut self.plan.command(self.init(), &["sh", "-c", line]),
            STEP_DEADLINE,
        )
        .with_context(|| format!("on {}", self.plan.name))
    }

    /// Waits until the shell line succeeds.
    ///
    /// # Errors
    /// When it still fails after `deadline`.
    pub fn wait_for(&self, what: &str, line: &str, deadline: Duration) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            if self.try_shell(line)?.code == Some(0) {
                return Ok(());
            }
            if begun.elapsed() > deadline {
                bail!(
                    "{what} on {}: not so after {} s",
                    self.plan.name,
                    deadline.as_secs()
                );
            }
            thread::sleep(POLL);
        }
    }

    /// A file of the running host as this machine sees it, mounts inside the host included.
    pub fn inner_path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.init()))
    }

    /// Collects the container's exit after its processes were killed.
    pub fn reap(&mut self) {
        let mut running = self.running();
        let _ = running.container.kill();
        let _ = running.container.wait();
    }

    fn wait_until_up(&self) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.running().container.try_wait()? {
                bail!("the container ended with {status}");
            }
            if self.init() == 0 {
                let found = cgroup::init_process(&self.plan.outer_name());
                self.running().init = found.unwrap_or(0);
            }
            if self.init() != 0 {
                let state = self.try_shell("systemctl is-system-running")?.stdout;
                match state.trim() {
                    "running" => return Ok(()),
                    "degraded" => {
                        let failed = self.shell("systemctl --failed --plain --no-legend")?;
                        say::progress(&format!("lab: {} is degraded: {failed}", self.plan.name));
                        return Ok(());
                    }
                    _ => {}
                }
            }
            if begun.elapsed() > BOOT_DEADLINE {
                bail!("not up after {} s", BOOT_DEADLINE.as_secs());
            }
            thread::sleep(POLL);
        }
    }

    /// Lets systemd account and limit its units in the v1 controllers, and makes the host's `/proc`
    /// show the host instead of the machine.
    fn own_accounts(&self) -> anyhow::Result<()> {
        self.shell(
            "for m in $(awk '$3 == \"cgroup\" { print $2 }' /proc/mounts); do \
             mount -o remount,rw,bind $m; done; systemctl daemon-reexec",
        )?;
        self.wait_for(
            "systemd answers",
            "systemctl is-system-running --quiet || \
             [ \"$(systemctl is-system-running)\" = degraded ]",
            BOOT_DEADLINE,
        )?;
        self.shell(lxcfs::OWN_PROC)?;
        self.shell(
            "for d in /sys/fs/cgroup/unified /sys/fs/cgroup; do if [ -f $d/cpu.pressure ]; then \
             for f in cpu io memory; do mount --bind $d/$f.pressure /proc/pressure/$f; done; \
             break; fi; done",
        )?;
        Ok(())
    }
}

/// Mounts a root over `layers` (the uppermost first) in `dir`, as `dir/root`, and gives that.
///
/// # Errors
/// When the mount is refused.
pub fn mount_overlay(dir: &Path, layers: &[PathBuf]) -> anyhow::Result<PathBuf> {
    for part in ["upper", "work", "root"] {
        fs::create_dir_all(dir.join(part))?;
    }
    let layers: Vec<String> = layers
        .iter()
        .map(|layer| layer.display().to_string())
        .collect();
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        layers.join(":"),
        dir.join("upper").display(),
        dir.join("work").display()
    );
    let root = dir.join("root");
    let mut mount = words(&["mount", "-t", "overlay", "overlay", "-o", &options]);
    check(mount.arg(&root), STEP_DEADLINE)?;
    Ok(root)
}

/// The beginning of a command that runs as a part of these groups. It gets `PATH` and nothing else of our environment.
pub fn joining(groups: Vec<PathBuf>) -> Command {
    let groups: Vec<String> = groups.iter().map(|dir| dir.display().to_string()).collect();
    let mut command = words(&["sh", "-c", JOIN_AND_RUN, "sh", &groups.join(" ")]);
    command.env_clear().env(
        "PATH",
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    );
    command
}
