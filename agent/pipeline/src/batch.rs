//! Cutting what was gathered into records that fit.

use firstlook_model::{
    Change, ComponentId, EdgeObservation, Inventory, LogBlock, LogEntry, LogTemplate, Record,
    UnitState, log::LOG_BLOCK_LIMIT_ENTRIES,
};

use crate::losses::clip;

/// What a record is cut at, by estimate: a quarter of what is allowed, because estimates err.
pub(crate) const BATCH_BYTES: usize = firstlook_model::record::RECORD_LIMIT_BYTES / 4;
/// Most items of one record of edges, units or changes.
const ITEMS_LIMIT: usize = 5_000;
/// Longest one-line text, in bytes.
const TEXT_LIMIT_BYTES: usize = 1_024;
/// Longest detail of a change, in bytes.
const DETAIL_LIMIT_BYTES: usize = 64 * 1024;
/// Most entries of each list of an inventory.
const LIST_LIMIT: usize = 2_048;
/// Most users of a mount.
const USERS_LIMIT: usize = 32;
/// What an item costs besides its texts.
const ITEM_BYTES: usize = 64;

/// Roughly how many bytes something takes when encoded.
pub(crate) trait Weight {
    fn bytes(&self) -> usize;
}

impl Weight for ComponentId {
    fn bytes(&self) -> usize {
        self.name().len() + self.host_id().map_or(0, |h| h.as_str().len()) + 16
    }
}

impl Weight for LogEntry {
    fn bytes(&self) -> usize {
        ITEM_BYTES + self.component.bytes() + self.text.len()
    }
}

impl Weight for LogTemplate {
    fn bytes(&self) -> usize {
        ITEM_BYTES + self.text.len()
    }
}

impl Weight for EdgeObservation {
    fn bytes(&self) -> usize {
        3 * ITEM_BYTES + self.local.bytes()
    }
}

impl Weight for UnitState {
    fn bytes(&self) -> usize {
        2 * ITEM_BYTES + self.component.bytes() + self.sub.len() + self.result.len()
    }
}

impl Weight for Change {
    fn bytes(&self) -> usize {
        let texts = self.id.len() + self.text.len() + self.detail.len();
        ITEM_BYTES + self.component.bytes() + texts
    }
}

/// Cuts `items` into lists that fit a record.
pub(crate) fn lists<T: Weight>(items: Vec<T>) -> Vec<Vec<T>> {
    let mut lists: Vec<Vec<T>> = Vec::new();
    let mut bytes = 0;
    for item in items {
        bytes += item.bytes();
        match lists.last_mut() {
            Some(list) if bytes <= BATCH_BYTES && list.len() < ITEMS_LIMIT => list.push(item),
            _ => {
                bytes = item.bytes();
                lists.push(vec![item]);
            }
        }
    }
    lists
}

/// Gathers log entries and their templates into blocks that fit a record.
#[derive(Debug, Default)]
pub(crate) struct LogBatch {
    full: Vec<LogBlock>,
    open: LogBlock,
    open_bytes: usize,
}

impl LogBatch {
    /// Adds a line, and its template's text if it is to be announced with it.
    pub fn push(&mut self, entry: LogEntry, template: Option<LogTemplate>) {
        let bytes = entry.bytes() + template.as_ref().map_or(0, Weight::bytes);
        let full = self.open.entries.len() >= LOG_BLOCK_LIMIT_ENTRIES
            || self.open_bytes + bytes > BATCH_BYTES;
        if full && !self.open.entries.is_empty() {
            self.full.push(std::mem::take(&mut self.open));
            self.open_bytes = 0;
        }
        self.open_bytes += bytes;
        self.open.templates.extend(template);
        self.open.entries.push(entry);
    }

    /// Blocks in order; the batch is empty afterwards.
    pub fn take(&mut self) -> Vec<Record> {
        let open = std::mem::take(&mut self.open);
        self.open_bytes = 0;
        let mut blocks = std::mem::take(&mut self.full);
        if !open.entries.is_empty() {
            blocks.push(open);
        }
        blocks.into_iter().map(Record::Logs).collect()
    }
}

