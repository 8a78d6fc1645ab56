//! The analysis: load → detect → diagnose → incident → commit → publish, one thread, once a second.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use firstlook_desk::Desk;
use firstlook_detect::{DetectConfig, Detector};
use firstlook_diagnose::Catalogue;
use firstlook_incident::{IncidentChange, Incidents, Reason};
use firstlook_ingest::Sessions;
use firstlook_model::{
    BlindSpot, ComponentKind, HostId, Incident, IncidentId, Situation, Timestamp,
};
use firstlook_query::View;
use firstlook_runtime::{Beat, clock};
use firstlook_store::Store;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::checkpoints::{Checkpoints, Keep, Keeping};
use crate::contacts::Contacts;
use crate::ledger::Heard;
use crate::office::DeskOffice;
use crate::recovery::recover;
use crate::think::{Usual, think};

/// Time between two analyses.
const EVERY: Duration = Duration::from_secs(1);
/// How long the last checkpoints may take, all together.
const FAREWELL: Duration = Duration::from_secs(4);
/// How long ago changes were announced that are heard again: as far as a verdict looks for them, and longer than a checkpoint
/// waits.
const ANNOUNCED: Duration = Duration::from_secs(2 * 3_600);
/// Closed incidents in the view.
const CLOSED_SHOWN: usize = 20;

/// Where the collector's counters come from.
pub type Counters = Box<dyn Fn() -> Vec<(String, u64)> + Send>;

/// What the analysis is tied to.
pub struct Ties {
    /// Where incidents, hosts and announcements are.
    pub desk: Desk,
    /// When hosts were heard.
    pub contacts: Contacts,
    /// Which hosts are connected.
    pub sessions: Sessions,
    /// Others' counters, for the view.
    pub counters: Counters,
    /// What it thinks by.
    pub catalogue: Arc<Catalogue>,
    /// Takes what is known of each host, in turn.
    pub kept: SyncSender<Keep>,
    /// Takes each view.
    pub view: watch::Sender<Arc<View>>,
}

/// What the analysis works with.
pub struct Analysis {
    detector: Detector,
    /// How long no contact makes a host silent, for detection and for the view alike.
    silent_after: Duration,
    catalogue: Arc<Catalogue>,
    incidents: Incidents,
    usual: Usual,
    closed: Vec<Incident>,
    desk: Desk,
    contacts: Contacts,
    sessions: Sessions,
    /// Hosts that were shut out, as far as none of them was heard since it joined again.
    revoked: BTreeSet<HostId>,
    counters: Counters,
    /// Why nothing of before the start is known, where that is so.
    forgot: Option<String>,
    keeping: Keeping,
    view: watch::Sender<Arc<View>>,
}

impl Analysis {
    /// Restores incidents from `desk`, and what detection knew from `checkpoints` and what `store` received after them.
    ///
    /// # Errors
    /// When the desk or the checkpoints' folder cannot be read.
    pub fn restore(store: &Store, checkpoints: &Checkpoints, ties: Ties) -> anyhow::Result<Self> {
        let Ties {
            desk,
            contacts,
            sessions,
            counters,
            catalogue,
            kept,
            view,
        } = ties;
        let open = desk.incidents().list_open()?;
        let listed = desk.incidents().list(CLOSED_SHOWN as u32 * 2)?;
        let closed = listed
            .into_iter()
            .filter(|i| i.closed.is_some())
            .take(CLOSED_SHOWN)
            .collect();
        let config = DetectConfig::default();
        let silent_after = config.silent_after;
        let mut detector = Detector::new(config);
        let now = clock::now();
        let rows = desk.hosts().list()?.into_iter();
        let revoked: BTreeSet<HostId> = rows
            .filter(|row| row.revoked.is_some())
            .map(|row| row.host)
            .collect();
        let announced = desk.announcements().list_since(now.minus(ANNOUNCED))?;
        let recovered = recover(&mut detector, checkpoints, store, &revoked, &announced, now)?;
        for announced in announced {
            let change = DeskOffice::shown(announced);
            if let Some(host) = change.component.host_id().filter(|h| !revoked.contains(h)) {
                detector.observe_changes(&host.clone(), &[change]);
            }
        }
        tracing::info!(
            checkpoints = recovered.hosts,
            unreadable = recovered.unreadable,
            records = recovered.records,
            open = open.len(),
            "analysis restored"
        );
        let mut incidents = Incidents::restored(firstlook_incident::Config::default(), open);
        for host in &revoked {
            incidents.shut_out(host);
        }
        let mut analysis = Self {
            detector,
            silent_after,
            catalogue,
            incidents,
            usual: Usual::of(recovered.rates),
            closed,
            desk,
            contacts,
            sessions,
            revoked,
            counters,
            keeping: Keeping::new(kept),
            forgot: store.set_aside().map(|aside| forgot(now, &aside.path)),
            view,
        };
        // Before anybody can ask: the first answer must not be that all is quiet.
        analysis.analyse();
        Ok(analysis)
    }

