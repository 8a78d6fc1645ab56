//! Memory and swap (`/proc/meminfo`). proc(5).

use firstlook_model::ComponentId;
use firstlook_model::signal::names;

use crate::family::Group;
use crate::reader::{Descriptors, KeptFile};
use crate::registry::Registry;
use crate::roots::HostRoots;
use crate::text::{keyed, value};

pub(crate) static SIGNALS: [&str; 4] = [
    names::MEMORY_TOTAL,
    names::MEMORY_AVAILABLE,
    names::SWAP_TOTAL,
    names::SWAP_FREE,
];

/// Bytes of total and available memory, total and free swap.
pub(crate) fn parse(bytes: &[u8]) -> [Option<u64>; 4] {
    ["MemTotal", "MemAvailable", "SwapTotal", "SwapFree"]
        .map(|key| keyed(bytes, key).and_then(|kib| kib.checked_mul(1024)))
}

/// The source.
#[derive(Debug)]
pub(crate) struct Memory {
    meminfo: KeptFile,
    group: Group<4>,
    total: u64,
}

impl Memory {
    pub(crate) fn new(host: ComponentId, roots: &HostRoots, open: &Descriptors) -> Self {
        Self {
            meminfo: KeptFile::new(roots.proc.join("meminfo"), open),
            group: Group::new(host, &SIGNALS),
            total: 0,
        }
    }

    pub(crate) fn sample(&mut self, registry: &mut Registry, scratch: &mut Vec<u8>) {
        if let Some(found) = self.meminfo.read(scratch).map(parse) {
            self.total = found[0].unwrap_or(self.total);
            self.group.set(registry, &found.map(value));
        }
    }

    /// Bytes in all, as last read.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    pub(crate) fn blind(&self) -> impl Iterator<Item = String> {
        self.meminfo.blind().into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_a_real_meminfo() {
        // From a virtual machine without swap, Linux 6.18.
        let [total, available, swap, swap_free] = parse(include_bytes!("../fixtures/meminfo"));
        assert_eq!(total, Some(24_684_096 * 1024));
        assert!(available <= total && available.is_some());
        assert_eq!((swap, swap_free), (Some(0), Some(0)));
    }

    #[test]
    fn a_size_beyond_sixty_four_bits_is_no_size() {
        assert_eq!(parse(b"MemTotal: 18446744073709551615 kB\n")[0], None);
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse(&bytes);
        }
    }
}
