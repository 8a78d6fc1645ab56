//! The agent service: one long stream per host.

use std::sync::Arc;
use std::time::Duration;

use firstlook_model::{HostId, Peer, Timestamp};
use firstlook_proto::wire;
use firstlook_proto::wire::agent_server::Agent;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::counters::IngestCounters;
use crate::ledger::Ledger;
use crate::session;
use crate::sessions::Sessions;

/// Limits on every session.
#[derive(Clone, Copy, Debug)]
pub struct SessionLimits {
    /// The first message must come within this.
    pub hello_timeout: Duration,
    /// A session that says nothing for this long is over; agents speak every second.
    pub silence: Duration,
    /// Largest message, in bytes.
    pub message_bytes: usize,
    /// Most records in one message.
    pub records: usize,
    /// Window over which agents spread their reconnects.
    pub reconnect_window: Duration,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            hello_timeout: Duration::from_secs(10),
            silence: Duration::from_secs(30),
            message_bytes: 8 * 1024 * 1024,
            records: 4_096,
            reconnect_window: Duration::from_secs(5),
        }
    }
}

/// Messages waiting to be sent to one agent: acknowledgements, mostly, and each makes the last one void.
const OUTGOING_CAPACITY: usize = 64;

/// Serves `firstlook.v1.Agent`.
pub struct AgentService<L> {
    shared: Arc<Shared<L>>,
    /// The sessions' tasks; dropping the service ends them.
    tasks: tokio::sync::Mutex<JoinSet<()>>,
}

pub(crate) struct Shared<L> {
    pub ledger: Arc<L>,
    pub sessions: Sessions,
    pub limits: SessionLimits,
    pub counters: Arc<IngestCounters>,
    pub clock: fn() -> Timestamp,
}

/// Who speaks, by which certificate.
pub(crate) struct Showing {
    pub host: HostId,
    pub expires: Timestamp,
    pub fingerprint: String,
}

impl Showing {
    /// Refuses whom the ledger does not admit now.
    pub(crate) async fn admitted<L: Ledger>(&self, shared: &Shared<L>) -> Result<(), Status> {
        let (ledger, host) = (Arc::clone(&shared.ledger), self.host.clone());
        let fingerprint = self.fingerprint.clone();
        let admitted = tokio::task::spawn_blocking(move || ledger.admits(&host, &fingerprint));
        if admitted.await.unwrap_or(false) {
            return Ok(());
        }
        IngestCounters::add(&shared.counters.refused_sessions, 1);
        Err(Status::permission_denied(format!(
            "host {} is revoked or was never enrolled, or its certificate is of before it joined \
             again: join it again with a new token",
            self.host
        )))
    }
}

impl<L: Ledger> AgentService<L> {
    /// Takes in for `ledger`.
    pub fn new(
        ledger: Arc<L>,
        sessions: Sessions,
        limits: SessionLimits,
        counters: Arc<IngestCounters>,
        clock: fn() -> Timestamp,
    ) -> Self {
        let shared = Shared {
            ledger,
            sessions,
            limits,
            counters,
            clock,
        };
        Self {
            shared: Arc::new(shared),
            tasks: tokio::sync::Mutex::new(JoinSet::new()),
        }
    }
}

#[tonic::async_trait]
impl<L: Ledger> Agent for AgentService<L> {
    type SessionStream = ReceiverStream<Result<wire::CollectorMessage, Status>>;

    async fn session(
        &self,
        request: Request<Streaming<wire::AgentMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let Some(Peer::Host {
            host,
            expires,
            fingerprint,
        }) = request.extensions().get::<Peer>().cloned()
        else {
            IngestCounters::add(&self.shared.counters.refused_sessions, 1);
            return Err(Status::unauthenticated(
                "a session needs a host's certificate",
            ));
        };
        let showing = Showing {
            host,
            expires,
            fingerprint,
        };
        showing.admitted(&self.shared).await?;
        let (outgoing, stream) = mpsc::channel(OUTGOING_CAPACITY);
        let run = session::run(
            Arc::clone(&self.shared),
            showing,
            request.into_inner(),
            outgoing,
        );
        let mut tasks = self.tasks.lock().await;
        while tasks.try_join_next().is_some() {}
        tasks.spawn(run);
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}
