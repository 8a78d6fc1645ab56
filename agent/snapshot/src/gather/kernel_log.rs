//! The kernel's ring buffer, read to its end without waiting. Source: Documentation/ABI/testing/dev-kmsg.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;

use rustix::fs::OFlags;

use crate::request::{Redact, Roots};
use crate::task::{GatherError, Sink, Task};

/// Largest record that the kernel gives (PRINTKRB_RECORD_MAX and more).
const RECORD_BYTES: usize = 16 * 1024;
/// How much is kept: the newest.
const KEPT_BYTES: usize = 2 * 1024 * 1024;
/// Most records read, against a kernel that logs faster than they can be read.
const RECORDS_LIMIT: usize = 200_000;

pub(super) fn task(roots: &Roots, redact: Arc<dyn Redact>) -> Task {
    let path = roots.kmsg.clone();
    let what = "kernel log: priority, sequence, microseconds since boot, text";
    Task::new("kernel.log", what, move |sink| {
        let file = File::options()
            .read(true)
            .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
            .open(&path)
            .map_err(GatherError::read(&path))?;
        let (lines, dropped) = read(file, redact.as_ref()).map_err(GatherError::read(&path))?;
        write(sink, &lines)?;
        if dropped > 0 {
            return Err(GatherError::Partly(format!(
                "the oldest {dropped} lines were over the limit"
            )));
        }
        Ok(())
    })
}

fn write(sink: &Sink, lines: &VecDeque<String>) -> Result<(), GatherError> {
    lines
        .iter()
        .try_for_each(|line| sink.write(line.as_bytes()))
}

/// The newest lines, and how many older ones were let go.
fn read(mut file: impl Read, redact: &dyn Redact) -> std::io::Result<(VecDeque<String>, usize)> {
    let (mut lines, mut bytes, mut dropped) = (VecDeque::new(), 0, 0);
    let mut record = vec![0; RECORD_BYTES];
    for _ in 0..RECORDS_LIMIT {
        let len = match file.read(&mut record) {
            Ok(0) => break,
            Ok(len) => len,
            // Overwritten while reading: the next read goes on at the oldest that is left.
            Err(e) if e.raw_os_error() == Some(rustix::io::Errno::PIPE.raw_os_error()) => continue,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => break,
            Err(e) => return Err(e),
        };
        let line = redact.text(&String::from_utf8_lossy(&record[..len]));
        bytes += line.len();
        lines.push_back(line);
        while bytes > KEPT_BYTES {
            bytes -= lines.pop_front().map_or(0, |line| line.len());
            dropped += 1;
        }
    }
    Ok((lines, dropped))
}
