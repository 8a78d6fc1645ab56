//! Errors of memory that the memory controllers report (EDAC in sysfs). Documentation/admin-guide/RAS of the kernel.
//!
//! Corrected ones are the first sign of a module that fails; an uncorrected one may halt the host.

use std::path::PathBuf;

use firstlook_model::ComponentId;
use firstlook_model::signal::names;

use crate::family::Group;
use crate::reader::read_once;
use crate::registry::Registry;
use crate::rising::Rising;
use crate::roots::HostRoots;
use crate::text::number;

pub(crate) static SIGNALS: [&str; 2] = [
    names::MEMORY_CORRECTED_ERRORS,
    names::MEMORY_UNCORRECTED_ERRORS,
];
/// Looked at once in so many samples.
pub(crate) const EVERY: u64 = 30;
/// Controllers that are looked at.
const CONTROLLERS_LIMIT: usize = 128;
const COUNTS: [&str; 2] = ["ce_count", "ue_count"];

/// The source.
#[derive(Debug)]
pub(crate) struct Edac {
    controllers: PathBuf,
    group: Group<2>,
    counters: [Rising; 2],
    round: u64,
}

impl Edac {
    pub(crate) fn new(host: ComponentId, roots: &HostRoots) -> Self {
        Self {
            controllers: roots.sys.join("devices/system/edac/mc"),
            group: Group::new(host, &SIGNALS),
            counters: [Rising::default(); 2],
            round: 0,
        }
    }

    pub(crate) fn sample(&mut self, registry: &mut Registry, scratch: &mut Vec<u8>) {
        let due = self.round.is_multiple_of(EVERY);
        self.round += 1;
        if !due {
            return;
        }
        let mut values = [f64::NAN; 2];
        for ((value, sum), counter) in values
            .iter_mut()
            .zip(self.sums(scratch))
            .zip(&mut self.counters)
        {
            if let Some(sum) = sum {
                // A driver that is loaded anew begins at nothing.
                *value = counter.rise_of_sum(sum as f64);
            }
        }
        self.group.set(registry, &values);
    }

    /// Corrected and uncorrected errors of all controllers; `None` where there is none: in virtual machines.
    fn sums(&self, scratch: &mut Vec<u8>) -> [Option<u64>; 2] {
        let mut sums = [None; 2];
        let entries = std::fs::read_dir(&self.controllers).into_iter().flatten();
        let controllers = entries.flatten().filter(|entry| {
            let name = entry.file_name();
            let digits = name.as_encoded_bytes().strip_prefix(b"mc").and_then(number);
            digits.is_some()
        });
        for controller in controllers.take(CONTROLLERS_LIMIT) {
            for (sum, file) in sums.iter_mut().zip(COUNTS) {
                let read = read_once(&controller.path().join(file), scratch);
                let count = read.ok().and_then(|bytes| number(bytes.trim_ascii_end()));
                if let Some(count) = count {
                    *sum = Some(sum.unwrap_or(0u64).saturating_add(count));
                }
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use firstlook_model::{HostId, Timestamp};
    use std::fs;
    use std::time::Duration;

    #[test]
    fn errors_of_all_controllers_are_added_up_and_a_host_without_has_none() {
        let folder = tempfile::tempdir().unwrap();
        let roots = HostRoots {
            sys: folder.path().to_owned(),
            ..HostRoots::default()
        };
        let host = ComponentId::host(HostId::new("h1").unwrap());
        let mut edac = Edac::new(host, &roots);
        let mut look = || {
            let mut registry = Registry::new(Duration::ZERO);
            edac.group = Group::new(ComponentId::host(HostId::new("h1").unwrap()), &SIGNALS);
            for _ in 0..EVERY {
                edac.sample(&mut registry, &mut Vec::new());
            }
            registry.frame(Timestamp::from_secs(0)).values
        };
        assert!(look().is_empty());
        // In the kernel's form (drivers/edac/edac_mc_sysfs.c).
        let write = |file: &str, text: &str| {
            let path = folder.path().join("devices/system/edac/mc").join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("mc0/ce_count", "5\n");
        write("mc0/ue_count", "0\n");
        write("mc1/ce_count", "2\n");
        write("power/ce_count", "1000\n");
        assert_eq!(look(), [7.0, 0.0]);
        write("mc0/ue_count", "x\n");
        write("mc1/ce_count", "3\n");
        assert_eq!(look(), [8.0], "what is no number is missing");
    }
}
