//! One cgroup per host in every hierarchy of this machine, v1, v2 or both.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::command::{check, words};

const KILL_DEADLINE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(50);

/// The group of that name in each hierarchy, whether it exists or not.
pub fn dirs(name: &str) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    hierarchies(&mounts)
        .into_iter()
        .map(|hierarchy| hierarchy.join(name))
        .collect()
}

/// Makes the group in every hierarchy and gives it all processors and memory nodes, without which a
/// v1 cpuset takes no process.
///
/// # Errors
/// When a hierarchy is not writable.
pub fn create(name: &str) -> anyhow::Result<()> {
    for dir in dirs(name) {
        fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
        for file in ["cpuset.cpus", "cpuset.mems"] {
            let Some(from) = dir.parent().map(|parent| parent.join(file)) else {
                continue;
            };
            if let Ok(all) = fs::read(from) {
                let to = dir.join(file);
                fs::write(&to, all).with_context(|| format!("writing {}", to.display()))?;
            }
        }
    }
    Ok(())
}

/// Lets the group run on those processors alone, as in `0-1`; on all without any said. The groups below it follow.
///
/// # Errors
/// When there is no hierarchy that can.
pub fn pin(name: &str, processors: Option<&str>) -> anyhow::Result<()> {
    let mut pinned = false;
    for dir in dirs(name) {
        let file = dir.join("cpuset.cpus");
        if !file.exists() {
            continue;
        }
        let all = || fs::read_to_string(dir.join("../cpuset.cpus"));
        let processors = processors.map_or_else(all, |some| Ok(some.to_owned()));
        let processors = processors.with_context(|| format!("reading above {}", dir.display()))?;
        let mut groups = Vec::new();
        visit(&dir, &mut |dir| groups.push(dir.to_owned()));
        // A group may not have what the one above it lacks: taken away from the lowest first, given from the top.
        let wider = fs::read_to_string(&file)?.trim().len() < processors.trim().len();
        if wider {
            groups.reverse();
        }
        for group in groups {
            let file = group.join("cpuset.cpus");
            fs::write(&file, &processors).with_context(|| format!("writing {}", file.display()))?;
        }
        pinned = true;
    }
    anyhow::ensure!(pinned, "no hierarchy has cpusets");
    Ok(())
}

/// Every process in the group and the groups below it.
pub fn processes(name: &str) -> Vec<u32> {
    let mut found = Vec::new();
    for dir in dirs(name) {
        visit(&dir, &mut |dir| {
            let text = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
            found.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
        });
    }
    // 0 stands for a process outside this PID namespace: not ours to signal.
    found.retain(|&pid| pid != 0);
    found.sort_unstable();
    found.dedup();
    found
}

/// The process that is PID 1 of the host whose group this is.
pub fn init_process(name: &str) -> Option<u32> {
    processes(name).into_iter().find(|pid| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        is_init(&status)
    })
}

/// Kills every process of the group and removes it from all hierarchies.
///
/// # Errors
/// When a process survives, or a group stays busy, for 20 s.
pub fn remove(name: &str) -> anyhow::Result<()> {
    let begun = Instant::now();
    // PID 1 first: the kernel then kills the rest of its namespace at once.
    if let Some(init) = init_process(name) {
        kill(&[init])?;
    }
    loop {
        kill(&processes(name))?;
        let mut left = Vec::new();
        for dir in dirs(name) {
            visit(&dir, &mut |dir| {
                if fs::remove_dir(dir).is_err() && dir.exists() {
                    left.push(dir.to_owned());
                }
            });
        }
        match left.first() {
            None => return Ok(()),
            Some(dir) if begun.elapsed() > KILL_DEADLINE => bail!("{} stays busy", dir.display()),
            Some(_) => thread::sleep(POLL),
        }
    }
}

fn kill(pids: &[u32]) -> anyhow::Result<()> {
    if pids.is_empty() {
        return Ok(());
    }
    let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
    // Some are gone by the time the signal is sent; that is what was wanted.
    let mut command = words(&["sh", "-c", "kill -KILL \"$@\" 2>/dev/null; true", "sh"]);
    check(command.args(pids), KILL_DEADLINE).map(drop)
}

/// Children before their parent.
fn visit(dir: &Path, each: &mut impl FnMut(&Path)) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            visit(&entry.path(), each);
        }
    }
    each(dir);
}

fn hierarchies(mounts: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for line in mounts.lines() {
        let mut fields = line.split(' ').skip(1);
        if let (Some(point), Some("cgroup" | "cgroup2")) = (fields.next(), fields.next()) {
            found.push(PathBuf::from(point));
        }
    }
    found
}

/// The last number of `NSpid` is the process's number in its own namespace. One number alone means
/// this machine's namespace.
fn is_init(status: &str) -> bool {
    let numbers = status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))
        .unwrap_or_default();
    let numbers: Vec<&str> = numbers.split_whitespace().collect();
    numbers.len() > 1 && numbers.last() == Some(&"1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_hierarchy_are_found() {
        let mounts = "proc /proc proc rw 0 0\n\
            cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu 0 0\n\
            cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        let expected = ["/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/unified"];
        assert_eq!(hierarchies(mounts), expected.map(PathBuf::from));
    }

    #[test]
    fn only_the_first_process_of_an_inner_namespace_is_a_hosts_init() {
        for (status, expected) in [
            ("Name:\tsystemd\nNSpid:\t15465\t1\n", true),
            ("Name:\tsystemd\nNSpid:\t1\n", false),
            ("Name:\thaproxy\nNSpid:\t15494\t21\n", false),
            ("", false),
        ] {
            assert_eq!(is_init(status), expected, "{status}");
        }
    }
}
