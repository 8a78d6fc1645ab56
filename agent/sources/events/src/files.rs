//! Plain log files, followed through rotation and restarts.
//!
//! A file is known by device, inode, birth time and the digest of its first bytes, not by its name. Its
//! checkpoint is `file:<identity>`. Beside it `files:<path>` keeps which file was last read under a name:
//! if the name was given to another while the agent was down, the old file is looked for among its rotated
//! neighbours and read to its end; if it is not there, that is reported as lost. A file that is there when a
//! path is first configured is read from its end, any later one from its beginning.
//!
//! Copy-and-truncate leaves the file and takes its content: the copy is looked for among the neighbours by
//! its head and read on from where the file was left. A copy that appears beside its original is not read.

mod glob;
mod rotation;
mod tail;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use firstlook_model::log::LINE_LIMIT_BYTES;
use firstlook_model::{Checkpoint, ComponentId, LogSource, Loss, Observation, RawLine, Timestamp};

use crate::Source;
use crate::config::{EventsConfig, TailedFiles};
use crate::drive::{BATCH_LIMIT_BYTES, BATCH_LIMIT_LINES, Eases, Ending, Outlet, Step, drive};
use crate::sink::{BlindSpots, Checkpoints};
use tail::{Begin, Cut, Identity, Position, Tail};

const NAME: &str = "files";
const PAUSE: Duration = Duration::from_millis(250);
/// Looks between two at the directories.
const LOOKS_PER_RESCAN: u32 = 4;
/// Most files read at once: each is a descriptor.
const TAIL_LIMIT: usize = 256;
/// How long a file is kept open that was renamed or deleted: its writer may not have noticed yet.
const LEFT_LIMIT: Duration = Duration::from_secs(15);
/// The same for one that is not read to its end. Bounded, since an open file that was deleted still
/// fills its disk.
const UNREAD_LIMIT: Duration = Duration::from_secs(600);

/// Follows the configured files until told to stop.
pub(crate) async fn run(source: Source) {
    if source.config.files.is_empty() {
        return;
    }
    let outlet = Outlet {
        eases: Eases::Lines(source.config.strain.clone()),
        sink: source.sink.clone(),
        blind: source.blind.clone(),
        stop: source.stop.clone(),
        ending: Ending::AtOnce,
    };
    let mut reader = Reader::new(&source);
    drive(NAME, PAUSE, outlet, move |now| reader.step(now)).await;
}

/// Whose lines a file holds, and how.
#[derive(Clone, Debug)]
struct Owner {
    component: ComponentId,
    joins: bool,
}

struct Reader {
    globs: Vec<(TailedFiles, Owner)>,
    checkpoints: Arc<dyn Checkpoints>,
    blind: BlindSpots,
    tails: BTreeMap<Identity, Tail>,
    /// The file that was read last: the one after it comes first, so that a busy file never keeps the others waiting.
    last_read: Option<Identity>,
    /// Which file each followed name last meant.
    names: BTreeMap<PathBuf, Identity>,
    /// Checkpoints to go out with the next lines.
    pending: Vec<Checkpoint>,
    facts: Vec<Observation>,
    looks: u32,
}

impl Reader {
    fn new(source: &Source) -> Self {
        let component = |files: &TailedFiles| match &files.service {
            Some(unit) => source.config.service(unit),
            None => source.config.machine(),
        };
        let globs = source.config.files.iter().map(|files| {
            let owner = Owner {
                component: component(files),
                joins: files.multiline,
            };
            (files.clone(), owner)
        });
        Self {
            globs: globs.collect(),
            checkpoints: source.checkpoints.clone(),
            blind: source.blind.clone(),
            tails: BTreeMap::new(),
            last_read: None,
            names: BTreeMap::new(),
            pending: Vec::new(),
            facts: Vec::new(),
            looks: 0,
        }
    }

    fn step(&mut self, now: Timestamp) -> Step {
        let mut step = Step::default();
        if self.looks.is_multiple_of(LOOKS_PER_RESCAN) {
            self.rescan(now);
        }
        self.read(now, &mut step);
        self.find_copies(now);
        self.close_left(now);
        step.lines.checkpoints = std::mem::take(&mut self.pending);
        step.facts = std::mem::take(&mut self.facts);
        if !step.more {
            self.looks = self.looks.wrapping_add(1);
        }
        step
    }

