//! What comes in, and how it becomes stored values.

use std::collections::BTreeMap;

use bytes::Bytes;
use firstlook_model::{
    Epoch, HostId, LogBlock, LogEntry, LogTemplate, MetricBlock, Record, Sequence, Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::error::Corrupt;
use crate::key::{Key, Kind, window_of};
use crate::value::{Piece, encode_events, encode_metrics};

/// Compression of values as they come in; they are short-lived.
const LEVEL: i32 = 1;

/// A record on its way into the store.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming {
    /// A metric block with its encoding, so that it is stored as it came.
    Metrics {
        /// What [`MetricBlock::decode`] made `block` from.
        bytes: Bytes,
        /// The block.
        block: MetricBlock,
    },
    /// Any record. A metric block given this way is encoded anew.
    Other(Record),
}

impl Incoming {
    /// A record as decoding gave it: with `bytes` where it is a metric block whose encoding is at hand.
    pub fn new(record: Record, bytes: Option<Bytes>) -> Self {
        match (record, bytes) {
            (Record::Metrics(block), Some(bytes)) => Self::Metrics { bytes, block },
            (record, _) => Self::Other(record),
        }
    }

    /// The record, decoded.
    pub fn into_record(self) -> Record {
        match self {
            Self::Metrics { block, .. } => Record::Metrics(block),
            Self::Other(record) => record,
        }
    }
}

/// Where a record comes from.
pub(crate) struct Origin<'a> {
    pub host: &'a HostId,
    pub epoch: Epoch,
    pub sequence: Sequence,
    pub received: Timestamp,
}

/// Log lines as their text form holds them.
#[derive(Serialize, Deserialize)]
pub(crate) struct StoredLogs {
    pub templates: Vec<LogTemplate>,
    pub entries: Vec<LogEntry>,
}

impl Origin<'_> {
    /// The values to store for a record: none for a schema, one per window otherwise.
    pub(crate) fn values(&self, incoming: &Incoming) -> Result<Vec<(Key, Vec<u8>)>, Corrupt> {
        let record = match incoming {
            Incoming::Metrics { bytes, block } => return self.metrics(block, Some(bytes)),
            Incoming::Other(record) => record,
        };
        match record {
            Record::Schema(_) => Ok(Vec::new()),
            Record::Metrics(block) => self.metrics(block, None),
            Record::Logs(block) => self.logs(block),
            Record::Edges(edges) => self.events(Kind::Edges, edges, |edge| edge.time),
            Record::Units(units) => self.events(Kind::Units, units, |unit| unit.time),
            Record::Changes(changes) => self.events(Kind::Changes, changes, |change| change.time),
            Record::Losses(losses) => self.events(Kind::Losses, losses, |loss| loss.to),
            Record::Inventory(inventory) => self.events(
                Kind::Inventory,
                std::slice::from_ref(inventory),
                |inventory| inventory.time,
            ),
        }
    }

    fn metrics(
        &self,
        block: &MetricBlock,
        bytes: Option<&[u8]>,
    ) -> Result<Vec<(Key, Vec<u8>)>, Corrupt> {
        let mut values = Vec::with_capacity(1);
        let mut rows = 0..0;
        while rows.end < block.times.len() {
            let window = window_of(block.times[rows.end]);
            let rest = &block.times[rows.end..];
            let length = rest.partition_point(|time| window_of(*time) == window);
            rows = rows.end..rows.end + length;
            let whole = length == block.times.len();
            let encoded = match bytes {
                Some(bytes) if whole => encode_metrics(&[self.piece(length)], bytes),
                _ => {
                    let part = block.slice(rows.clone()).encode(LEVEL)?;
                    encode_metrics(&[self.piece(length)], &part)
                }
            };
            values.push((self.key(Kind::Metrics, block.times[rows.start]), encoded));
        }
        Ok(values)
    }

    fn logs(&self, block: &LogBlock) -> Result<Vec<(Key, Vec<u8>)>, Corrupt> {
        let mut templates = block.templates.clone();
        self.grouped(
            Kind::Logs,
            &block.entries,
            |entry| entry.time,
            |entries| {
                serde_json::to_vec(&StoredLogs {
                    templates: std::mem::take(&mut templates),
                    entries: entries.into_iter().cloned().collect(),
                })
            },
        )
    }

    fn events<T: Serialize>(
        &self,
        kind: Kind,
        items: &[T],
        time: impl Fn(&T) -> Timestamp,
    ) -> Result<Vec<(Key, Vec<u8>)>, Corrupt> {
        self.grouped(kind, items, time, |items| serde_json::to_vec(&items))
    }

    fn grouped<'i, T>(
        &self,
        kind: Kind,
        items: &'i [T],
        time: impl Fn(&T) -> Timestamp,
        mut write: impl FnMut(Vec<&'i T>) -> serde_json::Result<Vec<u8>>,
    ) -> Result<Vec<(Key, Vec<u8>)>, Corrupt> {
        let mut windows: BTreeMap<i64, (Timestamp, Vec<&T>)> = BTreeMap::new();
        for item in items {
            let at = time(item);
            let (start, items) = windows.entry(window_of(at)).or_insert((at, Vec::new()));
            *start = at.min(*start);
            items.push(item);
        }
        let mut values = Vec::with_capacity(windows.len());
        for (start, items) in windows.into_values() {
            let text = write(items)?;
            let value = encode_events(&[self.piece(text.len())], &text, LEVEL)?;
            values.push((self.key(kind, start), value));
        }
        Ok(values)
    }

    fn piece(&self, size: usize) -> Piece {
        Piece {
            received: self.received,
            sequence: self.sequence,
            size,
        }
    }

    fn key(&self, kind: Kind, start: Timestamp) -> Key {
        Key {
            kind,
            host: self.host.clone(),
            start,
            received: self.received,
            sequence: self.sequence,
            epoch: self.epoch,
        }
    }
}
