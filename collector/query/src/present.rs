//! Rows of the office as responders see them.

use std::time::Duration;

use firstlook_model::{HostId, Timestamp};
use firstlook_proto::wire;
use firstlook_store::Store;

use crate::configs::host_config;
use crate::office::{HostRow, SnapshotRow, TokenRow};
use crate::view::View;

/// How far back losses are shown with a host.
const LOSSES_SPAN: Duration = Duration::from_secs(3_600);

/// A host as responders see it. Reads the store: blocks.
pub fn host_view(row: &HostRow, view: &View, store: &Store, now: Timestamp) -> wire::HostView {
    let contact = view.contacts.get(&row.host);
    let span = firstlook_model::TimeRange::new(now.minus(LOSSES_SPAN), now);
    let losses = store
        .losses(span)
        .into_iter()
        .filter(|loss| loss.host == row.host);
    wire::HostView {
        host: row.host.to_string(),
        state: view.state(row).as_str().to_owned(),
        enrolled: row.enrolled.as_micros(),
        last_contact: contact.map(|t| t.as_micros()),
        clock_offset_micros: view.clock_offsets.get(&row.host).copied(),
        inventory: store
            .inventory(&row.host)
            .map(|stored| (&stored.item).into()),
        losses: losses.map(|stored| (&stored.item).into()).collect(),
        certificate_expires: row.certificate_expires.map(Timestamp::as_micros),
        config: row.config.as_ref().map(host_config),
    }
}

/// A token at `now`.
pub fn token_view(row: &TokenRow, now: Timestamp) -> wire::TokenView {
    let state = if row.revoked {
        "revoked"
    } else if row.used.is_some() {
        "used"
    } else if row.expires <= now {
        "expired"
    } else {
        "valid"
    };
    let name = |host: &Option<HostId>| host.as_ref().map(ToString::to_string).unwrap_or_default();
    wire::TokenView {
        id: row.id.clone(),
        host: name(&row.host),
        created: row.created.as_micros(),
        expires: row.expires.as_micros(),
        used: row.used.map(Timestamp::as_micros),
        used_by: name(&row.used_by),
        state: state.to_owned(),
        created_by: row.created_by.clone(),
    }
}

/// A snapshot.
pub fn snapshot_view(row: &SnapshotRow) -> wire::SnapshotView {
    wire::SnapshotView {
        id: row.manifest.id.to_string(),
        host: row.manifest.host.to_string(),
        taken: row.manifest.began.as_micros(),
        reason: row.manifest.reason.clone(),
        size_bytes: row.size_bytes,
        items: row.manifest.items.len() as u32,
        missing: row.manifest.missing.len() as u32,
        taken_by: row.taken_by.clone(),
        sha256: row.sha256.clone(),
    }
}
