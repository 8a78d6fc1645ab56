//! Space and inodes of each file system, and whether it still answers.
//!
//! statvfs(3) of a dead network mount or a frozen file system does not return. It is called on a thread of
//! its own; whoever holds that thread past the deadline is hung, the thread is left to it and another one
//! goes on with the rest. Threads that are left behind are bounded: with too many, nothing is asked any
//! more, and the host says so.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use firstlook_model::signal::names;
use firstlook_model::{ComponentKind, HostId};

use crate::family::Family;
use crate::limits::Limits;
use crate::mounts::{MountPoint, Mounts};
use crate::registry::Registry;

pub(crate) static SIGNALS: [&str; 7] = [
    names::FILESYSTEM_SIZE,
    names::FILESYSTEM_AVAILABLE,
    names::FILESYSTEM_FREE,
    names::FILESYSTEM_INODES,
    names::FILESYSTEM_INODES_AVAILABLE,
    names::FILESYSTEM_READONLY,
    names::FILESYSTEM_HUNG,
];
/// Network file systems are asked once in so many passes: each question is a message to their server.
const REMOTE_EVERY: u64 = 5;
/// Longest wait for a pass that began in the same sample.
const PASS_WAIT: Duration = Duration::from_millis(20);
/// Answers in flight: more than one pass can hold, so that no worker waits for the sampler.
const ANSWERS: usize = 1_024;

/// What statvfs says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Space {
    pub size_bytes: u64,
    pub free_bytes: u64,
    pub available_bytes: u64,
    pub inodes: u64,
    pub inodes_available: u64,
    pub readonly: bool,
}

/// Asks one file system. Injected, so that a test can make it hang.
pub(crate) type Ask = Arc<dyn Fn(&Path) -> io::Result<Space> + Send + Sync>;

/// Asks the kernel, about the path as process 1 sees it below `root`.
pub(crate) fn ask_kernel(root: Option<Arc<Path>>) -> Ask {
    Arc::new(move |path| {
        let found = match &root {
            None => rustix::fs::statvfs(path),
            Some(root) => rustix::fs::statvfs(root.join(path.strip_prefix("/").unwrap_or(path))),
        }?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Ok(Space {
            size_bytes: bytes(found.f_blocks),
            free_bytes: bytes(found.f_bfree),
            available_bytes: bytes(found.f_bavail),
            inodes: found.f_files,
            inodes_available: found.f_favail,
            readonly: found.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY),
        })
    })
}

type Answer = (u64, Arc<Path>, io::Result<Space>);

/// One round over the mounts on one worker.
struct Pass {
    worker: u64,
    abandoned: Arc<AtomicBool>,
    waiting: VecDeque<Arc<Path>>,
    progressed: Duration,
}

/// Asks all mounts again and again without ever waiting for one.
pub(crate) struct Prober {
    ask: Ask,
    deadline: Duration,
    stuck_limit: usize,
    answers: (SyncSender<Answer>, Receiver<Answer>),
    /// The idle or busy worker's inbox; `None` when it was given up.
    worker: Option<(u64, SyncSender<Work>)>,
    workers: u64,
    pass: Option<Pass>,
    stuck: HashMap<Arc<Path>, u64>,
    latest: HashMap<Arc<Path>, io::Result<Space>>,
}

struct Work {
    paths: Vec<Arc<Path>>,
    abandoned: Arc<AtomicBool>,
}

impl Prober {
    pub(crate) fn new(ask: Ask, deadline: Duration, stuck_limit: usize) -> Self {
        Self {
            ask,
            deadline,
            stuck_limit,
            answers: sync_channel(ANSWERS),
            worker: None,
            workers: 0,
            pass: None,
            stuck: HashMap::new(),
            latest: HashMap::new(),
        }
    }

    /// Takes what was answered, gives up on what is late, and begins a pass over `paths` when none runs.
    pub(crate) fn step(&mut self, now: Duration, paths: impl Iterator<Item = Arc<Path>>) {
        self.take_answers(now, Duration::ZERO);
        let late = self
            .pass
            .as_ref()
            .is_some_and(|pass| now.saturating_sub(pass.progressed) >= self.deadline);
        if late && let Some(mut pass) = self.pass.take() {
            pass.abandoned.store(true, Ordering::Relaxed);
            self.worker = None;
            if let Some(path) = pass.waiting.pop_front() {
                self.latest.remove(&path);
                self.stuck.insert(path, pass.worker);
            }
            self.begin(now, pass.waiting);
        }
        if self.pass.is_none() {
            let free = paths.filter(|path| !self.stuck.contains_key(path));
            let waiting = free.collect();
            self.begin(now, waiting);
            self.take_answers(now, PASS_WAIT);
        }
    }

    fn begin(&mut self, now: Duration, waiting: VecDeque<Arc<Path>>) {
        if waiting.is_empty() || self.starved() {
            return;
        }
        let abandoned = Arc::new(AtomicBool::new(false));
        let mut work = Work {
            paths: waiting.iter().cloned().collect(),
            abandoned: Arc::clone(&abandoned),
        };
        if let Some((worker, inbox)) = &self.worker {
            match inbox.try_send(work) {
                Ok(()) => {
                    self.pass = Some(Pass {
                        worker: *worker,
                        abandoned,
                        waiting,
                        progressed: now,
                    });
                    return;
                }
                Err(error) => work = give_back(error),
            }
        }
        self.worker = self.hire();
        if let Some((worker, inbox)) = &self.worker
            && inbox.try_send(work).is_ok()
        {
            self.pass = Some(Pass {
                worker: *worker,
                abandoned,
                waiting,
                progressed: now,
            });
        }
    }

