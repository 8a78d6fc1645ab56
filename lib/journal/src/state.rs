//! The open journal: engine, index and what is durable beside the records.
//!
//! Keys of records: the sequence in 8 bytes, big-endian, then the class's rank in one. Meta: `epoch` (8 bytes),
//! `last` (8 bytes: the last sequence ever given), `shed` (per class rank: count and bytes, 8 bytes each),
//! and `at:<reader>` for positions. All numbers are big-endian.

use std::path::{Path, PathBuf};

use firstlook_model::{Epoch, RecordClass, Sequence};
use ring::rand::{SecureRandom, SystemRandom};

use crate::engine::{Engine, Unopened, Write};
use crate::index::{CLASSES, Index, rank};
use crate::{Entry, JournalConfig, Position};

const EPOCH: &[u8] = b"epoch";
const LAST: &[u8] = b"last";
const SHED: &[u8] = b"shed";
const POSITION: &[u8] = b"at:";

pub(crate) enum OpenError {
    Folder(PathBuf, std::io::Error),
    Damaged(String),
    Unavailable(String),
    NoRandomness,
}

/// Records of one class that were shed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShedCount {
    /// How many.
    pub records: u64,
    /// How many bytes.
    pub bytes: u64,
}

/// What was shed, by class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shed([ShedCount; 3]);

impl Shed {
    /// What was shed of a class.
    pub fn of(&self, class: RecordClass) -> ShedCount {
        self.0[usize::from(rank(class))]
    }

    /// Whether nothing was shed.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|count| count.records == 0)
    }

    /// Classes of which something was shed.
    pub fn each(&self) -> impl Iterator<Item = (RecordClass, ShedCount)> {
        CLASSES
            .into_iter()
            .map(|class| (class, self.of(class)))
            .filter(|(_, c)| c.records > 0)
    }

    fn add(&mut self, rank: u8, bytes: u32) {
        if let Some(count) = self.0.get_mut(usize::from(rank)) {
            count.records += 1;
            count.bytes += u64::from(bytes);
        }
    }

    fn minus(&self, other: &Self) -> Self {
        let mut rest = self.clone();
        for (mine, theirs) in rest.0.iter_mut().zip(&other.0) {
            mine.records = mine.records.saturating_sub(theirs.records);
            mine.bytes = mine.bytes.saturating_sub(theirs.bytes);
        }
        rest
    }

    fn encode(&self) -> Vec<u8> {
        self.0
            .iter()
            .flat_map(|c| [c.records.to_be_bytes(), c.bytes.to_be_bytes()])
            .flatten()
            .collect()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut numbers = bytes
            .chunks_exact(8)
            .map(|c| c.try_into().map(u64::from_be_bytes));
        let mut shed = Self::default();
        for count in &mut shed.0 {
            *count = ShedCount {
                records: numbers.next()?.ok()?,
                bytes: numbers.next()?.ok()?,
            };
        }
        (bytes.len() == 48).then_some(shed)
    }
}

pub(crate) struct State {
    engine: Engine,
    config: JournalConfig,
    epoch: Epoch,
    last: u64,
    shed: Shed,
    index: Index,
}

