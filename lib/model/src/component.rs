//! Components: what can fail and be named.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::{HostId, InvalidId};

/// Longest name of a component within its host, in bytes (a path's customary limit is 4,096; this is
/// what reads on a screen).
pub const COMPONENT_NAME_LIMIT_BYTES: usize = 512;

/// What sort of thing a component is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ComponentKind {
    /// A machine, or a container that acts as one, with one agent.
    Host,
    /// A systemd unit, or a process group by command where there is no systemd.
    Service,
    /// A mounted filesystem, named by its mount point.
    Filesystem,
    /// A block device, named as in `/proc/diskstats`.
    Disk,
    /// A network interface with the link behind it.
    Interface,
    /// An address and port that no agent sees into; has no host.
    Endpoint,
    /// The agent of a host.
    Agent,
}

impl ComponentKind {
    /// Every kind, in display order.
    pub const ALL: [Self; 7] = [
        Self::Host,
        Self::Service,
        Self::Filesystem,
        Self::Disk,
        Self::Interface,
        Self::Endpoint,
        Self::Agent,
    ];

    /// The lower-case word used in ids.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Service => "service",
            Self::Filesystem => "filesystem",
            Self::Disk => "disk",
            Self::Interface => "interface",
            Self::Endpoint => "endpoint",
            Self::Agent => "agent",
        }
    }
}

impl fmt::Display for ComponentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ComponentKind {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| InvalidId::new("component kind", text, "one of host, service, …"))
    }
}

/// A component's identity.
///
/// Written `kind:host/name` (`service:db1/postgresql.service`, `filesystem:db1/var/lib`, where the name
/// of a filesystem is its mount point with the leading slash, and the root is `filesystem:db1/`),
/// `host:db1`, `agent:db1`, `endpoint:192.0.2.7:443`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ComponentId {
    kind: ComponentKind,
    host: Option<HostId>,
    name: String,
}

/// A component id that breaks its rule.
pub type InvalidComponent = InvalidId;

const RULE: &str = "kind:host/name, host:name, agent:name or endpoint:address:port";

impl ComponentId {
    /// A machine.
    pub fn host(host: HostId) -> Self {
        let name = host.as_str().to_owned();
        Self {
            kind: ComponentKind::Host,
            host: Some(host),
            name,
        }
    }

    /// The agent of a machine.
    pub fn agent(host: HostId) -> Self {
        let name = host.as_str().to_owned();
        Self {
            kind: ComponentKind::Agent,
            host: Some(host),
            name,
        }
    }

    /// Something on a host: service, filesystem, disk or interface.
    ///
    /// # Errors
    /// When the name is empty, holds control characters or is longer than
    /// [`COMPONENT_NAME_LIMIT_BYTES`], when a filesystem's does not begin with `/`, or when the kind is not one that lives on a host.
    pub fn on_host(
        kind: ComponentKind,
        host: HostId,
        name: impl Into<String>,
    ) -> Result<Self, InvalidComponent> {
        let name = name.into();
        let on_host = matches!(
            kind,
            ComponentKind::Service
                | ComponentKind::Filesystem
                | ComponentKind::Disk
                | ComponentKind::Interface
        );
        let rooted = kind != ComponentKind::Filesystem || name.starts_with('/');
        if !on_host || !rooted || !printable(&name) {
            return Err(InvalidId::new("component", &name, RULE));
        }
        Ok(Self {
            kind,
            host: Some(host),
            name,
        })
    }

    /// An address and port that no agent sees into, as `192.0.2.7:443` or `[2001:db8::7]:443`.
    ///
    /// # Errors
    /// When the name is empty, too long or holds control characters.
    pub fn endpoint(name: impl Into<String>) -> Result<Self, InvalidComponent> {
        let name = name.into();
        if !printable(&name) {
            return Err(InvalidId::new("component", &name, RULE));
        }
        Ok(Self {
            kind: ComponentKind::Endpoint,
            host: None,
            name,
        })
    }

