//! Swapping, reclaim and OOM kills (`/proc/vmstat`). proc(5).

use firstlook_model::ComponentId;
use firstlook_model::signal::names;

use crate::family::Group;
use crate::reader::{Descriptors, KeptFile};
use crate::registry::Registry;
use crate::roots::HostRoots;
use crate::text::{fields, lines, number, value};

pub(crate) static SIGNALS: [&str; 7] = [
    names::OOM_KILLS,
    names::SWAP_IN,
    names::SWAP_OUT,
    names::MAJOR_FAULTS,
    names::REFAULTS,
    names::ALLOCATION_STALLS,
    names::COMPACTION_STALLS,
];

/// The signal that a key of vmstat counts for. Kernels before 4.10 count stalls for all zones in one key, those
/// before 5.9 refaults of files and of anonymous pages.
fn signal_of(key: &[u8]) -> Option<usize> {
    match key {
        b"oom_kill" => Some(0),
        b"pswpin" => Some(1),
        b"pswpout" => Some(2),
        b"pgmajfault" => Some(3),
        b"workingset_refault" | b"workingset_refault_anon" | b"workingset_refault_file" => Some(4),
        b"compact_stall" => Some(6),
        key if key.starts_with(b"allocstall") => Some(5),
        _ => None,
    }
}

/// Counts in the order of the signals; keys of one signal are added up.
fn parse(bytes: &[u8]) -> [Option<u64>; 7] {
    let mut found = [None; 7];
    for line in lines(bytes) {
        let mut fields = fields(line);
        let Some(at) = fields.next().and_then(signal_of) else {
            continue;
        };
        if let Some(count) = fields.next().and_then(number) {
            found[at] = Some(count.wrapping_add(found[at].unwrap_or(0)));
        }
    }
    found
}

/// The source.
#[derive(Debug)]
pub(crate) struct Vmstat {
    file: KeptFile,
    group: Group<7>,
}

impl Vmstat {
    pub(crate) fn new(host: ComponentId, roots: &HostRoots, open: &Descriptors) -> Self {
        Self {
            file: KeptFile::new(roots.proc.join("vmstat"), open),
            group: Group::new(host, &SIGNALS),
        }
    }

    pub(crate) fn sample(&mut self, registry: &mut Registry, scratch: &mut Vec<u8>) {
        if let Some(found) = self.file.read(scratch).map(parse) {
            self.group.set(registry, &found.map(value));
        }
    }

    pub(crate) fn blind(&self) -> impl Iterator<Item = String> {
        self.file.blind().into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_a_real_vmstat() {
        // Lines of a virtual machine without swap, Linux 6.18.
        let found = parse(include_bytes!("../fixtures/vmstat"));
        assert_eq!(found[..3], [Some(0), Some(0), Some(0)]);
        assert_eq!(found[3], Some(81_735));
        assert_eq!(found[4], Some(12_839_885));
        assert_eq!(found[5..], [Some(0), Some(0)]);
    }

    #[test]
    fn zones_are_added_up_and_what_is_not_counted_is_missing() {
        let zones = b"oom_kill 3\nallocstall_dma 1\nallocstall_normal 2\nallocstall_movable 4\n";
        let none = None;
        let expected = [Some(3), none, none, none, none, Some(7), none];
        assert_eq!(parse(zones), expected);
        // Before 4.10, and before 5.9.
        let old = parse(b"allocstall 5\nworkingset_refault 6\n");
        assert_eq!((old[5], old[4]), (Some(5), Some(6)));
        assert_eq!(parse(b"pswpin x\npswpin_more 2\n"), [None; 7]);
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse(&bytes);
        }
    }
}
