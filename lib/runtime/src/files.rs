//! Files that must be whole or not there: keys, certificates, archives.
//!
//! What the superuser writes in a folder belongs to whoever owns the folder: `join` and `init` are run by a person,
//! and the service that reads the result runs as a user of its own.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// Writes `bytes` to a new file beside `path`, syncs it, renames it over `path` and syncs the folder.
/// `mode` is the file's permissions from the first byte on.
///
/// # Errors
/// When any step fails; `path` then is as it was.
pub fn write_atomically(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "path names no file"))?
        .to_owned();
    name.push(format!(".new-{}", std::process::id()));
    let new = folder.join(name);
    let written = write_synced(&new, bytes, mode)
        .and_then(|file| hand_over(&file, folder))
        .and_then(|()| std::fs::rename(&new, path));
    if written.is_err() {
        // Best effort: the error that matters is the one above.
        let _ = std::fs::remove_file(&new);
    }
    written?;
    File::open(folder)?.sync_all()
}

fn write_synced(path: &Path, bytes: &[u8], mode: u32) -> io::Result<File> {
    let _ = std::fs::remove_file(path);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(file)
}

/// Makes `folder`, and those above it that are missing, for their owner alone. One that is there stays as it is.
///
/// # Errors
/// The file system's.
pub fn make_private_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = folder
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    make_private_folder(above)?;
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => {
            // Its owner could put a link to another's folder in its place: that is not to be given away.
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let made = rustix::fs::open(folder, flags, Mode::empty())?;
            hand_over(&made.into(), above)
        }
    }
}

/// Gives what the superuser made to the owner of the folder that it stands in.
fn hand_over(made: &File, folder: &Path) -> io::Result<()> {
    let (own, owner) = (made.metadata()?, folder.metadata()?);
    // Only the superuser makes files of user 0, and a folder of its own needs no handing over.
    if own.uid() == 0 && owner.uid() != 0 {
        fchown(made, Some(owner.uid()), Some(owner.gid()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn replaces_the_whole_file_with_the_mode_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        write_atomically(&path, b"one, and long", 0o644).unwrap();
        write_atomically(&path, b"two", 0o600).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_made_belongs_to_the_owner_of_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        // Only root can give a folder away; as another user, all is that user's own.
        let _ = std::os::unix::fs::chown(dir.path(), Some(4_242), Some(4_243));
        let owner = |path: &Path| path.metadata().map(|m| (m.uid(), m.gid())).unwrap();
        let expected = owner(dir.path());
        let folder = dir.path().join("authority/keys");
        make_private_folder(&folder).unwrap();
        make_private_folder(&folder).unwrap();
        assert_eq!(
            folder.metadata().unwrap().permissions().mode() & 0o777,
            0o700
        );
        let path = folder.join("key.pem");
        write_atomically(&path, b"one", 0o600).unwrap();
        for made in [dir.path().join("authority"), folder, path] {
            assert_eq!(owner(&made), expected, "{}", made.display());
        }
    }

    #[test]
    fn a_failure_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("folder");
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("x"), b"x").unwrap();
        assert!(write_atomically(&path, b"two", 0o600).is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
