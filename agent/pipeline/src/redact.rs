//! Secrets out: what looks like one becomes `[redacted]` before it touches the spool.
//!
//! Built in: values of keys that name a secret (`password=…`, `"api_key": "…"`, `--token …`, headers, XML, SQL),
//! random-looking values of keys that may (`key=…`, `session=…`), passwords in URLs and connection
//! strings, bearer and basic credentials, private keys in PEM, JSON web tokens, tokens with a
//! well-known prefix, hashed passwords. Then own rules. Built-in detection is one pass of an
//! Aho-Corasick automaton over the text with a bounded look around each hit: linear in time.
//!
//! What cannot be told from prose (a bare word after "the password is") stays; see the tests for both sides.

mod key;
mod scan;
mod settings;
#[cfg(test)]
mod tests;
mod value;

use std::borrow::Cow;

use regex::{Regex, RegexBuilder};

use scan::Scanner;

/// What stands for a secret.
pub const REDACTED: &str = "[redacted]";
/// Most own rules.
pub const RULES_LIMIT: usize = 64;
/// Largest compiled own rule, in bytes.
const RULE_LIMIT_BYTES: usize = 1 << 20;
/// Longest own rule as text, in bytes.
const RULE_TEXT_LIMIT_BYTES: usize = 4_096;

/// An operator's own rule of redaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// For people and errors.
    pub name: String,
    /// A regular expression of the `regex` crate. What its group `secret` matches is redacted, or all that
    /// it matches where it has no such group.
    pub pattern: String,
}

/// Why a rule cannot be used. No retry helps.
#[derive(Debug, thiserror::Error)]
pub enum RedactError {
    /// The pattern is no regular expression, or too large when compiled.
    #[error("rule {name:?} cannot be compiled")]
    Pattern {
        /// The rule.
        name: String,
        /// What is wrong with it.
        #[source]
        source: Box<regex::Error>,
    },
    /// The pattern's text is over its limit, or matches the empty text.
    #[error("rule {name:?} is over {RULE_TEXT_LIMIT_BYTES} bytes or matches the empty text")]
    Unfit {
        /// The rule.
        name: String,
    },
    /// There are more than [`RULES_LIMIT`] rules.
    #[error("{0} rules are given, at most {RULES_LIMIT} are allowed")]
    TooMany(usize),
}

/// Finds and replaces secrets.
#[derive(Debug)]
pub struct Redactor {
    scanner: Scanner,
    rules: Vec<Regex>,
}

impl Redactor {
    /// Built-in detection and own rules, which see what the built-in detection left.
    ///
    /// # Errors
    /// When a rule cannot be used, or there are too many.
    pub fn new(rules: &[Rule]) -> Result<Self, RedactError> {
        if rules.len() > RULES_LIMIT {
            return Err(RedactError::TooMany(rules.len()));
        }
        Ok(Self {
            scanner: Scanner::new(),
            rules: rules.iter().map(compile).collect::<Result<_, _>>()?,
        })
    }

    /// A log line, a command line or other prose. Borrowed when nothing was found.
    pub fn line<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut out = replace(text, &self.scanner.secrets(text));
        for rule in &self.rules {
            let found: Vec<_> = rule
                .captures_iter(&out)
                .filter_map(|c| c.name("secret").or_else(|| c.get(0)))
                .map(|m| m.range())
                .collect();
            if let Cow::Owned(text) = replace(&out, &found) {
                out = Cow::Owned(text);
            }
        }
        out
    }

    /// A configuration file or a diff of one: as [`Redactor::line`] for each line, and besides the whole rest of
    /// a line that begins with a secret's key, block values, and keys over several lines.
    pub fn text(&self, text: &str) -> String {
        settings::redact(text, |line| self.line(line))
    }
}

/// Whether a private key begins in `line` and does not end in it.
pub(crate) fn opens_private_key(line: &str) -> bool {
    scan::private_key_body(line).is_some_and(|body| !line[body..].contains("-----END"))
}

/// Whether a private key that began before ends in `line`.
pub(crate) fn closes_private_key(line: &str) -> bool {
    line.contains("-----END")
}

fn compile(rule: &Rule) -> Result<Regex, RedactError> {
    let name = || rule.name.chars().take(64).collect::<String>();
    if rule.pattern.len() > RULE_TEXT_LIMIT_BYTES {
        return Err(RedactError::Unfit { name: name() });
    }
    let regex = RegexBuilder::new(&rule.pattern)
        .size_limit(RULE_LIMIT_BYTES)
        .dfa_size_limit(RULE_LIMIT_BYTES)
        .build()
        .map_err(|source| RedactError::Pattern {
            name: name(),
            source: Box::new(source),
        })?;
    if regex.is_match("") {
        return Err(RedactError::Unfit { name: name() });
    }
    Ok(regex)
}

/// `text` with each of the rising, disjoint `ranges` replaced.
fn replace<'a>(text: &'a str, ranges: &[std::ops::Range<usize>]) -> Cow<'a, str> {
    if ranges.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + ranges.len() * REDACTED.len());
    let mut from = 0;
    for range in ranges {
        out.push_str(&text[from..range.start]);
        out.push_str(REDACTED);
        from = range.end;
    }
    out.push_str(&text[from..]);
    Cow::Owned(out)
}
