//! When a line says that it was written, and whether that is believed. Pure: the time of arrival is an argument.
//!
//! Recognised: ISO 8601 and its relatives (`2026-01-02T03:04:05.678Z`, `2026/01/02 03:04:05,678 +0100`, `26/01/02
//! 03:04:05`), syslog (`<34>1 2026-…`, `Jan  2 03:04:05`), Apache (`[Sun Dec 04 04:47:44.123 2005]`,
//! `[10/Oct/2000:13:55:36 -0700]`), `02 Jan 2026 03:04:05.678`, klog (`E0102 03:04:05.678901`), and the keys of JSON
//! objects and logfmt (`"@timestamp":"…"`, `ts=1700000000.123`: seconds, milli-, micro- or nanoseconds since the epoch).
//!
//! A stamp with a zone is believed from [`PAST_LIMIT`] before arrival to [`FUTURE_LIMIT`] after it. One without is
//! believed only where some zone puts it within [`ZONELESS_LIMIT`] before arrival, as it does for a line that was just
//! written: a clock that is a whole number of quarter hours off is a zone, anything else is another time.

mod find;
mod parse;

use std::time::Duration;

use firstlook_model::Timestamp;

use parse::Zone;

/// Oldest stamp believed, before arrival: an agent that was down reads its backlog.
pub const PAST_LIMIT: Duration = Duration::from_secs(48 * 3_600);
/// Newest stamp believed, after arrival: clocks of other machines differ a little.
pub const FUTURE_LIMIT: Duration = Duration::from_secs(60);
/// Oldest stamp without a zone that is believed.
pub const ZONELESS_LIMIT: Duration = Duration::from_secs(60);
/// Zones differ by quarters of an hour, up to this.
const ZONE_STEP_MICROS: i64 = 900_000_000;
const ZONE_LIMIT_MICROS: i64 = 14 * 3_600_000_000;
/// How much later than its stamp a line arrives at least, for the clocks' and stamps' granularity.
const EARLY_MICROS: i64 = -5_000_000;
/// A stamp of whole seconds says less than an arrival so soon after it.
const COARSE_MICROS: i64 = 1_500_000;

/// When the line was written, by its own stamp; `None` where it has none that is believed and says more than its
/// time of arrival.
pub fn written(text: &str, arrival: Timestamp) -> Option<Timestamp> {
    let stamp = find::find(text, arrival)?;
    let now = arrival.as_micros();
    let lag = match stamp.zone {
        Zone::Known(offset_s) => {
            let lag = now
                .checked_sub(stamp.micros)?
                .checked_add(offset_s * 1_000_000)?;
            let (past, future) = (micros(PAST_LIMIT), -micros(FUTURE_LIMIT));
            (future..=past).contains(&lag).then_some(lag)?
        }
        Zone::Unknown => zoneless_lag(now.checked_sub(stamp.micros)?)?,
    };
    let coarse = !stamp.fraction && (0..COARSE_MICROS).contains(&lag);
    (!coarse).then(|| Timestamp::from_micros(now.saturating_sub(lag)))
}

/// How long before arrival a line was written whose stamp is `apart` from it in an unknown zone.
fn zoneless_lag(apart: i64) -> Option<i64> {
    let zone = (apart.checked_sub(EARLY_MICROS)?).div_euclid(ZONE_STEP_MICROS) * ZONE_STEP_MICROS;
    let lag = apart - zone;
    let possible = zone.abs() <= ZONE_LIMIT_MICROS && lag <= micros(ZONELESS_LIMIT);
    possible.then_some(lag)
}

/// How far the clock of a line's stamp is ahead of UTC, in microseconds, by the time near which the line was written;
/// `None` where the stamp says itself, or there is none.
pub fn zone(text: &str, near: Timestamp) -> Option<i64> {
    let stamp = find::find(text, near)?;
    let apart = stamp.micros.checked_sub(near.as_micros())?;
    let zone = (apart + ZONE_STEP_MICROS / 2).div_euclid(ZONE_STEP_MICROS) * ZONE_STEP_MICROS;
    (stamp.zone == Zone::Unknown && zone.abs() <= ZONE_LIMIT_MICROS).then_some(zone)
}

/// When a line was written that was kept for however long, by its own stamp; one without a zone has the given one. `near`
/// gives the year to those that have none.
pub fn kept(text: &str, near: Timestamp, zone: i64) -> Option<Timestamp> {
    let stamp = find::find(text, near)?;
    let ahead = match stamp.zone {
        Zone::Known(offset_s) => offset_s * 1_000_000,
        Zone::Unknown => zone,
    };
    stamp.micros.checked_sub(ahead).map(Timestamp::from_micros)
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
