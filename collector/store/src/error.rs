//! What can go wrong in the store.

use std::path::{Path, PathBuf};

use firstlook_model::InvalidId;

/// Why the store could not do what was asked. After [`StoreError::Write`] no write of this process
/// succeeds any more: the engine refuses to guess what reached the disk. Restart and replay.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The configuration cannot work.
    #[error("store configuration: {0}")]
    Config(&'static str),
    /// The directory cannot be made or reached.
    #[error("cannot use {path} as the store's directory")]
    Directory {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Another process has it open. A retry helps once that one has ended.
    #[error("the store at {path} is in use by another process")]
    Locked {
        /// Where.
        path: PathBuf,
    },
    /// What is in the directory cannot be read as a store, and cannot be set aside either.
    #[error(
        "the store at {path} cannot be opened: {what}; move the directory aside and start again \
         with an empty one (agents send again what was not acknowledged), or restore it from a backup"
    )]
    Damaged {
        /// Where.
        path: PathBuf,
        /// What the engine says is wrong.
        what: String,
    },
    /// Damaged, and so were several before it: to begin anew once more would only hide a bad disk.
    #[error(
        "the store at {path} is damaged again ({what}), and {aside} damaged ones stand beside it: \
         check the disk, move them away, and start again"
    )]
    DamagedAgain {
        /// Where.
        path: PathBuf,
        /// What the engine says is wrong.
        what: String,
        /// How many stand beside it.
        aside: usize,
    },
    /// Written by another version of the store.
    #[error(
        "the store at {path} has format {found}, this version reads {known}: use the version that wrote it"
    )]
    Format {
        /// Where.
        path: PathBuf,
        /// Format found.
        found: String,
        /// Format known.
        known: u8,
    },
    /// Reading failed.
    #[error("cannot read from the store")]
    Read(#[source] EngineError),
    /// Writing failed, nothing of it is acknowledged.
    #[error("cannot write to the store")]
    Write(#[source] EngineError),
    /// A thread of the store could not be started.
    #[error("cannot start the store's committer")]
    Thread(#[source] std::io::Error),
    /// The store is closing.
    #[error("the store is closed")]
    Closed,
    /// A batch whose sequences do not rise. No retry helps.
    #[error("sequences of a batch must rise: {after} follows {before}")]
    Order {
        /// The sequence before.
        before: u64,
        /// The one that should be larger.
        after: u64,
    },
}

/// The engine's own error, without its type.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{what}")]
pub struct EngineError {
    what: String,
    blame: Blame,
}

/// What an error of the engine's speaks against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blame {
    /// The files are not what the engine wrote.
    Contents,
    /// The same, and it did not even return.
    Panic,
    /// The disk is full or broken, or descriptors have run out: the files may be sound.
    Surroundings(std::io::ErrorKind),
}

impl EngineError {
    pub(crate) fn panicked() -> Self {
        Self {
            what: "its files contradict each other".to_owned(),
            blame: Blame::Panic,
        }
    }

    pub(crate) fn no_room(free_bytes: u64, needed_bytes: u64) -> Self {
        let mib = |bytes: u64| bytes / (1024 * 1024);
        Self {
            what: format!(
                "{} MiB are free on its disk, and {} must be: make room, nothing is lost meanwhile",
                mib(free_bytes),
                mib(needed_bytes)
            ),
            blame: Blame::Surroundings(std::io::ErrorKind::StorageFull),
        }
    }

    pub(crate) fn is_panic(&self) -> bool {
        self.blame == Blame::Panic
    }

    /// As the reason for which a store does not open.
    pub(crate) fn at_opening(self, path: &Path) -> StoreError {
        let path = path.to_owned();
        match self.blame {
            Blame::Surroundings(kind) => StoreError::Directory {
                path,
                source: std::io::Error::new(kind, self.what),
            },
            Blame::Contents | Blame::Panic => StoreError::Damaged {
                path,
                what: self.what,
            },
        }
    }
}

impl From<fjall::Error> for EngineError {
    fn from(error: fjall::Error) -> Self {
        use std::io::ErrorKind as K;
        let (what, blame) = match error {
            fjall::Error::Io(io) | fjall::Error::Storage(fjall::LsmError::Io(io)) => {
                // Of errors of the disk only those are the contents' that bad contents cause: a full disk must not
                // cost a good store.
                let blame = match io.kind() {
                    K::UnexpectedEof
                    | K::InvalidData
                    | K::InvalidInput
                    | K::NotFound
                    | K::IsADirectory
                    | K::NotADirectory => Blame::Contents,
                    kind => Blame::Surroundings(kind),
                };
                (format!("input or output failed: {io}"), blame)
            }
            fjall::Error::Poisoned => (
                "an earlier write failed, so that the disk's state is not known; restart"
                    .to_owned(),
                Blame::Surroundings(K::Other),
            ),
            other => (format!("{other:?}"), Blame::Contents),
        };
        Self { what, blame }
    }
}

/// Why a stored value or key cannot be read. It is set aside, counted, and the rest goes on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Corrupt {
    #[error("key is malformed")]
    Key,
    #[error("key names a bad id")]
    Id(#[from] InvalidId),
    #[error("value has version {0}")]
    Version(u8),
    #[error("value is malformed at {0}")]
    Malformed(&'static str),
    #[error("value is larger than its limit")]
    TooLong,
    #[error("value cannot be decompressed")]
    Compression(#[source] std::io::Error),
    #[error("value holds a bad metric block")]
    Block(#[from] firstlook_model::BlockError),
    #[error("value holds bad events")]
    Events(#[from] serde_json::Error),
}
