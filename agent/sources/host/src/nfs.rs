//! How often the servers of NFS mounts had to be asked again (`mountstats`). proc_pid_mountstats(5); the forms of
//! `net/sunrpc/stats.c` in the kernel.
//!
//! The kernel tells from its own memory and asks no server, so that a dead one does not hold us. Counts of one mount
//! are those of its server's client in the kernel: two mounts of one export may show the same.

use std::path::PathBuf;

use firstlook_model::signal::names;
use firstlook_model::{ComponentKind, HostId};

use crate::family::Family;
use crate::limits::Limits;
use crate::mounts::{Mounts, unescape};
use crate::reader::read_lines;
use crate::registry::Registry;
use crate::roots::HostRoots;
use crate::text::{fields, lines, number};

pub(crate) static SIGNALS: [&str; 2] = [
    names::FILESYSTEM_RPC_RETRANSMITS,
    names::FILESYSTEM_RPC_TIMEOUTS,
];
/// Looked at once in so many samples, where there are such mounts.
pub(crate) const EVERY: u64 = 10;
/// What is read of the file: some hundred mounts.
const LIMIT_BYTES: usize = 1024 * 1024;
/// Requests of one kind, of which a mount has some sixty.
const KINDS_LIMIT: usize = 256;

/// What one mount counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Counts {
    path: Vec<u8>,
    retransmits: u64,
    timeouts: u64,
}

/// The NFS mounts of the file: a line with device, mount point and type; what it counts is indented below it, requests
/// by kind last.
fn parse(bytes: &[u8]) -> Vec<Counts> {
    let mut mounts: Vec<Counts> = Vec::new();
    let (mut within, mut kinds) = (false, None);
    for line in lines(bytes) {
        if line.starts_with(b"device ") {
            let path = nfs_mount(line);
            (within, kinds) = (path.is_some(), None);
            mounts.extend(path.map(|path| Counts {
                path,
                ..Counts::default()
            }));
        } else if line.trim_ascii() == b"per-op statistics" {
            kinds = within.then_some(KINDS_LIMIT);
        } else if let (Some(left @ 1..), Some(mount)) = (kinds, mounts.last_mut()) {
            kinds = Some(left - 1);
            if let Some([retransmits, timeouts]) = of_kind(line) {
                mount.retransmits = mount.retransmits.saturating_add(retransmits);
                mount.timeouts = mount.timeouts.saturating_add(timeouts);
            }
        }
    }
    mounts
}

/// Where, of `device server:/export mounted on /mnt with fstype nfs4 statvers=1.1`.
fn nfs_mount(line: &[u8]) -> Option<Vec<u8>> {
    let mut words = fields(line).skip_while(|word| *word != b"mounted").skip(1);
    let path = words.nth(1)?;
    let fstype = words.nth(2)?;
    matches!(fstype, b"nfs" | b"nfs4").then(|| unescape(path))
}

/// Retransmits and timeouts, of `READ: requests sent timeouts …`. A request may be counted before it is sent.
fn of_kind(line: &[u8]) -> Option<[u64; 2]> {
    let mut words = fields(line);
    words.next()?.strip_suffix(b":")?;
    let (requests, sent) = (number(words.next()?)?, number(words.next()?)?);
    Some([sent.saturating_sub(requests), number(words.next()?)?])
}

/// The source.
#[derive(Debug)]
pub(crate) struct Nfs {
    files: [PathBuf; 2],
    family: Family<2>,
    round: u64,
    error: Option<String>,
}

