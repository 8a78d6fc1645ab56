//! The one file that knows the engine underneath (fjall, a log-structured merge tree).

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable, Snapshot};

use crate::config::JOURNAL_LIMIT_BYTES;
use crate::error::EngineError;
use crate::opening::Suspicion;
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

    /// Where its files are.
    #[cfg(test)]
    pub(crate) fn folder(&self) -> &Path {
        self.0.path()
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
pub(crate) struct Engine {
    database: Database,
    suspicion: Arc<Suspicion>,
    folder: Arc<Path>,
    reserve_bytes: u64,
}

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
        if let Some(what) = lost_marker(path) {
            return Err(StoreError::Damaged {
                path: path.to_owned(),
                what,
            });
        }
        let database = builder.open().map_err(|error| match error {
            fjall::Error::Locked => StoreError::Locked {
                path: path.to_owned(),
            },
            other => EngineError::from(other).at_opening(path),
        })?;
        Ok(Self {
            database,
            suspicion: Arc::new(Suspicion::of(path)),
            folder: path.into(),
            reserve_bytes: config.reserve_bytes,
        })
    }

    /// Opens a table, making it if it is not there.
    pub(crate) fn table(&self, name: &str, shape: Shape) -> Result<Table, EngineError> {
        Ok(Table(self.database.keyspace(name, || options(shape))?))
    }

    pub(crate) fn table_names(&self) -> Vec<String> {
        let names = self.database.list_keyspace_names();
        names.iter().map(|name| name.to_string()).collect()
    }

    /// Forgets a table; its files go when the last reader has ended.
    pub(crate) fn drop_table(&self, table: Table) -> Result<(), EngineError> {
        Ok(self.database.delete_keyspace(table.0)?)
    }

    /// Whether the disk has room for more than what the engine itself may need.
    pub(crate) fn check_room(&self) -> Result<(), EngineError> {
        let disk =
            rustix::fs::statvfs(&*self.folder).map_err(|error| fjall::Error::Io(error.into()))?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if free < self.reserve_bytes {
            return Err(EngineError::no_room(free, self.reserve_bytes));
        }
        Ok(())
    }

    /// Writes all or nothing, durable on return. Once it failed it fails for ever.
    pub(crate) fn write(&self, writes: Vec<Write>) -> Result<(), EngineError> {
        let mut batch = self
            .database
            .batch()
            .durability(Some(PersistMode::SyncData));
        for write in writes {
            match write {
                Write::Put(table, key, value) => {
                    debug_assert!(key.len() <= KEY_LIMIT_BYTES);
                    batch.insert(&table.0, key, value);
                }
                Write::Remove(table, key) => batch.remove(&table.0, key),
            }
        }
        calm(|| batch.commit()).inspect_err(|_| self.suspicion.note())
    }

    /// Whether a write failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.suspicion.is_noted()
    }

    /// Everything as it stands now, whatever is written later.
    pub(crate) fn view(&self) -> View {
        View(self.database.snapshot())
    }
}

/// What the engine would take for a table that was never finished, and delete: one with contents whose marker is lost.
/// Without that of the first folder, which names the others, it would delete them all.
fn lost_marker(path: &Path) -> Option<String> {
    let folders = path.join("keyspaces");
    let tables = std::fs::read_dir(&folders).ok()?.flatten();
    let tables: Vec<_> = tables.map(|entry| entry.path()).collect();
    let has_contents = |table: &Path| {
        ["tables", "blobs"].iter().any(|part| {
            std::fs::read_dir(table.join(part)).is_ok_and(|mut files| files.next().is_some())
        })
    };
    let mut lost = tables
        .into_iter()
        .filter(|table| has_contents(table))
        .flat_map(|table| [table.join("current"), folders.join("0/current")])
        .filter(|marker| !marker.exists());
    lost.next()
        .map(|marker| format!("{} is missing", marker.display()))
}

/// The engine asserts on some damage; that must not take a thread down without a word.
fn calm<T>(work: impl FnOnce() -> Result<T, fjall::Error>) -> Result<T, EngineError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => Ok(done?),
        Err(_) => Err(EngineError::panicked()),
    }
}

/// Entries of an iterator of the engine's, which ends where the engine panics.
fn calmly<T>(
    mut entries: fjall::Iter,
    read: impl Fn(fjall::Guard) -> Result<T, fjall::Error>,
) -> impl Iterator<Item = Result<T, EngineError>> {
    let mut sound = true;
    std::iter::from_fn(move || {
        if !sound {
            return None;
        }
        let next = calm(|| entries.next().map(&read).transpose());
        sound = !next.as_ref().is_err_and(EngineError::is_panic);
        next.transpose()
    })
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
        calm(|| self.0.get(&table.0, key))
    }

    /// Entries of a range of keys, in order.
    pub(crate) fn scan(
        &self,
        table: &Table,
        keys: Range<Vec<u8>>,
    ) -> impl Iterator<Item = Result<(Bytes, Bytes), EngineError>> + use<> {
        calmly(self.0.range(&table.0, keys), fjall::Guard::into_inner)
    }

    /// Keys of a range, in order, without reading large values.
    pub(crate) fn scan_keys(
        &self,
        table: &Table,
        keys: Range<Vec<u8>>,
    ) -> impl Iterator<Item = Result<Bytes, EngineError>> + use<> {
        calmly(self.0.range(&table.0, keys), fjall::Guard::key)
    }

    /// Every entry.
    pub(crate) fn all(
        &self,
        table: &Table,
    ) -> impl Iterator<Item = Result<(Bytes, Bytes), EngineError>> + use<> {
        calmly(self.0.iter(&table.0), fjall::Guard::into_inner)
    }

    /// Every key.
    pub(crate) fn all_keys(
        &self,
        table: &Table,
    ) -> impl Iterator<Item = Result<Bytes, EngineError>> + use<> {
        calmly(self.0.iter(&table.0), fjall::Guard::key)
    }
}
