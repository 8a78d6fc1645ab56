//! Files whose content is watched: found by listing, compared by their stamps, read only when those moved.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File, Metadata};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use firstlook_model::Timestamp;
use serde::{Deserialize, Serialize};

use super::certificates;
use crate::clock;
use crate::files::digest;

/// Largest file whose content is compared.
pub(super) const FILE_LIMIT_BYTES: u64 = 1024 * 1024;
/// Largest content kept in memory to show a diff of.
const TEXT_LIMIT_BYTES: u64 = 64 * 1024;
/// All contents kept: what the agent may spend on diffs.
const TEXTS_LIMIT_BYTES: usize = 2 * 1024 * 1024;
/// What a PEM file with a private key holds.
const KEY: &[u8] = b"PRIVATE KEY-----";
/// Directories below a watched one that are entered.
const DEPTH_LIMIT: usize = 4;
/// Most files watched.
pub(super) const WATCH_LIMIT: usize = 4_096;
/// A directory listed so shortly after it last changed may change again under the same stamp: clocks of file systems tick
/// in milliseconds, of some in two seconds.
const COARSE: Duration = Duration::from_secs(2);

/// A file's content as it was: what survives a restart of the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    digest: String,
    size: u64,
    /// Modification time in microseconds.
    modified: i64,
}

/// What tells without reading that a file was not touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(meta: &Metadata) -> Self {
        Self {
            inode: meta.ino(),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}

/// What happened to one file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FileChange {
    pub(super) path: PathBuf,
    pub(super) what: What,
    /// The file's modification time, or when it was missed.
    pub(super) time: Timestamp,
    /// Content before and after, where both are known and short.
    pub(super) texts: Option<(Vec<u8>, Vec<u8>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Created,
    Changed,
    Removed,
}

/// All files watched.
#[derive(Debug, Default)]
pub(super) struct Marks {
    marks: BTreeMap<PathBuf, Mark>,
    stamps: HashMap<PathBuf, Stamp>,
    texts: BTreeMap<PathBuf, Vec<u8>>,
    texts_bytes: usize,
    /// Found empty at the last look: about to be written.
    emptied: BTreeSet<PathBuf>,
    /// Files of certificates that a file names, by that file.
    named: BTreeMap<PathBuf, Vec<PathBuf>>,
    /// Whether `marks` moved since that was last asked.
    moved: bool,
}

impl Marks {
    /// Goes on from marks that were kept.
    pub(super) fn from_kept(marks: BTreeMap<PathBuf, Mark>) -> Self {
        Self {
            marks,
            ..Self::default()
        }
    }

    /// The marks, to be kept.
    pub(super) fn kept(&self) -> &BTreeMap<PathBuf, Mark> {
        &self.marks
    }

    /// Whether the marks moved since this was last asked.
    pub(super) fn moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }

    /// Files that may hold certificates, each with a file that names it.
    pub(super) fn named(&self) -> impl Iterator<Item = (&PathBuf, &PathBuf)> {
        let each = self.named.iter();
        each.flat_map(|(by, named)| named.iter().map(move |path| (path, by)))
    }

    /// Compares the files at these paths with what was known. New paths that `silent` takes are learned without a
    /// change: they have only now come to be watched.
    pub(super) fn look(
        &mut self,
        watched: &BTreeSet<PathBuf>,
        silent: impl Fn(&Path) -> bool,
        now: Timestamp,
    ) -> Vec<FileChange> {
        watched
            .iter()
            .filter_map(|path| self.look_at(path, &silent, now))
            .collect()
    }

    /// Forgets all files but these.
    pub(super) fn retain(&mut self, watched: &BTreeSet<PathBuf>) {
        let unwatched: Vec<PathBuf> = self
            .marks
            .keys()
            .filter(|path| !watched.contains(*path))
            .cloned()
            .collect();
        for path in unwatched {
            self.forget(&path);
        }
    }

    fn forget(&mut self, path: &Path) -> Option<Mark> {
        self.stamps.remove(path);
        self.emptied.remove(path);
        self.named.remove(path);
        self.forget_text(path);
        let known = self.marks.remove(path);
        self.moved |= known.is_some();
        known
    }

    fn look_at(
        &mut self,
        path: &Path,
        silent: impl Fn(&Path) -> bool,
        now: Timestamp,
    ) -> Option<FileChange> {
        let meta = match fs::metadata(path) {
            Ok(meta) => Some(meta).filter(Metadata::is_file)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.forget(path)?;
                let path = path.to_owned();
                return Some(FileChange {
                    path,
                    what: What::Removed,
                    time: now,
                    texts: None,
                });
            }
            // Unreadable for now: nothing is known to have changed.
            Err(_) => return None,
        };
        let stamp = Stamp::of(&meta);
        if self.stamps.get(path) == Some(&stamp) {
            return None;
        }
        // A file cut to nothing is about to be written, mostly: look again once.
        let known = self.marks.get(path);
        if stamp.size == 0
            && known.is_some_and(|mark| mark.size > 0)
            && self.emptied.insert(path.to_owned())
        {
            return None;
        }
        self.emptied.remove(path);
        let content = read(path)?;
        self.stamps.insert(path.to_owned(), stamp);
        let mark = Mark {
            digest: digest(&content),
            size: stamp.size,
            modified: stamp.modified.0.saturating_mul(1_000_000) + stamp.modified.1 / 1_000,
        };
        let time = meta.modified().map_or(now, clock::from_system).min(now);
        let before = self.marks.insert(path.to_owned(), mark.clone());
        self.moved |= before.as_ref() != Some(&mark);
        let old = self.forget_text(path);
        self.keep_text(path, &content);
        match certificates::named_in(path, &content) {
            none if none.is_empty() => self.named.remove(path),
            named => self.named.insert(path.to_owned(), named),
        };
        let what = match before {
            Some(before) if before.digest == mark.digest => return None,
            Some(_) => What::Changed,
            None if silent(path) => return None,
            None => What::Created,
        };
        let short = content.len() as u64 <= TEXT_LIMIT_BYTES;
        let texts = old.filter(|_| short).map(|old| (old, content));
        Some(FileChange {
            path: path.to_owned(),
            what,
            time,
            texts,
        })
    }

    fn forget_text(&mut self, path: &Path) -> Option<Vec<u8>> {
        let text = self.texts.remove(path)?;
        self.texts_bytes -= text.len();
        Some(text)
    }

    fn keep_text(&mut self, path: &Path, content: &[u8]) {
        // A diff of a key is of no use to anybody.
        if content.windows(KEY.len()).any(|part| part == KEY) {
            return;
        }
        let fits = self.texts_bytes + content.len() <= TEXTS_LIMIT_BYTES;
        if fits && content.len() as u64 <= TEXT_LIMIT_BYTES {
            self.texts_bytes += content.len();
            self.texts.insert(path.to_owned(), content.to_vec());
        }
    }
}

