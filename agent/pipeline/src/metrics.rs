//! Frames of one schema become one block of columns.

use std::sync::Arc;
use std::time::Duration;

use firstlook_model::{
    Columns, Frame, MetricBlock, Record, Schema, SchemaId, Timestamp,
    block::BLOCK_TIMES_LIMIT,
    signal::{SERIES_LIMIT, SIGNAL_NAME_LIMIT_BYTES},
};

use crate::batch::{BATCH_BYTES, Weight};

/// Most schemas whose announcement is remembered; others are announced whenever they are used.
const ANNOUNCED_LIMIT: usize = 16;

/// Why a frame was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It holds more or fewer values than its schema has series.
    Shape,
    /// Its schema has no series or too many, or is too large for a record.
    SchemaLimit,
    /// A frame of the same millisecond came before.
    SameTime,
}

impl Refused {
    pub fn reason(self) -> &'static str {
        match self {
            Self::Shape => "shape",
            Self::SchemaLimit => "schema-limit",
            Self::SameTime => "same-time",
        }
    }
}

/// Gathers frames.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// Schemas and blocks of the frames so far, in order of coming.
    blocks: Vec<(Arc<Schema>, MetricBlock)>,
    announced: Vec<(SchemaId, Timestamp)>,
}

impl Metrics {
    /// Adds a frame to the open block, or opens another. Says how many bytes it takes.
    pub fn push(&mut self, frame: Frame) -> Result<usize, Refused> {
        let series = frame.schema.series().len();
        if frame.values.len() != series {
            return Err(Refused::Shape);
        }
        let bytes = series * size_of::<f64>();
        if let Some((schema, block)) = self.blocks.last_mut()
            && (Arc::ptr_eq(schema, &frame.schema) || schema.id() == frame.schema.id())
        {
            let last = block.times.last().map_or(i64::MIN, |t| t.as_millis());
            let time = frame.time.as_millis();
            if time == last {
                return Err(Refused::SameTime);
            }
            // A clock that stepped back begins a block of its own: times rise within a block.
            let room = block.times.len() < times_limit(series);
            if time > last && room && block.columns.push_row(&frame.values) {
                block.times.push(frame.time);
                return Ok(bytes);
            }
        } else if !fits(&frame.schema) {
            return Err(Refused::SchemaLimit);
        }
        let block = MetricBlock {
            schema: frame.schema.id(),
            times: vec![frame.time],
            columns: Columns::from_row(frame.values),
        };
        self.blocks.push((frame.schema, block));
        Ok(bytes)
    }

    /// Blocks in order, each schema before its first block if it was not announced for `again`.
    pub fn take(&mut self, now: Timestamp, again: Duration) -> Vec<Record> {
        let mut records = Vec::new();
        for (schema, block) in std::mem::take(&mut self.blocks) {
            let known = self
                .announced
                .iter()
                .position(|(id, at)| *id == schema.id() && now.since(*at) < again && *at <= now);
            if known.is_none() {
                self.announced.retain(|(id, _)| *id != schema.id());
                if self.announced.len() >= ANNOUNCED_LIMIT {
                    self.announced.remove(0);
                }
                self.announced.push((schema.id(), now));
                records.push(Record::Schema(Schema::clone(&schema)));
            }
            records.push(Record::Metrics(block));
        }
        records
    }
}

/// How many times of `series` values fit a record even if they do not compress.
fn times_limit(series: usize) -> usize {
    (BATCH_BYTES / (series.max(1) * size_of::<f64>())).clamp(1, BLOCK_TIMES_LIMIT)
}

fn fits(schema: &Schema) -> bool {
    let series = schema.series();
    let bytes: usize = series
        .iter()
        .map(|s| s.component.bytes() + s.signal.len() + 16)
        .sum();
    let named = series
        .iter()
        .all(|s| s.signal.len() <= SIGNAL_NAME_LIMIT_BYTES);
    (1..=SERIES_LIMIT).contains(&series.len()) && named && bytes <= 3 * BATCH_BYTES
}
