//! Typed identifiers.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest host name accepted, in bytes (RFC 1035's limit of a name).
pub const HOST_ID_LIMIT_BYTES: usize = 253;

/// An identifier that breaks its rule.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{kind} {text:?} is invalid: {rule}")]
pub struct InvalidId {
    /// What was being read.
    pub kind: &'static str,
    /// The offending text, cut to 64 characters.
    pub text: String,
    /// The rule that it breaks.
    pub rule: &'static str,
}

impl InvalidId {
    /// Names what is wrong, quoting at most 64 characters.
    pub fn new(kind: &'static str, text: &str, rule: &'static str) -> Self {
        Self {
            kind,
            text: text.chars().take(64).collect(),
            rule,
        }
    }
}

/// A host's identity: the name that its certificate carries, unique within one authority.
///
/// Lower-case letters, digits, `.`, `-`, `_`; 1 to 253 bytes; begins with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostId(String);

impl HostId {
    /// Checks the rule of [`HostId`].
    ///
    /// # Errors
    /// [`InvalidId`] when the text breaks it.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidId> {
        let text = text.into();
        let fits = !text.is_empty()
            && text.len() <= HOST_ID_LIMIT_BYTES
            && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && text.bytes().all(|b| {
                b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_')
            });
        if fits {
            Ok(Self(text))
        } else {
            Err(InvalidId::new(
                "host name",
                &text,
                "1 to 253 of a-z, 0-9, '.', '-', '_', beginning with a letter or digit",
            ))
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for HostId {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        Self::new(text)
    }
}

impl From<HostId> for String {
    fn from(id: HostId) -> Self {
        id.0
    }
}

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

number_id! {
    /// Lifetime of one agent's journal: a random number drawn when the journal is created.
    Epoch
}
number_id! {
    /// Place of a record in its journal: from 1, rising by one per record, never reused in an epoch.
    Sequence
}
number_id! {
    /// A host's list of series: a stable hash of its contents.
    SchemaId
}

/// A log template: a stable hash of its masked text, the same on every host and across restarts.
/// Written as 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TemplateId(pub u64);

impl fmt::Display for TemplateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl std::str::FromStr for TemplateId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let rule = "16 hexadecimal digits";
        if text.len() != 16 {
            return Err(InvalidId::new("template id", text, rule));
        }
        u64::from_str_radix(text, 16)
            .map(Self)
            .map_err(|_| InvalidId::new("template id", text, rule))
    }
}

/// Its text where people may read it, the number in a binary form.
impl Serialize for TemplateId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for TemplateId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return u64::deserialize(deserializer).map(Self);
        }
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// An incident's number, shown as `INC-0042`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IncidentId(pub u32);

impl fmt::Display for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "INC-{:04}", self.0)
    }
}

impl std::str::FromStr for IncidentId {
    type Err = InvalidId;
    /// Accepts `INC-0042`, `inc-42` and `42`.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let digits = match text.get(..4) {
            Some(prefix) if prefix.eq_ignore_ascii_case("inc-") => &text[4..],
            _ => text,
        };
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        match digits.parse() {
            Ok(number) if plain => Ok(Self(number)),
            _ => Err(InvalidId::new(
                "incident",
                text,
                "INC- and a number, as in INC-0042",
            )),
        }
    }
}

impl TryFrom<String> for IncidentId {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<IncidentId> for String {
    fn from(id: IncidentId) -> Self {
        id.to_string()
    }
}

/// A snapshot's name: `<host>-<unix seconds>-<4 hexadecimal digits>`. Safe as a file name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SnapshotId(String);

impl SnapshotId {
    /// Accepts 1 to 300 of `a-z`, `0-9`, `.`, `-`, `_`, not beginning with `.` or `-`.
    ///
    /// # Errors
    /// [`InvalidId`] for anything else, so that an id can never name a path outside its folder.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidId> {
        let text = text.into();
        let fits = !text.is_empty()
            && text.len() <= 300
            && !text.starts_with(['.', '-'])
            && text.bytes().all(|b| {
                b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_')
            });
        if fits {
            Ok(Self(text))
        } else {
            Err(InvalidId::new(
                "snapshot id",
                &text,
                "1 to 300 of a-z, 0-9, '.', '-', '_'",
            ))
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for SnapshotId {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        Self::new(text)
    }
}

impl From<SnapshotId> for String {
    fn from(id: SnapshotId) -> Self {
        id.0
    }
}

/// FNV-1a over 64 bits: the stable hash behind [`SchemaId`] and [`TemplateId`].
/// Source: Fowler, Noll, Vo; draft-eastlake-fnv. Not for adversarial keys.
pub fn stable_hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_keep_their_rule() {
        for good in ["db1", "web-2.example", "0a", "a_b"] {
            assert_eq!(HostId::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "-a", "Db1", "a/b", "a b", "é", "..", &"a".repeat(254)] {
            assert!(HostId::new(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn incident_numbers_read_back() {
        assert_eq!(IncidentId(42).to_string(), "INC-0042");
        for text in ["INC-0042", "inc-42", "42"] {
            assert_eq!(text.parse(), Ok(IncidentId(42)));
        }
        for bad in ["INC-", "INC--4", "+4", "x", "", "99999999999"] {
            assert!(bad.parse::<IncidentId>().is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn snapshot_ids_cannot_leave_their_folder() {
        for bad in ["..", "a/b", ".hidden", "", "-rf", "A"] {
            assert!(SnapshotId::new(bad).is_err(), "{bad:?} was accepted");
        }
        assert!(SnapshotId::new("db1-1700000000-00ff").is_ok());
    }
}
