//! Changes: packages, unit files, configuration, programs replaced under running services.
//!
//! Everything is looked at every two seconds by its stamps and read only when those moved. What was known
//! is kept in checkpoints, so that a change made while the agent was down is noticed when it starts. A
//! change is offered before the state that knows it is delivered: after a crash between the two it comes
//! again, under the same id.

mod diff;
mod marks;
mod owners;
mod packages;
mod programs;
mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use firstlook_model::{Change, ChangeKind, ComponentId, Observation, Timestamp};
use serde::{Deserialize, Serialize};

use crate::Source;
use crate::clock;
use crate::config::EventsConfig;
use crate::drive::{Outlet, Step, drive};
use crate::services::Services;
use marks::{FileChange, Mark, Marks, What};
use owners::Owners;
use packages::Packages;
use store::Store;

const NAME: &str = "changes";
const PAUSE: Duration = Duration::from_secs(2);
/// Packages reported one by one; of an upgrade of everything the rest is a number.
const PACKAGE_CHANGES_LIMIT: usize = 50;
/// Files reported from one look; the rest is a number.
const FILE_CHANGES_LIMIT: usize = 50;

/// Watches until told to stop.
pub(crate) async fn run(source: Source) {
    let outlet = Outlet {
        sink: source.sink.clone(),
        blind: source.blind.clone(),
        stop: source.stop.clone(),
    };
    let mut watcher = None;
    drive(NAME, PAUSE, outlet, move |now| {
        watcher
            .get_or_insert_with(|| Watcher::new(&source))
            .step(now)
    })
    .await;
}

/// Looks for which the services are waited for: without them nothing can be attributed.
const PATIENCE_LOOKS: u32 = 5;
/// Looks, ten minutes, after which a file that was kept but that nobody names any more is forgotten.
const KEPT_LOOKS: u32 = 300;

/// What is kept of files and programs.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    files: BTreeMap<PathBuf, Mark>,
    /// Main process by unit whose program was reported as replaced.
    replaced: BTreeMap<String, u32>,
}

/// Inode, size and modification time of dpkg's status file.
type StatusStamp = (u64, u64, i64, i64);

struct Watcher {
    config: Arc<EventsConfig>,
    services: Services,
    owners: Owners,
    marks: Marks,
    replaced: BTreeMap<String, u32>,
    /// `None`: no list of packages was ever read.
    packages: Option<Packages>,
    status_stamp: Option<StatusStamp>,
    /// Files that have only now come to be watched are no created ones.
    watched_before: BTreeSet<PathBuf>,
    /// Nothing was kept: all that is found is how things were.
    first: bool,
    looks: u32,
    files_store: Store,
    packages_store: Store,
}

impl Watcher {
    fn new(source: &Source) -> Self {
        let checkpoints = source.checkpoints.as_ref();
        let (files_store, kept) = Store::load::<Kept>("changes:files", checkpoints);
        let (packages_store, packages) = Store::load("changes:packages", checkpoints);
        let first = kept.is_none();
        let kept = kept.unwrap_or_default();
        Self {
            config: source.config.clone(),
            services: source.services.clone(),
            owners: Owners::default(),
            watched_before: kept.files.keys().cloned().collect(),
            marks: Marks::from_kept(kept.files),
            replaced: kept.replaced,
            packages,
            status_stamp: None,
            first,
            looks: 0,
            files_store,
            packages_store,
        }
    }

    fn step(&mut self, now: Timestamp) -> Step {
        let mut step = Step::default();
        let running = self.services.running();
        self.looks = self.looks.saturating_add(1);
        if running.is_empty() && self.config.dbus_socket.is_some() && self.looks <= PATIENCE_LOOKS {
            return step;
        }
        let dirs = self.config.unit_dirs.clone();
        self.owners
            .update(&running, &dirs, &self.config.proc_root, false);
        let mut changes = self.changed_files(now);
        if changes
            .iter()
            .any(|change| change.kind == ChangeKind::UnitFile)
        {
            self.owners
                .update(&running, &dirs, &self.config.proc_root, true);
        }
        changes.extend(self.replaced_programs(&running, now));
        let kept = Kept {
            files: self.marks.kept().clone(),
            replaced: self.replaced.clone(),
        };
        step.lines.checkpoints = self.files_store.save(&kept);
        if let Some(packages) = self.moved_packages() {
            changes.extend(self.changed_packages(&packages, now));
            step.lines
                .checkpoints
                .extend(self.packages_store.save(&packages));
            self.packages = Some(packages);
        }
        if !changes.is_empty() {
            step.facts.push(Observation::Changes(changes));
        }
        step
    }

    fn changed_files(&mut self, now: Timestamp) -> Vec<Change> {
        let (watched, roots) = self.watched();
        let (first, before) = (self.first, &self.watched_before);
        // New below what was watched already is created; new because somebody names it is not.
        let silent = |path: &Path| first || !(before.contains(path) || roots.contains(path));
        let found = self.marks.look(&watched, silent, now);
        self.first = false;
        self.watched_before = watched;
        let mut changes: Vec<Change> = found
            .iter()
            .take(FILE_CHANGES_LIMIT)
            .map(|change| self.file_change(change))
            .collect();
        if found.len() > FILE_CHANGES_LIMIT {
            let text = format!("{} more files changed", found.len() - FILE_CHANGES_LIMIT);
            changes.push(self.change(
                ChangeKind::ConfigFile,
                "files",
                self.config.machine(),
                now,
                text,
            ));
        }
        changes
    }

