//! Errors that file systems count themselves: ext4 those of its structures (`errors_count` in sysfs), btrfs
//! those of its devices (`error_stats`). Documentation/ABI/testing/sysfs-fs-ext4 and btrfs(5).
//!
//! XFS counts none that can be read: it shuts down, which shows in the kernel's log and as an I/O error.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use firstlook_model::signal::names;
use firstlook_model::{ComponentKind, HostId};

use crate::family::Family;
use crate::limits::Limits;
use crate::mounts::{Device, MountPoint, Mounts};
use crate::reader::read_once;
use crate::registry::Registry;
use crate::roots::HostRoots;
use crate::text::{fields, lines, number};

pub(crate) static SIGNALS: [&str; 2] =
    [names::FILESYSTEM_ERRORS, names::FILESYSTEM_DEVICES_MISSING];
/// Looked at once in so many samples.
pub(crate) const EVERY: u64 = 10;
/// Devices of one btrfs, and btrfs file systems, that are looked at.
const ENTRIES_LIMIT: usize = 128;

/// Errors that one device of a btrfs counted: `write_errs 0`, one kind a line.
fn parse_devices(bytes: &[u8]) -> Option<u64> {
    let counts = lines(bytes).filter_map(|line| {
        let mut fields = fields(line);
        let counted = fields.next()?.ends_with(b"_errs");
        counted.then(|| fields.next().and_then(number))?
    });
    counts.fold(None, |sum: Option<u64>, count| {
        Some(sum.unwrap_or(0).saturating_add(count))
    })
}

/// One btrfs: its block devices, the errors of all of them, and how many are missing.
#[derive(Debug, Default)]
struct Btrfs {
    devices: Vec<String>,
    errors: Option<u64>,
    missing: u64,
}

/// The source.
#[derive(Debug)]
pub(crate) struct Damage {
    sys: PathBuf,
    family: Family<2>,
    round: u64,
    denied: BTreeSet<String>,
}

impl Damage {
    pub(crate) fn new(host: HostId, roots: &HostRoots, limits: &Limits) -> Self {
        let kind = ComponentKind::Filesystem;
        Self {
            sys: roots.sys.clone(),
            family: Family::new(host, kind, &SIGNALS, limits.filesystems),
            round: 0,
            denied: BTreeSet::new(),
        }
    }

    pub(crate) fn sample(
        &mut self,
        registry: &mut Registry,
        scratch: &mut Vec<u8>,
        mounts: &Mounts,
    ) {
        let due = self.round.is_multiple_of(EVERY);
        self.round += 1;
        if !due {
            return;
        }
        self.denied.clear();
        let mut btrfs = None;
        for mount in mounts.all() {
            let values = match mount.fstype.as_str() {
                "ext2" | "ext3" | "ext4" => self.of_ext4(mount.device, scratch),
                "btrfs" => {
                    let all = btrfs.get_or_insert_with(|| self.all_btrfs(scratch));
                    self.of_btrfs(mount, all)
                }
                _ => continue,
            };
            if let Some(name) = mount.path.to_str() {
                self.family.set(registry, name, &values);
            }
        }
    }

    fn of_ext4(&mut self, device: Device, scratch: &mut Vec<u8>) -> [f64; 2] {
        let count = device_name(&self.sys, device).and_then(|name| {
            let path = self.sys.join("fs/ext4").join(name).join("errors_count");
            self.read(&path, scratch, |bytes| number(bytes.trim_ascii_end()))
        });
        [crate::text::value(count), f64::NAN]
    }

    /// A btrfs has no block device of its own: it is found by the one it was mounted from.
    fn of_btrfs(&self, mount: &MountPoint, all: &[Btrfs]) -> [f64; 2] {
        let name = source_name(&self.sys, &mount.source);
        let found = name.and_then(|name| all.iter().find(|one| one.devices.contains(&name)));
        found.map_or([f64::NAN; 2], |one| {
            [crate::text::value(one.errors), one.missing as f64]
        })
    }

    fn all_btrfs(&mut self, scratch: &mut Vec<u8>) -> Vec<Btrfs> {
        let mut all = Vec::new();
        for folder in entries(&self.sys.join("fs/btrfs")) {
            let devices = entries(&folder.join("devices"));
            let mut one = Btrfs {
                devices: devices.iter().filter_map(|path| last(path)).collect(),
                ..Btrfs::default()
            };
            for device in entries(&folder.join("devinfo")) {
                let path = device.join("error_stats");
                if let Some(count) = self.read(&path, scratch, parse_devices) {
                    one.errors = Some(one.errors.unwrap_or(0).saturating_add(count));
                }
                let flag = |bytes: &[u8]| number(bytes.trim_ascii_end());
                let missing = self.read(&device.join("missing"), scratch, flag);
                one.missing += u64::from(missing == Some(1));
            }
            if !one.devices.is_empty() {
                all.push(one);
            }
        }
        all
    }

    /// What a file says; remembers why where it exists and cannot be read.
    fn read<T>(
        &mut self,
        path: &Path,
        scratch: &mut Vec<u8>,
        parse: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Option<T> {
        match read_once(path, scratch) {
            Ok(bytes) => parse(bytes),
            Err(error) => {
                if error.kind() != std::io::ErrorKind::NotFound {
                    self.denied.insert(format!("{}: {error}", path.display()));
                }
                None
            }
        }
    }

    pub(crate) fn expire(&mut self, registry: &mut Registry, limits: &Limits) {
        self.family.expire(registry, limits.absent);
    }

    pub(crate) fn refused(&self) -> u64 {
        self.family.refused()
    }

    pub(crate) fn blind(&self) -> impl Iterator<Item = String> {
        self.denied.iter().cloned()
    }
}

/// What a folder holds, up to the limit, in order.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let found = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<_> = found
        .take(ENTRIES_LIMIT)
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    paths
}

fn last(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_str()?.to_owned())
}

/// The kernel's name of a block device: `dm-0`, `sda1`.
fn device_name(sys: &Path, device: Device) -> Option<String> {
    let link = format!("dev/block/{}:{}", device.major, device.minor);
    last(&std::fs::read_link(sys.join(link)).ok()?)
}

/// The kernel's name of the device behind a path in `/dev`, which need not be here: `/dev/sda1` is `sda1`,
/// `/dev/mapper/vg-data` is the `dm-N` of that name.
fn source_name(sys: &Path, source: &str) -> Option<String> {
    let name = source.strip_prefix("/dev/")?;
    let Some(mapped) = name.strip_prefix("mapper/") else {
        return (!name.contains('/')).then(|| name.to_owned());
    };
    let names: HashMap<_, _> = entries(&sys.join("block"))
        .into_iter()
        .filter_map(|path| {
            let mut scratch = Vec::new();
            let name = read_once(&path.join("dm/name"), &mut scratch).ok()?;
            let name = String::from_utf8(name.trim_ascii_end().to_vec()).ok()?;
            Some((name, last(&path)?))
        })
        .collect();
    names.get(mapped).cloned()
}

#[cfg(test)]
mod tests;
