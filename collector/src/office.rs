//! The office of query, over the desk, the sessions and the snapshot folder.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use firstlook_desk::{
    Announcement, AuditEntry, AuditOutcome, Desk, DeskError, JoinToken as TokenOnDesk,
    SnapshotState, StoredSnapshot, TokenHash, TokenId,
};
use firstlook_diagnose::Catalogue;
use firstlook_enrol::token::TOKEN_LIFETIME;
use firstlook_enrol::{Authority, JoinToken};
use firstlook_ingest::{AskRefused, Sessions};
use firstlook_model::snapshot::ARCHIVE_LIMIT_BYTES;
use firstlook_model::{
    Change, ChangeKind, Edge, HostId, Incident, IncidentId, LinesQuestion, SnapshotId, TimeRange,
    Timestamp,
};
use firstlook_query::{
    ANNOUNCED_PREFIX, HostConfig, HostRow, KeptLines, Office, OfficeError, Revoked, SnapshotRow,
    TokenRow, View,
};
use firstlook_runtime::clock;
use firstlook_store::Store;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::watch;

use crate::configs::host_config;
use crate::graph;
use crate::kept_lines;
use crate::ledger::Heard;
use crate::snapshots::{archive_path, receive, verify};

/// Most snapshots listed.
const LIST_LIMIT: u32 = 1_000;

/// Everything that people keep.
pub struct DeskOffice {
    /// Database.
    pub desk: Desk,
    /// What hosts saw.
    pub store: Store,
    /// For the fingerprint in tokens.
    pub authority: Arc<Authority>,
    /// Agents connected now.
    pub sessions: Sessions,
    /// Folder of archives.
    pub snapshots: PathBuf,
    /// The analysis.
    pub heard: SyncSender<Heard>,
    /// What it saw last.
    pub views: watch::Receiver<Arc<View>>,
    /// What it thinks by.
    pub catalogue: Arc<Catalogue>,
}

impl DeskOffice {
    pub(crate) fn note(&self, who: &str, what: &str, result: AuditOutcome, detail: String) {
        let entry = AuditEntry {
            time: clock::now(),
            who: who.to_owned(),
            what: what.to_owned(),
            result,
            detail,
        };
        if let Err(error) = self.desk.audit().append(&entry) {
            tracing::error!(%error, what, "audit entry not written");
        }
    }

    fn row(&self, stored: StoredSnapshot) -> Option<SnapshotRow> {
        Some(SnapshotRow {
            path: archive_path(&self.snapshots, &stored.id),
            manifest: stored.manifest?,
            size_bytes: stored.size_bytes,
            sha256: stored.sha256,
            taken_by: stored.requested_by,
        })
    }

    /// An announced change as people and the analysis see it.
    pub fn shown(announced: Announcement) -> Change {
        let Announcement { mut change, by, .. } = announced;
        let told = match change.kind {
            ChangeKind::Accepted => "accepted",
            _ => "announced",
        };
        change.text = format!("{} ({told} by {by})", change.text);
        change
    }

    fn enrolled(&self, host: &HostId) -> Result<(), OfficeError> {
        match self.desk.hosts().get(host).map_err(failure)? {
            Some(row) if row.revoked.is_none() => Ok(()),
            Some(_) => Err(OfficeError::Refused(format!(
                "host {host} is revoked: join it again with a new token"
            ))),
            None => Err(unknown(host)),
        }
    }
}

fn not_asked(refused: AskRefused) -> OfficeError {
    match refused {
        AskRefused::NotConnected(_) => OfficeError::Unreachable(refused.to_string()),
        AskRefused::UnderWay { .. } => OfficeError::Busy(refused.to_string()),
    }
}

fn unknown(host: &HostId) -> OfficeError {
    OfficeError::NotFound(format!(
        "no host named {host}: `firstlook hosts` lists them"
    ))
}

fn failure(error: DeskError) -> OfficeError {
    match error {
        DeskError::NotFound { what, name } => {
            OfficeError::NotFound(format!("no {what} named {name}"))
        }
        other => OfficeError::Failed(other.to_string()),
    }
}

fn token_row(token: TokenOnDesk) -> TokenRow {
    TokenRow {
        id: token.hash.id().to_string(),
        host: token.bound_to,
        created: token.created,
        created_by: token.created_by,
        expires: token.expires,
        used: token.used.as_ref().map(|(_, at)| *at),
        used_by: token.used.map(|(host, _)| host),
        revoked: token.revoked.is_some(),
    }
}

/// A name for a snapshot of `host`; the last part keeps two of the same second apart.
fn draw_id(host: &HostId, now: Timestamp) -> Result<SnapshotId, OfficeError> {
    let mut bytes = [0u8; 2];
    let drawn = SystemRandom::new().fill(&mut bytes);
    drawn.map_err(|_| OfficeError::Failed("the system gives no randomness".to_owned()))?;
    let seconds = now.as_millis() / 1_000;
    SnapshotId::new(format!(
        "{host}-{seconds}-{:04x}",
        u16::from_be_bytes(bytes)
    ))
    .map_err(|error| OfficeError::Failed(error.to_string()))
}

