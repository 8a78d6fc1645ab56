//! Mining log templates: lines that one statement of a program wrote share a template.
//!
//! Each line is masked ([`Masker`]) and looked up among its component's templates. Ids are stable hashes of
//! the template's text, so a text has the same id on every host. A template that generalises gets a new text
//! and id from then on; lines before keep the one they had. What was generalised is kept across restarts.
//!
//! Memory is bounded by [`TemplateLimits`]; lines beyond go to [`OTHER_TEXT`] and are counted.

mod forest;
mod kept;
mod mask;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::Duration;

use firstlook_model::{Checkpoint, ComponentId, TemplateId, Timestamp, id::stable_hash};

use forest::{Forest, Found};
use kept::{Kept, Shards};
pub use mask::{MASK, Masker};

/// Text of the template that stands for all lines beyond the budgets.
pub const OTHER_TEXT: &str = "<other>";

/// Budgets of a [`Miner`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateLimits {
    /// Most templates of one component. Default 1,000.
    pub per_component: usize,
    /// Most templates in all. Default 5,000.
    pub total: usize,
    /// Most unknown texts looked at closely per window; the rest go to "other". Default 4,000.
    pub searches_per_window: usize,
    /// Templates unused for this long make room when a budget is nearly spent. Default 10 minutes.
    pub idle: Duration,
}

impl Default for TemplateLimits {
    fn default() -> Self {
        Self {
            per_component: 1_000,
            total: 5_000,
            searches_per_window: 4_000,
            idle: Duration::from_secs(600),
        }
    }
}

/// What was mined from one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mined<'a> {
    /// Stable hash of `text`.
    pub id: TemplateId,
    /// The template.
    pub text: &'a str,
    /// How many lines of this template and component the window has seen, this one included.
    pub nth_in_window: u64,
}

/// Mines templates, per component, within budgets.
#[derive(Debug)]
pub struct Miner {
    limits: TemplateLimits,
    masker: Masker,
    forests: HashMap<ComponentId, Forest>,
    templates: usize,
    searches: usize,
    window: u64,
    /// Lines for which there was no forest to count in, in this window.
    strangers: u64,
    other_lines: u64,
    shards: Shards,
}

impl Miner {
    /// An empty miner.
    pub fn new(limits: TemplateLimits) -> Self {
        Self {
            limits,
            masker: Masker::default(),
            forests: HashMap::new(),
            templates: 0,
            searches: 0,
            window: 1,
            strangers: 0,
            other_lines: 0,
            shards: Shards::default(),
        }
    }

    /// Takes back what [`Miner::kept`] gave to an earlier miner; `load` gives a checkpoint's position by its name.
    pub fn restore(&mut self, load: impl FnMut(&str) -> Option<Vec<u8>>, now: Timestamp) {
        for Kept {
            component,
            text,
            wild,
        } in self.shards.load(load)
        {
            let forest = self.forests.entry(component).or_default();
            let room =
                self.templates < self.limits.total && forest.len() < self.limits.per_component;
            self.templates += usize::from(room && forest.restore(text, wild, now));
        }
        self.forests.retain(|_, forest| forest.len() > 0);
    }

    /// Checkpoints to be stored, so that a later miner gives every line the id that this one gives. Empty while
    /// nothing changed.
    pub fn kept(&mut self) -> Vec<Checkpoint> {
        let mut changed = false;
        for forest in self.forests.values_mut() {
            changed |= forest.take_changed();
        }
        if !changed {
            return Vec::new();
        }
        let kept = self.forests.iter().flat_map(|(component, forest)| {
            forest.general_texts().map(|(text, wild)| Kept {
                component: component.clone(),
                text: text.to_owned(),
                wild,
            })
        });
        self.shards.save(kept.collect())
    }

    /// Finds or makes the template of a redacted line written at `time`.
    pub fn mine(&mut self, component: &ComponentId, line: &str, time: Timestamp) -> Mined<'_> {
        let masked = self.masker.mask(line);
        let room = self.templates < self.limits.total;
        if !self.forests.contains_key(component) {
            if !room {
                self.strangers += 1;
                self.other_lines += 1;
                return other(self.strangers);
            }
            self.forests.insert(component.clone(), Forest::default());
        }
        let forest = self
            .forests
            .get_mut(component)
            .expect("was inserted if absent");
        let mut found = forest.exact(masked);
        if found.is_none() && self.searches < self.limits.searches_per_window {
            self.searches += 1;
            let before = forest.len();
            let room = room && before < self.limits.per_component;
            if let Found::Known(slot) = forest.learn(masked, room, 2 * self.limits.per_component) {
                found = Some(slot);
            }
            self.templates = self.templates + forest.len() - before;
        }
        let Some(slot) = found else {
            self.other_lines += 1;
            if forest.other_window != self.window {
                (forest.other_window, forest.other_lines) = (self.window, 0);
            }
            forest.other_lines += 1;
            return other(forest.other_lines);
        };
        let template = forest.template(slot);
        if template.window != self.window {
            (template.window, template.lines) = (self.window, 0);
        }
        template.lines += 1;
        template.used = template.used.max(time);
        Mined {
            id: template.id,
            text: &template.text,
            nth_in_window: template.lines,
        }
    }

    /// Begins a new window of counting and, when a budget is nearly spent, forgets idle templates.
    pub fn next_window(&mut self, now: Timestamp) {
        self.window += 1;
        self.searches = 0;
        self.strangers = 0;
        let limit = now.minus(self.limits.idle);
        let tight = self.templates * 10 > self.limits.total * 8;
        let per_component = self.limits.per_component;
        for forest in self.forests.values_mut() {
            if tight || forest.len() * 10 > per_component * 8 {
                let before = forest.len();
                forest.expire(limit);
                self.templates -= before - forest.len();
            }
        }
        if tight {
            self.forests.retain(|_, forest| forest.len() > 0);
        }
    }

    /// Templates now held.
    pub fn templates(&self) -> usize {
        self.templates
    }

    /// Texts now held, variants of generalised templates included: the measure of memory.
    pub fn texts(&self) -> usize {
        self.forests.values().map(Forest::texts).sum()
    }

    /// Lines that went to "other" so far.
    pub fn other_lines(&self) -> u64 {
        self.other_lines
    }
}

fn other(nth_in_window: u64) -> Mined<'static> {
    Mined {
        id: TemplateId(stable_hash(OTHER_TEXT.as_bytes())),
        text: OTHER_TEXT,
        nth_in_window,
    }
}
