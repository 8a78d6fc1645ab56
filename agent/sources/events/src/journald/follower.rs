//! Follows every journal file in one directory through rotation, vacuuming and restarts of the agent.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use firstlook_model::{Checkpoint, Loss, Timestamp};

use super::entries::{Entries, Message, Start};
use super::format::FormatError;
use super::position::Position;

/// Files looked at in one directory. journald keeps 100 by default.
const FILE_LIMIT: usize = 1_024;
/// Looks at a file that cannot be read before it is set aside: one that is being made is not ready yet.
const PATIENCE: u32 = 3;

/// Device and inode: what a file keeps when it is renamed.
type Identity = (u64, u64);

/// A journal file being followed.
struct Followed {
    entries: Entries<File>,
    path: PathBuf,
    /// Gone from the directory, or marked as archived: once read to its end it is closed.
    final_size: bool,
}

/// One directory, and how far it has been read.
pub(super) struct Follower {
    dir: PathBuf,
    reader: String,
    position: Position,
    files: BTreeMap<Identity, Followed>,
    /// Read to the end and closed, or set aside.
    done: BTreeSet<Identity>,
    failing: BTreeMap<Identity, u32>,
    losses: Vec<Loss>,
    trouble: Option<String>,
    moved: bool,
}

impl Follower {
    /// Follows `dir` from a checkpoint, or from `floor` where there is none.
    pub(super) fn new(dir: &Path, checkpoint: Option<&[u8]>, floor: Timestamp) -> Self {
        let known = checkpoint.and_then(Position::decode);
        let floor = u64::try_from(floor.as_micros()).unwrap_or(0);
        Self {
            dir: dir.to_owned(),
            reader: reader_name(dir),
            // A first position is stored even if nothing is read: the next start then goes on from here.
            moved: known.is_none(),
            position: known.unwrap_or_else(|| Position::since(floor)),
            files: BTreeMap::new(),
            done: BTreeSet::new(),
            failing: BTreeMap::new(),
            losses: Vec::new(),
            trouble: None,
        }
    }

    /// Looks for files that came, were renamed, or went. Returns how many there are.
    pub(super) fn rescan(&mut self, now: Timestamp) -> usize {
        let mut present = BTreeSet::new();
        for path in journals(&self.dir) {
            let Ok(meta) = fs::metadata(&path) else {
                continue;
            };
            let identity = (meta.dev(), meta.ino());
            present.insert(identity);
            if let Some(followed) = self.files.get_mut(&identity) {
                followed.path = path;
            } else if !self.done.contains(&identity) {
                self.open(identity, path, now);
            }
        }
        for (identity, followed) in &mut self.files {
            followed.final_size |= !present.contains(identity);
        }
        self.done.retain(|identity| present.contains(identity));
        self.failing
            .retain(|identity, _| present.contains(identity));
        present.len()
    }

    fn open(&mut self, identity: Identity, path: PathBuf, now: Timestamp) {
        match self.try_open(&path) {
            Ok(entries) => {
                self.failing.remove(&identity);
                let (seqnum, realtime) = entries.last;
                if seqnum != 0 {
                    self.reach(entries.file.header.file_id, seqnum, realtime);
                }
                self.files.insert(
                    identity,
                    Followed {
                        entries,
                        path,
                        final_size: false,
                    },
                );
            }
            Err(error) => {
                let looks = self.failing.entry(identity).or_default();
                *looks += 1;
                if *looks >= PATIENCE {
                    self.failing.remove(&identity);
                    self.done.insert(identity);
                    self.set_aside(&path, &error, 1, now);
                }
            }
        }
    }

    fn try_open(&self, path: &Path) -> Result<Entries<File>, FormatError> {
        let file = File::open(path)?;
        let header = super::format::JournalFile::open(file.try_clone()?)?.header;
        let start = match self.position.of(header.file_id) {
            Some(seqnum) => Start::After(seqnum),
            None => Start::Since(self.position.floor),
        };
        Entries::open(file, start)
    }

    fn set_aside(&mut self, path: &Path, error: &FormatError, count: u64, now: Timestamp) {
        tracing::warn!(path = %path.display(), %error, "journal file is set aside");
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        self.trouble = Some(format!("{name} is set aside: {error}"));
        self.losses.push(loss("corrupt-file", count.max(1), now));
    }