#[tonic::async_trait]
impl Office for DeskOffice {
    fn create_token(
        &self,
        host: Option<HostId>,
        replace: bool,
        by: &str,
    ) -> Result<(TokenRow, String), OfficeError> {
        if let Some(host) = &host
            && !replace
            && self
                .desk
                .hosts()
                .get(host)
                .map_err(failure)?
                .is_some_and(|h| h.revoked.is_none())
        {
            return Err(OfficeError::Busy(format!(
                "a host named {host} is enrolled: --replace lets the token take its name over"
            )));
        }
        let token = JoinToken::draw(self.authority.fingerprint().to_owned())
            .map_err(|error| OfficeError::Failed(error.to_string()))?;
        let (hash, now) = (TokenHash::of(&token.hash()), clock::now());
        let expires = now.plus(TOKEN_LIFETIME);
        self.desk
            .tokens()
            .create(hash, by, now, expires, host.as_ref())
            .map_err(failure)?;
        self.note(
            by,
            "token create",
            AuditOutcome::Done,
            hash.id().to_string(),
        );
        let row = TokenRow {
            id: hash.id().to_string(),
            host,
            created: now,
            created_by: by.to_owned(),
            expires,
            used: None,
            used_by: None,
            revoked: false,
        };
        Ok((row, token.reveal()))
    }

    fn tokens(&self) -> Result<Vec<TokenRow>, OfficeError> {
        Ok(self
            .desk
            .tokens()
            .list()
            .map_err(failure)?
            .into_iter()
            .map(token_row)
            .collect())
    }

    fn revoke_token(&self, id: &str, by: &str) -> Result<(), OfficeError> {
        let unknown = |_| OfficeError::NotFound(format!("no token has the id {id:?}"));
        let token: TokenId = id.parse().map_err(unknown)?;
        self.desk
            .tokens()
            .revoke(token, clock::now())
            .map_err(failure)?;
        self.note(by, "token revoke", AuditOutcome::Done, id.to_owned());
        Ok(())
    }

    fn hosts(&self) -> Result<Vec<HostRow>, OfficeError> {
        let rows = self.desk.hosts().list().map_err(failure)?;
        let newest = self.desk.configs().newest().map_err(failure)?;
        let reports = self.desk.configs().reports().map_err(failure)?;
        let row = |host: firstlook_desk::EnrolledHost| HostRow {
            config: Some(host_config(&host.host, &newest, &reports)).filter(HostConfig::is_any),
            host: host.host,
            enrolled: host.enrolled,
            certificate_expires: Some(host.certificate.expires),
            revoked: host.revoked.is_some(),
        };
        Ok(rows.into_iter().map(row).collect())
    }

    fn revoke_host(&self, host: &HostId, reason: &str, by: &str) -> Result<Revoked, OfficeError> {
        let now = clock::now();
        let detail = match reason.is_empty() {
            true => host.to_string(),
            false => format!("{host}: {reason}"),
        };
        let entry = AuditEntry {
            time: now,
            who: by.to_owned(),
            what: "host revoke".to_owned(),
            result: AuditOutcome::Done,
            detail,
        };
        match self.desk.hosts().revoke(host, now, &entry) {
            Ok(()) => {}
            Err(DeskError::NotFound { .. }) => return Err(unknown(host)),
            Err(DeskError::Revoked { at, .. }) => {
                return Err(OfficeError::Already(format!(
                    "host {host} was revoked at {at} already"
                )));
            }
            Err(other) => return Err(failure(other)),
        }
        tracing::info!(%host, by, "host revoked");
        let session_ended = self.sessions.end(host);
        // Refused only when the analysis is gone, and then the collector is ending.
        let _ = self.heard.send(Heard::Revoked { host: host.clone() });
        Ok(Revoked {
            at: now,
            session_ended,
        })
    }

    fn announce(&self, change: Change, by: &str) -> Result<(Change, bool), OfficeError> {
        let Some(host) = change.component.host_id().cloned() else {
            let why = format!("{} is on no host", change.component);
            return Err(OfficeError::NotFound(why));
        };
        self.enrolled(&host)?;
        let new = Announcement {
            change,
            by: by.to_owned(),
            at: clock::now(),
        };
        let kept = match self.desk.announcements().add(&new) {
            Ok(kept) => kept,
            Err(DeskError::Exists { name, .. }) => {
                let detail = format!("{name} is another change");
                self.note(by, "change add", AuditOutcome::Refused, detail);
                return Err(OfficeError::Already(format!(
                    "the id {} is that of another change: give each change an id of its own",
                    name.strip_prefix(ANNOUNCED_PREFIX).unwrap_or(&name)
                )));
            }
            Err(error) => return Err(failure(error)),
        };
        if let Some(known) = kept {
            return Ok((Self::shown(known), true));
        }
        let change = Self::shown(new);
        let detail = format!("{} {}", change.component, change.id);
        self.note(by, "change add", AuditOutcome::Done, detail);
        let heard = Heard::Announced {
            host,
            change: change.clone(),
        };
        // The analysis is gone only while the collector ends; it reads the desk when it begins.
        let _ = self.heard.send(heard);
        Ok((change, false))
    }

