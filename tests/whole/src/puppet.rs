//! An agent that sees what a test tells it: the real journal and uplink, in this process.

use std::path::Path;
use std::sync::Arc;

use firstlook_journal::{Entry, Journal, JournalConfig, Shed};
use firstlook_model::{ConfigReport, LinesQuestion, Record, WantedConfig};
use firstlook_uplink::{
    Identity, LinesEvent, RequestHandler, SnapshotEvent, SnapshotRequest, Uplink,
};
use tokio::runtime::Runtime;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::house::House;
use crate::records::encoded;

/// A host whose agent is this process. Its session ends with its handle.
pub struct Puppet {
    journal: Journal,
    appended: Arc<Notify>,
    stop: CancellationToken,
    _runtime: Runtime,
}

/// Takes no snapshot and keeps no lines.
struct Unwilling;

impl RequestHandler for Unwilling {
    fn take_snapshot(&self, _: SnapshotRequest) -> mpsc::Receiver<SnapshotEvent> {
        let (sender, receiver) = mpsc::channel(1);
        let _ = sender.try_send(SnapshotEvent::Failed("a puppet has no state".to_owned()));
        receiver
    }

    fn read_lines(&self, _: LinesQuestion) -> mpsc::Receiver<LinesEvent> {
        let (sender, receiver) = mpsc::channel(1);
        let _ = sender.try_send(LinesEvent::Failed("a puppet keeps no lines".to_owned()));
        receiver
    }

    fn configure(&self, _: WantedConfig) {}

    fn reports(&self) -> watch::Receiver<Option<ConfigReport>> {
        watch::channel(None).1
    }
}

impl Puppet {
    /// Joins `house` as `name` and opens a session.
    pub fn join(house: &House, name: &str) -> Self {
        house.admit(name);
        Self::run(&house.path(name), None)
    }

    /// Opens a session for the identity and the journal in `folder`, at another address if one is given.
    pub fn run(folder: &Path, collector: Option<String>) -> Self {
        let mut identity = Identity::load(folder).expect("it has joined");
        if let Some(collector) = collector {
            identity.collector = collector;
        }
        let opened = Journal::open(&folder.join("journal"), JournalConfig::default());
        let journal = opened.expect("a journal can be made").journal;
        let (appended, stop) = (Arc::new(Notify::new()), CancellationToken::new());
        let uplink = Uplink::new(
            identity,
            folder.to_owned(),
            "boot".to_owned(),
            "0.0.0",
            journal.clone(),
            Arc::clone(&appended),
            Arc::new(Unwilling),
        );
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime can be made");
        runtime.handle().spawn(uplink.run(stop.clone()));
        Self {
            journal,
            appended,
            stop,
            _runtime: runtime,
        }
    }

    /// What it keeps.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Sees something.
    pub fn see(&self, record: &Record) {
        let entry = Entry {
            class: record.class(),
            bytes: encoded(record),
        };
        self.append(&[entry], &[]);
    }

    /// Appends entries and positions, durably and as one.
    pub fn append(&self, entries: &[Entry], positions: &[(String, Vec<u8>)]) {
        self.journal
            .append(entries, positions, &Shed::default())
            .expect("a journal takes records");
        self.appended.notify_one();
    }
}

impl Drop for Puppet {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
