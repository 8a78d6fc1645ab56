//! Software arrays (`/proc/mdstat`) and ZFS pools (`/proc/spl/kstat/zfs/POOL/state`): whether they have all
//! the redundancy they should have. md(4), Documentation/admin-guide/md.rst of the kernel.
//!
//! An array is a disk of its own, named as in `/proc/diskstats`; a pool is one by its name.

use std::collections::BTreeSet;
use std::path::PathBuf;

use firstlook_model::signal::names;
use firstlook_model::{ComponentKind, HostId};

use crate::family::Family;
use crate::limits::Limits;
use crate::reader::{Descriptors, KeptFile, read_once};
use crate::registry::Registry;
use crate::roots::HostRoots;
use crate::text::{fields, lines, number, printable, value};

pub(crate) static ARRAY_SIGNALS: [&str; 4] = [
    names::ARRAY_MEMBERS,
    names::ARRAY_MEMBERS_ACTIVE,
    names::ARRAY_MEMBERS_FAILED,
    names::ARRAY_SYNC,
];
pub(crate) static POOL_SIGNALS: [&str; 2] = [names::POOL_DEGRADED, names::POOL_FAILED];
/// Both are looked at once in so many samples.
pub(crate) const EVERY: u64 = 5;
/// Longest name of an array or a pool, in bytes.
const NAME_LIMIT_BYTES: usize = 255;

/// One array of `/proc/mdstat`.
#[derive(Clone, Debug, Default, PartialEq)]
struct Array<'a> {
    name: &'a str,
    /// How many members it should have and how many work; `None` where it has no redundancy to lose.
    members: Option<(u64, u64)>,
    failed: u64,
    /// 0 to 1 while it is rebuilt, checked or reshaped.
    sync: Option<f64>,
}

/// The arrays of `/proc/mdstat`: a line with name and devices, then indented lines with its state.
fn parse(bytes: &[u8]) -> Vec<Array<'_>> {
    let mut arrays: Vec<Array<'_>> = Vec::new();
    let mut within = false;
    for line in lines(bytes) {
        let indented = line.starts_with(b" ") || line.starts_with(b"\t");
        if !indented {
            let array = header(line);
            within = array.is_some();
            arrays.extend(array);
        } else if let Some(array) = arrays.last_mut().filter(|_| within) {
            array.members = array.members.or_else(|| fields(line).find_map(members));
            array.sync = array.sync.or_else(|| progress(line));
        }
    }
    arrays
}

/// `md0 : active raid1 sdb1[1] sda1[0](F)`.
fn header(line: &[u8]) -> Option<Array<'_>> {
    let mut fields = fields(line);
    let name = fields.next()?;
    if fields.next()? != b":" || !name.starts_with(b"md") || name.len() > NAME_LIMIT_BYTES {
        return None;
    }
    let failed = fields.filter(|field| field.ends_with(b"(F)")).count();
    Some(Array {
        name: std::str::from_utf8(name).ok()?,
        failed: failed as u64,
        ..Array::default()
    })
}

/// `[2/1]`: members it should have, members that work.
fn members(field: &[u8]) -> Option<(u64, u64)> {
    let inner = field.strip_prefix(b"[")?.strip_suffix(b"]")?;
    let slash = inner.iter().position(|b| *b == b'/')?;
    Some((number(&inner[..slash])?, number(&inner[slash + 1..])?))
}

/// `recovery = 12.6% (…)`: a share of the whole.
fn progress(line: &[u8]) -> Option<f64> {
    let mut fields = fields(line).skip_while(|field| *field != b"=").skip(1);
    let percent = std::str::from_utf8(fields.next()?.strip_suffix(b"%")?).ok()?;
    let percent: f64 = percent.parse().ok()?;
    (0.0..=100.0).contains(&percent).then_some(percent / 100.0)
}

/// Degraded and failed, as a pool's state says; `None` for a word that is not known.
fn pool_state(bytes: &[u8]) -> Option<[f64; 2]> {
    match bytes.trim_ascii_end() {
        b"ONLINE" => Some([0.0, 0.0]),
        b"DEGRADED" => Some([1.0, 0.0]),
        b"FAULTED" | b"OFFLINE" | b"REMOVED" | b"UNAVAIL" | b"SUSPENDED" => Some([0.0, 1.0]),
        _ => None,
    }
}

/// The source.
#[derive(Debug)]
pub(crate) struct Arrays {
    mdstat: KeptFile,
    pools: PathBuf,
    arrays: Family<4>,
    families: Family<2>,
    limit: usize,
    round: u64,
    denied: BTreeSet<String>,
}

impl Arrays {
    pub(crate) fn new(
        host: &HostId,
        roots: &HostRoots,
        open: &Descriptors,
        limits: &Limits,
    ) -> Self {
        let disk = ComponentKind::Disk;
        Self {
            mdstat: KeptFile::new(roots.proc.join("mdstat"), open),
            pools: roots.proc.join("spl/kstat/zfs"),
            arrays: Family::new(host.clone(), disk, &ARRAY_SIGNALS, limits.disks),
            families: Family::new(host.clone(), disk, &POOL_SIGNALS, limits.disks),
            limit: limits.disks,
            round: 0,
            denied: BTreeSet::new(),
        }
    }

    pub(crate) fn sample(&mut self, registry: &mut Registry, scratch: &mut Vec<u8>) {
        let due = self.round.is_multiple_of(EVERY);
        self.round += 1;
        if !due {
            return;
        }
        // Absent where the driver is not loaded: then there are no arrays.
        for array in self.mdstat.read(scratch).map(parse).unwrap_or_default() {
            let (wanted, active) = array.members.unzip();
            let values = [
                value(wanted),
                value(active),
                array.failed as f64,
                array.sync.unwrap_or(f64::NAN),
            ];
            self.arrays.set(registry, array.name, &values);
        }
        self.sample_pools(registry, scratch);
    }

    fn sample_pools(&mut self, registry: &mut Registry, scratch: &mut Vec<u8>) {
        self.denied.clear();
        let entries = std::fs::read_dir(&self.pools).into_iter().flatten();
        let folders = entries.flatten().filter(|entry| {
            let folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            folder && entry.file_name().len() <= NAME_LIMIT_BYTES
        });
        for entry in folders.take(self.limit) {
            let name = printable(entry.file_name().as_encoded_bytes());
            let path = entry.path().join("state");
            match read_once(&path, scratch) {
                Ok(bytes) => {
                    if let Some(values) = pool_state(bytes) {
                        self.families.set(registry, &name, &values);
                    }
                }
                // Pools destroyed meanwhile, and old versions without the file.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    self.denied.insert(format!("{}: {error}", path.display()));
                }
            }
        }
    }

    pub(crate) fn expire(&mut self, registry: &mut Registry, limits: &Limits) {
        self.arrays.expire(registry, limits.absent);
        self.families.expire(registry, limits.absent);
    }

    pub(crate) fn refused(&self) -> u64 {
        self.arrays.refused() + self.families.refused()
    }

    pub(crate) fn blind(&self) -> impl Iterator<Item = String> {
        self.denied.iter().cloned()
    }
}

#[cfg(test)]
mod tests;
