use std::sync::Mutex;

use firstlook_model::{ConfigReport, WantedConfig};
use tokio::sync::watch;

use super::*;

/// Gives each request the receiver that was put in, once.
pub(super) struct Handler(
    Mutex<Option<mpsc::Receiver<SnapshotEvent>>>,
    configs::Answers,
);

impl Handler {
    pub(super) fn with(events: mpsc::Receiver<SnapshotEvent>) -> Self {
        Self(Mutex::new(Some(events)), configs::Answers::default())
    }
}

impl RequestHandler for Handler {
    fn take_snapshot(&self, _: SnapshotRequest) -> mpsc::Receiver<SnapshotEvent> {
        self.0
            .lock()
            .unwrap()
            .take()
            .expect("one snapshot is asked for")
    }

    fn read_lines(&self, asked: LinesQuestion) -> mpsc::Receiver<LinesEvent> {
        lines::answer(asked)
    }

    fn configure(&self, wanted: WantedConfig) {
        self.1.configure(wanted);
    }

    fn reports(&self) -> watch::Receiver<Option<ConfigReport>> {
        self.1.reports()
    }
}
