//! The services that run at present: told by `units`, asked by `changes`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Main process ids by unit. Cheap to clone; all clones are one table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Services(Arc<Mutex<BTreeMap<String, u32>>>);

impl Services {
    /// Says what `unit`'s main process is; 0: it has none.
    pub(crate) fn set(&self, unit: &str, main_pid: u32) {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if main_pid == 0 {
            table.remove(unit);
        } else {
            table.insert(unit.to_owned(), main_pid);
        }
    }

    /// Every running service with its main process, by name.
    pub(crate) fn running(&self) -> BTreeMap<String, u32> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
