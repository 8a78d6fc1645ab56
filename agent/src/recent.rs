//! What the agent saw lately, kept in memory for snapshots: unit states, and the last redacted log lines.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use firstlook_model::{ComponentId, LogEntry, Record, Timestamp, UnitState};
use firstlook_snapshot::ExtraItem;

/// Bytes of lines kept.
const LINES_LIMIT_BYTES: usize = 1024 * 1024;
/// Units kept.
const UNITS_LIMIT: usize = 2_000;

#[derive(Default)]
struct Inner {
    units: BTreeMap<ComponentId, UnitState>,
    lines: VecDeque<LogEntry>,
    bytes: usize,
}

/// Cheap to clone; all clones are one memory.
#[derive(Clone, Default)]
pub struct Recent(Arc<Mutex<Inner>>);

impl Recent {
    /// Remembers what of these records a snapshot wants.
    pub fn note(&self, records: &[Record]) {
        let mut inner = self.inner();
        for record in records {
            match record {
                Record::Units(units) => {
                    for unit in units {
                        let known = inner.units.contains_key(&unit.component);
                        if known || inner.units.len() < UNITS_LIMIT {
                            inner.units.insert(unit.component.clone(), unit.clone());
                        }
                    }
                }
                Record::Logs(block) => {
                    for entry in &block.entries {
                        inner.bytes += entry.text.len();
                        inner.lines.push_back(entry.clone());
                    }
                }
                _ => {}
            }
        }
        while inner.bytes > LINES_LIMIT_BYTES {
            let Some(oldest) = inner.lines.pop_front() else {
                break;
            };
            inner.bytes -= oldest.text.len();
        }
    }

    /// The items for a snapshot: `units.json`, and one file of lines for each component.
    pub fn items(&self, now: Timestamp) -> Vec<ExtraItem> {
        let inner = self.inner();
        let units: Vec<_> = inner.units.values().collect();
        let mut items = vec![ExtraItem {
            path: "units.json".to_owned(),
            what: "state of every service unit".to_owned(),
            content: serde_json::to_vec_pretty(&units).unwrap_or_default(),
            taken: now,
            truncated: false,
        }];
        let mut by_component: BTreeMap<&ComponentId, String> = BTreeMap::new();
        for entry in &inner.lines {
            let text = by_component.entry(&entry.component).or_default();
            text.push_str(&format!(
                "{} {:?} {}\n",
                entry.time, entry.severity, entry.text
            ));
        }
        for (component, text) in by_component {
            items.push(ExtraItem {
                path: format!("logs/{}.log", component.name()),
                what: format!("recent lines of {component}, redacted"),
                content: text.into_bytes(),
                taken: now,
                truncated: false,
            });
        }
        items
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // A panic elsewhere leaves lines and their byte count at most one entry apart.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use firstlook_model::{HostId, LogBlock, LogSource, Severity, TemplateId};

    #[test]
    fn old_lines_make_room_for_new_ones() {
        let recent = Recent::default();
        let component = ComponentId::host(HostId::new("h1").unwrap());
        for number in 0..300 {
            let entry = LogEntry {
                time: Timestamp::from_secs(number),
                component: component.clone(),
                template: TemplateId(1),
                severity: Severity::Info,
                source: LogSource::Kernel,
                text: format!("<{number:03}>").repeat(1_000),
            };
            recent.note(&[Record::Logs(LogBlock {
                templates: vec![],
                entries: vec![entry],
            })]);
        }
        let items = recent.items(Timestamp::from_secs(300));
        let lines = String::from_utf8(items[1].content.clone()).unwrap();
        assert_eq!(items[1].path, "logs/h1.log");
        assert!(lines.len() < LINES_LIMIT_BYTES + 20_000);
        assert!(lines.contains("<299>") && !lines.contains("<010>"));
    }
}
