//! Checks shared by all conversions.

use firstlook_model::block::BlockError;
use firstlook_model::{ComponentId, HostId, InvalidId, TimeRange, Timestamp};

use crate::wire;

/// A message that breaks the contract. No retry helps.
#[derive(Debug, thiserror::Error)]
pub enum InvalidMessage {
    /// The bytes are not the message that they should be.
    #[error("bytes do not decode as {0}")]
    Undecodable(&'static str, #[source] prost::DecodeError),
    /// A field that must be there is not.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A number or enumeration is outside what is allowed.
    #[error("{field} is {value}, which is not allowed")]
    OutOfRange {
        /// Which field.
        field: &'static str,
        /// What it held.
        value: i128,
    },
    /// A text or list is over its limit.
    #[error("{field} holds {length}, over the limit of {limit}")]
    TooLong {
        /// Which field.
        field: &'static str,
        /// Bytes of a text, or entries of a list.
        length: usize,
        /// Most allowed.
        limit: usize,
    },
    /// An identifier breaks its rule.
    #[error(transparent)]
    Id(#[from] InvalidId),
    /// A metric block does not decode.
    #[error("metric block does not decode")]
    Block(#[from] BlockError),
}

/// Short texts: names, states, reasons.
pub(super) const WORD_LIMIT_BYTES: usize = 1_024;
/// Long texts: diffs, template texts, lines.
pub(super) const TEXT_LIMIT_BYTES: usize = 64 * 1_024;
/// Entries of any list within one record.
pub(super) const LIST_LIMIT: usize = 50_000;

pub(super) fn text(
    field: &'static str,
    text: String,
    limit: usize,
) -> Result<String, InvalidMessage> {
    match text.len() <= limit {
        true => Ok(text),
        false => Err(InvalidMessage::TooLong {
            field,
            length: text.len(),
            limit,
        }),
    }
}

pub(super) fn word(field: &'static str, word: String) -> Result<String, InvalidMessage> {
    text(field, word, WORD_LIMIT_BYTES)
}

pub(super) fn long_text(field: &'static str, long: String) -> Result<String, InvalidMessage> {
    text(field, long, TEXT_LIMIT_BYTES)
}

/// Converts a list after checking its length.
pub(super) fn list<W, M>(
    field: &'static str,
    items: Vec<W>,
    limit: usize,
    convert: impl FnMut(W) -> Result<M, InvalidMessage>,
) -> Result<Vec<M>, InvalidMessage> {
    if items.len() > limit {
        return Err(InvalidMessage::TooLong {
            field,
            length: items.len(),
            limit,
        });
    }
    items.into_iter().map(convert).collect()
}

pub(super) fn component(text: String) -> Result<ComponentId, InvalidMessage> {
    Ok(ComponentId::try_from(text)?)
}

pub(super) fn host(text: String) -> Result<HostId, InvalidMessage> {
    Ok(HostId::new(text)?)
}

pub(super) fn port(field: &'static str, value: u32) -> Result<u16, InvalidMessage> {
    u16::try_from(value).map_err(|_| InvalidMessage::OutOfRange {
        field,
        value: value.into(),
    })
}

pub(super) fn finite(field: &'static str, value: f64) -> Result<f64, InvalidMessage> {
    match value.is_finite() {
        true => Ok(value),
        false => Err(InvalidMessage::OutOfRange { field, value: -1 }),
    }
}

pub(super) fn required<T>(field: &'static str, value: Option<T>) -> Result<T, InvalidMessage> {
    value.ok_or(InvalidMessage::Missing(field))
}

pub(super) fn range(range: wire::TimeRange) -> TimeRange {
    TimeRange::new(
        Timestamp::from_micros(range.from),
        Timestamp::from_micros(range.to),
    )
}
