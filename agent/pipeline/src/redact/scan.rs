//! One pass over a text for everything that may announce a secret.

use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, Input, MatchKind};

use super::key::{self, Class};
use super::value;

/// What a word found in the text may announce.
#[derive(Clone, Copy, Debug)]
enum Trigger {
    /// Part of a key.
    Key,
    /// `://`: user and password of a URL.
    Url,
    /// `@tcp(`: user and password of a data source name.
    SourceName,
    /// `Bearer` or `Basic`, then a credential.
    Scheme,
    /// `-----BEGIN`.
    Pem,
    /// A JSON web token.
    Jwt,
    /// A token of a well-known form: its prefix as written and how long what follows is at least.
    Prefix(&'static str, usize),
    /// A hashed password of crypt(5).
    Crypt,
    /// SQL: a quoted password follows.
    Sql,
    /// ` -u name:password`.
    UserFlag,
    /// ` -p` or ` -a` of a program whose flag that is.
    PasswordFlag(&'static [&'static str]),
}

const KEYS: [&str; 15] = [
    "pass",
    "pwd",
    "secret",
    "token",
    "key",
    "auth",
    "credential",
    "cookie",
    "session",
    "sid=",
    "sig=",
    "signature",
    "otp",
    "pin=",
    "psk",
];
const PREFIXES: [(&str, usize); 33] = [
    ("AKIA", 16),
    ("ASIA", 16),
    ("ghp_", 20),
    ("gho_", 20),
    ("ghu_", 20),
    ("ghs_", 20),
    ("ghr_", 20),
    ("github_pat_", 20),
    ("glpat-", 16),
    ("glrt-", 16),
    ("gldt-", 16),
    ("xoxb-", 10),
    ("xoxp-", 10),
    ("xoxa-", 10),
    ("xoxr-", 10),
    ("xoxs-", 10),
    ("xapp-", 10),
    ("sk_live_", 10),
    ("rk_live_", 10),
    ("sk_test_", 10),
    ("sk-", 32),
    ("AIza", 30),
    ("npm_", 30),
    ("pypi-", 30),
    ("SG.", 30),
    ("hvs.", 20),
    ("dop_v1_", 30),
    ("ya29.", 20),
    ("shpat_", 20),
    ("whsec_", 16),
    ("glsa_", 16),
    ("hooks.slack.com/services/", 10),
    ("AGE-SECRET-KEY-1", 40),
];
/// How far around a hit is looked where nothing was found, so that a text full of hits costs no more than
/// so many times its length.
const LOOK_BYTES: usize = 256;
const CRYPTS: [&str; 9] = [
    "$1$", "$2a$", "$2b$", "$2y$", "$5$", "$6$", "$y$", "$apr1$", "$argon2",
];

/// The automaton and what each of its words announces.
#[derive(Debug)]
pub(super) struct Scanner {
    words: AhoCorasick,
    triggers: Vec<Trigger>,
}

impl Scanner {
    pub fn new() -> Self {
        let mut all: Vec<(&str, Trigger)> = vec![
            ("://", Trigger::Url),
            ("@tcp(", Trigger::SourceName),
            ("@unix(", Trigger::SourceName),
            ("bearer ", Trigger::Scheme),
            ("basic ", Trigger::Scheme),
            ("-----begin ", Trigger::Pem),
            ("eyj", Trigger::Jwt),
            ("identified by ", Trigger::Sql),
            (" -u ", Trigger::UserFlag),
            (
                " -p",
                Trigger::PasswordFlag(&["mysql", "mariadb", "sshpass"]),
            ),
            (" -a ", Trigger::PasswordFlag(&["redis-cli"])),
        ];
        all.extend(KEYS.map(|word| (word, Trigger::Key)));
        all.extend(PREFIXES.map(|(word, least)| (word, Trigger::Prefix(word, least))));
        all.extend(CRYPTS.map(|word| (word, Trigger::Crypt)));
        let words = AhoCorasickBuilder::new()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::LeftmostLongest)
            .build(all.iter().map(|(word, _)| word))
            .expect("a few short words fit an automaton");
        Self {
            words,
            triggers: all.into_iter().map(|(_, trigger)| trigger).collect(),
        }
    }

    /// Where secrets are: rising and disjoint.
    pub fn secrets(&self, text: &str) -> Vec<Range<usize>> {
        let mut secrets = Vec::new();
        let mut at = 0;
        while let Some(found) = self.words.find(Input::new(text).span(at..text.len())) {
            let word = found.range();
            let secret = find(self.triggers[found.pattern().as_usize()], text, &word);
            // What begins before the place reached is part of what was redacted already.
            let secret = secret.filter(|s| s.start >= at && s.start < s.end);
            at = word.end;
            if let Some(secret) = secret {
                at = at.max(secret.end);
                secrets.push(secret);
            }
        }
        secrets
    }
}

