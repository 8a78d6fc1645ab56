//! Replaying records in the order in which they came, to rebuild what a restart forgot.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashSet};
use std::ops::ControlFlow;

use firstlook_model::{
    HostId, LogBlock, Record, Schema, SchemaId, TemplateId, TimeRange, Timestamp,
};

use crate::Store;
use crate::engine::View;
use crate::error::Corrupt;
use crate::incoming::StoredLogs;
use crate::key::Kind;
use crate::query::Place;
use crate::store::Inner;
use crate::value::{decode_events, decode_metrics};

/// A record waiting for its turn: ordered by when it was received, its host, sequence and start.
struct Waiting {
    rank: (Timestamp, HostId, u64, Timestamp),
    record: Record,
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.rank == other.rank
    }
}
impl Eq for Waiting {}
impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank.cmp(&other.rank)
    }
}

/// What a host's listener has been told already.
#[derive(Default)]
struct Told {
    schemas: HashSet<(HostId, SchemaId)>,
    templates: HashSet<(HostId, TemplateId)>,
}

impl Store {
    /// Gives `listen` every record that holds observations of `range`, as it came and in the order in which
    /// it came: host, received, record. A schema is told before the first block that uses it, a template
    /// with the first lines that do.
    ///
    /// Holds the decoded values of about one [`crate::WINDOW`] of all hosts in memory.
    pub fn replay(&self, range: TimeRange, mut listen: impl FnMut(&HostId, Timestamp, Record)) {
        let all = |host: &HostId, received, record| {
            listen(host, received, record);
            ControlFlow::Continue(())
        };
        self.replay_of(range, |_| true, all);
    }

    /// The same of those hosts alone that are `wanted`, until the listener has heard enough.
    pub fn replay_of(
        &self,
        range: TimeRange,
        wanted: impl Fn(&HostId) -> bool,
        mut listen: impl FnMut(&HostId, Timestamp, Record) -> ControlFlow<()>,
    ) {
        let inner = &self.0;
        let view = inner.engine.view();
        let mut places = Vec::new();
        for host in inner.hosts.ids().into_iter().filter(|host| wanted(host)) {
            for kind in Kind::ALL {
                places.extend(inner.places(&view, kind, &host, range));
            }
        }
        places.sort_by_key(|place| place.key.received);
        let mut told = Told::default();
        let mut waiting = BinaryHeap::new();
        for place in &places {
            let until = Some(place.key.received);
            let heard = inner.tell(&view, &mut waiting, until, &mut told, &mut listen);
            if heard.is_break() {
                return;
            }
            let decode = |bytes: &[u8]| records(place, bytes, range);
            let opened = inner.open(&view, place, decode).unwrap_or_default();
            waiting.extend(opened.into_iter().map(Reverse));
        }
        // The last: whether more is wanted does not matter.
        let _ = inner.tell(&view, &mut waiting, None, &mut told, &mut listen);
    }
}

impl Inner {
    /// Tells what was received before `until`.
    fn tell(
        &self,
        view: &View,
        waiting: &mut BinaryHeap<Reverse<Waiting>>,
        until: Option<Timestamp>,
        told: &mut Told,
        listen: &mut impl FnMut(&HostId, Timestamp, Record) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        while let Some(Reverse(next)) = waiting.peek() {
            if until.is_some_and(|until| next.rank.0 >= until) {
                break;
            }
            let Some(Reverse(Waiting { rank, mut record })) = waiting.pop() else {
                break;
            };
            // Of a record that crossed a window: the parts, the earliest first.
            while let Some(Reverse(next)) = waiting.peek()
                && (rank.0, &rank.1, rank.2) == (next.rank.0, &next.rank.1, next.rank.2)
                && let Some(Reverse(next)) = waiting.pop()
            {
                if let Some(apart) = join(&mut record, next.record) {
                    waiting.push(Reverse(Waiting {
                        rank: next.rank,
                        record: apart,
                    }));
                    break;
                }
            }
            let (received, host, ..) = rank;
            match &mut record {
                Record::Metrics(block) if told.schemas.insert((host.clone(), block.schema)) => {
                    if let Some(series) = self.schema(view, &host, block.schema) {
                        let schema = Schema::new(series.as_ref().clone());
                        listen(&host, received, Record::Schema(schema))?;
                    }
                }
                Record::Logs(block) => self.add_templates(view, &host, block, told),
                _ => {}
            }
            listen(&host, received, record)?;
        }
        ControlFlow::Continue(())
    }

