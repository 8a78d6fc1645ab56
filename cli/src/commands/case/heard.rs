//! `records.zst`: what the collector heard, record by record, so that replay takes the way that it took live.

use std::io::{self, Write};

use firstlook_model::{ComponentId, HostId, TimeRange, Timestamp};
use firstlook_proto::convert::range_to_wire;
use firstlook_proto::{heard, wire};
use tonic::Code;

use super::folder::Folder;
use super::limits;
use super::near::Near;
use crate::client::{Client, DiagnosisClient};
use crate::exit::Failure;
use crate::when::AHEAD;

/// The file's name.
const NAME: &str = "records.zst";
/// Hosts whose records are kept.
const HOSTS: usize = 32;
const LEVEL: i32 = 3;

/// What became of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kept {
    pub records: u64,
    pub hosts: usize,
}

/// Writes the records of the hosts nearest to the incident, and notes what is left out. None where the collector cannot tell them,
/// or there is no room.
///
/// # Errors
/// The collector's, or the folder's.
pub async fn write(
    (client, diagnosis): (&mut Client, &mut DiagnosisClient),
    folder: &Folder,
    range: TimeRange,
    near: &Near,
    notes: &mut Vec<String>,
) -> Result<Option<Kept>, Failure> {
    let mut hosts = super::ask::hosts(client).await?;
    hosts.sort_by_key(|host| (near.steps(&ComponentId::host(host.clone())), host.clone()));
    if hosts.len() > HOSTS {
        let out = hosts.len() - HOSTS;
        notes.push(format!(
            "{NAME}: {out} hosts are left out, those farthest from the incident"
        ));
        hosts.truncate(HOSTS);
    }
    if hosts.is_empty() {
        notes.push(format!("{NAME} is left out: the collector knows no host"));
        return Ok(None);
    }
    // A host whose clock is ahead bears times that are still to come.
    let range = TimeRange::new(range.from, range.to.plus(AHEAD));
    let request = wire::HeardRequest {
        range: Some(range_to_wire(range)),
        hosts: hosts.iter().map(HostId::to_string).collect(),
    };
    let mut replies = match diagnosis.heard(request).await {
        Ok(replies) => replies.into_inner(),
        Err(status) if status.code() == Code::Unimplemented => {
            notes.push(format!(
                "{NAME} is left out: the collector is of an older version; replay ranks series, and gives no verdict as it was live"
            ));
            return Ok(None);
        }
        Err(status) => return Err(status.into()),
    };
    let mut kept = Kept {
        records: 0,
        hosts: hosts.len(),
    };
    let failed = |error: io::Error| folder.failed(NAME, &error);
    let limited = Limited {
        file: folder.create(NAME)?,
        room: limits::FILE_BYTES,
    };
    let mut file = zstd::Encoder::new(limited, LEVEL).map_err(failed)?;
    file.include_checksum(true).map_err(failed)?;
    heard::begin(&mut file).map_err(failed)?;
    loop {
        let reply = match replies.message().await {
            Ok(Some(reply)) => reply,
            Ok(None) => break,
            Err(status) if status.code() == Code::DataLoss => {
                return left_out(folder, notes, status.message());
            }
            Err(status) => return Err(status.into()),
        };
        for record in reply.records {
            let host = HostId::new(record.host)?;
            let received = Timestamp::from_micros(record.received);
            match heard::append(&mut file, &host, received, &record.record) {
                Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                    return left_out(folder, notes, &too_large());
                }
                written => written.map_err(failed)?,
            }
            kept.records += 1;
        }
    }
    match file.finish().and_then(|mut limited| {
        limited.flush()?;
        limited.file.sync_all()
    }) {
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            left_out(folder, notes, &too_large())
        }
        done => {
            done.map_err(failed)?;
            Ok(Some(kept))
        }
    }
}

fn too_large() -> String {
    format!(
        "it would be larger than the {} MiB that replay reads; a shorter --before may do",
        limits::FILE_BYTES >> 20
    )
}

fn left_out(folder: &Folder, notes: &mut Vec<String>, why: &str) -> Result<Option<Kept>, Failure> {
    folder.remove(NAME)?;
    notes.push(format!("{NAME} is left out: {why}"));
    Ok(None)
}

/// A file that takes so many bytes and no more.
struct Limited {
    file: std::fs::File,
    room: usize,
}

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.room {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let written = self.file.write(bytes)?;
        self.room -= written;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_there_is_room_for_is_not_written() {
        let mut limited = Limited {
            file: tempfile::tempfile().unwrap(),
            room: 10,
        };
        limited.write_all(b"12345678").unwrap();
        let refused = limited.write_all(b"901").unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::FileTooLarge);
        limited.write_all(b"90").unwrap();
        assert_eq!(limited.file.metadata().unwrap().len(), 10);
    }
}