    fn read(&mut self, now: Timestamp, step: &mut Step) {
        let (mut count, mut bytes, mut cut) = (0, 0, Cut::default());
        for identity in self.in_turn() {
            if count >= BATCH_LIMIT_LINES || bytes >= BATCH_LIMIT_BYTES {
                step.more = true;
                break;
            }
            let Some(tail) = self.tails.get_mut(&identity) else {
                continue;
            };
            let component = tail.component.clone();
            let outcome = tail.read(now, |text| {
                count += 1;
                bytes += text.len();
                step.lines.lines.push(RawLine {
                    time: now,
                    component: component.clone(),
                    severity: None,
                    source: LogSource::File,
                    text,
                });
            });
            match outcome {
                Ok(more) => step.more |= more,
                // The file is looked at again with the next step; what it held meanwhile waits in it.
                Err(error) => self.blind.set(
                    NAME,
                    format!("cannot read {}: {error}", tail.path.display()),
                ),
            }
            if std::mem::take(&mut tail.shrank) {
                self.facts.push(lost("file-lost-its-end", 1, 0, now));
            }
            let own = std::mem::take(&mut tail.cut);
            (cut.lines, cut.bytes) = (cut.lines + own.lines, cut.bytes + own.bytes);
            if std::mem::take(&mut tail.moved) {
                self.pending
                    .push(file_checkpoint(&identity, tail.position.encode()));
            }
            self.last_read = Some(identity);
        }
        if cut != Cut::default() {
            self.facts.push(lost("line-cut", cut.lines, cut.bytes, now));
        }
    }

    /// All files, the one after the last read in front.
    fn in_turn(&self) -> Vec<Identity> {
        let (mut order, mut before) = (Vec::with_capacity(self.tails.len()), Vec::new());
        for identity in self.tails.keys() {
            if self.last_read.as_ref().is_some_and(|last| identity <= last) {
                before.push(identity.clone());
            } else {
                order.push(identity.clone());
            }
        }
        order.extend(before);
        order
    }

    /// Closes files that lost their name, once they are read and their writers have had time to notice.
    fn close_left(&mut self, now: Timestamp) {
        let mut closed = Vec::new();
        for (identity, tail) in &self.tails {
            let left = tail
                .left_since
                .map_or(Duration::ZERO, |since| now.since(since));
            if left >= UNREAD_LIMIT && !tail.is_read() {
                self.facts
                    .push(lost("deleted-or-rotated-unread", 1, 0, now));
            }
            if left >= UNREAD_LIMIT || (left >= LEFT_LIMIT && tail.is_read()) {
                closed.push(identity.clone());
            }
        }
        for identity in closed {
            self.tails.remove(&identity);
            self.pending.push(file_checkpoint(&identity, Vec::new()));
        }
    }

    fn rescan(&mut self, now: Timestamp) {
        let mut present = BTreeSet::new();
        let mut trouble = None;
        for (files, owner) in self.globs.clone() {
            let marker = format!("files-known:{}", digest(files.glob.as_bytes()));
            let first = self.looks == 0 && self.checkpoints.load(&marker).is_none();
            for path in glob::expand(&files.glob) {
                match self.follow(&path, &owner, first, now) {
                    Ok(identity) => present.extend(identity),
                    Err(error) => {
                        trouble = Some(format!("cannot read {}: {error}", path.display()))
                    }
                }
            }
            if first {
                self.pending.push(Checkpoint {
                    reader: marker,
                    position: b"1".to_vec(),
                });
            }
        }
        for (identity, tail) in &mut self.tails {
            if present.contains(identity) {
                tail.left_since = None;
            } else {
                tail.left_since.get_or_insert(now);
            }
        }
        match trouble {
            Some(reason) => self.blind.set(NAME, reason),
            None => self.blind.clear(NAME),
        }
    }

