//! The file that keeps the course over starts: `remote-config.toml` in the state folder, whole or not there.

use std::io;
use std::path::PathBuf;

use firstlook_model::remote::CONFIG_LIMIT_BYTES;
use firstlook_runtime::files::write_atomically;

use super::course::Course;

const NAME: &str = "remote-config.toml";
/// Largest file read: three texts, each at worst escaped in TOML's longest way.
const FILE_LIMIT_BYTES: u64 = 3 * 6 * CONFIG_LIMIT_BYTES as u64 + 16 * 1024;

/// The file.
pub struct Kept(PathBuf);

impl Kept {
    /// In that folder.
    pub fn of(state_dir: PathBuf) -> Self {
        Self(state_dir.join(NAME))
    }

    /// What is kept; nothing where there is no file, or none that can be read: the host's own file then holds alone, and the
    /// collector tells what it wants.
    pub fn load(&self) -> Course {
        match self.read() {
            Ok(course) => course,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Course::default(),
            Err(error) => {
                tracing::error!(%error, file = %self.0.display(), "kept configuration cannot be read, goes on without it");
                Course::default()
            }
        }
    }

    /// As [`Kept::load`], for those who only look.
    ///
    /// # Errors
    /// Why it cannot be read; not found where nothing is kept.
    pub fn read(&self) -> io::Result<Course> {
        let size = std::fs::metadata(&self.0)?.len();
        if size > FILE_LIMIT_BYTES {
            return Err(io::Error::other(format!("it has {size} bytes")));
        }
        let text = std::fs::read_to_string(&self.0)?;
        toml::from_str(&text).map_err(|error| io::Error::other(error.message().to_owned()))
    }

    /// Keeps a course, durably. One that is empty needs no file.
    ///
    /// # Errors
    /// The file system's; what was kept before still is.
    pub fn save(&self, course: &Course) -> io::Result<()> {
        if *course == Course::default() && !self.0.exists() {
            return Ok(());
        }
        let text = toml::to_string(course).map_err(io::Error::other)?;
        write_atomically(&self.0, text.as_bytes(), 0o600)
    }

    /// As [`Kept::save`]; says whether it was kept.
    pub fn save_or_log(&self, course: &Course) -> bool {
        let saved = self.save(course);
        if let Err(error) = &saved {
            tracing::error!(%error, file = %self.0.display(), "configuration not kept");
        }
        saved.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use firstlook_model::WantedConfig;
    use proptest::prelude::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_that_cannot_be_read_leaves_the_host_with_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let kept = Kept::of(dir.path().to_owned());
        assert_eq!(kept.load(), Course::default());
        kept.save(&Course::default()).unwrap();
        assert!(!kept.0.exists(), "nothing to keep");
        for text in ["trial = 7", "[accepted", "more = 1"] {
            std::fs::write(&kept.0, text).unwrap();
            assert_eq!(kept.load(), Course::default(), "{text}");
        }
        let file = std::fs::File::create(&kept.0).unwrap();
        file.set_len(FILE_LIMIT_BYTES + 1).unwrap();
        assert!(kept.read().is_err());
    }

    proptest! {
        #[test]
        fn what_is_kept_comes_back_and_is_private(
            version in 1..i64::MAX as u64, text in "(\\PC|[\\x00-\\x20]){0,80}",
        ) {
            let dir = tempfile::tempdir().unwrap();
            let kept = Kept::of(dir.path().to_owned());
            let mut course = Course::default();
            let wanted = WantedConfig { version, text };
            course.begin(&wanted);
            kept.save(&course).unwrap();
            let mode = kept.0.metadata().unwrap().permissions().mode();
            prop_assert_eq!(mode & 0o777, 0o600);
            prop_assert_eq!(kept.load(), course.clone());
            course.back("it \"cost\" more".to_owned());
            kept.save(&course).unwrap();
            prop_assert_eq!(kept.load(), course);
        }
    }
}
