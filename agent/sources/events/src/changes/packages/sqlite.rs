//! Reads the rows of one table of an SQLite database, without SQLite, locks or writes. The format is SQLite's
//! `fileformat2.html`: pages of table b-trees, payloads that overflow into chains of pages, and the write-ahead log.
//!
//! A writer may be at work: whoever reads compares the files' stamps before and after. Every number in the file is
//! checked; a damaged file ends in an error, never in a loop.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

const MAGIC: &[u8; 16] = b"SQLite format 3\0";
const WAL_HEADER_BYTES: u64 = 32;
const FRAME_HEADER_BYTES: u64 = 24;
/// Most frames of a write-ahead log looked at, and most pages of a database read.
const FRAMES_LIMIT: u64 = 1 << 20;
const PAGES_LIMIT: u32 = 1 << 20;
const DEPTH_LIMIT: u32 = 20;
const SCHEMA_ROW_BYTES: usize = 4_096;

/// Why a database cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum DatabaseError {
    #[error("database cannot be read")]
    Read(#[from] io::Error),
    #[error("no SQLite database, or not in UTF-8")]
    Alien,
    #[error("database is damaged or being written")]
    Corrupt,
    #[error("database has no table of this name")]
    NoTable,
}

/// An open database.
pub(super) struct Database {
    file: File,
    log: Option<File>,
    /// Where the last committed content of a page lies in the log.
    frames: HashMap<u32, u64>,
    page_bytes: usize,
    /// A page without what extensions reserve at its end.
    usable: usize,
    read: u32,
}

impl Database {
    pub(super) fn open(path: &Path) -> Result<Self, DatabaseError> {
        let file = File::open(path)?;
        let mut header = [0; 100];
        file.read_exact_at(&mut header, 0)?;
        let page_bytes = match u16::from_be_bytes([header[16], header[17]]) {
            1 => 65_536,
            bytes => usize::from(bytes),
        };
        let utf8 = matches!(header[56..60], [0, 0, 0, 0 | 1]);
        if !header.starts_with(MAGIC) || !page_bytes.is_power_of_two() || page_bytes < 512 || !utf8
        {
            return Err(DatabaseError::Alien);
        }
        let usable = page_bytes - usize::from(header[20]);
        if usable < 480 {
            return Err(DatabaseError::Alien);
        }
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        let log = File::open(log).ok();
        let frames = match &log {
            Some(log) => frames(log, page_bytes)?,
            None => HashMap::new(),
        };
        Ok(Self {
            file,
            log,
            frames,
            page_bytes,
            usable,
            read: 0,
        })
    }

    /// Gives the last column of every row of `table` to `take`, at most `limit` bytes of it.
    pub(super) fn rows(
        &mut self,
        table: &str,
        limit: usize,
        mut take: impl FnMut(&[u8]),
    ) -> Result<(), DatabaseError> {
        let mut root = None;
        self.walk(1, DEPTH_LIMIT, SCHEMA_ROW_BYTES, &mut |row| {
            let columns = columns(row)?;
            let is = |n: usize, text: &str| {
                columns
                    .get(n)
                    .is_some_and(|c: &(u64, &[u8])| c.1 == text.as_bytes())
            };
            if is(0, "table") && is(1, table) {
                root = columns.get(3).and_then(|column| integer(column.1));
            }
            Some(())
        })?;
        let root = root.ok_or(DatabaseError::NoTable)?;
        self.walk(root, DEPTH_LIMIT, limit, &mut |row| {
            take(columns(row)?.last()?.1);
            Some(())
        })
    }

    /// Every row below a page, at most `limit` bytes of each.
    fn walk(
        &mut self,
        number: u32,
        depth: u32,
        limit: usize,
        take: &mut dyn FnMut(&[u8]) -> Option<()>,
    ) -> Result<(), DatabaseError> {
        let page = self.page(number)?;
        let begin = if number == 1 { 100 } else { 0 };
        let kind = *page.get(begin).ok_or(DatabaseError::Corrupt)?;
        let cells = usize::from(short(&page, begin + 3)?);
        let pointers = begin + if kind == 5 { 12 } else { 8 };
        for cell in 0..cells {
            let at = usize::from(short(&page, pointers + 2 * cell)?);
            match kind {
                13 => {
                    let row = self.payload(&page, at, limit)?;
                    take(&row).ok_or(DatabaseError::Corrupt)?;
                }
                5 if depth > 0 => self.walk(long(&page, at)?, depth - 1, limit, take)?,
                _ => return Err(DatabaseError::Corrupt),
            }
        }
        match kind {
            13 => Ok(()),
            5 if depth > 0 => self.walk(long(&page, begin + 8)?, depth - 1, limit, take),
            _ => Err(DatabaseError::Corrupt),
        }
    }

