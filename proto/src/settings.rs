//! The text of a remote configuration: what it may set, and within which limits.
//!
//! It stands here because collector and agent both check it, and must not drift apart. Nothing in it can widen what an agent
//! reads, what leaves its host unredacted, or whom it talks to; a key that could has no place here.

use std::ops::RangeInclusive;

use firstlook_model::remote::CONFIG_LIMIT_BYTES;
use regex::RegexBuilder;
use serde::Deserialize;
use toml::Spanned;

/// Lines that one service may send in a second.
pub const LINES_PER_SECOND: RangeInclusive<u32> = 1..=1_000_000;
/// CPU that an agent may use for long, in percent of one core.
pub const CPU_PERCENT: RangeInclusive<f64> = 0.1..=400.0;
/// Memory that an agent may use, in MiB.
pub const MEMORY_MIB: RangeInclusive<u64> = 8..=65_536;
/// Most rules of redaction.
pub const RULES_LIMIT: usize = 64;
/// Longest pattern of a rule, in bytes.
pub const PATTERN_LIMIT_BYTES: usize = 4_096;
/// Largest compiled pattern, in bytes.
pub const COMPILED_LIMIT_BYTES: usize = 1 << 20;
/// Longest name of a rule, in bytes.
const NAME_LIMIT_BYTES: usize = 64;

/// What a remote configuration sets. What it leaves out stays as the host has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// `logs.lines_per_second`
    pub lines_per_second: Option<u32>,
    /// `budget.cpu_percent`
    pub cpu_percent: Option<f64>,
    /// `budget.memory_mib`
    pub memory_mib: Option<u64>,
    /// `[[redact]]`: rules beside the host's own.
    pub redact: Vec<RedactRule>,
}

/// A rule of redaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedactRule {
    /// What it is called.
    pub name: String,
    /// A regular expression.
    pub pattern: String,
}

/// A part of [`Settings`], which a host may refuse to take from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Section {
    /// `[logs]`
    Logs,
    /// `[budget]`
    Budget,
    /// `[[redact]]`
    Redact,
}

impl Section {
    /// All that there are.
    pub const ALL: [Self; 3] = [Self::Logs, Self::Budget, Self::Redact];

    /// Its name in a file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Logs => "logs",
            Self::Budget => "budget",
            Self::Redact => "redact",
        }
    }
}