    fn add_templates(&self, view: &View, host: &HostId, block: &mut LogBlock, told: &mut Told) {
        for template in &block.templates {
            told.templates.insert((host.clone(), template.id));
        }
        let used = block.entries.iter().map(|entry| entry.template);
        let missing: BTreeSet<_> = used
            .filter(|id| told.templates.insert((host.clone(), *id)))
            .collect();
        block.templates.extend(self.template_texts(view, &missing));
    }
}

/// Adds a part to what came before it; gives it back where that cannot be.
fn join(record: &mut Record, part: Record) -> Option<Record> {
    match (record, part) {
        (Record::Metrics(block), Record::Metrics(part)) => block.append(part).map(Record::Metrics),
        (Record::Logs(block), Record::Logs(mut part)) => {
            block.templates.append(&mut part.templates);
            block.entries.append(&mut part.entries);
            None
        }
        (Record::Edges(all), Record::Edges(mut part)) => {
            all.append(&mut part);
            None
        }
        (Record::Units(all), Record::Units(mut part)) => {
            all.append(&mut part);
            None
        }
        (Record::Changes(all), Record::Changes(mut part)) => {
            all.append(&mut part);
            None
        }
        (Record::Losses(all), Record::Losses(mut part)) => {
            all.append(&mut part);
            None
        }
        (_, part) => Some(part),
    }
}

/// The records of a value that hold observations of a range.
fn records(place: &Place, bytes: &[u8], range: TimeRange) -> Result<Vec<Waiting>, Corrupt> {
    let waiting = |received, sequence, record| Waiting {
        rank: (received, place.key.host.clone(), sequence, place.key.start),
        record,
    };
    let mut records = Vec::new();
    if place.key.kind == Kind::Metrics {
        let value = decode_metrics(bytes)?;
        let mut at = 0;
        for piece in value.pieces {
            let rows = at..at + piece.size;
            at = rows.end;
            if value.block.times[rows.clone()]
                .iter()
                .any(|time| range.contains(*time))
            {
                let record = Record::Metrics(value.block.slice(rows));
                records.push(waiting(piece.received, piece.sequence.0, record));
            }
        }
        return Ok(records);
    }
    for (piece, text) in decode_events(bytes)?.texts() {
        let (record, times) = parse(place.key.kind, text)?;
        if times.into_iter().any(|time| range.contains(time)) {
            records.push(waiting(piece.received, piece.sequence.0, record));
        }
    }
    Ok(records)
}

/// A record and the times of its items.
fn parse(kind: Kind, text: &[u8]) -> Result<(Record, Vec<Timestamp>), Corrupt> {
    macro_rules! events {
        ($record:ident, $time:ident) => {{
            let items: Vec<_> = serde_json::from_slice(text)?;
            let record = Record::$record(items);
            let Record::$record(items) = &record else {
                return Err(Corrupt::Malformed("events"));
            };
            let times = items.iter().map(|item| item.$time).collect();
            (record, times)
        }};
    }
    Ok(match kind {
        Kind::Changes => events!(Changes, time),
        Kind::Edges => events!(Edges, time),
        Kind::Units => events!(Units, time),
        Kind::Losses => events!(Losses, to),
        Kind::Logs => {
            let StoredLogs { templates, entries } = serde_json::from_slice(text)?;
            let times = entries.iter().map(|entry| entry.time).collect();
            (Record::Logs(LogBlock { templates, entries }), times)
        }
        Kind::Inventory => {
            let items: Vec<firstlook_model::Inventory> = serde_json::from_slice(text)?;
            let inventory = items
                .into_iter()
                .next()
                .ok_or(Corrupt::Malformed("inventory"))?;
            let time = inventory.time;
            (Record::Inventory(inventory), vec![time])
        }
        Kind::Metrics => return Err(Corrupt::Malformed("kind")),
    })
}
