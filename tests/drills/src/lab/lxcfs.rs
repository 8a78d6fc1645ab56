//! Each host's own `/proc/stat`, `meminfo`, `cpuinfo`, `loadavg`, `uptime` and `swaps`, by lxcfs.
//!
//! Without it a host shows the whole machine's figures. It is a help, not a need: where lxcfs
//! cannot run, the lab does without, and says so.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::cgroup;
use super::plan::{LAB_DIR, LXCFS_GROUP};
use crate::command::words;
use crate::say;

const START_DEADLINE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);
/// Where the host sees lxcfs, until its files are in place.
const INNER: &str = "/var/lib/lxcfs";
/// Shell line that puts the files in place. Not `diskstats`: lxcfs shows the machine's there too.
pub const OWN_PROC: &str = "if mountpoint -q /var/lib/lxcfs; then \
    for f in cpuinfo loadavg meminfo stat swaps uptime; do \
    mount --bind /var/lib/lxcfs/proc/$f /proc/$f || exit 1; done; umount /var/lib/lxcfs; fi";

/// The running lxcfs.
#[derive(Debug)]
pub struct Lxcfs {
    process: Child,
}

impl Lxcfs {
    /// Starts it in a cgroup of its own, by which `clean` finds it. `None` where it does not run.
    pub fn start() -> Option<Self> {
        let started = try_start();
        if let Err(error) = &started {
            say::progress(&format!(
                "lab: no lxcfs, hosts show the machine's figures: {error:#}"
            ));
        }
        started.ok()
    }

    /// Collects its exit after it was killed.
    pub fn reap(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The option that shows lxcfs to a host; none when it does not run.
pub fn bind_option() -> Option<String> {
    let files = mount_point();
    files
        .join("proc/stat")
        .exists()
        .then(|| format!("--bind={}:{INNER}", files.display()))
}

fn try_start() -> anyhow::Result<Lxcfs> {
    let point = mount_point();
    fs::create_dir_all(&point)?;
    cgroup::create(LXCFS_GROUP)?;
    let log = File::create(Path::new(LAB_DIR).join("lxcfs.log"))?;
    // In no host's cgroup, and in one only: enough to be found.
    let group = cgroup::dirs(LXCFS_GROUP);
    let join = "echo $$ > \"$1/cgroup.procs\" && shift && exec \"$@\"";
    let mut command = words(&["sh", "-c", join, "sh"]);
    command.arg(
        group
            .last()
            .ok_or_else(|| anyhow::anyhow!("this machine has no cgroups"))?,
    );
    command
        .args(["lxcfs", "-f", "-p"])
        .arg(Path::new(LAB_DIR).join("lxcfs.pid"))
        .arg(&point);
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0);
    let mut lxcfs = Lxcfs {
        process: command.spawn()?,
    };
    let begun = Instant::now();
    while !point.join("proc/stat").exists() {
        let ended = lxcfs.process.try_wait()?;
        if ended.is_some() || begun.elapsed() > START_DEADLINE {
            lxcfs.reap();
            anyhow::bail!("lxcfs does not come up, see {LAB_DIR}/lxcfs.log");
        }
        thread::sleep(POLL);
    }
    Ok(lxcfs)
}

fn mount_point() -> PathBuf {
    Path::new(LAB_DIR).join("lxcfs")
}
