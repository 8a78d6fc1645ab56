//! Folders that an engine cannot open any more: noticed even where opening ends the process, and set aside.
//!
//! On some damage an engine asks for absurd amounts of memory and the process is aborted: nothing can be caught,
//! and a service manager would start it into the same end for ever. So each attempt to open leaves a byte in
//! `<folder>.opening`, and the file goes when the attempt returns, well or not. What stands there at the next start
//! counts the attempts that did not return. It is not synced: it is processes that must not loop, not power cuts.
//!
//! What is damaged is renamed, never removed: whoever is to repair it finds every byte.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, remove_file};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// After this many attempts that did not return, the contents are taken to be at fault.
pub const ATTEMPTS_LIMIT: u64 = 3;

/// An attempt under way.
pub struct Attempt {
    mark: PathBuf,
    before: u64,
}

impl Attempt {
    /// Notes an attempt to open `folder`. Where it cannot be noted, as on a full disk, it is made all the same.
    pub fn begin(folder: &Path) -> Self {
        let mark = beside(folder, ".opening");
        let before = mark.metadata().map_or(0, |meta| meta.len());
        let noted = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&mark)
            .and_then(|mut file: File| file.write_all(b"."));
        if let Err(error) = noted {
            tracing::warn!(%error, mark = %mark.display(), "attempt to open not noted");
        }
        Self { mark, before }
    }

    /// Whether the attempts before this one say that opening cannot work.
    pub fn is_hopeless(&self) -> bool {
        self.before >= ATTEMPTS_LIMIT
    }

    /// The attempt returned.
    pub fn end(self) {
        match remove_file(&self.mark) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                tracing::warn!(%error, mark = %self.mark.display(), "mark of an attempt not removed");
            }
            _ => {}
        }
    }
}

/// Renames `folder` to the first free `<folder>.corrupt-<n>`, counted from 1, and says which.
///
/// # Errors
/// When it cannot be renamed; it stays.
pub fn set_aside(folder: &Path) -> io::Result<PathBuf> {
    let free = (1u32..)
        .map(|n| beside(folder, &format!(".corrupt-{n}")))
        .find(|path| path.symlink_metadata().is_err())
        .ok_or(ErrorKind::AlreadyExists)?;
    std::fs::rename(folder, &free)?;
    Ok(free)
}

/// Whatever stands beside `folder` as `<folder>.corrupt-…`, sorted.
///
/// # Errors
/// When the folder above cannot be read.
pub fn aside(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let parent = folder
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let prefix: OsString = beside(folder, ".corrupt-")
        .file_name()
        .unwrap_or_default()
        .to_owned();
    let mut found = Vec::new();
    for entry in std::fs::read_dir(parent)? {
        let entry = entry?;
        let name = entry.file_name();
        if name
            .as_encoded_bytes()
            .starts_with(prefix.as_encoded_bytes())
        {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

fn beside(folder: &Path, suffix: &str) -> PathBuf {
    let mut name = folder.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_that_do_not_return_are_counted_until_one_does() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("store");
        for _ in 0..ATTEMPTS_LIMIT {
            assert!(!Attempt::begin(&folder).is_hopeless());
        }
        let returned = Attempt::begin(&folder);
        assert!(returned.is_hopeless());
        returned.end();
        assert!(!Attempt::begin(&folder).is_hopeless());
    }

    #[test]
    fn an_attempt_that_cannot_be_noted_is_made_all_the_same() {
        let attempt = Attempt::begin(Path::new("/nonexistent/store"));
        assert!(!attempt.is_hopeless());
        attempt.end();
    }

    #[test]
    fn what_is_set_aside_keeps_its_contents_and_never_takes_anothers_name() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("store");
        for n in 1..=2 {
            std::fs::create_dir(&folder).unwrap();
            std::fs::write(folder.join("x"), n.to_string()).unwrap();
            let aside = set_aside(&folder).unwrap();
            assert_eq!(aside, dir.path().join(format!("store.corrupt-{n}")));
        }
        std::fs::create_dir(dir.path().join("stores.corrupt-1")).unwrap();
        let all = aside(&folder).unwrap();
        let held: Vec<_> = all
            .iter()
            .map(|path| std::fs::read_to_string(path.join("x")).unwrap())
            .collect();
        assert_eq!(held, ["1", "2"]);
        assert!(set_aside(&folder).is_err(), "there is nothing");
    }
}
