//! Metric blocks: N samples of all series of a host, as columns, and their encoding.
//!
//! # Format, version 1
//! One version byte `1`, the length of the body as a little-endian `u32`, then the body compressed by
//! zstd. The body is
//! * the schema id, 8 bytes little-endian;
//! * the number of times as a varint, then the times in milliseconds since the Unix epoch: the first as
//!   a zigzag varint, the others as zigzag varints of the difference between successive steps;
//! * the number of columns as a varint, then one tag byte per column, then the columns' values.
//!
//! A tag's low three bits say how the present values are written, bit 7 that a bitmap of presence comes
//! first (one bit per time, least significant first; set means present):
//! `0` no value at all; `1` the same value throughout, as a raw double; `2`, `3`, `4` whole numbers,
//! hundredths, millionths: the first as a zigzag varint, then zigzag varints of differences; `5` raw doubles.
//! A number is only written as a multiple when it reads back to the same bits.
//!
//! Varints are LEB128. Everything is checked on reading: a block never allocates more than its limits say.

mod codec;
mod columns;

use std::ops::Range;

use crate::id::SchemaId;
use crate::time::Timestamp;

pub use codec::BlockError;
pub use columns::{Columns, UnevenColumns};

/// Most samples in time of one block.
pub const BLOCK_TIMES_LIMIT: usize = 600;
/// Largest body before compression, in bytes.
pub const BLOCK_BODY_LIMIT_BYTES: usize = 32 * 1024 * 1024;

/// Samples of all series of one schema at several times.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricBlock {
    /// Whose series the columns are.
    pub schema: SchemaId,
    /// Strictly rising, to the millisecond. Not empty, at most [`BLOCK_TIMES_LIMIT`].
    pub times: Vec<Timestamp>,
    /// In the schema's order, each with a value per time.
    pub columns: Columns,
}

impl MetricBlock {
    /// Encodes with zstd at `level` (1 is the wire's).
    ///
    /// # Errors
    /// When the block breaks its own limits or shape.
    pub fn encode(&self, level: i32) -> Result<Vec<u8>, BlockError> {
        codec::encode(self, level)
    }

    /// Decodes and checks.
    ///
    /// # Errors
    /// [`BlockError`] for anything that [`MetricBlock::encode`] does not write.
    pub fn decode(bytes: &[u8]) -> Result<Self, BlockError> {
        codec::decode(bytes)
    }

    /// Whether `next` continues this block: same schema and width, later times, and both together within
    /// [`BLOCK_TIMES_LIMIT`].
    pub fn is_continued_by(&self, next: &Self) -> bool {
        self.schema == next.schema
            && self.columns.width() == next.columns.width()
            && self.times.last() < next.times.first()
            && self.times.len() + next.times.len() <= BLOCK_TIMES_LIMIT
    }

    /// Adds the rows of `next` where it continues this block; otherwise gives it back.
    #[must_use]
    pub fn append(&mut self, next: Self) -> Option<Self> {
        if !self.is_continued_by(&next) || !self.columns.append(&next.columns) {
            return Some(next);
        }
        self.times.extend(next.times);
        None
    }

    /// Some rows, as a block.
    ///
    /// # Panics
    /// When there are not so many rows.
    pub fn slice(&self, rows: Range<usize>) -> Self {
        Self {
            schema: self.schema,
            times: self.times[rows.clone()].to_vec(),
            columns: self.columns.slice(rows),
        }
    }

    /// Samples that hold an observation.
    pub fn observed(&self) -> usize {
        self.columns
            .iter()
            .flatten()
            .filter(|v| !v.is_nan())
            .count()
    }
}
