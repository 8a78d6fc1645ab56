//! Bonds: how many of the interfaces that one is made of still carry it (`bonding` in sysfs).
//! Documentation/networking/bonding.rst of the kernel.
//!
//! A bond that lost a member still is up, and works at less speed, until it loses the next.

use std::path::PathBuf;

use firstlook_model::signal::names;
use firstlook_model::{ComponentKind, HostId};

use crate::family::Family;
use crate::limits::Limits;
use crate::reader::read_once;
use crate::registry::Registry;
use crate::roots::HostRoots;
use crate::text::fields;

pub(crate) static SIGNALS: [&str; 2] = [names::BOND_MEMBERS, names::BOND_MEMBERS_UP];
/// Looked at once in so many samples.
pub(crate) const EVERY: u64 = 10;
/// Members of one bond that are looked at.
const MEMBERS_LIMIT: usize = 64;
/// Longest name of an interface: IFNAMSIZ without its end.
const NAME_LIMIT_BYTES: usize = 15;

/// Names of interfaces, parted by blanks. A name is one component of a path.
fn interfaces(bytes: &[u8]) -> impl Iterator<Item = &str> {
    let named = |name: &&[u8]| {
        let plain = name.len() <= NAME_LIMIT_BYTES && !name.contains(&b'/');
        plain && !matches!(*name, b"." | b"..")
    };
    fields(bytes.trim_ascii_end())
        .filter(named)
        .filter_map(|name| std::str::from_utf8(name).ok())
}

/// The source.
#[derive(Debug)]
pub(crate) struct Bonds {
    class: PathBuf,
    family: Family<2>,
    limit: usize,
    round: u64,
}

impl Bonds {
    pub(crate) fn new(host: HostId, roots: &HostRoots, limits: &Limits) -> Self {
        let kind = ComponentKind::Interface;
        Self {
            class: roots.sys.join("class/net"),
            family: Family::new(host, kind, &SIGNALS, limits.interfaces),
            limit: limits.interfaces,
            round: 0,
        }
    }

    pub(crate) fn sample(&mut self, registry: &mut Registry, scratch: &mut Vec<u8>) {
        let due = self.round.is_multiple_of(EVERY);
        self.round += 1;
        if !due {
            return;
        }
        // Absent where the driver is not loaded: then there are no bonds.
        let Ok(masters) = read_once(&self.class.join("bonding_masters"), scratch) else {
            return;
        };
        let masters: Vec<String> = interfaces(masters)
            .take(self.limit)
            .map(str::to_owned)
            .collect();
        for bond in masters {
            if let Some(values) = self.members(&bond, scratch) {
                self.family.set(registry, &bond, &values);
            }
        }
    }

    /// How many members a bond has, and how many of them it takes for working; `None` for one that is gone.
    fn members(&self, bond: &str, scratch: &mut Vec<u8>) -> Option<[f64; 2]> {
        let path = self.class.join(bond).join("bonding/slaves");
        let members: Vec<String> = interfaces(read_once(&path, scratch).ok()?)
            .take(MEMBERS_LIMIT)
            .map(str::to_owned)
            .collect();
        let works = |member: &&String| {
            let path = self.class.join(member).join("bonding_slave/mii_status");
            read_once(&path, scratch).is_ok_and(|status| status.trim_ascii_end() == b"up")
        };
        let up = members.iter().filter(works).count();
        Some([members.len() as f64, up as f64])
    }

    pub(crate) fn expire(&mut self, registry: &mut Registry, limits: &Limits) {
        self.family.expire(registry, limits.absent);
    }

    pub(crate) fn refused(&self) -> u64 {
        self.family.refused()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use firstlook_model::Timestamp;
    use proptest::prelude::*;
    use std::fs;
    use std::time::Duration;

    /// The series of one look at a folder of sysfs that `make` fills.
    fn seen(make: impl Fn(&dyn Fn(&str, &str))) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        make(&|file, text| {
            let path = folder.path().join("class/net").join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        });
        let roots = HostRoots {
            sys: folder.path().to_owned(),
            ..HostRoots::default()
        };
        let host = HostId::new("h1").unwrap();
        let mut registry = Registry::new(Duration::ZERO);
        let mut bonds = Bonds::new(host, &roots, &Limits::default());
        bonds.sample(&mut registry, &mut Vec::new());
        let frame = registry.frame(Timestamp::from_secs(0));
        let series = frame.schema.series().iter().zip(&frame.values);
        series
            .map(|(series, value)| format!("{} {} {value}", series.component, series.signal))
            .collect()
    }

    #[test]
    fn a_bond_that_lost_a_member_is_told_from_a_whole_one() {
        // In the kernel's form (drivers/net/bonding/bond_sysfs.c): the machine that this was written on has no bonds.
        let found = seen(|write| {
            write("bonding_masters", "bond0 bond1 gone\n");
            write("bond0/bonding/slaves", "eth0 eth1 \n");
            write("eth0/bonding_slave/mii_status", "up\n");
            write("eth1/bonding_slave/mii_status", "going back\n");
            write("bond1/bonding/slaves", "\n");
        });
        let expected = [
            "interface:h1/bond0 bond.members 2",
            "interface:h1/bond0 bond.members_up 1",
            "interface:h1/bond1 bond.members 0",
            "interface:h1/bond1 bond.members_up 0",
        ];
        assert_eq!(found, expected);
        assert!(seen(|_| {}).is_empty(), "no driver, no bonds");
    }

    proptest! {
        #[test]
        fn no_name_leads_out_of_its_folder(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            for name in interfaces(&bytes) {
                prop_assert!(!name.contains('/') && name != ".." && name.len() <= NAME_LIMIT_BYTES);
            }
        }
    }
}
