//! Peers that connect and say nothing are gone in bounded time. Most limits are long in the collector and short
//! here: the same listener and service, in this process.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use firstlook_enrol::{Authority, ListenerCounters, ListenerLimits, incoming, server_config};
use firstlook_ingest::{
    AgentService, Incoming, IngestCounters, Ledger, LedgerError, SessionLimits, Sessions,
};
use firstlook_model::{ConfigReport, Epoch, HostId, Sequence, Timestamp, WantedConfig};
use firstlook_proto::wire::agent_server::AgentServer;
use firstlook_whole::house::now;
use firstlook_whole::line::hello;
use firstlook_whole::{House, LONG, Line, Papers};
use rustls_pki_types::ServerName;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::Code;
use tonic::transport::Server;

const SHORT: Duration = Duration::from_millis(300);

/// Takes everything and keeps nothing.
struct Sink;

impl Ledger for Sink {
    fn admits(&self, _: &HostId, _: &str) -> bool {
        true
    }

    fn acknowledged(&self, _: &HostId, _: Epoch) -> Result<Sequence, LedgerError> {
        Ok(Sequence(0))
    }

    fn commit(
        &self,
        _: &HostId,
        _: Epoch,
        batch: Vec<Incoming>,
        _: Timestamp,
    ) -> Result<Sequence, LedgerError> {
        Ok(batch.last().map_or(Sequence(0), |last| last.sequence))
    }

    fn contact(&self, _: &HostId, _: Timestamp, _: Option<Timestamp>) {}

    fn wanted(&self, _: &HostId) -> Result<Option<WantedConfig>, LedgerError> {
        Ok(None)
    }

    fn configured(&self, _: &HostId, _: ConfigReport, _: Timestamp) -> Result<(), LedgerError> {
        Ok(())
    }
}

/// The door for agents, impatient.
struct Door {
    authority: Authority,
    port: u16,
    listener: Arc<ListenerCounters>,
    sessions: Arc<IngestCounters>,
    _folder: TempDir,
    _tasks: JoinSet<()>,
}

impl Door {
    async fn open(limits: ListenerLimits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::open(folder.path(), now()).unwrap();
        let (server, key) = authority
            .issue_server(&["127.0.0.1".to_owned()], now())
            .unwrap();
        let tls = server_config(
            &server.certificate_pem,
            &key,
            authority.certificate_pem(),
            Duration::ZERO,
        )
        .unwrap();
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let listener = Arc::new(ListenerCounters::default());
        let (accept, connections) = incoming(socket, tls, limits, Arc::clone(&listener));
        let limits = SessionLimits {
            hello_timeout: SHORT,
            silence: SHORT,
            ..SessionLimits::default()
        };
        let sessions = Arc::new(IngestCounters::default());
        let counters = Arc::clone(&sessions);
        let service = AgentService::new(Arc::new(Sink), Sessions::default(), limits, counters, now);
        let router = Server::builder().add_service(AgentServer::new(service));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept);
        tasks.spawn(async move {
            router.serve_with_incoming(connections).await.unwrap();
        });
        Self {
            authority,
            port,
            listener,
            sessions,
            _folder: folder,
            _tasks: tasks,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).await.unwrap()
    }
}

async fn tls(
    papers: &Papers,
    anonymous: bool,
    socket: TcpStream,
) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from("127.0.0.1").unwrap();
    TlsConnector::from(papers.client_config(anonymous))
        .connect(name, socket)
        .await
}

/// Reads to the end of the connection, which must come.
async fn ends(mut stream: impl AsyncRead + Unpin) {
    let mut said = Vec::new();
    // An abrupt end is an end.
    let _ = timeout(LONG, stream.read_to_end(&mut said))
        .await
        .expect("the connection stays open");
}

#[tokio::test]
async fn a_connection_without_a_handshake_ends() {
    let limits = ListenerLimits {
        handshake_timeout: SHORT,
        ..ListenerLimits::default()
    };
    let door = Door::open(limits).await;
    ends(door.connect().await).await;
    let mut rude = door.connect().await;
    rude.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    ends(rude).await;
    assert_eq!(door.listener.handshakes_failed.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_connection_without_a_certificate_ends_and_there_are_few() {
    let limits = ListenerLimits {
        anonymous: 2,
        anonymous_lifetime: SHORT,
        ..ListenerLimits::default()
    };
    let door = Door::open(limits).await;
    let papers = Papers::of_host(&door.authority, "h1", now());
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(tls(&papers, true, door.connect().await).await.unwrap());
    }
    for stream in open {
        ends(stream).await;
    }
    assert_eq!(door.listener.over_cap.load(Ordering::Relaxed), 1);
    ends(tls(&papers, true, door.connect().await).await.unwrap()).await;
    assert_eq!(
        door.listener.over_cap.load(Ordering::Relaxed),
        1,
        "there is room again"
    );
}

#[tokio::test]
async fn a_session_that_says_nothing_ends() {
    let door = Door::open(ListenerLimits::default()).await;
    let papers = Papers::of_host(&door.authority, "h1", now());
    let channel = papers
        .channel(&format!("https://127.0.0.1:{}", door.port))
        .await
        .unwrap();
    let mut line = Line::open(channel.clone()).await.unwrap();
    assert_eq!(line.refusal().await.code(), Code::FailedPrecondition);
    let mut line = Line::open(channel).await.unwrap();
    line.say(hello(1)).await;
    assert!(line.hear().await.unwrap().is_some(), "a welcome");
    assert_eq!(line.refusal().await.code(), Code::DeadlineExceeded);
    assert_eq!(door.sessions.silent_sessions.load(Ordering::Relaxed), 2);
}

/// With the collector's own limits, for it is its server that must watch: a certified peer that says `greeting`
/// after its handshake, and nothing more, not even to a ping.
async fn gone_after(greeting: &[u8]) {
    let house = House::open();
    let papers = house.admit("h1");
    let socket = TcpStream::connect(("127.0.0.1", house.agents_port()))
        .await
        .unwrap();
    let mut stream = tls(&papers, false, socket).await.unwrap();
    stream.write_all(greeting).await.unwrap();
    ends(stream).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certified_peer_that_says_nothing_after_its_handshake_is_gone_within_a_minute() {
    gone_after(b"").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certified_peer_that_stops_in_the_middle_of_its_greeting_is_gone_within_a_minute() {
    gone_after(b"PRI * HTTP/2.0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certified_peer_that_answers_no_ping_is_gone_within_a_minute() {
    // HTTP/2's preface and empty settings.
    gone_after(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
}
