//! Which file systems are mounted (`mountinfo`). proc_pid_mountinfo(5).
//!
//! Real ones only: those that hold data and can fill up, fail or hang. One per device: of bind mounts, the
//! one of the file system's own root counts, then the shortest. Process 1's table is preferred to our
//! own, where a sandbox would show file systems as read-only that are not.

use std::collections::HashSet;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::reader::{Descriptors, KeptFile};
use crate::roots::HostRoots;
use crate::text::{fields, lines, number};

/// Numbers of a block device; major 0 for those without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Device {
    pub major: u32,
    pub minor: u32,
}

/// One mounted file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MountPoint {
    pub device: Device,
    /// Where, as process 1 sees it.
    pub path: Arc<Path>,
    /// Type, as `ext4`.
    pub fstype: String,
    /// Source, as `/dev/vda1`.
    pub source: String,
    /// The superblock or this mount is read-only.
    pub readonly: bool,
    /// Whether the mount shows the file system's own root, and not a folder of it.
    own_root: bool,
}

impl MountPoint {
    /// Whether it lives on another machine or in a program: dear to ask, and prone to hang.
    pub(crate) fn remote(&self) -> bool {
        let types = ["nfs", "nfs4", "cifs", "smb3", "ceph", "9p", "glusterfs"];
        types.contains(&self.fstype.as_str()) || self.fstype.starts_with("fuse.")
    }
}

/// Parses one line; `None` when it is malformed.
fn parse_line(line: &[u8]) -> Option<MountPoint> {
    let mut fields = fields(line);
    let device = fields.nth(2)?;
    let colon = device.iter().position(|b| *b == b':')?;
    let device = Device {
        major: u32::try_from(number(&device[..colon])?).ok()?,
        minor: u32::try_from(number(&device[colon + 1..])?).ok()?,
    };
    let root = fields.next()?;
    let path = PathBuf::from(std::ffi::OsString::from_vec(unescape(fields.next()?)));
    let options = fields.next()?;
    fields.by_ref().find(|field| *field == b"-")?;
    let fstype = String::from_utf8_lossy(fields.next()?).into_owned();
    let source = String::from_utf8_lossy(&unescape(fields.next()?)).into_owned();
    let superblock = fields.next().unwrap_or_default();
    Some(MountPoint {
        device,
        path: path.into(),
        fstype,
        source,
        readonly: has_option(options, b"ro") || has_option(superblock, b"ro"),
        own_root: root == b"/",
    })
}

fn has_option(options: &[u8], wanted: &[u8]) -> bool {
    options.split(|b| *b == b',').any(|option| option == wanted)
}

/// Undoes the kernel's octal escapes: `\040` for a blank.
pub(crate) fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        let octal = tail
            .get(..3)
            .filter(|_| *first == b'\\')
            .and_then(|digits| {
                digits.iter().try_fold(0u32, |value, digit| {
                    matches!(digit, b'0'..=b'7').then(|| value * 8 + u32::from(digit - b'0'))
                })
            })
            .and_then(|code| u8::try_from(code).ok());
        plain.push(octal.unwrap_or(*first));
        rest = if octal.is_some() { &tail[3..] } else { tail };
    }
    plain
}

/// Whether a type holds data that can fill up or be lost.
fn real(mount: &MountPoint) -> bool {
    const NONE: [&str; 30] = [
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
        "iso9660",
        "mqueue",
        "nsfs",
        "nfsd",
        "proc",
        "pstore",
        "ramfs",
        "rpc_pipefs",
        "securityfs",
        "selinuxfs",
        "squashfs",
        "sysfs",
        "tracefs",
        "erofs",
    ];
    // What a container is handed by its manager: systemd's container interface.
    if mount.path.starts_with("/run/host") {
        return false;
    }
    let path = mount.path.as_os_str();
    match mount.fstype.as_str() {
        // A full /run or /tmp breaks a host; other tmpfs are many, small and private.
        "tmpfs" => path == "/run" || path == "/tmp" || path == "/dev/shm",
        "overlay" => path == "/",
        other => !NONE.contains(&other),
    }
}

/// The real file systems of a table, one per device, ordered by path. Malformed lines are left out.
pub(crate) fn parse(bytes: &[u8]) -> Vec<MountPoint> {
    let mut found: Vec<MountPoint> = Vec::new();
    for mount in lines(bytes).filter_map(parse_line).filter(real) {
        // Of two mounts at one path only the later is seen.
        found.retain(|earlier| earlier.path != mount.path);
        found.push(mount);
    }
    let rank = |m: &MountPoint| (!m.own_root, m.path.as_os_str().len());
    found.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.path.cmp(&b.path)));
    let mut seen = HashSet::new();
    found.retain(|mount| seen.insert(mount.device));
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// The mount table, read every few seconds.
#[derive(Debug)]
pub(crate) struct Mounts {
    files: [KeptFile; 2],
    mounts: Vec<MountPoint>,
    read: Vec<u8>,
    devices: HashSet<Device>,
    limit: usize,
    refused: usize,
}

impl Mounts {
    pub(crate) fn new(roots: &HostRoots, open: &Descriptors, limit: usize) -> Self {
        Self {
            files: ["1", "self"]
                .map(|pid| KeptFile::new(roots.proc.join(pid).join("mountinfo"), open)),
            mounts: Vec::new(),
            read: Vec::new(),
            devices: HashSet::new(),
            limit,
            refused: 0,
        }
    }

