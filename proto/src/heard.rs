//! What a collector heard, in a file: one record after the other, as the analysis took them.
//!
//! A mark first, then for each record: the length of its host's name (one byte) and the name, when it was received
//! (microseconds since the Unix epoch, eight bytes), its length (four bytes) and the record as it is on the wire; numbers
//! with their lowest byte first. Whoever keeps it compresses it.

use std::io::{self, ErrorKind, Read, Write};

use bytes::Bytes;
use firstlook_model::record::RECORD_LIMIT_BYTES;
use firstlook_model::{HostId, Record, Timestamp};

use crate::convert::{InvalidMessage, decode_record};

const MARK: &[u8; 16] = b"firstlook heard\x01";

/// A record that was heard.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    /// Of whom.
    pub host: HostId,
    /// When the collector received it.
    pub received: Timestamp,
    /// What.
    pub record: Record,
}

/// Why a file cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum HeardError {
    /// The file's own.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It does not begin with the mark.
    #[error("no file of what was heard, or of another version")]
    Mark,
    /// A name or a length that cannot be.
    #[error("record {0}: {1}")]
    Form(u64, String),
    /// A record that does not convert.
    #[error("record {0}: {1}")]
    Record(u64, InvalidMessage),
}

/// Begins a file.
///
/// # Errors
/// The file's.
pub fn begin(file: &mut impl Write) -> io::Result<()> {
    file.write_all(MARK)
}

/// Writes a record in its encoding after those that stand there.
///
/// # Errors
/// The file's.
pub fn append(
    file: &mut impl Write,
    host: &HostId,
    received: Timestamp,
    record: &[u8],
) -> io::Result<()> {
    let too_long = |_| io::Error::new(ErrorKind::InvalidInput, "longer than a record can be");
    let name = host.as_str().as_bytes();
    file.write_all(&[u8::try_from(name.len()).map_err(too_long)?])?;
    file.write_all(name)?;
    file.write_all(&received.as_micros().to_le_bytes())?;
    file.write_all(&u32::try_from(record.len()).map_err(too_long)?.to_le_bytes())?;
    file.write_all(record)
}

/// Reads records one after the other; ends at the first error.
#[derive(Debug)]
pub struct HeardRecords<R> {
    file: R,
    read: u64,
    ended: bool,
}

impl<R: Read> HeardRecords<R> {
    /// After the mark.
    ///
    /// # Errors
    /// [`HeardError::Mark`] when it is not there.
    pub fn open(mut file: R) -> Result<Self, HeardError> {
        let mut mark = [0; MARK.len()];
        match file.read_exact(&mut mark) {
            Err(error) if error.kind() != ErrorKind::UnexpectedEof => return Err(error.into()),
            Ok(()) if mark == *MARK => {}
            _ => return Err(HeardError::Mark),
        }
        Ok(Self {
            file,
            read: 0,
            ended: false,
        })
    }

    fn read_next(&mut self) -> Result<Option<Heard>, HeardError> {
        let mut length = [0; 1];
        if self.file.read(&mut length)? == 0 {
            return Ok(None);
        }
        self.read += 1;
        let mut name = vec![0; usize::from(length[0])];
        self.file.read_exact(&mut name)?;
        let form = |why: String| HeardError::Form(self.read, why);
        let name = String::from_utf8(name).map_err(|error| form(error.to_string()))?;
        let host = HostId::new(name).map_err(|error| form(error.to_string()))?;
        let mut received = [0; 8];
        self.file.read_exact(&mut received)?;
        let received = Timestamp::from_micros(i64::from_le_bytes(received));
        let mut length = [0; 4];
        self.file.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length) as usize;
        if length > RECORD_LIMIT_BYTES {
            return Err(form(format!(
                "{length} bytes, more than {RECORD_LIMIT_BYTES}"
            )));
        }
        let mut record = vec![0; length];
        self.file.read_exact(&mut record)?;
        let (record, _) = decode_record(Bytes::from(record))
            .map_err(|error| HeardError::Record(self.read, error))?;
        Ok(Some(Heard {
            host,
            received,
            record,
        }))
    }
}

impl<R: Read> Iterator for HeardRecords<R> {
    type Item = Result<Heard, HeardError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.read_next().transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}

#[cfg(test)]
mod tests {
    use firstlook_model::{Loss, TimeRange};
    use proptest::prelude::*;

    use super::*;
    use crate::convert::encode_record;

    fn loss(count: u64) -> Record {
        let range = TimeRange::new(Timestamp::from_secs(1), Timestamp::from_secs(2));
        Record::Losses(vec![Loss {
            source: "journald".to_owned(),
            reason: "shed".to_owned(),
            count,
            bytes: 0,
            from: range.from,
            to: range.to,
        }])
    }

    fn written(count: u64) -> (Vec<u8>, Vec<Heard>) {
        let mut file = Vec::new();
        begin(&mut file).expect("memory");
        let all = (0..count).map(|number| Heard {
            host: HostId::new(format!("h{number}")).expect("a name"),
            received: Timestamp::from_secs(number as i64 - 1),
            record: loss(number),
        });
        let all: Vec<Heard> = all.collect();
        for heard in &all {
            let record = encode_record(&heard.record).expect("small");
            append(&mut file, &heard.host, heard.received, &record).expect("memory");
        }
        (file, all)
    }

    #[test]
    fn what_was_written_is_read() {
        let (file, all) = written(3);
        let read: Result<Vec<Heard>, _> = HeardRecords::open(&file[..]).expect("marked").collect();
        assert_eq!(read.expect("whole"), all);
    }

    #[test]
    fn what_is_none_and_what_is_cut_says_so() {
        for other in [&b""[..], b"firstlook heard\x02and more", b"PK"] {
            let refused = HeardRecords::open(other).expect_err("no mark");
            assert!(matches!(refused, HeardError::Mark), "{refused}");
        }
        let (file, all) = written(2);
        for cut in MARK.len() + 1..file.len() {
            let read: Vec<_> = HeardRecords::open(&file[..cut]).expect("marked").collect();
            let whole = read.iter().filter(|r| r.is_ok()).count();
            assert!(
                whole < all.len() && read.len() <= whole + 1,
                "{cut}: {read:?}"
            );
        }
        let long = [&MARK[..], b"\x01a", &[0; 8], &[0xff; 4]].concat();
        let refused = HeardRecords::open(&long[..]).expect("marked").next();
        let refused = refused.expect("one").expect_err("too long").to_string();
        assert!(
            refused.starts_with("record 1: 4294967295 bytes"),
            "{refused}"
        );
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let file = [&MARK[..], &bytes].concat();
            prop_assert!(HeardRecords::open(&file[..]).expect("marked").count() <= bytes.len());
        }
    }
}
