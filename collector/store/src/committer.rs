//! One thread that writes what many callers commit at once: one sync of the disk serves them all.
//!
//! Callers put their writes into the group that is open and wait for it; the thread takes the group as soon
//! as the one before is durable, and wakes all its callers at once.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;

use crate::StoreError;
use crate::engine::{Engine, Write};
use crate::error::EngineError;

/// Commits that wait for the disk. When there are so many, callers wait: ingest slows down and agents keep
/// their records in their journals.
const GROUP_COMMITS: usize = 256;
/// Bytes from which a group takes no more, as with [`GROUP_COMMITS`].
const GROUP_BYTES: usize = 8 * 1024 * 1024;

/// What became of a group; `None` when the thread died of it.
type Outcome = Option<Result<(), EngineError>>;

/// Writes that become durable together.
#[derive(Default)]
struct Group {
    writes: Vec<Write>,
    bytes: usize,
    commits: usize,
    outcome: Arc<OnceLock<Outcome>>,
}

impl Group {
    fn is_full(&self) -> bool {
        self.commits >= GROUP_COMMITS || self.bytes >= GROUP_BYTES
    }
}

#[derive(Default)]
struct Open {
    group: Group,
    closed: bool,
}

#[derive(Default)]
struct Shared {
    open: Mutex<Open>,
    /// The open group is no longer empty, or nothing comes any more.
    work: Condvar,
    /// The open group was taken.
    taken: Condvar,
}

/// Handle of the committing thread; ends it when dropped.
pub(crate) struct Committer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Committer {
    pub(crate) fn start(engine: Engine) -> Result<Self, StoreError> {
        Self::start_with(move |writes| {
            engine.check_room()?;
            engine.write(writes)
        })
    }

    fn start_with(
        write: impl Fn(Vec<Write>) -> Result<(), EngineError> + Send + 'static,
    ) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("store-commit".to_owned())
            .spawn(move || run(&of_thread, write))
            .map_err(StoreError::Thread)?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Writes all or nothing; durable on return.
    pub(crate) fn write(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        let bytes = size(&writes);
        let mut open = self.shared.lock();
        while open.group.is_full() && !open.closed {
            let waiting = self.shared.taken.wait(open);
            open = waiting.unwrap_or_else(PoisonError::into_inner);
        }
        if open.closed {
            return Err(StoreError::Closed);
        }
        let group = &mut open.group;
        group.writes.extend(writes);
        group.bytes += bytes;
        group.commits += 1;
        let (first, outcome) = (group.commits == 1, Arc::clone(&group.outcome));
        drop(open);
        if first {
            self.shared.work.notify_one();
        }
        let outcome = outcome.wait().clone();
        outcome
            .ok_or(StoreError::Closed)?
            .map_err(StoreError::Write)
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.shared.close();
        let thread = self.thread.take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the store's committer panicked");
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.lock().closed = true;
        self.work.notify_all();
        self.taken.notify_all();
    }

    /// The next group, once there is something in it; `None` when nothing comes any more.
    fn next(&self) -> Option<Group> {
        let idle = |open: &mut Open| open.group.commits == 0 && !open.closed;
        let waiting = self.work.wait_while(self.lock(), idle);
        let mut open = waiting.unwrap_or_else(PoisonError::into_inner);
        let group = std::mem::take(&mut open.group);
        drop(open);
        if group.is_full() {
            self.taken.notify_all();
        }
        (group.commits > 0).then_some(group)
    }
}

/// Tells the callers of a group, also when writing it panics: they would wait for ever.
struct Telling<'s> {
    shared: &'s Shared,
    outcome: Arc<OnceLock<Outcome>>,
}

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        if self.outcome.set(None).is_ok() {
            self.shared.close();
            // Callers of the group that was open meanwhile wait too.
            let _ = self.shared.lock().group.outcome.set(None);
        }
    }
}