fn find(trigger: Trigger, text: &str, word: &Range<usize>) -> Option<Range<usize>> {
    match trigger {
        Trigger::Key => keyed(text, word),
        Trigger::Url => url(text, word.end),
        Trigger::SourceName => source_name(text, word.start),
        Trigger::Scheme => scheme(text, word),
        Trigger::Pem => {
            let body = word.start + private_key_body(&text[word.start..])?;
            let end = text[body..]
                .find("-----END")
                .map_or(text.len(), |at| body + at);
            (!value::is_harmless(text[body..end].trim())).then_some(body..end)
        }
        Trigger::Jwt => json_web_token(text, word),
        Trigger::Prefix(prefix, least) => prefixed(text, word, prefix, least),
        Trigger::Crypt => crypt(text, word.end),
        Trigger::Sql => {
            let from = word.end + length(&text[word.end..], |b| b == b' ');
            let quote = text.get(from..=from).filter(|q| matches!(*q, "'" | "\""))?;
            secret(text, from + 1..value::quoted_end(text, from + 1, quote))
        }
        Trigger::UserFlag => {
            let end = value::end(text, word.end);
            let (user, password) = text[word.end..end].split_once(':')?;
            let from = word.end + user.len() + 1;
            let ids = password.bytes().all(|b| b.is_ascii_digit());
            if ids { None } else { secret(text, from..end) }
        }
        Trigger::PasswordFlag(programs) => {
            let command = before(text, word.start);
            let program = |p: &&str| command.contains(*p);
            let name = programs.iter().find(|p| program(p))?;
            let spaced = *name == "sshpass";
            let from = word.end + length(&text[word.end..], |b| spaced && b == b' ');
            secret(text, from..value::end(text, from))
        }
    }
}

/// The range, unless what is there is no secret.
fn secret(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    (!value::is_harmless(&text[range.clone()])).then_some(range)
}

/// The value of the key that `word` is part of.
fn keyed(text: &str, word: &Range<usize>) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let in_key = |b: u8| b.is_ascii_alphanumeric() || b"_-.".contains(&b);
    let before = bytes[..word.start]
        .iter()
        .rev()
        .take(key::KEY_LIMIT_BYTES)
        .take_while(|b| in_key(**b))
        .count();
    let start = word.start - before;
    let end = start + length(&text[start..], in_key);
    let name = text.get(start..end)?.trim_end_matches(['.', '-']);
    let class = key::class(name);
    if class == Class::Harmless {
        return None;
    }
    let previous = start.checked_sub(1).map(|at| bytes[at]);
    let separator = Separator::find(text, end, class, name, previous)?;
    if class == Class::Perhaps {
        // Most such values are none: only what looks random is followed to its end.
        let near = &text[..floor(text, separator.value + LOOK_BYTES)];
        let begin = separator.value(near, class)?;
        value::is_random(&near[begin]).then_some(())?;
    }
    let range = separator.value(text, class)?;
    let found = &text[range.clone()];
    let number = found.bytes().all(|b| b.is_ascii_digit());
    let harmless = match class {
        Class::Secret => {
            value::is_harmless(found)
                || number && key::counts(name)
                || found.starts_with('/') && (!key::is_password(name) || name.ends_with("PWD"))
        }
        Class::Authorization | Class::Cookie => value::is_harmless(found),
        Class::Perhaps | Class::Harmless => false,
    };
    (!harmless).then_some(range)
}

/// What lies between a key and its value.
struct Separator {
    /// Where the value begins, its quote included.
    value: usize,
    /// Of an XML element: the value ends at `<`.
    element: bool,
}

