//! Mounted filesystems and how full they are. Source: proc_pid_mountinfo(5), statvfs(3).

use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::gather::read_bounded;
use crate::request::Roots;
use crate::task::{GatherError, NoAnswer, Task, within};

/// How long one filesystem may take to answer.
const ANSWER_DEADLINE: Duration = Duration::from_secs(1);
/// After so many that do not answer the rest is not asked.
const SILENT_LIMIT: usize = 3;
/// Most filesystems asked.
const MOUNTS_LIMIT: usize = 512;
const MOUNTINFO_LIMIT_BYTES: usize = 1024 * 1024;

/// Kernel filesystems without contents on a device: they have no fill level.
const VIRTUAL: [&str; 20] = [
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nsfs",
    "proc",
    "pstore",
    "rpc_pipefs",
    "securityfs",
    "sysfs",
    "tracefs",
];

/// One line of the item.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Mount {
    mount_point: String,
    fstype: String,
    source: String,
    options: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
    /// Why there is no usage, where there should be one.
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown: Option<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Usage {
    size_bytes: u64,
    free_bytes: u64,
    available_bytes: u64,
    inodes: u64,
    inodes_available: u64,
}

pub(super) fn task(roots: &Roots) -> Task {
    let path = roots.proc.join("self/mountinfo");
    let what = "mounts with size and use, one JSON object per line";
    Task::new("mounts.jsonl", what, move |sink| {
        let file = File::open(&path).map_err(GatherError::read(&path))?;
        let (text, _) = read_bounded(&path, file, MOUNTINFO_LIMIT_BYTES)?;
        let (mut silent, mut asked) = (0, 0);
        for mut mount in String::from_utf8_lossy(&text).lines().filter_map(parse) {
            if !VIRTUAL.contains(&mount.fstype.as_str()) && asked < MOUNTS_LIMIT {
                asked += 1;
                if silent < SILENT_LIMIT {
                    silent += usize::from(measure(&mut mount));
                } else {
                    mount.unknown = Some("not asked: others did not answer".to_owned());
                }
            }
            let mut line = serde_json::to_vec(&mount)
                .map_err(|e| GatherError::Partly(format!("cannot be written: {e}")))?;
            line.push(b'\n');
            sink.write(&line)?;
        }
        Ok(())
    })
}

/// Asks a filesystem for its fill level. Whether it did not answer in time.
fn measure(mount: &mut Mount) -> bool {
    let path = PathBuf::from(&mount.mount_point);
    match within(ANSWER_DEADLINE, move || rustix::fs::statvfs(&path)) {
        Ok(Ok(stat)) => {
            mount.usage = Some(Usage {
                size_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
                free_bytes: stat.f_bfree.saturating_mul(stat.f_frsize),
                available_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
                inodes: stat.f_files,
                inodes_available: stat.f_favail,
            });
            false
        }
        Ok(Err(error)) => {
            mount.unknown = Some(error.to_string());
            false
        }
        Err(silence) => {
            mount.unknown = Some("did not answer within 1 s".to_owned());
            silence == NoAnswer::Deadline
        }
    }
}

fn parse(line: &str) -> Option<Mount> {
    let (left, right) = line.split_once(" - ")?;
    let left: Vec<&str> = left.split(' ').collect();
    let mut right = right.split(' ');
    let (fstype, source) = (right.next()?, right.next()?);
    Some(Mount {
        mount_point: unescape(left.get(4)?),
        fstype: fstype.to_owned(),
        source: unescape(source),
        options: (*left.get(5)?).to_owned(),
        ..Mount::default()
    })
}

/// `\040` and its like stand for white space and the backslash.
fn unescape(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let octal = bytes.get(at + 1..at + 4).filter(|d| {
            bytes[at] == b'\\' && d[0] <= b'3' && d.iter().all(|b| (b'0'..=b'7').contains(b))
        });
        if let Some(d) = octal {
            out.push((d[0] - b'0') * 64 + (d[1] - b'0') * 8 + (d[2] - b'0'));
            at += 4;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn mounts_are_read_from_mountinfo() {
        let line =
            r"36 35 98:0 /mnt1 /mnt\040two rw,noatime master:1 - ext3 /dev/root rw,errors=continue";
        let mount = parse(line).unwrap();
        assert_eq!(mount.mount_point, "/mnt two");
        assert_eq!(
            (mount.fstype.as_str(), mount.source.as_str()),
            ("ext3", "/dev/root")
        );
        assert_eq!(mount.options, "rw,noatime");
        assert_eq!(parse("36 35 - ext3"), None);
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_panic(line in "(\\PC| |\\\\[0-9]{0,3}| - ){0,40}") {
            parse(&line);
        }
    }
}
