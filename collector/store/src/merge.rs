//! Joining stored values into larger ones. Pure. Values are given in the order of their keys; the key of what
//! comes out is its first value's, with the earliest time at which a piece of it was received, so that a
//! replay opens it in time.

use crate::error::Corrupt;
use crate::key::Key;
use crate::value::{
    EventsValue, MetricsValue, PIECES_LIMIT, decode_metrics, encode_events, encode_metrics,
};

/// Compression of values that stay.
const LEVEL: i32 = 3;
/// Text after which a merged value is closed, so that reading one stays cheap.
const TEXT_BYTES: usize = 8 * 1024 * 1024;

/// Blocks that were joined as far as they continue one another.
#[derive(Default)]
pub(crate) struct JoinedMetrics(Vec<(Key, MetricsValue)>);

impl JoinedMetrics {
    /// Decodes a value onto the last one where it continues it. On an error nothing is added.
    pub(crate) fn push(&mut self, key: Key, bytes: &[u8]) -> Result<(), Corrupt> {
        let Some((last_key, last)) = self.0.last_mut() else {
            self.0.push((key, decode_metrics(bytes)?));
            return Ok(());
        };
        match last.decode_onto(bytes)? {
            None => last_key.received = last_key.received.min(key.received),
            Some(apart) => self.0.push((key, apart)),
        }
        Ok(())
    }

    /// What was joined, in the order of its first values.
    pub(crate) fn values(self) -> Vec<MetricsValue> {
        self.0.into_iter().map(|(_, value)| value).collect()
    }

    /// What was joined, schemas that took turns joined too, encoded to stay.
    pub(crate) fn encode(self) -> Result<Vec<(Key, Vec<u8>)>, Corrupt> {
        let mut open: Vec<(Key, MetricsValue)> = Vec::new();
        for (key, value) in self.0 {
            let schema = value.block.schema;
            let same = open.iter_mut().rfind(|(_, to)| to.block.schema == schema);
            let Some((first, to)) = same else {
                open.push((key, value));
                continue;
            };
            match to.append(value) {
                None => first.received = first.received.min(key.received),
                Some(apart) => open.push((key, apart)),
            }
        }
        open.into_iter()
            .map(|(key, value)| {
                let block = value.block.encode(LEVEL)?;
                Ok((key, encode_metrics(&value.pieces, &block)))
            })
            .collect()
    }
}

/// Joins texts.
pub(crate) fn merge_events(
    values: Vec<(Key, EventsValue)>,
) -> Result<Vec<(Key, Vec<u8>)>, Corrupt> {
    let mut open: Vec<(Key, EventsValue)> = Vec::new();
    for (key, value) in values {
        match open.last_mut() {
            Some((first, to))
                if to.text.len() + value.text.len() <= TEXT_BYTES
                    && to.pieces.len() + value.pieces.len() <= PIECES_LIMIT =>
            {
                first.received = first.received.min(key.received);
                to.pieces.extend(value.pieces);
                to.text.extend(value.text);
            }
            _ => open.push((key, value)),
        }
    }
    open.into_iter()
        .map(|(key, value)| Ok((key, encode_events(&value.pieces, &value.text, LEVEL)?)))
        .collect()
}
