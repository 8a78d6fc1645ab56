//! Changes: packages, unit files, configuration, certificates, what cron runs, programs replaced under running
//! services, images of containers, settings of the kernel, mounts.
//!
//! Files are looked at every two seconds by their stamps, and read only when those moved; so are the directories that they
//! lie in, which are listed anew every ten seconds and when theirs moved. Settings, mounts and containers are looked at
//! every ten. What was known is kept in checkpoints, so that a change made while the agent was down is noticed when it
//! starts. A change is offered before the state that knows it is delivered: after a crash between the two it comes
//! again, under the same id.

mod certificates;
mod diff;
mod host;
mod images;
mod marks;
mod mounts;
mod owners;
mod packages;
mod programs;
mod settings;
mod store;
mod watched;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use firstlook_model::{Change, ChangeKind, ComponentId, Finder, Observation, Place, Timestamp};
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::config::EventsConfig;
use crate::drive::{Eases, Ending, Outlet, Step, drive};
use crate::services::Services;
use crate::{BlindSpots, Source};
use certificates::Certificates;
use marks::{FileChange, Mark, Marks, What};
use owners::Owners;
use packages::{Database, Packages};
use store::Store;
use watched::Watched;

const NAME: &str = "changes";
const PAUSE: Duration = Duration::from_secs(2);
/// Packages reported one by one; of an upgrade of everything the rest is a number.
const PACKAGE_CHANGES_LIMIT: usize = 50;
/// Files reported from one look; the rest is a number.
const FILE_CHANGES_LIMIT: usize = 50;

