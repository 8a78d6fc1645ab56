//! What the host is and has: read at the start, looked at for changes every few seconds.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use firstlook_model::{ComponentId, ComponentKind, HostId, Inventory, Mount, Timestamp};

use crate::descriptors::DescriptorReader;
use crate::mounts::Mounts;
use crate::processes::Processes;
use crate::reader::read_once;
use crate::roots::HostRoots;
use crate::services::OTHER;
use crate::text::{lines, printable};

/// Descriptors looked at to find who uses which file system.
const USERS_BUDGET: usize = 5_000;
/// Of one process.
const USERS_PROCESS_BUDGET: usize = 100;
/// How often users of file systems are looked for.
const USERS_EVERY: Duration = Duration::from_secs(60);
/// Longest text of one fact, in characters.
const FACT_LIMIT: usize = 256;

/// Facts that do not change while the kernel runs, except the host's name.
#[derive(Debug)]
pub(crate) struct Facts {
    hostname: PathBuf,
    kernel: String,
    os: String,
    boot_id: String,
}

impl Facts {
    pub(crate) fn read(roots: &HostRoots) -> Self {
        let kernel = roots.proc.join("sys/kernel");
        let mut scratch = Vec::new();
        let mut fact = |path: &Path| {
            let text = read_once(path, &mut scratch).map(one_line);
            text.unwrap_or_default()
        };
        Self {
            hostname: kernel.join("hostname"),
            kernel: fact(&kernel.join("osrelease")),
            boot_id: fact(&kernel.join("random/boot_id")),
            os: os_name(roots),
        }
    }
}

fn one_line(bytes: &[u8]) -> String {
    let first = lines(bytes).next().unwrap_or_default();
    printable(first).chars().take(FACT_LIMIT).collect()
}

/// PRETTY_NAME of os-release(5), the host's own behind a foreign procfs.
fn os_name(roots: &HostRoots) -> String {
    let mut folders = vec![roots.proc.join("1/root")];
    if roots.proc == Path::new("/proc") {
        folders.insert(0, "/".into());
    }
    let mut scratch = Vec::new();
    for folder in folders {
        for file in ["etc/os-release", "usr/lib/os-release"] {
            let text = read_once(&folder.join(file), &mut scratch);
            if let Some(name) = text.ok().and_then(pretty_name) {
                return name;
            }
        }
    }
    String::new()
}

fn pretty_name(bytes: &[u8]) -> Option<String> {
    let value = lines(bytes).find_map(|line| line.strip_prefix(b"PRETTY_NAME="))?;
    let text = one_line(value);
    Some(text.trim().trim_matches(['"', '\'']).to_owned())
}

/// Who keeps files open or works on which file system: by mount point.
#[derive(Debug)]
pub(crate) struct Users {
    reader: DescriptorReader,
    by_mount: HashMap<Arc<Path>, BTreeSet<Arc<str>>>,
    looked: Option<Duration>,
}

impl Users {
    pub(crate) fn new() -> Self {
        Self {
            reader: DescriptorReader::new(),
            by_mount: HashMap::new(),
            looked: None,
        }
    }

    /// Looks again when it is time. The oldest processes come first: services, not passing commands.
    pub(crate) fn refresh(
        &mut self,
        now: Duration,
        proc: &Path,
        mounts: &Mounts,
        processes: &Processes,
    ) {
        let due = self
            .looked
            .is_none_or(|at| now.saturating_sub(at) >= USERS_EVERY);
        if !due {
            return;
        }
        self.looked = Some(now);
        self.by_mount.clear();
        let mut left = USERS_BUDGET;
        for owner in processes.owners().into_iter().rev() {
            if left == 0 {
                return;
            }
            let mut held = BTreeSet::new();
            let folder = self.reader.working_folder(proc, owner.pid);
            held.extend(folder.and_then(|folder| mounts.holding(folder)));
            let allowed = left.min(USERS_PROCESS_BUDGET);
            let mut budget = allowed;
            // A process that ended meanwhile, or is another user's, adds nothing.
            let _ = self.reader.links(proc, owner.pid, &mut budget, |target| {
                held.extend(mounts.holding(target));
            });
            left -= (allowed - budget).max(1);
            for at in held {
                let path = Arc::clone(&mounts.all()[at].path);
                let users = self.by_mount.entry(path).or_default();
                users.insert(Arc::clone(&owner.service));
            }
        }
    }

    fn of(&self, path: &Path, host: &HostId) -> Vec<ComponentId> {
        let users = self.by_mount.get(path).into_iter().flatten();
        let named = users.filter(|name| &***name != OTHER);
        named.filter_map(|name| service(host, name)).collect()
    }
}

fn service(host: &HostId, name: &str) -> Option<ComponentId> {
    ComponentId::on_host(ComponentKind::Service, host.clone(), name).ok()
}

/// The mounted file systems as components. Every service uses the root: it is named there only with a
/// folder or file of its own.
pub(crate) fn mounts(host: &HostId, mounts: &Mounts, users: &Users) -> Vec<Mount> {
    let components = mounts.all().iter().filter_map(|mount| {
        let path = mount.path.to_str()?;
        let component = ComponentId::on_host(ComponentKind::Filesystem, host.clone(), path).ok()?;
        Some(Mount {
            component,
            fstype: mount.fstype.chars().take(FACT_LIMIT).collect(),
            device: mount.source.chars().take(FACT_LIMIT).collect(),
            used_by: users.of(&mount.path, host),
        })
    });
    components.collect()
}

/// An inventory without what other sources know: listeners, addresses, mounts, blind spots.
pub(crate) fn begin(facts: &Facts, time: Timestamp, agent_version: &str) -> Inventory {
    let mut scratch = Vec::new();
    let hostname = read_once(&facts.hostname, &mut scratch).map(one_line);
    Inventory {
        time,
        hostname: hostname.unwrap_or_default(),
        kernel: facts.kernel.clone(),
        os: facts.os.clone(),
        boot_id: facts.boot_id.clone(),
        booted: Timestamp::default(),
        cores: 0,
        memory_bytes: 0,
        addresses: Vec::new(),
        listeners: Vec::new(),
        mounts: Vec::new(),
        agent_version: agent_version.to_owned(),
        blind: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_name_is_unquoted() {
        // From Debian 12.
        let text =
            b"PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\nID=debian\n";
        let name = pretty_name(text).unwrap();
        assert_eq!(name, "Debian GNU/Linux 12 (bookworm)");
        assert_eq!(pretty_name(b"NAME=x\n"), None);
    }

    #[test]
    fn facts_of_this_kernel_are_found() {
        let facts = Facts::read(&HostRoots::default());
        let inventory = begin(&facts, Timestamp::from_secs(1), "0.1.0");
        assert!(!inventory.hostname.is_empty() && !inventory.kernel.is_empty());
        assert_eq!(inventory.boot_id.len(), 36);
    }
}
