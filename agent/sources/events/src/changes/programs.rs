//! Programs that were replaced on the disk under the processes that run them.

use std::fs;
use std::path::{Path, PathBuf};

/// What the kernel puts behind a link's target that has no name any more (proc_pid_exe(5)).
const DELETED: &str = " (deleted)";

/// The path at which this process's program lay, if another file or none lies there now.
pub(super) fn replaced(proc_root: &Path, pid: u32) -> Option<PathBuf> {
    let target = fs::read_link(proc_root.join(pid.to_string()).join("exe")).ok()?;
    let path = target.to_str()?.strip_suffix(DELETED)?;
    // memfd programs (as runc's copy of itself) never had a file.
    (!path.starts_with("/memfd:")).then(|| PathBuf::from(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_a_program_that_lost_its_name_was_replaced() {
        let root = tempfile::tempdir().unwrap();
        for (pid, target) in [
            (1, "/usr/bin/shop (deleted)"),
            (2, "/usr/bin/shop"),
            (3, "/memfd:runc (deleted)"),
        ] {
            let process = root.path().join(format!("{pid}"));
            fs::create_dir(&process).unwrap();
            symlink(target, process.join("exe")).unwrap();
        }
        assert_eq!(
            replaced(root.path(), 1),
            Some(PathBuf::from("/usr/bin/shop"))
        );
        for pid in [2, 3, 4] {
            assert_eq!(replaced(root.path(), pid), None);
        }
    }
}
