//! systemd's journal file format, read only and by positioned reads.
//!
//! Source: systemd's "Journal File Format". All numbers are little-endian. A file is a header, then
//! objects at offsets that are multiples of 8, each with a head of 16 bytes: type, flags, 6 reserved
//! bytes, size. What matters here:
//!
//! - The *header* names the file (`file_id`), says what a reader must understand (`incompatible_flags`)
//!   and how many entries are complete (`n_entries`): one is counted only once it is linked.
//! - An *entry array* lists offsets of entries in order, and the next, larger array, which lies further
//!   on in the file. In compact files its items have 4 bytes instead of 8. Unused items are zero.
//! - An *entry* has a sequence number, two clocks and the offsets of its fields.
//! - A *data* object is one field, as `PRIORITY=3`, shared by all entries that have it, and compressed
//!   if it is long.
//!
//! Hash tables and fields' lists serve searches and are not read.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt;

/// Longest entry object read: 1,024 fields, systemd's own limit.
const ENTRY_LIMIT_BYTES: u64 = 64 + 1_024 * 16;
/// Longest compressed field read; a longer one is a core dump or an attack.
const COMPRESSED_LIMIT_BYTES: u64 = 1024 * 1024;
/// Largest claim of an LZ4 field's size that is believed.
const LZ4_LIMIT_BYTES: usize = 4 * 1024 * 1024;
/// Window that a zstd frame may ask for, as a power of two: 8 MiB.
const ZSTD_WINDOW_LOG: u32 = 23;
/// How much of a field is kept: the longest line and its name.
pub(super) const FIELD_LIMIT_BYTES: usize = firstlook_model::log::LINE_LIMIT_BYTES + 64;
/// Bytes read at once.
const WINDOW_BYTES: usize = 32 * 1024;
/// Windows kept: entries, arrays and fields lie in different places.
const WINDOWS: usize = 4;

const HEADER_LEAST_BYTES: usize = 208;
const OBJECT_HEAD_BYTES: u64 = 16;
const ARRAY_HEAD_BYTES: u64 = 24;
const ENTRY_HEAD_BYTES: u64 = 64;

const XZ: u32 = 1;
const LZ4: u32 = 2;
const KEYED_HASH: u32 = 4;
const ZSTD: u32 = 8;
const COMPACT: u32 = 16;

const DATA: u8 = 1;
const ENTRY: u8 = 3;
const ENTRY_ARRAY: u8 = 6;

/// Why a journal file, or a part of it, cannot be read. Another try helps only while it is being made.
#[derive(Debug, thiserror::Error)]
pub(super) enum FormatError {
    #[error("cannot read the file")]
    Io(#[from] io::Error),
    #[error("file ends at {at}, before what it refers to")]
    Short { at: u64 },
    #[error("not a journal file")]
    Alien,
    #[error("journal needs features that are not known: {flags:#x}")]
    Unsupported { flags: u32 },
    #[error("journal is corrupt: {what} at {at}")]
    Corrupt { what: &'static str, at: u64 },
    #[error("field at {at} cannot be decompressed")]
    Compressed { at: u64 },
}

/// Where the bytes are: a file, or bytes in tests.
pub(super) trait Bytes {
    /// Reads up to `buffer`'s length at `offset`; fewer only at the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
}

impl Bytes for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut read = 0;
        while read < buffer.len() {
            match FileExt::read_at(self, &mut buffer[read..], offset + read as u64) {
                Ok(0) => break,
                Ok(count) => read += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }
}

/// What the header says. The counters move while the file is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) archived: bool,
    pub(super) file_id: u128,
    pub(super) size: u64,
    pub(super) entries: u64,
    pub(super) first_array: u64,
    /// Microseconds since the epoch of the newest entry; 0: none.
    pub(super) tail_realtime: u64,
    pub(super) tail_seqnum: u64,
    compact: bool,
}

/// One entry, its fields as offsets of data objects.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) seqnum: u64,
    pub(super) realtime: u64,
    pub(super) fields: Vec<u64>,
}

/// An entry array's head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Array {
    pub(super) offset: u64,
    pub(super) capacity: u64,
    /// 0: the last.
    pub(super) next: u64,
}

/// A journal file being read.
#[derive(Debug)]
pub(super) struct JournalFile<B> {
    bytes: B,
    pub(super) header: Header,
    windows: Vec<Window>,
    turn: usize,
}

#[derive(Debug)]
struct Window {
    start: u64,
    bytes: Vec<u8>,
}

impl<B: Bytes> JournalFile<B> {
    /// Reads the header.
    pub(super) fn open(bytes: B) -> Result<Self, FormatError> {
        let header = read_header(&bytes)?;
        Ok(Self {
            bytes,
            header,
            windows: Vec::with_capacity(WINDOWS),
            turn: 0,
        })
    }