/// Watches until told to stop.
pub(crate) async fn run(source: Source) {
    let outlet = Outlet {
        eases: Eases::Looks(source.config.strain.clone()),
        sink: source.sink.clone(),
        blind: source.blind.clone(),
        stop: source.stop.clone(),
        ending: Ending::AtOnce,
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
/// Looks between two at settings, mounts and containers.
const LOOKS_PER_HOST: u32 = 5;
/// Looks, ten minutes, after which a file that was kept but that nobody names any more is forgotten.
const KEPT_LOOKS: u32 = 300;

/// What is kept of files and programs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Kept {
    files: BTreeMap<PathBuf, Mark>,
    /// Main process by unit whose program was reported as replaced.
    replaced: BTreeMap<String, u32>,
    /// Settings of the kernel; empty before they were first read.
    #[serde(default)]
    settings: settings::Settings,
    #[serde(default)]
    mounts: Option<mounts::Mounts>,
    #[serde(default)]
    images: images::Images,
    /// Certificates whose expiry was reported.
    #[serde(default)]
    expired: BTreeSet<String>,
}

struct Watcher {
    config: Arc<EventsConfig>,
    services: Services,
    owners: Owners,
    marks: Marks,
    /// What was kept of all but files and packages, and is now.
    kept: Kept,
    certificates: Certificates,
    containers: images::Containers,
    blind: BlindSpots,
    /// `None`: no list of packages was ever read.
    packages: Option<Packages>,
    packages_stamp: Option<packages::Stamp>,
    watched: Watched,
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
        let mut kept = kept.unwrap_or_default();
        let files = std::mem::take(&mut kept.files);
        Self {
            config: source.config.clone(),
            services: source.services.clone(),
            owners: Owners::default(),
            watched: Watched {
                files: files.keys().cloned().collect(),
                stale: true,
                ..Watched::default()
            },
            marks: Marks::from_kept(files),
            kept,
            certificates: Certificates::default(),
            containers: images::Containers::default(),
            blind: source.blind.clone(),
            packages,
            packages_stamp: None,
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
        let kept_before = self.kept.clone();
        let dirs = self.config.unit_dirs.clone();
        self.watched.stale |= self
            .owners
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
        changes.extend(self.expired_certificates(now));
        if self.is_turn() {
            changes.extend(self.changed_settings(now));
            changes.extend(self.changed_mounts(now));
            changes.extend(self.changed_images(now));
        }
        // To pack it costs more than to look.
        if self.marks.moved() || self.kept != kept_before {
            self.kept.files = self.marks.kept().clone();
            step.lines.checkpoints = self.files_store.save(&self.kept);
            self.kept.files.clear();
        }
        if let Some((database, packages)) = self.moved_packages() {
            changes.extend(self.changed_packages(&database, &packages, now));
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

    /// Whether it is the time to look at what is looked at more seldom.
    fn is_turn(&self) -> bool {
        (self.looks - 1).is_multiple_of(LOOKS_PER_HOST)
    }

    fn changed_files(&mut self, now: Timestamp) -> Vec<Change> {
        let fresh = self.is_turn() || self.watched.stale || !self.watched.listed.holds();
        let renewed = fresh.then(|| self.watched());
        let next = renewed.as_ref().unwrap_or(&self.watched);
        let (first, before) = (self.first, &self.watched.files);
        // New below what was watched already is created; new because somebody names it is not.
        let silent =
            |path: &Path| first || !(before.contains(path) || next.below_roots.contains(path));
        if fresh {
            self.marks.retain(&next.files);
        }
        let found = self.marks.look(&next.files, silent, now);
        self.first = false;
        let stale = !found.is_empty();
        if let Some(renewed) = renewed {
            self.watched = renewed;
        }
        self.watched.stale = stale;
        if fresh || stale {
            self.look_at_certificates();
        }
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

    /// Those in watched files, and in files that watched ones name.
    fn look_at_certificates(&mut self) {
        let named = self.marks.named().map(|(path, _)| path);
        self.certificates.look(
            self.watched
                .files
                .iter()
                .chain(named)
                .collect::<BTreeSet<_>>(),
        );
        let found = self.certificates.all().map(|(path, validity)| {
            let place = Place::File(path.to_string_lossy().into_owned());
            (self.component_of(path), place, validity.ends)
        });
        self.config.expiries.tell(Finder::Files, found);
    }

    /// The service that a file of configuration belongs to, itself or by a file that names it; else the host.
    fn component_of(&self, path: &Path) -> ComponentId {
        let by_namer = || {
            let mut namers = self.marks.named().filter(|(named, _)| *named == path);
            namers.find_map(|(_, namer)| self.owners.of(namer))
        };
        let owner = self.owners.of(path).or_else(by_namer);
        owner.map_or_else(|| self.config.machine(), |unit| self.config.service(unit))
    }

    /// Every file to look at.
    fn watched(&self) -> Watched {
        let mut watched = Watched::below(&self.config);
        watched.files.extend(self.owners.named().cloned());
        let certificates = self.certificates.all().map(|(path, _)| path.clone());
        watched.files.extend(certificates);
        // Files that are gone must be looked for, and services that are yet to start name theirs later.
        let kept = self.marks.kept().keys();
        watched.files.extend(
            kept.filter(|path| self.looks < KEPT_LOOKS || !path.exists())
                .cloned(),
        );
        watched
    }

    fn file_change(&self, change: &FileChange) -> Change {
        let path = change.path.as_path();
        let below = |dirs: &[PathBuf]| dirs.iter().any(|dir| path.starts_with(dir));
        let is_unit = below(&self.config.unit_dirs);
        let certificate = self.certificates.of(path);
        let kind = match path {
            _ if is_unit && is_timer(path) => ChangeKind::Schedule,
            _ if is_unit => ChangeKind::UnitFile,
            _ if below(&self.config.cron_paths) => ChangeKind::Schedule,
            _ if certificate.is_some() => ChangeKind::Certificate,
            _ => ChangeKind::ConfigFile,
        };
        let component = match is_unit.then(|| owners::of_unit_file(path)) {
            Some(unit) => unit.map_or_else(|| self.config.machine(), |u| self.config.service(&u)),
            None => self.component_of(path),
        };
        let what = match change.what {
            What::Created => "was created",
            What::Changed => "changed",
            What::Removed => "was removed",
        };
        let mut text = format!("{} {what}", path.display());
        if let Some(certificate) = certificate {
            text = format!(
                "{text}: {} is valid until {}",
                certificate.subject, certificate.ends
            );
        }
        // A certificate's text says nothing to a reader.
        let detail = change
            .texts
            .as_ref()
            .filter(|_| kind != ChangeKind::Certificate)
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
        let replaced = &mut self.kept.replaced;
        replaced.retain(|unit, pid| running.get(unit) == Some(pid));
        let mut changes = Vec::new();
        for (unit, &pid) in running {
            if self.kept.replaced.contains_key(unit) {
                continue;
            }
            let Some(program) = programs::replaced(&self.config.proc_root, pid) else {
                continue;
            };
            self.kept.replaced.insert(unit.clone(), pid);
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

    /// The first list of packages that there is.
    fn database(&self) -> Option<Database> {
        let dpkg = self.config.dpkg_status.clone().map(Database::Dpkg);
        let apk = self.config.apk_installed.clone().map(Database::Apk);
        let rpm = self.config.rpm_databases.iter().cloned().map(Database::Rpm);
        let mut all = dpkg.into_iter().chain(apk).chain(rpm);
        all.find(|database| database.path().exists())
    }

    /// The packages, if their list was written since it was last read.
    fn moved_packages(&mut self) -> Option<(Database, Packages)> {
        let database = self.database()?;
        let stamp = Some(database.stamp()?);
        if stamp == self.packages_stamp {
            return None;
        }
        let packages = database.read()?;
        self.packages_stamp = stamp;
        Some((database, packages))
    }

    fn changed_packages(
        &self,
        database: &Database,
        packages: &Packages,
        now: Timestamp,
    ) -> Vec<Change> {
        let Some(before) = &self.packages else {
            return Vec::new();
        };
        let found = packages::compare(before, packages);
        let time = fs::metadata(database.path()).and_then(|meta| meta.modified());
        let time = time.map_or(now, clock::from_system).min(now);
        let mut changes: Vec<Change> = found
            .iter()
            .take(PACKAGE_CHANGES_LIMIT)
            .map(|change| {
                let unit = database.unit_of(&change.key);
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
            ChangeKind::Setting => "setting",
            ChangeKind::Mount => "mount",
            ChangeKind::Schedule => "schedule",
            ChangeKind::Certificate => "certificate",
            ChangeKind::Image => "image",
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

fn is_timer(path: &Path) -> bool {
    let own_or_dir = [Some(path), path.parent()];
    own_or_dir.into_iter().flatten().any(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.strip_suffix(".d").unwrap_or(&name).ends_with(".timer")
    })
}

#[cfg(test)]
mod tests;
