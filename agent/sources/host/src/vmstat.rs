//! Swapping and OOM kills (`/proc/vmstat`). proc(5).

use firstlook_model::ComponentId;
use firstlook_model::signal::names;

use crate::family::Group;
use crate::reader::{Descriptors, KeptFile};
use crate::registry::Registry;
use crate::roots::HostRoots;
use crate::text::{keyed, value};

static SIGNALS: [&str; 3] = [names::OOM_KILLS, names::SWAP_IN, names::SWAP_OUT];

/// OOM kills, pages swapped in and out.
fn parse(bytes: &[u8]) -> [Option<u64>; 3] {
    ["oom_kill", "pswpin", "pswpout"].map(|key| keyed(bytes, key))
}

/// The source.
#[derive(Debug)]
pub(crate) struct Vmstat {
    file: KeptFile,
    group: Group<3>,
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
        assert_eq!(found, [Some(0), Some(0), Some(0)]);
        assert_eq!(parse(b"oom_kill 3\n"), [Some(3), None, None]);
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse(&bytes);
        }
    }
}
