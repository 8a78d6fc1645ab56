//! Times as people type them.

use std::time::Duration;

use firstlook_model::{TimeRange, Timestamp};

use crate::args::Span;
use crate::exit::Failure;

const DEFAULT_SPAN: Duration = Duration::from_secs(3_600);
/// How far ahead a host's clock may be so that what it wrote last is shown.
pub const AHEAD: Duration = Duration::from_secs(86_400);
const DAY_SECONDS: i64 = 86_400;

/// The range that a span means at `now`.
///
/// # Errors
/// Usage, when a time cannot be read or the range is empty.
pub fn range(span: &Span, now: Timestamp) -> Result<TimeRange, Failure> {
    let to = match &span.until {
        Some(text) => instant(text, now)?,
        None => now,
    };
    let from = match &span.since {
        Some(text) => instant(text, now)?,
        None => to.minus(DEFAULT_SPAN),
    };
    if from < to {
        Ok(TimeRange::new(from, to))
    } else {
        Err(Failure::usage(format!(
            "--since {from} is not before --until {to}"
        )))
    }
}

/// The same, but for an end that was not said: what a host wrote whose clock is ahead bears times that are still to come, and
/// belongs to it.
///
/// # Errors
/// As [`range`].
pub fn range_with_ahead(span: &Span, now: Timestamp) -> Result<TimeRange, Failure> {
    let mut range = range(span, now)?;
    if span.until.is_none() {
        range.to = range.to.plus(AHEAD);
    }
    Ok(range)
}

/// The moment that a text means at `now`.
///
/// # Errors
/// Usage, when it cannot be read.
pub fn instant(text: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    if text == "now" {
        return Ok(now);
    }
    if let Ok(time) = Timestamp::parse(text) {
        return Ok(time);
    }
    let age = text
        .strip_suffix(" ago")
        .unwrap_or(text)
        .trim_start_matches('-');
    age_of(age)
        .map(|age| now.minus(age))
        .or_else(|| clock(text, now))
        .ok_or_else(|| {
            Failure::usage(format!(
                "cannot read the time {text:?}: say 2026-01-31T14:03:00Z, 14:03, or an age such as \
             90s, 15m, 2h, 1d"
            ))
        })
}

fn age_of(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    let number: u64 = text[..text.len() - 1].parse().ok()?;
    number.checked_mul(seconds).map(Duration::from_secs)
}

/// `HH:MM` or `HH:MM:SS` today in UTC; yesterday if that is still to come.
fn clock(text: &str, now: Timestamp) -> Option<Timestamp> {
    let mut parts = text.split(':').map(|part| part.parse::<i64>().ok());
    let (hour, minute) = (parts.next()??, parts.next()??);
    let second = match parts.next() {
        Some(second) => second?,
        None => 0,
    };
    let fits = (0..24).contains(&hour) && (0..60).contains(&minute) && (0..60).contains(&second);
    if !fits || parts.next().is_some() {
        return None;
    }
    let seconds = now.as_micros().div_euclid(1_000_000);
    let midnight = seconds - seconds.rem_euclid(DAY_SECONDS);
    let today = midnight + hour * 3_600 + minute * 60 + second;
    Some(Timestamp::from_secs(if today > seconds {
        today - DAY_SECONDS
    } else {
        today
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn now() -> Timestamp {
        Timestamp::parse("2026-11-23T06:00:00Z").unwrap()
    }

    #[test]
    fn reads_what_people_type() {
        for (text, meant) in [
            ("2026-11-23T05:00:00Z", "2026-11-23T05:00:00Z"),
            ("15m", "2026-11-23T05:45:00Z"),
            ("2h ago", "2026-11-23T04:00:00Z"),
            ("1d", "2026-11-22T06:00:00Z"),
            ("05:59:30", "2026-11-23T05:59:30Z"),
            ("23:00", "2026-11-22T23:00:00Z"),
            ("now", "2026-11-23T06:00:00Z"),
        ] {
            assert_eq!(instant(text, now()).unwrap().to_string(), meant, "{text}");
        }
    }

    #[test]
    fn without_an_end_what_clocks_that_are_ahead_wrote_belongs_to_it() {
        let span = |until: Option<&str>| Span {
            since: Some("5m".into()),
            until: until.map(Into::into),
        };
        let (open, plain) = (
            range_with_ahead(&span(None), now()),
            range(&span(None), now()),
        );
        let (open, plain) = (open.unwrap(), plain.unwrap());
        assert_eq!((open.from, open.to), (plain.from, now().plus(AHEAD)));
        let told = range_with_ahead(&span(Some("now")), now()).unwrap();
        assert_eq!(told.to, now());
    }

    #[test]
    fn an_empty_range_is_a_usage_error() {
        let span = Span {
            since: Some("5m".into()),
            until: Some("10m".into()),
        };
        assert_eq!(
            range(&span, now()).unwrap_err().exit,
            crate::exit::Exit::Usage
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,30}") {
            let _ = instant(&text, now());
        }
    }
}