fn run(shared: &Shared, write: impl Fn(Vec<Write>) -> Result<(), EngineError>) {
    while let Some(group) = shared.next() {
        let telling = Telling {
            shared,
            outcome: group.outcome,
        };
        let outcome = write(group.writes);
        // Set nowhere else before.
        let _ = telling.outcome.set(Some(outcome));
    }
}

fn size(writes: &[Write]) -> usize {
    writes
        .iter()
        .map(|write| match write {
            Write::Put(_, key, value) => key.len() + value.len(),
            Write::Remove(_, key) => key.len(),
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
    use std::thread;

    use super::*;

    const CALLERS: usize = 2 * GROUP_COMMITS;

    /// A committer whose writes tell that they began, and end when `hold` is dropped.
    struct Slow {
        committer: Committer,
        began: Receiver<()>,
        hold: SyncSender<()>,
    }

    fn slow(end: impl Fn() -> Result<(), EngineError> + Send + 'static) -> Slow {
        let (begins, began) = sync_channel(CALLERS);
        let (hold, held) = sync_channel(1);
        let committer = Committer::start_with(move |_| {
            begins.send(()).expect("room for every write");
            let _ = held.recv();
            end()
        });
        Slow {
            committer: committer.unwrap(),
            began,
            hold,
        }
    }

    fn wait_for(committer: &Committer, ready: impl Fn(&Open) -> bool) {
        while !ready(&committer.shared.lock()) {
            thread::yield_now();
        }
    }

    #[test]
    fn commits_that_come_while_the_disk_is_busy_share_the_next_write() {
        let slow = slow(|| Ok(()));
        let commit = || slow.committer.write(Vec::new());
        thread::scope(|scope| {
            let mut callers = vec![scope.spawn(commit)];
            slow.began.recv().unwrap();
            callers.extend((0..10).map(|_| scope.spawn(commit)));
            wait_for(&slow.committer, |open| open.group.commits == 10);
            drop(slow.hold);
            for caller in callers {
                assert!(caller.join().unwrap().is_ok());
            }
        });
        assert_eq!(slow.began.try_iter().count(), 1);
    }

    #[test]
    fn callers_beyond_a_full_group_wait_and_are_served_too() {
        let slow = slow(|| Ok(()));
        let commit = || slow.committer.write(Vec::new());
        thread::scope(|scope| {
            let callers: Vec<_> = (0..CALLERS).map(|_| scope.spawn(commit)).collect();
            wait_for(&slow.committer, |open| open.group.is_full());
            drop(slow.hold);
            for caller in callers {
                assert!(caller.join().unwrap().is_ok());
            }
        });
        assert!(slow.began.try_iter().count() >= 2);
    }

    #[test]
    fn every_caller_of_a_group_hears_that_it_failed() {
        let slow = slow(|| Err(EngineError::panicked()));
        let commit = || slow.committer.write(Vec::new());
        thread::scope(|scope| {
            let mut callers = vec![scope.spawn(commit)];
            slow.began.recv().unwrap();
            callers.extend((0..3).map(|_| scope.spawn(commit)));
            wait_for(&slow.committer, |open| open.group.commits == 3);
            drop(slow.hold);
            for caller in callers {
                assert!(matches!(caller.join().unwrap(), Err(StoreError::Write(_))));
            }
        });
    }

    #[test]
    fn nobody_waits_for_a_thread_that_died() {
        let slow = slow(|| panic!("as the engine might"));
        let commit = || slow.committer.write(Vec::new());
        thread::scope(|scope| {
            let first = scope.spawn(commit);
            slow.began.recv().unwrap();
            let second = scope.spawn(commit);
            wait_for(&slow.committer, |open| open.group.commits == 1);
            drop(slow.hold);
            for caller in [first, second] {
                assert!(matches!(caller.join().unwrap(), Err(StoreError::Closed)));
            }
        });
        assert!(matches!(commit(), Err(StoreError::Closed)));
    }
}
