//! Processes (`/proc/PID/stat`, `/proc/PID/cgroup`), each counted for the service it belongs to. proc(5).
//!
//! A process is its pid and its start time: pids are reused. Descriptors of `stat` stay open under the
//! budget of [`crate::reader`], where the figures are that decided for a reader of our own. Kernel threads
//! are only counted. What sleeps is read anew once it has run, and every minute: see [`asleep`].

mod asleep;

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, RawDir, SeekFrom};

use crate::membership::{self, Membership};
use crate::numbered::Numbered;
use crate::open_files::OpenFiles;
use crate::reader::{Descriptors, KeptFile, read_once};
use crate::roots::HostRoots;
use crate::services::{Part, Services};
use crate::text::{fields, number, printable};
use asleep::Watch;

/// PF_KTHREAD of the kernel's `include/linux/sched.h`.
const KERNEL_THREAD: u64 = 0x0020_0000;
/// A young process may still be moved to its cgroup: it is asked again in each sample for so long.
const YOUNG_SECONDS: f64 = 5.0;
/// Every process is asked for its cgroup again once in so many samples.
const RECHECK_EVERY: u64 = 60;
/// Every process has its open files counted once in so many samples, one that ran in each where that is cheap; its limit is
/// read with its cgroup.
pub(crate) const FILES_EVERY: u64 = 10;
/// A process that did nothing in so many samples is watched, and no longer read in each.
const QUIET_SAMPLES: u32 = 3;

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
    known: Known,
    /// What it adds to its service while it sleeps: no time.
    part: Part,
    /// Samples in a row in which it was read and had done nothing.
    quiet: u32,
    /// While it sleeps.
    watch: Option<Watch>,
    seen: u64,
}

/// What is known of a process from one reading to the next.
#[derive(Debug)]
struct Known {
    started: u64,
    kernel: bool,
    ticks: u64,
    command: Box<[u8]>,
    service: Arc<str>,
    /// Whether a unit claims it, and it is not only named by its command.
    claimed: bool,
    files: Files,
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
    table: Numbered<u32, Process>,
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
            table: Numbered::default(),
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
        let recheck = (self.round + u64::from(pid)).is_multiple_of(RECHECK_EVERY);
        if !recheck && let Some(process) = self.table.get_mut(&pid) {
            let known = &process.known;
            let mut sleeps = |watch: &mut Watch| {
                (known.claimed && services.is_still(&known.service)) || watch.sleeps(scratch)
            };
            let asleep = process.watch.as_mut().is_some_and(&mut sleeps);
            if asleep {
                services.add(&known.service, known.claimed, &process.part);
            }
            if asleep || known.kernel {
                process.seen = self.round;
                return;
            }
        }
        self.read_whole(pid, recheck, uptime, services, scratch);
    }

    fn read_whole(
        &mut self,
        pid: u32,
        recheck: bool,
        uptime: f64,
        services: &mut Services,
        scratch: &mut Vec<u8>,
    ) {
        let before = self.table.remove(&pid);
        let quiet = before.as_ref().map_or(0, |process| process.quiet);
        let folder = || self.root.join(pid.to_string());
        // Before it is read, so that whatever it does from here on is noticed.
        let watch = (quiet >= QUIET_SAMPLES)
            .then(|| Watch::begin(&folder(), &self.open, scratch))
            .flatten();
        let (mut file, known) = match before {
            Some(process) => (process.file, Some(process.known)),
            None => {
                let path = folder().join("stat");
                (KeptFile::one_piece(path, &self.open), None)
            }
        };
        // A process that ended meanwhile is no error.
        let Some(stat) = file.read(scratch).and_then(parse) else {
            return;
        };
        let (started, ticks, kernel) = (stat.started, stat.ticks, stat.kernel);
        let known = known.filter(|known| known.started == started);
        let ticks_before = known.as_ref().map_or(0, |known| known.ticks);
        let mut files = known.as_ref().map_or(Files::default(), |known| known.files);
        let age = uptime - started as f64 / self.ticks_per_second;
        let mut part = Part {
            zombie: stat.state == b'Z',
            files: None,
            seconds: ticks.saturating_sub(ticks_before) as f64 / self.ticks_per_second,
            resident_bytes: stat.resident_pages as f64 * self.page_bytes,
            threads: stat.threads,
            blocked: stat.state == b'D',
            stopped: matches!(stat.state, b'T' | b't'),
            settled: age >= YOUNG_SECONDS,
        };
        // Of several threads one may run while the first sleeps.
        let single = !kernel && stat.state == b'S' && stat.threads == 1;
        let idle = single && part.settled && known.is_some() && ticks == ticks_before;
        let watch = watch.filter(|_| idle);
        let known = known
            .filter(|known| !recheck && age >= YOUNG_SECONDS && *known.command == *stat.command);
        let (command, service, claimed) = match known {
            Some(known) => (known.command, known.service, known.claimed),
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
                // It opens and closes none while it sleeps; one that ran may have taken all that it may have.
                let ran = ticks > ticks_before && self.open_files.is_cheap();
                let now = watch.is_some() || ran;
                self.look_at_files(pid, recheck, now, &mut files, scratch);
            }
            part.files = files.open.zip(files.limit.flatten());
            services.add(&service, claimed, &part);
        }
        if watch.is_some() {
            file.close();
        }
        part.seconds = 0.0;
        let process = Process {
            file,
            known: Known {
                started,
                kernel,
                ticks,
                command,
                service,
                claimed,
                files,
            },
            part,
            quiet: if idle { quiet.saturating_add(1) } else { 0 },
            watch,
            seen: self.round,
        };
        self.table.insert(pid, process);
    }

    /// Counts the open files of a process when it is new, has its turn, or is to be looked at `now`.
    fn look_at_files(
        &mut self,
        pid: u32,
        recheck: bool,
        now: bool,
        files: &mut Files,
        scratch: &mut Vec<u8>,
    ) {
        let new = files.limit.is_none();
        if new || recheck {
            files.limit = Some(self.open_files.limit(pid, scratch));
        }
        let turn = (self.round + u64::from(pid)).is_multiple_of(FILES_EVERY);
        if (new || turn || now) && files.limit.flatten().is_some() {
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
            .filter(|(_, process)| !process.known.kernel)
            .map(|(pid, process)| Owner {
                pid: *pid,
                started: process.known.started,
                service: Arc::clone(&process.known.service),
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
mod tests;
