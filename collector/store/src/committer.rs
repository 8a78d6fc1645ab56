//! One thread that writes what many callers commit at once: one sync of the disk serves them all.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use crate::StoreError;
use crate::engine::{Engine, Write};
use crate::error::EngineError;

/// Commits that wait for the disk. When it is full, callers wait: ingest slows down and agents keep
/// their records in their journals.
const QUEUE_COMMITS: usize = 256;
/// Most bytes gathered into one write.
const GROUP_BYTES: usize = 8 * 1024 * 1024;

struct Job {
    writes: Vec<Write>,
    reply: SyncSender<Result<(), EngineError>>,
}

/// Handle of the committing thread; ends it when dropped.
pub(crate) struct Committer {
    jobs: Option<SyncSender<Job>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Committer {
    pub(crate) fn start(engine: Engine) -> Result<Self, StoreError> {
        let (jobs, queue) = sync_channel(QUEUE_COMMITS);
        let thread = std::thread::Builder::new()
            .name("store-commit".to_owned())
            .spawn(move || run(&engine, &queue))
            .map_err(StoreError::Thread)?;
        Ok(Self {
            jobs: Some(jobs),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Writes all or nothing; durable on return.
    pub(crate) fn write(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        let (reply, done) = sync_channel(1);
        let jobs = self.jobs.as_ref().ok_or(StoreError::Closed)?;
        jobs.send(Job { writes, reply })
            .map_err(|_| StoreError::Closed)?;
        done.recv()
            .map_err(|_| StoreError::Closed)?
            .map_err(StoreError::Write)
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.jobs = None;
        let thread = self.thread.get_mut().ok().and_then(Option::take);
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the store's committer panicked");
        }
    }
}

fn run(engine: &Engine, queue: &Receiver<Job>) {
    while let Ok(first) = queue.recv() {
        let mut writes = first.writes;
        let mut replies = vec![first.reply];
        let mut bytes = size(&writes);
        while bytes < GROUP_BYTES {
            let Ok(job) = queue.try_recv() else { break };
            bytes += size(&job.writes);
            writes.extend(job.writes);
            replies.push(job.reply);
        }
        let outcome = engine.write(writes);
        for reply in replies {
            // A caller that went away does not need to know.
            let _ = reply.send(outcome.clone());
        }
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
