//! One component's templates: exact texts first, and generalisation of siblings where evidence grows.
//!
//! A masked text that was never seen becomes a template of its own. When enough texts of the same length
//! differ from one another at the same places only, those places are variables: the siblings become
//! one template with a new text and so a new id. Requiring several siblings keeps words apart that
//! only take few values (`true`, `SCREEN_ON`, `UNASSIGNED`) and so carry meaning.

use std::collections::HashMap;

use firstlook_model::{TemplateId, Timestamp, id::stable_hash};

use super::mask::MASK;

/// One template.
#[derive(Debug)]
pub(super) struct Template {
    pub id: TemplateId,
    pub text: String,
    tokens: Vec<u64>,
    /// Bit n: token n was found to be a variable and matches anything.
    wild: u128,
    pub used: Timestamp,
    /// Lines in the current window.
    pub lines: u64,
    pub window: u64,
}

/// What looking up a text found.
pub(super) enum Found {
    /// The slot of a template.
    Known(u32),
    /// No template, and no room or leave to make one.
    NoRoom,
}

#[derive(Debug, Default)]
pub(super) struct Forest {
    slots: Vec<Option<Template>>,
    free: Vec<u32>,
    /// Masked text to slot: own texts and variants of generalised templates.
    texts: HashMap<Box<str>, u32>,
    by_length: HashMap<usize, Vec<u32>>,
    live: usize,
    pub other_lines: u64,
    pub other_window: u64,
    /// Generalised templates came or went since last asked.
    changed: bool,
}

impl Forest {
    pub fn len(&self) -> usize {
        self.live
    }

    pub fn texts(&self) -> usize {
        self.texts.len()
    }

    pub fn template(&mut self, slot: u32) -> &mut Template {
        self.slots[slot as usize]
            .as_mut()
            .expect("texts name live slots only")
    }

    pub fn exact(&self, masked: &str) -> Option<u32> {
        self.texts.get(masked).copied()
    }

    /// Whether generalised templates came or went since last asked.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Text and variable places of every generalised template.
    pub fn general_texts(&self) -> impl Iterator<Item = (&str, u128)> {
        let all = self.slots.iter().flatten();
        all.filter(|t| t.wild != 0)
            .map(|t| (t.text.as_str(), t.wild))
    }

    /// Takes a generalised template back, as last used at `used`. Refused unless its variables are masked.
    pub fn restore(&mut self, text: String, wild: u128, used: Timestamp) -> bool {
        let masked = text
            .split(' ')
            .enumerate()
            .fold(0u128, |places, (place, token)| {
                if place < 128 && token == MASK {
                    places | 1 << place
                } else {
                    places
                }
            });
        if wild & !masked != 0
            || self.texts.contains_key(text.as_str())
            || text.split(' ').count() > 128
        {
            return false;
        }
        let tokens = text.split(' ').map(|t| stable_hash(t.as_bytes())).collect();
        let slot = self.insert(text, tokens, wild);
        self.template(slot).used = used;
        true
    }

    /// Finds or makes the template of a text that `exact` does not know.
    pub fn learn(&mut self, masked: &str, room: bool, texts_limit: usize) -> Found {
        let tokens: Vec<u64> = masked
            .split(' ')
            .map(|t| stable_hash(t.as_bytes()))
            .collect();
        let slot = if let Some(slot) = self.general(&tokens) {
            slot
        } else if let Some((siblings, places)) = self.siblings(&tokens, words(masked)) {
            self.generalise(masked, &tokens, &siblings, places)
        } else if room {
            return Found::Known(self.insert(masked.to_owned(), tokens, 0));
        } else {
            return Found::NoRoom;
        };
        if self.texts.len() >= texts_limit {
            self.forget_variants();
        }
        self.texts.insert(masked.into(), slot);
        Found::Known(slot)
    }

    /// The most specific generalised template that matches.
    fn general(&self, tokens: &[u64]) -> Option<u32> {
        let slots = self.by_length.get(&tokens.len())?;
        slots
            .iter()
            .filter_map(|slot| Some((*slot, self.slots[*slot as usize].as_ref()?)))
            .filter(|(_, t)| t.wild != 0 && differences(t, tokens) == 0)
            .min_by_key(|(slot, t)| (t.wild.count_ones(), *slot))
            .map(|(slot, _)| slot)
    }

