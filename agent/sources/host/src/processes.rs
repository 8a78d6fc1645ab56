//! Processes (`/proc/PID/stat`, `/proc/PID/cgroup`), each counted for the service it belongs to. proc(5).
//!
//! A process is its pid and its start time: pids are reused. Descriptors of `stat` stay open under the
//! budget of [`crate::reader`], where the figures are that decided for a reader of our own. Kernel threads
//! are only counted.

use std::collections::HashMap;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, RawDir, SeekFrom};

use crate::membership::{self, Membership};
use crate::open_files::OpenFiles;
use crate::reader::{Descriptors, KeptFile, read_once};
use crate::roots::HostRoots;
use crate::services::{Part, Services};
use crate::text::{fields, number, printable};

/// PF_KTHREAD of the kernel's `include/linux/sched.h`.
const KERNEL_THREAD: u64 = 0x0020_0000;
/// A young process may still be moved to its cgroup: it is asked again in each sample for so long.
const YOUNG_SECONDS: f64 = 5.0;
/// Every process is asked for its cgroup again once in so many samples.
const RECHECK_EVERY: u64 = 60;
/// Every process has its open files counted once in so many samples; its limit is read with its cgroup.
pub(crate) const FILES_EVERY: u64 = 10;

/// What `/proc/PID/stat` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProcessStat<'a> {
    /// The command, at most 15 bytes of anything (63 for kernel threads).
    pub command: &'a [u8],
    /// `R`, `S`, `D`, `T`, `t`, `Z`, …
    pub state: u8,
    pub kernel: bool,
    /// User and system time, in clock ticks.
    pub ticks: u64,
    pub threads: u32,
    /// Clock ticks from boot.
    pub started: u64,
    pub resident_pages: u64,
}

/// Parses `/proc/PID/stat`. The command may hold blanks and brackets: it ends at the last bracket.
pub(crate) fn parse(bytes: &[u8]) -> Option<ProcessStat<'_>> {
    let open = bytes.iter().position(|b| *b == b'(')?;
    let close = bytes.iter().rposition(|b| *b == b')')?;
    let command = bytes.get(open + 1..close)?;
    let mut fields = fields(bytes.get(close + 1..)?.trim_ascii_end());
    let state = *fields.next()?.first()?;
    // Fields are numbered from 1 in proc(5): the state is the third.
    let flags = number(fields.nth(5)?)?;
    let user = number(fields.nth(4)?)?;
    let system = number(fields.next()?)?;
    let threads = number(fields.nth(4)?)?;
    let started = number(fields.nth(1)?)?;
    let resident_pages = number(fields.nth(1)?)?;
    Some(ProcessStat {
        command,
        state,
        kernel: flags & KERNEL_THREAD != 0,
        ticks: user.checked_add(system)?,
        threads: u32::try_from(threads).unwrap_or(u32::MAX),
        started,
        resident_pages,
    })
}

#[derive(Debug)]
struct Process {
    file: KeptFile,
    started: u64,
    kernel: bool,
    ticks: u64,
    command: Box<[u8]>,
    service: Arc<str>,
    /// Whether a unit claims it, and it is not only named by its command.
    claimed: bool,
    files: Files,
    seen: u64,
}

/// Open files of a process, as last looked at.
#[derive(Clone, Copy, Debug, Default)]
struct Files {
    /// `None` before its limit was read.
    limit: Option<Option<u64>>,
    open: Option<u64>,
}

/// A process and whose it is, for those who look into its descriptors.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    pub pid: u32,
    pub started: u64,
    pub service: Arc<str>,
}

/// The process table.
#[derive(Debug)]
pub(crate) struct Processes {
    root: PathBuf,
    folder: Option<OwnedFd>,
    entries: Vec<u8>,
    pids: Vec<u32>,
    table: HashMap<u32, Process>,
    open: Descriptors,
    limit: usize,
    open_files: OpenFiles,
    beyond: u64,
    round: u64,
    page_bytes: f64,
    ticks_per_second: f64,
    error: Option<String>,
}

impl Processes {
    pub(crate) fn new(roots: &HostRoots, open: &Descriptors, limit: usize) -> Self {
        Self {
            root: roots.proc.clone(),
            folder: None,
            entries: Vec::with_capacity(32 * 1024),
            pids: Vec::new(),
            table: HashMap::new(),
            open: open.clone(),
            limit,
            open_files: OpenFiles::new(roots.proc.clone()),
            beyond: 0,
            round: 0,
            page_bytes: rustix::param::page_size() as f64,
            ticks_per_second: rustix::param::clock_ticks_per_second() as f64,
            error: None,
        }
    }

