//! Templates that must survive a restart, so that a line keeps its template's id.
//!
//! A masked text is a template by itself: the next agent makes the same of it. What it cannot know is which places
//! were learned to be variables. These templates are kept, in [`SHARDS`] checkpoints of at most [`SHARD_LIMIT_BYTES`],
//! `templates:<n>`, by the hash of their text. Each is written as `<variable places, hexadecimal> <bytes of the
//! component> <bytes of the text>`, a line feed, component and text, a line feed. What does not fit is learned anew.

use firstlook_model::{Checkpoint, ComponentId, id::stable_hash};

/// Over how many checkpoints they are spread.
pub(crate) const SHARDS: usize = 256;
/// Longest checkpoint.
const SHARD_LIMIT_BYTES: usize = 4_096;

/// A template with variables that were learned.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kept {
    pub component: ComponentId,
    pub text: String,
    /// Bit n: token n is a variable. Never 0.
    pub wild: u128,
}

/// The checkpoints as they were last written, by the hash of their content; 0: none.
#[derive(Debug)]
pub(super) struct Shards {
    written: Vec<u64>,
}

impl Default for Shards {
    fn default() -> Self {
        Self {
            written: vec![0; SHARDS],
        }
    }
}

impl Shards {
    /// Reads what was kept; `load` gives a checkpoint's position by its name.
    pub fn load(&mut self, mut load: impl FnMut(&str) -> Option<Vec<u8>>) -> Vec<Kept> {
        let mut all = Vec::new();
        for (shard, written) in self.written.iter_mut().enumerate() {
            let bytes = load(&reader(shard)).unwrap_or_default();
            *written = digest(&bytes);
            all.extend(decode(&bytes));
        }
        all
    }

    /// The checkpoints that differ from those last written.
    pub fn save(&mut self, mut kept: Vec<Kept>) -> Vec<Checkpoint> {
        kept.sort();
        let mut shards = vec![Vec::new(); SHARDS];
        for template in &kept {
            let shard = &mut shards[stable_hash(template.text.as_bytes()) as usize % SHARDS];
            let bytes = encode(template);
            if shard.len() + bytes.len() <= SHARD_LIMIT_BYTES {
                shard.extend(bytes);
            }
        }
        let mut changed = Vec::new();
        for (shard, position) in shards.into_iter().enumerate() {
            let digest = digest(&position);
            if std::mem::replace(&mut self.written[shard], digest) != digest {
                changed.push(Checkpoint {
                    reader: reader(shard),
                    position,
                });
            }
        }
        changed
    }
}

fn reader(shard: usize) -> String {
    format!("templates:{shard}")
}

fn digest(bytes: &[u8]) -> u64 {
    if bytes.is_empty() {
        0
    } else {
        stable_hash(bytes)
    }
}

fn encode(template: &Kept) -> Vec<u8> {
    let (component, text) = (template.component.to_string(), &template.text);
    format!(
        "{:x} {} {}\n{component}{text}\n",
        template.wild,
        component.len(),
        text.len()
    )
    .into_bytes()
}

/// Templates up to the first that is malformed.
fn decode(bytes: &[u8]) -> Vec<Kept> {
    let sound = std::str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), str::len);
    let mut rest = std::str::from_utf8(&bytes[..sound]).unwrap_or_default();
    let mut all = Vec::new();
    while let Some((template, behind)) = decode_one(rest) {
        all.push(template);
        rest = behind;
    }
    all
}

fn decode_one(text: &str) -> Option<(Kept, &str)> {
    let (head, rest) = text.split_once('\n')?;
    let mut numbers = head.split(' ');
    let wild = u128::from_str_radix(numbers.next()?, 16)
        .ok()
        .filter(|wild| *wild != 0)?;
    let (component, rest) = rest.split_at_checked(numbers.next()?.parse().ok()?)?;
    let (text, rest) = rest.split_at_checked(numbers.next()?.parse().ok()?)?;
    let component = component.parse().ok()?;
    let text = text.to_owned();
    Some((
        Kept {
            component,
            text,
            wild,
        },
        rest.strip_prefix('\n')?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn kept(host: &str, text: &str, wild: u128) -> Kept {
        let component = format!("host:{host}").parse().unwrap();
        Kept {
            component,
            text: text.to_owned(),
            wild,
        }
    }

    proptest! {
        #[test]
        fn templates_read_back_and_what_did_not_change_is_not_written(
            texts in proptest::collection::btree_map("\\PC{1,40}( |\n)<\\*>", 1..u128::MAX, 0..40),
        ) {
            let mut all: Vec<_> = texts.iter().map(|(text, wild)| kept("h1", text, *wild)).collect();
            let mut shards = Shards::default();
            let written = shards.save(all.clone());
            prop_assert!(written.iter().all(|c| c.position.len() <= SHARD_LIMIT_BYTES));
            prop_assert!(shards.save(all.clone()).is_empty());
            let stored: BTreeMap<_, _> = written.into_iter().map(|c| (c.reader, c.position)).collect();
            let mut next = Shards::default();
            let mut read = next.load(|name| stored.get(name).cloned());
            read.sort();
            all.sort();
            prop_assert_eq!(&read, &all);
            prop_assert!(next.save(all).is_empty());
            prop_assert_eq!(next.save(Vec::new()).len(), stored.len());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..60), begin: bool) {
            let mut all = if begin { b"1 7 3\nhost:h1a b\n".to_vec() } else { Vec::new() };
            all.extend(bytes);
            prop_assert!(decode(&all).len() >= usize::from(begin));
        }
    }

    #[test]
    fn surplus_is_left_out() {
        let long = "x".repeat(3_000);
        let all = (0..600)
            .map(|n| kept("h1", &format!("{long} {n} <*>"), 4))
            .collect();
        let written = Shards::default().save(all);
        assert!(
            written.len() > 200
                && written
                    .iter()
                    .all(|c| c.position.len() <= SHARD_LIMIT_BYTES)
        );
    }
}
