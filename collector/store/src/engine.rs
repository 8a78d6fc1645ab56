//! The one file that knows the engine underneath (fjall, a log-structured merge tree).

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable, Snapshot};

use crate::config::JOURNAL_LIMIT_BYTES;
use crate::error::EngineError;
use crate::{StoreConfig, StoreError};

/// Journal files beyond their limit are flushed; three quarters leave room for the one being written.
const JOURNAL_BYTES: u64 = JOURNAL_LIMIT_BYTES / 4 * 3;
/// Telemetry blocks are this large or larger once compacted; smaller values stay inline.
const BLOB_THRESHOLD_BYTES: u32 = 4 * 1024;
/// Memory of one table before it is flushed to disk.
const MEMTABLE_BYTES: u64 = 32 * 1024 * 1024;
/// Longest key the engine accepts.
const KEY_LIMIT_BYTES: usize = 65_535;

/// An ordered map from keys to values within the store.
#[derive(Clone)]
pub(crate) struct Table(Keyspace);

impl Table {
    pub(crate) fn name(&self) -> &str {
        self.0.name()
    }

    /// Bytes on disk, without what only the journal holds yet.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.0.disk_space()
    }

    /// Asks for everything in memory to go to its own files, in the background.
    pub(crate) fn flush_soon(&self) -> Result<(), EngineError> {
        self.0.rotate_memtable()?;
        Ok(())
    }

    /// Writes everything in memory to its own files and waits.
    pub(crate) fn flush(&self) -> Result<(), EngineError> {
        Ok(self.0.rotate_memtable_and_wait()?)
    }
}

/// One change of an atomic batch.
pub(crate) enum Write {
    Put(Table, Vec<u8>, Vec<u8>),
    Remove(Table, Vec<u8>),
}

/// How a table's values are kept.
#[derive(Clone, Copy)]
pub(crate) enum Shape {
    /// Small values, looked up and rewritten.
    Small,
    /// Large values, written once and dropped with their table.
    Blocks,
}

/// The engine.
#[derive(Clone)]
pub(crate) struct Engine(Database);

impl Engine {
    pub(crate) fn open(path: &Path, config: &StoreConfig) -> Result<Self, StoreError> {
        std::fs::create_dir_all(path).map_err(|source| StoreError::Directory {
            path: path.to_owned(),
            source,
        })?;
        let builder = Database::builder(path)
            .cache_size(config.cache_bytes)
            .max_journaling_size(JOURNAL_BYTES)
            .journal_compression(fjall::CompressionType::None)
            .worker_threads(2);
        let damaged = |what: String| StoreError::Damaged {
            path: path.to_owned(),
            what,
        };
        // The engine asserts on some damage; that must not take the collector down without a word.
        match catch_unwind(AssertUnwindSafe(|| builder.open())) {
            Ok(Ok(database)) => Ok(Self(database)),
            Ok(Err(fjall::Error::Locked)) => Err(StoreError::Locked {
                path: path.to_owned(),
            }),
            Ok(Err(fjall::Error::Io(source))) if refused(&source) => Err(StoreError::Directory {
                path: path.to_owned(),
                source,
            }),
            Ok(Err(error)) => Err(damaged(EngineError::from(error).to_string())),
            Err(_) => Err(damaged("its files contradict each other".to_owned())),
        }
    }

    /// Opens a table, making it if it is not there.
    pub(crate) fn table(&self, name: &str, shape: Shape) -> Result<Table, EngineError> {
        Ok(Table(self.0.keyspace(name, || options(shape))?))
    }

    pub(crate) fn table_names(&self) -> Vec<String> {
        let names = self.0.list_keyspace_names();
        names.iter().map(|name| name.to_string()).collect()
    }

    /// Forgets a table; its files go when the last reader has ended.
    pub(crate) fn drop_table(&self, table: Table) -> Result<(), EngineError> {
        Ok(self.0.delete_keyspace(table.0)?)
    }

    /// Writes all or nothing, durable on return.
    pub(crate) fn write(&self, writes: Vec<Write>) -> Result<(), EngineError> {
        let mut batch = self.0.batch().durability(Some(PersistMode::SyncData));
        for write in writes {
            match write {
                Write::Put(table, key, value) => {
                    debug_assert!(key.len() <= KEY_LIMIT_BYTES);
                    batch.insert(&table.0, key, value);
                }
                Write::Remove(table, key) => batch.remove(&table.0, key),
            }
        }
        Ok(batch.commit()?)
    }

    /// Everything as it stands now, whatever is written later.
    pub(crate) fn view(&self) -> View {
        View(self.0.snapshot())
    }
}

fn refused(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem | ErrorKind::StorageFull
    )
}

fn options(shape: Shape) -> KeyspaceCreateOptions {
    let options = KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
    match shape {
        Shape::Small => options,
        Shape::Blocks => options.with_kv_separation(Some(
            fjall::KvSeparationOptions::default()
                .separation_threshold(BLOB_THRESHOLD_BYTES)
                .compression(fjall::CompressionType::None),
        )),
    }
}

/// A consistent picture of all tables.
pub(crate) struct View(Snapshot);

/// A key or a value as the engine holds it.
pub(crate) type Bytes = fjall::Slice;

impl View {
    pub(crate) fn get(&self, table: &Table, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        Ok(self.0.get(&table.0, key)?)
    }

    /// Entries of a range of keys, in order.
    pub(crate) fn scan(
        &self,
        table: &Table,
        keys: Range<Vec<u8>>,
    ) -> impl Iterator<Item = Result<(Bytes, Bytes), EngineError>> + use<> {
        self.0
            .range(&table.0, keys)
            .map(|guard| Ok(guard.into_inner()?))
    }

    /// Keys of a range, in order, without reading large values.
    pub(crate) fn scan_keys(
        &self,
        table: &Table,
        keys: Range<Vec<u8>>,
    ) -> impl Iterator<Item = Result<Bytes, EngineError>> + use<> {
        self.0.range(&table.0, keys).map(|guard| Ok(guard.key()?))
    }

    /// Every entry.
    pub(crate) fn all(
        &self,
        table: &Table,
    ) -> impl Iterator<Item = Result<(Bytes, Bytes), EngineError>> + use<> {
        self.0.iter(&table.0).map(|guard| Ok(guard.into_inner()?))
    }

    /// Every key.
    pub(crate) fn all_keys(
        &self,
        table: &Table,
    ) -> impl Iterator<Item = Result<Bytes, EngineError>> + use<> {
        self.0.iter(&table.0).map(|guard| Ok(guard.key()?))
    }
}
