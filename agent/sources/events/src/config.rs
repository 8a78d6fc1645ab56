//! What to watch and where it is found.

use std::path::PathBuf;

use firstlook_model::{ComponentId, ComponentKind, Expiries, HostId, StrainGauge};

/// Log files to follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TailedFiles {
    /// A path whose last part may hold `*` and `?`, as `/var/log/nginx/*.log`. Directories are taken
    /// literally. Rotated neighbours (`x.log.1`, `x.log-20260101`) are found by themselves.
    pub glob: String,
    /// The unit that writes them, as `nginx.service`; `None` leaves them to the host.
    pub service: Option<String>,
    /// Whether the lines of one message, as of a stack trace, are joined. Default true.
    pub multiline: bool,
}

/// What to watch. [`EventsConfig::for_host`] gives the defaults of a Debian host.
#[derive(Clone, Debug)]
pub struct EventsConfig {
    /// The host to which everything is attributed.
    pub host: HostId,
    /// procfs. Default `/proc`.
    pub proc_root: PathBuf,
    /// The kernel's ring buffer. Default `/dev/kmsg`; `None`: not read.
    pub kmsg: Option<PathBuf>,
    /// This host's place in the cgroup paths that the kernel's log names, as `/lab/db1/payload`. `None`
    /// (default): taken from `/proc/1/cgroup`. To be set where a cgroup namespace hides it.
    pub cgroup_prefix: Option<String>,
    /// Directories that hold journal files, or directories of them by machine id. Default
    /// `/var/log/journal` and `/run/log/journal`. Empty: journald is not read.
    pub journal_dirs: Vec<PathBuf>,
    /// dpkg's list of packages. Default `/var/lib/dpkg/status`; `None`: not watched.
    pub dpkg_status: Option<PathBuf>,
    /// apk's list of packages, where there is none of dpkg. Default `/lib/apk/db/installed`.
    pub apk_installed: Option<PathBuf>,
    /// Where rpm's database may be, in SQLite. The first that is there is watched, where there is none of
    /// the others. Default `/usr/lib/sysimage/rpm/rpmdb.sqlite` and `/var/lib/rpm/rpmdb.sqlite`.
    pub rpm_databases: Vec<PathBuf>,
    /// Docker's folder. Default `/var/lib/docker`. Where it is not there, no container of Docker is seen.
    pub docker_root: PathBuf,
    /// Podman's storage. Default `/var/lib/containers/storage`.
    pub podman_root: PathBuf,
    /// Podman's storage for what does not outlive a boot. Default `/run/containers/storage`.
    pub podman_run: PathBuf,
    /// Files and directories of what cron runs. Default those of cron(8) and anacron(8).
    pub cron_paths: Vec<PathBuf>,
    /// Directories of unit files and drop-ins. Default those of systemd.unit(5) that exist on Debian.
    pub unit_dirs: Vec<PathBuf>,
    /// The system bus. Default `/run/dbus/system_bus_socket`; `None`: unit states are not read.
    pub dbus_socket: Option<PathBuf>,
    /// Log files to follow. Default none.
    pub files: Vec<TailedFiles>,
    /// How much the readers may cost just now. Default calm, for ever.
    pub strain: StrainGauge,
    /// Where it is told until when certificates in files are valid. Default: nobody reads it.
    pub expiries: Expiries,
    /// Files and directories whose content is watched for changes. Default none: what a service's unit
    /// file and command line name is watched without being listed.
    pub watch: Vec<PathBuf>,
}

impl EventsConfig {
    /// The defaults for a host.
    pub fn for_host(host: HostId) -> Self {
        Self {
            host,
            proc_root: "/proc".into(),
            kmsg: Some("/dev/kmsg".into()),
            cgroup_prefix: None,
            journal_dirs: vec!["/var/log/journal".into(), "/run/log/journal".into()],
            dpkg_status: Some("/var/lib/dpkg/status".into()),
            apk_installed: Some("/lib/apk/db/installed".into()),
            rpm_databases: vec![
                "/usr/lib/sysimage/rpm/rpmdb.sqlite".into(),
                "/var/lib/rpm/rpmdb.sqlite".into(),
            ],
            docker_root: "/var/lib/docker".into(),
            podman_root: "/var/lib/containers/storage".into(),
            podman_run: "/run/containers/storage".into(),
            cron_paths: [
                "/etc/crontab",
                "/etc/anacrontab",
                "/etc/cron.d",
                "/etc/cron.hourly",
                "/etc/cron.daily",
                "/etc/cron.weekly",
                "/etc/cron.monthly",
                "/var/spool/cron",
            ]
            .map(PathBuf::from)
            .into(),
            unit_dirs: vec![
                "/etc/systemd/system".into(),
                "/run/systemd/system".into(),
                "/usr/local/lib/systemd/system".into(),
                "/usr/lib/systemd/system".into(),
            ],
            dbus_socket: Some("/run/dbus/system_bus_socket".into()),
            files: Vec::new(),
            strain: StrainGauge::default(),
            expiries: Expiries::default(),
            watch: Vec::new(),
        }
    }

    /// The component of a unit; the host for what is no valid service name.
    pub(crate) fn service(&self, unit: &str) -> ComponentId {
        match unit.ends_with(".service") {
            true => self.unit(unit),
            false => self.machine(),
        }
    }

    /// The component of a service, or of a scope as containers have; the host for what is no valid name.
    pub(crate) fn unit(&self, unit: &str) -> ComponentId {
        ComponentId::on_host(ComponentKind::Service, self.host.clone(), unit)
            .unwrap_or_else(|_| self.machine())
    }

    /// The host's own component.
    pub(crate) fn machine(&self) -> ComponentId {
        ComponentId::host(self.host.clone())
    }
}
