//! Reading an archive, and trusting nothing of it.

use std::io::{self, BufReader, Read, Write};

use firstlook_model::{
    Manifest, SnapshotItem,
    snapshot::{ARCHIVE_LIMIT_BYTES, MANIFEST_VERSION},
};

use crate::seal::Sealed;
use crate::{Digest, ITEMS_LIMIT, MANIFEST_LIMIT_BYTES, MANIFEST_PATH, WINDOW_LOG, is_valid_path};

const BUFFER_BYTES: usize = 64 * 1024;
const BLOCK_BYTES: u64 = 512;

/// What a reader is ready to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest archive, in bytes as it travels.
    pub archive_bytes: u64,
    /// Most bytes that it may unfold to.
    pub content_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            archive_bytes: ARCHIVE_LIMIT_BYTES,
            content_bytes: 1024 * 1024 * 1024,
        }
    }
}

/// Why an archive is refused. No retry with the same bytes helps.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The bytes cannot be read, unpacked, or end early.
    #[error("archive is damaged or cut short")]
    Damaged(#[source] io::Error),
    /// It is larger than [`Limits::archive_bytes`].
    #[error("archive is over its limit of {0} bytes")]
    TooLarge(u64),
    /// It unfolds to more than [`Limits::content_bytes`].
    #[error("archive unfolds to more than {0} bytes")]
    Bomb(u64),
    /// The first member is no manifest.
    #[error("first member is {0:?}, not the manifest")]
    NoManifest(String),
    /// The manifest is not of the expected form.
    #[error("manifest is malformed")]
    Manifest(#[source] serde_json::Error),
    /// The manifest states something impossible or over a limit.
    #[error("manifest is unfit: {0}")]
    Unfit(String),
    /// Written by a newer version.
    #[error("manifest version {0} is not known")]
    Version(u32),
    /// A path that could name something outside, or that is not in the permitted letters.
    #[error("path {0:?} is not permitted")]
    Path(String),
    /// A link, folder, device or extension header.
    #[error("member {0:?} is no regular file")]
    Kind(String),
    /// A member stands where the manifest has another, or none.
    #[error("member {found:?} stands where the manifest has {expected:?}")]
    Unexpected {
        /// What the manifest has at this place; empty at its end.
        expected: String,
        /// What was found.
        found: String,
    },
    /// The manifest has an item that the archive lacks.
    #[error("item {0:?} is missing")]
    Missing(String),
    /// A member is larger or smaller than the manifest says.
    #[error("item {path:?} has {found} bytes, the manifest says {expected}")]
    Size {
        /// The item.
        path: String,
        /// By the manifest.
        expected: u64,
        /// By its header.
        found: u64,
    },
    /// A member's content is not what the manifest says.
    #[error("item {0:?} does not have the hash that the manifest says")]
    Hash(String),
    /// Something follows the archive's end.
    #[error("bytes follow the archive's end")]
    Trailing,
    /// The bytes are not those that were sealed.
    #[error("archive's seal does not hold: it was altered or cut short")]
    Seal,
    /// What was asked for is not in the manifest.
    #[error("archive has no item {0:?}")]
    NotFound(String),
    /// What was read cannot be passed on. A retry may help.
    #[error("item cannot be written out")]
    Output(#[source] io::Error),
}

/// Reads the whole archive and checks every statement of its manifest, which it returns.
///
/// # Errors
/// [`VerifyError`] names the first thing that is wrong.
pub fn verify(archive: impl Read, limits: Limits) -> Result<Manifest, VerifyError> {
    walk(archive, limits, |_, _| Ok(()))
}

/// Verifies the whole archive and writes one item's content to `out` on the way. What was written is to be
/// trusted only when this returns without an error.
///
/// # Errors
/// As [`verify`]; [`VerifyError::NotFound`] when there is no such item.
pub fn extract(
    archive: impl Read,
    limits: Limits,
    path: &str,
    mut out: impl Write,
) -> Result<SnapshotItem, VerifyError> {
    let manifest = walk(archive, limits, |item, bytes| {
        if item.path == path {
            out.write_all(bytes)?;
        }
        Ok(())
    })?;
    let found = manifest.items.into_iter().find(|item| item.path == path);
    found.ok_or_else(|| VerifyError::NotFound(path.to_owned()))
}

fn walk(
    archive: impl Read,
    limits: Limits,
    mut each: impl FnMut(&SnapshotItem, &[u8]) -> io::Result<()>,
) -> Result<Manifest, VerifyError> {
    let mut outer = Sealed::new(Limited::new(archive, limits.archive_bytes));
    let mut inner = {
        let zstd = zstd::Decoder::with_buffer(BufReader::with_capacity(BUFFER_BYTES, &mut outer));
        let mut zstd = zstd.map_err(VerifyError::Damaged)?.single_frame();
        zstd.window_log_max(WINDOW_LOG)
            .map_err(VerifyError::Damaged)?;
        Limited::new(zstd, limits.content_bytes)
    };
    let walked = members(&mut inner, &mut each);
    let bomb = inner.exceeded;
    let walked = walked.and_then(|manifest| {
        end_of_stream(&mut inner)?;
        Ok(manifest)
    });
    let bomb = bomb || inner.exceeded;
    let mut rest = inner.inner.finish();
    let followed = io::copy(&mut rest, &mut io::sink()).map_err(VerifyError::Damaged);
    drop(rest);
    if outer.inner().exceeded {
        return Err(VerifyError::TooLarge(limits.archive_bytes));
    }
    if bomb {
        return Err(VerifyError::Bomb(limits.content_bytes));
    }
    let manifest = walked?;
    if followed? > 0 {
        return Err(VerifyError::Trailing);
    }
    if outer.holds() {
        Ok(manifest)
    } else {
        Err(VerifyError::Seal)
    }
}

fn members(
    stream: &mut impl Read,
    each: &mut impl FnMut(&SnapshotItem, &[u8]) -> io::Result<()>,
) -> Result<Manifest, VerifyError> {
    let mut tar = tar::Archive::new(stream);
    // Raw: extension headers are seen as members of a kind that is refused.
    let mut entries = tar.entries().map_err(VerifyError::Damaged)?.raw(true);
    let manifest = {
        let first = entries.next().transpose().map_err(VerifyError::Damaged)?;
        read_manifest(first.ok_or_else(|| VerifyError::NoManifest(String::new()))?)?
    };
    for item in &manifest.items {
        let entry = entries.next().transpose().map_err(VerifyError::Damaged)?;
        let entry = entry.ok_or_else(|| VerifyError::Missing(item.path.clone()))?;
        check_member(entry, item, each)?;
    }
    match entries.next().transpose().map_err(VerifyError::Damaged)? {
        None => Ok(manifest),
        Some(entry) => Err(VerifyError::Unexpected {
            expected: String::new(),
            found: name(&entry),
        }),
    }
}

fn read_manifest<R: Read>(entry: tar::Entry<'_, R>) -> Result<Manifest, VerifyError> {
    let found = name(&entry);
    if found != MANIFEST_PATH || !entry.header().entry_type().is_file() {
        return Err(VerifyError::NoManifest(found));
    }
    let size = entry.header().entry_size().map_err(VerifyError::Damaged)?;
    if size > MANIFEST_LIMIT_BYTES {
        return Err(VerifyError::Unfit(format!("it has {size} bytes")));
    }
    let mut json = Vec::new();
    let mut entry = entry;
    entry.read_to_end(&mut json).map_err(VerifyError::Damaged)?;
    if json.len() as u64 != size {
        return Err(VerifyError::Damaged(io::ErrorKind::UnexpectedEof.into()));
    }
    // The version first: a newer manifest may have another form.
    #[derive(serde::Deserialize)]
    struct Version {
        version: u32,
    }
    let Version { version } = serde_json::from_slice(&json).map_err(VerifyError::Manifest)?;
    if version != MANIFEST_VERSION {
        return Err(VerifyError::Version(version));
    }
    let manifest: Manifest = serde_json::from_slice(&json).map_err(VerifyError::Manifest)?;
    check_manifest(&manifest)?;
    Ok(manifest)
}

fn check_manifest(manifest: &Manifest) -> Result<(), VerifyError> {
    if manifest.items.len() > ITEMS_LIMIT {
        let count = manifest.items.len();
        return Err(VerifyError::Unfit(format!("it has {count} items")));
    }
    let mut seen = std::collections::HashSet::from([MANIFEST_PATH]);
    for item in &manifest.items {
        if !is_valid_path(&item.path) {
            return Err(VerifyError::Path(short(&item.path)));
        }
        if !seen.insert(&item.path) {
            let path = &item.path;
            return Err(VerifyError::Unfit(format!("item {path:?} is there twice")));
        }
    }
    Ok(())
}

fn check_member<R: Read>(
    mut entry: tar::Entry<'_, R>,
    item: &SnapshotItem,
    each: &mut impl FnMut(&SnapshotItem, &[u8]) -> io::Result<()>,
) -> Result<(), VerifyError> {
    let found = name(&entry);
    if !entry.header().entry_type().is_file() {
        return Err(VerifyError::Kind(found));
    }
    if !is_valid_path(&found) {
        return Err(VerifyError::Path(found));
    }
    if found != item.path {
        return Err(VerifyError::Unexpected {
            expected: item.path.clone(),
            found,
        });
    }
    let size = entry.header().entry_size().map_err(VerifyError::Damaged)?;
    if size != item.size_bytes {
        return Err(VerifyError::Size {
            path: found,
            expected: item.size_bytes,
            found: size,
        });
    }
    let (mut digest, mut buffer, mut left) = (Digest::default(), [0; 16 * 1024], size);
    loop {
        let read = entry.read(&mut buffer).map_err(VerifyError::Damaged)?;
        if read == 0 {
            break;
        }
        left = left.saturating_sub(read as u64);
        digest.update(&buffer[..read]);
        each(item, &buffer[..read]).map_err(VerifyError::Output)?;
    }
    if left > 0 {
        return Err(VerifyError::Damaged(io::ErrorKind::UnexpectedEof.into()));
    }
    if digest.finish() != item.sha256 {
        return Err(VerifyError::Hash(found));
    }
    Ok(())
}

/// Reads what is left of the tar stream: the second block of zeros, then the end. Reading on is also
/// what makes zstd compare its checksum.
fn end_of_stream(stream: &mut impl Read) -> Result<(), VerifyError> {
    let mut rest = Vec::new();
    let limit = 2 * BLOCK_BYTES;
    stream
        .take(limit)
        .read_to_end(&mut rest)
        .map_err(VerifyError::Damaged)?;
    if rest.len() as u64 >= limit || rest.iter().any(|b| *b != 0) {
        return Err(VerifyError::Trailing);
    }
    Ok(())
}

fn name<R: Read>(entry: &tar::Entry<'_, R>) -> String {
    short(&String::from_utf8_lossy(&entry.path_bytes()))
}

fn short(path: &str) -> String {
    path.chars().take(200).collect()
}

/// A reader that fails, and says so, when more than `left` bytes come.
struct Limited<R> {
    inner: R,
    left: u64,
    exceeded: bool,
}

impl<R: Read> Limited<R> {
    fn new(inner: R, limit: u64) -> Self {
        Self {
            inner,
            left: limit,
            exceeded: false,
        }
    }
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // One byte more than permitted is asked for, to tell the limit from the end.
        let most = usize::try_from(self.left.saturating_add(1)).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(most);
        let read = self.inner.read(&mut buffer[..wanted])?;
        if read as u64 > self.left {
            self.exceeded = true;
            return Err(io::Error::other("over its limit"));
        }
        self.left -= read as u64;
        Ok(read)
    }
}
