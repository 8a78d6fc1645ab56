//! Stored values: one or many pieces, as they were received, in one compressed body.
//!
//! # Format, version 1
//! One version byte `1`; the number of pieces as a varint; then per piece, as varints, the zigzag
//! difference of its received time (microseconds) to the piece before, the zigzag difference of its
//! sequence, and its size: samples in time for metrics, bytes of its text otherwise. Then the body:
//! for metrics one metric block in the model's own encoding; otherwise the body's length before
//! compression as a little-endian `u32` and the pieces' texts (JSON), compressed by zstd.
//!
//! A value as it is committed has one piece. Compaction joins pieces and keeps their borders, so that
//! a replay gives the very batches that came.

use firstlook_model::block::BLOCK_BODY_LIMIT_BYTES;
use firstlook_model::{MetricBlock, Sequence, Timestamp, compression};

use crate::error::Corrupt;

const VERSION: u8 = 1;
/// Most pieces in one value.
pub(crate) const PIECES_LIMIT: usize = 4_096;
/// Bytes per sample that a block's body takes at most: a varint of ten.
const SAMPLE_BYTES: usize = 10;
/// Largest text of one value before compression.
pub(crate) const TEXT_LIMIT_BYTES: usize = 64 * 1024 * 1024;

/// Where a piece came from and how much of the body is its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub received: Timestamp,
    pub sequence: Sequence,
    /// Samples in time, or bytes of text.
    pub size: usize,
}

/// A value of metrics, with its block.
pub(crate) struct MetricsValue {
    pub pieces: Vec<Piece>,
    pub block: MetricBlock,
}

/// A value of events, with one text per piece.
#[derive(Debug, PartialEq)]
pub(crate) struct EventsValue {
    pub pieces: Vec<Piece>,
    pub text: Vec<u8>,
}

impl EventsValue {
    /// The pieces and their texts, in order.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (Piece, &[u8])> {
        let mut at = 0;
        self.pieces.iter().map(move |piece| {
            let from = at;
            at += piece.size;
            (*piece, &self.text[from..at])
        })
    }
}

/// Writes metrics: `block` is the encoding of a [`MetricBlock`] whose times are the pieces' in order.
pub(crate) fn encode_metrics(pieces: &[Piece], block: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(16 + pieces.len() * 6 + block.len());
    put_pieces(&mut out, pieces);
    out.extend_from_slice(block);
    out
}

/// Reads metrics.
pub(crate) fn decode_metrics(bytes: &[u8]) -> Result<MetricsValue, Corrupt> {
    let (pieces, body) = take_pieces(bytes)?;
    let block = MetricBlock::decode(body)?;
    if total(&pieces) != Some(block.times.len()) {
        return Err(Corrupt::Malformed("piece sizes"));
    }
    Ok(MetricsValue { pieces, block })
}

impl MetricsValue {
    /// Joins metrics that continue these while the whole keeps its limits; otherwise gives them back.
    pub(crate) fn append(&mut self, mut next: Self) -> Option<Self> {
        if self.has_room(&next) {
            match self.block.append(next.block) {
                None => {
                    self.pieces.extend(next.pieces);
                    return None;
                }
                Some(block) => next.block = block,
            }
        }
        Some(next)
    }

    fn has_room(&self, next: &Self) -> bool {
        let rows = self.block.times.len() + next.block.times.len();
        let bytes = rows.saturating_mul(self.block.columns.width() * SAMPLE_BYTES);
        self.pieces.len() + next.pieces.len() <= PIECES_LIMIT && bytes < BLOCK_BODY_LIMIT_BYTES / 2
    }
}

/// Writes events: `text` is the pieces' texts one after the other.
pub(crate) fn encode_events(pieces: &[Piece], text: &[u8], level: i32) -> Result<Vec<u8>, Corrupt> {
    if text.len() > TEXT_LIMIT_BYTES {
        return Err(Corrupt::TooLong);
    }
    let mut out = Vec::with_capacity(16 + pieces.len() * 6 + text.len() / 4);
    put_pieces(&mut out, pieces);
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend(compression::compress(text, level).map_err(Corrupt::Compression)?);
    Ok(out)
}

/// Reads events.
pub(crate) fn decode_events(bytes: &[u8]) -> Result<EventsValue, Corrupt> {
    let (pieces, body) = take_pieces(bytes)?;
    let (stated, body) = body
        .split_first_chunk::<4>()
        .ok_or(Corrupt::Malformed("length"))?;
    let stated = u32::from_le_bytes(*stated) as usize;
    if stated > TEXT_LIMIT_BYTES {
        return Err(Corrupt::TooLong);
    }
    let text = compression::decompress(body, stated).map_err(Corrupt::Compression)?;
    if text.len() != stated || total(&pieces) != Some(stated) {
        return Err(Corrupt::Malformed("piece sizes"));
    }
    Ok(EventsValue { pieces, text })
}

fn total(pieces: &[Piece]) -> Option<usize> {
    pieces
        .iter()
        .try_fold(0usize, |sum, piece| sum.checked_add(piece.size))
}