    /// Follows the file that has this name now. The identity, unless there are too many.
    fn follow(
        &mut self,
        path: &Path,
        owner: &Owner,
        first: bool,
        now: Timestamp,
    ) -> std::io::Result<Option<Identity>> {
        let identity = Identity::of(&fs::metadata(path)?);
        if self.names.get(path) != Some(&identity) {
            let before = match self.names.get(path) {
                Some(before) => Some(before.as_str().to_owned()),
                None => {
                    self.resume_rotated(path, owner);
                    let before = self.checkpoints.load(&name_reader(path));
                    before
                        .and_then(|bytes| String::from_utf8(bytes).ok())
                        .filter(|before| before != identity.as_str())
                }
            };
            if let Some(before) = before {
                self.find_rotated(path, &before, owner, now);
            }
            self.names.insert(path.to_owned(), identity.clone());
            let position = identity.as_str().as_bytes().to_vec();
            self.pending.push(Checkpoint {
                reader: name_reader(path),
                position,
            });
        }
        if !self.tails.contains_key(&identity) {
            let begin = if first { Begin::End } else { Begin::Start };
            self.open(path, &identity, owner, begin)?;
        }
        if let Some(tail) = self.tails.get_mut(&identity) {
            path.clone_into(&mut tail.path);
        }
        Ok(self.tails.contains_key(&identity).then_some(identity))
    }

    fn open(
        &mut self,
        path: &Path,
        identity: &Identity,
        owner: &Owner,
        begin: Begin,
    ) -> std::io::Result<()> {
        if self.tails.len() >= TAIL_LIMIT {
            return Err(std::io::Error::other(format!(
                "{TAIL_LIMIT} files are followed already"
            )));
        }
        let known = self
            .checkpoints
            .load(&format!("file:{}", identity.as_str()));
        let known = known.and_then(|bytes| Position::decode(&bytes));
        if known.is_none() && self.is_copy(path) {
            return Ok(());
        }
        let (component, joins) = (owner.component.clone(), owner.joins);
        if let Some(tail) = Tail::open(path, identity, component, joins, known, begin)? {
            self.tails.insert(identity.clone(), tail);
        }
        Ok(())
    }
}

/// A file that holds log lines, or held them before it was rotated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptFile {
    /// Where it is.
    pub path: PathBuf,
    /// Whose lines it holds.
    pub component: ComponentId,
    /// It is packed: its lines cannot be read here.
    pub packed: bool,
}

/// Every file that the configuration means, with its rotated neighbours, each once. Sorted by path.
pub fn kept(config: &EventsConfig) -> Vec<KeptFile> {
    let mut found: BTreeMap<PathBuf, KeptFile> = BTreeMap::new();
    for files in &config.files {
        let component = match &files.service {
            Some(unit) => config.service(unit),
            None => config.machine(),
        };
        for path in glob::expand(&files.glob) {
            let plain = glob::rotated(&path).into_iter().map(|path| (path, false));
            let packed = glob::packed(&path).into_iter().map(|path| (path, true));
            for (path, packed) in plain.chain(packed).chain([(path, false)]) {
                let file = || KeptFile {
                    path: path.clone(),
                    component: component.clone(),
                    packed,
                };
                found.entry(path.clone()).or_insert_with(file);
            }
        }
    }
    found.into_values().collect()
}

fn lost(reason: &str, count: u64, bytes: u64, now: Timestamp) -> Observation {
    Observation::Losses(vec![Loss {
        source: NAME.to_owned(),
        reason: reason.to_owned(),
        count,
        bytes,
        from: now,
        to: now,
    }])
}

fn file_checkpoint(identity: &Identity, position: Vec<u8>) -> Checkpoint {
    Checkpoint {
        reader: format!("file:{}", identity.as_str()),
        position,
    }
}

fn name_reader(path: &Path) -> String {
    format!("files:{}", digest(path.as_os_str().as_encoded_bytes()))
}

/// Cuts a line to the model's limit, at a character's border.
pub(crate) fn cut(text: &mut String) {
    if text.len() > LINE_LIMIT_BYTES {
        let end = (0..=LINE_LIMIT_BYTES)
            .rev()
            .find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or(0));
    }
}

/// SHA-256 in hexadecimal, cut to 32 digits: enough to tell contents apart.
pub(crate) fn digest(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest
        .as_ref()
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests;
