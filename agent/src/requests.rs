//! Answering the collector: snapshots, and log lines that the host keeps; and passing on which configuration it wants.
//! Nothing else may be asked for.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use firstlook_model::snapshot::CHUNK_BYTES;
use firstlook_model::{ConfigReport, HostId, LinesQuestion, Strain, StrainGauge, WantedConfig};
use firstlook_pipeline::{Redactor, Rule};
use firstlook_runtime::clock;
use firstlook_snapshot::{Redact, Roots, SnapshotLimits, SnapshotRequest, take};
use firstlook_sources_events::EventsConfig;
use firstlook_uplink::{LinesEvent, RequestHandler, SnapshotEvent};
use tokio::sync::{mpsc, watch};

use crate::app::events_config;
use crate::config::Config;
use crate::lines::KeptLines;
use crate::recent::Recent;
use crate::remote::{Desired, Tuning};

/// Pieces between the snapshot's thread and the session.
const EVENT_CAPACITY: usize = 4;
/// Folders below a declared one that are looked into.
const DEPTH_LIMIT: usize = 4;
/// Most files of declared folders.
const FILES_LIMIT: usize = 1_000;

/// Answers requests about this host.
pub struct Requests {
    host: HostId,
    roots: Roots,
    config_paths: Vec<PathBuf>,
    work_dir: PathBuf,
    events: EventsConfig,
    tuning: watch::Receiver<Tuning>,
    desired: Desired,
    recent: Recent,
    strain: StrainGauge,
}

/// The pipeline's rules, for snapshots.
struct Rules(Redactor);

impl Redact for Rules {
    fn line(&self, text: &str) -> String {
        self.0.line(text).into_owned()
    }

    fn text(&self, text: &str) -> String {
        self.0.text(text)
    }
}

impl Requests {
    /// Will read where `config` says, and redact as `tuning` does at the time; `recent` is what the agent saw lately.
    pub fn new(
        config: &Config,
        host: &HostId,
        (tuning, desired): (watch::Receiver<Tuning>, Desired),
        recent: Recent,
        strain: StrainGauge,
    ) -> Self {
        let defaults = Roots::default();
        let kmsg = config.roots.kmsg.clone();
        let declared = config
            .watch
            .config_paths
            .iter()
            .chain(&config.snapshot.config_paths);
        Self {
            host: host.clone(),
            roots: Roots {
                proc: config.roots.proc.clone(),
                kmsg,
                ..defaults
            },
            config_paths: declared.cloned().collect(),
            work_dir: config.state_dir.clone(),
            events: events_config(config, host),
            tuning,
            desired,
            recent,
            strain,
        }
    }
}

impl Requests {
    /// Why nothing is done on demand just now.
    fn refusal(&self) -> Option<String> {
        let level = self.strain.level();
        (level >= Strain::Strained).then(|| {
            format!(
                "the host suffers and its agent is {}: ask again later",
                level.name()
            )
        })
    }
}

impl RequestHandler for Requests {
    fn configure(&self, wanted: WantedConfig) {
        self.desired.want(wanted);
    }

    fn reports(&self) -> watch::Receiver<Option<ConfigReport>> {
        self.desired.reports()
    }

    fn read_lines(&self, asked: LinesQuestion) -> mpsc::Receiver<LinesEvent> {
        let (events, receiver) = mpsc::channel(EVENT_CAPACITY);
        if let Some(why) = self.refusal() {
            let _ = events.try_send(LinesEvent::Failed(why));
            return receiver;
        }
        let rules = self.tuning.borrow().rules.clone();
        let lines = KeptLines::new(self.events.clone(), rules);
        let failed = events.clone();
        // Reading blocks for some seconds: a thread of its own, which ends when the session stops listening.
        let thread = std::thread::Builder::new()
            .name("lines".into())
            .spawn(move || {
                let wanted = || !events.is_closed();
                let mut give = |event| events.blocking_send(event).is_ok();
                if let Err(why) = lines.read(&asked, &wanted, &mut give) {
                    tracing::warn!(component = %asked.component, error = why, "lines not read");
                    let _ = events.blocking_send(LinesEvent::Failed(why));
                }
            });
        if let Err(error) = thread {
            let _ = failed.try_send(LinesEvent::Failed(error.to_string()));
        }
        receiver
    }

