//! What can go wrong in the store.

use std::path::PathBuf;

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
    /// What is in the directory cannot be read as a store.
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
#[error("{0}")]
pub struct EngineError(pub(crate) String);

impl From<fjall::Error> for EngineError {
    fn from(error: fjall::Error) -> Self {
        Self(match error {
            fjall::Error::Io(io) => format!("input or output failed: {io}"),
            fjall::Error::Poisoned => {
                "an earlier write failed, so that the disk's state is not known; restart".to_owned()
            }
            other => format!("{other:?}"),
        })
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
