//! The one file that knows the engine underneath: fjall, a log-structured merge tree.
//!
//! Its memory is held down for the agent: a small cache and small tables; what was deleted goes at the next
//! flush.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

/// Records are read once, in order: a cache buys nothing.
const CACHE_BYTES: u64 = 512 * 1024;
/// Memory before a table is written out.
const MEMTABLE_BYTES: u64 = 2 * 1024 * 1024;
/// The engine's own log; the least that it allows.
const LOG_BYTES: u64 = 64 * 1024 * 1024;
const OPEN_FILES: usize = 32;

/// The open database.
pub(crate) struct Engine {
    database: Database,
    records: Keyspace,
    meta: Keyspace,
}

/// One change of an atomic write.
pub(crate) enum Write {
    PutRecord([u8; 9], Vec<u8>),
    RemoveRecord([u8; 9]),
    PutMeta(Vec<u8>, Vec<u8>),
    RemoveMeta(Vec<u8>),
}

/// Why the engine could not be opened.
pub(crate) enum Unopened {
    /// The files are not what the engine wrote.
    Damaged(String),
    /// The disk is full or broken, or another process holds the files: a retry may help.
    Unavailable(String),
}

impl Engine {
    pub(crate) fn open(folder: &Path) -> Result<Self, Unopened> {
        // The engine asserts here and there while recovering what it did not write.
        let opened = std::panic::catch_unwind(|| open(folder));
        match opened {
            Ok(Ok(engine)) => Ok(engine),
            Ok(Err(error)) if damaged(&error) => Err(Unopened::Damaged(error.to_string())),
            Ok(Err(fjall::Error::Locked)) => {
                Err(Unopened::Unavailable("another process holds it".to_owned()))
            }
            Ok(Err(error)) => Err(Unopened::Unavailable(error.to_string())),
            Err(_) => Err(Unopened::Damaged(
                "the engine panicked while recovering".to_owned(),
            )),
        }
    }

    /// Writes all changes or none; synced to disk when `durable`.
    pub(crate) fn write(&self, changes: Vec<Write>, durable: bool) -> Result<(), String> {
        let mut batch = self.database.batch();
        if durable {
            batch = batch.durability(Some(PersistMode::SyncData));
        }
        for change in changes {
            match change {
                Write::PutRecord(key, value) => batch.insert(&self.records, key.as_slice(), value),
                Write::RemoveRecord(key) => batch.remove(&self.records, key.as_slice()),
                Write::PutMeta(key, value) => batch.insert(&self.meta, key, value),
                Write::RemoveMeta(key) => batch.remove(&self.meta, key),
            }
        }
        batch.commit().map_err(|e| e.to_string())
    }

    pub(crate) fn record(&self, key: [u8; 9]) -> Result<Option<Vec<u8>>, String> {
        let found = self.records.get(key).map_err(|e| e.to_string())?;
        Ok(found.map(|value| value.to_vec()))
    }

    pub(crate) fn meta(&self, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let found = self.meta.get(key).map_err(|e| e.to_string())?;
        Ok(found.map(|value| value.to_vec()))
    }

    /// Key and length of every record, in order.
    pub(crate) fn each_record(&self, mut visit: impl FnMut(&[u8], usize)) -> Result<(), String> {
        for guard in self.records.iter() {
            let (key, value) = guard.into_inner().map_err(|e| e.to_string())?;
            visit(&key, value.len());
        }
        Ok(())
    }
}

fn open(folder: &Path) -> Result<Engine, fjall::Error> {
    let database = Database::builder(folder)
        .cache_size(CACHE_BYTES)
        .max_journaling_size(LOG_BYTES)
        .max_cached_files(Some(OPEN_FILES))
        .journal_compression(fjall::CompressionType::None)
        .worker_threads(1)
        .open()?;
    let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
    let records = database.keyspace("records", options)?;
    let meta = database.keyspace("meta", options)?;
    Ok(Engine {
        database,
        records,
        meta,
    })
}

/// Whether the contents are to blame. Of errors of IO only those are that bad contents cause: a full disk, no
/// permission or no descriptors left must not cost a good journal its records.
fn damaged(error: &fjall::Error) -> bool {
    use std::io::ErrorKind as K;
    let of_contents = |error: &std::io::Error| {
        matches!(
            error.kind(),
            K::UnexpectedEof
                | K::InvalidData
                | K::InvalidInput
                | K::NotFound
                | K::IsADirectory
                | K::NotADirectory
        )
    };
    match error {
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => {
            of_contents(error)
        }
        fjall::Error::Locked | fjall::Error::Poisoned => false,
        _ => true,
    }
}
