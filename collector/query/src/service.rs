//! The gRPC face.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;

use firstlook_model::{HostId, Incident, IncidentId, TimeRange, Timestamp};
use firstlook_proto::convert::{edge_to_wire, manifest_to_wire};
use firstlook_proto::wire;
use firstlook_proto::wire::query_server::Query;
use firstlook_store::Store;
use tokio::sync::watch;
use tokio_stream::Stream;
use tonic::{Code, Request, Response, Status};

use crate::about::About;
use crate::announce;
use crate::checks::{host, reason, refusal, snapshot_id};
use crate::fetch::chunks;
use crate::graph;
use crate::guard::Access;
use crate::office::{HostRow, Office, OfficeError, SnapshotRow};
use crate::present::{host_view, snapshot_view, token_view};
use crate::telemetry;
use crate::view::{HostState, View};

pub(crate) type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Serves `firstlook.v1.Query`.
pub struct QueryService<O> {
    view: watch::Receiver<Arc<View>>,
    pub(crate) store: Store,
    office: Arc<O>,
    access: Access,
    clock: fn() -> Timestamp,
    version: &'static str,
}

mod http;

pub use http::routes;

impl<O: Office> QueryService<O> {
    /// Answers from the latest view, the store and the office.
    pub fn new(
        view: watch::Receiver<Arc<View>>,
        store: Store,
        office: Arc<O>,
        access: Access,
        clock: fn() -> Timestamp,
        version: &'static str,
    ) -> Self {
        Self {
            view,
            store,
            office,
            access,
            clock,
            version,
        }
    }

    /// The responder's name.
    pub(crate) fn responder<T>(&self, request: &Request<T>) -> Result<String, Status> {
        self.access.responder(request)
    }

    pub(crate) fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.borrow())
    }

    /// What `text` names now. A host that never joined is refused rather than found empty.
    pub(crate) async fn about(&self, text: &str) -> Result<About, Status> {
        self.about_within(text, None).await
    }

    /// What `text` names now, or named in the range.
    async fn about_within(&self, text: &str, range: Option<TimeRange>) -> Result<About, Status> {
        let view = self.view();
        let known = view
            .situation
            .as_ref()
            .map_or(&[][..], |s| s.components.as_slice());
        let about = match (About::read(text, known), range) {
            (Err(status), Some(range)) if status.code() == Code::NotFound => {
                let (store, label) = (self.store.clone(), text.to_owned());
                blocking(move || telemetry::stored(&store, &label, range)).await??
            }
            (read, _) => read?,
        };
        let Some(host) = about.host().cloned() else {
            return Ok(about);
        };
        if known.iter().any(|c| c.host_id() == Some(&host)) {
            return Ok(about);
        }
        self.joined(host).await?;
        Ok(about)
    }

    /// Refuses a host that never joined.
    async fn joined(&self, host: HostId) -> Result<(), Status> {
        let wanted = host.clone();
        let joined = move |rows: Vec<HostRow>| rows.iter().any(|row| row.host == wanted);
        match self.ask(move |office| office.hosts().map(joined)).await? {
            true => Ok(()),
            false => Err(Status::not_found(format!(
                "no host named {host}: `firstlook hosts` lists them"
            ))),
        }
    }

    /// Runs work on the office where blocking is allowed.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&O) -> Result<T, OfficeError> + Send + 'static,
    ) -> Result<T, Status> {
        let office = Arc::clone(&self.office);
        blocking(move || work(&office)).await?.map_err(refusal)
    }

    pub(crate) async fn find(&self, about: String) -> Result<Incident, Status> {
        let view = self.view();
        if about.is_empty() {
            return view
                .open
                .first()
                .cloned()
                .ok_or_else(|| nothing_open(&view));
        }
        if let Ok(id) = about.parse::<IncidentId>() {
            if let Some(open) = view.open.iter().find(|i| i.id == id) {
                return Ok(open.clone());
            }
            return self.ask(move |office| office.incident(id)).await;
        }
        let about = self.about(&about).await?;
        let touches = |i: &&Incident| {
            i.symptoms.iter().any(|s| about.covers(&s.component))
                || i.verdict
                    .suspects
                    .iter()
                    .any(|s| about.covers(&s.component))
                || i.verdict
                    .ruled_out
                    .iter()
                    .any(|c| about.covers(&c.component))
        };
        view.open
            .iter()
            .find(touches)
            .cloned()
            .ok_or_else(|| Status::not_found("no open incident touches that"))
    }
}

