//! What a host has: sent whole when it changes and every minute.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::component::ComponentId;
use crate::time::Timestamp;

/// A listening TCP socket and who owns it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Listener {
    /// Bound address; unspecified means all.
    pub address: IpAddr,
    /// Bound port.
    pub port: u16,
    /// Owner: a service, or the host where the owner is not known.
    pub component: ComponentId,
}

/// A mounted filesystem and the disk under it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Mount {
    /// The filesystem.
    pub component: ComponentId,
    /// Type, as `ext4`.
    pub fstype: String,
    /// Source, as `/dev/vda1`.
    pub device: String,
    /// Services that keep files open or have their directories there. May be empty: not known.
    pub used_by: Vec<ComponentId>,
}

/// A host's facts at one time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// When it was taken.
    pub time: Timestamp,
    /// What the host calls itself. For display: identity is the certificate's.
    pub hostname: String,
    /// Kernel release.
    pub kernel: String,
    /// Operating system, as PRETTY_NAME of os-release(5).
    pub os: String,
    /// Boot id of the kernel, 32 hexadecimal digits or a UUID.
    pub boot_id: String,
    /// When the kernel booted.
    pub booted: Timestamp,
    /// Cores online.
    pub cores: u32,
    /// Memory in all, in bytes.
    pub memory_bytes: u64,
    /// Addresses of its interfaces, loopback excluded.
    pub addresses: Vec<IpAddr>,
    /// Listening TCP sockets.
    pub listeners: Vec<Listener>,
    /// Mounted filesystems.
    pub mounts: Vec<Mount>,
    /// Agent's version.
    pub agent_version: String,
    /// Sources that cannot see, with the reason: blind spots of this host.
    pub blind: Vec<String>,
}
