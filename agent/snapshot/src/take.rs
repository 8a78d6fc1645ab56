//! Taking a snapshot: gather everything, then write the manifest and what it lists.

use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use firstlook_archive::{ArchiveWriter, Digest, WriteError, is_valid_path, tidy_path};
use firstlook_model::{Manifest, MissingItem, SnapshotItem, Timestamp, snapshot::MANIFEST_VERSION};
use tempfile::SpooledTempFile;

use crate::gather;
use crate::request::{ExtraItem, Redact, SnapshotLimits, SnapshotRequest};
use crate::task::{GatherError, NoAnswer, Sink, Task, within};

/// Most things named as missing; the last says how many more there are.
const MISSING_LIMIT: usize = 1_000;
/// Longest reason, and longest text about an item, in characters.
const TEXT_LIMIT: usize = 1_000;

/// Why there is no snapshot at all. A retry may help.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// What was gathered cannot be kept: the work folder is full or not writable.
    #[error("gathered contents cannot be kept in {folder}")]
    Spool {
        /// The work folder.
        folder: String,
        /// What failed.
        #[source]
        source: io::Error,
    },
    /// The archive cannot be written.
    #[error("archive cannot be written")]
    Write(#[from] WriteError),
}

/// A finished archive. Reading it gives its bytes from the beginning.
#[derive(Debug)]
pub struct SnapshotArchive {
    /// What it holds.
    pub manifest: Manifest,
    /// Length in bytes.
    pub size_bytes: u64,
    body: SpooledTempFile,
}

impl Read for SnapshotArchive {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.body.read(buffer)
    }
}

/// Takes a snapshot. Blocks until it is complete or its deadline has passed.
///
/// # Errors
/// Only when there is nowhere to keep what was gathered; what could not be gathered is in the manifest.
pub fn take(
    request: &SnapshotRequest,
    extra: Vec<ExtraItem>,
    redact: &Arc<dyn Redact>,
) -> Result<SnapshotArchive, SnapshotError> {
    let tasks = gather::tasks(request, redact);
    take_tasks(request, extra, tasks)
}

pub(crate) fn take_tasks(
    request: &SnapshotRequest,
    extra: Vec<ExtraItem>,
    tasks: Vec<Task>,
) -> Result<SnapshotArchive, SnapshotError> {
    let mut collection = Collection::new(&request.limits, request.now, &request.work_dir);
    for item in extra {
        collection.add_extra(item)?;
    }
    for task in tasks {
        collection.run(task)?;
    }
    collection.finish(request)
}

struct Collection<'a> {
    limits: &'a SnapshotLimits,
    work_dir: &'a Path,
    now: Timestamp,
    began: Instant,
    contents: SpooledTempFile,
    items: Vec<SnapshotItem>,
    missing: Vec<MissingItem>,
    missing_more: usize,
    total_bytes: u64,
}

impl<'a> Collection<'a> {
    fn new(limits: &'a SnapshotLimits, now: Timestamp, work_dir: &'a Path) -> Self {
        Self {
            limits,
            work_dir,
            now,
            began: Instant::now(),
            contents: SpooledTempFile::new_in(limits.memory_bytes, work_dir),
            items: Vec::new(),
            missing: Vec::new(),
            missing_more: 0,
            total_bytes: 0,
        }
    }

    fn add_extra(&mut self, mut item: ExtraItem) -> Result<(), SnapshotError> {
        let limit = usize::try_from(self.limits.item_bytes).unwrap_or(usize::MAX);
        let truncated = item.truncated || item.content.len() > limit;
        item.content.truncate(limit);
        self.add(&item.path, &item.what, &item.content, item.taken, truncated)
    }

    /// Runs a task for as long as it may take, and keeps what it had by then.
    fn run(&mut self, task: Task) -> Result<(), SnapshotError> {
        let left = self.limits.deadline.saturating_sub(self.began.elapsed());
        let limit = left.min(self.limits.item_deadline);
        if limit.is_zero() {
            self.miss(&task.what, "the snapshot's deadline had passed");
            return Ok(());
        }
        let sink = Sink::new(self.limits.item_bytes);
        let (inner, work) = (sink.clone(), task.work);
        let taken = self.time();
        let outcome = within(limit, move || work(&inner));
        let (content, cut) = sink.close();
        let why = self.why(&outcome, limit);
        // Nothing at all is missing; something with an error is cut short.
        if content.is_empty() && (why.is_some() || cut) {
            let why = why.unwrap_or_else(|| GatherError::Full.to_string());
            self.miss(&task.what, &why);
            return Ok(());
        }
        let truncated = cut || why.is_some();
        if let Some(why) = why {
            self.miss(&format!("part of {}", task.what), &why);
        }
        self.add(&task.path, &task.what, &content, taken, truncated)
    }

