//! Who owns a socket, where its cgroup does not tell: a walk over the descriptors of all processes, a
//! bounded piece at a time, only while something is wanted. Measured: 99 ms for a walk over 20,000.
//!
//! Some sockets are asked for again and again: listeners that nobody holds, as those of the kernel itself, and
//! those that the service manager holds for a service that it starts later. Whoever holds such a one next is
//! young: only processes that began since are looked into, and all of them now and then.

use std::collections::{HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use crate::descriptors::{DescriptorReader, socket_inode};
use crate::numbered::Numbered;
use crate::processes::{Owner, Processes};

/// Sockets that may be wanted at once; more are asked for later.
const WANTED_LIMIT: usize = 20_000;

/// Descriptors of one process that are looked at.
const PROCESS_LIMIT: usize = 10_000;

/// A process with so many descriptors costs more to look into than all others of most hosts.
const LARGE: usize = 1_000;
/// A large process that held nothing wanted is looked into in every second walk, then every fourth, at most every so many.
const SKIPPED_LIMIT: u64 = 64;

/// Answers that are remembered because they may change; more are looked for anew.
const PASSING_LIMIT: usize = 2_000;
/// So many times in a row only young processes are looked into: a descriptor can be handed to an old one, too.
const YOUNG_LIMIT: u32 = 60;
/// The service manager, which opens sockets for others.
pub(crate) const MANAGER: &str = "init";

/// What is wanted of a socket.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    /// How many walks had begun when it was first wanted.
    since: u64,
    /// Processes that began before are not its holders.
    young: u64,
    /// The round in which it was wanted last.
    round: u64,
}

/// An answer that may change.
#[derive(Clone, Debug)]
struct Passing {
    owner: Option<Arc<str>>,
    /// When the youngest process began that was looked into.
    until: u64,
    asked: u32,
}

/// A large process that was looked into in vain.
#[derive(Clone, Copy, Debug)]
struct Vain {
    started: u64,
    /// The walk in which it is looked into again.
    again: u64,
    /// Walks between the last look and that one.
    gap: u64,
}

/// Finds the processes that hold sockets.
#[derive(Debug)]
pub(crate) struct Owners {
    proc: PathBuf,
    reader: DescriptorReader,
    /// By inode, as all of these.
    wanted: Numbered<u32, Wanted>,
    found: Numbered<u32, Option<Arc<str>>>,
    passing: Numbered<u32, Passing>,
    queue: VecDeque<Owner>,
    /// Processes that held a wanted socket before: looked at first.
    lucky: HashSet<u32>,
    /// Large processes that held nothing wanted when they were last looked into.
    vain: Numbered<u32, Vain>,
    walks: u64,
    rounds: u64,
    /// When the youngest process of the walk in hand began.
    youngest: u64,
    denied: bool,
}

impl Owners {
    pub(crate) fn new(proc: PathBuf) -> Self {
        Self {
            proc,
            reader: DescriptorReader::new(),
            wanted: Numbered::default(),
            found: Numbered::default(),
            passing: Numbered::default(),
            queue: VecDeque::new(),
            lucky: HashSet::new(),
            vain: Numbered::default(),
            walks: 0,
            rounds: 0,
            youngest: 0,
            denied: false,
        }
    }

    /// Asks for the owner of a socket. `None` while it is looked for; `Some(None)` once a whole walk found
    /// no process that holds it. An answer is given once.
    pub(crate) fn ask(&mut self, inode: u32) -> Option<Option<Arc<str>>> {
        let found = self.found.remove(&inode);
        if found.is_none() {
            self.want(inode);
        }
        found
    }

    /// Looks for the owner of a socket from now on.
    pub(crate) fn want(&mut self, inode: u32) {
        if let Some(wanted) = self.wanted.get_mut(&inode) {
            wanted.round = self.rounds;
            return;
        }
        if self.wanted.len() >= WANTED_LIMIT || self.found.contains_key(&inode) {
            return;
        }
        let again = self.passing.get_mut(&inode).and_then(|passing| {
            passing.asked += 1;
            (passing.asked <= YOUNG_LIMIT).then_some(passing.until)
        });
        let wanted = Wanted {
            since: self.walks,
            young: again.unwrap_or(0),
            round: self.rounds,
        };
        self.wanted.insert(inode, wanted);
    }

    /// Ends a round, in which each socket that still wants an owner was asked for: the others are gone, and are not
    /// looked for any more.
    pub(crate) fn end_round(&mut self) {
        let round = self.rounds;
        self.wanted.retain(|_, wanted| wanted.round == round);
        self.rounds += 1;
    }

