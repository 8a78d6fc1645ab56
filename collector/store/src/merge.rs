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
    /// Decodes a value and joins it to the last one where it continues it. On an error nothing is added.
    pub(crate) fn push(&mut self, key: Key, bytes: &[u8]) -> Result<(), Corrupt> {
        let value = decode_metrics(bytes)?;
        let Some((last_key, last)) = self.0.last_mut() else {
            self.0.push((key, value));
            return Ok(());
        };
        match last.append(value) {
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

#[cfg(test)]
mod tests {
    use firstlook_model::{Epoch, HostId, MetricBlock, SchemaId, Sequence, Timestamp};

    use super::*;
    use crate::key::Kind;
    use crate::value::Piece;

    #[test]
    fn metrics_that_lie_about_their_size_leave_what_was_joined_as_it_was() {
        let mut joined = JoinedMetrics::default();
        let mut push = |from: i64, stated: usize| {
            let block = MetricBlock {
                schema: SchemaId(1),
                times: (from..from + 3).map(Timestamp::from_millis).collect(),
                columns: vec![vec![0.5; 3]; 2].try_into().unwrap(),
            };
            let (received, sequence) = (Timestamp::from_millis(from), Sequence(1));
            let piece = Piece {
                received,
                sequence,
                size: stated,
            };
            let key = Key {
                kind: Kind::Metrics,
                host: HostId::new("web-1").unwrap(),
                start: received,
                received,
                sequence,
                epoch: Epoch(1),
            };
            joined.push(key, &encode_metrics(&[piece], &block.encode(1).unwrap()))
        };
        push(0, 3).unwrap();
        assert!(push(10, 2).is_err());
        push(20, 3).unwrap();
        push(5, 3).unwrap();
        let sizes = |value: &MetricsValue| {
            let block = &value.block;
            (
                value.pieces.len(),
                block.times.len(),
                block.columns.get(1).map(<[f64]>::len),
            )
        };
        let values = joined.values();
        // Earlier ones stay apart.
        let sizes: Vec<_> = values.iter().map(sizes).collect();
        assert_eq!(sizes, [(2, 6, Some(6)), (1, 3, Some(3))]);
    }
}
