//! One log file being read.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use firstlook_model::log::LINE_LIMIT_BYTES;
use firstlook_model::{ComponentId, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Owner, digest};
use crate::clock;
use crate::join::{self, Piece};

/// Read at once from one file.
const CHUNK_BYTES: usize = 256 * 1024;
/// Bytes at a file's beginning that tell it from another.
const HEAD_BYTES: u64 = 1_024;
/// Least bytes of a beginning by which an unknown file is taken for a copy of a known one.
const HEAD_PROOF_BYTES: u64 = 64;
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

/// How far a file's lines were handed over. JSON in a checkpoint.
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

    /// Whether the file at `path` has this head and reaches this far.
    pub(super) fn is_head_of(&self, path: &Path) -> bool {
        let Ok(file) = File::open(path) else {
            return false;
        };
        file.metadata()
            .is_ok_and(|meta| meta.is_file() && meta.len() >= self.head_bytes)
            && self.head_bytes > 0
            && head(&file, self.head_bytes).is_ok_and(|found| found == self.head)
    }
}

/// A line that was read and may yet be joined with the next.
#[derive(Debug)]
struct Held {
    text: String,
    /// Where its file goes on, and whether in the midst of an over-long line.
    end: u64,
    skipping: bool,
    seen: Timestamp,
}

/// What was cut off over-long lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) lines: u64,
    pub(super) bytes: u64,
}

/// A file being read.
#[derive(Debug)]
pub(super) struct Tail {
    file: File,
    pub(super) path: PathBuf,
    pub(super) component: ComponentId,
    /// All before was handed over: what is kept in the checkpoint.
    pub(super) position: Position,
    /// How far it was read; the lines between are held.
    read: u64,
    /// The rest of an over-long line is being passed over.
    skipping: bool,
    /// Lines of one message are joined.
    joins: bool,
    held: Vec<Held>,
    /// Held when the file was replaced: complete, whatever comes.
    left_over: Vec<Held>,
    /// Since when it has no name that is followed.
    pub(super) left_since: Option<Timestamp>,
    partial_since: Option<Timestamp>,
    seen_bytes: u64,
    /// The position moved since it was last stored.
    pub(super) moved: bool,
    /// Where reading stood in what the file held before it was replaced, to be taken by the reader.
    pub(super) replaced: Option<Replaced>,
    /// It lost its end, and with it perhaps lines that were not read; to be taken by the reader.
    pub(super) shrank: bool,
    /// To be taken by the reader.
    pub(super) cut: Cut,
}

