//! Lines become log entries: normalised, redacted, with severity and template, within their budget.

use std::collections::{BTreeMap, HashMap};

use firstlook_model::{
    Checkpoint, ComponentId, LogEntry, LogSource, LogTemplate, RawLine, Severity, TemplateId,
    Timestamp, log::LINE_LIMIT_BYTES,
};

use crate::config::PipelineConfig;
use crate::limit::{LineBudget, LineLimiter};
use crate::losses::clip;
use crate::normalise::normalise;
use crate::redact::{REDACTED, Redactor, closes_private_key, opens_private_key};
use crate::severity::recognise;
use crate::stamp;
use crate::template::Miner;

/// Most lines of a private key; a key that does not end by then is none.
const PRIVATE_KEY_LINES: u16 = 200;
/// Most components watched for the end of a private key.
const PRIVATE_KEYS_LIMIT: usize = 256;
/// Most announcements remembered.
const ANNOUNCED_LIMIT: usize = 20_000;
/// Most readers with a checkpoint in one flush, their names' and positions' lengths.
const READERS_LIMIT: usize = 10_000;
const READER_LIMIT_BYTES: usize = 1_024;
const POSITION_LIMIT_BYTES: usize = 4_096;

/// What became of a line.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Kept, with its template's text if that is to be announced.
    Kept(LogEntry, Option<LogTemplate>),
    /// Over its component's budget.
    OverRate,
    /// Nothing but white space.
    Blank,
}

/// What a line went through, for the counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks {
    pub redacted: bool,
}

/// The steps that a line goes through.
#[derive(Debug)]
pub(crate) struct Logs {
    pub redactor: Redactor,
    pub miner: Miner,
    limiter: LineLimiter,
    /// Components in the midst of a private key, and how many lines of it may still come.
    keys: BTreeMap<ComponentId, u16>,
    /// When each template was last announced; `None`: in the window that is not flushed yet.
    announced: HashMap<TemplateId, Option<Timestamp>>,
    announce_every: std::time::Duration,
    checkpoints: BTreeMap<String, Vec<u8>>,
    now: Timestamp,
}

impl Logs {
    pub fn new(config: &PipelineConfig, redactor: Redactor) -> Self {
        Self {
            redactor,
            miner: Miner::new(config.templates.clone()),
            limiter: LineLimiter::new(config.lines.clone()),
            keys: BTreeMap::new(),
            announced: HashMap::new(),
            announce_every: config.announce_every,
            checkpoints: BTreeMap::new(),
            now: Timestamp::default(),
        }
    }

    pub fn set_budget(&mut self, budget: LineBudget) {
        self.limiter.set_budget(budget);
    }

    pub fn line(&mut self, raw: RawLine) -> (Outcome, Marks) {
        let mut text = normalise(raw.text);
        if text.trim().is_empty() {
            return (Outcome::Blank, Marks::default());
        }
        // A file's lines come with the time of reading; journald and the kernel say when.
        let own = (raw.source == LogSource::File).then(|| stamp::written(&text, raw.time));
        let time = own.flatten().unwrap_or(raw.time);
        let redacted = self.redact(&raw.component, &mut text);
        let marks = Marks { redacted };
        let severity = severity(raw.severity, &text);
        let mined = self.miner.mine(&raw.component, &text, raw.time);
        let id = mined.id;
        let due = self
            .announced
            .get(&id)
            .is_none_or(|at| at.is_some_and(|at| self.now.since(at) >= self.announce_every));
        let template = due.then(|| LogTemplate {
            id,
            text: mined.text.to_owned(),
        });
        let nth = mined.nth_in_window;
        if !self.limiter.keep(&raw.component, time, severity, nth) {
            return (Outcome::OverRate, marks);
        }
        if due && self.announced.len() < ANNOUNCED_LIMIT {
            self.announced.insert(id, None);
        }
        let entry = LogEntry {
            time,
            component: raw.component,
            template: id,
            severity,
            source: raw.source,
            text,
        };
        (Outcome::Kept(entry, template), marks)
    }

    /// Whether anything was redacted.
    fn redact(&mut self, component: &ComponentId, text: &mut String) -> bool {
        if let Some(left) = self.keys.get_mut(component) {
            *left -= 1;
            let last = *left == 0;
            let ends = closes_private_key(text);
            if last || ends {
                self.keys.remove(component);
            }
            if !ends {
                *text = REDACTED.to_owned();
            }
            return true;
        }
        if opens_private_key(text) && self.keys.len() < PRIVATE_KEYS_LIMIT {
            self.keys.insert(component.clone(), PRIVATE_KEY_LINES);
        }
        let std::borrow::Cow::Owned(clean) = self.redactor.line(text) else {
            return false;
        };
        *text = clean;
        clip(text, LINE_LIMIT_BYTES);
        true
    }

    /// Notes how far a reader has come. `false` when the checkpoint is over its limits.
    pub fn checkpoint(&mut self, checkpoint: Checkpoint) -> bool {
        let Checkpoint { reader, position } = checkpoint;
        let room = self.checkpoints.len() < READERS_LIMIT || self.checkpoints.contains_key(&reader);
        let fits = reader.len() <= READER_LIMIT_BYTES && position.len() <= POSITION_LIMIT_BYTES;
        if room && fits {
            self.checkpoints.insert(reader, position);
        }
        room && fits
    }

    /// The last checkpoint of each reader, by reader.
    pub fn take_checkpoints(&mut self) -> Vec<Checkpoint> {
        std::mem::take(&mut self.checkpoints)
            .into_iter()
            .map(|(reader, position)| Checkpoint { reader, position })
            .collect()
    }

    /// Begins a new window.
    pub fn next_window(&mut self, now: Timestamp) {
        self.now = now;
        self.limiter.refill(now);
        self.miner.next_window(now);
        let every = self.announce_every;
        self.announced.retain(|_, at| {
            let at = *at.get_or_insert(now);
            at <= now && now.since(at) < every
        });
    }
}

/// What the source says. Only "info", the value of who never said anything (systemd gives it to all
/// that a service prints), yields to a graver word in the text.
fn severity(said: Option<Severity>, text: &str) -> Severity {
    match said {
        Some(Severity::Info) | None => recognise(text)
            .filter(|read| said.is_none() || *read > Severity::Info)
            .unwrap_or(Severity::Info),
        Some(said) => said,
    }
}