    /// Reads up to `limit` messages from all files, fairly; each comes with its file's id, for
    /// [`Follower::reach`]. Returns whether there is more.
    pub(super) fn read(
        &mut self,
        limit: usize,
        now: Timestamp,
        mut take: impl FnMut(u128, Message),
    ) -> bool {
        let share = (limit / self.files.len().max(1)).max(1);
        let mut more = false;
        let mut closed = Vec::new();
        for (identity, followed) in &mut self.files {
            let file_id = followed.entries.file.header.file_id;
            let outcome = followed.entries.file.refresh().and_then(|()| {
                read_file(
                    &mut followed.entries,
                    share,
                    now,
                    &mut self.losses,
                    &mut |message| take(file_id, message),
                )
            });
            match outcome {
                Ok(unfinished) => {
                    more |= unfinished;
                    if !unfinished && (followed.final_size || followed.entries.file.header.archived)
                    {
                        closed.push((*identity, None));
                    }
                }
                Err(error) => closed.push((*identity, Some(error))),
            }
        }
        for (identity, error) in closed {
            self.done.insert(identity);
            if let (Some(followed), Some(error)) = (self.files.remove(&identity), error) {
                self.set_aside(&followed.path, &error, followed.entries.unread(), now);
            }
        }
        more
    }

    /// This message and all before it in its file were handed over.
    pub(super) fn reach(&mut self, file_id: u128, seqnum: u64, realtime: u64) {
        if self.position.of(file_id) != Some(seqnum) {
            self.position.reach(file_id, seqnum, realtime);
            self.moved = true;
        }
    }

    /// The position, if it moved since it was last taken.
    pub(super) fn checkpoint(&mut self) -> Option<Checkpoint> {
        std::mem::take(&mut self.moved).then(|| Checkpoint {
            reader: self.reader.clone(),
            position: self.position.encode(),
        })
    }

    /// What was lost since last asked.
    pub(super) fn losses(&mut self) -> Vec<Loss> {
        std::mem::take(&mut self.losses)
    }

    /// The last file set aside, and why.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }
}

/// The name of a directory's checkpoint. A path too long for one is named by its hash.
pub(super) fn reader_name(dir: &Path) -> String {
    let path = dir.to_string_lossy();
    if path.len() > 900 {
        return format!("journald:{}", crate::files::digest(path.as_bytes()));
    }
    format!("journald:{path}")
}

fn read_file(
    entries: &mut Entries<File>,
    share: usize,
    now: Timestamp,
    losses: &mut Vec<Loss>,
    take: &mut impl FnMut(Message),
) -> Result<bool, FormatError> {
    let mut corrupt = 0;
    for _ in 0..share {
        let before = entries.unread();
        match entries.next() {
            Ok(Some(message)) => {
                if message.unreadable > 0 && message.text.is_none() {
                    losses.push(loss("unreadable-field", message.unreadable, now));
                }
                take(message);
            }
            Ok(None) => {
                push_corrupt(losses, corrupt, now);
                return Ok(false);
            }
            // An entry that was stepped over: what follows may be sound.
            Err(FormatError::Corrupt { .. } | FormatError::Short { .. })
                if entries.unread() < before =>
            {
                corrupt += 1;
            }
            Err(error) => {
                push_corrupt(losses, corrupt, now);
                return Err(error);
            }
        }
    }
    push_corrupt(losses, corrupt, now);
    Ok(entries.unread() > 0)
}

fn push_corrupt(losses: &mut Vec<Loss>, count: u64, now: Timestamp) {
    if count > 0 {
        losses.push(loss("corrupt-entry", count, now));
    }
}

pub(super) fn loss(reason: &str, count: u64, now: Timestamp) -> Loss {
    Loss {
        source: "journald".to_owned(),
        reason: reason.to_owned(),
        count,
        bytes: 0,
        from: now,
        to: now,
    }
}

/// Journal files in `dir` and in its directories by machine id (with a namespace behind a dot).
pub(super) fn journals(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    for entry in fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .take(FILE_LIMIT)
    {
        let name = entry.file_name();
        let id = name.to_string_lossy();
        let id = id.split('.').next().unwrap_or_default();
        if id.len() == 32
            && id.bytes().all(|byte| byte.is_ascii_hexdigit())
            && entry.path().is_dir()
        {
            dirs.push(entry.path());
        }
    }
    for dir in dirs {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if (name.ends_with(".journal") || name.ends_with(".journal~"))
                && found.len() < FILE_LIMIT
            {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    found
}
