//! The agent's configuration file, in TOML. Every key has a default; an unknown key is an error.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use firstlook_pipeline::{LineBudget, Redactor, Rule};
use firstlook_proto::settings::{self, Section};
use firstlook_sources_events::TailedFiles;
use firstlook_sources_host::HostRoots;
use firstlook_sources_probes::{PORTS_LIMIT, Probe};
use firstlook_sources_receivers::{Otlp, Receivers, Scrape, Statsd};
use serde::Deserialize;

use crate::strain::Budget;

/// Read when no file is named, if it is there.
pub const DEFAULT_CONFIG: &str = "/etc/firstlook/agent.toml";
/// Where the agent keeps what must survive.
pub const DEFAULT_STATE_DIR: &str = "/var/lib/firstlook-agent";
/// Largest configuration file read.
const FILE_LIMIT_BYTES: u64 = 1024 * 1024;

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Folder of the identity and the journal. Default `/var/lib/firstlook-agent`.
    pub state_dir: PathBuf,
    /// Address of the collector, as `https://collector:9443`, over the one given when joining. Default: that one.
    pub collector: Option<String>,
    /// Where the kernel's files are.
    pub roots: Roots,
    /// What to watch for changes.
    pub watch: Watch,
    /// Log files to follow, beside journald and the kernel's log. Default none.
    pub files: Vec<Files>,
    /// How much of the logs is sent.
    pub logs: LogsSection,
    /// Own rules of redaction, beside the built-in ones. At most 64. Default none.
    pub redact: Vec<RedactRule>,
    /// Looks at addresses, names, certificates, files and units, each at an interval (`docs/probes.md`). Default none.
    #[serde(rename = "probe")]
    pub probes: Vec<Probe>,
    /// Certificates that services of this host show.
    pub certificates: CertificatesSection,
    /// Endpoints whose metrics come along, as Prometheus reads them (`docs/receivers.md`). Default none.
    #[serde(rename = "scrape")]
    pub scrapes: Vec<Scrape>,
    /// Takes what programs send in StatsD's form (`docs/receivers.md`). Default: nothing is taken.
    pub statsd: Option<Statsd>,
    /// Takes what programs send in OpenTelemetry's form (`docs/receivers.md`). Default: nothing is taken.
    pub otlp: Option<Otlp>,
    /// Where the agent shows what it samples.
    pub metrics: MetricsSection,
    /// What the agent may cost before it gives up work (`docs/operations.md`).
    pub budget: Budget,
    /// The journal of records on their way.
    pub journal: JournalSection,
    /// What a snapshot takes along.
    pub snapshot: SnapshotSection,
    /// What the collector may set (`docs/operations.md`).
    pub remote: RemoteSection,
    /// Keys that the file itself sets, of those that the collector may.
    #[serde(skip)]
    pub own: OwnKeys,
}

/// `[roots]`: to be changed where the agent runs in a container.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Roots {
    /// procfs. Default `/proc`.
    pub proc: PathBuf,
    /// sysfs. Default `/sys`.
    pub sys: PathBuf,
    /// cgroup hierarchies. Default `/sys/fs/cgroup`.
    pub cgroup: PathBuf,
    /// Pressure files. Default `/proc/pressure`.
    pub pressure: PathBuf,
    /// Folders of journal files. Default `/var/log/journal` and `/run/log/journal`. Empty: not read.
    pub journal: Vec<PathBuf>,
    /// The kernel's log. Default `/dev/kmsg`. Empty: not read.
    pub kmsg: PathBuf,
    /// The system bus. Default `/run/dbus/system_bus_socket`. Empty: unit states are not read.
    pub system_bus: PathBuf,
}

/// `[watch]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Watch {
    /// Files and folders whose contents are configuration, as `/etc/nginx`. What unit files and command lines of running
    /// services name is watched anyway. Default none.
    pub config_paths: Vec<PathBuf>,
}

/// `[[files]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Files {
    /// Path whose last part may hold `*` and `?`, as `/var/log/nginx/*.log`.
    pub glob: String,
    /// Unit that writes them, as `nginx.service`. Default: the host itself.
    pub service: Option<String>,
    /// Whether the lines of one message, as of a stack trace, are joined. Default true.
    #[serde(default = "yes")]
    pub multiline: bool,
}

fn yes() -> bool {
    true
}

/// `[logs]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogsSection {
    /// Lines per second that one service may send in the long run; four seconds' worth may come at once. Of what is
    /// beyond it the first lines of each sort are sent, and all are counted by sort. 1 to 1000000. Default 500.
    pub lines_per_second: u32,
}

/// `[[redact]]`: what else is a secret, in log lines and changes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedactRule {
    /// What it is called in errors, as `licence`.
    pub name: String,
    /// Regular expression, as `licence=(?P<secret>\S+)`, at most 4,096 bytes and 1 MiB compiled. What its group `secret` matches is
    /// redacted, or the whole match where it has no such group. It may not match the empty text.
    pub pattern: String,
}