    /// Reads the header again and forgets what was read ahead, which may have been written since.
    pub(super) fn refresh(&mut self) -> Result<(), FormatError> {
        let header = read_header(&self.bytes)?;
        if header != self.header {
            self.header = header;
            self.windows.clear();
        }
        Ok(())
    }

    /// The head of the array at this offset.
    pub(super) fn array(&mut self, offset: u64) -> Result<Array, FormatError> {
        let size = self.object(offset, ENTRY_ARRAY, ARRAY_HEAD_BYTES)?.1;
        let next = self.u64(offset + 16)?;
        // Arrays are appended: one that points back would be read for ever.
        if next != 0 && next <= offset {
            return Err(FormatError::Corrupt {
                what: "entry array chain",
                at: offset,
            });
        }
        let capacity = (size - ARRAY_HEAD_BYTES) / self.item_bytes();
        Ok(Array {
            offset,
            capacity,
            next,
        })
    }

    /// The `index`th entry's offset; 0: not written.
    pub(super) fn item(&mut self, array: Array, index: u64) -> Result<u64, FormatError> {
        let at = array.offset + ARRAY_HEAD_BYTES + index * self.item_bytes();
        if self.header.compact {
            Ok(u64::from(self.u32(at)?))
        } else {
            self.u64(at)
        }
    }

    fn item_bytes(&self) -> u64 {
        if self.header.compact { 4 } else { 8 }
    }

    /// The sequence number and wall clock of the entry at this offset.
    pub(super) fn entry_stamp(&mut self, offset: u64) -> Result<(u64, u64), FormatError> {
        self.object(offset, ENTRY, ENTRY_HEAD_BYTES)?;
        Ok((self.u64(offset + 16)?, self.u64(offset + 24)?))
    }

    /// The entry at this offset, into `entry`.
    pub(super) fn entry(&mut self, offset: u64, entry: &mut Entry) -> Result<(), FormatError> {
        let (_, size) = self.object(offset, ENTRY, ENTRY_HEAD_BYTES)?;
        if size > ENTRY_LIMIT_BYTES {
            return Err(FormatError::Corrupt {
                what: "entry size",
                at: offset,
            });
        }
        entry.seqnum = self.u64(offset + 16)?;
        entry.realtime = self.u64(offset + 24)?;
        entry.fields.clear();
        let step = if self.header.compact { 4 } else { 16 };
        for at in (offset + ENTRY_HEAD_BYTES..)
            .step_by(step)
            .take((size - ENTRY_HEAD_BYTES) as usize / step)
        {
            let field = if self.header.compact {
                u64::from(self.u32(at)?)
            } else {
                self.u64(at)?
            };
            entry.fields.push(field);
        }
        Ok(())
    }

    /// The first bytes of the field at this offset, as `NAME=value`, at most `limit` and
    /// [`FIELD_LIMIT_BYTES`], into `field`.
    pub(super) fn field(
        &mut self,
        offset: u64,
        limit: usize,
        field: &mut Vec<u8>,
    ) -> Result<(), FormatError> {
        let head = if self.header.compact { 72 } else { 64 };
        let (flags, size) = self.object(offset, DATA, head)?;
        let length = size - head;
        let limit = limit.min(FIELD_LIMIT_BYTES);
        field.clear();
        let payload = offset + head;
        let failed = || FormatError::Compressed { at: offset };
        if flags == 0 {
            let wanted = usize::try_from(length).unwrap_or(limit).min(limit);
            field.resize(wanted, 0);
            return self.fill(payload, field);
        }
        if length > COMPRESSED_LIMIT_BYTES {
            return Err(failed());
        }
        let mut packed = vec![0; length as usize];
        self.fill(payload, &mut packed)?;
        let unpacked = match u32::from(flags) {
            2 => unpack_lz4(&packed, limit),
            4 => unpack_zstd(&packed, limit),
            // XZ has not been written since 2014.
            _ => None,
        };
        *field = unpacked.ok_or_else(failed)?;
        Ok(())
    }

    /// Checks an object's head; its flags and size.
    fn object(&mut self, offset: u64, kind: u8, least: u64) -> Result<(u8, u64), FormatError> {
        let mut head = [0; OBJECT_HEAD_BYTES as usize];
        if !offset.is_multiple_of(8)
            || offset < HEADER_LEAST_BYTES as u64
            || offset > self.header.size
        {
            return Err(FormatError::Corrupt {
                what: "offset",
                at: offset,
            });
        }
        self.fill(offset, &mut head)?;
        let size = u64_at(&head, 8);
        if head[0] != kind {
            return Err(FormatError::Corrupt {
                what: "type of object",
                at: offset,
            });
        }
        let end = offset.checked_add(size);
        if size < least || end.is_none_or(|end| end > self.header.size) {
            return Err(FormatError::Corrupt {
                what: "size of object",
                at: offset,
            });
        }
        Ok((head[1] & 7, size))
    }