    /// Walks on over at most `budget` descriptors.
    pub(crate) fn step(&mut self, processes: &Processes, mut budget: usize) {
        while budget > 0 && !self.wanted.is_empty() {
            if self.queue.is_empty() {
                self.begin(processes);
            }
            while budget > 0 && !self.wanted.is_empty() {
                let Some(owner) = self.queue.pop_front() else {
                    break;
                };
                self.look_into(&owner, &mut budget);
            }
            if self.queue.is_empty() {
                self.end();
            }
        }
        if self.wanted.is_empty() {
            self.queue.clear();
        }
        // Answers nobody came for: their sockets are gone.
        if self.found.len() > WANTED_LIMIT {
            self.found.clear();
        }
    }

    fn begin(&mut self, processes: &Processes) {
        self.walks += 1;
        let mut owners = processes.owners();
        self.youngest = owners.first().map_or(0, |owner| owner.started);
        let young = self.wanted.values().map(|wanted| wanted.young).min();
        let pids: HashSet<u32> = owners.iter().map(|owner| owner.pid).collect();
        self.vain.retain(|pid, _| pids.contains(pid));
        let (vain, walks) = (&self.vain, self.walks);
        let skipped = |owner: &Owner| {
            let vain = vain.get(&owner.pid);
            vain.is_some_and(|vain| vain.started == owner.started && walks < vain.again)
        };
        owners.retain(|owner| Some(owner.started) >= young && !skipped(owner));
        let (first, last): (Vec<_>, Vec<_>) = owners
            .into_iter()
            .partition(|owner| self.lucky.contains(&owner.pid) && owner.pid != 1);
        if young == Some(0) {
            self.lucky = first.iter().map(|owner| owner.pid).collect();
        }
        self.queue = first.into_iter().chain(last).collect();
    }

    fn look_into(&mut self, owner: &Owner, budget: &mut usize) {
        let (wanted, found, passing) = (&mut self.wanted, &mut self.found, &mut self.passing);
        let until = self.youngest;
        let mut hit = false;
        // A process is looked into whole, or what lies beyond the budget would never be seen.
        let mut left = PROCESS_LIMIT;
        let looked = self
            .reader
            .links(&self.proc, owner.pid, &mut left, |target| {
                if let Some(inode) = socket_inode(target)
                    && wanted.remove(&inode).is_some()
                {
                    let service = Some(Arc::clone(&owner.service));
                    if &*owner.service == MANAGER {
                        remember(passing, inode, service.clone(), until);
                    } else {
                        passing.remove(&inode);
                    }
                    found.insert(inode, service);
                    hit = true;
                }
            });
        self.denied |= looked == Err(rustix::io::Errno::ACCESS);
        if hit {
            self.lucky.insert(owner.pid);
            self.vain.remove(&owner.pid);
        } else if PROCESS_LIMIT - left >= LARGE {
            let before = self.vain.get(&owner.pid).copied();
            let before = before.filter(|vain| vain.started == owner.started);
            let gap = before.map_or(2, |vain| (vain.gap * 2).min(SKIPPED_LIMIT));
            let vain = Vain {
                started: owner.started,
                again: self.walks + gap,
                gap,
            };
            self.vain.insert(owner.pid, vain);
        }
        // A process without descriptors costs as much as one.
        *budget = budget.saturating_sub((PROCESS_LIMIT - left).max(1));
    }

    /// A walk is over: what was wanted before it began has no owner, or the one that it had before.
    fn end(&mut self) {
        let walk = self.walks;
        let given_up = self.wanted.extract_if(|_, wanted| wanted.since < walk);
        for (inode, wanted) in given_up {
            let before = self.passing.get(&inode).filter(|_| wanted.young > 0);
            let owner = before.and_then(|passing| passing.owner.clone());
            remember(&mut self.passing, inode, owner.clone(), self.youngest);
            self.found.insert(inode, owner);
        }
    }

    /// Whether other users' processes could not be looked into.
    pub(crate) fn denied(&self) -> bool {
        self.denied
    }
}

/// Keeps an answer that may change. How often it was asked for goes on until all processes were looked into.
fn remember(passing: &mut Numbered<u32, Passing>, inode: u32, owner: Option<Arc<str>>, until: u64) {
    if passing.len() >= PASSING_LIMIT {
        passing.clear();
    }
    let asked = passing
        .get(&inode)
        .map_or(0, |before| before.asked)
        .min(YOUNG_LIMIT + 1);
    let asked = if asked > YOUNG_LIMIT { 0 } else { asked };
    let answer = Passing {
        owner,
        until,
        asked,
    };
    passing.insert(inode, answer);
}

#[cfg(test)]
mod tests;
