//! Reading a line's gravity from its text, where its source does not say.
//!
//! Only what a program writes on purpose counts: a level by name (`level=error`, `"severity":"WARN"`), in
//! brackets or before a colon (`[error]`, `warning:`), in capitals (`ERROR`), syslog's priority (`<34>1 …`), the numbers
//! of pino and bunyan in JSON (`"level":50`), glog's letter (`E0102 …`), or the first words of a crash (`panic:`, `Traceback (most recent call last)`). Prose that mentions an error is not one.

use firstlook_model::Severity;

/// How far into a line its level is looked for.
const HEAD_LIMIT_BYTES: usize = 200;
/// How many words into a line a bare level in capitals is looked for.
const WORDS_LIMIT: usize = 10;

/// The same for a JSON object, whose level may stand behind its message.
const OBJECT_LIMIT_BYTES: usize = 4_096;

const LEVEL_KEYS: [&str; 8] = [
    "level",
    "lvl",
    "severity",
    "loglevel",
    "levelname",
    "log_level",
    "severity_text",
    "severitytext",
];

/// Words for levels.
const LEVELS: [(&str, Severity); 24] = [
    ("info", Severity::Info),
    ("error", Severity::Error),
    ("warn", Severity::Warning),
    ("warning", Severity::Warning),
    ("debug", Severity::Debug),
    ("trace", Severity::Debug),
    ("dbg", Severity::Debug),
    ("information", Severity::Info),
    ("notice", Severity::Info),
    ("log", Severity::Info),
    ("err", Severity::Error),
    ("severe", Severity::Error),
    ("critical", Severity::Critical),
    ("crit", Severity::Critical),
    ("fatal", Severity::Critical),
    ("panic", Severity::Critical),
    ("alert", Severity::Critical),
    ("emerg", Severity::Critical),
    ("emergency", Severity::Critical),
    ("inf", Severity::Info),
    ("wrn", Severity::Warning),
    ("ftl", Severity::Critical),
    ("trc", Severity::Debug),
    ("verbose", Severity::Debug),
];

/// Beginnings of what runtimes and kernels print when they give up.
const CRASHES: [(&str, Severity); 16] = [
    ("Traceback (most recent call last)", Severity::Error),
    ("Exception in thread ", Severity::Error),
    ("Caused by: ", Severity::Error),
    ("Uncaught ", Severity::Error),
    ("Unhandled exception", Severity::Error),
    ("panic: ", Severity::Critical),
    ("fatal error: ", Severity::Critical),
    ("Segmentation fault", Severity::Critical),
    ("Kernel panic", Severity::Critical),
    ("BUG: ", Severity::Critical),
    ("Oops: ", Severity::Critical),
    ("terminate called ", Severity::Critical),
    ("Out of memory", Severity::Critical),
    ("oom-kill:", Severity::Critical),
    ("*** stack smashing", Severity::Critical),
    ("Assertion failed", Severity::Critical),
];

/// The gravity that the text claims; `None` when it claims none.
pub fn recognise(text: &str) -> Option<Severity> {
    let text = text.trim_start();
    let head = beginning(text, HEAD_LIMIT_BYTES);
    let object = text.starts_with('{');
    let keyed = if object {
        beginning(text, OBJECT_LIMIT_BYTES)
    } else {
        head
    };
    by_key(keyed, object)
        .or_else(|| priority(head))
        .or_else(|| crash(head))
        .or_else(|| glog(head))
        .or_else(|| by_word(head))
}

/// At most so many bytes of a text.
fn beginning(text: &str, limit: usize) -> &str {
    let end = (0..=limit.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or(0)]
}

/// syslog's priority (RFC 5424 and 3164): a version or a month follows it at once.
fn priority(head: &str) -> Option<Severity> {
    let (number, rest) = head.strip_prefix('<')?.split_once('>')?;
    let is_syslog = rest.starts_with("1 ") || rest.starts_with(|c: char| c.is_ascii_uppercase());
    let number: u8 = number.parse().ok().filter(|n| *n <= 191 && is_syslog)?;
    Some(match number & 7 {
        0..=2 => Severity::Critical,
        3 => Severity::Error,
        4 => Severity::Warning,
        5 | 6 => Severity::Info,
        _ => Severity::Debug,
    })
}

