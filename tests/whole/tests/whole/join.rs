//! Who gets in, and who does not.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use firstlook_desk::{Desk, TokenHash};
use firstlook_enrol::{Authority, JoinToken};
use firstlook_model::{HostId, Timestamp};
use firstlook_proto::wire;
use firstlook_proto::wire::enrolment_client::EnrolmentClient;
use firstlook_uplink::Identity;
use firstlook_whole::house::now;
use firstlook_whole::papers::signing_request;
use firstlook_whole::{House, Line, Papers};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tonic::Code;

const HANDSHAKES: &str = "firstlook_enrol_failed_handshakes_total";
const SESSIONS: &str = "firstlook_ingest_refused_sessions_total";

fn desk(house: &House) -> Desk {
    Desk::open(house.data().join("desk.sqlite")).unwrap()
}

#[test]
fn a_token_lets_one_host_in_once() {
    let house = House::open();
    let token = house.token();
    let first = house.join(&house.agents_url(), &token, "h1");
    assert_eq!(first.code, 0, "{}", first.err);
    let second = house.join(&house.agents_url(), &token, "h2");
    assert_eq!(second.code, 4, "{}", second.err);
    let why =
        "join token refused: it was used already; make another with `firstlook tokens create`";
    assert!(second.err.contains(why), "{}", second.err);
    assert!(!Identity::exists(&house.path("h2")));
    let hosts = house.ask_json("hosts", &["hosts"]);
    assert_eq!(hosts["hosts"].as_array().map(Vec::len), Some(1), "{hosts}");
    assert_eq!(hosts["hosts"][0]["host"], "h1");
    assert_eq!(
        house.ask_json("tokens", &["tokens", "list"])["tokens"][0]["state"],
        "used"
    );
}

#[test]
fn expired_revoked_and_malformed_tokens_are_refused_with_the_reason() {
    let house = House::open();
    let late = JoinToken::draw(house.authority().fingerprint().to_owned()).unwrap();
    let hour_ago = now().minus(Duration::from_secs(3_600));
    let ended = hour_ago.plus(Duration::from_secs(600));
    let hash = TokenHash::of(&late.hash());
    desk(&house)
        .tokens()
        .create(hash, "ana", hour_ago, ended, None)
        .unwrap();
    let revoked = house.token();
    let tokens = house.ask_json("tokens", &["tokens", "list"]);
    let all = tokens["tokens"].as_array().unwrap();
    let valid = all.iter().find(|token| token["state"] == "valid").unwrap();
    let id = valid["id"].as_str().unwrap();
    assert_eq!(house.ask(&["tokens", "revoke", id]).code, 0);
    for (code, token, why) in [
        (4, late.reveal(), "it has expired"),
        (4, revoked, "it was revoked"),
        (2, "flj1.x.y".to_owned(), "not a join token"),
    ] {
        let refused = house.join(&house.agents_url(), &token, "h1");
        assert_eq!(refused.code, code, "{why}");
        assert!(refused.err.contains(why), "{}", refused.err);
        assert!(!Identity::exists(&house.path("h1")), "{why}");
    }
}

/// Says that it is a collector, and keeps what it hears after the handshake.
struct Impostor {
    url: String,
    heard: Arc<Mutex<Vec<u8>>>,
    met: Arc<Mutex<u32>>,
    _tasks: JoinSet<()>,
}

