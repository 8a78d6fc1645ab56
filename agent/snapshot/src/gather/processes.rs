//! Processes: who they are, what they hold open, what they were started with. Never their environment.
//! Source: proc_pid_stat(5), proc_pid_status(5), proc_pid_cgroup(5).

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use firstlook_model::Timestamp;
use serde::Serialize;

use crate::gather::read_bounded;
use crate::request::{Redact, Roots};
use crate::task::{GatherError, Sink, Task};

/// Most processes listed.
const PROCESSES_LIMIT: usize = 20_000;
/// Longest command line kept.
const COMMAND_LIMIT_BYTES: usize = 4_096;
/// Most descriptors looked at of one process.
const DESCRIPTORS_LIMIT: usize = 4_096;
const FILE_LIMIT_BYTES: usize = 64 * 1024;

/// One line of the item.
#[derive(Debug, Default, PartialEq, Serialize)]
struct Process {
    pid: u32,
    ppid: u32,
    name: String,
    /// R, S, D, T, Z … as in proc_pid_stat(5).
    state: char,
    uid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<Timestamp>,
    cpu_seconds: f64,
    resident_bytes: u64,
    threads: u32,
    #[serde(skip_serializing_if = "String::is_empty")]
    cgroup: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    command: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    program: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    folder: Option<String>,
    /// `None` where this agent may not look.
    #[serde(skip_serializing_if = "Option::is_none")]
    open_files: Option<usize>,
    /// Inodes of its sockets: the key to the socket tables.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sockets: Vec<u64>,
}

/// What is the same for all processes of a host.
struct Host {
    users: HashMap<u32, String>,
    booted_secs: Option<i64>,
    ticks_per_second: u64,
    page_bytes: u64,
}

pub(super) fn task(roots: &Roots, redact: Arc<dyn Redact>) -> Task {
    let roots = roots.clone();
    let what = "processes, one JSON object per line";
    Task::new("processes.jsonl", what, move |sink| {
        let host = Host::read(&roots);
        let mut pids = pids(&roots.proc)?;
        let over = pids.len().saturating_sub(PROCESSES_LIMIT);
        pids.truncate(PROCESSES_LIMIT);
        for pid in pids {
            // One that has ended since is no loss.
            if let Some(process) = host.process(&roots.proc, pid, redact.as_ref()) {
                write(&process, sink)?;
            }
        }
        match over {
            0 => Ok(()),
            _ => Err(GatherError::Partly(format!(
                "{over} processes over the limit"
            ))),
        }
    })
}

fn write(process: &Process, sink: &Sink) -> Result<(), GatherError> {
    let mut line = serde_json::to_vec(process)
        .map_err(|e| GatherError::Partly(format!("cannot be written: {e}")))?;
    line.push(b'\n');
    sink.write(&line)
}

fn pids(proc: &Path) -> Result<Vec<u32>, GatherError> {
    let entries = std::fs::read_dir(proc).map_err(GatherError::read(proc))?;
    let mut pids: Vec<u32> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    Ok(pids)
}

impl Host {
    fn read(roots: &Roots) -> Self {
        let passwd = text(&roots.passwd).unwrap_or_default();
        let users = passwd.lines().filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            Some((fields.nth(1)?.parse().ok()?, name.to_owned()))
        });
        let stat = text(&roots.proc.join("stat")).unwrap_or_default();
        let booted = stat.lines().find_map(|line| line.strip_prefix("btime "));
        Self {
            users: users.collect(),
            booted_secs: booted.and_then(|secs| secs.trim().parse().ok()),
            ticks_per_second: rustix::param::clock_ticks_per_second().max(1),
            page_bytes: rustix::param::page_size() as u64,
        }
    }

    fn process(&self, proc: &Path, pid: u32, redact: &dyn Redact) -> Option<Process> {
        let folder = proc.join(pid.to_string());
        let mut process = self.parse_stat(&text(&folder.join("stat"))?)?;
        let status = text(&folder.join("status")).unwrap_or_default();
        process.uid = uid(&status).unwrap_or(0);
        process.user = self.users.get(&process.uid).cloned();
        let cgroups = text(&folder.join("cgroup")).unwrap_or_default();
        process.cgroup = cgroup(&cgroups).to_owned();
        process.unit = unit(&process.cgroup);
        // The command line lies in the process's own memory: reading it may wait for the very lock that a
        // process in uninterruptible sleep holds.
        if process.state != 'D' {
            process.command = command(&folder.join("cmdline"), redact);
        }
        process.program = link(&folder.join("exe"));
        process.folder = link(&folder.join("cwd"));
        if let Some((count, sockets)) = descriptors(&folder.join("fd")) {
            (process.open_files, process.sockets) = (Some(count), sockets);
        }
        Some(process)
    }

    fn parse_stat(&self, stat: &str) -> Option<Process> {
        // The name may hold anything, brackets and spaces too.
        let (open, close) = (stat.find('(')?, stat.rfind(')')?);
        let name = stat.get(open + 1..close)?;
        let fields: Vec<&str> = stat.get(close + 1..)?.split_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        let ticks = number(11)?.saturating_add(number(12)?);
        let started = self.booted_secs.zip(number(19)).map(|(booted, ticks)| {
            let millis = u128::from(ticks) * 1_000 / u128::from(self.ticks_per_second);
            let millis = i64::try_from(millis).unwrap_or(i64::MAX);
            Timestamp::from_millis(booted.saturating_mul(1_000).saturating_add(millis))
        });
        Some(Process {
            pid: stat[..open].trim().parse().ok()?,
            ppid: u32::try_from(number(1)?).ok()?,
            name: name.to_owned(),
            state: fields.first()?.chars().next()?,
            started,
            cpu_seconds: ticks as f64 / self.ticks_per_second as f64,
            resident_bytes: number(21)?.saturating_mul(self.page_bytes),
            threads: u32::try_from(number(17)?).ok()?,
            ..Process::default()
        })
    }
}

