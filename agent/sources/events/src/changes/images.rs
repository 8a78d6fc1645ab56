//! Images of running containers, by what Docker and Podman keep on the disk; neither is asked, and no tool is run.
//!
//! A container is known by its name: to be given another image it is made anew, under the same name. So a name that
//! was never seen is no change, nor is one that ends. Not read: containers of a user without root's rights, and
//! containerd's, whose list is a database of its own. Names that orchestrators draw for each instance never come twice.

mod docker;
mod podman;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use firstlook_model::Timestamp;
use serde::{Deserialize, Serialize};

/// Most containers looked at, and most names whose image is kept.
const CONTAINER_LIMIT: usize = 512;
/// Longest name of a container or an image.
const NAME_LIMIT_CHARS: usize = 256;
/// Largest `/proc/PID/cgroup` read.
const CGROUP_LIMIT_BYTES: u64 = 64 * 1024;
/// Digits of an image's id that are shown, as the engines' own lists do.
const SHOWN_DIGITS: usize = 12;

/// What a container was started from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Image {
    /// As it was asked for: `registry/shop:1.5`. A name may come to mean another image.
    name: String,
    /// The digest of its configuration, in hexadecimal digits.
    id: String,
}

/// The last image by engine and container, as `docker:shop`. Those of containers that do not run stay.
pub(super) type Images = BTreeMap<String, Image>;

/// One container that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Container {
    /// In hexadecimal digits.
    pub(super) id: String,
    pub(super) name: String,
    pub(super) image: Image,
    /// When it was started; `None`: not told.
    pub(super) started: Option<Timestamp>,
    pub(super) pid: u32,
}

/// Where the engines keep what they know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Places<'a> {
    pub(super) docker: &'a Path,
    pub(super) podman: &'a Path,
    pub(super) podman_run: &'a Path,
    pub(super) proc_root: &'a Path,
}

/// What one look found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// By engine and name, as `docker:shop`. At most 512.
    pub(super) running: BTreeMap<String, Container>,
    /// Why some could not be seen: the first reason.
    pub(super) blind: Option<String>,
    /// Descriptions that were refused: too large, or not what the engine writes; and containers over the limit.
    pub(super) refused: usize,
}

impl Found {
    fn add(&mut self, engine: &str, container: Container) {
        if self.running.len() >= CONTAINER_LIMIT {
            self.refused += 1;
            return;
        }
        let key = format!("{engine}:{}", container.name);
        self.running.insert(key, container);
    }

    fn blind(&mut self, path: &Path, error: &io::Error) {
        self.blind
            .get_or_insert_with(|| format!("{} cannot be read: {error}", path.display()));
    }
}

/// Looks again and again; what did not move since the last look is not read.
#[derive(Debug, Default)]
pub(super) struct Containers {
    docker: docker::Docker,
    podman: podman::Podman,
}

impl Containers {
    pub(super) fn look(&mut self, places: &Places<'_>) -> Found {
        let mut found = Found::default();
        self.docker.look(places.docker, &mut found);
        self.podman.look(places, &mut found);
        found
    }
}

/// Key of every container that runs from another image than the last one of its name, and the line for people.
/// `kept` then holds what runs now.
pub(super) fn update(
    kept: &mut Images,
    running: &BTreeMap<String, Container>,
) -> Vec<(String, String)> {
    let mut changes = Vec::new();
    for (key, Container { name, image, .. }) in running {
        let before = kept.insert(key.clone(), image.clone());
        if let Some(before) = before.filter(|before| before.id != image.id) {
            let (old, new) = (shown(&before), shown(image));
            changes.push((
                key.clone(),
                format!("container {name} went from {old} to {new}"),
            ));
        }
    }
    let names: BTreeSet<_> = kept.keys().cloned().collect();
    let ended = names.iter().filter(|name| !running.contains_key(*name));
    for name in ended.take(names.len().saturating_sub(CONTAINER_LIMIT)) {
        kept.remove(name);
    }
    changes
}

fn shown(image: &Image) -> String {
    let digits: String = image.id.chars().take(SHOWN_DIGITS).collect();
    format!("{} ({digits})", image.name)
}

/// The unit that a container's process belongs to: its own scope, or the service that runs it. `None` where there is
/// none, or where the process is not the container's any more.
pub(super) fn unit_of(proc_root: &Path, container: &Container) -> Option<String> {
    let path = proc_root.join(container.pid.to_string()).join("cgroup");
    let mut bytes = Vec::new();
    let file = File::open(path).ok()?;
    file.take(CGROUP_LIMIT_BYTES).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let paths = text.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    paths
        .filter(|path| path.contains(&container.id))
        .find_map(|path| {
            let is_unit = |name: &&str| name.ends_with(".service") || name.ends_with(".scope");
            path.split('/').find(is_unit).map(str::to_owned)
        })
}

/// Inode, size and modification time.
type Stamp = (u64, u64, i64, i64);

/// What was made of files, by path, and the stamps that they had. `None`: refused.
#[derive(Debug)]
struct Cache<T>(BTreeMap<PathBuf, (Stamp, Option<T>)>);

impl<T> Default for Cache<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T> Cache<T> {
    /// What `parse` makes of a regular file of at most `limit` bytes; `None` when it is refused. A link is refused.
    ///
    /// # Errors
    /// When it cannot be read now; of kind `NotFound` when there is none.
    fn read(
        &mut self,
        path: &Path,
        limit: u64,
        parse: impl FnOnce(&[u8]) -> Option<T>,
    ) -> io::Result<Option<&T>> {
        let meta = fs::symlink_metadata(path)?;
        let stamp = (meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec());
        if self.0.get(path).is_none_or(|(known, _)| *known != stamp) {
            let made = match meta.is_file() && meta.size() <= limit {
                true => {
                    let mut bytes = Vec::new();
                    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
                    parse(&bytes)
                }
                false => None,
            };
            self.0.insert(path.to_owned(), (stamp, made));
        }
        Ok(self.0.get(path).and_then(|(_, made)| made.as_ref()))
    }

    /// Forgets the files that are not among these.
    fn retain(&mut self, paths: &BTreeSet<PathBuf>) {
        self.0.retain(|path, _| paths.contains(path));
    }
}

/// An id in hexadecimal digits, without the name of its digest. It may stand in a path.
fn digits(text: &str) -> Option<String> {
    let id = text.strip_prefix("sha256:").unwrap_or(text);
    let sane = (12..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_hexdigit());
    sane.then(|| id.to_owned())
}

/// A name in one line; `None` when it is empty or too long.
fn name(text: &str) -> Option<String> {
    let sane = !text.is_empty()
        && text.chars().count() <= NAME_LIMIT_CHARS
        && !text.chars().any(char::is_control);
    sane.then(|| text.to_owned())
}

#[cfg(test)]
pub(super) mod tests;
