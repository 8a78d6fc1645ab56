//! How many files a process has open, and how many it may: the size of `/proc/PID/fd` (from Linux 6.2 on the
//! number of open files, which anybody may ask for), else its entries; and `/proc/PID/limits`. proc_pid_fd(5).

use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, RawDir};
use rustix::io::Errno;

use crate::reader::read_once;
use crate::text::{fields, lines, number};

/// Entries counted in one sample on kernels that do not tell their number; what goes beyond has its turn later.
const ENTRIES_BUDGET: usize = 10_000;

/// The soft limit of open files in `/proc/PID/limits`; `None` where there is none.
fn parse_limit(bytes: &[u8]) -> Option<u64> {
    let line = lines(bytes).find_map(|line| line.strip_prefix(b"Max open files"))?;
    number(fields(line).next()?)
}

/// Looks at the open files of processes.
#[derive(Debug)]
pub(crate) struct OpenFiles {
    proc: PathBuf,
    /// Whether the kernel tells the number.
    told: bool,
    entries: Vec<u8>,
    left: usize,
    denied: bool,
}

impl OpenFiles {
    pub(crate) fn new(proc: PathBuf) -> Self {
        // This process always has some: stdin, or what it reads this with.
        let own = rustix::fs::open("/proc/self/fd", flags(), Mode::empty());
        let told = own
            .and_then(rustix::fs::fstat)
            .is_ok_and(|stat| stat.st_size > 0);
        Self {
            proc,
            told,
            entries: Vec::new(),
            left: 0,
            denied: false,
        }
    }

    #[cfg(test)]
    pub(crate) fn set_told(&mut self, told: bool) {
        self.told = told;
    }

    /// Whether a count costs one call to the kernel, however many there are.
    pub(crate) fn is_cheap(&self) -> bool {
        self.told
    }

    /// Begins a sample.
    pub(crate) fn begin(&mut self) {
        self.left = ENTRIES_BUDGET;
    }

    /// How many files a process may open; `None` where there is no limit, or nobody tells.
    pub(crate) fn limit(&self, pid: u32, scratch: &mut Vec<u8>) -> Option<u64> {
        let path = self.folder(pid).join("limits");
        read_once(&path, scratch).ok().and_then(parse_limit)
    }

    /// How many it has open; `None` where it is gone, another user's, or the budget is used up.
    pub(crate) fn count(&mut self, pid: u32) -> Option<u64> {
        let path = self.folder(pid).join("fd");
        let counted = if self.told {
            rustix::fs::stat(&path).map(|stat| u64::try_from(stat.st_size).ok())
        } else {
            self.count_entries(&path)
        };
        match counted {
            Ok(count) => count,
            Err(errno) => {
                self.denied |= errno == Errno::ACCESS || errno == Errno::PERM;
                None
            }
        }
    }

    fn count_entries(&mut self, path: &Path) -> rustix::io::Result<Option<u64>> {
        let folder = rustix::fs::open(path, flags(), Mode::empty())?;
        self.entries.reserve(8 * 1024);
        let buffer: &mut [MaybeUninit<u8>] = self.entries.spare_capacity_mut();
        let mut entries = RawDir::new(&folder, buffer);
        let mut count = 0;
        while let Some(entry) = entries.next() {
            count += u64::from(number(entry?.file_name().to_bytes()).is_some());
            if self.left == 0 {
                return Ok(None);
            }
            self.left -= 1;
        }
        Ok(Some(count))
    }

    fn folder(&self, pid: u32) -> PathBuf {
        self.proc.join(pid.to_string())
    }

    /// Why some are not seen, and what would mend it.
    pub(crate) fn blind(&self) -> Option<String> {
        self.denied.then(|| {
            "open files of other users' processes cannot be counted before Linux 6.2 without \
             CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH"
                .to_owned()
        })
    }
}

fn flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_file_more_counts_one_more_whether_the_kernel_tells_or_not() {
        let own = std::process::id();
        let folder = tempfile::tempdir().unwrap();
        let count = |told| {
            let mut files = OpenFiles::new("/proc".into());
            files.told &= told;
            files.begin();
            files.count(own).unwrap()
        };
        for told in [true, false] {
            // Other tests open and close files beside this one: far more than they do.
            let held: Vec<_> = (0..300)
                .map(|at| std::fs::File::create(folder.path().join(at.to_string())).unwrap())
                .collect();
            let with = count(told);
            assert!(with >= 300, "{with} of 300 open files were seen");
            drop(held);
            assert!(count(told) < with);
        }
        let limit = OpenFiles::new("/proc".into()).limit(own, &mut Vec::new());
        let kernel = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        assert_eq!(limit, kernel);
    }

    #[test]
    fn beyond_the_budget_and_of_nobody_there_is_no_count() {
        let mut files = OpenFiles::new("/proc".into());
        assert_eq!(files.count(u32::MAX), None);
        files.told = false;
        files.left = 1;
        assert_eq!(
            files.count(std::process::id()),
            None,
            "cut short is not counted"
        );
        assert_eq!(files.blind(), None);
    }

    #[test]
    fn the_soft_limit_counts() {
        let text =
            b"Limit                     Soft Limit           Hard Limit           Units     \n\
            Max processes             192731               192731               processes \n\
            Max open files            1024                 524288               files     \n";
        assert_eq!(parse_limit(text), Some(1024));
        assert_eq!(
            parse_limit(b"Max open files   unlimited   unlimited   files\n"),
            None
        );
        assert_eq!(parse_limit(b""), None);
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_limit(&bytes);
        }
    }
}
