//! Opening a store whatever state its files are in.
//!
//! A collector that does not start sees nothing, just when somebody may need it; what a store holds is history,
//! while incidents, hosts and the authority are kept elsewhere. So a damaged store is renamed to
//! `<directory>.corrupt-<n>`, every byte of it kept, an empty one begun, and this is told until somebody moves the
//! damaged one away. Only the contents can cost a store its place: a full disk, missing permissions, another process or
//! another version are errors. Nor is it done without end: beside [`ASIDE_LIMIT`] damaged ones no further store is begun,
//! for then the disk is at fault.
//!
//! Damage shows in three ways. The engine says so, or panics. Or it aborts the process: openings that did not return
//! are counted. Or it opens, and fails in the background once it comes upon the place, after which no write succeeds:
//! that leaves `<directory>.suspect`, and the next opening reads everything before it believes the store.

use std::fs::File;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use firstlook_runtime::damage::{self, Attempt};

use crate::error::EngineError;
use crate::stats::add;
use crate::store::Inner;
use crate::{StoreConfig, StoreError};

/// Most damaged stores that may stand beside a new one.
const ASIDE_LIMIT: usize = 3;

/// A store that was found damaged and set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// Where it is now, whole.
    pub path: PathBuf,
    /// What is wrong with it.
    pub what: String,
}

/// A note for the next opening that this store failed while it ran.
pub(crate) struct Suspicion {
    mark: PathBuf,
    noted: AtomicBool,
}

impl Suspicion {
    pub(crate) fn of(directory: &Path) -> Self {
        let mut mark = directory.as_os_str().to_owned();
        mark.push(".suspect");
        Self {
            mark: PathBuf::from(mark),
            noted: AtomicBool::new(false),
        }
    }

    /// Notes it, once. Where the note cannot be written, as on a full disk, the next failure may say it.
    pub(crate) fn note(&self) {
        if self.noted.swap(true, Ordering::Relaxed) {
            return;
        }
        if let Err(error) = File::create(&self.mark) {
            tracing::warn!(%error, mark = %self.mark.display(), "suspicion of the store not noted");
        }
    }

    /// Whether this process noted it.
    pub(crate) fn is_noted(&self) -> bool {
        self.noted.load(Ordering::Relaxed)
    }

    fn of_old(&self) -> bool {
        self.mark.exists()
    }

    fn clear(&self) {
        match std::fs::remove_file(&self.mark) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                tracing::warn!(%error, mark = %self.mark.display(), "suspicion of the store not cleared");
            }
            _ => {}
        }
    }
}

/// Opens the store in `path`; where that is damaged, an empty one.
pub(crate) fn open(path: &Path, config: &StoreConfig) -> Result<Inner, StoreError> {
    std::fs::create_dir_all(path).map_err(|source| at(path, source))?;
    let attempt = Attempt::begin(path);
    let opened = match attempt.is_hopeless() {
        true => Err(StoreError::Damaged {
            path: path.to_owned(),
            what: "opening it ended the process several times".to_owned(),
        }),
        false => open_believed(path, config),
    };
    let result = match opened {
        Err(StoreError::Damaged { what, .. }) => begin_anew(path, config, what),
        other => other,
    };
    attempt.end();
    let inner = result?;
    let aside = damage::aside(path).map_err(|source| at(path, source))?;
    if !aside.is_empty() {
        tracing::warn!(?aside, "damaged stores stand beside the store");
    }
    add(&inner.counters.set_aside, aside.len() as u64);
    Ok(inner)
}

/// Opens what is there, and reads it all if it failed before.
fn open_believed(path: &Path, config: &StoreConfig) -> Result<Inner, StoreError> {
    let work = || {
        let inner = Inner::assemble(path, config)?;
        let suspicion = Suspicion::of(path);
        if suspicion.of_old() {
            tracing::warn!(store = %path.display(), "the store failed before: reading all of it");
            inner.verify().map_err(|error| error.at_opening(path))?;
            suspicion.clear();
        }
        Ok(inner)
    };
    // The engine asserts on some damage.
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(EngineError::panicked().at_opening(path)))
}

fn begin_anew(path: &Path, config: &StoreConfig, what: String) -> Result<Inner, StoreError> {
    let aside = damage::aside(path).map_err(|source| at(path, source))?;
    if aside.len() >= ASIDE_LIMIT {
        return Err(StoreError::DamagedAgain {
            path: path.to_owned(),
            what,
            aside: aside.len(),
        });
    }
    let aside = damage::set_aside(path).map_err(|source| at(path, source))?;
    tracing::error!(store = %path.display(), aside = %aside.display(), what,
        "the store is damaged and was set aside, an empty one is begun");
    Suspicion::of(path).clear();
    let mut inner = Inner::assemble(path, config)?;
    inner.set_aside = Some(SetAside { path: aside, what });
    Ok(inner)
}

fn at(path: &Path, source: std::io::Error) -> StoreError {
    StoreError::Directory {
        path: path.to_owned(),
        source,
    }
}
