//! Certificates that an agent found: one that ends soon is a risk, one that is shown and has ended keeps clients out.
//!
//! Only what a port shows is known to be in use. A file's certificate may be nobody's any more, and one that ended
//! long ago hurts nobody who has not said so: neither is reason for an incident.

use std::collections::BTreeMap;
use std::time::Duration;

use firstlook_model::symptom::{families, kinds};
use firstlook_model::{Columns, ComponentId, Place, Series, Timestamp};
use serde::{Deserialize, Serialize};

use crate::draft::{Finding, Source};
use crate::watch::Span;
use crate::words;

/// Most certificates of one host: what an agent tells at most of files and ports together.
const CERTIFICATES_LIMIT: usize = 256;
/// What ends within this is told.
const SOON: Duration = Duration::from_secs(7 * 86_400);
/// What ended longer ago than this was not what broke now.
const NEWS: Duration = Duration::from_secs(7 * 86_400);
/// Without a sample for this long nothing is known any more.
const FRESH: Duration = Duration::from_secs(60);
/// Longest name that is shown, in bytes.
const NAME_LIMIT_BYTES: usize = 96;

/// The column of one certificate.
#[derive(Debug)]
pub(crate) struct CertificateCell {
    component: ComponentId,
    signal: String,
    column: u32,
}

/// The columns of all certificates of a schema, and how many there is no room for.
pub(crate) fn cells(series: &[Series]) -> (Vec<CertificateCell>, usize) {
    let all = (0u32..).zip(series);
    let mut found: Vec<_> = all
        .filter(|(_, series)| Place::of(&series.signal).is_some())
        .map(|(column, series)| CertificateCell {
            component: series.component.clone(),
            signal: series.signal.clone(),
            column,
        })
        .collect();
    let over = found.len().saturating_sub(CERTIFICATES_LIMIT);
    found.truncate(CERTIFICATES_LIMIT);
    (found, over)
}

/// All certificates of one host, by what they belong to and the name of their series.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Certificates {
    known: BTreeMap<(ComponentId, String), Known>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Known {
    ends: Timestamp,
    /// The newest sample.
    last: Timestamp,
}

impl Certificates {
    /// Takes the newest sample of a block.
    pub fn take(&mut self, cell: &CertificateCell, times: &[Timestamp], columns: &Columns) {
        let Some(values) = columns.get(cell.column as usize) else {
            return;
        };
        let samples = times.iter().zip(values.iter());
        let Some((at, ends)) = samples.rev().find_map(|(at, v)| Some((*at, moment(*v)?))) else {
            return;
        };
        let key = (cell.component.clone(), cell.signal.clone());
        let known = self.known.entry(key).or_insert(Known { ends, last: at });
        if at >= known.last {
            *known = Known { ends, last: at };
        }
    }

    /// Forgets those that a new schema no longer has.
    pub fn keep(&mut self, cells: &[CertificateCell]) {
        self.known.retain(|(component, signal), _| {
            let same = |c: &CertificateCell| c.signal == *signal && c.component == *component;
            cells.iter().any(same)
        });
    }

    /// Forgets times, as after the host's clock stepped back.
    pub fn stepped(&mut self) {
        self.known.clear();
    }

    pub fn findings(&self, now: Timestamp) -> Vec<Finding> {
        let fresh = |known: &&Known| now.since(known.last) <= FRESH;
        let known = self.known.iter().filter(|(_, known)| fresh(known));
        known
            .filter_map(|((component, signal), known)| finding(component, signal, known.ends, now))
            .collect()
    }
}

/// Seconds since the epoch; `None` for what is none.
fn moment(value: f64) -> Option<Timestamp> {
    let possible = value.is_finite() && value.abs() < 1e11;
    possible.then(|| Timestamp::from_secs(value as i64))
}

