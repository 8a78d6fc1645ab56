//! What the kernel hands out only so many of: open files (`fs.file-nr`), tasks (`/proc/loadavg`) against
//! `kernel.pid_max` and `kernel.threads-max`. proc(5).

use firstlook_model::ComponentId;
use firstlook_model::signal::names;

use crate::family::Group;
use crate::reader::{Descriptors, KeptFile};
use crate::registry::Registry;
use crate::roots::HostRoots;
use crate::text::{fields, number, value};

pub(crate) static SIGNALS: [&str; 5] = [
    names::FILES_OPEN,
    names::FILES_LIMIT,
    names::TASKS,
    names::TASKS_PID_LIMIT,
    names::TASKS_LIMIT,
];
/// Limits of tasks are read once in so many samples: they seldom change.
const LIMITS_EVERY: u64 = 60;
/// From here on a limit stands for none: `file-max` is the largest signed number by default.
const NO_LIMIT: u64 = 1 << 62;

/// Open files and how many may be open, as `file-nr` says: open, unused, limit. `None` for no limit.
fn parse_files(bytes: &[u8]) -> [Option<u64>; 2] {
    let mut fields = fields(bytes.trim_ascii_end()).map(number);
    let open = fields.next().flatten();
    let limit = fields.nth(1).flatten().filter(|limit| *limit < NO_LIMIT);
    [open, limit]
}

/// Tasks in all: after the slash of the fourth field of `loadavg`.
fn parse_tasks(bytes: &[u8]) -> Option<u64> {
    let field = fields(bytes).nth(3)?;
    let slash = field.iter().position(|b| *b == b'/')?;
    number(&field[slash + 1..])
}

/// The source.
#[derive(Debug)]
pub(crate) struct Ceilings {
    files: KeptFile,
    tasks: KeptFile,
    limits: [KeptFile; 2],
    /// As read last.
    latest: [Option<u64>; 2],
    group: Group<5>,
    round: u64,
}

impl Ceilings {
    pub(crate) fn new(host: ComponentId, roots: &HostRoots, open: &Descriptors) -> Self {
        let file = |path: &str| KeptFile::new(roots.proc.join(path), open);
        Self {
            files: file("sys/fs/file-nr"),
            tasks: file("loadavg"),
            limits: ["sys/kernel/pid_max", "sys/kernel/threads-max"].map(file),
            latest: [None; 2],
            group: Group::new(host, &SIGNALS),
            round: 0,
        }
    }

    pub(crate) fn sample(&mut self, registry: &mut Registry, scratch: &mut Vec<u8>) {
        if self.round.is_multiple_of(LIMITS_EVERY) {
            for (latest, file) in self.latest.iter_mut().zip(&mut self.limits) {
                let bytes = file.read(scratch);
                *latest = bytes.and_then(|bytes| number(bytes.trim_ascii_end()));
            }
        }
        self.round += 1;
        let [files, limit] = self.files.read(scratch).map_or([None; 2], parse_files);
        let tasks = self.tasks.read(scratch).and_then(parse_tasks);
        let [pids, threads] = self.latest;
        let found = [files, limit, tasks, pids, threads];
        self.group.set(registry, &found.map(value));
    }

    pub(crate) fn blind(&self) -> impl Iterator<Item = String> {
        [self.files.blind(), self.limits[0].blind()]
            .into_iter()
            .flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_real_ceilings() {
        // From virtual machines, Linux 6.18; the second has systemd's limit, which is none.
        assert_eq!(
            parse_files(b"1186\t0\t2466183\n"),
            [Some(1186), Some(2_466_183)]
        );
        assert_eq!(
            parse_files(b"928\t0\t9223372036854775807\n"),
            [Some(928), None]
        );
        let load = include_bytes!("../fixtures/loadavg");
        assert!(parse_tasks(load) > Some(1));
        assert_eq!(parse_tasks(b"0.12 0.22 0.24 3/517 21034\n"), Some(517));
    }

    #[test]
    fn what_is_cut_short_is_missing() {
        assert_eq!(parse_files(b""), [None, None]);
        assert_eq!(parse_files(b"12\t0"), [Some(12), None]);
        for text in ["", "0 0 0", "0 0 0 1", "0 0 0 1/", "0 0 0 1/-2"] {
            assert_eq!(parse_tasks(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse_files(&bytes);
            let _ = parse_tasks(&bytes);
        }
    }
}
