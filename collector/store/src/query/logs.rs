//! Reading log lines.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use firstlook_model::{
    ComponentId, HostId, LogEntry, LogTemplate, Severity, TemplateId, TimeRange,
};

use crate::Store;
use crate::error::Corrupt;
use crate::incoming::StoredLogs;
use crate::key::Kind;
use crate::value::decode_events;

/// Which lines to read. Everything that is set must fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter {
    /// When they were written.
    pub range: TimeRange,
    /// Reported by this host; `None`: the component's host, or all where there is none.
    pub host: Option<HostId>,
    /// Written by this component.
    pub component: Option<ComponentId>,
    /// Of this template.
    pub template: Option<TemplateId>,
    /// At least this grave.
    pub severity_min: Option<Severity>,
    /// Holding this text, in any case.
    pub contains: Option<String>,
    /// Most lines to return: the newest or the oldest ones.
    pub limit: usize,
    /// Newest first, and the newest when there are more than `limit`.
    pub newest_first: bool,
}

impl LogFilter {
    /// All lines of a range, oldest first, up to `limit`.
    pub fn new(range: TimeRange, limit: usize) -> Self {
        Self {
            range,
            host: None,
            component: None,
            template: None,
            severity_min: None,
            contains: None,
            limit,
            newest_first: false,
        }
    }

    /// `needle` is the text to look for in lower case.
    fn admits(&self, entry: &LogEntry, needle: Option<&str>) -> bool {
        self.range.contains(entry.time)
            && self
                .component
                .as_ref()
                .is_none_or(|id| *id == entry.component)
            && self.template.is_none_or(|id| id == entry.template)
            && self
                .severity_min
                .is_none_or(|least| entry.severity >= least)
            && needle.is_none_or(|needle| entry.text.to_lowercase().contains(needle))
    }
}

/// A line and who reported it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLog {
    /// Who reported it.
    pub host: HostId,
    /// The line.
    pub entry: LogEntry,
}

impl Store {
    /// Lines that fit the filter, in its order, at most its limit.
    pub fn logs(&self, filter: &LogFilter) -> Vec<StoredLog> {
        let inner = &self.0;
        let view = inner.engine.view();
        let hosts = match &filter.host {
            Some(host) => vec![host.clone()],
            None => inner.hosts_of(filter.component.as_ref()),
        };
        let mut places: Vec<_> = hosts
            .iter()
            .flat_map(|host| inner.places(&view, Kind::Logs, host, filter.range))
            .collect();
        let rank = |window: i64| if filter.newest_first { -window } else { window };
        places.sort_by_key(|place| (rank(place.key.window()), place.key.received));

        let needle = filter.contains.as_ref().map(|text| text.to_lowercase());
        let fits = |entry: &LogEntry| filter.admits(entry, needle.as_deref());
        let mut lines: Vec<StoredLog> = Vec::new();
        for window in places.chunk_by(|a, b| a.key.window() == b.key.window()) {
            let mut entries = Vec::new();
            for place in window {
                let decoded = inner.open(&view, place, decode_lines).unwrap_or_default();
                let fitting = decoded.into_iter().filter(fits);
                entries.extend(fitting.map(|entry| StoredLog {
                    host: place.key.host.clone(),
                    entry,
                }));
            }
            // Stable: lines of one instant stay in the order of reading, or its reverse.
            if filter.newest_first {
                entries.reverse();
                entries.sort_by_key(|line| Reverse(line.entry.time));
            } else {
                entries.sort_by_key(|line| line.entry.time);
            }
            lines.extend(entries);
            // Windows do not overlap: what comes later in this order lies beyond.
            if lines.len() >= filter.limit {
                lines.truncate(filter.limit);
                break;
            }
        }
        lines
    }

    /// Templates of these ids; those that the store does not know are left out.
    pub fn templates(&self, ids: &BTreeSet<TemplateId>) -> Vec<LogTemplate> {
        self.0.template_texts(&self.0.engine.view(), ids)
    }
}

fn decode_lines(bytes: &[u8]) -> Result<Vec<LogEntry>, Corrupt> {
    let value = decode_events(bytes)?;
    let mut entries = Vec::new();
    for (_, text) in value.texts() {
        entries.extend(serde_json::from_slice::<StoredLogs>(text)?.entries);
    }
    Ok(entries)
}