/// `[journal]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JournalSection {
    /// Budget of records waiting for the collector, in MiB; the cheapest go first when it is full. While a
    /// collector is there, lines wait where they were written once half is taken. 1 to 65536. Default 64.
    pub budget_mib: u64,
}

/// `[certificates]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CertificatesSection {
    /// Ports of this host's services at which the agent begins a TLS session every ten minutes, to see until when the certificate
    /// shown there is valid. At most 32. Default `443`, `465`, `636`, `853`, `990`, `993`, `995`, `5671`, `6443` and `8443`. Empty:
    /// nobody is asked.
    pub ports: Vec<u16>,
}

/// `[metrics]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsSection {
    /// Address and port whose `/metrics` tells the last sample as Prometheus reads it, as `127.0.0.1:9442`, to whoever can reach
    /// it. Default: nothing is shown.
    pub listen: Option<SocketAddr>,
}

/// `[snapshot]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SnapshotSection {
    /// Files and folders that a snapshot takes along, as `/etc/postgresql`, redacted, beside `watch.config_paths`. Default none.
    pub config_paths: Vec<PathBuf>,
}

/// `[remote]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RemoteSection {
    /// Sections that a configuration from the collector may set, of `logs`, `budget` and `redact`; a key that this file sets
    /// stays as it is. Empty: nothing is taken from the collector. Default `logs`, `budget` and `redact`.
    pub allow: Vec<Section>,
    /// How long a configuration from the collector is watched before it counts as good, in seconds: 10 to 3600. Default 60.
    pub trial_s: u64,
}

/// Whether the file sets a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnKeys {
    /// `logs.lines_per_second`
    pub lines_per_second: bool,
    /// `budget.cpu_percent`
    pub cpu_percent: bool,
    /// `budget.memory_mib`
    pub memory_mib: bool,
}

impl OwnKeys {
    /// Those of a file's text, which was read before.
    fn of(text: &str) -> Self {
        let table: toml::Table = toml::from_str(text).unwrap_or_default();
        let sets = |section: &str, key: &str| {
            let section = table.get(section).and_then(toml::Value::as_table);
            section.is_some_and(|section| section.contains_key(key))
        };
        Self {
            lines_per_second: sets("logs", "lines_per_second"),
            cpu_percent: sets("budget", "cpu_percent"),
            memory_mib: sets("budget", "memory_mib"),
        }
    }
}

impl Default for RemoteSection {
    fn default() -> Self {
        Self {
            allow: Section::ALL.to_vec(),
            trial_s: 60,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            state_dir: DEFAULT_STATE_DIR.into(),
            collector: None,
            roots: Roots::default(),
            watch: Watch::default(),
            files: Vec::new(),
            logs: LogsSection::default(),
            redact: Vec::new(),
            probes: Vec::new(),
            certificates: CertificatesSection::default(),
            scrapes: Vec::new(),
            statsd: None,
            otlp: None,
            metrics: MetricsSection::default(),
            budget: Budget::default(),
            journal: JournalSection::default(),
            snapshot: SnapshotSection::default(),
            remote: RemoteSection::default(),
            own: OwnKeys::default(),
        }
    }
}

impl Default for Roots {
    fn default() -> Self {
        let roots = HostRoots::default();
        Self {
            proc: roots.proc,
            sys: roots.sys,
            cgroup: roots.cgroup,
            pressure: roots.pressure,
            journal: vec!["/var/log/journal".into(), "/run/log/journal".into()],
            kmsg: "/dev/kmsg".into(),
            system_bus: "/run/dbus/system_bus_socket".into(),
        }
    }
}

impl Default for LogsSection {
    fn default() -> Self {
        let LineBudget {
            lines_per_second, ..
        } = LineBudget::default();
        Self { lines_per_second }
    }
}

impl Default for CertificatesSection {
    fn default() -> Self {
        Self {
            ports: vec![443, 465, 636, 853, 990, 993, 995, 5671, 6443, 8443],
        }
    }
}

