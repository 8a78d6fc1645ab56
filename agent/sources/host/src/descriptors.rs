//! What a process holds open: the targets of `/proc/PID/fd`. Reading a link asks the kernel's own tables,
//! never the file system behind it, so that a hung mount cannot hold us. proc_pid_fd(5).

use std::mem::MaybeUninit;
use std::path::Path;

use rustix::fs::{Mode, OFlags, RawDir};

use crate::text::number;

/// Reads links into buffers of its own.
#[derive(Debug)]
pub(crate) struct DescriptorReader {
    entries: Vec<u8>,
    target: Vec<u8>,
}

impl DescriptorReader {
    pub(crate) fn new() -> Self {
        Self {
            entries: Vec::with_capacity(8 * 1024),
            target: vec![0; 4_096],
        }
    }

    /// Hands over the target of each descriptor of a process, and counts them off `budget`; stops when that
    /// is used up.
    ///
    /// # Errors
    /// When the process is gone or another user's.
    pub(crate) fn links(
        &mut self,
        proc: &Path,
        pid: u32,
        budget: &mut usize,
        mut each: impl FnMut(&[u8]),
    ) -> rustix::io::Result<()> {
        let path = proc.join(pid.to_string()).join("fd");
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(path, flags, Mode::empty())?;
        let buffer: &mut [MaybeUninit<u8>] = self.entries.spare_capacity_mut();
        let mut entries = RawDir::new(&folder, buffer);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name();
            if number(name.to_bytes()).is_none() {
                continue;
            }
            if *budget == 0 {
                return Ok(());
            }
            *budget -= 1;
            // Closed meanwhile: no error.
            if let Ok(length) = rustix::fs::readlinkat_raw(&folder, name, &mut self.target[..]) {
                each(&self.target[..length]);
            }
        }
        Ok(())
    }

    /// The folder a process works in.
    pub(crate) fn working_folder(&mut self, proc: &Path, pid: u32) -> Option<&[u8]> {
        let path = proc.join(pid.to_string()).join("cwd");
        let cwd = rustix::fs::CWD;
        let length = rustix::fs::readlinkat_raw(cwd, path, &mut self.target[..]).ok()?;
        Some(&self.target[..length])
    }
}

/// The inode of `socket:[4242]`.
pub(crate) fn socket_inode(target: &[u8]) -> Option<u32> {
    let digits = target.strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
    u32::try_from(number(digits)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn our_own_descriptors_are_seen_under_the_budget() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let wanted = file.path().as_os_str().as_encoded_bytes();
        let (mut found, mut count) = (false, 0);
        let mut budget = 100_000;
        let mut reader = DescriptorReader::new();
        let proc = Path::new("/proc");
        let all = |target: &[u8]| {
            found |= target == wanted;
            count += 1;
        };
        reader
            .links(proc, std::process::id(), &mut budget, all)
            .unwrap();
        assert!(found);
        assert_eq!(budget, 100_000 - count);

        let (mut budget, mut count) = (1, 0);
        reader
            .links(proc, std::process::id(), &mut budget, |_| count += 1)
            .unwrap();
        assert_eq!((budget, count), (0, 1));
        assert!(
            reader
                .working_folder(proc, std::process::id())
                .unwrap()
                .starts_with(b"/")
        );
    }

    #[test]
    fn only_sockets_have_a_socket_inode() {
        assert_eq!(socket_inode(b"socket:[4242]"), Some(4242));
        for target in ["pipe:[4242]", "socket:[]", "socket:[-1]", "/tmp/socket:[1]"] {
            assert_eq!(socket_inode(target.as_bytes()), None, "{target}");
        }
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = socket_inode(&bytes);
        }
    }
}
