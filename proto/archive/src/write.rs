//! Writing an archive.

use std::io::{self, Read, Write};

use firstlook_model::{Manifest, SnapshotItem, Timestamp};
use ring::digest::{Context, SHA256};

use crate::seal::Sealing;
use crate::{ITEMS_LIMIT, MANIFEST_LIMIT_BYTES, MANIFEST_PATH, is_valid_path};

/// Fast, and close to what more would give on text.
const LEVEL: i32 = 3;

/// Why an archive cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The output cannot be written, or an item cannot be read. A retry may help.
    #[error("archive cannot be written")]
    Io(#[from] io::Error),
    /// The manifest breaks the format's rules. A retry cannot help.
    #[error("manifest is unfit: {0}")]
    Manifest(String),
    /// Items were given in another order than the manifest's, or not all of them, or of another size.
    #[error("item {0:?} is not what the manifest has next")]
    Order(String),
}

/// SHA-256 of what is put into it.
#[derive(Clone)]
pub struct Digest(Context);

impl Default for Digest {
    fn default() -> Self {
        Self(Context::new(&SHA256))
    }
}

impl Digest {
    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// 64 hexadecimal digits.
    pub fn finish(self) -> String {
        use std::fmt::Write as _;
        let mut text = String::with_capacity(64);
        for byte in self.0.finish().as_ref() {
            let _ = write!(text, "{byte:02x}");
        }
        text
    }

    /// Of `bytes` alone.
    pub fn of(bytes: &[u8]) -> String {
        let mut digest = Self::default();
        digest.update(bytes);
        digest.finish()
    }
}

/// Writes an archive whose manifest is already known.
pub struct ArchiveWriter<W: Write> {
    tar: tar::Builder<zstd::Encoder<'static, Sealing<W>>>,
    items: std::vec::IntoIter<SnapshotItem>,
}

impl<W: Write> ArchiveWriter<W> {
    /// Writes the manifest.
    ///
    /// # Errors
    /// When the manifest breaks the format's rules, or the output cannot be written.
    pub fn new(out: W, manifest: &Manifest) -> Result<Self, WriteError> {
        check(manifest)?;
        let json =
            serde_json::to_vec_pretty(manifest).map_err(|e| WriteError::Manifest(e.to_string()))?;
        if json.len() as u64 > MANIFEST_LIMIT_BYTES {
            return Err(WriteError::Manifest("it is too long".to_owned()));
        }
        let mut zstd = zstd::Encoder::new(Sealing::new(out), LEVEL)?;
        zstd.include_checksum(true)?;
        let mut tar = tar::Builder::new(zstd);
        let size = json.len() as u64;
        append(&mut tar, MANIFEST_PATH, size, manifest.ended, &json[..])?;
        Ok(Self {
            tar,
            items: manifest.items.clone().into_iter(),
        })
    }

    /// Writes the next item of the manifest.
    ///
    /// # Errors
    /// When it is not the next, holds more or less than the manifest says, or IO fails.
    pub fn item(&mut self, path: &str, content: impl Read) -> Result<(), WriteError> {
        let item = self.items.next().filter(|item| item.path == path);
        let item = item.ok_or_else(|| WriteError::Order(path.to_owned()))?;
        let mut content = Counted {
            inner: content.take(item.size_bytes),
            read: 0,
        };
        append(
            &mut self.tar,
            path,
            item.size_bytes,
            item.taken,
            &mut content,
        )?;
        if content.read == item.size_bytes {
            Ok(())
        } else {
            Err(WriteError::Order(path.to_owned()))
        }
    }

    /// Ends the archive and returns the output.
    ///
    /// # Errors
    /// When items are missing, or the output cannot be written.
    pub fn finish(mut self) -> Result<W, WriteError> {
        if let Some(item) = self.items.next() {
            return Err(WriteError::Order(item.path));
        }
        Ok(self.tar.into_inner()?.finish()?.seal()?)
    }
}

fn check(manifest: &Manifest) -> Result<(), WriteError> {
    if manifest.items.len() > ITEMS_LIMIT {
        return Err(WriteError::Manifest("it has too many items".to_owned()));
    }
    let mut seen = std::collections::HashSet::from([MANIFEST_PATH]);
    for item in &manifest.items {
        if !is_valid_path(&item.path) || !seen.insert(&item.path) {
            let path = item.path.chars().take(100).collect::<String>();
            return Err(WriteError::Manifest(format!(
                "path {path:?} is invalid or double"
            )));
        }
    }
    Ok(())
}

fn append<W: Write>(
    tar: &mut tar::Builder<W>,
    path: &str,
    size: u64,
    time: Timestamp,
    content: impl Read,
) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_path(path)?;
    header.set_size(size);
    header.set_mode(0o600);
    header.set_mtime(u64::try_from(time.as_millis() / 1_000).unwrap_or(0));
    header.set_cksum();
    tar.append(&header, content)
}

struct Counted<R> {
    inner: R,
    read: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.read += read as u64;
        Ok(read)
    }
}