fn nothing_open(view: &View) -> Status {
    match view.situation {
        Some(_) => Status::not_found("no incident is open"),
        None => Status::unavailable("the collector has analysed nothing yet: ask again"),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Status> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| Status::internal("the query's task failed"))
}

fn replies<T: Send + 'static>(items: Vec<T>) -> Replies<T> {
    Box::pin(tokio_stream::iter(items.into_iter().map(Ok)))
}

#[tonic::async_trait]
impl<O: Office> Query for QueryService<O> {
    async fn status(
        &self,
        request: Request<wire::StatusRequest>,
    ) -> Result<Response<wire::StatusReply>, Status> {
        self.access.responder(&request)?;
        let rows = self.ask(|office| office.hosts()).await?;
        let view = self.view();
        let situation = view.situation.as_ref();
        let count = |state| rows.iter().filter(|row| view.state(row) == state).count() as u32;
        Ok(Response::new(wire::StatusReply {
            reference_time: situation
                .map_or_else(self.clock, |s| s.reference_time)
                .as_micros(),
            version: self.version.to_owned(),
            hosts_reporting: count(HostState::Reporting),
            hosts_silent: count(HostState::Silent),
            components: situation.map_or(0, |s| s.components.len()) as u32,
            edges: situation.map_or(0, |s| s.edges.len()) as u32,
            open: view.open.iter().map(Into::into).collect(),
            closed: view.closed.iter().take(5).map(Into::into).collect(),
            blind_spots: situation
                .map(|s| s.blind_spots.iter().map(Into::into).collect())
                .unwrap_or_default(),
            risks: view.risks().into_iter().map(Into::into).collect(),
            counters: view
                .counters
                .iter()
                .map(|(name, value)| wire::Counter {
                    name: name.clone(),
                    value: *value,
                })
                .collect(),
        }))
    }

    async fn hosts(
        &self,
        request: Request<wire::HostsRequest>,
    ) -> Result<Response<wire::HostsReply>, Status> {
        self.access.responder(&request)?;
        let wanted = request.into_inner().host;
        let rows = self.ask(|office| office.hosts()).await?;
        let (view, store, now) = (self.view(), self.store.clone(), (self.clock)());
        let hosts = blocking(move || {
            rows.iter()
                .filter(|row| wanted.is_empty() || row.host.as_str() == wanted)
                .map(|row| host_view(row, &view, &store, now))
                .collect()
        })
        .await?;
        Ok(Response::new(wire::HostsReply {
            reference_time: now.as_micros(),
            hosts,
        }))
    }

    async fn why(
        &self,
        request: Request<wire::WhyRequest>,
    ) -> Result<Response<wire::WhyReply>, Status> {
        self.access.responder(&request)?;
        let incident = self.find(request.into_inner().about).await?;
        Ok(Response::new(wire::WhyReply {
            incident: Some((&incident).into()),
        }))
    }

    async fn map(
        &self,
        request: Request<wire::MapRequest>,
    ) -> Result<Response<wire::MapReply>, Status> {
        self.access.responder(&request)?;
        let request = request.into_inner();
        let range = request.range.map(graph::range).transpose()?;
        let about = self.about_within(&request.component, range).await?;
        if let Some(range) = range {
            let edges = self.ask(move |office| office.graph(range)).await?;
            return Ok(Response::new(graph::reply(edges, &about, range)));
        }
        let view = self.view();
        let situation = view.situation.as_ref().ok_or_else(|| {
            Status::unavailable("the collector has analysed nothing yet: ask again")
        })?;
        let edges: Vec<_> = situation
            .edges
            .iter()
            .filter(|e| about.covers(&e.caller) || about.covers(&e.callee))
            .collect();
        let near: BTreeSet<_> = edges.iter().flat_map(|e| [&e.caller, &e.callee]).collect();
        let components = situation
            .components
            .iter()
            .filter(|c| about.covers(c) || near.contains(c))
            .map(|c| {
                let (health, text) = view.health(c);
                wire::ComponentView {
                    component: c.to_string(),
                    health: health.into(),
                    text,
                }
            })
            .collect();
        Ok(Response::new(wire::MapReply {
            reference_time: situation.reference_time.as_micros(),
            components,
            edges: edges.into_iter().map(edge_to_wire).collect(),
        }))
    }

