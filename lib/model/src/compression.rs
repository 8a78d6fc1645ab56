//! zstd for small pieces: its contexts cost more to make than a small piece to pack, so that each thread
//! keeps one of each. They hold no state from one call to the next.

use std::cell::RefCell;
use std::io;

use zstd::bulk::{Compressor, Decompressor};

thread_local! {
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Packs `bytes` at zstd's `level`.
///
/// # Errors
/// When the level is unknown or memory is short.
pub fn compress(bytes: &[u8], level: i32) -> io::Result<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|kept| {
        let mut compressor = match kept.take() {
            Some(compressor) => compressor,
            None => Compressor::new(level)?,
        };
        compressor.set_compression_level(level)?;
        let packed = compressor.compress(bytes);
        *kept = Some(compressor);
        packed
    })
}

/// Unpacks `bytes`, which may give `limit_bytes` at most.
///
/// # Errors
/// When they are no zstd frame, a damaged one, or give more.
pub fn decompress(bytes: &[u8], limit_bytes: usize) -> io::Result<Vec<u8>> {
    DECOMPRESSOR.with_borrow_mut(|kept| {
        let mut decompressor = match kept.take() {
            Some(decompressor) => decompressor,
            None => Decompressor::new()?,
        };
        let unpacked = decompressor.decompress(bytes, limit_bytes);
        *kept = Some(decompressor);
        unpacked
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_read_back_also_after_failures(
            pieces in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..400), 1i32..6), 1..8),
            rubbish in proptest::collection::vec(any::<u8>(), 0..60),
        ) {
            for (bytes, level) in pieces {
                let packed = compress(&bytes, level).unwrap();
                let _ = decompress(&rubbish, 100);
                prop_assert_eq!(&decompress(&packed, bytes.len()).unwrap(), &bytes);
                if !bytes.is_empty() {
                    prop_assert!(decompress(&packed, bytes.len() - 1).is_err());
                }
            }
        }
    }

    #[test]
    fn a_level_gives_the_same_bytes_whatever_came_before() {
        let text = "the same text again and again ".repeat(100);
        let first = compress(text.as_bytes(), 3).unwrap();
        compress(b"something else", 19).unwrap();
        compress(text.as_bytes(), 1).unwrap();
        assert_eq!(compress(text.as_bytes(), 3).unwrap(), first);
    }
}
