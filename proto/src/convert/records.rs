//! Records, units, changes and losses.

use bytes::Bytes;
use firstlook_model::record::RECORD_LIMIT_BYTES;
use firstlook_model::{Change, Loss, MetricBlock, Record, Timestamp, UnitState};
use prost::Message;

use super::enums::Checked;
use super::fields::{self, InvalidMessage, LIST_LIMIT};
use crate::wire;
use crate::wire::record::Kind;

/// zstd level on the wire: the cheapest that packs well.
const WIRE_LEVEL: i32 = 1;

/// Encodes a record for the journal and the wire.
///
/// # Errors
/// When a metric block breaks its own limits, or the result is over [`RECORD_LIMIT_BYTES`].
pub fn encode_record(record: &Record) -> Result<Vec<u8>, InvalidMessage> {
    let kind = match record {
        Record::Schema(schema) => Kind::Schema(schema.into()),
        Record::Metrics(block) => Kind::Metrics(block.encode(WIRE_LEVEL)?.into()),
        Record::Logs(block) => Kind::Logs(block.into()),
        Record::Edges(edges) => Kind::Edges(wire::EdgeObservations {
            edges: edges.iter().map(Into::into).collect(),
        }),
        Record::Units(units) => Kind::Units(wire::UnitStates {
            units: units.iter().map(Into::into).collect(),
        }),
        Record::Changes(changes) => Kind::Changes(wire::Changes {
            changes: changes.iter().map(Into::into).collect(),
        }),
        Record::Inventory(inventory) => Kind::Inventory(inventory.into()),
        Record::Losses(losses) => Kind::Losses(wire::Losses {
            losses: losses.iter().map(Into::into).collect(),
        }),
    };
    let bytes = wire::Record { kind: Some(kind) }.encode_to_vec();
    check_length(bytes.len())?;
    Ok(bytes)
}

/// Decodes and checks a record. For metrics also gives the block's bytes as they came, a part of `bytes`.
///
/// # Errors
/// [`InvalidMessage`] for anything that [`encode_record`] does not write.
pub fn decode_record(bytes: Bytes) -> Result<(Record, Option<Bytes>), InvalidMessage> {
    check_length(bytes.len())?;
    let record =
        wire::Record::decode(bytes).map_err(|e| InvalidMessage::Undecodable("a record", e))?;
    let record = match fields::required("record kind", record.kind)? {
        Kind::Schema(schema) => Record::Schema(schema.try_into()?),
        Kind::Metrics(bytes) => {
            let block = MetricBlock::decode(&bytes)?;
            return Ok((Record::Metrics(block), Some(bytes)));
        }
        Kind::Logs(block) => Record::Logs(block.try_into()?),
        Kind::Edges(e) => Record::Edges(fields::list(
            "edges",
            e.edges,
            LIST_LIMIT,
            TryInto::try_into,
        )?),
        Kind::Units(u) => Record::Units(fields::list(
            "units",
            u.units,
            LIST_LIMIT,
            TryInto::try_into,
        )?),
        Kind::Changes(c) => Record::Changes(fields::list(
            "changes",
            c.changes,
            LIST_LIMIT,
            TryInto::try_into,
        )?),
        Kind::Inventory(inventory) => Record::Inventory(inventory.try_into()?),
        Kind::Losses(l) => Record::Losses(fields::list(
            "losses",
            l.losses,
            LIST_LIMIT,
            TryInto::try_into,
        )?),
    };
    Ok((record, None))
}

fn check_length(length: usize) -> Result<(), InvalidMessage> {
    match length <= RECORD_LIMIT_BYTES {
        true => Ok(()),
        false => Err(InvalidMessage::TooLong {
            field: "record",
            length,
            limit: RECORD_LIMIT_BYTES,
        }),
    }
}

impl From<&UnitState> for wire::UnitState {
    fn from(unit: &UnitState) -> Self {
        Self {
            component: unit.component.to_string(),
            time: unit.time.as_micros(),
            active: wire::ActiveState::from(unit.active).into(),
            sub: unit.sub.clone(),
            result: unit.result.clone(),
            restarts: unit.restarts,
            main_pid: unit.main_pid,
            exit_code: unit.exit_code,
            exit_status: unit.exit_status,
            since: unit.since.map(Timestamp::as_micros),
            wanted: unit.wanted,
            invocation: unit.invocation.clone(),
        }
    }
}

impl TryFrom<wire::UnitState> for UnitState {
    type Error = InvalidMessage;
    fn try_from(unit: wire::UnitState) -> Result<Self, InvalidMessage> {
        Ok(Self {
            component: fields::component(unit.component)?,
            time: Timestamp::from_micros(unit.time),
            active: wire::ActiveState::checked(unit.active)?,
            sub: fields::word("sub state", unit.sub)?,
            result: fields::word("unit result", unit.result)?,
            restarts: unit.restarts,
            main_pid: unit.main_pid,
            exit_code: unit.exit_code,
            exit_status: unit.exit_status,
            since: unit.since.map(Timestamp::from_micros),
            wanted: unit.wanted,
            invocation: fields::word("invocation", unit.invocation)?,
        })
    }
}

impl From<&Change> for wire::Change {
    fn from(change: &Change) -> Self {
        Self {
            id: change.id.clone(),
            time: change.time.as_micros(),
            component: change.component.to_string(),
            kind: wire::ChangeKind::from(change.kind).into(),
            text: change.text.clone(),
            detail: change.detail.clone(),
        }
    }
}

impl TryFrom<wire::Change> for Change {
    type Error = InvalidMessage;
    fn try_from(change: wire::Change) -> Result<Self, InvalidMessage> {
        Ok(Self {
            id: fields::word("change id", change.id)?,
            time: Timestamp::from_micros(change.time),
            component: fields::component(change.component)?,
            kind: wire::ChangeKind::checked(change.kind)?,
            text: fields::long_text("change text", change.text)?,
            detail: fields::long_text("change detail", change.detail)?,
        })
    }
}

impl From<&Loss> for wire::Loss {
    fn from(loss: &Loss) -> Self {
        Self {
            source: loss.source.clone(),
            reason: loss.reason.clone(),
            count: loss.count,
            bytes: loss.bytes,
            from: loss.from.as_micros(),
            to: loss.to.as_micros(),
        }
    }
}

impl TryFrom<wire::Loss> for Loss {
    type Error = InvalidMessage;
    fn try_from(loss: wire::Loss) -> Result<Self, InvalidMessage> {
        Ok(Self {
            source: fields::word("loss source", loss.source)?,
            reason: fields::word("loss reason", loss.reason)?,
            count: loss.count,
            bytes: loss.bytes,
            from: Timestamp::from_micros(loss.from),
            to: Timestamp::from_micros(loss.to),
        })
    }
}

#[cfg(test)]
mod tests;
