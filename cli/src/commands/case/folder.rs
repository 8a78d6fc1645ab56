//! The folder of a case: written beside its place, and moved there once it is whole.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::exit::{Exit, Failure};

/// A folder that is not in its place yet. Dropped, it leaves nothing.
#[derive(Debug)]
pub struct Folder {
    place: PathBuf,
    part: PathBuf,
}

impl Folder {
    /// Takes care that a folder can come to `place`.
    ///
    /// # Errors
    /// Conflict, when something is there already, an empty folder excepted; failed, when nothing can be made beside it.
    pub fn prepare(place: &Path) -> Result<Self, Failure> {
        let taken = |what: &str| Failure {
            exit: Exit::Conflict,
            message: format!(
                "{} {what}: name another place with --out, or move it away",
                place.display()
            ),
        };
        match fs::read_dir(place).map(|inside| inside.count()) {
            Ok(0) => {}
            Ok(_) => return Err(taken("is not empty")),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) if error.kind() == ErrorKind::NotADirectory => {
                return Err(taken("is there and no folder"));
            }
            Err(error) => return Err(failed(place, &error)),
        }
        let name = place.file_name().ok_or_else(|| {
            let message = format!("--out {} names no folder of its own", place.display());
            Failure::usage(message)
        })?;
        let mut part = std::ffi::OsString::from(".");
        part.push(name);
        part.push(format!(".part-{}", std::process::id()));
        let part = place.with_file_name(part);
        fs::create_dir(&part).map_err(|error| failed(&part, &error))?;
        Ok(Self {
            place: place.to_owned(),
            part,
        })
    }

    /// Writes a file.
    ///
    /// # Errors
    /// Failed, when the disk refuses it.
    pub fn write(&self, name: &str, text: &str) -> Result<(), Failure> {
        let mut file = self.create(name)?;
        let written = file.write_all(text.as_bytes());
        let written = written.and_then(|()| file.sync_all());
        written.map_err(|error| self.failed(name, &error))
    }

    /// Begins a file.
    ///
    /// # Errors
    /// Failed, when the disk refuses it.
    pub fn create(&self, name: &str) -> Result<File, Failure> {
        File::create(self.part.join(name)).map_err(|error| self.failed(name, &error))
    }

    /// Removes a file that is not to be in it after all.
    ///
    /// # Errors
    /// Failed, when the disk refuses it.
    pub fn remove(&self, name: &str) -> Result<(), Failure> {
        fs::remove_file(self.part.join(name)).map_err(|error| self.failed(name, &error))
    }

    /// What it means that a file of it could not be written.
    pub fn failed(&self, name: &str, error: &std::io::Error) -> Failure {
        failed(&self.place.join(name), error)
    }

    /// Moves it to its place, whole.
    ///
    /// # Errors
    /// Failed, when it cannot be moved, as onto a folder that is empty no more.
    pub fn finish(self) -> Result<(), Failure> {
        fs::rename(&self.part, &self.place).map_err(|error| failed(&self.place, &error))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Moved away, or not to be left half; nothing is left to do when even that fails.
        let _ = fs::remove_dir_all(&self.part);
    }
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(format!("cannot write {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(folder: &Path) -> Vec<String> {
        let inside = fs::read_dir(folder).unwrap();
        let names = inside.map(|e| e.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn a_case_appears_whole_also_where_an_empty_folder_is() {
        let home = tempfile::tempdir().unwrap();
        for made_before in [false, true] {
            let place = home.path().join(format!("case-{made_before}"));
            if made_before {
                fs::create_dir(&place).unwrap();
            }
            let folder = Folder::prepare(&place).unwrap();
            folder.write("case.json", "{}").unwrap();
            assert_eq!(place.exists(), made_before, "half a case is in place");
            folder.finish().unwrap();
            assert_eq!(entries(&place), ["case.json"]);
        }
        assert_eq!(entries(home.path()), ["case-false", "case-true"]);
    }

    #[test]
    fn an_error_leaves_no_half_case() {
        let home = tempfile::tempdir().unwrap();
        let place = home.path().join("case");
        let folder = Folder::prepare(&place).unwrap();
        folder.write("case.json", "{}").unwrap();
        let refused = folder.write("nowhere/metrics.csv", "time\n").unwrap_err();
        assert!(refused.message.contains("case/nowhere"), "{refused:?}");
        drop(folder);
        assert_eq!(entries(home.path()), Vec::<String>::new());

        // Somebody else came first: theirs stays, and nothing of ours does.
        let folder = Folder::prepare(&place).unwrap();
        fs::create_dir(&place).unwrap();
        fs::write(place.join("theirs"), "").unwrap();
        assert_eq!(folder.finish().unwrap_err().exit, Exit::Failed);
        assert_eq!(entries(home.path()), ["case"]);
        assert_eq!(entries(&place), ["theirs"]);
    }

    #[test]
    fn what_is_there_is_not_written_over() {
        let home = tempfile::tempdir().unwrap();
        let refused = Folder::prepare(home.path().parent().unwrap()).unwrap_err();
        assert_eq!(refused.exit, Exit::Conflict);
        assert!(refused.message.contains("is not empty"), "{refused:?}");
        let file = home.path().join("file");
        fs::write(&file, "mine").unwrap();
        let refused = Folder::prepare(&file).unwrap_err();
        assert!(refused.message.contains("no folder"), "{refused:?}");
        let lost = home.path().join("nowhere/case");
        assert_eq!(Folder::prepare(&lost).unwrap_err().exit, Exit::Failed);
        assert_eq!(
            Folder::prepare(Path::new("/")).unwrap_err().exit,
            Exit::Conflict
        );
        assert_eq!(entries(home.path()), ["file"]);
    }
}
