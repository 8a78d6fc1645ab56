//! The wire contract of snapshot archives: how one is written on a host and verified by the collector.
//!
//! # Format, version 1
//! One zstd frame with a content checksum (RFC 8878) around one tar stream (ustar headers of POSIX.1-1988, GNU
//! numbers). The stream's members are regular files and nothing else:
//! * `manifest.json`: a [`Manifest`](firstlook_model::Manifest) as JSON;
//! * then exactly the manifest's items, in its order, each with the path, size and SHA-256 that the manifest states.
//!
//! Two blocks of zeros end the stream. After the frame comes the seal, and nothing else: a skippable frame
//! whose 32 bytes are the SHA-256 of all bytes before it. `zstd -d | tar x` reads an archive too. A path is 1 to
//! [`PATH_LIMIT_BYTES`] of `A-Z a-z 0-9 . _ - + @ : , =` in parts divided by single `/`, no part
//! beginning with `.`, so that it fits a ustar header and can name nothing outside its folder.
//!
//! Reading trusts nothing: sizes are bounded before anything is allocated, and what does not match is
//! named in a [`VerifyError`]. No retry with the same bytes can help.

mod path;
mod read;
mod seal;
#[cfg(test)]
mod tests;
mod write;

pub use path::{PATH_LIMIT_BYTES, is_valid_path, tidy_path};
pub use read::{Limits, VerifyError, extract, verify};
pub use write::{ArchiveWriter, Digest, WriteError};

/// Name of the first member.
pub const MANIFEST_PATH: &str = "manifest.json";
/// Largest manifest, in bytes.
pub const MANIFEST_LIMIT_BYTES: u64 = 4 * 1024 * 1024;
/// Most items.
pub const ITEMS_LIMIT: usize = 4_096;
/// Largest window of the zstd frame, as a power of two: what a reader must hold in memory.
const WINDOW_LOG: u32 = 23;