fn finding(
    component: &ComponentId,
    signal: &str,
    ends: Timestamp,
    now: Timestamp,
) -> Option<Finding> {
    let soon = ends.minus(SOON);
    if now < soon {
        return None;
    }
    let place = Place::of(signal)?;
    let over = ends <= now;
    let keeps_out = over && matches!(place, Place::Port(_)) && now.since(ends) <= NEWS;
    let whole = |span: Duration| words::count(span.as_secs() / 86_400, "day");
    let when = match over {
        true => format!("ended {} ago", whole(now.since(ends))),
        false => format!("ends in {}", whole(ends.since(now))),
    };
    let which = match &place {
        Place::File(path) => format!("in {}", words::clip(path, NAME_LIMIT_BYTES)),
        Place::Port(port) => format!("shown on port {port}"),
    };
    let first = if keeps_out { ends } else { soon };
    Some(Finding {
        component: component.clone(),
        peer: None,
        kind: match keeps_out {
            true => kinds::CERTIFICATE_EXPIRED,
            false => kinds::CERTIFICATE_EXPIRING,
        },
        family: families::PROBE,
        span: Span {
            after: Some(first),
            first,
            last: now,
        },
        severity: if keeps_out { 0.9 } else { 0.2 },
        gate: keeps_out,
        text: format!("the certificate {which} {when}"),
        source: Source::Series(signal.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use firstlook_model::{SignalKind, Unit};

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn days(n: i64) -> f64 {
        1_800_000_000.0 + n as f64 * 86_400.0
    }

    fn series(places: &[Place]) -> Vec<Series> {
        let of = |place: &Place| Series {
            component: "service:h1/shop.service".parse().unwrap(),
            signal: place.signal(),
            unit: Unit::Seconds,
            kind: SignalKind::Gauge,
        };
        places.iter().map(of).collect()
    }

    /// What is found of certificates at these places that end then.
    fn found(told: &[(Place, f64)], later: Duration) -> Vec<(&'static str, bool, String)> {
        let (places, values): (Vec<_>, Vec<_>) = told.iter().cloned().unzip();
        let columns = Columns::from_row(values);
        let mut certificates = Certificates::default();
        for cell in cells(&series(&places)).0 {
            certificates.take(&cell, &[NOW], &columns);
        }
        let found = certificates.findings(NOW.plus(later)).into_iter();
        found.map(|f| (f.kind, f.gate, f.text)).collect()
    }

    #[test]
    fn what_ends_soon_is_a_risk_and_what_is_shown_and_has_ended_keeps_clients_out() {
        let file = || Place::File("/etc/shop.pem".to_owned());
        let (risk, over) = (kinds::CERTIFICATE_EXPIRING, kinds::CERTIFICATE_EXPIRED);
        for (place, ends, told) in [
            (Place::Port(443), days(8), None),
            (
                Place::Port(443),
                days(6),
                Some((risk, "shown on port 443 ends in 6 days")),
            ),
            (
                Place::Port(443),
                days(-1),
                Some((over, "shown on port 443 ended 1 day ago")),
            ),
            (
                Place::Port(443),
                days(-30),
                Some((risk, "shown on port 443 ended 30 days ago")),
            ),
            (
                file(),
                days(6),
                Some((risk, "in /etc/shop.pem ends in 6 days")),
            ),
            (
                file(),
                days(-1),
                Some((risk, "in /etc/shop.pem ended 1 day ago")),
            ),
            (file(), f64::NAN, None),
            (file(), 1e300, None),
        ] {
            let found = found(&[(place, ends)], Duration::ZERO);
            let told =
                told.map(|(kind, text)| (kind, kind == over, format!("the certificate {text}")));
            assert_eq!(found, Vec::from_iter(told), "{ends}");
        }
    }

    #[test]
    fn of_what_is_not_told_any_more_nothing_is_known() {
        let told = [(Place::Port(443), days(-1))];
        assert_eq!(found(&told, FRESH).len(), 1);
        assert_eq!(found(&told, FRESH + Duration::from_secs(1)), []);
        let places = [Place::Port(443), Place::Port(8443)];
        let mut certificates = Certificates::default();
        let columns = Columns::from_row(vec![days(1), days(1)]);
        for cell in cells(&series(&places)).0 {
            certificates.take(&cell, &[NOW], &columns);
        }
        certificates.keep(&cells(&series(&places[..1])).0);
        assert_eq!(certificates.findings(NOW).len(), 1);
        certificates.stepped();
        assert_eq!(certificates.findings(NOW).len(), 0);
    }

    #[test]
    fn there_is_room_for_so_many_and_the_rest_is_counted() {
        let places: Vec<_> = (1..300).map(Place::Port).collect();
        let (cells, over) = cells(&series(&places));
        assert_eq!((cells.len(), over), (256, 43));
    }
}
