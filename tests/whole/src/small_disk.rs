//! A small file system that can be filled, seen only by those who are let in: memory, in a mount namespace of
//! its own, so that nothing of it is left when its handle is gone.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::Process;
use crate::wait::until;

const FILLER: &str = "filler";
/// A step of filling: what does not fit is tried again by smaller and smaller ones.
const STEP_BYTES: usize = 1024 * 1024;
const LEAST_STEP_BYTES: usize = 512;

/// A file system over a folder. Ends with its handle.
pub struct SmallDisk {
    holder: Process,
    folder: PathBuf,
}

impl SmallDisk {
    /// Lays a file system of so many MiB over `folder`, which is made where it is missing.
    ///
    /// # Panics
    /// When it cannot be mounted.
    pub fn over(folder: &Path, mib: u32) -> Self {
        std::fs::create_dir_all(folder).expect("a folder can be made");
        let script = r#"mount -t tmpfs -o "size=$2m,mode=700" firstlook "$1" && echo mounted && exec sleep 900"#;
        let mut command = Command::new("unshare");
        command
            .args(as_whom())
            .args(["--mount", "sh", "-c", script, "sh"]);
        command.arg(folder).arg(mib.to_string());
        let mut holder = Process::start(&mut command, &folder.with_extension("mount.log"));
        until("a mounted file system", || {
            assert!(holder.runs(), "no mount: {}", holder.said());
            holder.said().contains("mounted").then_some(())
        });
        Self {
            holder,
            folder: folder.to_owned(),
        }
    }

    /// The same command, run where the file system is seen.
    pub fn within(&self, command: &Command) -> Command {
        let mut inside = Command::new("nsenter");
        inside.arg("--target").arg(self.holder.id().to_string());
        if !as_whom().is_empty() {
            inside.args(["--user", "--preserve-credentials"]);
        }
        inside.arg("--mount").arg(command.get_program());
        inside.args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        inside
    }

    /// The folder, as it is reached from outside.
    pub fn seen(&self) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        root.join(self.folder.strip_prefix("/").expect("an absolute path"))
    }

    /// Takes every block that is left.
    ///
    /// # Panics
    /// When writing fails for another reason than that.
    pub fn fill(&self) {
        let mut filler = File::create(self.seen().join(FILLER)).expect("a file can be made");
        let block = vec![0; STEP_BYTES];
        let mut step = STEP_BYTES;
        while step >= LEAST_STEP_BYTES {
            match filler.write(&block[..step]) {
                Ok(written) if written > 0 => {}
                Ok(_) => step /= 2,
                Err(error) if error.kind() == ErrorKind::StorageFull => step /= 2,
                Err(error) => panic!("filling the disk: {error}"),
            }
        }
    }

    /// Gives back what [`SmallDisk::fill`] took.
    pub fn free(&self) {
        std::fs::remove_file(self.seen().join(FILLER)).expect("the filler is there");
    }
}

/// Who is not root may mount in a user namespace of their own.
fn as_whom() -> &'static [&'static str] {
    if rustix::process::geteuid().is_root() {
        &[]
    } else {
        &["--user", "--map-root-user"]
    }
}