    fn announced(&self, range: TimeRange) -> Result<Vec<Change>, OfficeError> {
        let found = self.desk.announcements().list(range).map_err(failure)?;
        Ok(found.into_iter().map(Self::shown).collect())
    }

    fn graph(&self, range: TimeRange) -> Result<Vec<Edge>, OfficeError> {
        let hosts = self.desk.hosts().list().map_err(failure)?;
        let hosts = hosts
            .into_iter()
            .map(|row| (row.host, row.revoked.is_some()));
        Ok(graph::of(&self.store, hosts, range))
    }

    fn incident(&self, id: IncidentId) -> Result<Incident, OfficeError> {
        self.desk.incidents().get(id).map_err(failure)
    }

    fn snapshots(&self) -> Result<Vec<SnapshotRow>, OfficeError> {
        let rows = self
            .desk
            .snapshots()
            .list(None, LIST_LIMIT)
            .map_err(failure)?;
        Ok(rows
            .into_iter()
            .filter_map(|stored| self.row(stored))
            .collect())
    }

    fn snapshot(&self, id: &SnapshotId) -> Result<SnapshotRow, OfficeError> {
        let stored = self.desk.snapshots().get(id).map_err(failure)?;
        self.row(stored)
            .ok_or_else(|| OfficeError::NotFound(format!("{id} has no archive")))
    }

    fn verify_snapshot(&self, id: &SnapshotId) -> Result<usize, OfficeError> {
        let row = self.snapshot(id)?;
        match verify(&row.path) {
            Ok(manifest) if manifest == row.manifest => Ok(manifest.items.len()),
            Ok(_) => Err(OfficeError::Damaged(
                "it is not the archive that was received".into(),
            )),
            Err(error) => Err(OfficeError::Damaged(format!("{error:#}"))),
        }
    }

    async fn take_snapshot(
        &self,
        host: HostId,
        reason: String,
        by: String,
    ) -> Result<SnapshotRow, OfficeError> {
        self.enrolled(&host)?;
        let now = clock::now();
        let id = draw_id(&host, now)?;
        let pieces = self
            .sessions
            .take_snapshot(&host, &id, &reason, ARCHIVE_LIMIT_BYTES)
            .map_err(not_asked)?;
        let received = match receive(pieces, &self.snapshots, &host, &id).await {
            Ok(received) => received,
            Err(error) => {
                let why = format!("no snapshot of {host}: {error:#}");
                self.note(&by, "snapshot take", AuditOutcome::Failed, why.clone());
                return Err(OfficeError::Failed(why));
            }
        };
        let stored = StoredSnapshot {
            id: id.clone(),
            host,
            state: SnapshotState::Verified,
            requested: now,
            requested_by: by.clone(),
            manifest: Some(received.manifest),
            path: format!("{id}.tar.zst"),
            size_bytes: received.size_bytes,
            sha256: received.sha256,
            problem: None,
        };
        self.desk.snapshots().insert(&stored).map_err(failure)?;
        self.note(&by, "snapshot take", AuditOutcome::Done, id.to_string());
        self.row(stored)
            .ok_or_else(|| OfficeError::Failed("the snapshot has no manifest".into()))
    }

    async fn read_lines(
        &self,
        question: LinesQuestion,
        by: String,
    ) -> Result<KeptLines, OfficeError> {
        let Some(host) = question.component.host_id() else {
            return Err(OfficeError::NotFound(format!(
                "{} has no host",
                question.component
            )));
        };
        self.enrolled(host)?;
        let pieces = self
            .sessions
            .read_lines(host, &question)
            .map_err(not_asked)?;
        let kept = kept_lines::receive(pieces, question.limit).await;
        let LinesQuestion {
            component, range, ..
        } = &question;
        let asked = format!("{component} from {} to {}", range.from, range.to);
        let (result, detail) = match &kept {
            Ok(kept) => (
                AuditOutcome::Done,
                format!("{asked}: {} lines", kept.entries.len()),
            ),
            Err(error) => (AuditOutcome::Failed, format!("{asked}: {error:?}")),
        };
        self.note(&by, "logs read from host", result, detail);
        kept
    }
}