    /// Runs until `stop` is cancelled or every sender of `heard` is gone; `done` beats with each analysis. Blocks.
    pub fn run(mut self, heard: &Receiver<Heard>, done: &Beat, stop: &CancellationToken) {
        let mut due = Instant::now() + EVERY;
        let mut kept = Instant::now();
        while !stop.is_cancelled() {
            match heard.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(heard) => self.hear(heard),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if Instant::now() >= due {
                self.analyse();
                // An analysis takes its time, too.
                let passed = kept.elapsed();
                kept = Instant::now();
                self.keeping.turn(&self.detector, &self.usual.rates, passed);
                done.beat();
                due = Instant::now() + EVERY;
            }
        }
        let left_out =
            self.keeping
                .all(&self.detector, &self.usual.rates, Instant::now() + FAREWELL);
        if left_out > 0 {
            tracing::warn!(
                hosts = left_out,
                "no time for their checkpoints: what came after their last is heard again"
            );
        }
    }

    fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Contact {
                host,
                received,
                said,
            } => {
                if self.is_welcome(&host) {
                    self.detector.observe_contact(&host, received, said);
                }
            }
            Heard::Revoked { host } => {
                self.detector.forget_host(&host);
                self.incidents.shut_out(&host);
                self.usual.rates.forget_host(&host);
                self.keeping.forget(host.clone());
                self.revoked.insert(host);
            }
            Heard::Announced { host, change } => {
                if self.is_welcome(&host) {
                    self.usual.hear(&change);
                    self.detector.observe_changes(&host, &[change]);
                }
            }
            Heard::Records {
                host,
                received,
                records,
            } => {
                if !self.is_welcome(&host) {
                    return;
                }
                self.detector.observe_contact(&host, received, None);
                for record in &records {
                    self.detector.observe_record(&host, received, record);
                }
            }
        }
    }

    /// Whether a host is heard. Of one that was shut out the last words may still come; or it has joined again.
    fn is_welcome(&mut self, host: &HostId) -> bool {
        if !self.revoked.contains(host) {
            return true;
        }
        let back = match self.desk.hosts().get(host) {
            Ok(row) => row.is_some_and(|row| row.revoked.is_none()),
            Err(error) => {
                tracing::error!(%error, %host, "host cannot be looked up");
                false
            }
        };
        if back {
            self.revoked.remove(host);
            self.incidents.let_in(host);
        }
        back
    }

    fn analyse(&mut self) {
        let mut situation = self.detector.situation(clock::now());
        if let Some(text) = &self.forgot {
            note_forgotten(&mut situation, text);
        }
        let desk = self.desk.clone();
        let (incidents, usual) = (&mut self.incidents, &mut self.usual);
        let number = || next_id(&desk);
        let changes = think(&self.catalogue, incidents, usual, &mut situation, number);
        for change in changes {
            self.commit(change);
        }
        self.publish(situation);
    }

    fn commit(&mut self, change: IncidentChange) {
        let reason = match &change {
            IncidentChange::Opened(incident) => {
                tracing::info!(incident = %incident.id, title = incident.title, "incident opened");
                Some("opened".to_owned())
            }
            IncidentChange::Updated {
                reason: Reason::StillSeen,
                ..
            } => None,
            IncidentChange::Updated { reason, .. } => Some(reason.to_string()),
            IncidentChange::Closed(incident) => {
                tracing::info!(incident = %incident.id, "incident closed");
                Some("closed".to_owned())
            }
        };
        let incident = change.incident();
        if let Err(error) = self.desk.incidents().upsert(incident, reason.as_deref()) {
            tracing::error!(%error, incident = %incident.id, "incident not stored");
        }
        if let IncidentChange::Closed(incident) = change {
            self.closed.insert(0, incident);
            self.closed.truncate(CLOSED_SHOWN);
        }
    }

    /// Hosts that have a session and were heard lately. A session alone says little: one whose host is gone lasts until
    /// the connection is given up.
    fn reporting(&self, heard: &BTreeMap<HostId, Timestamp>, now: Timestamp) -> BTreeSet<HostId> {
        let mut hosts = self.sessions.connected();
        let lately = |at: &Timestamp| now.since(*at) < self.silent_after;
        hosts.retain(|host| heard.get(host).is_some_and(lately));
        hosts.into_iter().collect()
    }

    fn publish(&self, situation: Situation) {
        let mut open: Vec<Incident> = self.incidents.open().cloned().collect();
        open.sort_by(|a, b| gravity(b).total_cmp(&gravity(a)).then(a.id.cmp(&b.id)));
        let contacts = self.contacts.heard();
        let reporting = self.reporting(&contacts, situation.reference_time);
        self.view.send_replace(Arc::new(View {
            situation: Some(situation),
            open,
            closed: self.closed.clone(),
            contacts,
            reporting,
            clock_offsets: self.contacts.offsets(),
            counters: self.counters(),
        }));
    }

    fn counters(&self) -> Vec<(String, u64)> {
        let refused = self.detector.refused();
        let detect = [
            ("foreign", refused.foreign),
            ("unknown_schema", refused.unknown_schema),
            ("malformed", refused.malformed),
            ("late", refused.late),
            ("unannounced", refused.unannounced),
            ("over_budget", refused.over_budget),
        ];
        let mut all = (self.counters)();
        all.extend(
            detect.map(|(why, count)| (format!("firstlook_detect_refused_{why}_total"), count)),
        );
        all
    }
}

