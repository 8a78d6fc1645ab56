//! One log file being read.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use firstlook_model::log::LINE_LIMIT_BYTES;
use firstlook_model::{ComponentId, Timestamp};
use serde::{Deserialize, Serialize};

use super::digest;
use crate::clock;

/// Read at once from one file.
const CHUNK_BYTES: usize = 256 * 1024;
/// Bytes at a file's beginning that tell it from another.
const HEAD_BYTES: u64 = 1_024;
/// How long a line may want its end before it is taken as it is.
const PARTIAL_LIMIT: Duration = Duration::from_secs(10);

/// Where a file is, whatever its name: device, inode, birth time where the file system keeps one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Identity(String);

impl Identity {
    pub(super) fn of(meta: &Metadata) -> Self {
        let birth = meta
            .created()
            .map_or(0, |time| clock::from_system(time).as_micros());
        Self(format!("{:x}-{:x}-{birth:x}", meta.dev(), meta.ino()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// How far a file was read. JSON in a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// Bytes read: all before belongs to lines that were handed over.
    pub(super) offset: u64,
    /// Bytes of the head, at most 1,024, and their digest: another content means another file.
    pub(super) head_bytes: u64,
    pub(super) head: String,
    /// The rest of an over-long line is being passed over.
    pub(super) skipping: bool,
}

impl Position {
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let position: Self = serde_json::from_slice(bytes).ok()?;
        (position.head_bytes <= HEAD_BYTES).then_some(position)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers and strings are always JSON")
    }
}

/// A file being read.
#[derive(Debug)]
pub(super) struct Tail {
    file: File,
    pub(super) path: PathBuf,
    pub(super) component: ComponentId,
    pub(super) position: Position,
    /// Since when it has no name that is followed.
    pub(super) left_since: Option<Timestamp>,
    partial_since: Option<Timestamp>,
    seen_bytes: u64,
    /// The position moved since it was last stored.
    pub(super) moved: bool,
}

/// Where a file without a checkpoint begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    Start,
    End,
}

impl Tail {
    /// Opens the file that has this identity at `path`; `None` when another has taken its place.
    pub(super) fn open(
        path: &Path,
        identity: &Identity,
        component: ComponentId,
        known: Option<Position>,
        begin: Begin,
    ) -> io::Result<Option<Self>> {
        let file = File::open(path)?;
        let meta = file.metadata()?;
        if Identity::of(&meta) != *identity || !meta.is_file() {
            return Ok(None);
        }
        let mut tail = Self {
            file,
            path: path.to_owned(),
            component,
            position: Position::default(),
            left_since: None,
            partial_since: None,
            seen_bytes: 0,
            moved: true,
        };
        match known {
            Some(known) => {
                tail.position = known;
                tail.moved = false;
                tail.begin_anew_if_replaced(meta.len())?;
            }
            None if begin == Begin::End => tail.go_to_end(meta.len())?,
            None => {}
        }
        Ok(Some(tail))
    }

    /// The end of the last line; what a line there still lacks is passed over.
    fn go_to_end(&mut self, size: u64) -> io::Result<()> {
        self.position.offset = size;
        if size > 0 {
            let mut last = [0];
            self.file.read_exact_at(&mut last, size - 1)?;
            self.position.skipping = last[0] != b'\n';
        }
        self.learn_head(size)
    }

    /// The file was cut, or written anew in place: what was read before is not in it any more.
    fn begin_anew_if_replaced(&mut self, size: u64) -> io::Result<bool> {
        let replaced = size < self.position.offset.max(self.position.head_bytes)
            || self.head(self.position.head_bytes)? != self.position.head;
        if replaced {
            self.position = Position::default();
            self.partial_since = None;
            self.moved = true;
        }
        Ok(replaced)
    }

    fn head(&self, length: u64) -> io::Result<String> {
        if length == 0 {
            return Ok(String::new());
        }
        let mut head = vec![0; length.min(HEAD_BYTES) as usize];
        self.file.read_exact_at(&mut head, 0)?;
        Ok(digest(&head))
    }

    fn learn_head(&mut self, size: u64) -> io::Result<()> {
        if self.position.head_bytes < HEAD_BYTES.min(size) {
            self.position.head_bytes = HEAD_BYTES.min(size);
            self.position.head = self.head(self.position.head_bytes)?;
        }
        Ok(())
    }

    /// Whether all that it holds was looked at.
    pub(super) fn is_read(&self) -> bool {
        self.file
            .metadata()
            .is_ok_and(|meta| meta.len() == self.seen_bytes)
    }

    /// As if more had been written that was not looked at.
    #[cfg(test)]
    pub(super) fn pretend_unread(&mut self) {
        self.seen_bytes = 0;
    }

    /// Hands over the complete lines that follow, at most one chunk. Returns whether there is more.
    pub(super) fn read(
        &mut self,
        now: Timestamp,
        mut take: impl FnMut(String),
    ) -> io::Result<bool> {
        let size = self.file.metadata()?.len();
        let overdue = self
            .partial_since
            .is_some_and(|since| now.since(since) >= PARTIAL_LIMIT);
        if size == self.seen_bytes && !overdue {
            return Ok(false);
        }
        self.begin_anew_if_replaced(size)?;
        let mut chunk =
            vec![0; CHUNK_BYTES.min(size.saturating_sub(self.position.offset) as usize)];
        let length = read_at(&self.file, &mut chunk, self.position.offset)?;
        chunk.truncate(length);
        let before = self.position.offset;
        let rest = self.take_lines(&chunk, &mut take);
        if rest > LINE_LIMIT_BYTES || (overdue && rest > 0) {
            self.take_unfinished(&chunk[chunk.len() - rest..], &mut take);
        }
        let unread = self.position.offset < before + length as u64;
        self.partial_since = if unread && !overdue {
            self.partial_since.or(Some(now))
        } else {
            None
        };
        if self.position.offset != before {
            self.partial_since = unread.then_some(now);
            self.moved = true;
        }
        self.learn_head(size)?;
        let more = before + (length as u64) < size;
        // What is left in the middle of a chunk is read again with the next one.
        self.seen_bytes = if more { 0 } else { size };
        Ok(more && self.position.offset != before)
    }

    /// Takes every line that has its end; returns how many bytes are left of one that has not.
    fn take_lines(&mut self, chunk: &[u8], take: &mut impl FnMut(String)) -> usize {
        let mut rest = chunk;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line = &rest[..end];
            rest = &rest[end + 1..];
            self.position.offset += end as u64 + 1;
            if !std::mem::take(&mut self.position.skipping) {
                hand_over(line, take);
            }
        }
        rest.len()
    }

    /// A line without an end, too long or waited for too long.
    fn take_unfinished(&mut self, line: &[u8], take: &mut impl FnMut(String)) {
        self.position.offset += line.len() as u64;
        if !self.position.skipping {
            hand_over(line, take);
        }
        self.position.skipping |= line.len() > LINE_LIMIT_BYTES;
    }
}

fn hand_over(line: &[u8], take: &mut impl FnMut(String)) {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.is_empty() {
        return;
    }
    // A few bytes more than the limit, so that a character at its border is judged whole.
    let mut text =
        String::from_utf8_lossy(&line[..line.len().min(LINE_LIMIT_BYTES + 4)]).into_owned();
    super::cut(&mut text);
    take(text);
}

fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        match file.read_at(&mut buffer[read..], offset + read as u64) {
            Ok(0) => break,
            Ok(count) => read += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}