/// A file's content; `None` when it cannot be read or is larger than what is watched.
pub(super) fn read(path: &Path) -> Option<Vec<u8>> {
    let file = File::open(path).ok()?;
    let meta = file.metadata().ok()?;
    // A pipe or device would block or never end.
    if !meta.is_file() || meta.len() > FILE_LIMIT_BYTES {
        return None;
    }
    let mut content = Vec::new();
    file.take(FILE_LIMIT_BYTES).read_to_end(&mut content).ok()?;
    Some(content)
}

/// Directories that were listed, each with its stamp then.
#[derive(Debug, Default)]
pub(super) struct Listed {
    dirs: Vec<(PathBuf, Option<Stamp>)>,
    /// One of them had only just changed.
    restless: bool,
}

impl Listed {
    /// Whether listing them again would find what it found.
    pub(super) fn holds(&self) -> bool {
        let holds = |(path, stamp): &(PathBuf, Option<Stamp>)| stamp_of(path) == *stamp;
        !self.restless && self.dirs.iter().all(holds)
    }

    fn note(&mut self, path: &Path) {
        let meta = fs::metadata(path).ok();
        let just = |meta: &Metadata| {
            let age = SystemTime::now().duration_since(meta.modified().ok()?).ok();
            Some(age.is_none_or(|age| age < COARSE))
        };
        self.restless |= meta.as_ref().and_then(just).unwrap_or(false);
        self.dirs
            .push((path.to_owned(), meta.as_ref().map(Stamp::of)));
    }
}

fn stamp_of(path: &Path) -> Option<Stamp> {
    fs::metadata(path).ok().as_ref().map(Stamp::of)
}

/// The files at and below `root` that `wanted` takes, into `found`; what was listed for that, into `listed`.
pub(super) fn list(
    root: &Path,
    wanted: &impl Fn(&Path) -> bool,
    found: &mut BTreeSet<PathBuf>,
    listed: &mut Listed,
) {
    descend(root, DEPTH_LIMIT, wanted, found, listed);
}

fn descend(
    path: &Path,
    depth: usize,
    wanted: &impl Fn(&Path) -> bool,
    found: &mut BTreeSet<PathBuf>,
    listed: &mut Listed,
) {
    // Before it is read: what changes meanwhile then shows.
    listed.note(path);
    let Ok(entries) = fs::read_dir(path) else {
        if wanted(path) && path.is_file() {
            found.insert(path.to_owned());
        }
        return;
    };
    for entry in entries.flatten() {
        if found.len() >= WATCH_LIMIT {
            return;
        }
        let child = entry.path();
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        if kind.is_dir() {
            if depth > 0 {
                descend(&child, depth - 1, wanted, found, listed);
            }
        // Links to files count, links to directories are not followed: they may lead round.
        } else if wanted(&child) && (kind.is_file() || kind.is_symlink()) {
            found.insert(child);
        }
    }
}

/// Whether an editor or package tool put this file there only for a moment, or as a copy.
pub(super) fn is_leftover(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with('~')
        || name.starts_with(".#")
        || [
            ".swp",
            ".swx",
            ".tmp",
            ".dpkg-new",
            ".dpkg-tmp",
            ".dpkg-old",
            ".dpkg-dist",
            ".pyc",
            ".log",
            ".pid",
        ]
        .iter()
        .any(|end| name.ends_with(end))
}
