//! Who owns a socket, where its cgroup does not tell: a walk over the descriptors of all processes, a
//! bounded piece at a time, only while something is wanted. Measured: 99 ms for a walk over 20,000.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use crate::descriptors::{DescriptorReader, socket_inode};
use crate::processes::{Owner, Processes};

/// Sockets that may be wanted at once; more are asked for later.
const WANTED_LIMIT: usize = 20_000;

/// Descriptors of one process that are looked at.
const PROCESS_LIMIT: usize = 10_000;

/// Finds the processes that hold sockets.
#[derive(Debug)]
pub(crate) struct Owners {
    proc: PathBuf,
    reader: DescriptorReader,
    /// By inode: how many walks had begun when it was first wanted.
    wanted: HashMap<u32, u64>,
    found: HashMap<u32, Option<Arc<str>>>,
    queue: VecDeque<Owner>,
    /// Processes that held a wanted socket before: looked at first.
    lucky: HashSet<u32>,
    walks: u64,
    denied: bool,
}

impl Owners {
    pub(crate) fn new(proc: PathBuf) -> Self {
        Self {
            proc,
            reader: DescriptorReader::new(),
            wanted: HashMap::new(),
            found: HashMap::new(),
            queue: VecDeque::new(),
            lucky: HashSet::new(),
            walks: 0,
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
        if self.wanted.len() < WANTED_LIMIT && !self.found.contains_key(&inode) {
            self.wanted.entry(inode).or_insert(self.walks);
        }
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
        let owners = processes.owners();
        self.lucky
            .retain(|pid| owners.iter().any(|owner| owner.pid == *pid));
        let (first, last): (Vec<_>, Vec<_>) = owners
            .into_iter()
            .partition(|owner| self.lucky.contains(&owner.pid) && owner.pid != 1);
        self.queue = first.into_iter().chain(last).collect();
    }

    fn look_into(&mut self, owner: &Owner, budget: &mut usize) {
        let (wanted, found) = (&mut self.wanted, &mut self.found);
        let mut hit = false;
        // A process is looked into whole, or what lies beyond the budget would never be seen.
        let mut left = PROCESS_LIMIT;
        let looked = self
            .reader
            .links(&self.proc, owner.pid, &mut left, |target| {
                if let Some(inode) = socket_inode(target)
                    && wanted.remove(&inode).is_some()
                {
                    found.insert(inode, Some(Arc::clone(&owner.service)));
                    hit = true;
                }
            });
        self.denied |= looked == Err(rustix::io::Errno::ACCESS);
        if hit {
            self.lucky.insert(owner.pid);
        }
        // A process without descriptors costs as much as one.
        *budget = budget.saturating_sub((PROCESS_LIMIT - left).max(1));
    }

    /// A whole walk is over: what was wanted before it began has no owner.
    fn end(&mut self) {
        let walk = self.walks;
        let given_up = self.wanted.extract_if(|_, since| *since < walk);
        self.found.extend(given_up.map(|(inode, _)| (inode, None)));
    }

    /// Whether other users' processes could not be looked into.
    pub(crate) fn denied(&self) -> bool {
        self.denied
    }
}
