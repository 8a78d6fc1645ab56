//! Reading the kernel's text files: pure, over bytes, nothing assumed.

/// Lines, without their ends.
pub(crate) fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty())
}

/// Fields parted by blanks or tabs.
pub(crate) fn fields(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|b| matches!(b, b' ' | b'\t'))
        .filter(|field| !field.is_empty())
}

/// A decimal number, nothing before or after it; `None` when it does not fit.
pub(crate) fn number(field: &[u8]) -> Option<u64> {
    if field.is_empty() {
        return None;
    }
    field.iter().try_fold(0u64, |value, byte| {
        let digit = byte.checked_sub(b'0').filter(|d| *d <= 9)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// The number after `key` on its own line, as `key 12` or `key: 12 kB`.
pub(crate) fn keyed(bytes: &[u8], key: &str) -> Option<u64> {
    lines(bytes).find_map(|line| {
        let rest = line.strip_prefix(key.as_bytes())?;
        let rest = rest.strip_prefix(b":").unwrap_or(rest);
        if !rest.starts_with(b" ") && !rest.starts_with(b"\t") {
            return None;
        }
        number(fields(rest).next()?)
    })
}

/// A number for a series; NaN where there was none.
pub(crate) fn value(number: Option<u64>) -> f64 {
    number.map_or(f64::NAN, |n| n as f64)
}

/// Text that may come from anyone, fit for a component's name: control characters replaced.
pub(crate) fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_checked() {
        for (text, expected) in [
            ("0", Some(0)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("", None),
            ("-1", None),
            ("1x", None),
        ] {
            assert_eq!(number(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn a_key_is_a_whole_word() {
        let text = b"SwapCached: 1 kB\nSwap: 2 kB\noom 3\noom_kill 4\n";
        assert_eq!(keyed(text, "Swap"), Some(2));
        assert_eq!(keyed(text, "oom_kill"), Some(4));
        assert_eq!(keyed(text, "oom"), Some(3));
        assert_eq!(keyed(text, "none"), None);
    }
}