impl State {
    pub(crate) fn open(folder: &Path, config: JournalConfig) -> Result<Self, OpenError> {
        std::fs::create_dir_all(folder).map_err(|e| OpenError::Folder(folder.to_owned(), e))?;
        let engine = Engine::open(folder).map_err(|unopened| match unopened {
            Unopened::Damaged(what) => OpenError::Damaged(what),
            Unopened::Unavailable(what) => OpenError::Unavailable(what),
        })?;
        let damaged = OpenError::Damaged;
        let epoch = match number(engine.meta(EPOCH).map_err(damaged)?) {
            Some(epoch) => Epoch(epoch),
            None => begin(&engine)?,
        };
        let mut last = number(engine.meta(LAST).map_err(damaged)?).unwrap_or(0);
        let shed = engine.meta(SHED).map_err(damaged)?;
        let shed = shed
            .and_then(|bytes| Shed::decode(&bytes))
            .unwrap_or_default();
        let mut index = Index::default();
        engine
            .each_record(|key, length| {
                let Ok(key) = <[u8; 9]>::try_from(key) else {
                    return;
                };
                let (sequence, rank) = split(key);
                index.insert(sequence, rank, u32::try_from(length).unwrap_or(u32::MAX));
                last = last.max(sequence);
            })
            .map_err(damaged)?;
        Ok(Self {
            engine,
            config,
            epoch,
            last,
            shed,
            index,
        })
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub(crate) fn last(&self) -> Sequence {
        Sequence(self.last)
    }

    /// Draws a new epoch. Records and sequences stay.
    pub(crate) fn begin_epoch(&mut self) -> Result<(), String> {
        self.epoch = begin(&self.engine).map_err(|error| match error {
            OpenError::Unavailable(what) => what,
            _ => "the system gives no randomness".to_owned(),
        })?;
        Ok(())
    }

    pub(crate) fn shed(&self) -> &Shed {
        &self.shed
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.index.bytes()
    }

    pub(crate) fn append(
        &mut self,
        entries: &[Entry],
        positions: &[Position],
        reported: &Shed,
    ) -> Result<Sequence, String> {
        let mut changes = Vec::with_capacity(entries.len() + positions.len() + 2);
        let mut last = self.last;
        for entry in entries {
            last += 1;
            let rank = rank(entry.class);
            let length = u32::try_from(entry.bytes.len()).map_err(|_| "record is over 4 GiB")?;
            self.index.insert(last, rank, length);
            changes.push(Write::PutRecord(join(last, rank), entry.bytes.clone()));
        }
        let mut shed = self.shed.minus(reported);
        let excess = self.index.over_budget(self.config.budget_bytes);
        for (sequence, rank, length) in &excess {
            shed.add(*rank, *length);
            changes.push(Write::RemoveRecord(join(*sequence, *rank)));
        }
        if last != self.last {
            changes.push(Write::PutMeta(LAST.to_vec(), last.to_be_bytes().to_vec()));
        }
        if shed != self.shed {
            changes.push(Write::PutMeta(SHED.to_vec(), shed.encode()));
        }
        for (reader, position) in positions {
            let key = [POSITION, reader.as_bytes()].concat();
            changes.push(match position.is_empty() {
                true => Write::RemoveMeta(key),
                false => Write::PutMeta(key, position.clone()),
            });
        }
        // On failure the caller drops this state, index and all, and reads it anew from disk.
        self.engine.write(changes, true)?;
        excess
            .iter()
            .for_each(|(sequence, ..)| self.index.remove(*sequence));
        (self.last, self.shed) = (last, shed);
        Ok(Sequence(last))
    }

    /// Whether the last record is `expected`; if so it is durable now, and all before it.
    pub(crate) fn confirm(&self, expected: Sequence) -> Result<bool, String> {
        if self.last() != expected {
            return Ok(false);
        }
        let last = Write::PutMeta(LAST.to_vec(), self.last.to_be_bytes().to_vec());
        self.engine.write(vec![last], true)?;
        Ok(true)
    }

    pub(crate) fn read_after(
        &self,
        after: Sequence,
        limit_bytes: usize,
    ) -> Result<Vec<(Sequence, Vec<u8>)>, String> {
        let (mut out, mut total) = (Vec::new(), 0usize);
        for (sequence, rank, length) in self.index.after(after.0) {
            total = total.saturating_add(length as usize);
            if total > limit_bytes && !out.is_empty() {
                break;
            }
            // Missing only when the engine lost it: what it lost cannot be sent, the rest can.
            if let Some(bytes) = self.engine.record(join(sequence, rank))? {
                out.push((Sequence(sequence), bytes));
            }
        }
        Ok(out)
    }

    pub(crate) fn acknowledge(&mut self, sequence: Sequence) -> Result<(), String> {
        let gone = self.index.up_to(sequence.0);
        if gone.is_empty() {
            return Ok(());
        }
        let changes = gone
            .iter()
            .map(|(s, rank)| Write::RemoveRecord(join(*s, *rank)))
            .collect();
        // Not synced: after a crash the records come back, are sent again, and are known there.
        self.engine.write(changes, false)?;
        gone.iter().for_each(|(s, _)| self.index.remove(*s));
        self.index.tidy();
        Ok(())
    }

    pub(crate) fn position(&self, reader: &str) -> Result<Option<Vec<u8>>, String> {
        self.engine.meta(&[POSITION, reader.as_bytes()].concat())
    }
}

fn begin(engine: &Engine) -> Result<Epoch, OpenError> {
    let mut bytes = [0u8; 8];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| OpenError::NoRandomness)?;
    let put = Write::PutMeta(EPOCH.to_vec(), bytes.to_vec());
    engine
        .write(vec![put], true)
        .map_err(OpenError::Unavailable)?;
    Ok(Epoch(u64::from_be_bytes(bytes)))
}

fn number(bytes: Option<Vec<u8>>) -> Option<u64> {
    Some(u64::from_be_bytes(bytes?.try_into().ok()?))
}

fn join(sequence: u64, rank: u8) -> [u8; 9] {
    let mut key = [rank; 9];
    key[..8].copy_from_slice(&sequence.to_be_bytes());
    key
}

fn split(key: [u8; 9]) -> (u64, u8) {
    let mut sequence = [0u8; 8];
    sequence.copy_from_slice(&key[..8]);
    (u64::from_be_bytes(sequence), key[8])
}