impl Nfs {
    pub(crate) fn new(host: HostId, roots: &HostRoots, limits: &Limits) -> Self {
        let kind = ComponentKind::Filesystem;
        Self {
            files: ["1", "self"].map(|pid| roots.proc.join(pid).join("mountstats")),
            family: Family::new(host, kind, &SIGNALS, limits.filesystems),
            round: 0,
            error: None,
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
        self.error = None;
        let nfs = |fstype: &str| matches!(fstype, "nfs" | "nfs4");
        let shown = mounts.all().iter().filter(|mount| nfs(&mount.fstype));
        let shown: Vec<_> = shown.filter_map(|mount| mount.path.to_str()).collect();
        if shown.is_empty() {
            return;
        }
        // Process 1 may show its own to nobody else.
        let [first, own] = &self.files;
        let read = read_lines(first, scratch, LIMIT_BYTES).map(|(bytes, _)| bytes.len());
        let read =
            read.or_else(|_| read_lines(own, scratch, LIMIT_BYTES).map(|(bytes, _)| bytes.len()));
        let length = match read {
            Ok(length) => length,
            Err(error) => {
                self.error = Some(format!("{}: {error}", own.display()));
                return;
            }
        };
        for counts in parse(&scratch[..length]) {
            let path = std::str::from_utf8(&counts.path).ok();
            if let Some(path) = path.filter(|path| shown.contains(path)) {
                let values = [counts.retransmits as f64, counts.timeouts as f64];
                self.family.set(registry, path, &values);
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
        self.error.clone().into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::Descriptors;
    use firstlook_model::Timestamp;
    use proptest::prelude::*;
    use std::fs;
    use std::time::Duration;

    /// In the kernel's form; numbers are made up: one server answers, one has been asked again and waited for.
    const STATS: &[u8] = b"device proc mounted on /proc with fstype proc\n\
device 10.0.0.7:/home mounted on /home with fstype nfs4 statvers=1.1\n\
\topts:\trw,vers=4.2,hard,proto=tcp,timeo=600,retrans=2\n\
\tage:\t4200\n\
\tRPC iostats version: 1.1  p/v: 100003/4 (nfs)\n\
\txprt:\ttcp 0 1 2 0 0 3000 3000 0 9000 0 10 0 9000\n\
\tper-op statistics\n\
\t        NULL: 1 1 0 44 24 0 0 0 0\n\
\t        READ: 2000 2000 0 9 9 6 7 8 0\n\
\n\
device 10.0.0.8:/data mounted on /mnt/with\\040blank with fstype nfs statvers=1.1\n\
\tper-op statistics\n\
\t        READ: 100 130 4 9 9 6 7 8 0\n\
\t       WRITE: 50 55 1 9 9 6 7 8 0\n\
\t      ACCESS: 12 11 0 9 9 6 7 8\n\
\n\
device /dev/vda1 mounted on / with fstype ext4\n";

    #[test]
    fn requests_sent_again_are_added_up_for_each_mount() {
        let counts = |path: &[u8], retransmits, timeouts| Counts {
            path: path.to_vec(),
            retransmits,
            timeouts,
        };
        let expected = [counts(b"/home", 0, 0), counts(b"/mnt/with blank", 35, 5)];
        assert_eq!(parse(STATS), expected);
        assert!(
            parse(b"device /dev/vda1 mounted on / with fstype ext4\n READ: 1 9 9\n").is_empty()
        );
    }

    #[test]
    fn the_file_is_read_where_such_a_file_system_is_mounted() {
        let folder = tempfile::tempdir().unwrap();
        let roots = HostRoots {
            proc: folder.path().to_owned(),
            ..HostRoots::default()
        };
        fs::create_dir(folder.path().join("1")).unwrap();
        let mountinfo = folder.path().join("1/mountinfo");
        fs::write(&mountinfo, "1 0 8:1 / / rw - ext4 /dev/vda1 rw\n").unwrap();
        let host = HostId::new("h1").unwrap();
        let (mut registry, mut scratch) = (Registry::new(Duration::ZERO), Vec::new());
        let mut mounts = Mounts::new(&roots, &Descriptors::new(4), 10);
        let mut nfs = Nfs::new(host, &roots, &Limits::default());
        let mut look = |registry: &mut Registry| {
            mounts.refresh(&mut scratch);
            for _ in 0..EVERY {
                nfs.sample(registry, &mut scratch, &mounts);
            }
            nfs.blind().count()
        };
        assert_eq!(
            look(&mut registry),
            0,
            "none is mounted: nothing is missing"
        );
        fs::write(&mountinfo, "2 0 0:40 / /home rw - nfs4 10.0.0.7:/home rw\n").unwrap();
        assert_eq!(look(&mut registry), 1);
        fs::write(folder.path().join("1/mountstats"), STATS).unwrap();
        assert_eq!(look(&mut registry), 0);
        let frame = registry.frame(Timestamp::from_secs(0));
        assert_eq!(frame.values, [0.0, 0.0]);
        let component = frame.schema.series()[0].component.to_string();
        assert_eq!(component, "filesystem:h1/home");
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn hostile_counts_never_panic(kinds in "(\t[A-Z]{0,3}:?( [0-9]{0,22}){0,4}\n){0,6}") {
            let head = "device a:/b mounted on /c with fstype nfs4\n\tper-op statistics\n";
            let found = parse(format!("{head}{kinds}").as_bytes());
            prop_assert_eq!(found.len(), 1);
        }
    }
}
