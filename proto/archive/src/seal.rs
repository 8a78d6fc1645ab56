//! The seal: a hash over the bytes as they travel, because a compressor's own checksum does not notice every
//! flipped bit.

use std::io::{self, Read, Write};

use ring::digest::{Context, SHA256, SHA256_OUTPUT_LEN};

/// A skippable frame of RFC 8878 whose content is as long as a SHA-256.
const HEAD: [u8; 8] = [0x5a, 0x2a, 0x4d, 0x18, SHA256_OUTPUT_LEN as u8, 0, 0, 0];
/// Length of a seal, in bytes.
const SEAL_BYTES: usize = HEAD.len() + SHA256_OUTPUT_LEN;
const CHUNK_BYTES: usize = 16 * 1024;

/// Passes bytes on and seals them at the end.
pub(crate) struct Sealing<W> {
    out: W,
    hash: Context,
}

impl<W: Write> Sealing<W> {
    pub fn new(out: W) -> Self {
        Self {
            out,
            hash: Context::new(&SHA256),
        }
    }

    pub fn seal(mut self) -> io::Result<W> {
        self.out.write_all(&HEAD)?;
        self.out.write_all(self.hash.finish().as_ref())?;
        self.out.flush()?;
        Ok(self.out)
    }
}

impl<W: Write> Write for Sealing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Passes on all bytes but the seal, which it keeps back and compares.
pub(crate) struct Sealed<R> {
    inner: R,
    hash: Context,
    /// Read and not yet passed on; its end may be the seal.
    held: Vec<u8>,
    ended: bool,
}

impl<R: Read> Sealed<R> {
    pub fn new(inner: R) -> Self {
        Self {
            inner,
            hash: Context::new(&SHA256),
            held: Vec::with_capacity(CHUNK_BYTES + SEAL_BYTES),
            ended: false,
        }
    }

    pub fn inner(&self) -> &R {
        &self.inner
    }

    /// Whether all was read and the seal is that of the bytes before it.
    pub fn holds(self) -> bool {
        let hash = self.hash.finish();
        self.ended
            && self.held.len() == SEAL_BYTES
            && self.held[..HEAD.len()] == HEAD
            && self.held[HEAD.len()..] == *hash.as_ref()
    }

    fn fill(&mut self) -> io::Result<()> {
        while !self.ended && self.held.len() <= SEAL_BYTES {
            let before = self.held.len();
            self.held.resize(before + CHUNK_BYTES, 0);
            let read = self.inner.read(&mut self.held[before..]);
            self.held
                .truncate(before + read.as_ref().copied().unwrap_or(0));
            match read {
                Ok(0) => self.ended = true,
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for Sealed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.fill()?;
        let free = self.held.len().saturating_sub(SEAL_BYTES);
        let len = free.min(buffer.len());
        buffer[..len].copy_from_slice(&self.held[..len]);
        self.hash.update(&self.held[..len]);
        self.held.drain(..len);
        Ok(len)
    }
}