    /// The kind.
    pub fn kind(&self) -> ComponentKind {
        self.kind
    }

    /// The host that it is or lives on; `None` for an endpoint.
    pub fn host_id(&self) -> Option<&HostId> {
        self.host.as_ref()
    }

    /// The name within the host: unit, mount point, device; the host's own name for host and agent.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The component of the machine that this one lives on, if any; itself for a host.
    pub fn its_host(&self) -> Option<Self> {
        self.host.clone().map(Self::host)
    }

    /// Short form for people, without the kind: `db1/postgresql.service`, `db1`, `192.0.2.7:443`.
    pub fn label(&self) -> String {
        match (&self.host, self.kind) {
            (None, _) | (_, ComponentKind::Host | ComponentKind::Agent) => self.name.clone(),
            (Some(host), ComponentKind::Filesystem) => format!("{host}{}", self.name),
            (Some(host), _) => format!("{host}/{}", self.name),
        }
    }
}

fn printable(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= COMPONENT_NAME_LIMIT_BYTES
        && !name.chars().any(char::is_control)
}

impl fmt::Display for ComponentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.label())
    }
}

impl FromStr for ComponentId {
    type Err = InvalidComponent;
    fn from_str(text: &str) -> Result<Self, InvalidComponent> {
        let invalid = || InvalidId::new("component", text, RULE);
        let (kind, rest) = text.split_once(':').ok_or_else(invalid)?;
        let kind: ComponentKind = kind.parse().map_err(|_| invalid())?;
        match kind {
            ComponentKind::Host => HostId::new(rest).map(Self::host).map_err(|_| invalid()),
            ComponentKind::Agent => HostId::new(rest).map(Self::agent).map_err(|_| invalid()),
            ComponentKind::Endpoint => Self::endpoint(rest),
            _ => {
                let slash = rest.find('/').ok_or_else(invalid)?;
                let host = HostId::new(&rest[..slash]).map_err(|_| invalid())?;
                let start = if kind == ComponentKind::Filesystem {
                    slash
                } else {
                    slash + 1
                };
                Self::on_host(kind, host, &rest[start..])
            }
        }
    }
}

impl TryFrom<String> for ComponentId {
    type Error = InvalidComponent;
    fn try_from(text: String) -> Result<Self, InvalidComponent> {
        text.parse()
    }
}

impl From<ComponentId> for String {
    fn from(id: ComponentId) -> Self {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ids_read_back_as_written() {
        for text in [
            "host:db1",
            "agent:db1",
            "service:db1/postgresql@15-main.service",
            "filesystem:db1/",
            "filesystem:db1/var/lib/postgresql",
            "interface:db1/eth0",
            "disk:db1/sda",
            "endpoint:192.0.2.7:443",
            "endpoint:[2001:db8::7]:443",
        ] {
            assert_eq!(text.parse::<ComponentId>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn malformed_ids_are_refused() {
        for text in [
            "",
            "db1",
            "service:db1",
            "service:/x",
            "service:db1/",
            "pod:db1/x",
            "host:A",
        ] {
            assert!(
                text.parse::<ComponentId>().is_err(),
                "{text:?} was accepted"
            );
        }
    }

    proptest! {
        #[test]
        fn any_text_parses_or_is_refused_and_survivors_read_back(text in ".{0,80}") {
            if let Ok(id) = text.parse::<ComponentId>() {
                prop_assert_eq!(id.to_string().parse::<ComponentId>().unwrap(), id);
            }
        }

        #[test]
        fn any_service_name_reads_back(name in "[^\\p{Cc}]{1,60}") {
            let host = HostId::new("h1").unwrap();
            let id = ComponentId::on_host(ComponentKind::Service, host, name).unwrap();
            prop_assert_eq!(id.to_string().parse::<ComponentId>().unwrap(), id);
        }
    }
}
