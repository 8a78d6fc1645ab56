//! What an operator may ask to be probed, and the checks of it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use firstlook_model::{ComponentId, ComponentKind, HostId};
use serde::Deserialize;

/// Most probes of one agent: each is a task, and three series.
pub const PROBES_LIMIT: usize = 64;
/// Longest name of a probe, in bytes.
const NAME_LIMIT_BYTES: usize = 48;
/// Longest path, host name or expected text, in bytes.
const TEXT_LIMIT_BYTES: usize = 1024;

/// `[[probe]]`: exactly one of `tcp`, `http` and `file`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// Part of the names of its series: lower-case letters, digits, `-` and `_`; 1 to 48 bytes; unique.
    pub name: String,
    /// Unit that it is about, as `nginx.service`. Default: the host itself.
    pub service: Option<String>,
    /// Time between two looks, in seconds: 1 to 3600. Default 10.
    #[serde(default = "interval_s")]
    pub interval_s: u64,
    /// How long a look may take, in seconds: 1 to the interval. Default 1.
    #[serde(default = "deadline_s")]
    pub deadline_s: u64,
    /// Asks whether an address accepts connections.
    pub tcp: Option<TcpProbe>,
    /// Asks for a page, without TLS.
    pub http: Option<HttpProbe>,
    /// Looks how old a file is.
    pub file: Option<FileProbe>,
}

/// `tcp = { address = "127.0.0.1:5432" }`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TcpProbe {
    /// Address and port.
    pub address: SocketAddr,
}

/// `http = { address = "127.0.0.1:80", path = "/health" }`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpProbe {
    /// Address and port.
    pub address: SocketAddr,
    /// Path and query. Default `/`.
    #[serde(default = "path")]
    pub path: String,
    /// Host that is asked for. Default: the address.
    pub host: Option<String>,
    /// Status that is right: 100 to 599. Default 200.
    #[serde(default = "status")]
    pub status: u16,
    /// Text that the first 64 KiB of the body must hold. Default: the body is not read.
    pub contains: Option<String>,
}

/// `file = { path = "/var/backups/last", max_age_s = 90000 }`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileProbe {
    /// Absolute path.
    pub path: PathBuf,
    /// Oldest that its contents may be, in seconds; at least 1.
    pub max_age_s: u64,
}

fn interval_s() -> u64 {
    10
}

fn deadline_s() -> u64 {
    1
}

fn path() -> String {
    "/".to_owned()
}

fn status() -> u16 {
    200
}

/// What is wrong with a list of probes. Only the operator can mend it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Fault {
    /// Beyond [`PROBES_LIMIT`].
    #[error("{0} probes: at most {PROBES_LIMIT} are allowed")]
    TooMany(usize),
    /// Two of one name.
    #[error("probe {0} is there twice")]
    Twice(String),
    /// A name outside its form.
    #[error("probe name {0:?}: 1 to {NAME_LIMIT_BYTES} of a-z, 0-9, - and _ are allowed")]
    Name(String),
    /// A value outside its range.
    #[error("probe {probe}: {wrong}")]
    Value {
        /// Its name.
        probe: String,
        /// The key, and what it allows.
        wrong: &'static str,
    },
}

/// Checks a whole list.
///
/// # Errors
/// The first fault found.
pub fn check(probes: &[Probe]) -> Result<(), Fault> {
    if probes.len() > PROBES_LIMIT {
        return Err(Fault::TooMany(probes.len()));
    }
    let mut names = BTreeSet::new();
    for probe in probes {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b);
        let length = 1..=NAME_LIMIT_BYTES;
        if !length.contains(&probe.name.len()) || !probe.name.bytes().all(allowed) {
            return Err(Fault::Name(probe.name.chars().take(64).collect()));
        }
        if !names.insert(&probe.name) {
            return Err(Fault::Twice(probe.name.clone()));
        }
        if let Some(wrong) = probe.wrong() {
            let probe = probe.name.clone();
            return Err(Fault::Value { probe, wrong });
        }
    }
    Ok(())
}

impl Probe {
    /// Time between two looks.
    pub(crate) fn interval(&self) -> Duration {
        Duration::from_secs(self.interval_s.max(1))
    }

    /// How long a look may take.
    pub(crate) fn deadline(&self) -> Duration {
        Duration::from_secs(self.deadline_s)
    }

    /// What it is about; the host when its service's name cannot be one, which [`check`] refuses.
    pub(crate) fn component(&self, host: &HostId) -> ComponentId {
        let service = |name: &String| {
            ComponentId::on_host(ComponentKind::Service, host.clone(), name.as_str()).ok()
        };
        let named = self.service.as_ref().and_then(service);
        named.unwrap_or_else(|| ComponentId::host(host.clone()))
    }

    fn wrong(&self) -> Option<&'static str> {
        let targets = [self.tcp.is_some(), self.http.is_some(), self.file.is_some()];
        if targets.iter().filter(|t| **t).count() != 1 {
            return Some("exactly one of tcp, http and file is needed");
        }
        if !(1..=3600).contains(&self.interval_s) {
            return Some("interval_s: 1 to 3600 is allowed");
        }
        if !(1..=self.interval_s).contains(&self.deadline_s) {
            return Some("deadline_s: 1 to the interval is allowed");
        }
        if let Some(name) = &self.service
            && (name.is_empty() || name.len() > 255 || name.chars().any(char::is_control))
        {
            return Some("service: the name of a unit is needed");
        }
        let file = |f: &FileProbe| !f.path.is_absolute() || f.max_age_s == 0;
        if self.file.as_ref().is_some_and(file) {
            return Some("file: an absolute path and a max_age_s of at least 1 are needed");
        }
        self.http.as_ref().and_then(HttpProbe::wrong)
    }
}

impl HttpProbe {
    /// The host that is asked for.
    pub(crate) fn host(&self) -> String {
        self.host
            .clone()
            .unwrap_or_else(|| self.address.to_string())
    }

    fn wrong(&self) -> Option<&'static str> {
        if !(100..=599).contains(&self.status) {
            return Some("http.status: 100 to 599 is allowed");
        }
        let path = self.path.parse::<http::uri::PathAndQuery>();
        if !self.path.starts_with('/') || self.path.len() > TEXT_LIMIT_BYTES || path.is_err() {
            return Some("http.path: a path of at most 1024 bytes that begins with / is needed");
        }
        let host = self.host();
        if host.len() > TEXT_LIMIT_BYTES || host.parse::<http::uri::Authority>().is_err() {
            return Some("http.host: a host name is needed");
        }
        let text = |t: &String| t.is_empty() || t.len() > TEXT_LIMIT_BYTES;
        if self.contains.as_ref().is_some_and(text) {
            return Some("http.contains: 1 to 1024 bytes are allowed");
        }
        None
    }
}