/// Levels of pino and bunyan.
fn by_number(value: &str) -> Option<Severity> {
    match &value[..word_length(value.as_bytes())] {
        "10" | "20" => Some(Severity::Debug),
        "30" => Some(Severity::Info),
        "40" => Some(Severity::Warning),
        "50" => Some(Severity::Error),
        "60" => Some(Severity::Critical),
        _ => None,
    }
}

/// `level=error`, `"level": "error"`, `severity: WARN`.
fn by_key(head: &str, object: bool) -> Option<Severity> {
    let bytes = head.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !bytes[at].is_ascii_alphabetic() {
            at += 1;
            continue;
        }
        let len = word_length(&bytes[at..]);
        let word = &head[at..at + len];
        at += len;
        if LEVEL_KEYS.iter().any(|key| word.eq_ignore_ascii_case(key)) {
            let value = head[at..].trim_start_matches(['"', '\'', ' ', '\\']);
            if let Some(value) = value.strip_prefix(['=', ':']) {
                let value = value.trim_start_matches(['"', '\'', ' ', '\\']);
                if let Some(found) = level(&value[..word_length(value.as_bytes())]) {
                    return Some(found);
                }
                if object && let Some(found) = by_number(value) {
                    return Some(found);
                }
            }
        }
    }
    None
}

fn crash(head: &str) -> Option<Severity> {
    if head.starts_with("thread '") && head.contains("' panicked at ") {
        return Some(Severity::Critical);
    }
    if head.contains(": segfault at ") {
        return Some(Severity::Critical);
    }
    CRASHES
        .iter()
        .find(|(begin, _)| head.starts_with(begin))
        .map(|(_, severity)| *severity)
}

/// glog and klog: a letter, month and day, a space, a time.
fn glog(head: &str) -> Option<Severity> {
    let bytes = head.as_bytes();
    let dated = bytes.len() > 8
        && bytes[1..5].iter().all(u8::is_ascii_digit)
        && bytes[5] == b' '
        && bytes[6].is_ascii_digit()
        && bytes[8] == b':';
    match bytes.first()? {
        b'I' if dated => Some(Severity::Info),
        b'W' if dated => Some(Severity::Warning),
        b'E' if dated => Some(Severity::Error),
        b'F' if dated => Some(Severity::Critical),
        _ => None,
    }
}

/// The first word that is a level by its capitals, its brackets or its colon.
fn by_word(head: &str) -> Option<Severity> {
    let bytes = head.as_bytes();
    let (mut at, mut words) = (0, 0);
    while at < bytes.len() && words < WORDS_LIMIT {
        if !is_word(bytes[at]) {
            at += 1;
            continue;
        }
        let len = word_length(&bytes[at..]);
        let word = &head[at..at + len];
        let before = at.checked_sub(1).map(|i| bytes[i]);
        let after = bytes.get(at + len).copied();
        at += len;
        // Stamps and numbers come before the level in many formats: they do not count.
        words += usize::from(word.bytes().any(|b| b.is_ascii_alphabetic()));
        let Some(found) = level(word) else { continue };
        let capitals = word.bytes().all(|b| b.is_ascii_uppercase());
        let alone = before.is_none_or(|b| b == b' ' || b"[(<|\t-*".contains(&b))
            && after.is_none_or(|b| b == b' ' || b"])>|:\t,-*".contains(&b));
        let bracketed = matches!(
            (before, after),
            (Some(b'['), Some(b']')) | (Some(b'<'), Some(b'>'))
        );
        let titled = after == Some(b':') && (words == 1 || before == Some(b' '));
        if alone && (capitals || bracketed || titled) && !is_clock(bytes, at) {
            return Some(found);
        }
    }
    None
}

