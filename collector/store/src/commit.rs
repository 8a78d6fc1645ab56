//! Committing what hosts send: once, in order, durable before it is acknowledged.

use firstlook_model::{Epoch, HostId, Record, Schema, Sequence, TemplateId, Timestamp};

use crate::engine::Write;
use crate::error::Corrupt;
use crate::hosts::HostEntry;
use crate::incoming::{Incoming, Origin};
use crate::key::Kind;
use crate::schemas::SCHEMAS_LIMIT;
use crate::stats::add;
use crate::store::Inner;
use crate::{Store, StoreError};

/// What a commit did. Everything in it is durable.
#[derive(Clone, Debug, PartialEq)]
pub struct Committed {
    /// The last sequence of this journal that is durable: acknowledge it. `None` when nothing is.
    pub acknowledged: Option<Sequence>,
    /// What was not there before, in order: to be analysed.
    pub fresh: Vec<(Sequence, Incoming)>,
    /// Records ignored because they were there before.
    pub duplicates: u64,
    /// Sequence numbers skipped within this journal: shed by the agent.
    pub gaps: u64,
    /// Of the fresh ones, those that could not be stored within the limits. They are acknowledged, for a
    /// replay would not help.
    pub refused: u64,
}

/// Writes of one record, and what to remember once they are durable.
#[derive(Default)]
struct Prepared {
    writes: Vec<Write>,
    schemas: Vec<Schema>,
    templates: Vec<TemplateId>,
}

impl Store {
    /// Stores the records of a batch that are not there yet together with how far the journal is
    /// acknowledged: all or nothing, synced to disk. Commits of several hosts at once share a sync.
    ///
    /// # Errors
    /// [`StoreError::Order`] when the sequences do not rise; otherwise nothing is stored and a replay is
    /// safe.
    pub fn commit(
        &self,
        host: &HostId,
        epoch: Epoch,
        batch: Vec<(Sequence, Incoming)>,
        received: Timestamp,
    ) -> Result<Committed, StoreError> {
        if let Some(pair) = batch.windows(2).find(|pair| pair[0].0 >= pair[1].0) {
            return Err(StoreError::Order {
                before: pair[0].0.0,
                after: pair[1].0.0,
            });
        }
        self.touch(host, received);
        let inner = &self.0;
        let entry = inner.hosts.entry(host);
        let _turn = entry.turn();
        let stored = entry.state().row.acknowledged(epoch);
        let mut fresh = batch;
        let known = fresh.partition_point(|(sequence, _)| *sequence <= stored.unwrap_or_default());
        fresh.drain(..known);
        add(&inner.counters.duplicates, known as u64);
        let mut committed = Committed {
            acknowledged: stored,
            gaps: gaps(stored, &fresh),
            duplicates: known as u64,
            refused: 0,
            fresh,
        };
        if let Some((last, _)) = committed.fresh.last() {
            committed.acknowledged = Some(*last);
            inner.write_fresh(&entry, host, epoch, received, &mut committed)?;
        }
        Ok(committed)
    }
}

/// Numbers missing between what was stored and what came. A journal's first contact shows none: what it
/// shed before is not known.
fn gaps(stored: Option<Sequence>, fresh: &[(Sequence, Incoming)]) -> u64 {
    let Some((first, _)) = fresh.first() else {
        return 0;
    };
    let before = stored.map_or(first.0 - 1, |stored| stored.0);
    let last = fresh.last().map_or(first.0, |(last, _)| last.0);
    (last - before).saturating_sub(fresh.len() as u64)
}

impl Inner {
    fn write_fresh(
        &self,
        entry: &HostEntry,
        host: &HostId,
        epoch: Epoch,
        received: Timestamp,
        committed: &mut Committed,
    ) -> Result<(), StoreError> {
        let mut all = Prepared::default();
        for (sequence, incoming) in &committed.fresh {
            let origin = Origin {
                host,
                epoch,
                sequence: *sequence,
                received,
            };
            if let Err(error) = self.prepare(entry, &origin, incoming, &mut all) {
                committed.refused += 1;
                tracing::warn!(%host, seq = sequence.0, %error, "a record cannot be stored");
            }
        }
        let last = committed.acknowledged.unwrap_or_default();
        let row = entry.state().row.after(epoch, last, received);
        let key = host.as_str().as_bytes().to_vec();
        all.writes
            .push(Write::Put(self.tables.hosts.clone(), key, row.encode()));
        self.committer.write(all.writes)?;

        let mut state = entry.state();
        state.row = row;
        for schema in &all.schemas {
            state.schemas.insert(schema.id(), received);
            if state.schemas.len() > SCHEMAS_LIMIT {
                let oldest = state.schemas.iter().min_by_key(|(id, at)| (**at, **id));
                let oldest = oldest.map(|(id, _)| *id);
                oldest.and_then(|id| state.schemas.remove(&id));
            }
        }
        drop(state);
        self.templates()
            .extend(all.templates.into_iter().map(|id| (id, received)));
        add(
            &self.counters.records,
            committed.fresh.len() as u64 - committed.refused,
        );
        add(&self.counters.gaps, committed.gaps);
        add(&self.counters.refused, committed.refused);
        Ok(())
    }

    fn prepare(
        &self,
        entry: &HostEntry,
        origin: &Origin<'_>,
        incoming: &Incoming,
        all: &mut Prepared,
    ) -> Result<(), Corrupt> {
        let values = origin.values(incoming)?;
        if let Incoming::Other(Record::Schema(schema)) = incoming {
            let writes = {
                let state = entry.state();
                self.schema_writes(origin.host, schema, &state.schemas, origin.received)?
            };
            if !writes.is_empty() {
                all.schemas.push(schema.clone());
                all.writes.extend(writes);
            }
        }
        if let Incoming::Other(Record::Logs(block)) = incoming {
            let (writes, due) = self.template_writes(block, origin.received);
            all.writes.extend(writes);
            all.templates.extend(due);
        }
        for (key, value) in values {
            if key.kind == Kind::Inventory {
                let host = origin.host.as_str().as_bytes().to_vec();
                let latest = self.tables.inventories.clone();
                all.writes.push(Write::Put(latest, host, value.clone()));
            }
            all.writes
                .push(Write::Put(self.tables.recent.clone(), key.encode(), value));
        }
        Ok(())
    }
}
