//! Configuration that an agent gets from its collector: what it is, for which hosts, and how it fares there.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{HOST_ID_LIMIT_BYTES, HostId, InvalidId};

/// Longest text of a remote configuration, in bytes: with its question it fits into 64 KiB.
pub const CONFIG_LIMIT_BYTES: usize = 32 * 1024;
/// Longest reason that an agent gives, in bytes.
pub const WHY_LIMIT_BYTES: usize = 1_024;
/// Most patterns of one group.
pub const PATTERNS_LIMIT: usize = 64;

/// A configuration for an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WantedConfig {
    /// Unique on its collector, and rising. 0: none, the host's own file alone holds.
    pub version: u64,
    /// TOML, at most [`CONFIG_LIMIT_BYTES`]. Empty where there is none.
    pub text: String,
}

/// What an agent does with the configuration that is wanted of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConfigState {
    /// It runs, and has stood its trial.
    Running,
    /// It runs, and is watched.
    OnTrial,
    /// It was never begun.
    Refused,
    /// It was begun, and taken back.
    RolledBack,
}

impl ConfigState {
    /// All states.
    pub const ALL: [Self; 4] = [
        Self::Running,
        Self::OnTrial,
        Self::Refused,
        Self::RolledBack,
    ];

    /// The word for people and documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::OnTrial => "on-trial",
            Self::Refused => "refused",
            Self::RolledBack => "rolled-back",
        }
    }
}

/// How a wanted configuration fares, as its agent says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigReport {
    /// The version that is wanted; 0: none.
    pub version: u64,
    /// What became of it.
    pub state: ConfigState,
    /// Why, or what of it the host's own file overrules; may be empty. At most [`WHY_LIMIT_BYTES`]. Hostile: escape when
    /// shown.
    pub why: String,
    /// The version that runs; 0: none.
    pub running: u64,
}

/// Name of a group of hosts: lower-case letters, digits, `-`, `_`; 1 to 48 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupName(String);

impl GroupName {
    /// Checks the rule.
    ///
    /// # Errors
    /// [`InvalidId`] when the text breaks it.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidId> {
        let text = text.into();
        let plain =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
        match (1..=48).contains(&text.len()) && text.bytes().all(plain) {
            true => Ok(Self(text)),
            false => Err(InvalidId::new(
                "group name",
                &text,
                "1 to 48 of a-z, 0-9, '-', '_'",
            )),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A host's name, or several: `*` stands for any text, also for none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPattern(String);

impl HostPattern {
    /// Checks that some host may have such a name.
    ///
    /// # Errors
    /// [`InvalidId`] when none can.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidId> {
        let text = text.into();
        let fits = (1..=HOST_ID_LIMIT_BYTES).contains(&text.len())
            && text.bytes().all(|b| {
                b.is_ascii_lowercase()
                    || b.is_ascii_digit()
                    || matches!(b, b'.' | b'-' | b'_' | b'*')
            });
        match fits {
            true => Ok(Self(text)),
            false => Err(InvalidId::new(
                "host pattern",
                &text,
                "1 to 253 of a-z, 0-9, '.', '-', '_', and '*' for any text",
            )),
        }
    }

    /// The pattern.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it names this host.
    pub fn fits(&self, host: &HostId) -> bool {
        let mut parts = self.0.split('*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = host.as_str().strip_prefix(first) else {
            return false;
        };
        let mut parts: Vec<&str> = parts.collect();
        // Without a star the whole name is `first`.
        let Some(last) = parts.pop() else {
            return rest.is_empty();
        };
        for part in parts {
            let Some(at) = rest.find(part) else {
                return false;
            };
            rest = &rest[at + part.len()..];
        }
        rest.ends_with(last)
    }

    /// How closely it names hosts: one without a star most, else by its letters.
    pub fn closeness(&self) -> (bool, usize) {
        let stars = self.0.bytes().filter(|b| *b == b'*').count();
        (stars == 0, self.0.len() - stars)
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for HostPattern {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        Self::new(text)
    }
}

impl From<HostPattern> for String {
    fn from(pattern: HostPattern) -> Self {
        pattern.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pattern(text: &str) -> HostPattern {
        HostPattern::new(text).unwrap()
    }

    #[test]
    fn a_star_stands_for_any_text_and_for_none() {
        for (text, host, fits) in [
            ("web1", "web1", true),
            ("web1", "web12", false),
            ("web*", "web", true),
            ("web*", "web12", true),
            ("web*", "aweb", false),
            ("*.db", "a.db", true),
            ("*.db", "a.db2", false),
            ("*", "x", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "ac", false),
            ("ab*ba", "aba", false),
            ("a**a", "aa", true),
        ] {
            let host = HostId::new(host).unwrap();
            assert_eq!(pattern(text).fits(&host), fits, "{text} {host}");
        }
    }

    #[test]
    fn a_name_is_closer_than_a_pattern_and_more_letters_are_closer_than_fewer() {
        let mut patterns = ["*", "w*", "web-b*", "*web-b*", "web1", "web"].map(pattern);
        patterns.sort_by_key(HostPattern::closeness);
        let sorted = patterns.each_ref().map(HostPattern::as_str);
        assert_eq!(sorted, ["*", "w*", "web-b*", "*web-b*", "web", "web1"]);
    }

    #[test]
    fn names_that_nothing_can_have_are_refused() {
        for text in ["", "Web", "a b", "web/1", "a\u{7}", &"x".repeat(254)] {
            assert!(HostPattern::new(text).is_err(), "{text:?}");
        }
        for text in ["", "Web", "a b", "web*", "web.x", &"x".repeat(49)] {
            assert!(GroupName::new(text).is_err(), "{text:?}");
        }
        assert_eq!(GroupName::new("web-1_a").unwrap().as_str(), "web-1_a");
    }

    /// What [`HostPattern::fits`] should say, in the plainest way.
    fn plainly(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, None) => true,
            (Some((b'*', more)), _) if plainly(more, name) => true,
            (Some((b'*', _)), Some((_, rest))) => plainly(pattern, rest),
            (Some((p, more)), Some((n, rest))) => p == n && plainly(more, rest),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn patterns_fit_as_their_plain_meaning_says(text in "[ab*]{1,8}", name in "[ab]{1,8}") {
            let host = HostId::new(name.clone()).unwrap();
            prop_assert_eq!(pattern(&text).fits(&host), plainly(text.as_bytes(), name.as_bytes()));
        }
    }
}