impl Impostor {
    async fn with_chain(chain: &[&str], key: &str) -> Self {
        let chain = chain
            .iter()
            .map(|pem| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap());
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let builder = ServerConfig::builder().with_no_client_auth();
        let mut config = builder.with_single_cert(chain.collect(), key).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let (heard, met) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(0)));
        let (keeps, counts) = (Arc::clone(&heard), Arc::clone(&met));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                *counts.lock().unwrap() += 1;
                let Ok(mut stream) = acceptor.accept(socket).await else {
                    continue;
                };
                let mut said = [0; 4_096];
                while let Ok(count @ 1..) = stream.read(&mut said).await {
                    keeps.lock().unwrap().extend_from_slice(&said[..count]);
                }
            }
        });
        Self {
            url,
            heard,
            met,
            _tasks: tasks,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_secret_is_said_to_nobody_but_the_tokens_own_collector() {
    let house = House::open();
    let token = house.token();
    let folder = tempfile::tempdir().unwrap();
    let foreign = Authority::open(folder.path(), now()).unwrap();
    let (server, key) = foreign
        .issue_server(&["127.0.0.1".to_owned()], now())
        .unwrap();
    let own = house.authority();
    // The authority's certificate is no secret: anyone may send it along.
    for authority in [foreign.certificate_pem(), own.certificate_pem()] {
        let impostor = Impostor::with_chain(&[&server.certificate_pem, authority], &key).await;
        let refused = house.join(&impostor.url, &token, "h1");
        assert_eq!(refused.code, 4, "{}", refused.err);
        let why = "is not the collector that made this token";
        assert!(refused.err.contains(why), "{}", refused.err);
        assert_eq!(*impostor.met.lock().unwrap(), 1);
        assert!(impostor.heard.lock().unwrap().is_empty());
        assert!(!Identity::exists(&house.path("h1")));
    }
    let joined = house.join(&house.agents_url(), &token, "h1");
    assert_eq!(joined.code, 0, "the token is still good: {}", joined.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_and_expired_certificates_are_refused_and_counted() {
    let house = House::open();
    let admitted = house.admit("h1");
    let folder = tempfile::tempdir().unwrap();
    let (foreign, own) = (
        Authority::open(folder.path(), now()).unwrap(),
        house.authority(),
    );
    let long_ago = now().minus(Duration::from_secs(40 * 86_400));
    let before = house.counter(HANDSHAKES);
    for (count, papers) in [
        Papers::of_host(&foreign, "h1", now()).believing(own.certificate_pem()),
        Papers::of_host(&own, "h1", long_ago),
    ]
    .into_iter()
    .enumerate()
    {
        // In TLS 1.3 a client is told after its handshake is done.
        if let Ok(channel) = papers.channel(&house.agents_url()).await {
            assert!(Line::open(channel).await.is_err());
        }
        house.counted(HANDSHAKES, before + 1 + count as u64);
    }
    let good = admitted.channel(&house.agents_url()).await.unwrap();
    assert!(Line::greeted(good, 1).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_certificate_opens_its_own_door_only() {
    let house = House::open();
    let host = house.admit("h1");
    let folder = host.write(house.path("host-credentials"));
    let asked = house.ask_as(&folder, &["hosts"]);
    assert_eq!((asked.code, &*asked.out), (4, ""), "{}", asked.err);

    let responder = Papers::of_responder(&house.authority(), "ana", now());
    let ghost = house.papers("ghost");
    let url = house.agents_url();
    for (channel, code) in [
        (
            host.anonymous_channel(&url).await.unwrap(),
            Code::Unauthenticated,
        ),
        (
            responder.channel(&url).await.unwrap(),
            Code::Unauthenticated,
        ),
        (ghost.channel(&url).await.unwrap(), Code::PermissionDenied),
    ] {
        assert_eq!(
            Line::open(channel).await.err().map(|status| status.code()),
            Some(code)
        );
    }
    house.counted(SESSIONS, 3);
    let renewal = |papers: Papers| {
        let url = url.clone();
        async move {
            let mut client = EnrolmentClient::new(papers.channel(&url).await.unwrap());
            let csr_pem = signing_request().1;
            client
                .renew(wire::RenewRequest { csr_pem })
                .await
                .map(|reply| reply.into_inner())
        }
    };
    assert_eq!(
        renewal(responder).await.unwrap_err().code(),
        Code::Unauthenticated
    );
    assert_eq!(
        renewal(ghost).await.unwrap_err().code(),
        Code::PermissionDenied
    );
    assert!(
        renewal(host)
            .await
            .unwrap()
            .certificate_pem
            .contains("BEGIN CERTIFICATE")
    );
}

#[test]
fn a_name_is_taken_over_only_with_a_token_for_it() {
    let house = House::open();
    house.admit("h1");
    let joined = |name: &str, token: &str, folder: &str| {
        std::fs::create_dir_all(house.path(folder)).unwrap();
        join_in(&house, &house.path(folder), name, token)
    };
    let token = house.token();
    let taken = joined("h1", &token, "second");
    assert!(taken.contains("a host named h1 is enrolled"), "{taken}");
    let conflict = house.ask(&["tokens", "create", "--host", "h1"]);
    assert_eq!(conflict.code, 5, "{}", conflict.err);
    let bound = house.ask_json("token", &["tokens", "create", "--host", "h1", "--replace"]);
    let replaced = joined("anything", bound["token"].as_str().unwrap(), "second");
    assert_eq!(replaced, "");
    assert_eq!(
        Identity::load(&house.path("second")).unwrap().host.as_str(),
        "h1"
    );
    assert_eq!(
        joined("h2", &token, "third"),
        "",
        "the first token was not used up"
    );
}

/// What a join in this process says is wrong; empty when nothing is.
fn join_in(house: &House, folder: &Path, name: &str, token: &str) -> String {
    let request = firstlook_uplink::JoinRequest {
        collector: house.agents_url(),
        token: token.to_owned(),
        name: HostId::new(name).unwrap(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let joined = runtime.block_on(firstlook_uplink::join(request, folder));
    joined.map_or_else(|error| error.to_string(), |_| String::new())
}

#[test]
fn a_certificate_lasts_a_day() {
    let house = House::open();
    house.admit("h1");
    let hosts = house.ask_json("hosts", &["hosts"]);
    let expires: Timestamp =
        serde_json::from_value(hosts["hosts"][0]["certificate_expires"].clone()).unwrap();
    let left = expires.seconds_from(now());
    assert!((86_000.0..=86_400.0).contains(&left), "{left} s");
}
