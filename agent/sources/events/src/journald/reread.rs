//! A second look at what journal files keep, for a range of time.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use firstlook_model::{RawLine, TimeRange, Timestamp};

use super::entries::{Entries, Start};
use super::follower::journals;
use super::format::FormatError;
use crate::config::EventsConfig;

/// Entries of one file are nearly in order of time: the clock may have been set.
const OUT_OF_ORDER: Duration = Duration::from_secs(60);
/// Broken entries of one file that are passed over.
const BROKEN_LIMIT: u32 = 1_000;

/// What was not read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unread {
    /// Files that could not be read, or not to their end, with the reason.
    pub trouble: Vec<String>,
    /// The budget was spent before the end: what is missing is newer than this.
    pub beyond: Option<Timestamp>,
}

/// Hands every line of the range to `take`, file by file, until it returns false or `budget` entries were read.
pub fn journal(
    config: &EventsConfig,
    range: TimeRange,
    mut budget: u64,
    take: &mut dyn FnMut(RawLine) -> bool,
) -> Unread {
    let mut unread = Unread::default();
    let mut read = Reread {
        config,
        range,
        budget: &mut budget,
        take,
    };
    for path in config.journal_dirs.iter().flat_map(|dir| journals(dir)) {
        // What was last written before the range has nothing of it.
        let written = fs::metadata(&path).and_then(|meta| meta.modified());
        let written = written
            .ok()
            .and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let from = Duration::from_micros(u64::try_from(range.from.as_micros()).unwrap_or(0));
        if written.is_some_and(|at| at + OUT_OF_ORDER < from) {
            continue;
        }
        match read.file(&path) {
            Ok(Ended::Read) => {}
            Ok(Ended::Spent(at)) => {
                unread.beyond = Some(unread.beyond.map_or(at, |known| known.min(at)));
            }
            Ok(Ended::Enough) => return unread,
            Err(error) => {
                let name = path.file_name().unwrap_or_default().display();
                unread.trouble.push(format!("{name}: {error}"));
            }
        }
    }
    unread
}

struct Reread<'a> {
    config: &'a EventsConfig,
    range: TimeRange,
    budget: &'a mut u64,
    take: &'a mut dyn FnMut(RawLine) -> bool,
}

enum Ended {
    Read,
    /// No budget any more, at this time.
    Spent(Timestamp),
    Enough,
}

impl Reread<'_> {
    fn file(&mut self, path: &Path) -> Result<Ended, FormatError> {
        let floor = u64::try_from(self.range.from.as_micros()).unwrap_or(0);
        let mut entries = Entries::open(File::open(path)?, Start::Since(floor.saturating_sub(1)))?;
        let end = self.range.to.plus(OUT_OF_ORDER);
        let mut broken = 0;
        loop {
            let before = entries.unread();
            let message = match entries.next() {
                Ok(Some(message)) => message,
                Ok(None) => return Ok(Ended::Read),
                Err(FormatError::Corrupt { .. } | FormatError::Short { .. })
                    if entries.unread() < before && broken < BROKEN_LIMIT =>
                {
                    broken += 1;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let time = i64::try_from(message.realtime).unwrap_or(i64::MAX);
            let time = Timestamp::from_micros(time);
            if time >= end {
                return Ok(Ended::Read);
            }
            if *self.budget == 0 {
                return Ok(Ended::Spent(time));
            }
            *self.budget -= 1;
            let within = self.range.from <= time && time < self.range.to;
            let line = super::line(self.config, message).filter(|_| within);
            if line.is_some_and(|line| !(self.take)(line)) {
                return Ok(Ended::Enough);
            }
        }
    }
}