/// Cuts a unit's texts. Whether anything was cut.
pub(crate) fn fit_unit(unit: &mut UnitState) -> bool {
    [&mut unit.sub, &mut unit.result, &mut unit.invocation]
        .map(|text| clip(text, 128))
        .contains(&true)
}

/// Cuts a change's texts. Whether anything was cut.
pub(crate) fn fit_change(change: &mut Change) -> bool {
    let cut = clip(&mut change.id, TEXT_LIMIT_BYTES);
    let cut = clip(&mut change.text, TEXT_LIMIT_BYTES) || cut;
    clip(&mut change.detail, DETAIL_LIMIT_BYTES) || cut
}

/// Cuts an inventory's texts and lists. How many list entries were cut off.
pub(crate) fn fit_inventory(inventory: &mut Inventory) -> u64 {
    fn list<T>(list: &mut Vec<T>, limit: usize) -> u64 {
        let over = list.len().saturating_sub(limit);
        list.truncate(limit);
        over as u64
    }
    for text in [
        &mut inventory.hostname,
        &mut inventory.kernel,
        &mut inventory.os,
        &mut inventory.boot_id,
        &mut inventory.agent_version,
    ] {
        clip(text, 256);
    }
    let mut cut = list(&mut inventory.addresses, LIST_LIMIT)
        + list(&mut inventory.listeners, LIST_LIMIT)
        + list(&mut inventory.mounts, LIST_LIMIT)
        + list(&mut inventory.blind, 256);
    for mount in &mut inventory.mounts {
        clip(&mut mount.fstype, 64);
        clip(&mut mount.device, 512);
        cut += list(&mut mount.used_by, USERS_LIMIT);
    }
    for text in &mut inventory.blind {
        clip(text, TEXT_LIMIT_BYTES);
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;
    use firstlook_model::{ChangeKind, HostId, LogSource, Severity, TemplateId, Timestamp};

    fn host() -> ComponentId {
        ComponentId::host(HostId::new("h").unwrap())
    }

    #[test]
    fn lists_are_cut_by_bytes_and_by_number_and_keep_their_order() {
        let change = |n: usize| Change {
            id: n.to_string(),
            time: Timestamp::default(),
            component: host(),
            kind: ChangeKind::Deploy,
            text: String::new(),
            detail: "x".repeat(60_000),
        };
        let cut = lists((0..100).map(change).collect());
        assert!(cut.len() > 5, "6 MB fitted {} records of 1 MiB", cut.len());
        let ids: Vec<String> = cut.into_iter().flatten().map(|c| c.id).collect();
        assert_eq!(ids, (0..100).map(|n| n.to_string()).collect::<Vec<_>>());
        assert!(lists::<Change>(Vec::new()).is_empty());
    }

    #[test]
    fn log_blocks_hold_no_more_than_they_may() {
        let mut batch = LogBatch::default();
        for n in 0..25_000 {
            let text = if n < 500 {
                "x".repeat(8_000)
            } else {
                n.to_string()
            };
            let entry = LogEntry {
                time: Timestamp::default(),
                component: host(),
                template: TemplateId(1),
                severity: Severity::Info,
                source: LogSource::File,
                text,
            };
            batch.push(entry, None);
        }
        let blocks: Vec<LogBlock> = batch
            .take()
            .into_iter()
            .filter_map(|r| match r {
                Record::Logs(block) => Some(block),
                _ => None,
            })
            .collect();
        let lines: usize = blocks.iter().map(|b| b.entries.len()).sum();
        assert_eq!(lines, 25_000);
        for block in &blocks {
            let bytes: usize = block.entries.iter().map(Weight::bytes).sum();
            assert!(bytes <= BATCH_BYTES && block.entries.len() <= LOG_BLOCK_LIMIT_ENTRIES);
        }
        assert!(batch.take().is_empty());
    }
}
