//! Log templates: shared by all hosts, since the same text has the same id everywhere.
//!
//! Key: the id as 8 big-endian bytes, then `t` for the text (UTF-8) or `s` for when it was last used
//! (microseconds, 8 bytes little-endian; refreshed at most once a day).

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use firstlook_model::id::stable_hash;
use firstlook_model::log::LINE_LIMIT_BYTES;
use firstlook_model::{LogBlock, LogTemplate, TemplateId, Timestamp};

use crate::engine::{View, Write};
use crate::stats::add;
use crate::store::Inner;

/// How often a template's row is refreshed while it is in use.
pub(crate) const REFRESH: Duration = Duration::from_secs(24 * 3600);
/// Most templates kept; further ones are not stored, their lines are.
pub(crate) const TEMPLATES_LIMIT: usize = 200_000;

/// Templates stored, and when each was last refreshed.
pub(crate) type Seen = HashMap<TemplateId, Timestamp>;

fn key(id: TemplateId, part: u8) -> Vec<u8> {
    let mut key = id.0.to_be_bytes().to_vec();
    key.push(part);
    key
}

/// The id and the refresh of a row, if it is one of those.
pub(crate) fn decode_seen(key: &[u8], value: &[u8]) -> Option<(TemplateId, Timestamp)> {
    let (id, part) = key.split_first_chunk()?;
    let at = i64::from_le_bytes(value.try_into().ok()?);
    (part == b"s").then(|| {
        (
            TemplateId(u64::from_be_bytes(*id)),
            Timestamp::from_micros(at),
        )
    })
}

impl Inner {
    /// Writes that store a block's new templates and refresh the ones it uses, with their ids.
    pub(crate) fn template_writes(
        &self,
        block: &LogBlock,
        received: Timestamp,
    ) -> (Vec<Write>, Vec<TemplateId>) {
        let table = &self.tables.templates;
        let seen = self.templates();
        let mut room = TEMPLATES_LIMIT.saturating_sub(seen.len());
        let (mut writes, mut due) = (Vec::new(), BTreeSet::new());
        for template in &block.templates {
            if seen.contains_key(&template.id) || due.contains(&template.id) {
                continue;
            }
            let honest = stable_hash(template.text.as_bytes()) == template.id.0;
            if !honest || template.text.len() > LINE_LIMIT_BYTES || room == 0 {
                add(&self.counters.refused_templates, 1);
                continue;
            }
            room -= 1;
            due.insert(template.id);
            let text = template.text.clone().into_bytes();
            writes.push(Write::Put(table.clone(), key(template.id, b't'), text));
        }
        let stale = |id: &TemplateId| {
            seen.get(id)
                .is_some_and(|at| received.since(*at) >= REFRESH)
        };
        let used = block.entries.iter().map(|entry| entry.template);
        due.extend(used.filter(stale));
        let now = received.as_micros().to_le_bytes();
        writes.extend(
            due.iter()
                .map(|id| Write::Put(table.clone(), key(*id, b's'), now.to_vec())),
        );
        (writes, due.into_iter().collect())
    }

    /// Texts of these templates; those not known are left out.
    pub(crate) fn template_texts(
        &self,
        view: &View,
        ids: &BTreeSet<TemplateId>,
    ) -> Vec<LogTemplate> {
        let table = &self.tables.templates;
        let mut templates = Vec::with_capacity(ids.len());
        for id in ids {
            let key = key(*id, b't');
            let Some(Some(bytes)) = self.readable(view.get(table, &key)) else {
                continue;
            };
            match std::str::from_utf8(&bytes) {
                Ok(text) => templates.push(LogTemplate {
                    id: *id,
                    text: text.to_owned(),
                }),
                Err(_) => {
                    let error = crate::error::Corrupt::Malformed("template");
                    self.quarantine(table, &key, &bytes, &error);
                }
            }
        }
        templates
    }

    /// Forgets templates last used before `before`.
    pub(crate) fn stale_templates(&self, before: Timestamp) -> Vec<Write> {
        let table = &self.tables.templates;
        let ids: Vec<_> = self.templates().extract_if(|_, at| *at < before).collect();
        ids.into_iter()
            .flat_map(|(id, _)| [key(id, b't'), key(id, b's')])
            .map(|key| Write::Remove(table.clone(), key))
            .collect()
    }
}
