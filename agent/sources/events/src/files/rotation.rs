//! Where the rest of a file went: renamed to a neighbour, or copied to one and cut to nothing.

use std::fs;
use std::path::Path;

use firstlook_model::Timestamp;

use super::tail::{Begin, Identity, Position, Tail};
use super::{Owner, Reader, glob, lost};

impl Reader {
    /// The name was given to another file since it was last looked at: reads the old one to its end, and
    /// whatever came and went between the two.
    pub(super) fn find_rotated(&mut self, path: &Path, old: &str, owner: &Owner, now: Timestamp) {
        let found = glob::rotated(path).into_iter().filter_map(|path| {
            let meta = fs::metadata(&path).ok()?;
            Some((meta.modified().ok()?, Identity::of(&meta), path))
        });
        let mut found: Vec<_> = found.collect();
        found.sort();
        let last_written = found
            .iter()
            .find(|(_, identity, _)| identity.as_str() == old);
        let Some(last_written) = last_written.map(|(modified, ..)| *modified) else {
            // Open still: it was deleted, or renamed to something else, under our eyes.
            if !self.tails.keys().any(|identity| identity.as_str() == old) {
                self.facts.push(lost("rotated-away-unread", 1, 0, now));
            }
            return;
        };
        for (modified, identity, path) in &found {
            if *modified < last_written || self.tails.contains_key(identity) {
                continue;
            }
            if let Err(error) = self.open(path, identity, owner, Begin::Start) {
                tracing::warn!(path = %path.display(), %error, "rotated log file cannot be read");
            }
        }
    }

    /// The agent stopped while it still read what had lost this name: goes on with it.
    pub(super) fn resume_rotated(&mut self, path: &Path, owner: &Owner) {
        for path in glob::rotated(path) {
            let Ok(meta) = fs::metadata(&path) else {
                continue;
            };
            let identity = Identity::of(&meta);
            let reader = format!("file:{}", identity.as_str());
            let unfinished = self
                .checkpoints
                .load(&reader)
                .is_some_and(|position| !position.is_empty());
            if !unfinished || self.tails.contains_key(&identity) {
                continue;
            }
            if let Err(error) = self.open(&path, &identity, owner, Begin::Start) {
                tracing::warn!(path = %path.display(), %error, "rotated log file cannot be read");
            }
        }
    }

    /// Files whose content was replaced in its place: what was not read of it is read from its copy.
    pub(super) fn find_copies(&mut self, now: Timestamp) {
        let taken = self.tails.values_mut().filter_map(|tail| {
            let replaced = tail.replaced.take()?;
            Some((tail.path.clone(), tail.owner(), replaced))
        });
        for (path, owner, replaced) in taken.collect::<Vec<_>>() {
            let found = self.open_copy(&path, &owner, &replaced.position);
            if !found && !replaced.was_read {
                self.facts.push(lost("truncated-unread", 1, 0, now));
            }
        }
    }

    /// Opens the neighbour that holds what was read of the file and perhaps more. Whether there is one.
    fn open_copy(&mut self, path: &Path, owner: &Owner, position: &Position) -> bool {
        let candidates = glob::rotated(path).into_iter().filter_map(|path| {
            let meta = fs::metadata(&path).ok()?;
            let reaches = meta.len() >= position.offset && position.is_head_of(&path);
            reaches.then_some(())?;
            Some((meta.modified().ok()?, Identity::of(&meta), path))
        });
        let Some((_, identity, copy)) = candidates.max() else {
            return false;
        };
        if self.tails.contains_key(&identity) {
            return true;
        }
        let (component, joins) = (owner.component.clone(), owner.joins);
        let known = Some(position.clone());
        match Tail::open(&copy, &identity, component, joins, known, Begin::Start) {
            Ok(Some(mut tail)) => {
                tail.moved = true;
                self.tails.insert(identity, tail);
                true
            }
            _ => false,
        }
    }

    /// Whether an unknown file is a copy of one beside it that is being read: what it holds is read there.
    pub(super) fn is_copy(&self, path: &Path) -> bool {
        let mut beside = self
            .tails
            .values()
            .filter(|tail| tail.path.parent() == path.parent());
        beside.any(|tail| tail.begins_like(path))
    }
}
