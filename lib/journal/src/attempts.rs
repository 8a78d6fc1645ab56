//! Openings that never came to an end.
//!
//! On some damage the engine asks for absurd amounts of memory and the process is aborted: nothing can be caught,
//! and a service manager would start it into the same end for ever. So each attempt to open leaves a byte in
//! `<folder>.opening`, and the file goes when the attempt returns, well or not. What stands there at the next start
//! counts the attempts that did not return. It is not synced: it is processes that must not loop, not power cuts.

use std::fs::{File, OpenOptions, remove_file};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// After this many attempts that did not return, the contents are taken to be at fault.
const ATTEMPTS_LIMIT: u64 = 3;

/// An attempt under way.
pub(crate) struct Attempt {
    mark: PathBuf,
    before: u64,
}

impl Attempt {
    /// Notes an attempt to open `folder`. Where it cannot be noted, as on a full disk, it is made all the same.
    pub(crate) fn begin(folder: &Path) -> Self {
        let mut mark = folder.as_os_str().to_owned();
        mark.push(".opening");
        let mark = PathBuf::from(mark);
        let before = mark.metadata().map_or(0, |meta| meta.len());
        let noted = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&mark)
            .and_then(|mut file: File| file.write_all(b"."));
        if let Err(error) = noted {
            tracing::warn!(%error, mark = %mark.display(), "attempt to open the journal not noted");
        }
        Self { mark, before }
    }

    /// Whether the attempts before this one say that opening cannot work.
    pub(crate) fn is_hopeless(&self) -> bool {
        self.before >= ATTEMPTS_LIMIT
    }

    /// The attempt returned.
    pub(crate) fn end(self) {
        match remove_file(&self.mark) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                tracing::warn!(%error, mark = %self.mark.display(), "mark of an attempt not removed");
            }
            _ => {}
        }
    }
}
