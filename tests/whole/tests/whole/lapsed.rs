//! Certificates that ended while a host was off: renewed within a window by whoever holds the last one, and by nobody
//! else.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use firstlook_desk::{Certificate, Desk};
use firstlook_enrol::Authority;
use firstlook_model::HostId;
use firstlook_proto::wire;
use firstlook_proto::wire::enrolment_client::EnrolmentClient;
use firstlook_whole::house::now;
use firstlook_whole::papers::signing_request;
use firstlook_whole::{Host, House, Line, Papers, until};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::ResolvesClientCert;
use tokio_rustls::rustls::crypto::ring::sign::any_supported_type;
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SignatureScheme};
use tonic::{Code, Status};

const HANDSHAKES: &str = "firstlook_enrol_failed_handshakes_total";
const DAY: Duration = Duration::from_secs(86_400);

fn desk(house: &House) -> Desk {
    Desk::open(house.data().join("desk.sqlite")).unwrap()
}

fn h1() -> HostId {
    HostId::new("h1").unwrap()
}

/// Papers of h1 that ended `since` ago, which the desk knows as its last ones.
fn lapsed(house: &House, since: Duration) -> Papers {
    let authority = house.authority();
    let (key_pem, request) = signing_request();
    let begun = now().minus(since + DAY);
    let issued = authority.issue_host(&request, &h1(), begun).unwrap();
    let certificate = Certificate {
        serial: issued.serial,
        fingerprint: issued.fingerprint,
        expires: issued.expires,
    };
    let desk = desk(house);
    let shown = desk.hosts().get(&h1()).unwrap().unwrap().certificate;
    desk.hosts()
        .renew(&h1(), &shown.fingerprint, &certificate, begun)
        .unwrap();
    Papers {
        key_pem,
        certificate_pem: issued.certificate_pem,
        authority_pem: authority.certificate_pem().to_owned(),
    }
}