    fn why(
        &self,
        outcome: &Result<Result<(), GatherError>, NoAnswer>,
        limit: Duration,
    ) -> Option<String> {
        match outcome {
            Ok(Ok(()) | Err(GatherError::Full)) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(NoAnswer::Deadline) => Some(format!(
                "did not return within {:.1} s",
                limit.as_secs_f64()
            )),
            Err(NoAnswer::NoThread) => Some("too many earlier reads still hang".to_owned()),
            Err(NoAnswer::Broken) => Some("reading it failed inside the agent".to_owned()),
        }
    }

    fn add(
        &mut self,
        path: &str,
        what: &str,
        content: &[u8],
        taken: Timestamp,
        truncated: bool,
    ) -> Result<(), SnapshotError> {
        let size = content.len() as u64;
        if self.total_bytes + size > self.limits.total_bytes {
            self.miss(what, "over the limit of the snapshot");
            return Ok(());
        }
        let Some(path) = self.free_path(path) else {
            self.miss(what, "too many items of this name");
            return Ok(());
        };
        self.contents
            .write_all(content)
            .map_err(|source| self.spool_error(source))?;
        self.total_bytes += size;
        self.items.push(SnapshotItem {
            path,
            what: short(what),
            size_bytes: size,
            sha256: Digest::of(content),
            taken,
            truncated,
        });
        Ok(())
    }

    /// The path if it is permitted and free, else one that resembles it.
    fn free_path(&self, path: &str) -> Option<String> {
        let free = |path: &String| {
            path != firstlook_archive::MANIFEST_PATH && self.items.iter().all(|i| i.path != *path)
        };
        let tidy = if is_valid_path(path) {
            path.to_owned()
        } else {
            tidy_path(path)
        };
        let numbered = (2..1_000).map(|n| tidy_path(&format!("{tidy}-{n}")));
        std::iter::once(tidy.clone()).chain(numbered).find(free)
    }

    fn miss(&mut self, what: &str, why: &str) {
        if self.missing.len() < MISSING_LIMIT {
            self.missing.push(MissingItem {
                what: short(what),
                why: short(why),
            });
        } else {
            self.missing_more += 1;
        }
    }

    fn time(&self) -> Timestamp {
        self.now.plus(self.began.elapsed())
    }

    fn spool_error(&self, source: io::Error) -> SnapshotError {
        SnapshotError::Spool {
            folder: self.work_dir.display().to_string(),
            source,
        }
    }

    fn finish(mut self, request: &SnapshotRequest) -> Result<SnapshotArchive, SnapshotError> {
        if self.missing_more > 0 {
            self.missing.push(MissingItem {
                what: format!("{} more", self.missing_more),
                why: "not listed".to_owned(),
            });
        }
        let manifest = Manifest {
            version: MANIFEST_VERSION,
            id: request.id.clone(),
            host: request.host.clone(),
            reason: short(&request.reason),
            began: self.now,
            ended: self.time(),
            items: std::mem::take(&mut self.items),
            missing: std::mem::take(&mut self.missing),
        };
        let body = SpooledTempFile::new_in(self.limits.memory_bytes, self.work_dir);
        let mut writer = ArchiveWriter::new(body, &manifest)?;
        if let Err(source) = self.contents.rewind() {
            return Err(self.spool_error(source));
        }
        for item in &manifest.items {
            writer.item(&item.path, (&mut self.contents).take(item.size_bytes))?;
        }
        let mut body = writer.finish()?;
        let size = body.stream_position().and_then(|size| {
            body.rewind()?;
            Ok(size)
        });
        Ok(SnapshotArchive {
            manifest,
            size_bytes: size.map_err(|source| self.spool_error(source))?,
            body,
        })
    }
}

fn short(text: &str) -> String {
    text.chars().take(TEXT_LIMIT).collect()
}
