//! Where in a line its stamp stands.

use firstlook_model::Timestamp;

use super::parse::{self, Stamp};

/// How far into a plain line a stamp is looked for, and how many words are tried.
const HEAD_LIMIT_BYTES: usize = 96;
const WORDS_LIMIT: usize = 8;
/// How far into a JSON object its key is looked for, and into logfmt, which begins with it.
const OBJECT_LIMIT_BYTES: usize = 4_096;
const LOGFMT_LIMIT_BYTES: usize = 256;
const KEYS: [&str; 9] = [
    "time",
    "ts",
    "timestamp",
    "@timestamp",
    "datetime",
    "asctime",
    "eventtime",
    "t",
    "date",
];

/// The first stamp of a line.
pub(super) fn find(text: &str, arrival: Timestamp) -> Option<Stamp> {
    let bytes = &text.as_bytes()[..text.len().min(OBJECT_LIMIT_BYTES)];
    if bytes.first() == Some(&b'{') {
        return keyed(bytes, arrival);
    }
    let head = &bytes[..bytes.len().min(HEAD_LIMIT_BYTES)];
    let logfmt = &bytes[..bytes.len().min(LOGFMT_LIMIT_BYTES)];
    plain(head, bytes, arrival)
        .or_else(|| logfmt.contains(&b'=').then(|| keyed(logfmt, arrival))?)
}

/// A stamp at the beginning of one of the first words, brackets and syslog's priority passed over.
fn plain(head: &[u8], bytes: &[u8], arrival: Timestamp) -> Option<Stamp> {
    let (mut at, mut words) = (0, 0);
    while at < head.len() && words < WORDS_LIMIT {
        let begins = at == 0
            || matches!(
                head[at - 1],
                b' ' | b'[' | b'(' | b'"' | b'>' | b'|' | b'\t'
            );
        if begins && head[at].is_ascii_alphanumeric() {
            words += 1;
            if let Some(stamp) = parse::stamp(&bytes[at..], arrival) {
                return Some(stamp);
            }
        }
        at += 1;
    }
    None
}

/// The value of a key that says when: `"time":"…"`, `ts=…`.
fn keyed(bytes: &[u8], arrival: Timestamp) -> Option<Stamp> {
    let is_key = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'@' || byte == b'_';
    let mut at = 0;
    while at < bytes.len() {
        if !is_key(bytes[at]) {
            at += 1;
            continue;
        }
        let length = bytes[at..].iter().take_while(|byte| is_key(**byte)).count();
        let (name, begin) = (&bytes[at..at + length], at);
        at += length;
        let begins = begin == 0 || matches!(bytes[begin - 1], b'"' | b' ' | b',' | b'{');
        if !begins
            || !KEYS
                .iter()
                .any(|key| name.eq_ignore_ascii_case(key.as_bytes()))
        {
            continue;
        }
        let quoted = begin > 0 && bytes[begin - 1] == b'"';
        if let Some(value) = value(&bytes[at..], quoted)
            && let Some(stamp) = parse::stamp(value, arrival).or_else(|| parse::epoch(value))
        {
            return Some(stamp);
        }
    }
    None
}

/// What follows a key's sign, its quote passed over.
fn value(rest: &[u8], quoted: bool) -> Option<&[u8]> {
    let rest = if quoted {
        rest.strip_prefix(b"\"")?
    } else {
        rest
    };
    let rest = if quoted {
        rest.trim_ascii_start()
            .strip_prefix(b":")?
            .trim_ascii_start()
    } else {
        rest.strip_prefix(b"=")?
    };
    Some(rest.strip_prefix(b"\"").unwrap_or(rest))
}
