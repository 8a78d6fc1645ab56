//! Where a value ends, and whether it is one that nobody needs to hide.

use super::REDACTED;

/// Values that say something about a secret but are none.
const WORDS: [&str; 56] = [
    "true",
    "false",
    "yes",
    "no",
    "null",
    "nil",
    "none",
    "undefined",
    "on",
    "off",
    "ok",
    "invalid",
    "expired",
    "missing",
    "empty",
    "required",
    "optional",
    "unknown",
    "denied",
    "failed",
    "failure",
    "accepted",
    "rejected",
    "success",
    "successful",
    "disabled",
    "enabled",
    "redacted",
    "hidden",
    "masked",
    "is",
    "was",
    "has",
    "for",
    "must",
    "not",
    "and",
    "or",
    "to",
    "from",
    "with",
    "in",
    "authentication",
    "incorrect",
    "wrong",
    "changed",
    "updated",
    "rotated",
    "valid",
    "present",
    "absent",
    "string",
    "prompt",
    "unchanged",
    "revoked",
    "token",
];

/// End of an unquoted value that begins at `from`: white space, or punctuation after which nothing of
/// the value can follow.
pub(super) fn end(text: &str, from: usize) -> usize {
    let bytes = text.as_bytes();
    for (open, close) in [("${", '}'), ("$(", ')')] {
        if text[from..].starts_with(open)
            && let Some(len) = text[from..].find(close)
        {
            return from + len + 1;
        }
    }
    let mut at = from;
    while let Some(&byte) = bytes.get(at) {
        let stops = match byte {
            b' ' | b'\t' | b'\n' | b'\r' => true,
            b'&' => pair_follows(&bytes[at + 1..]),
            b',' | b';' => {
                let next = bytes.get(at + 1);
                next.is_none_or(|b| b.is_ascii_whitespace() || b"\"'{[".contains(b))
                    || pair_follows(&bytes[at + 1..])
            }
            b')' | b'}' | b']' | b'"' | b'\'' | b'`' | b'<' => bytes
                .get(at + 1)
                .is_none_or(|b| b.is_ascii_whitespace() || b"/,;:.)}]\"'`".contains(b)),
            b'\\' => bytes.get(at + 1).is_some_and(|b| b"\"n'".contains(b)),
            _ => false,
        };
        if stops {
            break;
        }
        at += 1;
    }
    at
}

/// Whether `name=` or `name:` follows.
fn pair_follows(bytes: &[u8]) -> bool {
    let name = bytes
        .iter()
        .take(64)
        .take_while(|b| b.is_ascii_alphanumeric() || b"_-.[]".contains(b))
        .count();
    name > 0 && bytes.get(name).is_some_and(|b| b"=:".contains(b))
}

/// Where a quoted value ends: the quote that is not escaped, else the end of the text.
pub(super) fn quoted_end(text: &str, from: usize, quote: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = from;
    while at < bytes.len() {
        if bytes[at..].starts_with(quote.as_bytes()) {
            return at;
        }
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    text.len()
}

/// Whether the value is no secret: a placeholder, a word of prose, or redacted already.
pub(super) fn is_harmless(value: &str) -> bool {
    let bare = value.trim_end_matches(['.', ',', ':', '!', ')', '}', ']', '"', '\'']);
    let placeholder = [
        ("${", "}"),
        ("$(", ")"),
        ("{{", "}"),
        ("%(", "s"),
        ("<", ">"),
    ]
    .iter()
    .any(|(open, close)| value.starts_with(open) && value.ends_with(close));
    placeholder
        || value.contains(REDACTED)
        || REDACTED.starts_with(value)
        || !value
            .bytes()
            .any(|b| b.is_ascii_alphanumeric() || b >= 0x80)
        || bare.bytes().all(|b| b"xX*.".contains(&b))
        || matches!(value, "%s" | "%v" | "%q" | "...")
        || WORDS.iter().any(|word| bare.eq_ignore_ascii_case(word))
}

/// Whether the value looks drawn by chance: long, of mixed classes that alternate often; no UUID, path,
/// name or version.
pub(super) fn is_random(value: &str) -> bool {
    let bytes = value.as_bytes();
    let alphabet = |b: &u8| b.is_ascii_alphanumeric() || b"+/=_-~%".contains(b);
    if bytes.len() < 16 || !bytes.iter().all(alphabet) || is_uuid(bytes) {
        return false;
    }
    if bytes[0] == b'/' || bytes.iter().filter(|b| **b == b'/').count() > bytes.len() / 10 {
        return false;
    }
    let mut seen = [false; 256];
    bytes.iter().for_each(|b| seen[*b as usize] = true);
    let distinct = seen.iter().filter(|s| **s).count();
    let kind = |b: &u8| match b {
        b'0'..=b'9' => 0,
        b'a'..=b'z' => 1,
        _ => 2,
    };
    let core: Vec<u8> = bytes
        .iter()
        .filter(|b| b.is_ascii_alphanumeric())
        .map(kind)
        .collect();
    let changes = core.windows(2).filter(|w| w[0] != w[1]).count();
    distinct >= 8 && core.contains(&0) && changes * 5 >= core.len()
}

fn is_uuid(bytes: &[u8]) -> bool {
    bytes.len() == 36
        && bytes.iter().enumerate().all(|(at, b)| match at {
            8 | 13 | 18 | 23 => *b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}
