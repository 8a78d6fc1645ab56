//! Walks through a journal file's entries and keeps the fields that make a line.

use std::collections::HashMap;
use std::sync::Arc;

use super::format::{Array, Bytes, Entry, FIELD_LIMIT_BYTES, FormatError, JournalFile};

/// Fields remembered by their offset: most are shared by many entries.
const CACHE_LIMIT: usize = 8_192;
/// Enough of a field to know its name, and the whole of any short one.
const PREFIX_BYTES: usize = 320;

/// Where reading goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// After the entry with this sequence number.
    After(u64),
    /// After the last of the leading entries that are not newer than this, in microseconds.
    Since(u64),
}

impl Start {
    fn skips(self, seqnum: u64, realtime: u64) -> bool {
        match self {
            Self::After(last) => seqnum <= last,
            Self::Since(floor) => realtime <= floor,
        }
    }
}

/// One entry's fields, as far as a line needs them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) seqnum: u64,
    /// Microseconds since the epoch.
    pub(super) realtime: u64,
    /// MESSAGE; `None`: the entry has none.
    pub(super) text: Option<String>,
    /// PRIORITY.
    pub(super) priority: Option<u8>,
    /// _SYSTEMD_UNIT, written by journald itself.
    pub(super) unit: Option<Arc<str>>,
    /// UNIT, OBJECT_SYSTEMD_UNIT or COREDUMP_UNIT: of whom the writer speaks. Anybody can write that.
    pub(super) about: Option<Arc<str>>,
    /// _PID; 0: the entry has none.
    pub(super) pid: u32,
    /// _UID is 0.
    pub(super) from_root: bool,
    /// _COMM, where it is one that [`logins`](crate::logins) knows.
    pub(super) program: Option<Arc<str>>,
    /// _TRANSPORT=stdout: a line of a program's output, so that a message may be several entries.
    pub(super) from_output: bool,
    /// _TRANSPORT=kernel.
    pub(super) from_kernel: bool,
    /// N_DROPPED: messages that journald's rate limit suppressed before this one.
    pub(super) dropped: u64,
    /// Fields that could not be read.
    pub(super) unreadable: u64,
}

#[derive(Clone, Debug)]
enum Field {
    Other,
    Priority(u8),
    Unit(Arc<str>),
    About(Arc<str>),
    Pid(u32),
    Root,
    Program(Arc<str>),
    Output,
    Kernel,
    Dropped(u64),
    Unreadable,
    /// Read anew each time: seldom the same twice.
    Text,
}

/// A position in a file's entries.
pub(super) struct Entries<B> {
    pub(super) file: JournalFile<B>,
    array: Option<Array>,
    index: u64,
    consumed: u64,
    /// Last sequence number and time passed. Zero before the first.
    pub(super) last: (u64, u64),
    entry: Entry,
    buffer: Vec<u8>,
    cache: HashMap<u64, Field>,
}

impl<B: Bytes> Entries<B> {
    /// Goes to `start`.
    pub(super) fn open(bytes: B, start: Start) -> Result<Self, FormatError> {
        let mut entries = Self {
            file: JournalFile::open(bytes)?,
            array: None,
            index: 0,
            consumed: 0,
            last: (0, 0),
            entry: Entry::default(),
            buffer: Vec::new(),
            cache: HashMap::new(),
        };
        entries.seek(start)?;
        Ok(entries)
    }

    /// How many entries the header counts beyond this position.
    pub(super) fn unread(&self) -> u64 {
        self.file.header.entries.saturating_sub(self.consumed)
    }

    /// The next entry; `None` when all that are written have been read.
    ///
    /// # Errors
    /// After [`FormatError::Corrupt`] of an entry the next call goes on behind it. When the list of
    /// entries itself is corrupt, every further call says so.
    pub(super) fn next(&mut self) -> Result<Option<Message>, FormatError> {
        let Some(offset) = self.peek()? else {
            return Ok(None);
        };
        self.step();
        let mut entry = std::mem::take(&mut self.entry);
        let read = self.file.entry(offset, &mut entry);
        let message = read.map(|()| self.message(&entry));
        self.entry = entry;
        let message = message?;
        self.last = (message.seqnum, message.realtime);
        Ok(Some(message))
    }

    /// Skips whole arrays by their last entry, then entries one by one.
    fn seek(&mut self, start: Start) -> Result<(), FormatError> {
        while let Some(array) = self.current()? {
            let left = self.unread().min(array.capacity - self.index);
            if left == 0 {
                return Ok(());
            }
            let last = self.file.item(array, self.index + left - 1)?;
            if last == 0 {
                break;
            }
            let stamp = self.file.entry_stamp(last)?;
            if !start.skips(stamp.0, stamp.1) {
                break;
            }
            self.index += left;
            self.consumed += left;
            self.last = stamp;
        }
        while let Some(offset) = self.peek()? {
            let stamp = self.file.entry_stamp(offset)?;
            if !start.skips(stamp.0, stamp.1) {
                break;
            }
            self.step();
            self.last = stamp;
        }
        Ok(())
    }