    type LogsStream = Replies<wire::LogsReply>;
    async fn logs(
        &self,
        request: Request<wire::LogsRequest>,
    ) -> Result<Response<Self::LogsStream>, Status> {
        let by = self.access.responder(&request)?;
        let request = request.into_inner();
        let range = telemetry::range(request.range)?;
        let about = self.about_within(&request.about, Some(range)).await?;
        if request.from_host {
            let question = telemetry::kept(about, request, range)?;
            let kept = self
                .office
                .read_lines(question, by)
                .await
                .map_err(refusal)?;
            return Ok(Response::new(replies(telemetry::kept_replies(&kept))));
        }
        let store = self.store.clone();
        let found = blocking(move || telemetry::logs(&store, &about, &request, range)).await??;
        Ok(Response::new(replies(found)))
    }

    type MetricsStream = Replies<wire::MetricsReply>;
    async fn metrics(
        &self,
        request: Request<wire::MetricsRequest>,
    ) -> Result<Response<Self::MetricsStream>, Status> {
        self.access.responder(&request)?;
        let request = request.into_inner();
        let range = telemetry::range(request.range)?;
        let about = self.about_within(&request.about, Some(range)).await?;
        let store = self.store.clone();
        let found = blocking(move || telemetry::metrics(&store, &about, &request, range)).await?;
        Ok(Response::new(replies(found)))
    }

    async fn changes(
        &self,
        request: Request<wire::ChangesRequest>,
    ) -> Result<Response<wire::ChangesReply>, Status> {
        self.access.responder(&request)?;
        let request = request.into_inner();
        let range = telemetry::range(request.range)?;
        let about = self.about_within(&request.about, Some(range)).await?;
        let announced = self.ask(move |office| office.announced(range)).await?;
        let store = self.store.clone();
        let reply = blocking(move || telemetry::changes(&store, &about, range, announced)).await?;
        Ok(Response::new(reply))
    }

    async fn add_change(
        &self,
        request: Request<wire::AddChangeRequest>,
    ) -> Result<Response<wire::AddChangeReply>, Status> {
        let by = self.access.responder(&request)?;
        let request = request.into_inner();
        let component = announce::subject(self.about(&request.about).await?)?;
        let now = (self.clock)();
        let drawn = format!("{component}@{}", now.as_micros());
        let change = announce::change(request, &component, &drawn, now)?;
        let (change, known) = self.ask(move |office| office.announce(change, &by)).await?;
        Ok(Response::new(wire::AddChangeReply {
            change: Some((&change).into()),
            known,
        }))
    }

    async fn create_token(
        &self,
        request: Request<wire::CreateTokenRequest>,
    ) -> Result<Response<wire::CreateTokenReply>, Status> {
        let by = self.access.responder(&request)?;
        let request = request.into_inner();
        let bound = match request.host.is_empty() {
            true => None,
            false => Some(host(request.host)?),
        };
        let (row, token) = self
            .ask(move |office| office.create_token(bound, request.replace, &by))
            .await?;
        Ok(Response::new(wire::CreateTokenReply {
            id: row.id,
            token,
            expires: row.expires.as_micros(),
        }))
    }

    async fn list_tokens(
        &self,
        request: Request<wire::ListTokensRequest>,
    ) -> Result<Response<wire::ListTokensReply>, Status> {
        self.access.responder(&request)?;
        let (rows, now) = (self.ask(|office| office.tokens()).await?, (self.clock)());
        let tokens = rows.iter().map(|row| token_view(row, now)).collect();
        Ok(Response::new(wire::ListTokensReply { tokens }))
    }

