//! File systems mounted, unmounted, or mounted otherwise. proc_pid_mountinfo(5).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Largest mountinfo read.
const FILE_LIMIT_BYTES: u64 = 4 * 1024 * 1024;
/// Most mounts kept.
const MOUNT_LIMIT: usize = 512;
/// Types that hold no data of their own, or come and go with sessions and containers.
const NONE: [&str; 29] = [
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
    "fuse.gvfsd-fuse",
    "fuse.lxcfs",
    "fuse.portal",
    "fuse.snapfuse",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nsfs",
    "nfsd",
    "overlay",
    "proc",
    "pstore",
    "ramfs",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "squashfs",
    "sysfs",
    "tracefs",
];

/// What is mounted at one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mount {
    source: String,
    fstype: String,
    /// Those of the mount and of the file system, sorted; times and the like that say nothing left out.
    options: Vec<String>,
}

/// Mount by place; of several at one place the last, which hides the others.
pub(super) type Mounts = BTreeMap<String, Mount>;

/// The host's mounts, by what its first process sees; by what the agent sees where that is hidden.
pub(super) fn read(proc_root: &Path) -> Option<Mounts> {
    let open = |pid| File::open(proc_root.join(pid).join("mountinfo"));
    let file = open("1").or_else(|_| open("self")).ok()?;
    let mut bytes = Vec::new();
    file.take(FILE_LIMIT_BYTES).read_to_end(&mut bytes).ok()?;
    Some(parse(&String::from_utf8_lossy(&bytes)))
}

pub(super) fn parse(text: &str) -> Mounts {
    let mut mounts = Mounts::new();
    for (place, mount) in text.lines().filter_map(parse_line) {
        if mounts.len() < MOUNT_LIMIT || mounts.contains_key(&place) {
            mounts.insert(place, mount);
        }
    }
    mounts
}

fn parse_line(line: &str) -> Option<(String, Mount)> {
    let (own, device) = line.split_once(" - ")?;
    let mut own = own.split(' ').skip(4);
    let (place, own_options) = (own.next()?, own.next()?);
    let mut device = device.splitn(3, ' ');
    let (fstype, source) = (device.next()?, device.next()?);
    let of_host = !NONE.contains(&fstype)
        && ![
            "/run/",
            "/proc/",
            "/sys/",
            "/var/lib/docker/",
            "/var/lib/containerd/",
            "/var/lib/kubelet/",
        ]
        .iter()
        .any(|dir| place.starts_with(dir));
    if !of_host || fstype == "tmpfs" && place != "/tmp" || place.len() > 1_024 {
        return None;
    }
    let superblock = device.next().unwrap_or_default();
    let all = own_options.split(',').chain(superblock.split(','));
    let mut options: Vec<String> = all
        .filter(|option| matters(option))
        .map(str::to_owned)
        .collect();
    options.sort();
    options.dedup();
    // A mount is read-only when it or its file system is.
    if options.iter().any(|option| option == "ro") {
        options.retain(|option| option != "rw");
    }
    let cut = |text: &str| text.chars().take(256).collect();
    let mount = Mount {
        source: cut(source),
        fstype: cut(fstype),
        options,
    };
    Some((place.replace("\\040", " "), mount))
}

fn matters(option: &str) -> bool {
    let name = option.split('=').next().unwrap_or(option);
    matches!(
        name,
        "ro" | "rw"
            | "noexec"
            | "nosuid"
            | "nodev"
            | "sync"
            | "hard"
            | "soft"
            | "vers"
            | "timeo"
            | "retrans"
            | "addr"
            | "errors"
            | "data"
            | "nobarrier"
            | "discard"
            | "quota"
            | "usrquota"
            | "prjquota"
            | "size"
            | "subvol"
    ) && option.len() <= 128
}

/// Place and line for people of what came, went or changed.
pub(super) fn compare(old: &Mounts, new: &Mounts) -> Vec<(String, String)> {
    let mut changes = Vec::new();
    for (place, mount) in new {
        let text = match old.get(place) {
            None => format!("{} ({}) was mounted at {place}", mount.source, mount.fstype),
            Some(before) if before == mount => continue,
            Some(before) if before.source == mount.source => {
                format!(
                    "{place} was mounted otherwise: {}",
                    differing(before, mount)
                )
            }
            Some(before) => format!("{place} is now {}, was {}", mount.source, before.source),
        };
        changes.push((place.clone(), text));
    }
    let gone = old.iter().filter(|(place, _)| !new.contains_key(*place));
    changes.extend(gone.map(|(place, mount)| {
        (
            place.clone(),
            format!("{} was unmounted from {place}", mount.source),
        )
    }));
    changes
}

fn differing(old: &Mount, new: &Mount) -> String {
    let only = |a: &Mount, b: &Mount| {
        let only: Vec<_> = a
            .options
            .iter()
            .filter(|o| !b.options.contains(o))
            .cloned()
            .collect();
        if only.is_empty() {
            "nothing".to_owned()
        } else {
            only.join(",")
        }
    };
    format!("{} instead of {}", only(new, old), only(old, new))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BEFORE: &str = "\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro
23 22 0:21 / /proc rw,nosuid - proc proc rw
24 22 8:17 / /srv/my\\040data rw,noatime - xfs /dev/sdb1 rw,attr2
25 22 0:40 / /mnt/share rw - nfs4 nas1:/share rw,vers=4.2,hard,timeo=600
26 22 0:50 / /run/user/0 rw - tmpfs tmpfs rw,size=5k
";

    #[test]
    fn mounts_that_came_went_or_changed_are_told() {
        let before = parse(BEFORE);
        assert_eq!(
            before.keys().collect::<Vec<_>>(),
            ["/", "/mnt/share", "/srv/my data"]
        );
        let after = BEFORE
            .replace(
                "/ / rw,relatime shared:1 - ext4 /dev/sda1 rw,",
                "/ / ro,relatime - ext4 /dev/sda1 ro,",
            )
            .replace(
                "25 22 0:40 / /mnt/share rw - nfs4 nas1:/share",
                "25 22 8:33 / /opt rw - ext4 /dev/sdc1",
            )
            .replace("/dev/sdb1", "/dev/sdz1");
        let texts: Vec<_> = compare(&before, &parse(&after))
            .into_iter()
            .map(|(_, text)| text)
            .collect();
        assert_eq!(
            texts,
            [
                "/ was mounted otherwise: ro instead of rw",
                "/dev/sdc1 (ext4) was mounted at /opt",
                "/srv/my data is now /dev/sdz1, was /dev/sdb1",
                "nas1:/share was unmounted from /mnt/share",
            ]
        );
        assert_eq!(compare(&before, &before), []);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "([0-9]{1,3}|/[a-z]{0,4}| |-|rw|,|ext4|\n|\\PC){0,80}") {
            prop_assert!(parse(&text).len() <= MOUNT_LIMIT);
        }
    }
}