/// Why a text is no remote configuration. No retry helps.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSettings {
    /// It is over its limit.
    #[error("the configuration has {0} bytes: {CONFIG_LIMIT_BYTES} are allowed")]
    TooLong(usize),
    /// A line of it is wrong.
    #[error("line {line}: {what}")]
    Line {
        /// Which, from 1.
        line: usize,
        /// What is wrong, and what is allowed.
        what: String,
    },
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct File {
    logs: Logs,
    budget: Budget,
    redact: Vec<Redact>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Logs {
    lines_per_second: Option<Spanned<u32>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Budget {
    cpu_percent: Option<Spanned<f64>>,
    memory_mib: Option<Spanned<u64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Redact {
    name: Spanned<String>,
    pattern: Spanned<String>,
}

impl Settings {
    /// Reads a text.
    ///
    /// # Errors
    /// [`InvalidSettings`] names the first line that is wrong.
    pub fn read(text: &str) -> Result<Self, InvalidSettings> {
        if text.len() > CONFIG_LIMIT_BYTES {
            return Err(InvalidSettings::TooLong(text.len()));
        }
        let file: File = toml::from_str(text).map_err(|error| malformed(text, &error))?;
        if let Some(rule) = file.redact.get(RULES_LIMIT) {
            let what = format!("more than {RULES_LIMIT} rules of redaction");
            return Err(at(text, rule.name.span().start, what));
        }
        let rules = file.redact.into_iter().map(|rule| rule.checked(text));
        Ok(Self {
            lines_per_second: within(
                text,
                "logs.lines_per_second",
                file.logs.lines_per_second,
                &LINES_PER_SECOND,
            )?,
            cpu_percent: within(
                text,
                "budget.cpu_percent",
                file.budget.cpu_percent,
                &CPU_PERCENT,
            )?,
            memory_mib: within(
                text,
                "budget.memory_mib",
                file.budget.memory_mib,
                &MEMORY_MIB,
            )?,
            redact: rules.collect::<Result<_, _>>()?,
        })
    }

    /// The sections that it sets something in.
    pub fn sections(&self) -> Vec<Section> {
        let sets = |section: &Section| match section {
            Section::Logs => self.lines_per_second.is_some(),
            Section::Budget => self.cpu_percent.is_some() || self.memory_mib.is_some(),
            Section::Redact => !self.redact.is_empty(),
        };
        Section::ALL.into_iter().filter(sets).collect()
    }
}

impl Redact {
    fn checked(self, text: &str) -> Result<RedactRule, InvalidSettings> {
        let (name_at, pattern_at) = (self.name.span().start, self.pattern.span().start);
        let (name, pattern) = (self.name.into_inner(), self.pattern.into_inner());
        if name.is_empty() || name.len() > NAME_LIMIT_BYTES || name.chars().any(char::is_control) {
            let what = format!("a rule's name is one line of 1 to {NAME_LIMIT_BYTES} bytes");
            return Err(at(text, name_at, what));
        }
        if let Some(wrong) = wrong_pattern(&pattern) {
            return Err(at(text, pattern_at, format!("rule {name}: {wrong}")));
        }
        Ok(RedactRule { name, pattern })
    }
}

/// What is wrong with the pattern of a rule, and what is allowed.
fn wrong_pattern(pattern: &str) -> Option<String> {
    if pattern.len() > PATTERN_LIMIT_BYTES {
        let length = pattern.len();
        return Some(format!(
            "the pattern has {length} bytes: {PATTERN_LIMIT_BYTES} are allowed"
        ));
    }
    let compiled = RegexBuilder::new(pattern)
        .size_limit(COMPILED_LIMIT_BYTES)
        .dfa_size_limit(COMPILED_LIMIT_BYTES)
        .build();
    match compiled {
        Ok(regex) if regex.is_match("") => {
            Some("the pattern matches the empty text, and so would redact everywhere".to_owned())
        }
        Ok(_) => None,
        Err(error) => {
            let last = error.to_string();
            let last = last.lines().next_back().unwrap_or_default().trim();
            Some(format!(
                "the pattern is no regular expression that can be used: {last}"
            ))
        }
    }
}

fn within<T: PartialOrd + std::fmt::Display>(
    text: &str,
    key: &str,
    given: Option<Spanned<T>>,
    allowed: &RangeInclusive<T>,
) -> Result<Option<T>, InvalidSettings> {
    let Some(given) = given else {
        return Ok(None);
    };
    let start = given.span().start;
    let value = given.into_inner();
    if !allowed.contains(&value) {
        let (least, most) = (allowed.start(), allowed.end());
        let what = format!("{key} is {value}: {least} to {most} is allowed");
        return Err(at(text, start, what));
    }
    Ok(Some(value))
}

fn at(text: &str, byte: usize, what: String) -> InvalidSettings {
    let before = text.as_bytes().get(..byte).unwrap_or(text.as_bytes());
    InvalidSettings::Line {
        line: before.iter().filter(|b| **b == b'\n').count() + 1,
        what,
    }
}

fn malformed(text: &str, error: &toml::de::Error) -> InvalidSettings {
    let mut what = error.message().lines().collect::<Vec<_>>().join(", ");
    if what.starts_with("unknown field") {
        what.push_str(
            "; only logs.lines_per_second, budget.cpu_percent, budget.memory_mib and [[redact]] can be set from a \
             collector: all else stays in the host's own file",
        );
    }
    at(text, error.span().map_or(0, |span| span.start), what)
}

#[cfg(test)]
mod tests;
