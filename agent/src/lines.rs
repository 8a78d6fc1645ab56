//! Log lines that the host itself keeps, read anew when somebody asks: what was never sent, or what stands around it.
//!
//! They go through a pipeline of their own, so that nothing leaves the host that would not leave it otherwise. Everything
//! is bounded: bytes and entries that are looked at, lines and bytes that are given.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use firstlook_model::{
    ComponentId, ComponentKind, Lines, LinesQuestion, LogBlock, LogEntry, LogSource, Observation,
    RawLine, Record, TimeRange, Timestamp,
};
use firstlook_pipeline::{LineBudget, Pipeline, PipelineConfig, Rule};
use firstlook_sources_events::{EventsConfig, KeptFile, kept_files, reread_journal};
use firstlook_uplink::LinesEvent;

mod file;

/// Entries of journal files that one request looks at, some seconds of work.
const ENTRIES_LIMIT: u64 = 300_000;
/// Bytes of log files that one request looks at.
const BYTES_LIMIT: u64 = 48 * 1024 * 1024;
/// Lines given at most.
pub const LINES_LIMIT: usize = 10_000;
/// Bytes of lines given at most.
const GIVEN_LIMIT_BYTES: usize = 4 * 1024 * 1024;
/// Lines and bytes that go through the pipeline at once.
const BATCH: usize = 1_000;
const BATCH_BYTES: usize = 1024 * 1024;
/// Lines of one message to the collector.
const PIECE_LINES: usize = 500;
const PIECE_BYTES: usize = 256 * 1024;
/// Words about what was not read.
const NOTES_LIMIT: usize = 16;

/// What is kept on this host, and how it is redacted.
#[derive(Clone)]
pub struct KeptLines {
    events: EventsConfig,
    rules: Vec<Rule>,
}

/// One answer being gathered.
struct Gathering<'a> {
    asked: &'a LinesQuestion,
    contains: String,
    pipeline: Pipeline,
    batch: Vec<RawLine>,
    batch_bytes: usize,
    found: BinaryHeap<Reverse<Found>>,
    bytes: usize,
    left_out: u64,
    seen: u64,
    /// Whether somebody still waits.
    wanted: &'a dyn Fn() -> bool,
}

/// Ordered by time, then by when it was met.
struct Found {
    key: (Timestamp, u64),
    entry: LogEntry,
}

impl PartialEq for Found {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Found {}

impl PartialOrd for Found {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Found {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.cmp(&other.key)
    }
}

impl KeptLines {
    /// Will read where `events` says.
    pub fn new(events: EventsConfig, rules: Vec<Rule>) -> Self {
        Self { events, rules }
    }

    /// Reads and gives the newest lines asked for, oldest first. `give` blocks; once it returns false, or `wanted` does, nobody
    /// listens any more.
    ///
    /// # Errors
    /// Why there are no lines, in words.
    pub fn read(
        &self,
        asked: &LinesQuestion,
        wanted: &dyn Fn() -> bool,
        give: &mut dyn FnMut(LinesEvent) -> bool,
    ) -> Result<(), String> {
        if asked.component.host_id() != Some(&self.events.host) {
            return Err(format!("{} is not of this host", asked.component));
        }
        // So that who asks knows that somebody reads.
        if !give(LinesEvent::Lines(LogBlock::default())) {
            return Ok(());
        }
        let mut gathering = self.gathering(asked, wanted)?;
        let mut notes = Vec::new();
        let unread = reread_journal(&self.events, asked.range, ENTRIES_LIMIT, &mut |line| {
            gathering.take(line)
        });
        notes.extend(unread.trouble);
        if let Some(beyond) = unread.beyond {
            notes.push(format!(
                "the journal was read to {beyond} only, {ENTRIES_LIMIT} entries: ask for a shorter time"
            ));
        }
        let mut budget = BYTES_LIMIT;
        for kept in self.files(&asked.component) {
            let read = file::read(&kept, asked.range, &mut budget, &mut |line| {
                gathering.take(line)
            });
            match read {
                Ok(note) => notes.extend(note),
                Err(error) => notes.push(format!("{}: {error}", kept.path.display())),
            }
        }
        gathering.flush();
        let over = notes.len().saturating_sub(NOTES_LIMIT);
        if over > 0 {
            notes.truncate(NOTES_LIMIT);
            notes.push(format!("and {over} more"));
        }
        gathering.finish(notes, give);
        Ok(())
    }

