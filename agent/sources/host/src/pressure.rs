//! Pressure stall totals (`/proc/pressure/*`). Documentation/accounting/psi.rst of the kernel.

use firstlook_model::ComponentId;
use firstlook_model::signal::names;

use crate::family::Group;
use crate::reader::{Descriptors, KeptFile};
use crate::registry::Registry;
use crate::roots::HostRoots;
use crate::text::{fields, lines, number, value};

pub(crate) static SIGNALS: [&str; 6] = [
    names::PRESSURE_CPU_SOME,
    names::PRESSURE_CPU_FULL,
    names::PRESSURE_MEMORY_SOME,
    names::PRESSURE_MEMORY_FULL,
    names::PRESSURE_IO_SOME,
    names::PRESSURE_IO_FULL,
];

/// Microseconds in which some and in which all tasks stalled.
pub(crate) fn parse(bytes: &[u8]) -> [Option<u64>; 2] {
    ["some ", "full "].map(|kind| {
        let line = lines(bytes).find_map(|line| line.strip_prefix(kind.as_bytes()))?;
        fields(line).find_map(|field| number(field.strip_prefix(b"total=")?))
    })
}

/// The source.
#[derive(Debug)]
pub(crate) struct Pressure {
    cpu: KeptFile,
    memory: KeptFile,
    io: KeptFile,
    group: Group<6>,
}

impl Pressure {
    pub(crate) fn new(host: ComponentId, roots: &HostRoots, open: &Descriptors) -> Self {
        Self {
            cpu: KeptFile::new(roots.pressure.join("cpu"), open),
            memory: KeptFile::new(roots.pressure.join("memory"), open),
            io: KeptFile::new(roots.pressure.join("io"), open),
            group: Group::new(host, &SIGNALS),
        }
    }

    pub(crate) fn sample(&mut self, registry: &mut Registry, scratch: &mut Vec<u8>) {
        let mut read = |file: &mut KeptFile| {
            let micros = file.read(scratch).map_or([None; 2], parse);
            micros.map(|total| value(total) / 1e6)
        };
        let [cpu_some, cpu_full] = read(&mut self.cpu);
        let [memory_some, memory_full] = read(&mut self.memory);
        let [io_some, io_full] = read(&mut self.io);
        let values = [
            cpu_some,
            cpu_full,
            memory_some,
            memory_full,
            io_some,
            io_full,
        ];
        self.group.set(registry, &values);
    }

    pub(crate) fn blind(&self) -> impl Iterator<Item = String> {
        [self.cpu.blind(), self.memory.blind(), self.io.blind()]
            .into_iter()
            .flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_a_real_pressure_file() {
        // From a virtual machine under some IO pressure, Linux 6.18.
        let [some, full] = parse(include_bytes!("../fixtures/pressure_io"));
        assert!(some.unwrap() >= full.unwrap());
        assert!(full.unwrap() > 0);
    }

    #[test]
    fn old_kernels_have_no_full_line_for_cpu() {
        let text = b"some avg10=0.00 avg60=0.00 avg300=0.00 total=12\n";
        assert_eq!(parse(text), [Some(12), None]);
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse(&bytes);
        }
    }
}
