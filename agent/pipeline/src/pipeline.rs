//! The pipeline itself: observations in, records out.

use firstlook_model::{
    Change, Checkpoint, EdgeObservation, Inventory, Lines, Observation, Record, Timestamp,
    UnitState,
};

use crate::batch::{LogBatch, Weight, fit_change, fit_inventory, fit_unit, lists};
use crate::config::{PipelineConfig, PipelineError};
use crate::limit::LineBudget;
use crate::logs::{Logs, Outcome};
use crate::losses::LossLedger;
use crate::metrics::Metrics;
use crate::redact::{Redactor, Rule};

/// What a flush returns.
#[derive(Debug, Default, PartialEq)]
pub struct Flushed {
    /// In the order in which they are to be appended: schemas come before their blocks. Each
    /// is below [`firstlook_model::record::RECORD_LIMIT_BYTES`].
    pub records: Vec<Record>,
    /// To be stored in one write with `records`: where readers go on when those are durable, one per
    /// reader; and `templates:<n>`, for [`Pipeline::restore`].
    pub checkpoints: Vec<Checkpoint>,
}

/// What has passed since the pipeline was built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames taken.
    pub frames: u64,
    /// Lines pushed.
    pub lines: u64,
    /// Lines kept.
    pub lines_kept: u64,
    /// Lines in which a secret was found.
    pub lines_redacted: u64,
    /// Lines dropped over their component's rate.
    pub lines_over_rate: u64,
    /// Items dropped because too much was pending.
    pub over_pending: u64,
    /// Lines of no template of their own, budgets being spent.
    pub lines_other_template: u64,
    /// Templates now held.
    pub templates: u64,
    /// Records flushed.
    pub records: u64,
}

/// Turns observations into records. Pure: time comes as an argument, and the same calls give the same
/// records.
#[derive(Debug)]
pub struct Pipeline {
    logs: Logs,
    log_batch: LogBatch,
    metrics: Metrics,
    edges: Vec<EdgeObservation>,
    units: Vec<UnitState>,
    changes: Vec<Change>,
    inventory: Option<Inventory>,
    losses: LossLedger,
    counters: Counters,
    pending_bytes: usize,
    pending_limit_bytes: usize,
    announce_every: std::time::Duration,
    /// Time of the last flush, for losses of what has no time of its own.
    now: Timestamp,
}

/// What is dropped first when too much is pending.
#[derive(Clone, Copy)]
enum Dear {
    Lines,
    Samples,
    Facts,
}

impl Pipeline {
    /// An empty pipeline.
    ///
    /// # Errors
    /// When a rule of redaction cannot be used.
    pub fn new(config: PipelineConfig) -> Result<Self, PipelineError> {
        let redactor = Redactor::new(&config.redact_rules)?;
        Ok(Self {
            logs: Logs::new(&config, redactor),
            log_batch: LogBatch::default(),
            metrics: Metrics::default(),
            edges: Vec::new(),
            units: Vec::new(),
            changes: Vec::new(),
            inventory: None,
            losses: LossLedger::default(),
            counters: Counters::default(),
            pending_bytes: 0,
            pending_limit_bytes: config.pending_limit_bytes,
            announce_every: config.announce_every,
            now: Timestamp::default(),
        })
    }

    /// Goes on with the templates of an earlier pipeline, so that lines keep their templates' ids. `load` gives
    /// the position of a checkpoint that an earlier flush returned, by its name.
    pub fn restore(&mut self, load: impl FnMut(&str) -> Option<Vec<u8>>, now: Timestamp) {
        self.logs.miner.restore(load, now);
    }

    /// Takes an observation. What does not fit is dropped and counted.
    pub fn push(&mut self, observation: Observation) {
        match observation {
            Observation::Frame(frame) => {
                let (time, samples) = (frame.time, frame.values.len());
                if !self.room(Dear::Samples, "metrics", samples, time) {
                    return;
                }
                match self.metrics.push(frame) {
                    Ok(bytes) => {
                        self.pending_bytes += bytes;
                        self.counters.frames += 1;
                    }
                    Err(why) => {
                        let samples = samples as u64;
                        self.losses.lose("metrics", why.reason(), samples, 0, time);
                    }
                }
            }
            Observation::Lines(lines) => self.push_lines(lines),
            Observation::Edges(edges) => {
                let time = edges.last().map_or(self.now, |e| e.time);
                if self.room(Dear::Samples, "edges", edges.len(), time) {
                    self.pending_bytes += edges.iter().map(Weight::bytes).sum::<usize>();
                    self.edges.extend(edges);
                }
            }
            Observation::Units(units) => self.push_units(units),
            Observation::Changes(changes) => self.push_changes(changes),
            Observation::Inventory(inventory) => self.push_inventory(*inventory),
            Observation::Losses(losses) => losses.into_iter().for_each(|l| self.losses.add(l)),
        }
    }

