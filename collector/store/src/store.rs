//! The store's handle: what is open, and what it remembers in memory.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use firstlook_model::{Epoch, HostId, Sequence, Timestamp};

use crate::committer::Committer;
use crate::engine::{Engine, Shape, Table, Write};
use crate::error::{Corrupt, EngineError};
use crate::hosts::{HostContact, HostRow, Hosts};
use crate::opening::{self, SetAside};
use crate::quarantine::Budget;
use crate::segments::Segments;
use crate::stats::{Counters, StoreStats, add};
use crate::{StoreConfig, StoreError, schemas, templates};

/// Version of the layout of tables and keys.
const FORMAT: u8 = 1;
const FORMAT_KEY: &[u8] = b"format";

/// The telemetry store: what hosts saw, durable, until retention drops it.
///
/// A handle; clones share one store. Every call blocks on the disk or may: callers on an async runtime
/// go through a blocking thread. The store closes when the last handle is dropped.
#[derive(Clone)]
pub struct Store(pub(crate) Arc<Inner>);

pub(crate) struct Tables {
    pub hosts: Table,
    pub inventories: Table,
    pub schemas: Table,
    pub templates: Table,
    /// Values as they were committed, until compaction files them in a segment.
    pub recent: Table,
    pub quarantine: Table,
}

pub(crate) struct Inner {
    // Declared first so that it ends first: it drains what is queued.
    pub committer: Committer,
    pub config: StoreConfig,
    pub tables: Tables,
    pub segments: Segments,
    pub hosts: Hosts,
    pub counters: Counters,
    templates: Mutex<templates::Seen>,
    schema_cache: Mutex<schemas::Cache>,
    pub quarantine_budget: Mutex<Budget>,
    /// Held by compaction and retention: one at a time moves values.
    maintenance: Mutex<()>,
    pub set_aside: Option<SetAside>,
    pub engine: Engine,
}

impl Store {
    /// Opens the store in `directory`, making it if it is not there. One that is damaged is set aside and an empty
    /// one begun, which [`Store::set_aside`] tells.
    ///
    /// # Errors
    /// [`StoreError::Locked`], [`StoreError::DamagedAgain`] and [`StoreError::Format`] say what to do;
    /// [`StoreError::Config`] when the configuration cannot work, [`StoreError::Directory`] when the disk does not.
    pub fn open(directory: impl AsRef<Path>, config: StoreConfig) -> Result<Self, StoreError> {
        config.check()?;
        opening::open(directory.as_ref(), &config).map(|inner| Self(Arc::new(inner)))
    }

    /// What was found damaged when this store was opened, so that this one was begun empty.
    pub fn set_aside(&self) -> Option<&SetAside> {
        self.0.set_aside.as_ref()
    }

    /// Whether a write failed: none succeeds any more, and only opening it anew helps.
    pub fn has_failed(&self) -> bool {
        self.0.engine.has_failed()
    }

    /// The last sequence of a host's journal that is durable here; `None` when nothing of that journal is.
    pub fn acknowledged(&self, host: &HostId, epoch: Epoch) -> Option<Sequence> {
        self.0.hosts.get(host)?.state().row.acknowledged(epoch)
    }

    /// Notes that a host was heard at `at`, in memory only.
    pub fn touch(&self, host: &HostId, at: Timestamp) {
        let entry = self.0.hosts.entry(host);
        let mut state = entry.state();
        state.contact = state.contact.max(Some(at));
    }

    /// Every host ever heard, sorted by name.
    pub fn hosts(&self) -> Vec<HostContact> {
        self.0.hosts.contacts()
    }

    /// Counts since the store was opened.
    pub fn stats(&self) -> StoreStats {
        self.0.counters.snapshot()
    }

    /// Writes all telemetry into its own files and waits; until then the journal holds what is new. Nothing
    /// needs it to be durable: it makes [`Store::disk_bytes`] exact.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn flush(&self) -> Result<(), StoreError> {
        let inner = &self.0;
        for segment in inner.segments.all() {
            segment.table.flush().map_err(StoreError::Write)?;
        }
        inner.tables.recent.flush().map_err(StoreError::Write)
    }

    /// Bytes on disk of telemetry: what retention holds against its budget. The engine's journal comes on
    /// top.
    pub fn disk_bytes(&self) -> u64 {
        self.0.disk_bytes()
    }
}

