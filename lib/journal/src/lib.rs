//! Durable, ordered records under a budget of bytes: the agent's spool.
//!
//! A record is durable when [`Journal::append`] returns. Records leave in order, by acknowledgement; over
//! the budget the cheapest class goes first, its oldest record first, and what went is counted in the same
//! write, so that the count is exact across crashes. Checkpoints of log readers are written with the lines
//! that they cover.
//!
//! The engine underneath is fjall, known to `engine.rs` alone. Calls block; a handle is cheap to clone and
//! may be shared.

mod engine;
mod index;
mod state;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use firstlook_model::{Epoch, RecordClass, Sequence};
use firstlook_runtime::damage::{self, Attempt};

use crate::state::State;
pub use crate::state::{Shed, ShedCount};

/// Limits of a journal.
#[derive(Clone, Copy, Debug)]
pub struct JournalConfig {
    /// Bytes of records kept. The engine's own files come on top: up to about twice 64 MiB, for it
    /// recycles what was deleted lazily.
    pub budget_bytes: u64,
}

impl Default for JournalConfig {
    fn default() -> Self {
        Self {
            budget_bytes: 64 * 1024 * 1024,
        }
    }
}

/// What can go wrong. Nothing of a failed append is kept; it may be tried again.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The folder cannot be made, or a damaged one not set aside.
    #[error("journal folder {path} cannot be used")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The engine failed: the disk is full or broken. The next call opens it anew.
    #[error("journal cannot be read or written: {0}")]
    Engine(String),
    /// The system gave no randomness for a new epoch.
    #[error("the system gives no randomness")]
    NoRandomness,
}

/// A record to append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// How dear it is.
    pub class: RecordClass,
    /// Its encoding.
    pub bytes: Vec<u8>,
}

/// A position to keep for a reader of logs. Empty forgets it.
pub type Position = (String, Vec<u8>);

/// A journal that was opened.
pub struct Opened {
    /// The journal.
    pub journal: Journal,
    /// Where a damaged predecessor was set aside. Its records are lost to the collector;
    /// [`Journal::take_set_aside`] tells it too.
    pub set_aside: Option<PathBuf>,
}

/// The journal. Cheap to clone.
#[derive(Clone)]
pub struct Journal(Arc<Mutex<Slot>>);

struct Slot {
    folder: PathBuf,
    config: JournalConfig,
    epoch: Epoch,
    /// `None` after the engine failed, until the next call.
    state: Option<State>,
    /// Damaged predecessors that nobody was told of.
    set_aside: Vec<PathBuf>,
}

impl Journal {
    /// Opens the journal in `folder`, making it where there is none. One that the engine cannot recover is
    /// renamed to `<folder>.corrupt-<n>` and a new epoch begins.
    ///
    /// # Errors
    /// When the folder cannot be made, the disk is full, or another process holds it.
    pub fn open(folder: &Path, config: JournalConfig) -> Result<Opened, JournalError> {
        let (state, set_aside) = open(folder, config)?;
        let epoch = state.epoch();
        let slot = Slot {
            folder: folder.to_owned(),
            config,
            epoch,
            state: Some(state),
            set_aside: set_aside.iter().cloned().collect(),
        };
        Ok(Opened {
            journal: Self(Arc::new(Mutex::new(slot))),
            set_aside,
        })
    }

    /// The journal's lifetime.
    pub fn epoch(&self) -> Epoch {
        self.slot().epoch
    }

    /// The last sequence ever given; 0 where none was.
    ///
    /// # Errors
    /// [`JournalError::Engine`].
    pub fn last(&self) -> Result<Sequence, JournalError> {
        self.slot().with(|state| Ok(state.last()))
    }

    /// Begins a new epoch if `ended` is the present one; the records waiting belong to the new one. To be called when
    /// somebody has acknowledged what this journal never wrote, as after an older copy of the disk came back.
    ///
    /// # Errors
    /// [`JournalError::Engine`]; the epoch stays.
    pub fn begin_epoch(&self, ended: Epoch) -> Result<(), JournalError> {
        let mut slot = self.slot();
        if slot.epoch != ended {
            return Ok(());
        }
        slot.epoch = slot.with(|state| {
            state.begin_epoch()?;
            Ok(state.epoch())
        })?;
        tracing::warn!(ended = %ended, epoch = %slot.epoch, "journal began a new epoch");
        Ok(())
    }

    /// Appends records and keeps positions, durably and as one. `reported` is taken off what
    /// [`Journal::shed`] says, in the same write: the caller put it into one of the records.
    ///
    /// Gives the sequence of the last record, which is that of an earlier one when `entries` is empty.
    ///
    /// # Errors
    /// [`JournalError::Engine`]; nothing was kept.
    pub fn append(
        &self,
        entries: &[Entry],
        positions: &[Position],
        reported: &Shed,
    ) -> Result<Sequence, JournalError> {
        let mut slot = self.slot();
        let last = slot.with(|state| Ok(state.last()))?;
        let expected = Sequence(last.0.saturating_add(entries.len() as u64));
        slot.with(|state| state.append(entries, positions, reported))
            .or_else(|error| {
                // Written, but not synced? Then it is there when the engine is opened anew, and to try it again would
                // keep it twice.
                let there = expected > last
                    && slot
                        .with(|state| state.confirm(expected))
                        .unwrap_or_default();
                if there { Ok(expected) } else { Err(error) }
            })
    }

