//! Schemas: which series the columns of a host's metric blocks are.
//!
//! Key: the host's name, a zero byte, the schema's id as 8 big-endian bytes. Value: version byte `1`,
//! when it was last refreshed (microseconds, 8 bytes little-endian), the length of its text as a
//! little-endian `u32`, then the series as JSON, compressed by zstd.
//!
//! Agents send a schema again every ten minutes; the store refreshes its row at most once an hour, and
//! retention drops rows that nobody refreshed for the retention age and [`REFRESH`] twice over.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use firstlook_model::{HostId, Schema, SchemaId, Series, Timestamp, compression};

use crate::engine::{View, Write};
use crate::error::Corrupt;
use crate::stats::add;
use crate::store::Inner;
use crate::value::TEXT_LIMIT_BYTES;

/// How often a schema's row is refreshed while it is in use.
pub(crate) const REFRESH: Duration = Duration::from_secs(3600);
/// Most schemas remembered of one host; the one refreshed least recently goes first.
pub(crate) const SCHEMAS_LIMIT: usize = 1_024;
/// Schemas held decoded; all are let go when there are more.
const CACHE_LIMIT: usize = 4_096;
const VERSION: u8 = 1;
const LEVEL: i32 = 3;

pub(crate) type Cache = HashMap<(HostId, SchemaId), Arc<Vec<Series>>>;

fn key(host: &HostId, id: SchemaId) -> Vec<u8> {
    let mut key = prefix(host);
    key.extend(id.0.to_be_bytes());
    key
}

fn prefix(host: &HostId) -> Vec<u8> {
    let mut key = host.as_str().as_bytes().to_vec();
    key.push(0);
    key
}

pub(crate) fn decode_key(key: &[u8]) -> Result<(HostId, SchemaId), Corrupt> {
    let (host, id) = key.split_last_chunk::<8>().ok_or(Corrupt::Key)?;
    let name = host.strip_suffix(&[0]).ok_or(Corrupt::Key)?;
    let name = std::str::from_utf8(name).map_err(|_| Corrupt::Key)?;
    Ok((HostId::new(name)?, SchemaId(u64::from_be_bytes(*id))))
}

fn encode(series: &[Series], seen: Timestamp) -> Result<Vec<u8>, Corrupt> {
    let text = serde_json::to_vec(series)?;
    if text.len() > TEXT_LIMIT_BYTES {
        return Err(Corrupt::TooLong);
    }
    let mut bytes = vec![VERSION];
    bytes.extend(seen.as_micros().to_le_bytes());
    bytes.extend((text.len() as u32).to_le_bytes());
    bytes.extend(compression::compress(&text, LEVEL).map_err(Corrupt::Compression)?);
    Ok(bytes)
}

/// When a row was refreshed, and the rest of it.
pub(crate) fn decode_seen(bytes: &[u8]) -> Result<(Timestamp, &[u8]), Corrupt> {
    let (version, rest) = bytes.split_first().ok_or(Corrupt::Malformed("schema"))?;
    if *version != VERSION {
        return Err(Corrupt::Version(*version));
    }
    let (seen, rest) = rest
        .split_first_chunk()
        .ok_or(Corrupt::Malformed("schema"))?;
    Ok((Timestamp::from_micros(i64::from_le_bytes(*seen)), rest))
}

fn decode(bytes: &[u8]) -> Result<Vec<Series>, Corrupt> {
    let (_, rest) = decode_seen(bytes)?;
    let (stated, body) = rest
        .split_first_chunk()
        .ok_or(Corrupt::Malformed("schema"))?;
    let stated = u32::from_le_bytes(*stated) as usize;
    if stated > TEXT_LIMIT_BYTES {
        return Err(Corrupt::TooLong);
    }
    let text = compression::decompress(body, stated).map_err(Corrupt::Compression)?;
    Ok(serde_json::from_slice(&text)?)
}