    async fn revoke_token(
        &self,
        request: Request<wire::RevokeTokenRequest>,
    ) -> Result<Response<wire::RevokeTokenReply>, Status> {
        let by = self.access.responder(&request)?;
        let id = request.into_inner().id;
        self.ask(move |office| office.revoke_token(&id, &by))
            .await?;
        Ok(Response::new(wire::RevokeTokenReply {}))
    }

    async fn revoke_host(
        &self,
        request: Request<wire::RevokeHostRequest>,
    ) -> Result<Response<wire::RevokeHostReply>, Status> {
        let by = self.access.responder(&request)?;
        let request = request.into_inner();
        reason(&request.reason)?;
        let host = host(request.host)?;
        let revoked = self
            .ask(move |office| office.revoke_host(&host, &request.reason, &by))
            .await?;
        Ok(Response::new(wire::RevokeHostReply {
            revoked: revoked.at.as_micros(),
            session_ended: revoked.session_ended,
        }))
    }

    async fn take_snapshot(
        &self,
        request: Request<wire::TakeSnapshotRequest>,
    ) -> Result<Response<wire::TakeSnapshotReply>, Status> {
        let by = self.access.responder(&request)?;
        let request = request.into_inner();
        reason(&request.reason)?;
        let host = host(request.host)?;
        let row = self
            .office
            .take_snapshot(host, request.reason, by)
            .await
            .map_err(refusal)?;
        Ok(Response::new(wire::TakeSnapshotReply {
            snapshot: Some(snapshot_view(&row)),
        }))
    }

    async fn list_snapshots(
        &self,
        request: Request<wire::ListSnapshotsRequest>,
    ) -> Result<Response<wire::ListSnapshotsReply>, Status> {
        self.access.responder(&request)?;
        let wanted = request.into_inner().host;
        if !wanted.is_empty() {
            self.joined(host(wanted.clone())?).await?;
        }
        let rows = self.ask(|office| office.snapshots()).await?;
        let fits = |row: &&SnapshotRow| wanted.is_empty() || row.manifest.host.as_str() == wanted;
        let snapshots = rows.iter().filter(fits).map(snapshot_view).collect();
        Ok(Response::new(wire::ListSnapshotsReply { snapshots }))
    }

    async fn show_snapshot(
        &self,
        request: Request<wire::ShowSnapshotRequest>,
    ) -> Result<Response<wire::ShowSnapshotReply>, Status> {
        self.access.responder(&request)?;
        let id = snapshot_id(request.into_inner().id)?;
        let row = self.ask(move |office| office.snapshot(&id)).await?;
        Ok(Response::new(wire::ShowSnapshotReply {
            snapshot: Some(snapshot_view(&row)),
            manifest: Some(manifest_to_wire(&row.manifest)),
        }))
    }

    async fn verify_snapshot(
        &self,
        request: Request<wire::VerifySnapshotRequest>,
    ) -> Result<Response<wire::VerifySnapshotReply>, Status> {
        self.access.responder(&request)?;
        let id = snapshot_id(request.into_inner().id)?;
        let office = Arc::clone(&self.office);
        let verified = blocking(move || office.verify_snapshot(&id)).await?;
        let reply = match verified {
            Ok(items) => wire::VerifySnapshotReply {
                intact: true,
                problem: String::new(),
                items: items as u32,
            },
            Err(OfficeError::Damaged(problem)) => wire::VerifySnapshotReply {
                intact: false,
                problem,
                items: 0,
            },
            Err(other) => return Err(refusal(other)),
        };
        Ok(Response::new(reply))
    }

    type FetchSnapshotStream = Replies<wire::FetchSnapshotReply>;
    async fn fetch_snapshot(
        &self,
        request: Request<wire::FetchSnapshotRequest>,
    ) -> Result<Response<Self::FetchSnapshotStream>, Status> {
        self.access.responder(&request)?;
        let id = snapshot_id(request.into_inner().id)?;
        let row = self.ask(move |office| office.snapshot(&id)).await?;
        let file = tokio::fs::File::open(&row.path).await.map_err(|error| {
            Status::data_loss(format!(
                "the archive of this snapshot cannot be read: {error}"
            ))
        })?;
        Ok(Response::new(Box::pin(chunks(file))))
    }
}
