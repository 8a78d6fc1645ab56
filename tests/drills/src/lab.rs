//! The lab: six hosts with real services on a bridge of their own, up and down as a whole.

pub mod cgroup;
pub mod clean;
pub mod host;
pub mod image;
pub mod lxcfs;
pub mod network;
pub mod plan;
pub mod product;
pub mod reaper;
pub mod services;

use std::fs::{self, File, TryLockError};
use std::path::PathBuf;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde::Deserialize;

use self::host::Host;
use self::lxcfs::Lxcfs;
use self::plan::{HOSTS, HostPlan, LAB_DIR, LOCK_FILE, Role};
use self::product::Responder;
use self::reaper::Reaper;
use crate::vm::{self, Machine};
use crate::{diagnostics, say};

/// How long a run waits for another's lab to go.
const LOCK_DEADLINE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(250);
/// What a host shows in its first 20 seconds is learned as usual: a drill tries the product, not its warm-up.
const WARM_UP: Duration = Duration::from_secs(20);

/// What the lab is to hold.
#[derive(Debug)]
pub enum Contents {
    /// The services and their customers.
    ServicesOnly,
    /// These, and Firstlook from the binaries in that folder; with `machine` the virtual machine of the second tier too.
    WithProduct { bin_dir: PathBuf, machine: bool },
}

/// What the customers met so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Customers {
    /// Requests answered well.
    pub ok: u64,
    /// Requests answered with an error, or not at all.
    pub failed: u64,
}

/// A lab that is up. Dropped, it goes down, unless it is kept.
#[derive(Debug)]
pub struct Lab {
    hosts: Vec<Host>,
    lxcfs: Option<Lxcfs>,
    responder: Option<Responder>,
    machine: Option<Machine>,
    reaper: Reaper,
    standing: bool,
    // Held until the guard is dismissed as well.
    _lock: File,
}

impl Lab {
    /// Brings the lab up, after removing what an earlier run may have left.
    ///
    /// # Errors
    /// When a step fails; what was made so far is removed.
    pub fn up(contents: &Contents) -> anyhow::Result<Self> {
        let lock = lock()?;
        clean::remove_everything().context("removing what an earlier run left")?;
        let base = image::ensure_base()?;
        let wants_machine = matches!(contents, Contents::WithProduct { machine: true, .. });
        let images = wants_machine.then(vm::image::ensure).transpose()?;
        let reaper = Reaper::start(&lock)?;
        let begun = Instant::now();
        let mut lab = Self {
            hosts: Vec::new(),
            lxcfs: None,
            responder: None,
            machine: None,
            reaper,
            standing: true,
            _lock: lock,
        };
        fs::create_dir_all(LAB_DIR)?;
        network::create()?;
        lab.lxcfs = Lxcfs::start();
        let mut layers = vec![base];
        if let Contents::WithProduct { bin_dir, .. } = contents {
            layers.insert(0, product::make_layer(bin_dir)?);
        }
        let with_product = layers.len() > 1;
        lab.hosts = each_at_once(HOSTS.iter().collect(), |plan| {
            plan.prepare(&layers)?;
            services::install(plan)?;
            if with_product {
                product::install(plan)?;
            }
            Host::boot(plan)
        })?;
        lab.start_services()?;
        if let Some(images) = &images {
            lab.machine = Some(vm::boot(images, &product::layer())?);
        }
        say::progress(&format!(
            "lab: {} hosts with their services are up after {:.1} s",
            lab.hosts.len(),
            begun.elapsed().as_secs_f64()
        ));
        if with_product {
            lab.responder = Some(product::start(&lab.hosts).with_context(|| {
                let logs = diagnostics::save_logs(&lab.hosts, "start");
                format!(
                    "starting Firstlook (logs: {})",
                    logs.as_deref().unwrap_or("none")
                )
            })?);
            if let Some(machine) = &lab.machine {
                vm::join(machine, lab.responder()?, lab.host("load1"))?;
            }
            say::progress(&format!(
                "lab: every host reports to the collector after {:.1} s",
                begun.elapsed().as_secs_f64()
            ));
            thread::sleep(WARM_UP);
        }
        Ok(lab)
    }

    /// The host of that name.
    ///
    /// # Panics
    /// When the plan has no such host.
    pub fn host(&self, name: &str) -> &Host {
        let found = self.hosts.iter().find(|host| host.plan.name == name);
        found.expect("every host of the plan is up")
    }

    /// Every host.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// The responder's command.
    ///
    /// # Errors
    /// When the lab was brought up without the product.
    pub fn responder(&self) -> anyhow::Result<&Responder> {
        self.responder.as_ref().context("this lab has no collector")
    }