/// A renewal with `papers`: the new ones.
async fn renewed(house: &House, papers: &Papers) -> Result<Papers, Status> {
    let channel = papers
        .channel(&house.agents_url())
        .await
        .map_err(|error| Status::unavailable(error.to_string()))?;
    let (key_pem, csr_pem) = signing_request();
    let reply = EnrolmentClient::new(channel)
        .renew(wire::RenewRequest { csr_pem })
        .await?
        .into_inner();
    Ok(Papers {
        key_pem,
        certificate_pem: reply.certificate_pem,
        authority_pem: reply.authority_pem,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_certificate_of_a_host_is_renewed_once_and_opens_nothing_else() {
    let house = House::open();
    house.admit("h1");
    let old = lapsed(&house, 29 * DAY);
    let channel = old.channel(&house.agents_url()).await.unwrap();
    let session = Line::open(channel).await.err().unwrap();
    assert_eq!(session.code(), Code::Unauthenticated);
    let folder = old.write(house.path("host-credentials"));
    let asked = house.ask_as(&folder, &["hosts"]);
    assert_eq!(&*asked.out, "", "{}", asked.err);
    assert_ne!(asked.code, 0);

    let new = renewed(&house, &old).await.unwrap();
    let channel = new.channel(&house.agents_url()).await.unwrap();
    assert!(Line::greeted(channel, 1).await.is_ok());
    house.counted("firstlook_enrol_lapsed_certificates_total", 2);

    let again = renewed(&house, &old).await.err().unwrap();
    assert_eq!(again.code(), Code::PermissionDenied);
    assert!(
        again
            .message()
            .contains("firstlook tokens create --host h1 --replace"),
        "{again}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_ended_too_long_ago_or_is_anothers_ends_at_the_handshake() {
    let house = House::open();
    house.admit("h1");
    let folder = tempfile::tempdir().unwrap();
    let foreign = Authority::open(folder.path(), now().minus(9 * DAY)).unwrap();
    let own = house.authority();
    let before = house.counter(HANDSHAKES);
    let strangers = [
        lapsed(&house, 31 * DAY),
        Papers::of_host(&foreign, "h1", now().minus(3 * DAY)).believing(own.certificate_pem()),
        Papers::of_responder(&own, "ana", now().minus(370 * DAY)),
    ];
    for (papers, refused) in strangers.into_iter().zip(1..) {
        assert!(renewed(&house, &papers).await.is_err());
        house.counted(HANDSHAKES, before + refused);
    }
    assert_eq!(
        house.counter("firstlook_enrol_lapsed_certificates_total"),
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_host_does_not_return() {
    let house = House::open();
    house.admit("h1");
    let old = lapsed(&house, DAY);
    let revoked = house.ask(&["hosts", "revoke", "h1"]);
    assert_eq!(revoked.code, 0, "{}", revoked.err);
    let refused = renewed(&house, &old).await.err().unwrap();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(refused.message().contains("is revoked"), "{refused}");
}

/// Shows a certificate whatever key it has.
#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);

impl ResolvesClientCert for Shows {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_without_its_key_is_worth_nothing() {
    let house = House::open();
    house.admit("h1");
    let old = lapsed(&house, DAY);
    let der = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let wrong = PrivateKeyDer::from_pem_slice(signing_request().0.as_bytes()).unwrap();
    let shown = CertifiedKey::new(
        vec![der(&old.certificate_pem)],
        any_supported_type(&wrong).unwrap(),
    );
    let mut roots = RootCertStore::empty();
    roots.add(der(&old.authority_pem)).unwrap();
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_client_cert_resolver(Arc::new(Shows(Arc::new(shown))));
    let before = house.counter(HANDSHAKES);
    let socket = TcpStream::connect(("127.0.0.1", house.agents_port()))
        .await
        .unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    // In TLS 1.3 a client is told after its handshake is done.
    let connected = TlsConnector::from(Arc::new(config))
        .connect(name, socket)
        .await;
    if let Ok(mut stream) = connected {
        assert!(stream.read_u8().await.is_err());
    }
    house.counted(HANDSHAKES, before + 1);
    assert_eq!(
        house.counter("firstlook_enrol_lapsed_certificates_total"),
        0
    );
}

/// Gives an agent that is stopped other papers.
fn hand(papers: &Papers, state_dir: &Path) {
    let path = state_dir.join("identity.pem");
    let parts = [
        &*papers.key_pem,
        &*papers.certificate_pem,
        &*papers.authority_pem,
    ];
    std::fs::write(&path, parts.join("# ----\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn reports(house: &House, what: &str) {
    until(what, || {
        let hosts = house.ask_json("hosts", &["hosts", "h1"]);
        (hosts["hosts"][0]["state"] == "reporting").then_some(())
    });
}

#[test]
fn an_agent_that_was_off_for_days_returns_by_itself_and_after_weeks_says_how() {
    let house = House::open();
    let mut host = Host::join(&house, "h1");
    host.settled();
    host.stop();
    hand(&lapsed(&house, 3 * DAY), host.state_dir());
    host.start();
    host.settled();
    assert!(host.agent().said().contains("certificate renewed"));
    host.stop();

    hand(&lapsed(&house, 31 * DAY), host.state_dir());
    host.start();
    let how = "make a token with `firstlook tokens create --host h1 --replace`, join again here with it, and restart \
               the agent";
    until("what to do", || {
        host.agent().said().contains(how).then_some(())
    });
    host.stop();
    let token = house.ask_json("token", &["tokens", "create", "--host", "h1", "--replace"]);
    let token = token["token"].as_str().unwrap();
    let joined = house.join(&house.agents_url(), token, "h1");
    assert_eq!(joined.code, 0, "{}", joined.err);
    host.start();
    host.settled();
    reports(&house, "a host that joined again");
    let again = house.join(&house.agents_url(), &house.token(), "h1");
    assert_eq!(
        again.code, 5,
        "a good identity is not thrown away: {}",
        again.err
    );
}
