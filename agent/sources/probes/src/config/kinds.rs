//! The kinds of probes, each with what it asks and its own checks.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::target::Target;
use crate::look::dns::Record;

/// Longest path, host name or expected text, in bytes.
const TEXT_LIMIT_BYTES: usize = 1024;
/// Where most systems keep the certificates that they trust.
const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// `tcp = { address = "127.0.0.1:5432" }`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TcpProbe {
    /// Address or name, and port, as `127.0.0.1:5432`.
    pub address: Target,
}

/// `http = { address = "127.0.0.1:80", path = "/health" }`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpProbe {
    /// Address or name, and port, as `127.0.0.1:443`.
    pub address: Target,
    /// Path and query. Default `/`.
    #[serde(default = "path")]
    pub path: String,
    /// Host that is asked for, as `www.example.org`, and over TLS the name that the certificate must bear. Default: the address.
    pub host: Option<String>,
    /// Status that is right: 100 to 599. Default 200.
    #[serde(default = "status")]
    pub status: u16,
    /// Text that the first 64 KiB of the body must hold, as `ready`. Default: the body is not read.
    pub contains: Option<String>,
    /// Asks over TLS, as `true` says. Default false.
    #[serde(default)]
    pub tls: bool,
    /// Over TLS: the certificates to trust, in PEM, as `/etc/ssl/own.pem`. Default the system's, `/etc/ssl/certs/ca-certificates.crt`.
    pub ca_file: Option<PathBuf>,
    /// Over TLS: whether the certificate must be one to be trusted. Default true.
    #[serde(default = "yes")]
    pub verify: bool,
}

/// `tls = { address = "www.example.org:443", min_days = 14 }`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsProbe {
    /// Address or name, and port, as `www.example.org:443`.
    pub address: Target,
    /// Name that is asked for, as `www.example.org`, and that the certificate must bear. Default: the address's.
    pub host: Option<String>,
    /// Days that the certificate must still be valid, 0 to 3650. Default 7.
    #[serde(default = "min_days")]
    pub min_days: u32,
    /// The certificates to trust, in PEM, as `/etc/ssl/own.pem`. Default the system's, `/etc/ssl/certs/ca-certificates.crt`.
    pub ca_file: Option<PathBuf>,
    /// Whether the certificate must be one to be trusted. Default true.
    #[serde(default = "yes")]
    pub verify: bool,
}

/// `dns = { name = "www.example.org", expect = "192.0.2.1" }`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DnsProbe {
    /// Name that is asked for, as `www.example.org`, whole: no search list is applied.
    pub name: String,
    /// Which sort of address, as `A`. Default: that of the address expected, else `A`.
    pub record: Option<Record>,
    /// Resolver that is asked, over UDP, as `192.0.2.53:53`. Default: the first that `/etc/resolv.conf` names.
    pub resolver: Option<SocketAddr>,
    /// Address that must be among those given, as `192.0.2.1`. Default: any will do.
    pub expect: Option<IpAddr>,
}

/// `file = { path = "/var/backups/last", max_age_s = 90000 }`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileProbe {
    /// Absolute path, as `/var/backups/last`.
    pub path: PathBuf,
    /// Oldest that its contents may be, in seconds, as `90000`; at least 1.
    pub max_age_s: u64,
}

/// `unit = { name = "nginx.service" }`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnitProbe {
    /// Unit that must be active, as `nginx.service`; a service, with its ending.
    pub name: String,
}

fn path() -> String {
    "/".to_owned()
}

fn status() -> u16 {
    200
}

fn min_days() -> u32 {
    7
}

fn yes() -> bool {
    true
}

fn authorities(file: Option<&PathBuf>) -> &Path {
    file.map_or(Path::new(SYSTEM_AUTHORITIES), PathBuf::as_path)
}

/// A name without its port, as certificates bear it.
fn without_port(host: &str) -> &str {
    let bare = host.strip_prefix('[').and_then(|h| h.split_once(']'));
    match bare {
        Some((address, _)) => address,
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    }
}

fn is_relative(file: Option<&PathBuf>) -> bool {
    file.is_some_and(|file| !file.is_absolute())
}

impl HttpProbe {
    /// The host that is asked for.
    pub(crate) fn host(&self) -> String {
        let address = || self.address.to_string();
        self.host.clone().unwrap_or_else(address)
    }

    /// The name that its certificate must bear.
    pub(crate) fn server_name(&self) -> &str {
        let host = self.host.as_deref();
        host.map_or_else(|| self.address.host(), without_port)
    }

    /// The file of certificates to trust; `None` when any will do.
    pub(crate) fn authorities(&self) -> Option<&Path> {
        self.verify.then(|| authorities(self.ca_file.as_ref()))
    }

    pub(super) fn wrong(&self) -> Option<&'static str> {
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
        if !self.tls && (self.ca_file.is_some() || !self.verify) {
            return Some("http.ca_file and http.verify need tls = true");
        }
        if is_relative(self.ca_file.as_ref()) {
            return Some("http.ca_file: an absolute path is needed");
        }
        (self.tls && !is_server_name(self.server_name()))
            .then_some("http.host: over TLS a name that certificates bear is needed")
    }
}

impl TlsProbe {
    /// The name that its certificate must bear.
    pub(crate) fn server_name(&self) -> &str {
        self.host.as_deref().unwrap_or_else(|| self.address.host())
    }

    /// The file of certificates to trust; `None` when any will do.
    pub(crate) fn authorities(&self) -> Option<&Path> {
        self.verify.then(|| authorities(self.ca_file.as_ref()))
    }

    pub(super) fn wrong(&self) -> Option<&'static str> {
        if self.min_days > 3650 {
            return Some("tls.min_days: 0 to 3650 is allowed");
        }
        if is_relative(self.ca_file.as_ref()) {
            return Some("tls.ca_file: an absolute path is needed");
        }
        (!is_server_name(self.server_name()))
            .then_some("tls.host: a name that certificates bear is needed")
    }
}

fn is_server_name(name: &str) -> bool {
    rustls_pki_types::ServerName::try_from(name).is_ok()
}

impl DnsProbe {
    /// The record that is asked for.
    pub(crate) fn record(&self) -> Record {
        let by_address = || match self.expect {
            Some(IpAddr::V6(_)) => Record::Aaaa,
            _ => Record::A,
        };
        self.record.unwrap_or_else(by_address)
    }

    pub(super) fn wrong(&self) -> Option<&'static str> {
        if crate::look::dns::Question::new(&self.name, self.record()).is_none() {
            return Some(
                "dns.name: labels of 1 to 63 letters, digits, - and _, 253 in all, are needed",
            );
        }
        let fits = |address: IpAddr| address.is_ipv6() == (self.record() == Record::Aaaa);
        (!self.expect.is_none_or(fits)).then_some("dns.expect: an address of the record is needed")
    }
}

impl FileProbe {
    pub(super) fn wrong(&self) -> Option<&'static str> {
        (!self.path.is_absolute() || self.max_age_s == 0)
            .then_some("file: an absolute path and a max_age_s of at least 1 are needed")
    }
}

impl UnitProbe {
    pub(super) fn wrong(&self) -> Option<&'static str> {
        (!self.name.ends_with(".service") || super::is_no_unit(&self.name))
            .then_some("unit.name: the name of a service with its ending is needed")
    }
}
