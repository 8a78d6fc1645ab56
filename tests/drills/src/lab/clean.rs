//! Removal of everything that the plan names, whoever made it. Safe at any time, any number of times.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};

use super::plan::{self, LAB_DIR};
use super::{cgroup, network};
use crate::command::{check, words};

const UNMOUNT_DEADLINE: Duration = Duration::from_secs(30);

/// Ends the lab's processes, then removes its cgroups, mounts, namespaces and files.
///
/// # Errors
/// The first thing that would not go. The lab's files are removed only when nothing is mounted
/// below them any more.
pub fn remove_everything() -> anyhow::Result<()> {
    for group in plan::cgroups() {
        cgroup::remove(&group).with_context(|| format!("ending {group}"))?;
    }
    for point in mounts() {
        let mut command = words(&["umount"]);
        check(command.arg(&point), UNMOUNT_DEADLINE)?;
    }
    network::remove()?;
    ensure!(
        mounts().is_empty(),
        "something is still mounted below {LAB_DIR}"
    );
    match fs::remove_dir_all(LAB_DIR) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {LAB_DIR}"))
        }
        _ => Ok(()),
    }
}

/// What is there of the plan, in words; empty when nothing is.
pub fn leftovers() -> Vec<String> {
    let groups = plan::cgroups()
        .into_iter()
        .flat_map(|group| cgroup::dirs(&group));
    let groups = groups
        .filter(|dir| dir.exists())
        .map(|dir| format!("cgroup {}", dir.display()));
    let spaces = network::existing()
        .into_iter()
        .map(|space| format!("network namespace {space}"));
    let mounts = mounts()
        .into_iter()
        .map(|point| format!("mount {}", point.display()));
    let files = Path::new(LAB_DIR)
        .exists()
        .then(|| format!("folder {LAB_DIR}"));
    let loops = loop_devices()
        .into_iter()
        .map(|name| format!("loop device {name}"));
    groups
        .chain(spaces)
        .chain(mounts)
        .chain(loops)
        .chain(files)
        .collect()
}

/// Mount points below the lab's folder, the last mounted first.
fn mounts() -> Vec<PathBuf> {
    below_lab(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default())
}

fn below_lab(mountinfo: &str) -> Vec<PathBuf> {
    let points = mountinfo
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(PathBuf::from);
    let mut points: Vec<PathBuf> = points.filter(|point| point.starts_with(LAB_DIR)).collect();
    points.reverse();
    points
}

/// Loop devices that still hold a file of the lab.
fn loop_devices() -> Vec<String> {
    let Ok(entries) = fs::read_dir("/sys/block") else {
        return Vec::new();
    };
    let held = entries.flatten().filter(|entry| {
        let backing = fs::read_to_string(entry.path().join("loop/backing_file"));
        backing.is_ok_and(|file| file.starts_with(LAB_DIR))
    });
    held.map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_mounts_of_the_lab_are_touched_and_inner_ones_first() {
        let mountinfo = "\
            1 0 8:1 / / rw - ext4 /dev/vda rw\n\
            2 1 0:5 / /var/tmp/fl-lab/hosts/db1/root rw - overlay overlay rw\n\
            3 2 7:0 / /var/tmp/fl-lab/hosts/db1/root/var/lib/postgresql rw - ext4 /dev/loop0 rw\n\
            4 1 0:6 / /var/tmp/fl-laboratory rw - tmpfs tmpfs rw\n";
        let expected = [
            "/var/tmp/fl-lab/hosts/db1/root/var/lib/postgresql",
            "/var/tmp/fl-lab/hosts/db1/root",
        ];
        assert_eq!(below_lab(mountinfo), expected.map(PathBuf::from));
    }
}