impl Inner {
    /// Writes that store or refresh a schema; none when that is not due. `seen` is updated by the
    /// caller once they are durable.
    pub(crate) fn schema_writes(
        &self,
        host: &HostId,
        schema: &Schema,
        seen: &HashMap<SchemaId, Timestamp>,
        received: Timestamp,
    ) -> Result<Vec<Write>, Corrupt> {
        let fresh = |at: &Timestamp| received.since(*at) < REFRESH;
        if seen.get(&schema.id()).is_some_and(fresh) {
            return Ok(Vec::new());
        }
        let table = &self.tables.schemas;
        let value = encode(schema.series(), received)?;
        let mut writes = vec![Write::Put(table.clone(), key(host, schema.id()), value)];
        if seen.len() >= SCHEMAS_LIMIT
            && !seen.contains_key(&schema.id())
            && let Some((oldest, _)) = seen.iter().min_by_key(|(id, at)| (**at, **id))
        {
            writes.push(Write::Remove(table.clone(), key(host, *oldest)));
            add(&self.counters.evicted_schemas, 1);
        }
        Ok(writes)
    }

    /// Series of a schema in column order, if it is known.
    pub(crate) fn schema(
        &self,
        view: &View,
        host: &HostId,
        id: SchemaId,
    ) -> Option<Arc<Vec<Series>>> {
        let name = (host.clone(), id);
        if let Some(series) = self.schema_cache().get(&name) {
            return Some(series.clone());
        }
        let table = &self.tables.schemas;
        let key = key(host, id);
        let bytes = self.readable(view.get(table, &key))??;
        let series = match decode(&bytes) {
            Ok(series) => Arc::new(series),
            Err(error) => {
                self.quarantine(table, &key, &bytes, &error);
                return None;
            }
        };
        let mut cache = self.schema_cache();
        if cache.len() >= CACHE_LIMIT {
            cache.clear();
        }
        cache.insert(name, series.clone());
        Some(series)
    }

    /// Ids of a host's schemas.
    pub(crate) fn schema_ids(&self, host: &HostId) -> Vec<SchemaId> {
        let Some(entry) = self.hosts.get(host) else {
            return Vec::new();
        };
        let mut ids: Vec<_> = entry.state().schemas.keys().copied().collect();
        ids.sort();
        ids
    }

    /// Forgets schemas last refreshed before `before`.
    pub(crate) fn stale_schemas(&self, host: &HostId, before: Timestamp) -> Vec<Write> {
        let Some(entry) = self.hosts.get(host) else {
            return Vec::new();
        };
        let mut state = entry.state();
        let stale = |at: &Timestamp| *at < before;
        let ids: Vec<_> = state
            .schemas
            .extract_if(|_, at| stale(at))
            .map(|(id, _)| id)
            .collect();
        drop(state);
        let mut cache = self.schema_cache();
        ids.into_iter()
            .map(|id| {
                cache.remove(&(host.clone(), id));
                Write::Remove(self.tables.schemas.clone(), key(host, id))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use firstlook_model::{ComponentId, SignalKind, Unit};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_schema_reads_back(signals in proptest::collection::vec(".{1,40}", 0..20), at in any::<i64>()) {
            let host = HostId::new("h1").unwrap();
            let series: Vec<_> = signals.into_iter().map(|signal| Series {
                component: ComponentId::host(host.clone()),
                signal,
                unit: Unit::Bytes,
                kind: SignalKind::Gauge,
            }).collect();
            let seen = Timestamp::from_micros(at);
            let bytes = encode(&series, seen).unwrap();
            prop_assert_eq!(decode_seen(&bytes).unwrap().0, seen);
            prop_assert_eq!(decode(&bytes).unwrap(), series);
        }

        #[test]
        fn keys_read_back(id in any::<u64>()) {
            let host = HostId::new("db1.example").unwrap();
            prop_assert_eq!(decode_key(&key(&host, SchemaId(id))).unwrap(), (host, SchemaId(id)));
        }

        #[test]
        fn hostile_rows_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
            let _ = decode_key(&bytes);
        }
    }
}