/// What a responder should know when the store was begun anew.
fn forgot(now: Timestamp, aside: &Path) -> String {
    let name = aside.file_name().unwrap_or_default().display();
    let now = Timestamp::from_secs(now.as_micros().div_euclid(1_000_000));
    format!(
        "no telemetry from before {now} is kept: the collector's store was damaged and set aside ({name})"
    )
}

/// Each host is unseen before the store was begun anew: what changed then may be the cause.
fn note_forgotten(situation: &mut Situation, text: &str) {
    let hosts = situation.components.iter();
    let spots = hosts
        .filter(|component| component.kind() == ComponentKind::Host)
        .map(|component| BlindSpot {
            component: component.clone(),
            text: text.to_owned(),
        });
    situation.blind_spots.extend(spots);
}

/// How grave an incident is: its gravest symptom, and how many there are.
fn gravity(incident: &Incident) -> f64 {
    let worst = incident
        .symptoms
        .iter()
        .map(|s| s.severity)
        .fold(0.0, f64::max);
    worst + (incident.symptoms.len() as f64).ln_1p() / 10.0
}

/// A number from the desk; when that fails, one that cannot be taken for a real incident's, so that the
/// responder sees the incident all the same.
fn next_id(desk: &Desk) -> IncidentId {
    desk.incidents().next_id().unwrap_or_else(|error| {
        tracing::error!(%error, "incident cannot be numbered");
        IncidentId(u32::MAX)
    })
}