fn put_pieces(out: &mut Vec<u8>, pieces: &[Piece]) {
    out.push(VERSION);
    put_varint(out, pieces.len() as u64);
    let (mut received, mut sequence) = (0i64, 0u64);
    for piece in pieces {
        put_varint(
            out,
            zigzag(piece.received.as_micros().wrapping_sub(received)),
        );
        put_varint(out, zigzag(piece.sequence.0.wrapping_sub(sequence) as i64));
        put_varint(out, piece.size as u64);
        received = piece.received.as_micros();
        sequence = piece.sequence.0;
    }
}

fn take_pieces(bytes: &[u8]) -> Result<(Vec<Piece>, &[u8]), Corrupt> {
    let (version, mut rest) = bytes.split_first().ok_or(Corrupt::Malformed("version"))?;
    if *version != VERSION {
        return Err(Corrupt::Version(*version));
    }
    let count = take_length(&mut rest)?;
    if count == 0 || count > PIECES_LIMIT {
        return Err(Corrupt::Malformed("piece count"));
    }
    let mut pieces = Vec::with_capacity(count);
    let (mut received, mut sequence) = (0i64, 0u64);
    for _ in 0..count {
        received = received.wrapping_add(unzigzag(take_varint(&mut rest)?));
        sequence = sequence.wrapping_add(unzigzag(take_varint(&mut rest)?) as u64);
        pieces.push(Piece {
            received: Timestamp::from_micros(received),
            sequence: Sequence(sequence),
            size: take_length(&mut rest)?,
        });
    }
    Ok((pieces, rest))
}

fn take_length(bytes: &mut &[u8]) -> Result<usize, Corrupt> {
    usize::try_from(take_varint(bytes)?).map_err(|_| Corrupt::Malformed("length"))
}

fn take_varint(bytes: &mut &[u8]) -> Result<u64, Corrupt> {
    let mut value = 0u64;
    for (index, byte) in bytes.iter().take(10).enumerate() {
        let bits = u64::from(byte & 0x7f);
        if index == 9 && bits > 1 {
            break;
        }
        value |= bits << (7 * index);
        if byte & 0x80 == 0 {
            *bytes = &bytes[index + 1..];
            return Ok(value);
        }
    }
    Err(Corrupt::Malformed("varint"))
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
    use firstlook_model::SchemaId;
    use proptest::prelude::*;

    fn any_piece(size: usize) -> impl Strategy<Value = Piece> {
        any::<(i64, u64)>().prop_map(move |(received, sequence)| Piece {
            received: Timestamp::from_micros(received),
            sequence: Sequence(sequence),
            size,
        })
    }

    proptest! {
        #[test]
        fn any_events_read_back(
            texts in proptest::collection::vec(
                proptest::collection::vec(any::<u8>(), 0..200)
                    .prop_flat_map(|text| (any_piece(text.len()), Just(text))), 1..20),
        ) {
            let (pieces, texts): (Vec<_>, Vec<_>) = texts.into_iter().unzip();
            let value = decode_events(&encode_events(&pieces, &texts.concat(), 1).unwrap()).unwrap();
            let read: Vec<_> = value.texts().map(|(p, t)| (p, t.to_vec())).collect();
            let wrote: Vec<_> = pieces.into_iter().zip(texts).collect();
            prop_assert_eq!(read, wrote);
        }

        #[test]
        fn any_metrics_read_back(sizes in proptest::collection::vec(1usize..5, 1..20), at in any::<i64>()) {
            let pieces: Vec<_> = sizes.iter().enumerate().map(|(index, size)| Piece {
                received: Timestamp::from_micros(at.wrapping_add(index as i64)),
                sequence: Sequence(at as u64 ^ index as u64),
                size: *size,
            }).collect();
            let times = sizes.iter().sum::<usize>();
            let block = MetricBlock {
                schema: SchemaId(1),
                times: (0..times as i64).map(Timestamp::from_millis).collect(),
                columns: vec![vec![0.5; times]].try_into().unwrap(),
            };
            let bytes = encode_metrics(&pieces, &block.encode(1).unwrap());
            let value = decode_metrics(&bytes).unwrap();
            prop_assert_eq!(value.pieces, pieces);
            prop_assert_eq!(value.block, block);
        }

        #[test]
        fn hostile_values_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode_events(&bytes);
            let _ = decode_metrics(&bytes);
        }

        #[test]
        fn damaged_values_never_panic(flip in any::<(usize, u8)>(), cut in any::<usize>()) {
            let piece = Piece { received: Timestamp::from_secs(9), sequence: Sequence(3), size: 900 };
            let mut bytes = encode_events(&[piece], &[b'a'; 900], 1).unwrap();
            let at = flip.0 % bytes.len();
            bytes[at] ^= flip.1;
            bytes.truncate(cut % (bytes.len() + 1));
            let _ = decode_events(&bytes);
        }
    }

    #[test]
    fn sizes_that_do_not_add_up_are_refused() {
        let piece = |size| Piece {
            received: Timestamp::from_secs(1),
            sequence: Sequence(1),
            size,
        };
        let short = encode_events(&[piece(2)], b"abc", 1).unwrap();
        assert!(matches!(
            decode_events(&short),
            Err(Corrupt::Malformed("piece sizes"))
        ));
        let huge = encode_events(&[piece(usize::MAX), piece(4)], b"abc", 1).unwrap();
        assert!(matches!(
            decode_events(&huge),
            Err(Corrupt::Malformed("piece sizes"))
        ));
    }
}
