//! Where the kernel's files are: configurable, for containers and for the lab.

use std::path::{Path, PathBuf};

/// Mount points of the kernel's file systems.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostRoots {
    /// procfs. Default `/proc`. Elsewhere, the host is the one whose process 1 is seen there.
    pub proc: PathBuf,
    /// sysfs. Default `/sys`.
    pub sys: PathBuf,
    /// cgroup file systems: cgroup2 itself, or a folder of cgroup v1 controllers, with cgroup2 at
    /// `unified` where it is mounted beside them. Default `/sys/fs/cgroup`.
    pub cgroup: PathBuf,
    /// Pressure stall files `cpu`, `memory` and `io`. Default `/proc/pressure`.
    pub pressure: PathBuf,
}

impl Default for HostRoots {
    fn default() -> Self {
        Self {
            proc: "/proc".into(),
            sys: "/sys".into(),
            cgroup: "/sys/fs/cgroup".into(),
            pressure: "/proc/pressure".into(),
        }
    }
}

impl HostRoots {
    /// A file of the network namespace: this process's own, or process 1's behind a foreign procfs.
    pub(crate) fn net(&self, file: &str) -> PathBuf {
        let folder = if self.proc == Path::new("/proc") {
            "net"
        } else {
            "1/net"
        };
        self.proc.join(folder).join(file)
    }

    /// Where a file of the host itself may be: in our own tree, where that is the host's, and below process 1's.
    pub(crate) fn of_host(&self, file: &str) -> Vec<PathBuf> {
        let own = (self.proc == Path::new("/proc")).then(|| Path::new("/").join(file));
        let first = self.proc.join("1/root").join(file);
        own.into_iter().chain([first]).collect()
    }

    /// The root of cgroup2, where there is one.
    pub(crate) fn cgroup2(&self) -> Option<PathBuf> {
        [self.cgroup.clone(), self.cgroup.join("unified")]
            .into_iter()
            .find(|root| root.join("cgroup.controllers").exists())
    }
}
