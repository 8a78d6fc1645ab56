//! How far a directory of journals has been read, as kept in a checkpoint.
//!
//! JSON: `{"floor":micros,"files":{"<file id>":[seqnum,micros]}}`. Each file is named by the id in its
//! header, which survives the renaming at rotation; beside it stand the last entry's sequence number and
//! time. Files that are not listed are read from the first entry that is newer than `floor`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Files listed: the position must fit a checkpoint of 4 KiB at 75 bytes each.
const FILES_LIMIT: usize = 40;

/// How far a directory has been read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// Microseconds since the epoch.
    pub(super) floor: u64,
    /// By file id in hexadecimal: last sequence number, last time in microseconds.
    pub(super) files: BTreeMap<String, (u64, u64)>,
}

impl Position {
    /// A first reading: everything newer than this.
    pub(super) fn since(floor: u64) -> Self {
        Self {
            floor,
            files: BTreeMap::new(),
        }
    }

    /// Reads what [`Position::encode`] wrote; `None` for anything else.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let position: Self = serde_json::from_slice(bytes).ok()?;
        (position.files.len() <= FILES_LIMIT).then_some(position)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers and strings are always JSON")
    }

    /// Where this file was left.
    pub(super) fn of(&self, file_id: u128) -> Option<u64> {
        Some(self.files.get(&name(file_id))?.0)
    }

    /// This file has been read up to there. The file whose last entry is oldest makes room: entries as
    /// old as its last are then taken as read everywhere.
    pub(super) fn reach(&mut self, file_id: u128, seqnum: u64, realtime: u64) {
        self.files.insert(name(file_id), (seqnum, realtime));
        while self.files.len() > FILES_LIMIT {
            let oldest = self.files.iter().min_by_key(|(_, (_, realtime))| *realtime);
            let Some((id, realtime)) = oldest.map(|(id, (_, realtime))| (id.clone(), *realtime))
            else {
                return;
            };
            self.files.remove(&id);
            self.floor = self.floor.max(realtime);
        }
    }
}

fn name(file_id: u128) -> String {
    format!("{file_id:032x}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn oldest_file_makes_room_and_raises_the_floor() {
        let mut position = Position::since(5);
        for file in 0..41 {
            position.reach(file, 7, 100 + file as u64);
        }
        assert_eq!(position.files.len(), 40);
        assert_eq!(
            (position.of(0), position.of(1), position.floor),
            (None, Some(7), 100)
        );
    }

    proptest! {
        #[test]
        fn any_position_reads_back_and_fits_a_checkpoint(
            floor: u64, files in proptest::collection::vec((any::<u128>(), any::<u64>(), any::<u64>()), 0..60),
        ) {
            let mut position = Position::since(floor);
            for (id, seqnum, realtime) in files {
                position.reach(id, seqnum, realtime);
            }
            let bytes = position.encode();
            prop_assert!(bytes.len() <= 4096, "{} bytes", bytes.len());
            prop_assert_eq!(Position::decode(&bytes), Some(position));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Position::decode(&bytes);
        }
    }
}
