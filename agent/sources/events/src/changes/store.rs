//! Keeps a large state in checkpoints, which are small.
//!
//! The state is JSON, packed with zstd, cut into pieces of at most 4,000 bytes. Piece `n` is the
//! checkpoint `<name>:<n>`; the first begins with `FLS1` and the packed length (4 bytes, little-endian).
//! All pieces go out in one write; those that did not change are left out, and surplus ones are emptied.

use std::io::Read as _;

use firstlook_model::Checkpoint;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Checkpoints;

const PIECE_BYTES: usize = 4_000;
/// A million bytes packed: far more than 20,000 packages need.
const PIECES_LIMIT: usize = 256;
const UNPACKED_LIMIT_BYTES: u64 = 16 * 1024 * 1024;
const MAGIC: &[u8; 4] = b"FLS1";

/// A named state and the pieces that it was last written as.
#[derive(Debug)]
pub(super) struct Store {
    name: &'static str,
    written: Vec<Vec<u8>>,
}

impl Store {
    /// Loads the state; `None` when there is none or it cannot be read, which is logged.
    pub(super) fn load<T: DeserializeOwned>(
        name: &'static str,
        checkpoints: &dyn Checkpoints,
    ) -> (Self, Option<T>) {
        let mut written = Vec::new();
        while written.len() < PIECES_LIMIT {
            match checkpoints.load(&format!("{name}:{}", written.len())) {
                Some(piece) if !piece.is_empty() => written.push(piece),
                _ => break,
            }
        }
        let state = decode(&written);
        if state.is_none() && !written.is_empty() {
            tracing::warn!(state = name, "kept state cannot be read and is begun anew");
        }
        (Self { name, written }, state)
    }

    /// The checkpoints that make this state the kept one. Empty when it is already, or is too large.
    pub(super) fn save<T: Serialize>(&mut self, state: &T) -> Vec<Checkpoint> {
        let Some(pieces) = encode(state) else {
            tracing::warn!(state = self.name, "state is too large to be kept");
            return Vec::new();
        };
        let count = pieces.len().max(self.written.len());
        let empty = Vec::new();
        let checkpoints = (0..count)
            .map(|n| (n, pieces.get(n).unwrap_or(&empty), self.written.get(n)))
            .filter(|(_, piece, written)| Some(*piece) != *written)
            .map(|(n, piece, _)| Checkpoint {
                reader: format!("{}:{n}", self.name),
                position: piece.clone(),
            })
            .collect();
        self.written = pieces;
        checkpoints
    }
}

fn encode<T: Serialize>(state: &T) -> Option<Vec<Vec<u8>>> {
    let plain = serde_json::to_vec(state).ok()?;
    let packed = zstd::stream::encode_all(&plain[..], 3).ok()?;
    let mut bytes = MAGIC.to_vec();
    bytes.extend(u32::try_from(packed.len()).ok()?.to_le_bytes());
    bytes.extend(packed);
    let pieces: Vec<_> = bytes.chunks(PIECE_BYTES).map(<[u8]>::to_vec).collect();
    (pieces.len() <= PIECES_LIMIT).then_some(pieces)
}

fn decode<T: DeserializeOwned>(pieces: &[Vec<u8>]) -> Option<T> {
    let bytes = pieces.concat();
    let (length, packed) = bytes.strip_prefix(MAGIC)?.split_first_chunk::<4>()?;
    let packed = packed.get(..usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
    let mut plain = Vec::new();
    let decoder = zstd::stream::read::Decoder::with_buffer(packed).ok()?;
    decoder
        .take(UNPACKED_LIMIT_BYTES)
        .read_to_end(&mut plain)
        .ok()?;
    serde_json::from_slice(&plain).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    #[derive(Default)]
    struct Kept(Mutex<BTreeMap<String, Vec<u8>>>);

    impl Checkpoints for Kept {
        fn load(&self, reader: &str) -> Option<Vec<u8>> {
            self.0.lock().unwrap().get(reader).cloned()
        }
    }

    impl Kept {
        fn store(&self, checkpoints: Vec<Checkpoint>) {
            for checkpoint in checkpoints {
                assert!(checkpoint.position.len() <= 4_096);
                self.0
                    .lock()
                    .unwrap()
                    .insert(checkpoint.reader, checkpoint.position);
            }
        }
    }

    type State = BTreeMap<String, u64>;

    #[test]
    fn state_larger_than_a_checkpoint_reads_back_also_after_it_shrank() {
        let kept = Kept::default();
        let (mut store, none) = Store::load::<State>("s", &kept);
        assert_eq!(none, None);
        let large: State = (0..5_000)
            .map(|n: u64| (format!("{:x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)), n))
            .collect();
        kept.store(store.save(&large));
        assert_eq!(Store::load::<State>("s", &kept).1, Some(large.clone()));
        assert_eq!(store.save(&large), [], "nothing is written twice");
        let small: State = [("a".to_owned(), 1)].into();
        kept.store(store.save(&small));
        let (_, read) = Store::load::<State>("s", &kept);
        assert_eq!(read, Some(small));
    }

    proptest! {
        #[test]
        fn any_pieces_are_read_or_refused(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..4), magic: bool,
        ) {
            let mut pieces = pieces;
            if let (true, Some(first)) = (magic, pieces.first_mut()) {
                first.splice(0..0, *b"FLS1\x04\0\0\0");
            }
            let _ = decode::<State>(&pieces);
        }
    }
}