    /// Reads all processes into `services`; returns how many there are, kernel threads included.
    pub(crate) fn sample(&mut self, services: &mut Services, scratch: &mut Vec<u8>) -> usize {
        self.round += 1;
        self.open_files.begin();
        self.error = self.list().err().map(|error| error.to_string());
        let uptime = uptime_seconds();
        let pids = std::mem::take(&mut self.pids);
        self.beyond = pids.len().saturating_sub(self.limit) as u64;
        for pid in pids.iter().take(self.limit) {
            self.read(*pid, uptime, services, scratch);
        }
        let round = self.round;
        self.table.retain(|_, process| process.seen == round);
        let count = pids.len();
        self.pids = pids;
        count
    }

    /// Lists the pids anew.
    fn list(&mut self) -> rustix::io::Result<()> {
        self.pids.clear();
        if self.folder.is_none() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            self.folder = Some(rustix::fs::open(&self.root, flags, Mode::empty())?);
        }
        let Some(folder) = &self.folder else {
            return Ok(());
        };
        rustix::fs::seek(folder, SeekFrom::Start(0))?;
        let buffer: &mut [MaybeUninit<u8>] = self.entries.spare_capacity_mut();
        let mut entries = RawDir::new(folder, buffer);
        while let Some(entry) = entries.next() {
            let name = entry?;
            let pid = number(name.file_name().to_bytes());
            self.pids.extend(pid.and_then(|n| u32::try_from(n).ok()));
        }
        Ok(())
    }

    fn read(&mut self, pid: u32, uptime: f64, services: &mut Services, scratch: &mut Vec<u8>) {
        let round = self.round;
        let recheck = (round + u64::from(pid)).is_multiple_of(RECHECK_EVERY);
        let mut known = self.table.remove(&pid);
        if let Some(mut process) = known.take_if(|process| process.kernel && !recheck) {
            process.seen = round;
            self.table.insert(pid, process);
            return;
        }
        let (mut file, mut known) = match known {
            Some(process) => (
                process.file,
                Some((
                    process.started,
                    process.ticks,
                    process.command,
                    process.service,
                    process.claimed,
                    process.files,
                )),
            ),
            None => {
                let path = self.root.join(pid.to_string()).join("stat");
                (KeptFile::one_piece(path, &self.open), None)
            }
        };
        // A process that ended meanwhile is no error.
        let Some(stat) = file.read(scratch).and_then(parse) else {
            return;
        };
        let (started, ticks, kernel) = (stat.started, stat.ticks, stat.kernel);
        known = known.filter(|(known_started, ..)| *known_started == started);
        let before = known.as_ref().map_or(0, |(_, ticks, ..)| *ticks);
        let mut files = known
            .as_ref()
            .map_or_else(Files::default, |(.., files)| *files);
        let age = uptime - started as f64 / self.ticks_per_second;
        let part = Part {
            zombie: stat.state == b'Z',
            files: None,
            seconds: ticks.saturating_sub(before) as f64 / self.ticks_per_second,
            resident_bytes: stat.resident_pages as f64 * self.page_bytes,
            threads: stat.threads,
            blocked: stat.state == b'D',
            stopped: matches!(stat.state, b'T' | b't'),
            settled: age >= YOUNG_SECONDS,
        };
        let known = known.filter(|(.., command, _, _, _)| {
            !recheck && age >= YOUNG_SECONDS && **command == *stat.command
        });
        let (command, service, claimed) = match known {
            Some((_, _, command, service, claimed, _)) => (command, service, claimed),
            None => {
                let command: Box<[u8]> = stat.command.into();
                if kernel {
                    (command, services.other(), false)
                } else {
                    let (service, claimed) = self.classify(pid, &command, services, scratch);
                    (command, service, claimed)
                }
            }
        };
        if !kernel {
            if part.settled && !part.zombie {
                self.look_at_files(pid, recheck, &mut files, scratch);
            }
            let limited = files.open.zip(files.limit.flatten());
            let part = Part {
                files: limited,
                ..part
            };
            services.add(&service, claimed, &part);
        }
        let process = Process {
            file,
            started,
            kernel,
            ticks,
            command,
            service,
            claimed,
            files,
            seen: round,
        };
        self.table.insert(pid, process);
    }

    /// Counts the open files of a process when it is new or has its turn.
    fn look_at_files(&mut self, pid: u32, recheck: bool, files: &mut Files, scratch: &mut Vec<u8>) {
        let new = files.limit.is_none();
        if new || recheck {
            files.limit = Some(self.open_files.limit(pid, scratch));
        }
        let turn = (self.round + u64::from(pid)).is_multiple_of(FILES_EVERY);
        if (new || turn) && files.limit.flatten().is_some() {
            files.open = self.open_files.count(pid);
        }
    }

    /// The service of a process, and whether a unit claims it.
    fn classify(
        &self,
        pid: u32,
        command: &[u8],
        services: &mut Services,
        scratch: &mut Vec<u8>,
    ) -> (Arc<str>, bool) {
        let path = self.root.join(pid.to_string()).join("cgroup");
        let membership = read_once(&path, scratch)
            .map(membership::parse)
            .unwrap_or_default();
        let claimed = membership.unit.is_some();
        let service = match &membership.unit {
            Some(unit) => services.intern(unit),
            None => services.intern(&by_command(command)),
        };
        self.remember(&service, &membership, services);
        (service, claimed)
    }

    fn remember(&self, service: &Arc<str>, membership: &Membership, services: &mut Services) {
        if membership.unit.is_some() {
            services.belongs(service, membership);
        }
    }

    /// Every process that is not a kernel thread, newest first.
    pub(crate) fn owners(&self) -> Vec<Owner> {
        let mut owners: Vec<Owner> = self
            .table
            .iter()
            .filter(|(_, process)| !process.kernel)
            .map(|(pid, process)| Owner {
                pid: *pid,
                started: process.started,
                service: Arc::clone(&process.service),
            })
            .collect();
        owners.sort_by_key(|owner| (std::cmp::Reverse(owner.started), owner.pid));
        owners
    }

    /// Processes beyond the budget in the last sample.
    pub(crate) fn beyond(&self) -> u64 {
        self.beyond
    }

    pub(crate) fn blind(&self) -> impl Iterator<Item = String> {
        let error = self.error.as_ref();
        let error = error.map(|error| format!("{}: {error}", self.root.display()));
        [error, self.open_files.blind()].into_iter().flatten()
    }
}

