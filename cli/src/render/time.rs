//! Times for people.

use std::time::Duration;

use firstlook_model::Timestamp;

/// `14:03:06Z`, with the date in front when that is another day than `now`'s.
pub fn clock(at: Timestamp, now: Timestamp) -> String {
    let (at, now) = (at.to_string(), now.to_string());
    let (date, time) = at.split_once('T').unwrap_or(("", &at));
    let time = time
        .trim_end_matches('Z')
        .split('.')
        .next()
        .unwrap_or_default();
    if now.starts_with(date) {
        format!("{time}Z")
    } else {
        format!("{date} {time}Z")
    }
}

/// `7s`, `2m 41s`, `3h 05m`, `4d 02h`.
pub fn span(length: Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h {:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d {:02}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// How long ago that was.
pub fn age(at: Timestamp, now: Timestamp) -> String {
    span(now.since(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_well() {
        for (seconds, text) in [
            (0, "0s"),
            (161, "2m 41s"),
            (11_100, "3h 05m"),
            (352_800, "4d 02h"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn another_day_shows_its_date() {
        let at = Timestamp::parse("2026-11-22T23:59:58.5Z").unwrap();
        assert_eq!(
            clock(at, Timestamp::parse("2026-11-22T23:59:59Z").unwrap()),
            "23:59:58Z"
        );
        let later = Timestamp::parse("2026-11-23T00:00:01Z").unwrap();
        assert_eq!(clock(at, later), "2026-11-22 23:59:58Z");
    }
}