    /// Templates that differ from `tokens` at the same places, if they are enough to call those
    /// places variable.
    fn siblings(&self, tokens: &[u64], words: u128) -> Option<(Vec<u32>, u128)> {
        let mut groups: Vec<(u128, Vec<u32>)> = Vec::new();
        for slot in self.by_length.get(&tokens.len())? {
            let Some(template) = self.slots[*slot as usize].as_ref() else {
                continue;
            };
            let places = differences(template, tokens);
            if enough(words, places).is_none() {
                continue;
            }
            match groups.iter_mut().find(|(p, _)| *p == places) {
                Some((_, group)) => group.push(*slot),
                None => groups.push((places, vec![*slot])),
            }
        }
        groups
            .into_iter()
            .filter(|(places, group)| enough(words, *places).is_some_and(|n| group.len() + 1 >= n))
            .min_by_key(|(places, group)| (places.count_ones(), std::cmp::Reverse(group.len())))
            .map(|(places, group)| (group, places))
    }

    fn generalise(&mut self, masked: &str, tokens: &[u64], siblings: &[u32], places: u128) -> u32 {
        let mut wild = places;
        self.changed = true;
        for slot in siblings {
            if let Some(template) = self.slots[*slot as usize].take() {
                wild |= template.wild;
                self.live -= 1;
                self.free.push(*slot);
            }
        }
        if let Some(slots) = self.by_length.get_mut(&tokens.len()) {
            slots.retain(|slot| !siblings.contains(slot));
        }
        let text: Vec<&str> = masked
            .split(' ')
            .enumerate()
            .map(|(place, token)| if wild >> place & 1 == 1 { MASK } else { token })
            .collect();
        let slot = self.insert(text.join(" "), tokens.to_vec(), wild);
        for known in self.texts.values_mut() {
            if siblings.contains(known) {
                *known = slot;
            }
        }
        slot
    }

    fn insert(&mut self, text: String, tokens: Vec<u64>, wild: u128) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            (self.slots.len() - 1) as u32
        });
        self.by_length.entry(tokens.len()).or_default().push(slot);
        self.texts.insert(text.as_str().into(), slot);
        self.slots[slot as usize] = Some(Template {
            id: TemplateId(stable_hash(text.as_bytes())),
            text,
            tokens,
            wild,
            used: Timestamp::default(),
            lines: 0,
            window: 0,
        });
        self.live += 1;
        slot
    }

    /// Forgets texts that are not some template's own: they are found again by matching.
    fn forget_variants(&mut self) {
        let slots = &self.slots;
        self.texts.retain(|text, slot| {
            slots[*slot as usize]
                .as_ref()
                .is_some_and(|t| t.text.as_str() == &**text)
        });
    }

    /// Forgets templates last used before `limit`.
    pub fn expire(&mut self, limit: Timestamp) {
        for (slot, entry) in self.slots.iter_mut().enumerate() {
            if let Some(old) = entry.take_if(|t| t.used < limit) {
                self.live -= 1;
                self.changed |= old.wild != 0;
                self.free.push(slot as u32);
                if let Some(slots) = self.by_length.get_mut(&old.tokens.len()) {
                    slots.retain(|s| *s as usize != slot);
                }
            }
        }
        let slots = &self.slots;
        self.texts.retain(|_, slot| slots[*slot as usize].is_some());
        self.by_length.retain(|_, slots| !slots.is_empty());
    }
}

/// Places of tokens without a mask: those that were written by the program.
fn words(masked: &str) -> u128 {
    let mut places = 0u128;
    for (place, token) in masked.split(' ').enumerate() {
        if !token.contains(MASK) {
            places |= 1 << place;
        }
    }
    places
}

/// Places where a template of the same length and a text differ, variables excluded.
fn differences(template: &Template, tokens: &[u64]) -> u128 {
    let mut places = 0u128;
    for (place, (a, b)) in template.tokens.iter().zip(tokens).enumerate() {
        if a != b {
            places |= 1 << place;
        }
    }
    places & !template.wild
}

/// How many texts must differ at `places` alone before these are variables; `None`: no number will do.
/// The fewer words the texts share, the more texts are asked for; and twice as many where the first
/// word differs, which mostly says what happened.
fn enough(words: u128, places: u128) -> Option<usize> {
    let differing = places.count_ones();
    let shared = (words & !places).count_ones();
    if differing == 0 || shared < differing {
        return None;
    }
    let least = match (differing, shared) {
        (1, 1) => 12,
        (1, _) => 6,
        _ => 8,
    };
    Some(if places & 1 == 1 { 2 * least } else { least })
}
