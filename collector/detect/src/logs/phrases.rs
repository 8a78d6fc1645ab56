//! Phrases that say what is wrong, whoever writes them, and lines that are errors whatever their level says.

use aho_corasick::{AhoCorasick, AhoCorasickBuilder};

/// How far into a line phrases are looked for, in bytes.
const HEAD_LIMIT_BYTES: usize = 2_048;

/// What a line says, by the catalogue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    pub no_space: bool,
    pub refused: bool,
    pub timeout: bool,
}

#[derive(Clone, Copy)]
enum Phrase {
    NoSpace,
    Refused,
    Timeout,
}

/// Case is ignored.
const CATALOGUE: [(&str, Phrase); 16] = [
    ("no space left on device", Phrase::NoSpace),
    ("enospc", Phrase::NoSpace),
    ("disk is full", Phrase::NoSpace),
    ("disk full", Phrase::NoSpace),
    ("not enough space on", Phrase::NoSpace),
    ("connection refused", Phrase::Refused),
    ("econnrefused", Phrase::Refused),
    ("actively refused", Phrase::Refused),
    ("timed out", Phrase::Timeout),
    ("timeout expired", Phrase::Timeout),
    ("timeout exceeded", Phrase::Timeout),
    ("timeouterror", Phrase::Timeout),
    ("etimedout", Phrase::Timeout),
    ("deadline exceeded", Phrase::Timeout),
    ("i/o timeout", Phrase::Timeout),
    ("gateway time-out", Phrase::Timeout),
];

/// The catalogue, ready to search a line once for all of it.
#[derive(Debug)]
pub(super) struct Phrases(Option<AhoCorasick>);

impl Default for Phrases {
    fn default() -> Self {
        let mut builder = AhoCorasickBuilder::new();
        builder.ascii_case_insensitive(true);
        // Building fails only beyond limits that a constant table of this size is far from.
        Self(builder.build(CATALOGUE.map(|(words, _)| words)).ok())
    }
}

impl Phrases {
    pub fn find(&self, text: &str) -> Said {
        let head = text.as_bytes();
        let head = &head[..head.len().min(HEAD_LIMIT_BYTES)];
        let mut said = Said::default();
        let found = self.0.iter().flat_map(|phrases| phrases.find_iter(head));
        for hit in found {
            match CATALOGUE[hit.pattern().as_usize()].1 {
                Phrase::NoSpace => said.no_space = true,
                Phrase::Refused => said.refused = true,
                Phrase::Timeout => said.timeout = true,
            }
        }
        said
    }
}

/// Whether a line is a part of a crash that runtimes print without a level: the head of a traceback, or its
/// last line, which names the exception.
pub(super) fn grave(text: &str) -> bool {
    let text = text.trim_start();
    text.starts_with("Traceback (most recent call last)")
        || text.starts_with("Exception in thread ")
        || text.starts_with("panic: ")
        || (text.starts_with("thread '") && text.contains("' panicked at "))
        || names_exception(text)
}

/// `KeyError: 'x'`, `java.lang.NullPointerException: …`, `django.db.utils.OperationalError: …`.
fn names_exception(text: &str) -> bool {
    let end = text.find([':', ' ']).unwrap_or(text.len());
    let Some(word) = text.get(..end) else {
        return false;
    };
    let named = word.len() > 9 || word.ends_with("Error");
    let ends = word.ends_with("Error") || word.ends_with("Exception");
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '$');
    let capital = word
        .rsplit('.')
        .next()
        .is_some_and(|w| w.starts_with(|c: char| c.is_ascii_uppercase()));
    named && ends && capital && word != "Error" && word.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_are_found_in_any_case() {
        let phrases = Phrases::default();
        let say = |text| phrases.find(text);
        assert!(say("ERROR: could not extend file: No space left on device").no_space);
        assert!(say("connect() failed (111: Connection refused) while connecting").refused);
        assert!(say("psycopg2.OperationalError: timeout expired").timeout);
        assert_eq!(say("timeout=30 space=4096"), Said::default());
    }

    #[test]
    fn exceptions_are_grave_and_prose_is_not() {
        for text in [
            "Traceback (most recent call last):",
            "KeyError: 'user'",
            "django.db.utils.OperationalError: connection",
            "java.lang.NullPointerException",
            "thread 'main' panicked at src/main.rs:1:1:",
        ] {
            assert!(grave(text), "{text}");
        }
        for text in [
            "Error handling was improved",
            "no error",
            "errors: 0",
            "Exception list loaded",
        ] {
            assert!(!grave(text), "{text}");
        }
    }
}
