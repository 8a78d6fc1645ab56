//! A log file's lines within a range of time, found by their stamps.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::{Duration, UNIX_EPOCH};

use firstlook_model::log::LINE_LIMIT_BYTES;
use firstlook_pipeline::stamp;
use firstlook_sources_events::KeptFile;

use super::{LogSource, RawLine, TimeRange, Timestamp};

/// Read at once.
const CHUNK_BYTES: usize = 64 * 1024;
/// The beginning of a range is looked for no closer than this.
const CLOSE_BYTES: u64 = 256 * 1024;
/// Lines are nearly in order of time: what is written at once comes mixed.
const OUT_OF_ORDER: Duration = Duration::from_secs(60);

/// Hands over the lines of the range until `take` returns false; a line without a stamp has that of the line before it.
/// `budget` is what may be read in all, in bytes. Returns what was not read, in words.
///
/// # Errors
/// When it cannot be read.
pub(super) fn read(
    kept: &KeptFile,
    range: TimeRange,
    budget: &mut u64,
    take: &mut dyn FnMut(RawLine) -> bool,
) -> io::Result<Option<String>> {
    let (file, path) = (File::open(&kept.path)?, kept.path.display());
    let meta = file.metadata()?;
    let written = meta
        .modified()?
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let written = Timestamp::from_micros(i64::try_from(written.as_micros()).unwrap_or(i64::MAX));
    if written.plus(OUT_OF_ORDER) < range.from {
        return Ok(None);
    }
    if kept.packed {
        return Ok(Some(format!("{path} is packed: its lines are not read")));
    }
    let log = Log {
        size: meta.len(),
        written,
        zone: 0,
        file,
    };
    let Some(log) = log.in_its_zone()? else {
        return log_without_stamps(kept, &meta, written, range, budget, take);
    };
    let from = log.first_after(range.from.minus(OUT_OF_ORDER))?;
    let end = range.to.plus(OUT_OF_ORDER);
    let mut time = None;
    let whole = log.lines(from, budget, |text| {
        let own = stamp::kept(&text, log.written, log.zone);
        time = own.or(time);
        match time {
            Some(at) if at >= end => false,
            Some(at) if range.from <= at && at < range.to => take(line(kept, at, text)),
            _ => true,
        }
    })?;
    Ok((!whole).then(|| spent(kept, time)))
}

fn spent(kept: &KeptFile, time: Option<Timestamp>) -> String {
    let path = kept.path.display();
    match time {
        Some(time) => format!("{path} was read to {time} only: ask for a shorter time"),
        None => format!("{path} was not read: ask for a shorter time"),
    }
}

/// Nobody knows when its lines were written: the last of them when it was, where that is within the range.
fn log_without_stamps(
    kept: &KeptFile,
    meta: &std::fs::Metadata,
    written: Timestamp,
    range: TimeRange,
    budget: &mut u64,
    take: &mut dyn FnMut(RawLine) -> bool,
) -> io::Result<Option<String>> {
    if written < range.from || written >= range.to || meta.len() == 0 {
        return Ok(None);
    }
    let log = Log {
        file: File::open(&kept.path)?,
        size: meta.len(),
        written,
        zone: 0,
    };
    let from = log.size.saturating_sub(CLOSE_BYTES);
    let whole = log.lines(from, budget, |text| take(line(kept, written, text)))?;
    let path = kept.path.display();
    let note =
        format!("{path} has no time stamps: its last lines are given the time of the last write");
    Ok(Some(if whole { note } else { spent(kept, None) }))
}

fn line(kept: &KeptFile, time: Timestamp, text: String) -> RawLine {
    RawLine {
        time,
        component: kept.component.clone(),
        severity: None,
        source: LogSource::File,
        text,
    }
}

struct Log {
    file: File,
    size: u64,
    /// When it was last written.
    written: Timestamp,
    /// How far stamps without a zone are ahead of UTC, in microseconds.
    zone: i64,
}

impl Log {
    /// With the zone that its last stamp shows; `None` when none of its last lines has a stamp.
    fn in_its_zone(mut self) -> io::Result<Option<Self>> {
        let from = self.size.saturating_sub(CHUNK_BYTES as u64);
        let (mut zone, mut stamped) = (None, false);
        let written = self.written;
        self.lines(from, &mut (2 * CHUNK_BYTES as u64), |text| {
            zone = stamp::zone(&text, written).or(zone);
            stamped |= stamp::kept(&text, written, 0).is_some();
            true
        })?;
        self.zone = zone.unwrap_or(0);
        Ok(stamped.then_some(self))
    }

    /// A place before the first line that is not older than `time`: by halves.
    fn first_after(&self, time: Timestamp) -> io::Result<u64> {
        let (mut low, mut high) = (0, self.size);
        while high - low > CLOSE_BYTES {
            let middle = low + (high - low) / 2;
            let mut first = None;
            self.lines(middle, &mut (CHUNK_BYTES as u64), |text| {
                first = stamp::kept(&text, self.written, self.zone);
                first.is_none()
            })?;
            // Without a stamp there, rather too early than too late.
            if first.is_some_and(|first| first < time) {
                low = middle;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// Whole lines from a place on, cut to the longest that is kept, until `take` returns false. A line whose beginning is
    /// before the place is passed over. False when the budget was spent before the end.
    fn lines(
        &self,
        from: u64,
        budget: &mut u64,
        mut take: impl FnMut(String) -> bool,
    ) -> io::Result<bool> {
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut at = from.saturating_sub(1);
        // The byte before tells whether a line begins here.
        let (mut line, mut skips) = (Vec::new(), from > 0);
        while at < self.size {
            if *budget == 0 {
                return Ok(false);
            }
            let most = (self.size - at).min(*budget).min(CHUNK_BYTES as u64);
            let most = usize::try_from(most).unwrap_or(CHUNK_BYTES);
            let read = self.file.read_at(&mut chunk[..most], at)?;
            if read == 0 {
                break;
            }
            (at, *budget) = (at + read as u64, *budget - read as u64);
            for part in chunk[..read].split_inclusive(|byte| *byte == b'\n') {
                let (text, ends) = match part.split_last() {
                    Some((b'\n', text)) => (text, true),
                    _ => (part, false),
                };
                let room = LINE_LIMIT_BYTES.saturating_sub(line.len());
                line.extend_from_slice(&text[..text.len().min(room)]);
                if !ends {
                    continue;
                }
                let whole = std::mem::take(&mut line);
                if std::mem::take(&mut skips) {
                    continue;
                }
                if !take(String::from_utf8_lossy(&whole).into_owned()) {
                    return Ok(true);
                }
            }
        }
        if !line.is_empty() && !skips {
            take(String::from_utf8_lossy(&line).into_owned());
        }
        Ok(true)
    }
}
