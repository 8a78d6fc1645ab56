//! What an operator may ask to be probed, and the checks of it.

use std::collections::BTreeSet;
use std::time::Duration;

use firstlook_model::probe::Part;
use firstlook_model::{ComponentId, ComponentKind, HostId};
use serde::Deserialize;

mod kinds;
mod target;

pub use kinds::{DnsProbe, FileProbe, HttpProbe, TcpProbe, TlsProbe, UnitProbe};
pub use target::{NoTarget, Target};

/// Most probes of one agent: each is a task, and up to six series.
pub const PROBES_LIMIT: usize = 64;
/// Longest name of a probe, in bytes.
const NAME_LIMIT_BYTES: usize = 48;

/// `[[probe]]`: exactly one of `tcp`, `http`, `tls`, `dns`, `file` and `unit`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// Part of the names of its series, as `front`: lower-case letters, digits, `-` and `_`; 1 to 48 bytes; unique.
    pub name: String,
    /// Unit that it is about, as `nginx.service`. Default: the unit probed, else the host itself.
    pub service: Option<String>,
    /// Time between two looks, in seconds: 1 to 3600. Default 10.
    #[serde(default = "interval_s")]
    pub interval_s: u64,
    /// How long a look may take, in seconds: 1 to the interval. Default 1.
    #[serde(default = "deadline_s")]
    pub deadline_s: u64,
    /// Asks whether an address accepts connections.
    pub tcp: Option<TcpProbe>,
    /// Asks for a page.
    pub http: Option<HttpProbe>,
    /// Looks until when a served certificate is valid, and whether it is one to be trusted.
    pub tls: Option<TlsProbe>,
    /// Asks a resolver for the addresses of a name.
    pub dns: Option<DnsProbe>,
    /// Looks how old a file is.
    pub file: Option<FileProbe>,
    /// Looks whether a unit is active.
    pub unit: Option<UnitProbe>,
}

fn interval_s() -> u64 {
    10
}

fn deadline_s() -> u64 {
    1
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

    /// What it is about on `host`; the host itself when its service's name cannot be one, which [`check`] refuses.
    pub fn component(&self, host: &HostId) -> ComponentId {
        let service = |name: &String| {
            ComponentId::on_host(ComponentKind::Service, host.clone(), name.as_str()).ok()
        };
        let probed = self.unit.as_ref().map(|unit| &unit.name);
        let named = self.service.as_ref().or(probed).and_then(service);
        named.unwrap_or_else(|| ComponentId::host(host.clone()))
    }

    /// What is asked of it, for people, as `http 127.0.0.1:80/health`. Not empty for a list that was checked.
    pub fn asks(&self) -> String {
        if let Some(http) = &self.http {
            let scheme = if http.tls { "https" } else { "http" };
            return format!("{scheme} {}{}", http.address, http.path);
        }
        let tls = self.tls.as_ref().map(|tls| format!("tls {}", tls.address));
        let tcp = || Some(format!("tcp {}", self.tcp.as_ref()?.address));
        let dns = || Some(format!("dns {}", self.dns.as_ref()?.name));
        let file = || Some(format!("file {}", self.file.as_ref()?.path.display()));
        let unit = || Some(format!("unit {}", self.unit.as_ref()?.name));
        let other = tls.or_else(tcp).or_else(dns).or_else(file).or_else(unit);
        other.unwrap_or_default()
    }

    /// What its series tell, in order.
    pub(crate) fn parts(&self) -> &'static [Part] {
        use Part::{Age, CertificateDays, Duration, Expected, Failure, Status, Up};
        if let Some(http) = &self.http {
            return match http.tls {
                true => &[Up, Failure, Duration, Status, Expected, CertificateDays],
                false => &[Up, Failure, Duration, Status, Expected],
            };
        }
        if self.tls.is_some() {
            return &[Up, Failure, Duration, CertificateDays, Expected];
        }
        if self.dns.is_some() {
            return &[Up, Failure, Duration, Status];
        }
        if self.file.is_some() {
            return &[Up, Failure, Age, Expected];
        }
        match self.tcp {
            Some(_) => &[Up, Failure, Duration],
            None => &[Up, Failure],
        }
    }

    fn wrong(&self) -> Option<&'static str> {
        let targets = [
            self.tcp.is_some(),
            self.http.is_some(),
            self.tls.is_some(),
            self.dns.is_some(),
            self.file.is_some(),
            self.unit.is_some(),
        ];
        if targets.iter().filter(|t| **t).count() != 1 {
            return Some("exactly one of tcp, http, tls, dns, file and unit is needed");
        }
        if !(1..=3600).contains(&self.interval_s) {
            return Some("interval_s: 1 to 3600 is allowed");
        }
        if !(1..=self.interval_s).contains(&self.deadline_s) {
            return Some("deadline_s: 1 to the interval is allowed");
        }
        if self.service.as_deref().is_some_and(is_no_unit) {
            return Some("service: the name of a unit is needed");
        }
        let http = self.http.as_ref().and_then(HttpProbe::wrong);
        let tls = || self.tls.as_ref().and_then(TlsProbe::wrong);
        let dns = || self.dns.as_ref().and_then(DnsProbe::wrong);
        let file = || self.file.as_ref().and_then(FileProbe::wrong);
        let unit = || self.unit.as_ref().and_then(UnitProbe::wrong);
        http.or_else(tls).or_else(dns).or_else(file).or_else(unit)
    }
}

fn is_no_unit(name: &str) -> bool {
    name.is_empty() || name.len() > 255 || name.chars().any(char::is_control)
}

#[cfg(test)]
mod tests;