    /// A leaf cell's payload, the rest of it from the overflow pages.
    fn payload(&mut self, page: &[u8], at: usize, limit: usize) -> Result<Vec<u8>, DatabaseError> {
        let rest = page.get(at..).ok_or(DatabaseError::Corrupt)?;
        let (length, rest) = varint(rest).ok_or(DatabaseError::Corrupt)?;
        let (_, rest) = varint(rest).ok_or(DatabaseError::Corrupt)?;
        let length = usize::try_from(length).map_err(|_| DatabaseError::Corrupt)?;
        let most = self.usable - 35;
        let local = if length <= most {
            length
        } else {
            let least = (self.usable - 12) * 32 / 255 - 23;
            let local = least + (length - least) % (self.usable - 4);
            if local <= most { local } else { least }
        };
        let mut payload = rest.get(..local).ok_or(DatabaseError::Corrupt)?.to_vec();
        let wanted = length.min(limit);
        let mut next = if local < length {
            long(rest, local)?
        } else {
            0
        };
        while payload.len() < wanted {
            let overflow = self.page(next)?;
            next = long(&overflow, 0)?;
            let part = &overflow[4..self.usable];
            payload.extend(&part[..part.len().min(length - payload.len())]);
        }
        Ok(payload)
    }

    fn page(&mut self, number: u32) -> Result<Vec<u8>, DatabaseError> {
        self.read += 1;
        if number == 0 || self.read > PAGES_LIMIT {
            return Err(DatabaseError::Corrupt);
        }
        let mut page = vec![0; self.page_bytes];
        match (self.frames.get(&number), &self.log) {
            (Some(at), Some(log)) => log.read_exact_at(&mut page, *at)?,
            _ => {
                let at = u64::from(number - 1) * self.page_bytes as u64;
                self.file.read_exact_at(&mut page, at)?;
            }
        }
        Ok(page)
    }
}

/// Where the log keeps the last committed content of each page. A log of an earlier round has other salts.
fn frames(log: &File, page_bytes: usize) -> Result<HashMap<u32, u64>, DatabaseError> {
    let mut header = [0; WAL_HEADER_BYTES as usize];
    let mut committed = HashMap::new();
    if log.metadata()?.len() < WAL_HEADER_BYTES {
        return Ok(committed);
    }
    log.read_exact_at(&mut header, 0)?;
    let is_log = matches!(header[..4], [0x37, 0x7f, 0x06, 0x82 | 0x83]);
    if !is_log || long(&header, 8)? as usize != page_bytes {
        return Ok(committed);
    }
    let frame_bytes = FRAME_HEADER_BYTES + page_bytes as u64;
    let count = (log.metadata()?.len() - WAL_HEADER_BYTES) / frame_bytes;
    let mut open = Vec::new();
    for frame in 0..count.min(FRAMES_LIMIT) {
        let at = WAL_HEADER_BYTES + frame * frame_bytes;
        let mut head = [0; FRAME_HEADER_BYTES as usize];
        log.read_exact_at(&mut head, at)?;
        if head[8..16] != header[16..24] {
            break;
        }
        open.push((long(&head, 0)?, at + FRAME_HEADER_BYTES));
        // Only the last frame of a transaction tells the size of the database.
        if long(&head, 4)? != 0 {
            committed.extend(open.drain(..));
        }
    }
    Ok(committed)
}

/// Type and content of each column of a record; the last may be cut.
fn columns(row: &[u8]) -> Option<Vec<(u64, &[u8])>> {
    let (head_bytes, types) = varint(row)?;
    let head_bytes = usize::try_from(head_bytes).ok()?;
    let mut body = row.get(head_bytes..)?;
    let mut types = types.get(..head_bytes.checked_sub(row.len() - types.len())?)?;
    let mut columns = Vec::new();
    while !types.is_empty() {
        let (kind, rest) = varint(types)?;
        types = rest;
        let length = match kind {
            0 | 8 | 9 => 0,
            1..=4 => kind,
            5 => 6,
            6 | 7 => 8,
            12.. => (kind - 12) / 2,
            _ => return None,
        };
        let length = usize::try_from(length).ok()?.min(body.len());
        let (content, rest) = body.split_at(length);
        body = rest;
        columns.push((kind, content));
    }
    Some(columns)
}