    /// The virtual machine.
    ///
    /// # Errors
    /// When the lab was brought up without it.
    pub fn machine(&self) -> anyhow::Result<&Machine> {
        let machine = self.machine.as_ref();
        machine.context("this lab has no virtual machine")
    }

    /// What the customers met so far, at most a second old; with a virtual machine, the till too.
    ///
    /// # Errors
    /// When they do not run.
    pub fn customers(&self) -> anyhow::Result<Customers> {
        let path = self.host("load1").inner_path("/run/load/counts.json");
        let text = fs::read_to_string(&path).context("reading the customers' counts")?;
        let mut all: Customers =
            serde_json::from_str(&text).context("reading the customers' counts")?;
        if self.machine.is_some() {
            let till = vm::till(self.host("load1"))?;
            all.ok += till.ok;
            all.failed += till.failed;
        }
        Ok(all)
    }

    /// Waits until the customers have met no failure for `calm`.
    ///
    /// # Errors
    /// When that does not happen within `deadline`.
    pub fn wait_for_calm(&self, calm: Duration, deadline: Duration) -> anyhow::Result<()> {
        let begun = Instant::now();
        let (mut since, mut last) = (Instant::now(), self.customers()?);
        loop {
            thread::sleep(POLL);
            let now = self.customers()?;
            if now.failed != last.failed {
                (since, last) = (Instant::now(), now);
            } else if since.elapsed() >= calm && now.ok > last.ok {
                return Ok(());
            }
            ensure!(
                begun.elapsed() < deadline,
                "requests still fail after {deadline:?}"
            );
        }
    }

    /// Takes everything down.
    ///
    /// # Errors
    /// When something would not go.
    pub fn down(&mut self) -> anyhow::Result<()> {
        if !self.standing {
            return Ok(());
        }
        self.standing = false;
        let removed = clean::remove_everything().context("removing the lab");
        self.hosts.iter_mut().for_each(Host::reap);
        self.machine.iter_mut().for_each(Machine::reap);
        if let Some(lxcfs) = &mut self.lxcfs {
            lxcfs.reap();
        }
        if removed.is_ok() {
            self.reaper.dismiss();
        }
        removed
    }

    /// Leaves everything as it is when dropped.
    pub fn keep(&mut self) {
        self.standing = false;
        self.reaper.dismiss();
    }

    /// From the back to the front, so that nobody asks what is not there yet.
    fn start_services(&self) -> anyhow::Result<()> {
        for roles in [
            &[Role::Database][..],
            &[Role::App],
            &[Role::Edge],
            &[Role::Load],
        ] {
            let now = self
                .hosts
                .iter()
                .filter(|host| roles.contains(&host.plan.role))
                .collect();
            each_at_once(now, services::start)?;
        }
        Ok(())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Err(error) = self.down() {
            say::progress(&format!("drills: {error:#}"));
        }
    }
}

/// Takes the lab's lock, waiting a while for another run to end.
///
/// # Errors
/// When another run holds it for 60 s.
pub fn lock() -> anyhow::Result<File> {
    let file = File::create(LOCK_FILE).with_context(|| format!("opening {LOCK_FILE}"))?;
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(error).context("locking the lab"),
            Err(TryLockError::WouldBlock) if begun.elapsed() > LOCK_DEADLINE => {
                bail!("another run uses the lab ({LOCK_FILE} is locked)")
            }
            Err(TryLockError::WouldBlock) => thread::sleep(POLL),
        }
    }
}

/// Runs a command in a host of the lab that is up, with our own standard streams; false when it
/// ended with another code than 0.
///
/// # Errors
/// When the host is not up.
pub fn enter(host: &HostPlan, command: &[String]) -> anyhow::Result<bool> {
    if host.role == Role::Payments {
        return vm::enter(host, command);
    }
    let init = cgroup::init_process(&host.outer_name());
    let init = init.with_context(|| format!("{} is not up", host.name))?;
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    let mut entering = host.command(init, &words);
    entering
        .stdin(Stdio::inherit())
        .stdout(Stdio::inherit())
        .stderr(Stdio::inherit());
    Ok(entering.status().context("entering the host")?.success())
}

/// Does the work for all at the same time. The first error in order is given, after all have ended.
fn each_at_once<T: Send, R: Send>(
    items: Vec<T>,
    work: impl Fn(T) -> anyhow::Result<R> + Sync,
) -> anyhow::Result<Vec<R>> {
    let work = &work;
    thread::scope(|scope| {
        let running: Vec<_> = items
            .into_iter()
            .map(|item| scope.spawn(move || work(item)))
            .collect();
        let ended: Vec<_> = running
            .into_iter()
            .map(thread::ScopedJoinHandle::join)
            .collect();
        ended
            .into_iter()
            .map(|end| end.expect("the work does not panic"))
            .collect()
    })
}
