//! Where results wait for the next frame of the host.

use std::sync::{Arc, Mutex, PoisonError};

use firstlook_model::{HostId, Series, SignalKind, Unit};

use crate::config::Probe;
use crate::look::Found;

/// Series of each probe.
const COLUMNS: usize = 3;

/// The newest result of each probe, as columns. A result is given once: between two looks the columns are
/// missing, never the old value again. Clones share it.
#[derive(Clone)]
pub struct Board {
    series: Arc<[Series]>,
    waiting: Arc<Mutex<Vec<f64>>>,
}

impl Board {
    /// For these probes, in their order.
    pub fn new(probes: &[Probe], host: &HostId) -> Self {
        let series: Vec<_> = probes.iter().flat_map(|p| columns(p, host)).collect();
        Self {
            waiting: Arc::new(Mutex::new(vec![f64::NAN; series.len()])),
            series: series.into(),
        }
    }

    /// Three for each probe: `probe.NAME.up`, `probe.NAME.duration_seconds`, `probe.NAME.age_seconds`.
    pub fn series(&self) -> &[Series] {
        &self.series
    }

    /// Results since the last call, as long as [`Board::series`]; not a number where there is none.
    pub fn take(&self) -> Vec<f64> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = vec![f64::NAN; waiting.len()];
        std::mem::replace(&mut *waiting, missing)
    }

    /// Puts up the result of the probe at `index`.
    pub(crate) fn put(&self, index: usize, found: &Found) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let at = index * COLUMNS;
        if let Some(columns) = waiting.get_mut(at..at + COLUMNS) {
            let or_missing = |value: Option<f64>| value.unwrap_or(f64::NAN);
            columns.copy_from_slice(&[
                f64::from(u8::from(found.up)),
                or_missing(found.seconds),
                or_missing(found.age_seconds),
            ]);
        }
    }
}

fn columns(probe: &Probe, host: &HostId) -> [Series; COLUMNS] {
    let column = |what: &str, unit| Series {
        component: probe.component(host),
        signal: format!("probe.{}.{what}", probe.name),
        unit,
        kind: SignalKind::Gauge,
    };
    [
        column("up", Unit::Count),
        column("duration_seconds", Unit::Seconds),
        column("age_seconds", Unit::Seconds),
    ]
}
