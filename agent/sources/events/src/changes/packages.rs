//! Packages, by the databases of dpkg (deb-control(5), dpkg(1)), apk and rpm, read without their tools. Of rpm's three
//! forms only SQLite is read; Berkeley DB and ndb are not.

mod apk;
mod rpm;
mod sqlite;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Largest status file read. A full desktop has about 8 MiB.
const STATUS_LIMIT_BYTES: u64 = 64 * 1024 * 1024;
/// Most packages kept.
const PACKAGE_LIMIT: usize = 20_000;
/// Largest list of a package's files read when looking for its unit.
const LIST_LIMIT_BYTES: u64 = 1024 * 1024;

/// Version by `name:architecture`.
pub(super) type Packages = BTreeMap<String, String>;

/// Inode, size and modification time of a database's files.
pub(super) type Stamp = Vec<(u64, u64, i64, i64)>;

/// Where packages are listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Database {
    Dpkg(PathBuf),
    Apk(PathBuf),
    Rpm(PathBuf),
}

impl Database {
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Dpkg(path) | Self::Apk(path) | Self::Rpm(path) => path,
        }
    }

    /// What tells that nothing was written; `None` when there is no such database.
    pub(super) fn stamp(&self) -> Option<Stamp> {
        let mut log = self.path().as_os_str().to_owned();
        log.push("-wal");
        let stamp = |meta: fs::Metadata| (meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec());
        let own = stamp(fs::metadata(self.path()).ok()?);
        let log = matches!(self, Self::Rpm(_))
            .then(|| fs::metadata(log).ok())
            .flatten();
        Some([own].into_iter().chain(log.map(stamp)).collect())
    }

    /// The packages; `None` when they cannot be read now, or somebody wrote meanwhile.
    pub(super) fn read(&self) -> Option<Packages> {
        let before = self.stamp()?;
        let packages = match self {
            Self::Dpkg(path) => parse(&text(path)?),
            Self::Apk(path) => apk::parse(&text(path)?),
            Self::Rpm(path) => rpm::read(path)
                .inspect_err(|error| tracing::debug!(%error, "rpm database cannot be read"))
                .ok()?,
        };
        (self.stamp()? == before).then_some(packages)
    }

    /// The unit file that a package ships, where the database tells.
    pub(super) fn unit_of(&self, key: &str) -> Option<String> {
        match self {
            Self::Dpkg(status) => unit_of(status, key),
            Self::Apk(_) | Self::Rpm(_) => None,
        }
    }
}

/// The text of a database; `None` when it is not there or too large.
fn text(path: &Path) -> Option<String> {
    let mut text = Vec::new();
    let file = File::open(path).ok()?;
    if file.metadata().ok()?.len() > STATUS_LIMIT_BYTES {
        return None;
    }
    file.take(STATUS_LIMIT_BYTES).read_to_end(&mut text).ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// Packages that have files on the disk. One that is only half installed counts, with its new version:
/// dpkg writes such states in the middle of an upgrade.
fn parse(text: &str) -> Packages {
    let mut packages = Packages::new();
    for paragraph in text.split("\n\n") {
        let (mut name, mut version, mut architecture, mut status) = ("", "", "", "");
        for line in paragraph.lines() {
            match line.split_once(':') {
                Some(("Package", value)) => name = value.trim(),
                Some(("Version", value)) => version = value.trim(),
                Some(("Architecture", value)) => architecture = value.trim(),
                Some(("Status", value)) => status = value.trim(),
                _ => {}
            }
        }
        let state = status.rsplit(' ').next().unwrap_or_default();
        let present = !matches!(state, "" | "config-files" | "not-installed");
        let sane = !name.is_empty() && name.len() + architecture.len() < 200 && version.len() < 200;
        if present && sane && packages.len() < PACKAGE_LIMIT {
            packages.insert(format!("{name}:{architecture}"), version.to_owned());
        }
    }
    packages
}

/// One package's change: its name without the architecture, and the line for people.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PackageChange {
    pub(super) key: String,
    pub(super) text: String,
}

/// What differs, by name.
pub(super) fn compare(old: &Packages, new: &Packages) -> Vec<PackageChange> {
    let change = |key: &str, what: String| PackageChange {
        key: key.to_owned(),
        text: format!("package {} {what}", short(key)),
    };
    let gone = old
        .iter()
        .filter(|(key, _)| !new.contains_key(*key))
        .map(|(key, version)| change(key, format!("{version} was removed")));
    let come = new.iter().filter_map(|(key, version)| match old.get(key) {
        None => Some(change(key, format!("{version} was installed"))),
        Some(before) if before != version => {
            Some(change(key, format!("went from {before} to {version}")))
        }
        Some(_) => None,
    });
    let mut changes: Vec<_> = gone.chain(come).collect();
    changes.sort_by(|a, b| a.key.cmp(&b.key));
    changes
}

