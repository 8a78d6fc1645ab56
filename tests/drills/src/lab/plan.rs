//! Names and addresses of everything that the lab makes on this machine.
//!
//! All of it begins with `fl-`, and only what this plan names is ever removed: another program's
//! namespace with a like name is left alone.

use std::path::PathBuf;

/// Where host roots, loop images and sockets of the running lab live. One lab at a time.
pub const LAB_DIR: &str = "/var/tmp/fl-lab";
/// Held locked by the run that owns the lab.
pub const LOCK_FILE: &str = "/var/tmp/fl-lab.lock";
/// The network namespace with the bridge; what is outside the hosts (the responder) talks from here.
pub const BRIDGE_SPACE: &str = "fl-net";
/// The bridge in it.
pub const BRIDGE: &str = "fl-br0";
/// The bridge's own address.
pub const BRIDGE_ADDRESS: &str = "10.77.0.1/24";
/// The cgroup of lxcfs, which gives each host its own `/proc/stat`, `meminfo` and so on.
pub const LXCFS_GROUP: &str = "fl-lxcfs";
/// The database's filesystem: its mount point in `db1`.
pub const DATABASE_MOUNT: &str = "/var/lib/postgresql";
/// Size of the loop image below it.
pub const DATABASE_BYTES: u64 = 256 * 1024 * 1024;

/// What a host is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// HAProxy in front of the applications.
    Edge,
    /// The application.
    App,
    /// PostgreSQL on a filesystem of its own.
    Database,
    /// The customers.
    Load,
    /// The Firstlook collector.
    Collector,
    /// Payments, on a virtual machine.
    Payments,
}

/// One host of the lab.
#[derive(Debug, PartialEq, Eq)]
pub struct HostPlan {
    /// Its host name.
    pub name: &'static str,
    /// What it runs.
    pub role: Role,
    /// Last number of its address.
    octet: u8,
}

/// The virtual machine of the second tier. It is up only when it was asked for, but its name is everybody's.
pub const MACHINE: HostPlan = HostPlan {
    name: "vm1",
    role: Role::Payments,
    octet: 17,
};

/// Every host of the first tier.
pub const HOSTS: [HostPlan; 6] = [
    HostPlan {
        name: "edge1",
        role: Role::Edge,
        octet: 11,
    },
    HostPlan {
        name: "app1",
        role: Role::App,
        octet: 12,
    },
    HostPlan {
        name: "app2",
        role: Role::App,
        octet: 13,
    },
    HostPlan {
        name: "db1",
        role: Role::Database,
        octet: 14,
    },
    HostPlan {
        name: "load1",
        role: Role::Load,
        octet: 15,
    },
    HostPlan {
        name: "col1",
        role: Role::Collector,
        octet: 16,
    },
];

impl HostPlan {
    /// The host of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        HOSTS
            .iter()
            .chain([&MACHINE])
            .find(|host| host.name == name)
    }

    /// Its name on this machine: network namespace, cgroup, and the bridge's end of its cable. A virtual machine has no
    /// namespace.
    pub fn outer_name(&self) -> String {
        format!("fl-{}", self.name)
    }

    /// Its address, without the prefix length.
    pub fn address(&self) -> String {
        format!("10.77.0.{}", self.octet)
    }

    /// Its folder: `upper`, `work`, `root` and `console.log`.
    pub fn dir(&self) -> PathBuf {
        PathBuf::from(LAB_DIR).join("hosts").join(self.name)
    }

    /// Its root as this machine sees it.
    pub fn root(&self) -> PathBuf {
        self.dir().join("root")
    }
}

/// Every network namespace that the lab makes.
pub fn network_spaces() -> Vec<String> {
    let hosts = HOSTS.iter().map(HostPlan::outer_name);
    std::iter::once(BRIDGE_SPACE.to_owned())
        .chain(hosts)
        .collect()
}

/// Every cgroup that the lab makes, below the root of each hierarchy.
pub fn cgroups() -> Vec<String> {
    let hosts = HOSTS.iter().chain([&MACHINE]).map(HostPlan::outer_name);
    std::iter::once(LXCFS_GROUP.to_owned())
        .chain(hosts)
        .collect()
}

/// `/etc/hosts`, the same on every host.
pub fn hosts_file() -> String {
    let lines = HOSTS
        .iter()
        .chain([&MACHINE])
        .map(|host| format!("{} {}\n", host.address(), host.name));
    std::iter::once("127.0.0.1 localhost\n".to_owned())
        .chain(lines)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn everything_on_the_machine_carries_the_labs_prefix() {
        for name in network_spaces()
            .into_iter()
            .chain(cgroups())
            .chain([BRIDGE.to_owned()])
        {
            assert!(name.starts_with("fl-"), "{name}");
        }
    }

    #[test]
    fn names_fit_a_network_interface() {
        for host in HOSTS.iter().chain([&MACHINE]) {
            assert!(host.outer_name().len() <= 15, "{}", host.outer_name());
        }
    }

    #[test]
    fn no_two_hosts_share_a_name_or_an_address() {
        let all = || HOSTS.iter().chain([&MACHINE]);
        let names: HashSet<_> = all().map(|host| host.name).collect();
        let addresses: HashSet<_> = all().map(HostPlan::address).collect();
        let count = HOSTS.len() + 1;
        assert_eq!((names.len(), addresses.len()), (count, count));
        assert!(!addresses.contains("10.77.0.1"), "the bridge has this one");
    }

    #[test]
    fn every_host_knows_every_other_by_name() {
        let file = hosts_file();
        for host in HOSTS.iter().chain([&MACHINE]) {
            assert!(file.contains(&format!("{} {}\n", host.address(), host.name)));
        }
    }
}