fn check_format(engine: &Engine, path: &Path) -> Result<(), StoreError> {
    let meta = engine
        .table("meta", Shape::Small)
        .map_err(|error| error.at_opening(path))?;
    let found = engine
        .view()
        .get(&meta, FORMAT_KEY)
        .map_err(|error| error.at_opening(path))?;
    match found.as_deref() {
        Some([FORMAT]) => Ok(()),
        Some(other) => Err(StoreError::Format {
            path: path.to_owned(),
            found: format!("{other:?}"),
            known: FORMAT,
        }),
        None => engine
            .write(vec![Write::Put(meta, FORMAT_KEY.to_vec(), vec![FORMAT])])
            .map_err(StoreError::Write),
    }
}

impl Inner {
    /// Opens what is in `path`, or makes it.
    pub(crate) fn assemble(path: &Path, config: &StoreConfig) -> Result<Self, StoreError> {
        let engine = Engine::open(path, config)?;
        let unopened = |error: EngineError| error.at_opening(path);
        check_format(&engine, path)?;
        let table = |name| engine.table(name, Shape::Small).map_err(unopened);
        let tables = Tables {
            hosts: table("hosts")?,
            inventories: table("inventories")?,
            schemas: table("schemas")?,
            templates: table("templates")?,
            recent: table("recent")?,
            quarantine: table("quarantine")?,
        };
        let segments = Segments::open(&engine, table("segments")?).map_err(unopened)?;
        let inner = Self {
            committer: Committer::start(engine.clone())?,
            config: config.clone(),
            segments,
            hosts: Hosts::default(),
            counters: Counters::default(),
            templates: Mutex::default(),
            schema_cache: Mutex::default(),
            quarantine_budget: Mutex::default(),
            maintenance: Mutex::new(()),
            set_aside: None,
            tables,
            engine,
        };
        inner.load().map_err(unopened)?;
        Ok(inner)
    }

    /// Reads every value. What cannot be read is an error.
    pub(crate) fn verify(&self) -> Result<(), EngineError> {
        let view = self.engine.view();
        for name in self.engine.table_names() {
            let table = self.engine.table(&name, Shape::Small)?;
            view.all(&table).try_for_each(|entry| entry.map(drop))?;
        }
        Ok(())
    }

    /// Fills the memory from disk.
    fn load(&self) -> Result<(), EngineError> {
        let view = self.engine.view();
        for entry in view.all(&self.tables.quarantine) {
            let (key, value) = entry?;
            self.quarantine_budget().take(key.len() + value.len());
        }
        for entry in view.all(&self.tables.hosts) {
            let (key, value) = entry?;
            match decode_host(&key, &value) {
                Ok((host, row)) => self.hosts.entry(&host).state().row = row,
                Err(error) => self.quarantine(&self.tables.hosts, &key, &value, &error),
            }
        }
        for entry in view.all(&self.tables.schemas) {
            let (key, value) = entry?;
            let row = schemas::decode_key(&key)
                .and_then(|name| Ok((name, schemas::decode_seen(&value)?.0)));
            match row {
                Ok(((host, id), seen)) => {
                    self.hosts.entry(&host).state().schemas.insert(id, seen);
                }
                Err(error) => self.quarantine(&self.tables.schemas, &key, &value, &error),
            }
        }
        for entry in view.all(&self.tables.templates) {
            let (key, value) = entry?;
            self.templates()
                .extend(templates::decode_seen(&key, &value));
        }
        Ok(())
    }

    pub(crate) fn disk_bytes(&self) -> u64 {
        let segments = self.segments.all();
        let filed: u64 = segments
            .iter()
            .map(|segment| segment.table.disk_bytes())
            .sum();
        filed + self.tables.recent.disk_bytes()
    }

    pub(crate) fn templates(&self) -> MutexGuard<'_, templates::Seen> {
        self.templates
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn schema_cache(&self) -> MutexGuard<'_, schemas::Cache> {
        self.schema_cache
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn maintenance(&self) -> MutexGuard<'_, ()> {
        self.maintenance
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn quarantine_budget(&self) -> MutexGuard<'_, Budget> {
        self.quarantine_budget
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// What was read; an unreadable place is counted and skipped, so that the rest is still served.
    pub(crate) fn readable<T>(&self, read: Result<T, EngineError>) -> Option<T> {
        read.inspect_err(|error| {
            add(&self.counters.unreadable, 1);
            tracing::warn!(%error, "a place in the store is unreadable and was skipped");
        })
        .ok()
    }
}

fn decode_host(key: &[u8], value: &[u8]) -> Result<(HostId, HostRow), Corrupt> {
    let name = std::str::from_utf8(key).map_err(|_| Corrupt::Key)?;
    Ok((HostId::new(name)?, HostRow::decode(value)?))
}