    /// Ends the batch. To be called about every two seconds, and once more before the end.
    pub fn flush(&mut self, now: Timestamp) -> Flushed {
        let mut records = self.metrics.take(now, self.announce_every);
        let (edges, units) = (
            std::mem::take(&mut self.edges),
            std::mem::take(&mut self.units),
        );
        let changes = std::mem::take(&mut self.changes);
        records.extend(self.inventory.take().map(Record::Inventory));
        records.extend(lists(units).into_iter().map(Record::Units));
        records.extend(lists(changes).into_iter().map(Record::Changes));
        records.extend(lists(edges).into_iter().map(Record::Edges));
        records.extend(self.log_batch.take());
        let losses = self.losses.take();
        if !losses.is_empty() {
            records.push(Record::Losses(losses));
        }
        let templates = self.logs.miner.kept();
        self.logs.next_window(now);
        self.now = now;
        self.pending_bytes = 0;
        self.counters.records += records.len() as u64;
        let mut checkpoints = self.logs.take_checkpoints();
        checkpoints.extend(templates);
        Flushed {
            records,
            checkpoints,
        }
    }

    /// Roughly how many bytes the next flush will return.
    pub fn pending_bytes(&self) -> usize {
        self.pending_bytes
    }

    /// What has passed so far.
    pub fn counters(&self) -> Counters {
        Counters {
            lines_other_template: self.logs.miner.other_lines(),
            templates: self.logs.miner.templates() as u64,
            ..self.counters
        }
    }

    /// Goes on with another budget of lines and other rules of redaction. What was pushed before is as it was.
    ///
    /// # Errors
    /// When a rule cannot be used; then nothing has changed.
    pub fn retune(&mut self, lines: LineBudget, rules: &[Rule]) -> Result<(), PipelineError> {
        self.logs.redactor = Redactor::new(rules)?;
        self.logs.set_budget(lines);
        Ok(())
    }

    /// The redactor, for what leaves the host by another way, as snapshots do.
    pub fn redactor(&self) -> &Redactor {
        &self.logs.redactor
    }

    fn push_lines(&mut self, lines: Lines) {
        for raw in lines.lines {
            self.counters.lines += 1;
            let (time, bytes) = (raw.time, raw.text.len() as u64);
            if self.pending_bytes >= self.allowed(Dear::Lines) {
                self.counters.over_pending += 1;
                self.losses.lose("logs", "pending", 1, bytes, time);
                continue;
            }
            let (outcome, marks) = self.logs.line(raw);
            self.counters.lines_redacted += u64::from(marks.redacted);
            match outcome {
                Outcome::Kept(entry, template) => {
                    self.counters.lines_kept += 1;
                    self.pending_bytes += entry.bytes();
                    self.pending_bytes += template.as_ref().map_or(0, Weight::bytes);
                    self.log_batch.push(entry, template);
                }
                Outcome::OverRate => {
                    self.counters.lines_over_rate += 1;
                    self.losses.lose("logs", "rate", 1, bytes, time);
                }
                // Says nothing; a loss would say more than the line did.
                Outcome::Blank => {}
            }
        }
        for checkpoint in lines.checkpoints {
            if !self.logs.checkpoint(checkpoint) {
                self.losses.lose("checkpoints", "limit", 1, 0, self.now);
            }
        }
    }

    fn push_units(&mut self, mut units: Vec<UnitState>) {
        let time = units.last().map_or(self.now, |u| u.time);
        if !self.room(Dear::Facts, "units", units.len(), time) {
            return;
        }
        let cut = units
            .iter_mut()
            .filter_map(|u| fit_unit(u).then_some(()))
            .count();
        self.count_cut("units", cut as u64, time);
        self.pending_bytes += units.iter().map(Weight::bytes).sum::<usize>();
        self.units.extend(units);
    }

    fn push_changes(&mut self, mut changes: Vec<Change>) {
        let time = changes.last().map_or(self.now, |c| c.time);
        if !self.room(Dear::Facts, "changes", changes.len(), time) {
            return;
        }
        for change in &mut changes {
            change.text = self.logs.redactor.line(&change.text).into_owned();
            change.detail = self.logs.redactor.text(&change.detail);
            let cut = fit_change(change);
            self.count_cut("changes", u64::from(cut), time);
        }
        self.pending_bytes += changes.iter().map(Weight::bytes).sum::<usize>();
        self.changes.extend(changes);
    }

    /// The last inventory of a batch is the one that counts.
    fn push_inventory(&mut self, mut inventory: Inventory) {
        let cut = fit_inventory(&mut inventory);
        self.count_cut("inventory", cut, inventory.time);
        self.inventory = Some(inventory);
    }

    fn count_cut(&mut self, source: &str, count: u64, time: Timestamp) {
        if count > 0 {
            self.losses.lose(source, "limit", count, 0, time);
        }
    }

    /// How much may be pending before this is dropped.
    fn allowed(&self, dear: Dear) -> usize {
        match dear {
            Dear::Lines => self.pending_limit_bytes / 2,
            Dear::Samples => self.pending_limit_bytes / 4 * 3,
            Dear::Facts => self.pending_limit_bytes,
        }
    }

    /// Whether there is room; counts the loss of `count` items where there is not.
    fn room(&mut self, dear: Dear, source: &str, count: usize, time: Timestamp) -> bool {
        let room = self.pending_bytes < self.allowed(dear);
        if !room {
            self.counters.over_pending += count as u64;
            self.losses.lose(source, "pending", count as u64, 0, time);
        }
        room
    }
}