fn uid(status: &str) -> Option<u32> {
    let uids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    uids.split_whitespace().nth(1)?.parse().ok()
}

/// Of the unified hierarchy, else of systemd's own.
fn cgroup(cgroups: &str) -> &str {
    let of = |begin: &str| cgroups.lines().find_map(|line| line.strip_prefix(begin));
    let named = || {
        let line = cgroups
            .lines()
            .find(|line| line.contains(":name=systemd:"))?;
        line.splitn(3, ':').nth(2)
    };
    of("0::").or_else(named).unwrap_or_default()
}

fn unit(cgroup: &str) -> Option<String> {
    let is_unit = |part: &&str| part.ends_with(".service") || part.ends_with(".scope");
    cgroup.split('/').rev().find(is_unit).map(str::to_owned)
}

fn command(path: &Path, redact: &dyn Redact) -> String {
    let Ok(file) = File::open(path) else {
        return String::new();
    };
    let (bytes, _) = read_bounded(path, file, COMMAND_LIMIT_BYTES).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    redact.line(text.trim_end_matches('\0').replace('\0', " ").trim_end())
}

fn link(path: &Path) -> Option<String> {
    let target: PathBuf = std::fs::read_link(path).ok()?;
    Some(target.to_string_lossy().into_owned())
}

/// How many descriptors are open, and the inodes of those that are sockets.
fn descriptors(folder: &Path) -> Option<(usize, Vec<u64>)> {
    let (mut count, mut sockets) = (0, Vec::new());
    for entry in std::fs::read_dir(folder).ok()?.flatten() {
        count += 1;
        if count > DESCRIPTORS_LIMIT {
            continue;
        }
        let target = link(&entry.path()).unwrap_or_default();
        let inode = target
            .strip_prefix("socket:[")
            .and_then(|t| t.strip_suffix(']'));
        sockets.extend(inode.and_then(|inode| inode.parse::<u64>().ok()));
    }
    sockets.sort_unstable();
    Some((count, sockets))
}

fn text(path: &Path) -> Option<String> {
    let (bytes, _) = read_bounded(path, File::open(path).ok()?, FILE_LIMIT_BYTES).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn host() -> Host {
        Host {
            users: HashMap::new(),
            booted_secs: Some(1_700_000_000),
            ticks_per_second: 100,
            page_bytes: 4_096,
        }
    }

    #[test]
    fn a_name_with_brackets_and_spaces_is_read_whole() {
        let stat =
            "4711 (a) b (c) S 1 4711 4711 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 7 0 1000 9 256 18";
        let process = host().parse_stat(stat).unwrap();
        assert_eq!((process.pid, process.name.as_str()), (4711, "a) b (c"));
        assert_eq!((process.state, process.ppid, process.threads), ('S', 1, 7));
        assert_eq!(process.cpu_seconds, 2.0);
        assert_eq!(process.resident_bytes, 1 << 20);
        assert_eq!(process.started, Some(Timestamp::from_secs(1_700_000_010)));
    }

    #[test]
    fn units_are_read_from_either_hierarchy() {
        let unified = "0::/system.slice/nginx.service\n";
        let named = "2:cpu:/x\n1:name=systemd:/system.slice/db.service/sub\n";
        assert_eq!(unit(cgroup(unified)).as_deref(), Some("nginx.service"));
        assert_eq!(unit(cgroup(named)).as_deref(), Some("db.service"));
        assert_eq!(unit(cgroup("")), None);
    }

    proptest! {
        #[test]
        fn any_stat_is_read_without_panic(stat in "(\\PC|[()]| |[0-9]{1,20}){0,60}") {
            host().parse_stat(&stat);
        }
    }
}
