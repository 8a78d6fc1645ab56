//! The encoding that `block.rs` describes.

use super::{BLOCK_BODY_LIMIT_BYTES, BLOCK_TIMES_LIMIT, Columns, MetricBlock};
use crate::compression;
use crate::id::SchemaId;
use crate::signal::SERIES_LIMIT;
use crate::time::Timestamp;

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 5;
const HAS_GAPS: u8 = 0x80;
const NONE: u8 = 0;
const CONSTANT: u8 = 1;
const RAW: u8 = 5;
/// Tags 2, 3, 4 and the factor that makes their values whole.
const SCALES: [(u8, f64); 3] = [(2, 1.0), (3, 1e2), (4, 1e6)];
/// Beyond 2^53 doubles skip whole numbers.
const EXACT_LIMIT: f64 = 9_007_199_254_740_992.0;

/// Why a block cannot be written or read. No retry helps.
#[derive(Debug, thiserror::Error)]
pub enum BlockError {
    /// The times are empty, too many, or do not rise.
    #[error("block has {0} times: 1 to {BLOCK_TIMES_LIMIT} strictly rising ones are allowed")]
    Times(usize),
    /// More columns than a host may have, or of another length than the times.
    #[error("block has {0} columns, over {SERIES_LIMIT} or not as long as its times")]
    Columns(usize),
    /// Written by something else, or by a newer version.
    #[error("block version {0} is not known")]
    Version(u8),
    /// The body is longer than the limit or than its header says.
    #[error("block body is over its limit of {BLOCK_BODY_LIMIT_BYTES} bytes or its stated length")]
    TooLong,
    /// The bytes end early or hold what the encoder never writes.
    #[error("block is malformed at {0}")]
    Malformed(&'static str),
    /// The compressor failed.
    #[error("block cannot be compressed or decompressed")]
    Compression(#[source] std::io::Error),
}

pub(super) fn encode(block: &MetricBlock, level: i32) -> Result<Vec<u8>, BlockError> {
    check_shape(block)?;
    let width = block.columns.width();
    let mut body = Vec::with_capacity(64 + width * (4 + block.times.len()));
    body.extend_from_slice(&block.schema.0.to_le_bytes());
    put_varint(&mut body, block.times.len() as u64);
    put_times(&mut body, &block.times);
    put_varint(&mut body, width as u64);
    let tags_at = body.len();
    body.resize(tags_at + width, NONE);
    for (index, column) in block.columns.iter().enumerate() {
        body[tags_at + index] = put_column(&mut body, column);
    }
    if body.len() > BLOCK_BODY_LIMIT_BYTES {
        return Err(BlockError::TooLong);
    }
    let mut out = Vec::with_capacity(HEADER_BYTES + body.len() / 2);
    out.push(VERSION);
    out.extend_from_slice(&(body.len() as u32).to_le_bytes());
    out.extend(compression::compress(&body, level).map_err(BlockError::Compression)?);
    Ok(out)
}

fn check_shape(block: &MetricBlock) -> Result<(), BlockError> {
    let rising = block
        .times
        .windows(2)
        .all(|w| w[0].as_millis() < w[1].as_millis());
    if block.times.is_empty() || block.times.len() > BLOCK_TIMES_LIMIT || !rising {
        return Err(BlockError::Times(block.times.len()));
    }
    let width = block.columns.width();
    // Without columns there are no rows to count.
    let even = width == 0 || block.columns.rows() == block.times.len();
    if !even || width > SERIES_LIMIT {
        return Err(BlockError::Columns(width));
    }
    Ok(())
}

fn put_times(body: &mut Vec<u8>, times: &[Timestamp]) {
    let (mut last, mut step) = (0i64, 0i64);
    for (index, time) in times.iter().map(|t| t.as_millis()).enumerate() {
        if index == 0 {
            put_varint(body, zigzag(time));
        } else {
            let next = time.wrapping_sub(last);
            put_varint(body, zigzag(next.wrapping_sub(step)));
            step = next;
        }
        last = time;
    }
}

/// Appends the values and returns the tag.
fn put_column(body: &mut Vec<u8>, column: &[f64]) -> u8 {
    let present = column.iter().filter(|v| !v.is_nan()).count();
    if present == 0 {
        return NONE;
    }
    let gaps = if present < column.len() { HAS_GAPS } else { 0 };
    if gaps != 0 {
        let start = body.len();
        body.resize(start + column.len().div_ceil(8), 0);
        for (index, _) in column.iter().enumerate().filter(|(_, v)| !v.is_nan()) {
            body[start + index / 8] |= 1 << (index % 8);
        }
    }
    let values = || column.iter().copied().filter(|v| !v.is_nan());
    let first = values().next().unwrap_or_default();
    if values().all(|v| v.to_bits() == first.to_bits()) {
        body.extend_from_slice(&first.to_le_bytes());
        return CONSTANT | gaps;
    }
    for (tag, scale) in SCALES {
        if values().all(|v| scaled(v, scale).is_some()) {
            let mut last = 0i64;
            for whole in values().filter_map(|v| scaled(v, scale)) {
                put_varint(body, zigzag(whole.wrapping_sub(last)));
                last = whole;
            }
            return tag | gaps;
        }
    }
    values().for_each(|v| body.extend_from_slice(&v.to_le_bytes()));
    RAW | gaps
}

/// `value * scale` as a whole number, if dividing it again gives the same bits.
fn scaled(value: f64, scale: f64) -> Option<i64> {
    let whole = (value * scale).round();
    let exact =
        whole.abs() < EXACT_LIMIT && (whole as i64 as f64 / scale).to_bits() == value.to_bits();
    exact.then_some(whole as i64)
}

pub(super) fn decode(bytes: &[u8]) -> Result<MetricBlock, BlockError> {
    let body = take_body(bytes)?;
    let mut reader = Reader(&body);
    let schema = SchemaId(u64::from_le_bytes(reader.array("schema id")?));
    let times = take_times(&mut reader)?;
    let width = reader.length("columns")?;
    if width > SERIES_LIMIT {
        return Err(BlockError::Columns(width));
    }
    let tags = reader.take(width, "tags")?;
    let mut values = vec![f64::NAN; width * times.len()];
    for (tag, column) in tags.iter().zip(values.chunks_exact_mut(times.len())) {
        take_column(&mut reader, *tag, column)?;
    }
    reader.end()?;
    Ok(MetricBlock {
        schema,
        columns: Columns::from_values(values, width, times.len()),
        times,
    })
}

fn take_body(bytes: &[u8]) -> Result<Vec<u8>, BlockError> {
    let header = bytes
        .get(..HEADER_BYTES)
        .ok_or(BlockError::Malformed("header"))?;
    if header[0] != VERSION {
        return Err(BlockError::Version(header[0]));
    }
    let stated = u32::from_le_bytes([header[1], header[2], header[3], header[4]]) as usize;
    if stated > BLOCK_BODY_LIMIT_BYTES {
        return Err(BlockError::TooLong);
    }
    let body =
        compression::decompress(&bytes[HEADER_BYTES..], stated).map_err(BlockError::Compression)?;
    if body.len() != stated {
        return Err(BlockError::TooLong);
    }
    Ok(body)
}

fn take_times(reader: &mut Reader<'_>) -> Result<Vec<Timestamp>, BlockError> {
    let count = reader.length("times")?;
    if count == 0 || count > BLOCK_TIMES_LIMIT {
        return Err(BlockError::Times(count));
    }
    let mut times = Vec::with_capacity(count);
    let (mut last, mut step) = (unzigzag(reader.varint("times")?), 0i64);
    times.push(last);
    for _ in 1..count {
        step = step.wrapping_add(unzigzag(reader.varint("times")?));
        last = last.wrapping_add(step);
        times.push(last);
    }
    let in_range = times.iter().all(|t| t.checked_mul(1_000).is_some());
    if !in_range || !times.windows(2).all(|w| w[0] < w[1]) {
        return Err(BlockError::Times(count));
    }
    Ok(times.into_iter().map(Timestamp::from_millis).collect())
}

/// Reads a column onto `values`, which are all NaN.
#[inline]
fn take_column(reader: &mut Reader<'_>, tag: u8, values: &mut [f64]) -> Result<(), BlockError> {
    match tag {
        NONE => {}
        CONSTANT => values.fill(f64::from_le_bytes(reader.array("constant")?)),
        tag if tag & HAS_GAPS == 0 => take_values(reader, tag, values.iter_mut())?,
        tag => {
            let bitmap = reader.take(values.len().div_ceil(8), "bitmap")?;
            let present = |index: usize| bitmap[index / 8] >> (index % 8) & 1 == 1;
            let slots = values.iter_mut().enumerate();
            let slots = slots.filter(|(index, _)| present(*index)).map(|(_, v)| v);
            match tag & !HAS_GAPS {
                CONSTANT => {
                    let value = f64::from_le_bytes(reader.array("constant")?);
                    slots.for_each(|slot| *slot = value);
                }
                kind => take_values(reader, kind, slots)?,
            }
        }
    }
    Ok(())
}

/// Reads one value into each slot.
#[inline]
fn take_values<'v>(
    reader: &mut Reader<'_>,
    kind: u8,
    slots: impl Iterator<Item = &'v mut f64>,
) -> Result<(), BlockError> {
    if kind == RAW {
        for slot in slots {
            *slot = f64::from_le_bytes(reader.array("raw")?);
        }
        return Ok(());
    }
    let (scale, mut whole) = (scale(kind)?, 0i64);
    for slot in slots {
        whole = whole.wrapping_add(unzigzag(reader.varint("values")?));
        *slot = whole as f64 / scale;
    }
    Ok(())
}

/// What whole numbers of this kind are divided by.
fn scale(kind: u8) -> Result<f64, BlockError> {
    let known = SCALES.into_iter().find(|(tag, _)| *tag == kind);
    known
        .map(|(_, scale)| scale)
        .ok_or(BlockError::Malformed("tag"))
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize, at: &'static str) -> Result<&'a [u8], BlockError> {
        let (head, rest) = self
            .0
            .split_at_checked(count)
            .ok_or(BlockError::Malformed(at))?;
        self.0 = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self, at: &'static str) -> Result<[u8; N], BlockError> {
        self.take(N, at)?
            .try_into()
            .map_err(|_| BlockError::Malformed(at))
    }

    #[inline]
    fn varint(&mut self, at: &'static str) -> Result<u64, BlockError> {
        // Most differences fit one byte.
        if let [byte @ ..0x80, rest @ ..] = self.0 {
            self.0 = rest;
            return Ok(u64::from(*byte));
        }
        self.long_varint(at)
    }

    fn long_varint(&mut self, at: &'static str) -> Result<u64, BlockError> {
        let mut value = 0u64;
        for (index, byte) in self.0.iter().take(10).enumerate() {
            let bits = u64::from(byte & 0x7f);
            if index == 9 && bits > 1 {
                break;
            }
            value |= bits << (7 * index);
            if byte & 0x80 == 0 {
                self.0 = &self.0[index + 1..];
                return Ok(value);
            }
        }
        Err(BlockError::Malformed(at))
    }

    fn end(&self) -> Result<(), BlockError> {
        match self.0 {
            [] => Ok(()),
            _ => Err(BlockError::Malformed("end")),
        }
    }

    fn length(&mut self, at: &'static str) -> Result<usize, BlockError> {
        usize::try_from(self.varint(at)?).map_err(|_| BlockError::Malformed(at))
    }
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn block(start: i64, steps: &[u16], columns: Vec<Vec<f64>>) -> MetricBlock {
        let mut at = start;
        let times = steps
            .iter()
            .map(|step| {
                at += i64::from(*step) + 1;
                Timestamp::from_millis(at)
            })
            .collect();
        MetricBlock {
            schema: SchemaId(7),
            times,
            columns: columns.try_into().unwrap(),
        }
    }

    /// A block with this body.
    fn packed(body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
        bytes.extend(zstd::bulk::compress(body, 1).unwrap());
        bytes
    }

    fn sample() -> impl Strategy<Value = f64> {
        prop_oneof![
            Just(f64::NAN),
            any::<f64>(),
            (-1_000_000i64..1_000_000).prop_map(|v| v as f64),
            (0i64..1_000_000_000).prop_map(|v| v as f64 / 100.0),
            Just(0.0),
            Just(-0.0),
        ]
    }

    proptest! {
        #[test]
        fn any_block_reads_back(
            (steps, columns) in (1usize..40).prop_flat_map(|n| (
                proptest::collection::vec(any::<u16>(), n),
                proptest::collection::vec(proptest::collection::vec(sample(), n), 0..12),
            )),
            start in -4_000_000_000_000i64..4_000_000_000_000,
        ) {
            let block = block(start, &steps, columns);
            let bytes = block.encode(1).unwrap();
            prop_assert_eq!(MetricBlock::decode(&bytes).unwrap(), block);
        }

        #[test]
        fn any_blocks_join_where_they_continue_one_another_and_stay_apart_elsewhere(
            first in (1usize..20).prop_flat_map(|n| (
                proptest::collection::vec(any::<u16>(), n),
                proptest::collection::vec(proptest::collection::vec(sample(), n), 3),
            )),
            second in (1usize..20).prop_flat_map(|n| (
                proptest::collection::vec(any::<u16>(), n),
                proptest::collection::vec(proptest::collection::vec(sample(), n), 3),
            )),
            start in 0i64..2_000_000,
        ) {
            let one = block(0, &first.0, first.1.clone());
            let two = block(start, &second.0, second.1.clone());
            let mut joined = one.clone();
            let apart = joined.append(two.clone());
            if one.times.last() < two.times.first() {
                prop_assert!(apart.is_none());
                let rows = one.times.len();
                prop_assert_eq!(joined.slice(0..rows), one);
                prop_assert_eq!(joined.slice(rows..joined.times.len()), two);
                let columns = first.1.iter().zip(&second.1).map(|(a, b)| [&a[..], &b[..]].concat());
                let whole = Columns::try_from(columns.collect::<Vec<_>>()).unwrap();
                prop_assert_eq!(&joined.columns, &whole);
                // Room behind its columns is not written.
                let plain = MetricBlock { columns: whole, ..joined.clone() };
                prop_assert_eq!(joined.encode(1).unwrap(), plain.encode(1).unwrap());
            } else {
                prop_assert_eq!(apart, Some(two));
                prop_assert_eq!(joined, one);
            }
        }

        #[test]
        fn bodies_cut_short_are_refused(
            columns in proptest::collection::vec(proptest::collection::vec(sample(), 9), 1..6),
            cut in any::<usize>(),
        ) {
            let whole = block(0, &[3; 9], columns).encode(1).unwrap();
            let body = take_body(&whole).unwrap();
            prop_assert!(MetricBlock::decode(&packed(&body[..cut % body.len()])).is_err());
            prop_assert!(MetricBlock::decode(&packed(&[&body[..], &[0]].concat())).is_err());
        }

        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = MetricBlock::decode(&bytes);
        }

        #[test]
        fn hostile_bodies_never_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = MetricBlock::decode(&packed(&body));
        }
    }

    #[test]
    fn counters_in_ticks_cost_about_a_byte_before_compression() {
        let values: Vec<f64> = (0..60).map(|i| 1_234.56 + f64::from(i) * 0.25).collect();
        let mut body = Vec::new();
        let tag = put_column(&mut body, &values);
        assert_eq!(tag, 3);
        assert!(body.len() < 70, "{} bytes", body.len());
    }

    /// One column of every kind, with gaps and without, byte for byte as version 1 is written.
    #[test]
    fn version_1_is_written_and_read_as_it_always_was() {
        let gap = f64::NAN;
        let columns = vec![
            vec![gap, gap, gap],
            vec![0.5, 0.5, 0.5],
            vec![7.0, 300.0, 299.0],
            vec![0.25, 0.5, 0.75],
            vec![0.000_001, 0.000_003, 0.0],
            vec![0.1 + 0.2, 1.0, 2.0],
            vec![gap, 2.5, 2.5],
            vec![1.0, gap, 3.0],
            vec![0.1 + 0.2, gap, 2.0],
        ];
        let block = block(1_000, &[0, 999, 1_009], columns);
        let body = take_body(&block.encode(1).unwrap()).unwrap();
        let mut expected = vec![7, 0, 0, 0, 0, 0, 0, 0, 3];
        // Zigzag: 1001, then steps of 1000 and 1010 as differences of steps.
        expected.extend([0xd2, 0x0f, 0xd0, 0x0f, 20]);
        expected.extend([9, 0, 1, 2, 3, 4, 5, 0x81, 0x82, 0x85]);
        expected.extend(0.5f64.to_le_bytes());
        expected.extend([14, 0xca, 0x04, 1]);
        expected.extend([50, 50, 50]);
        expected.extend([2, 4, 5]);
        [0.1 + 0.2, 1.0, 2.0]
            .iter()
            .for_each(|v: &f64| expected.extend(v.to_le_bytes()));
        expected.push(0b110);
        expected.extend(2.5f64.to_le_bytes());
        expected.extend([0b101, 2, 4]);
        expected.push(0b101);
        [0.1 + 0.2, 2.0]
            .iter()
            .for_each(|v: &f64| expected.extend(v.to_le_bytes()));
        assert_eq!(body, expected);
        assert_eq!(MetricBlock::decode(&packed(&body)).unwrap(), block);
    }

    #[test]
    fn columns_not_as_long_as_the_times_are_refused() {
        let mut block = block(0, &[1, 1], vec![vec![1.0, 2.0]]);
        block.columns = Columns::from_row(vec![1.0]);
        assert!(matches!(block.encode(1), Err(BlockError::Columns(1))));
    }

    #[test]
    fn a_body_larger_than_stated_is_refused() {
        let good = block(0, &[1, 1], vec![vec![1.0, 2.0]]).encode(1).unwrap();
        let mut lying = good.clone();
        lying[1..5].copy_from_slice(&4u32.to_le_bytes());
        assert!(MetricBlock::decode(&lying).is_err());
        let mut huge = good;
        huge[1..5].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(matches!(
            MetricBlock::decode(&huge),
            Err(BlockError::TooLong)
        ));
    }

    #[test]
    fn times_that_do_not_rise_are_refused() {
        let mut block = block(0, &[1, 1], vec![vec![1.0, 2.0]]);
        block.times[1] = block.times[0];
        assert!(matches!(block.encode(1), Err(BlockError::Times(2))));
    }
}