    fn u64(&mut self, at: u64) -> Result<u64, FormatError> {
        let mut bytes = [0; 8];
        self.fill(at, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn u32(&mut self, at: u64) -> Result<u32, FormatError> {
        let mut bytes = [0; 4];
        self.fill(at, &mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    /// Fills `target` with the bytes at `at`, from what was read ahead where possible.
    fn fill(&mut self, at: u64, target: &mut [u8]) -> Result<(), FormatError> {
        if target.len() > WINDOW_BYTES {
            let read = self.bytes.read_at(target, at)?;
            return if read == target.len() {
                Ok(())
            } else {
                Err(FormatError::Short { at })
            };
        }
        let index = match self
            .windows
            .iter()
            .position(|window| window.slice(at, target.len()).is_some())
        {
            Some(index) => index,
            None => self.read_ahead(at)?,
        };
        let bytes = self.windows[index]
            .slice(at, target.len())
            .ok_or(FormatError::Short { at })?;
        target.copy_from_slice(bytes);
        Ok(())
    }

    fn read_ahead(&mut self, at: u64) -> Result<usize, FormatError> {
        if self.windows.len() < WINDOWS {
            self.windows.push(Window {
                start: 0,
                bytes: Vec::new(),
            });
        }
        self.turn = (self.turn + 1) % self.windows.len();
        let window = &mut self.windows[self.turn];
        window.start = at;
        window.bytes.resize(WINDOW_BYTES, 0);
        let read = self.bytes.read_at(&mut window.bytes, at)?;
        window.bytes.truncate(read);
        Ok(self.turn)
    }
}

impl Window {
    fn slice(&self, at: u64, length: usize) -> Option<&[u8]> {
        let from = usize::try_from(at.checked_sub(self.start)?).ok()?;
        self.bytes.get(from..from.checked_add(length)?)
    }
}

fn read_header(bytes: &impl Bytes) -> Result<Header, FormatError> {
    let mut head = [0; HEADER_LEAST_BYTES];
    if bytes.read_at(&mut head, 0)? < head.len() {
        return Err(FormatError::Short { at: 0 });
    }
    if &head[..8] != b"LPKSHHRH" {
        return Err(FormatError::Alien);
    }
    let flags = u32_at(&head, 12);
    let unknown = flags & !(XZ | LZ4 | KEYED_HASH | ZSTD | COMPACT);
    if unknown != 0 {
        return Err(FormatError::Unsupported { flags: unknown });
    }
    let (header, arena) = (u64_at(&head, 88), u64_at(&head, 96));
    let size = header
        .checked_add(arena)
        .filter(|_| header >= HEADER_LEAST_BYTES as u64)
        .ok_or(FormatError::Corrupt {
            what: "header",
            at: 88,
        })?;
    let mut file_id = [0; 16];
    file_id.copy_from_slice(&head[24..40]);
    Ok(Header {
        archived: head[16] == 2,
        file_id: u128::from_be_bytes(file_id),
        size,
        entries: u64_at(&head, 152),
        tail_seqnum: u64_at(&head, 160),
        first_array: u64_at(&head, 176),
        tail_realtime: u64_at(&head, 192),
        compact: flags & COMPACT != 0,
    })
}

fn unpack_lz4(packed: &[u8], limit: usize) -> Option<Vec<u8>> {
    let (size, block) = packed.split_first_chunk::<8>()?;
    let size = usize::try_from(u64::from_le_bytes(*size))
        .ok()
        .filter(|size| *size <= LZ4_LIMIT_BYTES)?;
    let mut unpacked = vec![0; size];
    let length = lz4_flex::block::decompress_into(block, &mut unpacked).ok()?;
    unpacked.truncate(length.min(limit));
    Some(unpacked)
}

fn unpack_zstd(packed: &[u8], limit: usize) -> Option<Vec<u8>> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(packed).ok()?;
    decoder.window_log_max(ZSTD_WINDOW_LOG).ok()?;
    let mut unpacked = Vec::new();
    decoder.take(limit as u64).read_to_end(&mut unpacked).ok()?;
    Some(unpacked)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .map_or(0, |chunk| u64::from_le_bytes(*chunk))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .map_or(0, |chunk| u32::from_le_bytes(*chunk))
}
