//! A collector in the hands of a test: the service as generated, a pipe in memory instead of a network.

use firstlook_proto::wire;
use firstlook_proto::wire::agent_message::Kind as Say;
use firstlook_proto::wire::agent_server::{Agent, AgentServer};
use firstlook_proto::wire::collector_message::Kind as Hear;
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status, Streaming};

/// The far end of a channel. Dropping it ends every session.
pub(super) struct Collector {
    visits: mpsc::Receiver<Visit>,
    _server: JoinSet<()>,
}

/// One session, as the collector has it.
pub(super) struct Visit {
    said: Streaming<wire::AgentMessage>,
    answers: mpsc::Sender<Result<wire::CollectorMessage, Status>>,
}

/// A channel and the collector at its end.
pub(super) async fn link() -> (Channel, Collector) {
    let (near, far) = tokio::io::duplex(256 * 1024);
    let (arrivals, visits) = mpsc::channel(1);
    let service = AgentServer::new(Door(arrivals)).max_decoding_message_size(8 * 1024 * 1024);
    let incoming = tokio_stream::iter([Ok::<_, std::io::Error>(far)]);
    let mut server = JoinSet::new();
    server.spawn(async move {
        let served = Server::builder()
            .add_service(service)
            .serve_with_incoming(incoming);
        served.await.unwrap();
    });
    let mut near = Some(near);
    let connector = tower::service_fn(move |_: http::Uri| {
        let near = near
            .take()
            .ok_or_else(|| std::io::Error::other("one connection only"));
        async move { Ok::<_, std::io::Error>(TokioIo::new(near?)) }
    });
    let endpoint = Endpoint::from_static("http://collector");
    let channel = endpoint.connect_with_connector(connector).await.unwrap();
    (
        channel,
        Collector {
            visits,
            _server: server,
        },
    )
}

struct Door(mpsc::Sender<Visit>);

#[tonic::async_trait]
impl Agent for Door {
    type SessionStream = ReceiverStream<Result<wire::CollectorMessage, Status>>;

    async fn session(
        &self,
        request: Request<Streaming<wire::AgentMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let (answers, stream) = mpsc::channel(64);
        let visit = Visit {
            said: request.into_inner(),
            answers,
        };
        self.0
            .send(visit)
            .await
            .map_err(|_| Status::cancelled("the test is over"))?;
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

impl Collector {
    pub(super) async fn visit(&mut self) -> Visit {
        self.visits.recv().await.unwrap()
    }
}

impl Visit {
    pub(super) async fn next(&mut self) -> wire::AgentMessage {
        self.said
            .message()
            .await
            .unwrap()
            .expect("the agent goes on")
    }

    /// Waits until the agent is gone.
    pub(super) async fn closed(&mut self) {
        while let Ok(Some(_)) = self.said.message().await {}
    }

    pub(super) async fn hello(&mut self) -> wire::Hello {
        match self.next().await.kind {
            Some(Say::Hello(hello)) => hello,
            other => panic!("a session begins with Hello, not {other:?}"),
        }
    }

    /// The next records, over heartbeats.
    pub(super) async fn records(&mut self) -> wire::RecordBatch {
        loop {
            if let Some(Say::Records(batch)) = self.next().await.kind {
                return batch;
            }
        }
    }

    pub(super) async fn heartbeat(&mut self) -> wire::Heartbeat {
        loop {
            if let Some(Say::Heartbeat(heartbeat)) = self.next().await.kind {
                return heartbeat;
            }
        }
    }

    pub(super) async fn next_is_heartbeat(&mut self) -> bool {
        matches!(self.next().await.kind, Some(Say::Heartbeat(_)))
    }

    pub(super) async fn piece(&mut self) -> wire::SnapshotPiece {
        loop {
            if let Some(Say::Snapshot(piece)) = self.next().await.kind {
                return piece;
            }
        }
    }

    pub(super) async fn welcome(&self, acknowledged: u64) {
        let welcome = wire::Welcome {
            acknowledged,
            reconnect_window_ms: 1_000,
        };
        self.say(Hear::Welcome(welcome)).await;
    }

    pub(super) async fn acknowledge(&self, epoch: u64, sequence: u64) {
        self.say(Hear::Acknowledgement(wire::Acknowledgement {
            epoch,
            sequence,
        }))
        .await;
    }

    pub(super) async fn configure(&self, version: u64, text: &str) {
        self.say(Hear::Configure(wire::Configure {
            version,
            text: text.to_owned(),
        }))
        .await;
    }

    pub(super) async fn configured(&mut self) -> wire::Configured {
        loop {
            if let Some(Say::Configured(said)) = self.next().await.kind {
                return said;
            }
        }
    }

    pub(super) async fn say_nothing_known(&self) {
        let _ = self
            .answers
            .send(Ok(wire::CollectorMessage { kind: None }))
            .await;
    }

    pub(super) async fn slow(&self, wait_ms: u32) {
        self.say(Hear::Slow(wire::Slow { wait_ms })).await;
    }

    pub(super) async fn ask_snapshot(&self, request: u64, id: &str) {
        self.say(Hear::TakeSnapshot(wire::TakeSnapshot {
            request,
            snapshot_id: id.to_owned(),
            reason: "test".to_owned(),
            limit_bytes: 1 << 20,
        }))
        .await;
    }

    pub(super) async fn ask_lines(&self, request: u64, component: &str, to: i64) {
        self.say(Hear::ReadLines(wire::ReadLines {
            request,
            component: component.to_owned(),
            from: 5,
            to,
            limit: 9,
            contains: "refused".to_owned(),
            ..wire::ReadLines::default()
        }))
        .await;
    }

    /// Ends the session, with a status or by closing the stream.
    pub(super) async fn end(self, says_why: bool) {
        if says_why {
            // The agent may be gone already.
            let _ = self
                .answers
                .send(Err(Status::unavailable("stopping")))
                .await;
        }
    }

    async fn say(&self, kind: Hear) {
        let message = wire::CollectorMessage { kind: Some(kind) };
        // The agent may be gone already.
        let _ = self.answers.send(Ok(message)).await;
    }
}