impl Default for JournalSection {
    fn default() -> Self {
        Self { budget_mib: 64 }
    }
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read or is malformed: the message says where and what.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let size = std::fs::metadata(path)
            .with_context(|| format!("configuration {} cannot be read", path.display()))?
            .len();
        anyhow::ensure!(
            size <= FILE_LIMIT_BYTES,
            "configuration {} is larger than {FILE_LIMIT_BYTES} bytes",
            path.display()
        );
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("configuration {} cannot be read", path.display()))?;
        let mut config: Self = toml::from_str(&text)
            .with_context(|| format!("configuration {} is malformed", path.display()))?;
        config
            .check()
            .with_context(|| format!("configuration {}", path.display()))?;
        config.own = OwnKeys::of(&text);
        Ok(config)
    }

    /// Reads a file that need not be there.
    ///
    /// # Errors
    /// As [`Config::read`].
    pub fn read_default(path: &Path) -> anyhow::Result<Self> {
        if path.exists() {
            Self::read(path)
        } else {
            Ok(Self::default())
        }
    }

    fn check(&self) -> anyhow::Result<()> {
        let budget = self.journal.budget_mib;
        anyhow::ensure!(
            (1..=65_536).contains(&budget),
            "journal.budget_mib is {budget}: 1 to 65536 is allowed"
        );
        let lines = self.logs.lines_per_second;
        anyhow::ensure!(
            settings::LINES_PER_SECOND.contains(&lines),
            "logs.lines_per_second is {lines}: 1 to 1000000 is allowed"
        );
        Redactor::new(&self.redact_rules()).context("redact")?;
        firstlook_sources_probes::check(&self.probes)?;
        firstlook_sources_receivers::check(&self.receivers())?;
        if let Some(wrong) = self.budget.wrong() {
            anyhow::bail!(wrong);
        }
        let ports = self.certificates.ports.len();
        anyhow::ensure!(
            ports <= PORTS_LIMIT,
            "certificates.ports names {ports} ports: {PORTS_LIMIT} are allowed"
        );
        let trial = self.remote.trial_s;
        anyhow::ensure!(
            (10..=3_600).contains(&trial),
            "remote.trial_s is {trial}: 10 to 3600 is allowed"
        );
        let port = self.metrics.listen.map(|listen| listen.port());
        anyhow::ensure!(port != Some(0), "metrics.listen: a port is needed");
        for path in self
            .watch
            .config_paths
            .iter()
            .chain(&self.snapshot.config_paths)
        {
            anyhow::ensure!(
                path.is_absolute(),
                "{} is not an absolute path",
                path.display()
            );
        }
        Ok(())
    }

    /// The roots of the host sources.
    pub fn host_roots(&self) -> HostRoots {
        HostRoots {
            proc: self.roots.proc.clone(),
            sys: self.roots.sys.clone(),
            cgroup: self.roots.cgroup.clone(),
            pressure: self.roots.pressure.clone(),
        }
    }

    /// What programs tell of themselves.
    pub fn receivers(&self) -> Receivers {
        Receivers {
            scrapes: self.scrapes.clone(),
            statsd: self.statsd.clone(),
            otlp: self.otlp.clone(),
        }
    }

    /// Own rules of redaction.
    pub fn redact_rules(&self) -> Vec<Rule> {
        let rule = |rule: &RedactRule| Rule {
            name: rule.name.clone(),
            pattern: rule.pattern.clone(),
        };
        self.redact.iter().map(rule).collect()
    }

    /// Files to follow.
    pub fn tailed(&self) -> Vec<TailedFiles> {
        let tailed = |f: &Files| TailedFiles {
            glob: f.glob.clone(),
            service: f.service.clone(),
            multiline: f.multiline,
        };
        self.files.iter().map(tailed).collect()
    }
}

#[cfg(test)]
mod reference;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> anyhow::Result<Config> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.toml");
        std::fs::write(&path, text).unwrap();
        Config::read(&path)
    }

    #[test]
    fn an_empty_file_means_the_defaults() {
        let config = read("").unwrap();
        assert_eq!(config.state_dir, Path::new(DEFAULT_STATE_DIR));
        assert_eq!(config.journal.budget_mib, 64);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, named) in [
            ("sate_dir = \"/x\"", "sate_dir"),
            ("[journal]\nbudget_mib = 0", "budget_mib"),
            ("[logs]\nlines_per_second = 0", "lines_per_second"),
            ("[watch]\nconfig_paths = [\"etc\"]", "absolute"),
            ("[[files]]\nservice = \"x\"", "glob"),
            ("[[redact]]\nname = \"mine\"\npattern = \"(\"", "mine"),
            ("[[redact]]\nname = \"mine\"\npattern = \"x*\"", "mine"),
            ("[[probe]]\nname = \"front\"", "exactly one of"),
            ("[[scrape]]\nurl = \"https://a\"", "URL"),
            ("[statsd]\nseries_budget = 0", "series_budget"),
            ("[otlp]\nlisten = \"127.0.0.1:4318\"", "listen"),
            ("[budget]\ncpu_percent = 0.0", "budget.cpu_percent"),
            ("[budget]\nmemory_mib = 7", "budget.memory_mib"),
            ("[metrics]\nlisten = \"127.0.0.1:0\"", "metrics.listen"),
            (
                &format!("[certificates]\nports = {:?}", [1; 33]),
                "certificates.ports",
            ),
            ("[remote]\nallow = [\"roots\"]", "roots"),
            ("[remote]\ntrial_s = 9", "remote.trial_s"),
            ("[metrics]\nlisten = \"localhost:9442\"", "listen"),
            (
                "[[scrape]]\nurl = \"http://[::1]:1\"\ninterval_s = 0",
                "interval_s",
            ),
        ] {
            let error = format!("{:#}", read(text).unwrap_err());
            assert!(error.contains(named), "{error}");
        }
    }
}
