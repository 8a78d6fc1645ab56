//! Running what may hang: each read on a thread of its own, with a deadline, into a bounded sink.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Most threads at once, those included that earlier snapshots left hanging on a dead mount.
const THREADS_LIMIT: usize = 32;
/// These threads parse text and need little.
const STACK_BYTES: usize = 512 * 1024;

static THREADS: AtomicUsize = AtomicUsize::new(0);

/// Why something could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GatherError {
    #[error("{path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{0}: not a regular file")]
    NotRegular(PathBuf),
    #[error("{0}: not text")]
    NotText(PathBuf),
    #[error("{0}: not an absolute path without '..'")]
    NotAbsolute(PathBuf),
    /// The sink takes no more.
    #[error("over the limit of an item")]
    Full,
    #[error("{0}")]
    Partly(String),
}

impl GatherError {
    pub fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Read { path, source }
    }
}

/// Where an item's content goes. What was written when the deadline passes is kept.
#[derive(Clone, Debug)]
pub(crate) struct Sink(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    content: Vec<u8>,
    limit: usize,
    truncated: bool,
    closed: bool,
}

impl Sink {
    pub fn new(limit_bytes: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            limit: usize::try_from(limit_bytes).unwrap_or(usize::MAX),
            ..State::default()
        })))
    }

    /// Adds all of `bytes`, or nothing when they do not fit.
    pub fn write(&self, bytes: &[u8]) -> Result<(), GatherError> {
        let mut state = self.state();
        if state.closed || state.content.len() + bytes.len() > state.limit {
            state.truncated = true;
            return Err(GatherError::Full);
        }
        state.content.extend_from_slice(bytes);
        Ok(())
    }

    /// Takes the content, and whether something did not fit; later writes fail.
    pub fn close(&self) -> (Vec<u8>, bool) {
        let mut state = self.state();
        state.closed = true;
        (std::mem::take(&mut state.content), state.truncated)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What reads an item.
pub(crate) type Work = Box<dyn FnOnce(&Sink) -> Result<(), GatherError> + Send>;

/// An item to be gathered.
pub(crate) struct Task {
    pub path: String,
    pub what: String,
    pub work: Work,
}

impl Task {
    pub fn new(
        path: impl Into<String>,
        what: impl Into<String>,
        work: impl FnOnce(&Sink) -> Result<(), GatherError> + Send + 'static,
    ) -> Self {
        Self {
            path: path.into(),
            what: what.into(),
            work: Box::new(work),
        }
    }
}

/// Why a call gave no result.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// It did not return in time. Its thread is left to itself.
    Deadline,
    /// It could not be started: too many threads hang already, or the system gives no more.
    NoThread,
    /// It panicked.
    Broken,
}

/// Calls `work` on a thread of its own and waits no longer than `limit`.
pub(crate) fn within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NoAnswer> {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            THREADS.fetch_sub(1, Ordering::Relaxed);
        }
    }
    if THREADS.fetch_add(1, Ordering::Relaxed) >= THREADS_LIMIT {
        THREADS.fetch_sub(1, Ordering::Relaxed);
        return Err(NoAnswer::NoThread);
    }
    let leave = Leave;
    let (answer, wait) = mpsc::sync_channel(1);
    std::thread::Builder::new()
        .name("snapshot".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || {
            let _leave = leave;
            // Nobody waits any more when the deadline has passed.
            let _ = answer.send(work());
        })
        .map_err(|_| NoAnswer::NoThread)?;
    wait.recv_timeout(limit).map_err(|e| match e {
        RecvTimeoutError::Timeout => NoAnswer::Deadline,
        RecvTimeoutError::Disconnected => NoAnswer::Broken,
    })
}