    fn step(&mut self) {
        self.index += 1;
        self.consumed += 1;
    }

    /// The array that holds the next entry; `None` when there is none yet.
    fn current(&mut self) -> Result<Option<Array>, FormatError> {
        let mut array = match self.array {
            Some(array) => array,
            None if self.file.header.first_array == 0 || self.unread() == 0 => return Ok(None),
            None => self.file.array(self.file.header.first_array)?,
        };
        while self.index >= array.capacity {
            if array.next == 0 {
                // It may have grown a successor since it was read.
                array = self.file.array(array.offset)?;
                if array.next == 0 {
                    self.array = Some(array);
                    return Ok(None);
                }
            }
            array = self.file.array(array.next)?;
            self.index = 0;
        }
        self.array = Some(array);
        Ok(Some(array))
    }

    fn peek(&mut self) -> Result<Option<u64>, FormatError> {
        if self.unread() == 0 {
            return Ok(None);
        }
        let Some(array) = self.current()? else {
            return Ok(None);
        };
        let offset = self.file.item(array, self.index)?;
        Ok((offset != 0).then_some(offset))
    }

    fn message(&mut self, entry: &Entry) -> Message {
        let mut message = Message {
            seqnum: entry.seqnum,
            realtime: entry.realtime,
            ..Message::default()
        };
        for &offset in &entry.fields {
            match self.field(offset) {
                Field::Other => {}
                Field::Priority(priority) => message.priority = Some(priority),
                Field::Unit(unit) => message.unit = Some(unit),
                Field::About(unit) => message.about = Some(unit),
                Field::Pid(pid) => message.pid = pid,
                Field::Root => message.from_root = true,
                Field::Program(program) => message.program = Some(program),
                Field::Output => message.from_output = true,
                Field::Kernel => message.from_kernel = true,
                Field::Dropped(count) => message.dropped = count,
                Field::Unreadable => message.unreadable += 1,
                Field::Text => match self.file.field(offset, FIELD_LIMIT_BYTES, &mut self.buffer) {
                    Ok(()) => {
                        let text = self.buffer.get(b"MESSAGE=".len()..).unwrap_or_default();
                        message.text = Some(line(text));
                    }
                    Err(_) => message.unreadable += 1,
                },
            }
        }
        message
    }

    fn field(&mut self, offset: u64) -> Field {
        if let Some(known) = self.cache.get(&offset) {
            return known.clone();
        }
        let field = match self.file.field(offset, PREFIX_BYTES, &mut self.buffer) {
            Ok(()) => recognise(&self.buffer),
            Err(_) => Field::Unreadable,
        };
        if self.cache.len() >= CACHE_LIMIT {
            self.cache.clear();
        }
        if !matches!(field, Field::Text | Field::Unreadable) {
            self.cache.insert(offset, field.clone());
        }
        field
    }
}

fn recognise(bytes: &[u8]) -> Field {
    let Some(equals) = bytes.iter().take(64).position(|byte| *byte == b'=') else {
        return Field::Other;
    };
    let (name, value) = (&bytes[..equals], &bytes[equals + 1..]);
    if name == b"MESSAGE" {
        return Field::Text;
    }
    let Ok(value) = std::str::from_utf8(value) else {
        return Field::Other;
    };
    match name {
        b"PRIORITY" => value.parse().map_or(Field::Other, Field::Priority),
        b"_SYSTEMD_UNIT" => Field::Unit(value.into()),
        b"UNIT" | b"OBJECT_SYSTEMD_UNIT" | b"COREDUMP_UNIT" => Field::About(value.into()),
        b"_PID" => value.parse().map_or(Field::Other, Field::Pid),
        b"_UID" if value == "0" => Field::Root,
        b"_COMM" if crate::logins::is_known(value) => Field::Program(value.into()),
        b"_TRANSPORT" if value == "stdout" => Field::Output,
        b"_TRANSPORT" if value == "kernel" => Field::Kernel,
        b"N_DROPPED" => value.parse().map_or(Field::Other, Field::Dropped),
        _ => Field::Other,
    }
}

/// The text of a line: invalid UTF-8 replaced, cut to the limit, no line end.
fn line(bytes: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(bytes).into_owned();
    crate::files::cut(&mut text);
    text.truncate(text.trim_end_matches(['\n', '\r']).len());
    text
}