    fn hire(&mut self) -> Option<(u64, SyncSender<Work>)> {
        self.workers += 1;
        let number = self.workers;
        let (inbox, work) = sync_channel::<Work>(1);
        let (ask, answers) = (Arc::clone(&self.ask), self.answers.0.clone());
        std::thread::Builder::new()
            .name("statvfs".into())
            .spawn(move || serve(number, &ask, &work, &answers))
            .ok()
            .map(|_| (number, inbox))
    }

    fn take_answers(&mut self, now: Duration, wait: Duration) {
        let until = Instant::now() + wait;
        loop {
            let running = self.pass.is_some();
            let left = until.saturating_duration_since(Instant::now());
            let answer = if running && !left.is_zero() {
                self.answers.1.recv_timeout(left).ok()
            } else {
                self.answers.1.try_recv().ok()
            };
            let Some((worker, path, space)) = answer else {
                return;
            };
            if self.stuck.get(&path) == Some(&worker) {
                self.stuck.remove(&path);
            }
            self.latest.insert(Arc::clone(&path), space);
            if let Some(pass) = self.pass.as_mut().filter(|pass| pass.worker == worker) {
                pass.waiting.pop_front();
                pass.progressed = now;
                if pass.waiting.is_empty() {
                    self.pass = None;
                }
            }
        }
    }

    /// Whether the file system holds a thread past the deadline.
    pub(crate) fn hung(&self, path: &Path) -> bool {
        self.stuck.contains_key(path)
    }

    /// What it answered last; `None` before it did.
    pub(crate) fn latest(&self, path: &Path) -> Option<&io::Result<Space>> {
        self.latest.get(path)
    }

    /// Whether so many threads are stuck that nothing is asked any more.
    pub(crate) fn starved(&self) -> bool {
        self.stuck.len() >= self.stuck_limit
    }

    /// Forgets what is no longer mounted.
    fn retain(&mut self, mounted: impl Fn(&Path) -> bool) {
        self.latest.retain(|path, _| mounted(path));
    }
}

fn give_back(error: std::sync::mpsc::TrySendError<Work>) -> Work {
    match error {
        std::sync::mpsc::TrySendError::Full(work)
        | std::sync::mpsc::TrySendError::Disconnected(work) => work,
    }
}

/// The worker: asks until its inbox closes. Given up on, it ends as soon as the kernel lets it go.
fn serve(number: u64, ask: &Ask, work: &Receiver<Work>, answers: &SyncSender<Answer>) {
    while let Ok(work) = work.recv() {
        for path in work.paths {
            let space = ask(&path);
            if answers.send((number, path, space)).is_err() {
                return;
            }
            if work.abandoned.load(Ordering::Relaxed) {
                return;
            }
        }
    }
}

/// The source.
pub(crate) struct Filesystems {
    prober: Prober,
    family: Family<7>,
    passes: u64,
}

impl Filesystems {
    pub(crate) fn new(host: HostId, ask: Ask, limits: &Limits) -> Self {
        Self {
            prober: Prober::new(ask, limits.statvfs_deadline, limits.stuck_threads),
            family: Family::new(
                host,
                ComponentKind::Filesystem,
                &SIGNALS,
                limits.filesystems,
            ),
            passes: 0,
        }
    }

    pub(crate) fn sample(&mut self, registry: &mut Registry, mounts: &Mounts) {
        let remote_too = self.passes.is_multiple_of(REMOTE_EVERY);
        self.passes += 1;
        let due = mounts.all().iter();
        let due = due.filter(|mount| remote_too || !mount.remote());
        self.prober
            .step(registry.now(), due.map(|mount| Arc::clone(&mount.path)));
        for mount in mounts.all() {
            let Some(values) = values(&self.prober, mount) else {
                continue;
            };
            if let Some(name) = mount.path.to_str() {
                self.family.set(registry, name, &values);
            }
        }
        let all = mounts.all();
        self.prober
            .retain(|path| all.iter().any(|mount| &*mount.path == path));
    }

    pub(crate) fn expire(&mut self, registry: &mut Registry, limits: &Limits) {
        self.family.expire(registry, limits.absent);
    }

    pub(crate) fn refused(&self) -> u64 {
        self.family.refused()
    }

    /// Why some file systems are not seen.
    pub(crate) fn blind(&self) -> impl Iterator<Item = String> {
        let failed = self.prober.latest.iter().filter_map(|(path, found)| {
            let error = found.as_ref().err()?;
            Some(format!("statvfs {}: {error}", path.display()))
        });
        let starved = self
            .prober
            .starved()
            .then(|| "statvfs: too many hung mounts, no file system is looked at".to_owned());
        failed.chain(starved)
    }
}

/// Values in the order of the signals; `None` before the first answer, and when it was an error.
fn values(prober: &Prober, mount: &MountPoint) -> Option<[f64; 7]> {
    let flag = |set: bool| f64::from(u8::from(set));
    if prober.hung(&mount.path) {
        let mut values = [f64::NAN; 7];
        values[5] = flag(mount.readonly);
        values[6] = 1.0;
        return Some(values);
    }
    let space = prober.latest(&mount.path)?.as_ref().ok()?;
    Some([
        space.size_bytes as f64,
        space.available_bytes as f64,
        space.free_bytes as f64,
        space.inodes as f64,
        space.inodes_available as f64,
        flag(space.readonly || mount.readonly),
        0.0,
    ])
}

#[cfg(test)]
mod tests;
