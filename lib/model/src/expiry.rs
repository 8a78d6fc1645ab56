//! Certificates of a host, wherever they were found, and until when each is valid.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::component::ComponentId;
use crate::signal::{SIGNAL_NAME_LIMIT_BYTES, Series, SignalKind, Unit};
use crate::time::Timestamp;

/// Name of the series, before its label: seconds since the epoch, UTC, at which a certificate ends.
pub const CERTIFICATE_ENDS: &str = "certificate.ends_at_seconds";
/// Most certificates told of one kind of place; those that end first.
const LIMIT: usize = 128;

/// Where a certificate was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In this file.
    File(String),
    /// It was shown by who listens on this port.
    Port(u16),
}

impl Place {
    /// Name of its series. The front of a long path is cut off.
    pub fn signal(&self) -> String {
        match self {
            Self::Port(port) => format!("{CERTIFICATE_ENDS}{{port=\"{port}\"}}"),
            Self::File(path) => {
                let room = SIGNAL_NAME_LIMIT_BYTES - CERTIFICATE_ENDS.len() - "{file=\"\"}".len();
                format!("{CERTIFICATE_ENDS}{{file=\"{}\"}}", label(path, room))
            }
        }
    }

    /// The place that a series' name tells of; `None` when it is no such series.
    pub fn of(signal: &str) -> Option<Self> {
        let inner = signal.strip_prefix(CERTIFICATE_ENDS)?.strip_prefix('{')?;
        let (key, value) = inner.strip_suffix("\"}")?.split_once("=\"")?;
        match key {
            "file" => Some(Self::File(value.to_owned())),
            "port" => value.parse().ok().map(Self::Port),
            _ => None,
        }
    }
}

/// A path as a label's value: what would end it or is not to be shown is `_`.
fn label(path: &str, room: usize) -> String {
    let plain = |c: char| match c {
        '"' | '\\' => '_',
        c if c.is_control() => '_',
        c => c,
    };
    let path: String = path.chars().map(plain).collect();
    if path.len() <= room {
        return path;
    }
    let cut = "...";
    let from = path.len() - (room - cut.len());
    let from = (from..path.len()).find(|at| path.is_char_boundary(*at));
    format!("{cut}{}", &path[from.unwrap_or(path.len())..])
}

/// Who finds certificates: each tells all of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finder {
    /// Who reads files.
    Files,
    /// Who asks on ports.
    Ports,
}

type Ends = BTreeMap<(ComponentId, String), Timestamp>;

/// What is known now, as columns. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Expiries(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    found: BTreeMap<Finder, Ends>,
    series: Arc<[Series]>,
    values: Vec<f64>,
}

impl Expiries {
    /// Takes all that `finder` knows of now, in place of what it told before. Of more than 128 those that end first
    /// are kept.
    pub fn tell(
        &self,
        finder: Finder,
        found: impl IntoIterator<Item = (ComponentId, Place, Timestamp)>,
    ) {
        let mut all: Vec<_> = found.into_iter().collect();
        all.sort_by(|a, b| (a.2, &a.0, &a.1).cmp(&(b.2, &b.0, &b.1)));
        let mut ends = Ends::new();
        for (component, place, at) in all.into_iter().take(LIMIT) {
            // Paths that are the same once cut: the one that ends first stands for both.
            ends.entry((component, place.signal())).or_insert(at);
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.found.get(&finder) != Some(&ends) {
            known.found.insert(finder, ends);
            known.lay_out();
        }
    }

    /// The series, the same allocation as long as they are the same, and their values.
    pub fn columns(&self) -> (Arc<[Series]>, Vec<f64>) {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (Arc::clone(&known.series), known.values.clone())
    }
}

impl Known {
    fn lay_out(&mut self) {
        let all = || self.found.values().flatten();
        let series: Vec<Series> = all()
            .map(|((component, signal), _)| Series {
                component: component.clone(),
                signal: signal.clone(),
                unit: Unit::Seconds,
                kind: SignalKind::Gauge,
            })
            .collect();
        let values = all().map(|(_, at)| at.as_micros() as f64 / 1e6).collect();
        if *series != *self.series {
            self.series = series.into();
        }
        self.values = values;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shop() -> ComponentId {
        "service:h1/shop.service".parse().unwrap()
    }

    fn day(n: i64) -> Timestamp {
        Timestamp::from_micros(n * 86_400_000_000)
    }

    #[test]
    fn each_finder_replaces_what_it_told_and_nothing_else() {
        let expiries = Expiries::default();
        let file = |at| [(shop(), Place::File("/etc/shop.pem".into()), at)];
        expiries.tell(Finder::Files, file(day(3)));
        expiries.tell(Finder::Ports, [(shop(), Place::Port(443), day(2))]);
        let (series, values) = expiries.columns();
        assert_eq!(
            series.iter().map(|s| &*s.signal).collect::<Vec<_>>(),
            [
                "certificate.ends_at_seconds{file=\"/etc/shop.pem\"}",
                "certificate.ends_at_seconds{port=\"443\"}",
            ]
        );
        assert_eq!(values, [259_200.0, 172_800.0]);
        // Renewed: another value of the same series.
        expiries.tell(Finder::Files, file(day(9)));
        let (same, values) = expiries.columns();
        assert!(Arc::ptr_eq(&series, &same));
        assert_eq!(values, [777_600.0, 172_800.0]);
        expiries.tell(Finder::Files, []);
        assert_eq!(expiries.columns().1, [172_800.0]);
    }

    #[test]
    fn of_too_many_those_that_end_first_are_told() {
        let expiries = Expiries::default();
        let all = (0..300).map(|n| (shop(), Place::File(format!("/{n}.pem")), day(300 - n)));
        expiries.tell(Finder::Files, all);
        let (series, values) = expiries.columns();
        assert_eq!((series.len(), values.len()), (LIMIT, LIMIT));
        assert!(values.iter().all(|at| *at <= 128.0 * 86_400.0));
    }

    proptest! {
        #[test]
        fn any_path_has_a_name_within_the_limit_that_tells_its_end(path in "\\PC{0,200}[a-z/]{0,200}\\.pem") {
            let signal = Place::File(path).signal();
            prop_assert!(signal.len() <= SIGNAL_NAME_LIMIT_BYTES, "{signal}");
            let Some(Place::File(told)) = Place::of(&signal) else {
                return Err(TestCaseError::fail(signal));
            };
            prop_assert!(told.ends_with(".pem") && !told.contains(['"', '\\']));
            prop_assert_eq!(Place::File(told).signal(), signal);
        }

        #[test]
        fn what_is_no_such_name_is_no_place(signal in "\\PC{0,60}") {
            prop_assert!(signal.starts_with(CERTIFICATE_ENDS) || Place::of(&signal).is_none());
        }
    }
}