    /// Records after `after`, in order, of at most `limit_bytes` together, but at least one if there is one.
    ///
    /// # Errors
    /// [`JournalError::Engine`].
    pub fn read_after(
        &self,
        after: Sequence,
        limit_bytes: usize,
    ) -> Result<Vec<(Sequence, Vec<u8>)>, JournalError> {
        self.slot()
            .with(|state| state.read_after(after, limit_bytes))
    }

    /// Everything up to and including `sequence` of `epoch` is safe elsewhere and may go. Another epoch's
    /// acknowledgement changes nothing.
    ///
    /// # Errors
    /// [`JournalError::Engine`]; the records stay and will be acknowledged again.
    pub fn acknowledge(&self, epoch: Epoch, sequence: Sequence) -> Result<(), JournalError> {
        let mut slot = self.slot();
        if epoch != slot.epoch {
            return Ok(());
        }
        slot.with(|state| state.acknowledge(sequence))
    }

    /// The position kept for a reader.
    ///
    /// # Errors
    /// [`JournalError::Engine`].
    pub fn position(&self, reader: &str) -> Result<Option<Vec<u8>>, JournalError> {
        self.slot().with(|state| state.position(reader))
    }

    /// What was shed and not yet reported.
    ///
    /// # Errors
    /// [`JournalError::Engine`].
    pub fn shed(&self) -> Result<Shed, JournalError> {
        self.slot().with(|state| Ok(state.shed().clone()))
    }

    /// Where damaged journals were set aside, at the opening or since, and not yet told: to be reported as lost.
    pub fn take_set_aside(&self) -> Vec<PathBuf> {
        std::mem::take(&mut self.slot().set_aside)
    }

    /// Bytes of records waiting. 0 while the engine is down.
    pub fn bytes(&self) -> u64 {
        self.slot().state.as_ref().map_or(0, State::bytes)
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        // A panic in the engine leaves `state` as it was before the write; the engine checks itself.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Runs `work` on the open state; after a failure the engine is closed and opened anew next time, for
    /// it refuses everything once a write failed. Should it turn out damaged then, it is set aside as at the start.
    fn with<T>(
        &mut self,
        work: impl FnOnce(&mut State) -> Result<T, String>,
    ) -> Result<T, JournalError> {
        let mut state = match self.state.take() {
            Some(state) => state,
            None => {
                let (state, set_aside) = open(&self.folder, self.config)?;
                self.epoch = state.epoch();
                self.set_aside.extend(set_aside);
                state
            }
        };
        // The engine panics where its own threads failed before; the state is not used again after that.
        let result = catch_unwind(AssertUnwindSafe(|| work(&mut state)))
            .unwrap_or_else(|_| Err("the engine panicked".to_owned()));
        if result.is_ok() {
            self.state = Some(state);
        }
        result.map_err(JournalError::Engine)
    }
}

impl From<state::OpenError> for JournalError {
    fn from(error: state::OpenError) -> Self {
        match error {
            state::OpenError::Folder(path, source) => Self::Folder { path, source },
            state::OpenError::Damaged(what) | state::OpenError::Unavailable(what) => {
                Self::Engine(what)
            }
            state::OpenError::NoRandomness => Self::NoRandomness,
        }
    }
}

/// Opens the state in `folder`; where that is damaged, a new one, and says where the old one is.
fn open(folder: &Path, config: JournalConfig) -> Result<(State, Option<PathBuf>), JournalError> {
    std::fs::create_dir_all(folder).map_err(|source| JournalError::Folder {
        path: folder.to_owned(),
        source,
    })?;
    let attempt = Attempt::begin(folder);
    let opened = match attempt.is_hopeless() {
        true => Err(state::OpenError::Damaged(
            "opening it ended the process several times".to_owned(),
        )),
        false => State::open(folder, config),
    };
    let result = settle(opened, folder, config);
    attempt.end();
    result
}

fn settle(
    opened: Result<State, state::OpenError>,
    folder: &Path,
    config: JournalConfig,
) -> Result<(State, Option<PathBuf>), JournalError> {
    match opened {
        Ok(state) => Ok((state, None)),
        Err(state::OpenError::Damaged(what)) => {
            let aside = damage::set_aside(folder).map_err(|source| JournalError::Folder {
                path: folder.to_owned(),
                source,
            })?;
            tracing::error!(folder = %folder.display(), aside = %aside.display(), what, "journal is damaged and was set aside");
            let state = State::open(folder, config).map_err(JournalError::from)?;
            Ok((state, Some(aside)))
        }
        Err(other) => Err(other.into()),
    }
}

#[cfg(test)]
mod tests;