fn integer(bytes: &[u8]) -> Option<u32> {
    let value = bytes.iter().try_fold(0u64, |value, byte| {
        value.checked_mul(256)?.checked_add(u64::from(*byte))
    })?;
    u32::try_from(value).ok()
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    for (place, byte) in bytes.iter().take(9).enumerate() {
        if place == 8 {
            return Some((value << 8 | u64::from(*byte), &bytes[9..]));
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[place + 1..]));
        }
    }
    None
}

fn short(bytes: &[u8], at: usize) -> Result<u16, DatabaseError> {
    let two = bytes.get(at..at + 2).ok_or(DatabaseError::Corrupt)?;
    Ok(u16::from_be_bytes([two[0], two[1]]))
}

fn long(bytes: &[u8], at: usize) -> Result<u32, DatabaseError> {
    let four = bytes.get(at..at + 4).ok_or(DatabaseError::Corrupt)?;
    Ok(u32::from_be_bytes([four[0], four[1], four[2], four[3]]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::LazyLock;

    /// Made with SQLite 3.40: 150 rows in a table as rpm's, small ones and ones that overflow. In `log` all but ten are
    /// deleted again in the write-ahead log, behind which a frame of another transaction is not committed.
    fn fixture(name: &str) -> Vec<u8> {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/rpm");
        let packed = File::open(fixtures.join(format!("{name}.zst"))).unwrap();
        zstd::stream::decode_all(packed).unwrap()
    }

    fn blob(row: usize) -> Vec<u8> {
        let length = [10, 4_000, 4_100, 50_000, 400][row % 5];
        (0..length).map(|n| (n * 7 + row) as u8).collect()
    }

    fn read(path: &Path) -> Result<Vec<Vec<u8>>, DatabaseError> {
        let mut rows = Vec::new();
        Database::open(path)?.rows("Packages", 100_000, |blob| rows.push(blob.to_vec()))?;
        Ok(rows)
    }

    fn written(dir: &tempfile::TempDir, name: &str, bytes: &[u8]) -> std::path::PathBuf {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    #[test]
    fn rows_of_all_sizes_are_read_from_database_and_log() {
        let dir = tempfile::tempdir().unwrap();
        let rows = |count| (0..count).map(blob).collect::<Vec<_>>();
        let path = written(&dir, "rows.sqlite", &fixture("rows.sqlite"));
        assert_eq!(read(&path).unwrap(), rows(150));
        let path = written(&dir, "log.sqlite", &fixture("log.sqlite"));
        assert_eq!(read(&path).unwrap(), rows(150), "the log is gone");
        let mut log = fixture("log.sqlite-wal");
        written(&dir, "log.sqlite-wal", &log);
        assert_eq!(read(&path).unwrap(), rows(10));
        // Another salt: the log is of an earlier round.
        log[16] ^= 1;
        written(&dir, "log.sqlite-wal", &log);
        assert_eq!(read(&path).unwrap(), rows(150));
    }

    #[test]
    fn what_is_no_database_or_has_no_table_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(
            read(&written(&dir, "x", &[0; 4_096])),
            Err(DatabaseError::Alien)
        ));
        assert!(matches!(
            read(&written(&dir, "x", b"short")),
            Err(DatabaseError::Read(_))
        ));
        let path = written(&dir, "x", &fixture("rows.sqlite"));
        let other = Database::open(&path).unwrap().rows("Others", 10, |_| {});
        assert!(matches!(other, Err(DatabaseError::NoTable)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn damaged_databases_end_in_an_error_or_an_end(
            damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..30),
            cut in proptest::option::of(any::<proptest::sample::Index>()),
        ) {
            static SOUND: LazyLock<Vec<u8>> = LazyLock::new(|| fixture("rows.sqlite"));
            let mut bytes = SOUND.clone();
            for (at, byte) in damage {
                // Most often where the structure is: at the beginnings of pages.
                let at = at.index(bytes.len());
                bytes[at / 4_096 * 4_096 + at % 4_096 % 120] = byte;
            }
            bytes.truncate(cut.map_or(bytes.len(), |cut| cut.index(bytes.len())));
            let dir = tempfile::tempdir().unwrap();
            let path = written(&dir, "db", &bytes);
            let mut rows = 0;
            if let Ok(mut database) = Database::open(&path) {
                let _ = database.rows("Packages", 100_000, |_| rows += 1);
                prop_assert!(database.read <= PAGES_LIMIT + 1);
            }
        }
    }
}