impl Separator {
    fn find(
        text: &str,
        key_end: usize,
        class: Class,
        name: &str,
        previous: Option<u8>,
    ) -> Option<Self> {
        let space = |b: u8| b == b' ' || b == b'\t';
        let rest = &text[key_end..];
        if previous == Some(b'<') && rest.starts_with('>') {
            return Some(Self {
                value: key_end + 1,
                element: true,
            });
        }
        let closed = eat(rest, &["\\\"]", "\"]", "']", "\\\"", "\"", "'", "%22", "]"]);
        let gap = length(&rest[closed..], space).min(4);
        let at = closed + gap;
        let sign = eat(
            &rest[at..],
            &["=>", ":=", "=", ":", "%3D", "%3d", "%3A", "%3a"],
        );
        let sign_text = &rest[at..at + sign];
        let after = &rest[at + sign..];
        if sign > 0 {
            let compared = sign_text == "=" && after.starts_with('=');
            let path = sign_text == ":" && (after.starts_with(':') || previous == Some(b'/'));
            // "tests pass: 12" is prose.
            let prose = name.eq_ignore_ascii_case("pass") && sign_text == ":" && closed == 0;
            if compared || path || prose {
                return None;
            }
            let value = key_end + at + sign + length(after, space).min(8);
            return Some(Self {
                value,
                element: false,
            });
        }
        let flag = name.starts_with('-') && !after.starts_with('-');
        let quoted = after.starts_with(['\'', '"']);
        let separate = gap > 0 && closed == 0 && class == Class::Secret;
        (separate && (flag || quoted)).then_some(Self {
            value: key_end + at,
            element: false,
        })
    }

    fn value(&self, text: &str, class: Class) -> Option<Range<usize>> {
        let from = self.value;
        let rest = text.get(from..)?;
        if self.element {
            return Some(from..from + length(rest, |b| b != b'<'));
        }
        // Python's and Rust's string prefixes.
        let letter = usize::from(
            rest.starts_with(['b', 'u', 'r', 'B', 'U', 'R']) && rest[1..].starts_with(['"', '\'']),
        );
        for quote in ["\\\"", "\"", "'", "`", "%22"] {
            if rest[letter..].starts_with(quote) {
                let from = from + letter + quote.len();
                return Some(from..value::quoted_end(text, from, quote));
            }
        }
        if rest.starts_with('{') && !rest.starts_with("{{") {
            return None;
        }
        if rest.starts_with('[') && !rest.starts_with(super::REDACTED) {
            let end = rest.find(']').unwrap_or(rest.len());
            return Some(from + 1..from + end.max(1));
        }
        let end = match class {
            Class::Cookie => from + length(rest, |b| !b"\"'\n".contains(&b)),
            Class::Authorization => {
                // A scheme, then what it carries.
                let scheme = length(rest, |b| b.is_ascii_alphabetic());
                let more = rest[scheme..].starts_with(' ') && rest.len() > scheme + 1;
                value::end(text, if more { from + scheme + 1 } else { from })
            }
            _ => value::end(text, from),
        };
        Some(from..end)
    }
}

fn eat(text: &str, words: &[&str]) -> usize {
    words
        .iter()
        .find(|w| text.starts_with(**w))
        .map_or(0, |w| w.len())
}

/// The password of a URL whose authority begins at `from`; all its user part where that looks like a token.
fn url(text: &str, from: usize) -> Option<Range<usize>> {
    let rest = &text[from..];
    let near = &rest[..floor(rest, LOOK_BYTES)];
    near.find('@')?;
    let run = length(near, |b| {
        !b.is_ascii_whitespace() && !b"\"'<>`".contains(&b)
    });
    let authority = length(&rest[..run], |b| !b"/?#".contains(&b));
    let at = rest[..authority].rfind('@').or_else(|| {
        // A password with a slash: what follows the colon is then no port.
        let (_, port) = rest[..authority].split_once(':')?;
        let is_port = port.bytes().all(|b| b.is_ascii_digit());
        if is_port {
            None
        } else {
            rest[..run].rfind('@')
        }
    })?;
    match rest[..at].split_once(':') {
        Some((user, _)) => secret(text, from + user.len() + 1..from + at),
        None if is_token(&rest[..at]) => secret(text, from..from + at),
        None => None,
    }
}

