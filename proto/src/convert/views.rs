//! Edges with both ends named, ranges and manifests, as responders see them.

use firstlook_model::{
    Edge, Manifest, MissingItem, SnapshotId, SnapshotItem, TimeRange, Timestamp,
};

use super::fields::{self, InvalidMessage, LIST_LIMIT};
use crate::wire;

/// A range for the wire.
pub fn range_to_wire(range: TimeRange) -> wire::TimeRange {
    wire::TimeRange {
        from: range.from.as_micros(),
        to: range.to.as_micros(),
    }
}

/// A range from the wire.
impl From<wire::TimeRange> for TimeRange {
    fn from(range: wire::TimeRange) -> Self {
        fields::range(range)
    }
}

/// An edge for the wire.
pub fn edge_to_wire(edge: &Edge) -> wire::Edge {
    wire::Edge {
        caller: edge.caller.to_string(),
        callee: edge.callee.to_string(),
        port: edge.port.into(),
        from_caller: edge.from_caller.as_ref().map(Into::into),
        from_callee: edge.from_callee.as_ref().map(Into::into),
        first_seen: edge.first_seen.as_micros(),
        last_seen: edge.last_seen.as_micros(),
    }
}

impl TryFrom<wire::Edge> for Edge {
    type Error = InvalidMessage;
    fn try_from(edge: wire::Edge) -> Result<Self, InvalidMessage> {
        Ok(Self {
            caller: fields::component(edge.caller)?,
            callee: fields::component(edge.callee)?,
            port: fields::port("edge port", edge.port)?,
            from_caller: edge.from_caller.map(TryInto::try_into).transpose()?,
            from_callee: edge.from_callee.map(TryInto::try_into).transpose()?,
            first_seen: Timestamp::from_micros(edge.first_seen),
            last_seen: Timestamp::from_micros(edge.last_seen),
        })
    }
}

/// A manifest for the wire.
pub fn manifest_to_wire(manifest: &Manifest) -> wire::Manifest {
    let items = manifest.items.iter().map(|item| wire::SnapshotItem {
        path: item.path.clone(),
        what: item.what.clone(),
        size_bytes: item.size_bytes,
        sha256: item.sha256.clone(),
        taken: item.taken.as_micros(),
        truncated: item.truncated,
    });
    let missing = manifest.missing.iter().map(|m| wire::MissingItem {
        what: m.what.clone(),
        why: m.why.clone(),
    });
    wire::Manifest {
        version: manifest.version,
        id: manifest.id.to_string(),
        host: manifest.host.to_string(),
        reason: manifest.reason.clone(),
        began: manifest.began.as_micros(),
        ended: manifest.ended.as_micros(),
        items: items.collect(),
        missing: missing.collect(),
    }
}

/// A manifest from the wire.
///
/// # Errors
/// When a name or a length breaks its rule.
pub fn manifest_from_wire(m: wire::Manifest) -> Result<Manifest, InvalidMessage> {
    Ok(Manifest {
        version: m.version,
        id: SnapshotId::new(m.id)?,
        host: fields::host(m.host)?,
        reason: fields::long_text("reason", m.reason)?,
        began: Timestamp::from_micros(m.began),
        ended: Timestamp::from_micros(m.ended),
        items: fields::list("items", m.items, LIST_LIMIT, |item| {
            Ok(SnapshotItem {
                path: fields::long_text("path", item.path)?,
                what: fields::long_text("item", item.what)?,
                size_bytes: item.size_bytes,
                sha256: fields::word("hash", item.sha256)?,
                taken: Timestamp::from_micros(item.taken),
                truncated: item.truncated,
            })
        })?,
        missing: fields::list("missing items", m.missing, LIST_LIMIT, |item| {
            Ok(MissingItem {
                what: fields::long_text("missing item", item.what)?,
                why: fields::long_text("reason", item.why)?,
            })
        })?,
    })
}