    fn take_snapshot(
        &self,
        asked: firstlook_uplink::SnapshotRequest,
    ) -> mpsc::Receiver<SnapshotEvent> {
        let (events, receiver) = mpsc::channel(EVENT_CAPACITY);
        if let Some(why) = self.refusal() {
            let _ = events.try_send(SnapshotEvent::Failed(why));
            return receiver;
        }
        let defaults = SnapshotLimits::default();
        let total_bytes = defaults.total_bytes.min(asked.limit_bytes);
        let mut request = SnapshotRequest {
            id: asked.id,
            host: self.host.clone(),
            reason: asked.reason,
            now: clock::now(),
            roots: self.roots.clone(),
            config_paths: Vec::new(),
            work_dir: self.work_dir.clone(),
            limits: SnapshotLimits {
                total_bytes,
                ..defaults
            },
        };
        let (rules, recent) = (self.tuning.borrow().rules.clone(), self.recent.clone());
        let declared = self.config_paths.clone();
        let failed = events.clone();
        // Gathering blocks for up to half a minute: it has a thread of its own, which ends when the session
        // stops listening.
        let thread = std::thread::Builder::new()
            .name("snapshot".into())
            .spawn(move || {
                // Here, not before: a declared folder may lie on a mount that does not answer.
                request.config_paths = files_of(&declared);
                if let Err(why) = give(&request, &recent, &rules, &events) {
                    tracing::warn!(id = %request.id, error = why, "snapshot failed");
                    let _ = events.blocking_send(SnapshotEvent::Failed(why));
                }
            });
        if let Err(error) = thread {
            let _ = failed.try_send(SnapshotEvent::Failed(error.to_string()));
        }
        receiver
    }
}

fn give(
    request: &SnapshotRequest,
    recent: &Recent,
    rules: &[Rule],
    events: &mpsc::Sender<SnapshotEvent>,
) -> Result<(), String> {
    let redactor = Redactor::new(rules).map_err(|e| e.to_string())?;
    let redact: Arc<dyn Redact> = Arc::new(Rules(redactor));
    let mut archive =
        take(request, recent.items(request.now), &redact).map_err(|e| format!("{e}"))?;
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    let mut size_bytes = 0u64;
    loop {
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        let limit = CHUNK_BYTES as u64;
        archive
            .by_ref()
            .take(limit)
            .read_to_end(&mut chunk)
            .map_err(|e| e.to_string())?;
        if chunk.is_empty() {
            break;
        }
        context.update(&chunk);
        size_bytes += chunk.len() as u64;
        let listened = events.blocking_send(SnapshotEvent::Chunk(Bytes::from(chunk)));
        if listened.is_err() {
            return Err("nobody listens any more".to_owned());
        }
    }
    let sha256 = Bytes::copy_from_slice(context.finish().as_ref());
    events
        .blocking_send(SnapshotEvent::End { size_bytes, sha256 })
        .map_err(|_| "nobody listens any more".to_owned())
}

/// Declared files, and the regular files of declared folders; links are not followed.
fn files_of(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for path in paths {
        collect(path, DEPTH_LIMIT, &mut files);
    }
    files.sort();
    files.dedup();
    files
}

fn collect(path: &Path, depth: usize, files: &mut Vec<PathBuf>) {
    let is_folder = path.symlink_metadata().is_ok_and(|m| m.is_dir());
    if files.len() >= FILES_LIMIT {
        return;
    }
    if !is_folder {
        // A missing file is named too: the manifest says that it could not be had.
        return files.push(path.to_owned());
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let mut below: Vec<_> = entries.map(|entry| entry.path()).collect();
    below.sort();
    for path in below.iter().filter(|_| depth > 0) {
        let plain = path
            .symlink_metadata()
            .is_ok_and(|m| m.is_dir() || m.is_file());
        if plain {
            collect(path, depth - 1, files);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_opened_and_links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("conf.d");
        std::fs::create_dir(&below).unwrap();
        std::fs::write(below.join("a.conf"), "a").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", below.join("b.conf")).unwrap();
        let missing = dir.path().join("missing.conf");
        let files = files_of(&[dir.path().to_owned(), missing.clone()]);
        assert_eq!(files, [below.join("a.conf"), missing]);
    }
}
