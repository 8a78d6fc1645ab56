//! What texts have in common: a change and the errors after it are written about the same thing.

use std::collections::{BTreeMap, BTreeSet};

use crate::Alarm;
use crate::blame::{Change, Note, Told};
use crate::onset::Onset;

/// So many letters of a word count, that its forms are one; shorter words than the second say nothing.
const LETTERS: usize = 5;
const SHORTEST: usize = 3;
/// A word that both signals and complaints have counts so many times.
const SAID_TWICE: f64 = 2.0;

/// Phrases of operating systems and libraries for what no change of ours does.
const OUTSIDE: &[&str] = &[
    "certificate has expired",
    "no such host",
    "name resolution",
    "enotfound",
    "servfail",
    "memorypressure",
];
/// Ends of names of files that nothing runs.
const INERT: &[&str] = &[
    ".md", ".rst", ".txt", ".css", "_test.go", "_test.py", ".html", ".svg",
];

/// Whether a text tells of a reason outside.
pub fn is_outside(text: &str) -> bool {
    let text = text.to_lowercase();
    OUTSIDE.iter().any(|phrase| text.contains(phrase))
}

/// Whether a file is one that nothing runs.
pub fn is_inert(file: &str) -> bool {
    let file = file.to_lowercase();
    file.starts_with("docs/") || INERT.iter().any(|end| file.ends_with(end))
}

/// A text without what varies in it.
pub fn kind(text: &str) -> String {
    let varies = |word: &&str| word.chars().any(|c| c.is_ascii_digit());
    let words: Vec<&str> = text.split_whitespace().filter(|w| !varies(w)).collect();
    words.join(" ")
}

/// The words of a text, cut to their first letters; `camelCase` is two, and so is `ABCase`.
fn of(text: &str) -> BTreeSet<String> {
    let letters: Vec<char> = text.chars().chain([' ']).collect();
    let mut found = BTreeSet::new();
    let mut word = String::new();
    let mut before = ' ';
    for (at, c) in letters.iter().enumerate() {
        let next_is_lower = letters.get(at + 1).is_some_and(|next| next.is_lowercase());
        let begins = c.is_uppercase() && (before.is_lowercase() || next_is_lower);
        if begins || !c.is_alphabetic() {
            if word.chars().count() >= SHORTEST {
                found.insert(word.chars().take(LETTERS).collect());
            }
            word.clear();
        }
        if c.is_alphabetic() {
            word.extend(c.to_lowercase());
        }
        before = *c;
    }
    found
}

/// How rare each word is among the changes: one that most have tells them not apart.
pub fn rarity(changes: &[Change]) -> BTreeMap<String, f64> {
    let mut counts: BTreeMap<String, f64> = BTreeMap::new();
    for word in changes.iter().flat_map(words_of) {
        *counts.entry(word).or_default() += 1.0;
    }
    let all = changes.len() as f64;
    let rare = |count: f64| ((1.0 + all) / (1.0 + count)).ln();
    counts
        .into_iter()
        .map(|(word, n)| (word, rare(n)))
        .collect()
}

fn words_of(change: &Change) -> BTreeSet<String> {
    let mut words = of(&change.text);
    words.extend(change.files.iter().flat_map(|file| of(file)));
    words
}

/// The words of what went wrong.
#[derive(Debug)]
pub struct Signs {
    signals: BTreeSet<String>,
    complaints: BTreeSet<String>,
}

impl Signs {
    /// Of the signals that moved and the alarm's, and of the complaints since, without the words of the time before.
    pub fn of(onset: &Onset<'_>, told: Told<'_>, alarm: &Alarm) -> Self {
        let (before, since): (Vec<&Note>, Vec<&Note>) =
            told.notes.iter().partition(|note| note.time < onset.time);
        let before = before.iter().map(|note| &note.text);
        let usual: BTreeSet<String> = before.chain(told.operations).flat_map(|t| of(t)).collect();
        let complaints = since.iter().filter(|n| n.bad).flat_map(|n| of(&n.text));
        let signals = onset.signals.iter().copied().chain(alarm.signal.as_deref());
        Self {
            signals: signals.flat_map(of).collect(),
            complaints: complaints.filter(|word| !usual.contains(word)).collect(),
        }
    }

    /// How much a change has in common with them.
    pub fn shared_with(&self, change: &Change, rarity: &BTreeMap<String, f64>) -> f64 {
        let mut names = of(&change.component);
        names.insert(
            change
                .component
                .to_lowercase()
                .chars()
                .take(LETTERS)
                .collect(),
        );
        let shared = words_of(change).into_iter().filter(|w| !names.contains(w));
        let weight = |word: String| {
            let told = (
                self.signals.contains(&word),
                self.complaints.contains(&word),
            );
            let times = match told {
                (true, true) => SAID_TWICE,
                (false, false) => 0.0,
                _ => 1.0,
            };
            times * rarity.get(&word).copied().unwrap_or_default()
        };
        shared.map(weight).sum()
    }
}
