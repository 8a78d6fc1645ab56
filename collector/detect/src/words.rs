//! Numbers and foreign text as people read them.

use std::time::Duration;

/// `1.5 GiB`, `12 KiB`, `0 B`.
pub(crate) fn bytes(value: f64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = value.max(0.0);
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if value >= 10.0 || value.fract() < 0.05 {
        format!("{value:.0} {}", UNITS[unit])
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

/// `41%`, `0.3%`.
pub(crate) fn percent(ratio: f64) -> String {
    let value = ratio * 100.0;
    if value.abs() >= 10.0 || value == 0.0 {
        format!("{value:.0}%")
    } else {
        format!("{value:.1}%")
    }
}

/// A time given in milliseconds: `0.4 ms`, `12 ms`, `1.5 s`.
pub(crate) fn millis(value: f64) -> String {
    if value >= 1_000.0 {
        format!("{:.1} s", value / 1_000.0)
    } else if value >= 10.0 {
        format!("{value:.0} ms")
    } else {
        format!("{value:.1} ms")
    }
}

/// `0.8 s`, `12 s`, `3 min`.
pub(crate) fn span(value: Duration) -> String {
    let secs = value.as_secs_f64();
    if secs >= 180.0 {
        format!("{:.0} min", secs / 60.0)
    } else if secs >= 10.0 {
        format!("{secs:.0} s")
    } else {
        format!("{secs:.1} s")
    }
}

/// How much was sent again: `parts` of a whole in the last ten seconds where these still show it, or else the share that did.
pub(crate) fn sent_again(parts: (f64, f64), share: f64, usual: f64) -> String {
    let (resent, all) = parts;
    let (shown, usual) = (resent / all.max(1.0), percent(usual));
    if shown < share / 2.0 {
        let share = percent(share);
        return format!("{share} of segments sent again until a moment ago, usual {usual}");
    }
    let share = percent(shown);
    format!("{resent:.0} of {all:.0} segments sent again in 10 s ({share}), usual {usual}")
}

/// `1 line`, `3 lines`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    let plural = match (number, noun.ends_with('s')) {
        (1, _) => "",
        (_, false) => "s",
        (_, true) => "es",
    };
    format!("{number} {noun}{plural}")
}

/// At most `limit` bytes of a foreign text, on one line, cut at a character.
pub(crate) fn clip(text: &str, limit: usize) -> String {
    let mut line: String = String::with_capacity(limit.min(text.len()) + 3);
    for c in text.trim().chars() {
        if line.len() + c.len_utf8() > limit {
            line.push('…');
            break;
        }
        line.push(if c.is_control() { ' ' } else { c });
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_again_is_told_by_numbers_that_agree() {
        let now = sent_again((12.0, 100.0), 0.2, 0.001);
        assert_eq!(
            now,
            "12 of 100 segments sent again in 10 s (12%), usual 0.1%"
        );
        for over in [(0.0, 0.0), (1.0, 100.0)] {
            let over = sent_again(over, 0.2, 0.0);
            assert_eq!(
                over,
                "20% of segments sent again until a moment ago, usual 0%"
            );
        }
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(bytes(0.0), "0 B");
        assert_eq!(bytes(1536.0), "1.5 KiB");
        assert_eq!(bytes(268_435_456.0), "256 MiB");
        assert_eq!(percent(0.4123), "41%");
        assert_eq!(percent(0.003), "0.3%");
        assert_eq!(millis(0.42), "0.4 ms");
        assert_eq!(millis(1_500.0), "1.5 s");
        assert_eq!(span(Duration::from_secs(240)), "4 min");
        assert_eq!(count(1, "line"), "1 line");
    }

    #[test]
    fn foreign_text_is_cut_at_a_character_and_kept_on_one_line() {
        assert_eq!(clip("a\nb\u{1b}c", 10), "a b c");
        assert_eq!(clip("äöü", 5), "äö…");
    }
}