    fn gathering<'a>(
        &self,
        asked: &'a LinesQuestion,
        wanted: &'a dyn Fn() -> bool,
    ) -> Result<Gathering<'a>, String> {
        let config = PipelineConfig {
            redact_rules: self.rules.clone(),
            lines: LineBudget {
                lines_per_second: u32::MAX,
                ..LineBudget::default()
            },
            ..PipelineConfig::default()
        };
        Ok(Gathering {
            asked,
            contains: asked.contains.to_lowercase(),
            pipeline: Pipeline::new(config).map_err(|error| error.to_string())?,
            batch: Vec::with_capacity(BATCH),
            batch_bytes: 0,
            found: BinaryHeap::new(),
            bytes: 0,
            left_out: 0,
            seen: 0,
            wanted,
        })
    }

    /// Files that may hold lines of a component, the last written first.
    fn files(&self, component: &ComponentId) -> Vec<KeptFile> {
        let all = component.kind() == ComponentKind::Host;
        let mut files = kept_files(&self.events);
        files.retain(|file| all || file.component == *component);
        let written = |file: &KeptFile| {
            let meta = std::fs::metadata(&file.path);
            meta.and_then(|meta| meta.modified()).ok()
        };
        files.sort_by_cached_key(|file| (Reverse(written(file)), file.path.clone()));
        files
    }
}

impl Gathering<'_> {
    /// Takes a line that was read. False when nobody waits any more.
    fn take(&mut self, line: RawLine) -> bool {
        let of_host = self.asked.component.kind() == ComponentKind::Host;
        if !of_host && line.component != self.asked.component {
            self.seen += 1;
            return !self.seen.is_multiple_of(BATCH as u64) || (self.wanted)();
        }
        self.batch_bytes += line.text.len();
        self.batch.push(line);
        if self.batch.len() >= BATCH || self.batch_bytes >= BATCH_BYTES {
            self.flush();
            return (self.wanted)();
        }
        true
    }

    /// Redacts what was read, and keeps what is asked for.
    fn flush(&mut self) {
        let Some(now) = self.batch.last().map(|line| line.time) else {
            return;
        };
        self.batch_bytes = 0;
        self.pipeline.push(Observation::Lines(Lines {
            lines: std::mem::take(&mut self.batch),
            checkpoints: Vec::new(),
        }));
        for record in self.pipeline.flush(now).records {
            if let Record::Logs(block) = record {
                block.entries.into_iter().for_each(|entry| self.keep(entry));
            }
        }
    }

    fn keep(&mut self, entry: LogEntry) {
        let range = self.asked.range;
        let fits = range.from <= entry.time
            && entry.time < range.to
            && self
                .asked
                .severity
                .is_none_or(|least| entry.severity >= least)
            && (self.contains.is_empty() || entry.text.to_lowercase().contains(&self.contains));
        if !fits {
            return;
        }
        self.seen += 1;
        self.bytes += entry.text.len();
        let key = (entry.time, self.seen);
        self.found.push(Reverse(Found { key, entry }));
        let limit = (self.asked.limit as usize).clamp(1, LINES_LIMIT);
        while self.found.len() > limit || self.bytes > GIVEN_LIMIT_BYTES {
            let Some(Reverse(oldest)) = self.found.pop() else {
                return;
            };
            self.bytes -= oldest.entry.text.len();
            self.left_out += 1;
        }
    }

    /// Gives what was found in pieces, and the end.
    fn finish(self, notes: Vec<String>, give: &mut dyn FnMut(LinesEvent) -> bool) {
        let mut found = self.found.into_vec();
        found.sort_by_key(|Reverse(found)| found.key);
        let (mut piece, mut bytes) = (LogBlock::default(), 0);
        for Reverse(Found { entry, .. }) in found {
            bytes += entry.text.len();
            piece.entries.push(entry);
            if piece.entries.len() >= PIECE_LINES || bytes >= PIECE_BYTES {
                bytes = 0;
                if !give(LinesEvent::Lines(std::mem::take(&mut piece))) {
                    return;
                }
            }
        }
        if piece.entries.is_empty() || give(LinesEvent::Lines(piece)) {
            give(LinesEvent::End {
                left_out: self.left_out,
                notes,
            });
        }
    }
}

#[cfg(test)]
mod tests;