    /// Reads the table again; parses it only when it changed.
    pub(crate) fn refresh(&mut self, scratch: &mut Vec<u8>) {
        let [first, own] = &mut self.files;
        let length = first.read(scratch).map(<[u8]>::len);
        let Some(length) = length.or_else(|| own.read(scratch).map(<[u8]>::len)) else {
            return;
        };
        let bytes = &scratch[..length];
        if bytes == self.read {
            return;
        }
        self.read = bytes.to_vec();
        let all = lines(bytes).filter_map(parse_line);
        self.devices = all.map(|mount| mount.device).collect();
        self.mounts = parse(bytes);
        self.refused = self.mounts.len().saturating_sub(self.limit);
        self.mounts.truncate(self.limit);
    }

    /// The real file systems, one per device, ordered by path.
    pub(crate) fn all(&self) -> &[MountPoint] {
        &self.mounts
    }

    /// Whether anything of this device is mounted.
    pub(crate) fn uses(&self, device: Device) -> bool {
        self.devices.contains(&device)
    }

    /// The file system that holds an absolute path: the one with the longest mount point above it.
    pub(crate) fn holding(&self, path: &[u8]) -> Option<usize> {
        let above = |mount: &MountPoint| {
            let point = mount.path.as_os_str().as_encoded_bytes();
            let rest = path.strip_prefix(point)?;
            let whole = point == b"/" || rest.is_empty() || rest.starts_with(b"/");
            whole.then_some(point.len())
        };
        let ranked = self.mounts.iter().enumerate();
        ranked
            .filter_map(|(at, mount)| above(mount).map(|length| (length, at)))
            .max()
            .map(|(_, at)| at)
    }

    /// Mounts left out because there are too many.
    pub(crate) fn refused(&self) -> usize {
        self.refused
    }

    pub(crate) fn blind(&self) -> impl Iterator<Item = String> {
        let none = self.mounts.is_empty();
        self.files[1].blind().filter(|_| none).into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// In the shape that a systemd container has with an overlay root, a loop-mounted folder and lxcfs.
    const CONTAINER: &[u8] = b"\
100 99 0:50 / / rw,relatime - overlay overlay rw,lowerdir=/l,upperdir=/u,workdir=/w\n\
101 100 0:51 / /proc rw - proc proc rw\n\
102 101 0:52 /proc/stat /proc/stat rw - fuse.lxcfs lxcfs rw\n\
103 100 7:0 / /var/lib/postgresql rw,relatime shared:1 - ext4 /dev/loop0 rw,errors=remount-ro\n\
104 100 7:0 /sub /srv/a rw,relatime - ext4 /dev/loop0 rw\n\
105 100 0:53 / /run rw,nosuid - tmpfs tmpfs rw,size=1g\n\
106 100 0:54 / /run/user/0 rw - tmpfs tmpfs rw\n\
108 105 8:2 /incoming /run/host/incoming ro - ext4 /dev/sda2 rw\n\
107 100 8:1 / /mnt/with\\040blank ro,relatime - xfs /dev/sda1 ro\n";

    #[test]
    fn keeps_real_file_systems_once_each() {
        let found = parse(CONTAINER);
        let paths: Vec<_> = found.iter().map(|m| m.path.to_str().unwrap()).collect();
        assert_eq!(
            paths,
            ["/", "/mnt/with blank", "/run", "/var/lib/postgresql"]
        );
        assert_eq!(found[3].source, "/dev/loop0");
        assert!(found[1].readonly && !found[3].readonly);
    }

    #[test]
    fn reads_a_real_table() {
        // From a virtual machine, Linux 6.18.
        let found = parse(include_bytes!("../fixtures/mountinfo_dev"));
        let root = found.iter().find(|m| m.path.as_os_str() == "/").unwrap();
        assert_eq!(
            (root.fstype.as_str(), root.source.as_str()),
            ("ext4", "/dev/vda")
        );
        assert_eq!(root.device.major, 254);
    }

    #[test]
    fn a_mount_over_another_hides_it() {
        let text =
            b"1 0 8:1 / /data rw - ext4 /dev/sda1 rw\n2 1 8:2 / /data rw - ext4 /dev/sdb1 rw\n";
        let found = parse(text);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].source, "/dev/sdb1");
    }

    #[test]
    fn a_path_belongs_to_the_longest_mount_point_above_it() {
        let mut mounts = Mounts::new(&HostRoots::default(), &Descriptors::new(0), 10);
        mounts.mounts = parse(CONTAINER);
        let holder = |path: &str| {
            let at = mounts.holding(path.as_bytes()).unwrap();
            mounts.mounts[at].path.to_str().unwrap().to_owned()
        };
        assert_eq!(holder("/var/lib/postgresql/15/main"), "/var/lib/postgresql");
        assert_eq!(holder("/var/lib/postgresqlx"), "/");
        assert_eq!(holder("/etc"), "/");
        assert_eq!(mounts.holding(b"relative"), None);
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn plain_text_is_its_own_unescaping(text in "[^\\\\]{0,40}") {
            prop_assert_eq!(unescape(text.as_bytes()), text.as_bytes());
        }
    }
}