    /// Every file to look at, and of these the ones that stand below a configured root.
    fn watched(&self) -> (BTreeSet<PathBuf>, BTreeSet<PathBuf>) {
        let mut below_roots = BTreeSet::new();
        for root in &self.config.watch {
            marks::list(root, &|path| !marks::is_leftover(path), &mut below_roots);
        }
        for dir in &self.config.unit_dirs {
            marks::list(dir, &is_unit_file, &mut below_roots);
        }
        let mut watched = below_roots.clone();
        watched.extend(self.owners.named().cloned());
        // Files that are gone must be looked for, and services that are yet to start name theirs later.
        let kept = self.marks.kept().keys();
        watched.extend(
            kept.filter(|path| self.looks < KEPT_LOOKS || !path.exists())
                .cloned(),
        );
        (watched, below_roots)
    }

    fn file_change(&self, change: &FileChange) -> Change {
        let path = change.path.as_path();
        let is_unit = self
            .config
            .unit_dirs
            .iter()
            .any(|dir| path.starts_with(dir));
        let (kind, owner) = if is_unit {
            (ChangeKind::UnitFile, owners::of_unit_file(path))
        } else {
            (
                ChangeKind::ConfigFile,
                self.owners.of(path).map(str::to_owned),
            )
        };
        let component =
            owner.map_or_else(|| self.config.machine(), |unit| self.config.service(&unit));
        let what = match change.what {
            What::Created => "was created",
            What::Changed => "changed",
            What::Removed => "was removed",
        };
        let text = format!("{} {what}", path.display());
        let detail = change
            .texts
            .as_ref()
            .map(|(old, new)| diff::redacted_diff(path, old, new))
            .unwrap_or_default();
        let subject = path.to_string_lossy();
        Change {
            detail,
            ..self.change(kind, &subject, component, change.time, text)
        }
    }

    fn replaced_programs(
        &mut self,
        running: &BTreeMap<String, u32>,
        now: Timestamp,
    ) -> Vec<Change> {
        self.replaced
            .retain(|unit, pid| running.get(unit) == Some(pid));
        let mut changes = Vec::new();
        for (unit, &pid) in running {
            if self.replaced.contains_key(unit) {
                continue;
            }
            let Some(program) = programs::replaced(&self.config.proc_root, pid) else {
                continue;
            };
            self.replaced.insert(unit.clone(), pid);
            let modified = fs::metadata(&program).and_then(|meta| meta.modified());
            let (time, what) = match modified {
                Ok(at) => (clock::from_system(at).min(now), "was replaced"),
                Err(_) => (now, "was deleted"),
            };
            let text = format!(
                "{} {what}; {unit} still runs the old one",
                program.display()
            );
            changes.push(self.change(
                ChangeKind::Binary,
                unit,
                self.config.service(unit),
                time,
                text,
            ));
        }
        changes
    }

    /// The packages, if the list was written since it was last read.
    fn moved_packages(&mut self) -> Option<Packages> {
        let path = self.config.dpkg_status.as_ref()?;
        let meta = fs::metadata(path).ok()?;
        let stamp = Some((meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec()));
        if stamp == self.status_stamp {
            return None;
        }
        let packages = packages::read(path)?;
        self.status_stamp = stamp;
        Some(packages)
    }

    fn changed_packages(&self, packages: &Packages, now: Timestamp) -> Vec<Change> {
        let (Some(before), Some(path)) = (&self.packages, &self.config.dpkg_status) else {
            return Vec::new();
        };
        let found = packages::compare(before, packages);
        let time = fs::metadata(path).and_then(|meta| meta.modified());
        let time = time.map_or(now, clock::from_system).min(now);
        let mut changes: Vec<Change> = found
            .iter()
            .take(PACKAGE_CHANGES_LIMIT)
            .map(|change| {
                let unit = packages::unit_of(path, &change.key);
                let component =
                    unit.map_or_else(|| self.config.machine(), |unit| self.config.service(&unit));
                self.change(
                    ChangeKind::Package,
                    &change.key,
                    component,
                    time,
                    change.text.clone(),
                )
            })
            .collect();
        if found.len() > PACKAGE_CHANGES_LIMIT {
            let text = format!(
                "{} more packages changed",
                found.len() - PACKAGE_CHANGES_LIMIT
            );
            changes.push(self.change(
                ChangeKind::Package,
                "packages",
                self.config.machine(),
                time,
                text,
            ));
        }
        changes
    }

    fn change(
        &self,
        kind: ChangeKind,
        subject: &str,
        component: ComponentId,
        time: Timestamp,
        text: String,
    ) -> Change {
        let word = match kind {
            ChangeKind::Package => "package",
            ChangeKind::UnitFile => "unit-file",
            ChangeKind::Binary => "binary",
            _ => "config",
        };
        let text: String = text
            .chars()
            .filter(|c| !c.is_control())
            .take(1_024)
            .collect();
        Change {
            id: format!("{word}:{subject}@{}", time.as_micros()),
            time,
            component,
            kind,
            text,
            detail: String::new(),
        }
    }
}

/// What systemd reads: unit files and drop-ins. Links that enable a unit are not.
fn is_unit_file(path: &Path) -> bool {
    let end = path.extension().unwrap_or_default().to_string_lossy();
    let dir = path
        .parent()
        .and_then(Path::extension)
        .unwrap_or_default()
        .to_string_lossy();
    match dir.as_ref() {
        "d" => end == "conf",
        "wants" | "requires" | "upholds" => false,
        _ => matches!(
            end.as_ref(),
            "service" | "socket" | "timer" | "target" | "mount" | "path" | "slice"
        ),
    }
}

#[cfg(test)]
mod tests;