/// A name for processes that no unit claims.
fn by_command(command: &[u8]) -> String {
    let name = printable(command);
    if name.is_empty() {
        "?".to_owned()
    } else {
        name
    }
}

/// Seconds since boot, suspension included: the clock of start times.
fn uptime_seconds() -> f64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_a_real_stat() {
        // From a shell on Linux 6.18, its name changed to one with brackets and blanks.
        let text = b"812 (a) b (c) S 811 812 812 34816 12998 4194560 2098 9123 3 0 11 7 13 5 20 0 1 0 \
            233 8130560 1187 18446744073709551615 1 2 3 0 0 0 0 3670020 1266777851 1 0 0 17 1 0 0 0 0 0\n";
        let stat = parse(text).unwrap();
        assert_eq!(stat.command, b"a) b (c");
        assert_eq!(stat.state, b'S');
        assert!(!stat.kernel);
        assert_eq!((stat.ticks, stat.threads), (18, 1));
        assert_eq!((stat.started, stat.resident_pages), (233, 1187));
    }

    #[test]
    fn a_kernel_thread_is_known_by_its_flag() {
        let text = b"2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 0 0 0 0 0";
        assert!(parse(text).unwrap().kernel);
    }

    #[test]
    fn a_cut_line_is_refused() {
        for text in ["", "1 (a", "1 )a( S", "1 (a) S 1 2 3", "1 (a)"] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn any_command_is_read_back(command in proptest::collection::vec(any::<u8>(), 0..16)) {
            let mut line = b"1 (".to_vec();
            line.extend(&command);
            line.extend(b") R 0 0 0 0 -1 0 0 0 0 0 1 2 0 0 20 0 3 0 4 0 5");
            let stat = parse(&line).unwrap();
            prop_assert_eq!(stat.command, &command[..]);
            prop_assert_eq!((stat.ticks, stat.threads, stat.resident_pages), (3, 3, 5));
        }
    }
}