fn short(key: &str) -> &str {
    key.split(':').next().unwrap_or(key)
}

/// The unit file that a package ships, by dpkg's list of its files. The first, where it has several.
fn unit_of(status: &Path, key: &str) -> Option<String> {
    let dir = status.parent()?.join("info");
    let list = [format!("{}.list", short(key)), format!("{key}.list")]
        .iter()
        .find_map(|name| File::open(dir.join(name)).ok())?;
    let mut text = String::new();
    list.take(LIST_LIMIT_BYTES).read_to_string(&mut text).ok()?;
    text.lines()
        .filter(|line| line.contains("/systemd/system/"))
        .filter_map(|line| line.rsplit('/').next())
        .find(|name| name.ends_with(".service") && !name.contains('@'))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// From /var/lib/dpkg/status of Debian 12, shortened.
    const STATUS: &str = "Package: adduser\nStatus: install ok installed\nPriority: important\nArchitecture: all\nVersion: 3.134\nDescription: add and remove users and groups\n This package: includes the 'adduser' commands.\n\nPackage: old\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n\nPackage: nginx\nStatus: install ok half-configured\nArchitecture: amd64\nVersion: 1.22.1-9\n";

    #[test]
    fn packages_with_files_are_read_with_their_versions() {
        let packages = parse(STATUS);
        let read: Vec<_> = packages
            .iter()
            .map(|(key, version)| (key.as_str(), version.as_str()))
            .collect();
        assert_eq!(
            read,
            [("adduser:all", "3.134"), ("nginx:amd64", "1.22.1-9")]
        );
    }

    #[test]
    fn upgrade_install_and_removal_are_told_apart() {
        let packages = |list: &[(&str, &str)]| -> Packages {
            list.iter()
                .map(|(key, version)| ((*key).to_owned(), (*version).to_owned()))
                .collect()
        };
        let old = packages(&[("a:all", "1"), ("b:amd64", "1"), ("c:all", "7")]);
        let new = packages(&[("b:amd64", "2"), ("c:all", "7"), ("d:all", "3")]);
        let texts: Vec<_> = compare(&old, &new)
            .into_iter()
            .map(|change| change.text)
            .collect();
        assert_eq!(
            texts,
            [
                "package a 1 was removed",
                "package b went from 1 to 2",
                "package d 3 was installed"
            ]
        );
        assert_eq!(compare(&new, &new), []);
    }

    #[test]
    fn package_is_tied_to_the_unit_that_it_ships() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("info")).unwrap();
        let list = "/.\n/lib/systemd/system/nginx@.service\n/lib/systemd/system/nginx.service\n";
        fs::write(dir.path().join("info/nginx.list"), list).unwrap();
        let status = dir.path().join("status");
        assert_eq!(
            unit_of(&status, "nginx:amd64").as_deref(),
            Some("nginx.service")
        );
        assert_eq!(unit_of(&status, "bash:amd64"), None);
    }

    /// Made with SQLite 3.40: headers of 60 kB in the form that rpm writes. The log holds an upgrade of nginx and a second
    /// kernel.
    #[test]
    fn upgrade_in_an_rpm_database_is_seen_through_its_log() {
        let dir = tempfile::tempdir().unwrap();
        let unpack = |name: &str| {
            let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/rpm");
            let packed = File::open(fixtures.join(format!("{name}.zst"))).unwrap();
            let path = dir.path().join(name);
            fs::write(&path, zstd::stream::decode_all(packed).unwrap()).unwrap();
            path
        };
        let database = Database::Rpm(unpack("packages.sqlite"));
        let before = (database.stamp().unwrap(), database.read().unwrap());
        unpack("packages.sqlite-wal");
        assert_ne!(database.stamp().unwrap(), before.0);
        let changes = compare(&before.1, &database.read().unwrap());
        let texts: Vec<_> = changes.into_iter().map(|change| change.text).collect();
        assert_eq!(
            texts,
            [
                "package kernel went from 5.1-1.el9 to 5.1-1.el9, 5.2-1.el9",
                "package nginx went from 1.20-1.el9 to 1.22-1.el9",
            ]
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "((Package|Status|Version): ?.{0,20}\n|.{0,20}\n|\n){0,40}") {
            parse(&text);
        }
    }
}