/// Whether what follows a colon is a digit, as in `error:12`, which is no level.
fn is_clock(bytes: &[u8], at: usize) -> bool {
    bytes.get(at) == Some(&b':') && bytes.get(at + 1).is_some_and(u8::is_ascii_digit)
}

fn level(word: &str) -> Option<Severity> {
    if !(3..=11).contains(&word.len()) {
        return None;
    }
    LEVELS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(word))
        .map(|(_, severity)| *severity)
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn word_length(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|b| is_word(**b)).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Severity::{Critical, Debug, Error, Info, Warning};

    #[test]
    fn levels_are_read_where_programs_write_them() {
        for (text, severity) in [
            (
                "2024-01-02 03:04:05.678 UTC [12] ERROR:  relation \"x\" does not exist",
                Error,
            ),
            (
                "2024-01-02 03:04:05.678 UTC [12] FATAL:  sorry, too many clients",
                Critical,
            ),
            (
                "2024-01-02 03:04:05.678 UTC [12] LOG:  checkpoint starting: time",
                Info,
            ),
            (
                "[Sun Dec 04 04:47:44 2005] [error] child in error state",
                Error,
            ),
            ("[Sun Dec 04 04:47:44 2005] [notice] init() ok", Info),
            (
                "2024/01/02 03:04:05 [warn] 12#12: *3 upstream is slow",
                Warning,
            ),
            (
                "time=2024-01-02T03:04:05Z level=warning msg=\"slow\"",
                Warning,
            ),
            (r#"{"time":"x","level":"ERROR","msg":"x"}"#, Error),
            (r#"{"severity": "critical", "message": "x"}"#, Critical),
            ("E0102 03:04:05.678901       1 server.go:12] failed", Error),
            ("W0102 03:04:05.678901       1 server.go:12] slow", Warning),
            (
                "15/06/09 20:10:40 INFO executor.Backend: Registered ERROR handlers",
                Info,
            ),
            ("WARN  [main] o.e.Class - deprecated", Warning),
            ("error: could not open file", Error),
            ("Warning: deprecated option", Warning),
            ("app: DEBUG cache miss", Debug),
            (
                "2026-11-23 08:10:44.050 UTC [810] shop@shop ERROR:  could not extend file",
                Error,
            ),
            ("Traceback (most recent call last):", Error),
            ("thread 'main' panicked at src/main.rs:2:5:", Critical),
            ("panic: runtime error: index out of range", Critical),
            ("kernel: app[12]: segfault at 0 ip 00007f", Critical),
            (
                "Exception in thread \"main\" java.lang.NullPointerException",
                Error,
            ),
            ("Out of memory: Killed process 12 (app)", Critical),
            ("<4> something <error> happened", Error),
            ("<34>1 2026-01-02T03:04:05Z db1 app - - - x", Critical),
            ("<13>Jan  2 03:04:05 db1 app: x", Info),
            ("<11>Jan  2 03:04:05 db1 app: x", Error),
            (r#"{"level":50,"time":1767323045678,"msg":"x"}"#, Error),
            (r#"{"log.level":"warn","message":"x"}"#, Warning),
            ("2026-01-02T03:04:05Z WRN slow", Warning),
            ("2026-01-02 03:04:05,678 - shop - ERROR - x", Error),
        ] {
            assert_eq!(recognise(text), Some(severity), "{text}");
        }
    }

    #[test]
    fn level_of_an_object_is_read_behind_its_message() {
        let text = format!(r#"{{"msg":"{}","severity":"error"}}"#, "x ".repeat(500));
        assert_eq!(recognise(&text), Some(Error));
    }

    #[test]
    fn prose_that_mentions_an_error_is_none() {
        for text in [
            "0 errors found",
            "errors: none",
            "no error",
            "GET /error/404 200",
            "the info desk",
            "terror alert system ready",
            "log rotated",
            "error:12 is documented",
            "",
            "level: 5",
            "Information about debug builds",
        ] {
            assert_eq!(recognise(text), None, "{text}");
        }
    }
}