/// Whether the user part of a URL is a token rather than somebody's name.
fn is_token(user: &str) -> bool {
    let digit = user.bytes().any(|b| b.is_ascii_digit());
    digit && (user.len() >= 20 || value::is_random(user))
}

/// The password in `user:password@tcp(…)`, where `at` is the place of the `@`.
fn source_name(text: &str, at: usize) -> Option<Range<usize>> {
    let name = before(text, at);
    let name = name.rsplit([' ', '\t', '\n', '"', '\'', '=']).next()?;
    let start = at - name.len();
    let colon = text[start..at].find(':')?;
    secret(text, start + colon + 1..at)
}

/// The credential after `Bearer` or `Basic`.
fn scheme(text: &str, word: &Range<usize>) -> Option<Range<usize>> {
    let rest = &text[word.end..];
    let len = length(rest, |b| {
        b.is_ascii_alphanumeric() || b"._~+/=-".contains(&b)
    });
    let credential = &rest[..len];
    let digit = credential.bytes().any(|b| b.is_ascii_digit());
    let inner = credential
        .bytes()
        .skip(1)
        .any(|b| b.is_ascii_uppercase() || b == b'=');
    (len >= 8 && (digit || inner || len >= 24)).then_some(word.end..word.end + len)
}

/// Where the body of the private key begins whose header `text` holds.
pub(super) fn private_key_body(text: &str) -> Option<usize> {
    let begin = text.find("-----BEGIN ")?;
    let label = &text[begin + 11..];
    let end = label.find("-----")?;
    let private = label[..end].contains("PRIVATE KEY") && end < 64;
    private.then_some(begin + 11 + end + 5)
}

fn json_web_token(text: &str, word: &Range<usize>) -> Option<Range<usize>> {
    let rest = &text[word.start..];
    if !rest.starts_with("eyJ") || joined(text, word.start) {
        return None;
    }
    let part = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    let head = length(&rest[..floor(rest, LOOK_BYTES)], part);
    if head < 10 || rest.as_bytes().get(head) != Some(&b'.') {
        return None;
    }
    if length(&rest[head + 1..], part) < 8 {
        return None;
    }
    let len = length(rest, |b| part(b) || b == b'.');
    Some(word.start..word.start + len)
}

fn prefixed(text: &str, word: &Range<usize>, prefix: &str, least: usize) -> Option<Range<usize>> {
    if text[word.clone()] != *prefix || joined(text, word.start) && !prefix.contains('/') {
        return None;
    }
    let rest = &text[word.end..];
    let upper = prefix.len() == 4 && prefix.bytes().all(|b| b.is_ascii_uppercase());
    let len = length(rest, |b| {
        if upper {
            b.is_ascii_uppercase() || b.is_ascii_digit()
        } else {
            b.is_ascii_alphanumeric() || b"_-./".contains(&b)
        }
    });
    let exact = !upper || len == least;
    (len >= least && exact).then_some(word.start..word.end + len)
}

fn crypt(text: &str, from: usize) -> Option<Range<usize>> {
    let len = length(&text[from..], |b| {
        b.is_ascii_alphanumeric() || b"./$,=+-".contains(&b)
    });
    (len >= 16).then_some(from..from + len)
}

/// At most [`LOOK_BYTES`] of the text before `at`.
fn before(text: &str, at: usize) -> &str {
    let from = at.saturating_sub(LOOK_BYTES);
    let from = (from..=at)
        .find(|i| text.is_char_boundary(*i))
        .unwrap_or(at);
    &text[from..at]
}

/// The largest place at or below `at` where a character begins.
fn floor(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at)
        .rev()
        .find(|i| text.is_char_boundary(*i))
        .unwrap_or(0)
}

/// Whether what begins at `at` continues a word.
fn joined(text: &str, at: usize) -> bool {
    at.checked_sub(1)
        .is_some_and(|at| text.as_bytes()[at].is_ascii_alphanumeric())
}

fn length(text: &str, keep: impl Fn(u8) -> bool) -> usize {
    text.bytes().take_while(|b| keep(*b)).count()
}
