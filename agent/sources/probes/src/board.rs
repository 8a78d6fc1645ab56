//! Where results wait for the next frame of the host.

use std::sync::{Arc, Mutex, PoisonError};

use firstlook_model::probe::{Part, signal};
use firstlook_model::{HostId, Series, SignalKind, Unit};

use crate::config::Probe;
use crate::found::Found;

/// The newest result of each probe, as columns. A result is given once: between two looks the columns are
/// missing, never the old value again, so that whoever reads them can count looks. Clones share it.
#[derive(Clone)]
pub struct Board {
    series: Arc<[Series]>,
    /// Of each probe, where its columns begin and what they are.
    places: Arc<[(usize, &'static [Part])]>,
    waiting: Arc<Mutex<Vec<f64>>>,
}

impl Board {
    /// For these probes, in their order.
    pub fn new(probes: &[Probe], host: &HostId) -> Self {
        let (mut series, mut places) = (Vec::new(), Vec::new());
        for probe in probes {
            places.push((series.len(), probe.parts()));
            series.extend(probe.parts().iter().map(|part| column(probe, *part, host)));
        }
        Self {
            waiting: Arc::new(Mutex::new(vec![f64::NAN; series.len()])),
            series: series.into(),
            places: places.into(),
        }
    }

    /// Those of each probe together, as [`firstlook_model::probe`] names them.
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
        let Some((at, parts)) = self.places.get(index) else {
            return;
        };
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for (value, part) in waiting.iter_mut().skip(*at).zip(*parts) {
            *value = found.sample(*part);
        }
    }
}

fn column(probe: &Probe, part: Part, host: &HostId) -> Series {
    let unit = match part {
        Part::Duration | Part::Age => Unit::Seconds,
        Part::Expected if probe.file.is_some() => Unit::Seconds,
        _ => Unit::Count,
    };
    Series {
        component: probe.component(host),
        signal: signal(&probe.name, part),
        unit,
        kind: SignalKind::Gauge,
    }
}