/// A file's content was replaced in its place, as copy-and-truncate does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Replaced {
    pub(super) position: Position,
    /// All of it that was ever seen had been read.
    pub(super) was_read: bool,
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
        joins: bool,
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
            read: 0,
            skipping: false,
            joins,
            held: Vec::new(),
            left_over: Vec::new(),
            left_since: None,
            partial_since: None,
            seen_bytes: 0,
            moved: true,
            replaced: None,
            shrank: false,
            cut: Cut::default(),
        };
        match known {
            Some(known) => {
                (tail.read, tail.skipping) = (known.offset, known.skipping);
                tail.position = known;
                tail.moved = false;
                tail.begin_anew_if_replaced(meta.len())?;
            }
            None if begin == Begin::End => tail.go_to_end(meta.len())?,
            None => {}
        }
        Ok(Some(tail))
    }

    pub(super) fn owner(&self) -> Owner {
        Owner {
            component: self.component.clone(),
            joins: self.joins,
        }
    }

    /// Whether the file at `path` begins as this one did when it was last read, so that it is a copy of it
    /// or is it itself. A short beginning proves nothing.
    pub(super) fn begins_like(&self, path: &Path) -> bool {
        self.position.head_bytes >= HEAD_PROOF_BYTES && self.position.is_head_of(path)
    }

    /// The end of the last line; what a line there still lacks is passed over.
    fn go_to_end(&mut self, size: u64) -> io::Result<()> {
        self.read = size;
        if size > 0 {
            let mut last = [0];
            self.file.read_exact_at(&mut last, size - 1)?;
            self.skipping = last[0] != b'\n';
        }
        (self.position.offset, self.position.skipping) = (self.read, self.skipping);
        self.learn_head(size)
    }

    /// A file that shrank or begins otherwise was replaced in its place. One that still begins with the same
    /// whole head only lost its end, as after a power loss: it is not read a second time.
    fn begin_anew_if_replaced(&mut self, size: u64) -> io::Result<()> {
        let head_bytes = self.position.head_bytes;
        let same_head = size >= head_bytes && head(&self.file, head_bytes)? == self.position.head;
        if same_head && size >= self.read {
            return Ok(());
        }
        self.moved = true;
        self.partial_since = None;
        self.left_over.append(&mut self.held);
        if same_head && head_bytes == HEAD_BYTES {
            self.read = size;
            self.shrank = true;
        } else {
            let known = std::mem::take(&mut self.position);
            self.replaced = Some(Replaced {
                was_read: self.seen_bytes == self.read,
                position: Position {
                    offset: self.read,
                    skipping: self.skipping,
                    ..known
                },
            });
            self.read = 0;
        }
        self.skipping = false;
        (self.position.offset, self.position.skipping) = (self.read, false);
        Ok(())
    }

    fn learn_head(&mut self, size: u64) -> io::Result<()> {
        if self.position.head_bytes < HEAD_BYTES.min(size) {
            self.position.head_bytes = HEAD_BYTES.min(size);
            self.position.head = head(&self.file, self.position.head_bytes)?;
        }
        Ok(())
    }

    /// Whether all that it holds was looked at and handed over.
    pub(super) fn is_read(&self) -> bool {
        let is_seen = self
            .file
            .metadata()
            .is_ok_and(|meta| meta.len() == self.seen_bytes);
        is_seen && self.held.is_empty() && self.left_over.is_empty()
    }

    /// As if more had been written that was not looked at.
    #[cfg(test)]
    pub(super) fn pretend_unread(&mut self) {
        self.seen_bytes = 0;
    }

    /// Hands over the messages that follow, after reading at most one chunk. Returns whether there is more.
    pub(super) fn read(
        &mut self,
        now: Timestamp,
        mut take: impl FnMut(String),
    ) -> io::Result<bool> {
        let more = self.fill(now)?;
        for held in std::mem::take(&mut self.left_over) {
            take(held.text);
        }
        self.release(now, &mut take);
        Ok(more)
    }

    /// Reads complete lines, at most one chunk. Returns whether there is more.
    fn fill(&mut self, now: Timestamp) -> io::Result<bool> {
        let size = self.file.metadata()?.len();
        let overdue = self
            .partial_since
            .is_some_and(|since| now < since || now.since(since) >= PARTIAL_LIMIT);
        if size == self.seen_bytes && !overdue {
            return Ok(false);
        }
        self.begin_anew_if_replaced(size)?;
        let mut chunk = vec![0; CHUNK_BYTES.min(size.saturating_sub(self.read) as usize)];
        let length = read_at(&self.file, &mut chunk, self.read)?;
        chunk.truncate(length);
        let before = self.read;
        let rest = self.take_lines(&chunk, now);
        if rest > LINE_LIMIT_BYTES || (overdue && rest > 0) {
            self.take_unfinished(&chunk[chunk.len() - rest..], now);
        }
        let unread = self.read < before + length as u64;
        self.partial_since = if unread && !overdue {
            self.partial_since.or(Some(now))
        } else {
            None
        };
        if self.read != before {
            self.partial_since = unread.then_some(now);
        }
        self.learn_head(size)?;
        let more = before + (length as u64) < size;
        // What is left in the middle of a chunk is read again with the next one.
        self.seen_bytes = if more { 0 } else { size };
        Ok(more && self.read != before)
    }

    /// Takes every line that has its end; returns how many bytes are left of one that has not.
    fn take_lines(&mut self, chunk: &[u8], now: Timestamp) -> usize {
        let mut rest = chunk;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line = &rest[..end];
            rest = &rest[end + 1..];
            self.read += end as u64 + 1;
            if std::mem::take(&mut self.skipping) {
                self.cut.bytes += line.len() as u64;
            } else {
                self.hold(line, now);
            }
        }
        rest.len()
    }

    /// A line without an end, too long or waited for too long.
    fn take_unfinished(&mut self, line: &[u8], now: Timestamp) {
        self.read += line.len() as u64;
        let skipped = self.skipping;
        self.skipping |= line.len() > LINE_LIMIT_BYTES;
        if skipped {
            self.cut.bytes += line.len() as u64;
        } else {
            self.hold(line, now);
        }
    }

    fn hold(&mut self, line: &[u8], now: Timestamp) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return;
        }
        if line.len() > LINE_LIMIT_BYTES {
            self.cut.lines += 1;
            self.cut.bytes += (line.len() - LINE_LIMIT_BYTES) as u64;
        }
        // A few bytes more than the limit, so that a character at its border is judged whole.
        let line = &line[..line.len().min(LINE_LIMIT_BYTES + 4)];
        let mut text = String::from_utf8_lossy(line).into_owned();
        super::cut(&mut text);
        self.held.push(Held {
            text,
            end: self.read,
            skipping: self.skipping,
            seen: now,
        });
    }

    /// Hands over the held lines that need not wait, joined.
    fn release(&mut self, now: Timestamp, take: &mut impl FnMut(String)) {
        let pieces = self.held.iter().map(|held| Piece {
            writer: 0,
            text: &held.text,
            seen: held.seen,
            joins: self.joins,
        });
        let plan = join::plan(&pieces.collect::<Vec<_>>(), now, !self.joins);
        for group in &plan.groups {
            match group[..] {
                [only] => take(std::mem::take(&mut self.held[only].text)),
                _ => take(join::text(group, |index| &self.held[index].text)),
            }
        }
        let released = self.held.drain(..plan.released).next_back();
        // Behind the last line handed over may lie what makes no line.
        let reached = if self.held.is_empty() {
            (self.read, self.skipping)
        } else {
            released.map_or((self.position.offset, self.position.skipping), |l| {
                (l.end, l.skipping)
            })
        };
        self.moved |= reached != (self.position.offset, self.position.skipping);
        (self.position.offset, self.position.skipping) = reached;
    }
}

fn head(file: &File, length: u64) -> io::Result<String> {
    if length == 0 {
        return Ok(String::new());
    }
    let mut head = vec![0; length.min(HEAD_BYTES) as usize];
    file.read_exact_at(&mut head, 0)?;
    Ok(digest(&head))
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
