//! The table of signals.

mod host;
mod parts;

use firstlook_model::ComponentKind;

use super::Gathered;

const CGROUP: &str = "a cgroup of its own for the service, with the controller on (v1 or v2)";
const PRESSURE: &str = "a kernel with PSI";
const OWNERS: &str = "cgroup2, or CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH to find whose sockets are";

/// A row that needs nothing and is read each second.
const fn plain(
    of: ComponentKind,
    read_from: &'static str,
    signals: &'static [&'static str],
    serves: &'static [&'static str],
) -> Gathered {
    Gathered {
        signals,
        of,
        read_from,
        every_seconds: 1,
        serves,
        needs: "",
    }
}

impl Gathered {
    const fn every(self, every_seconds: u64) -> Self {
        Self {
            every_seconds,
            ..self
        }
    }

    const fn needs(self, needs: &'static str) -> Self {
        Self { needs, ..self }
    }
}

/// All rows.
pub(super) fn rows() -> impl Iterator<Item = &'static Gathered> {
    host::ROWS.iter().chain(parts::ROWS)
}

/// Every array of names that a source registers, with what it registers them of.
#[cfg(test)]
pub(super) fn registered() -> Vec<(ComponentKind, &'static [&'static str])> {
    use ComponentKind::{Agent, Disk, Filesystem, Host, Interface, Service};
    vec![
        (Host, &crate::cpu::SIGNALS),
        (Host, &crate::ceilings::SIGNALS),
        (Host, &crate::thermal::SIGNALS),
        (Host, &crate::memory::SIGNALS),
        (Host, &crate::edac::SIGNALS),
        (Host, &crate::vmstat::SIGNALS),
        (Host, &crate::pressure::SIGNALS),
        (Host, &crate::netstat::TCP_SIGNALS),
        (Host, &crate::netstat::UDP_SIGNALS),
        (Host, &crate::netstat::EXTENDED_SIGNALS),
        (Host, &crate::sockstat::SIGNALS),
        (Host, &crate::packets::SIGNALS),
        (Host, &crate::neighbours::SIGNALS),
        (Host, &crate::clock::STEP_SIGNALS),
        (Host, &crate::clock::SERVICE_SIGNALS),
        (Host, &crate::sampler::COUNT),
        (Host, &crate::sampler::PORTS),
        (Filesystem, &crate::filesystem::SIGNALS),
        (Filesystem, &crate::damage::SIGNALS),
        (Filesystem, &crate::nfs::SIGNALS),
        (Disk, &crate::disk::SIGNALS),
        (Disk, &crate::arrays::ARRAY_SIGNALS),
        (Disk, &crate::arrays::POOL_SIGNALS),
        (Interface, &crate::network::SIGNALS),
        (Interface, &crate::bonds::SIGNALS),
        (Interface, &crate::queues::SIGNALS),
        (Service, &crate::services::SIGNALS),
        (Service, &crate::cgroups::detail::SIGNALS),
        (Agent, &crate::own::SIGNALS),
    ]
}
