use std::sync::Mutex;

use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::PrivateKeyDer;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

fn shop() -> ComponentId {
    "service:h1/shop.service".parse().unwrap()
}

/// A server with a certificate that ends in so many days; with `strict` it wants to see one of the client's too.
fn acceptor(days: i64, strict: bool) -> TlsAcceptor {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_after = time::OffsetDateTime::now_utc() + time::Duration::days(days);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = match strict {
        true => builder.with_client_cert_verifier(clients.build().unwrap()),
        false => builder.with_no_client_auth(),
    };
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = builder.with_single_cert(vec![certificate.der().clone()], key);
    TlsAcceptor::from(Arc::new(config.unwrap()))
}

fn days_left(at: Timestamp) -> f64 {
    let now = time::OffsetDateTime::now_utc().unix_timestamp() as f64;
    (at.as_micros() as f64 / 1e6 - now) / 86_400.0
}

/// What one look at a listener finds.
async fn seen(listener: &TcpListener, ports: Vec<u16>) -> Vec<(ComponentId, Place, Timestamp)> {
    let at = listener.local_addr().unwrap();
    look(&Served {
        ports,
        listening: Arc::new(move || vec![(at, shop())]),
        expiries: Expiries::default(),
        strain: StrainGauge::default(),
    })
    .await
}

#[tokio::test]
async fn what_a_service_shows_is_told_even_if_it_then_wants_a_certificate_of_ours() {
    for strict in [false, true] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let acceptor = acceptor(40, strict);
        let serve = async {
            let (peer, _) = listener.accept().await.unwrap();
            if let Ok(mut peer) = acceptor.accept(peer).await {
                let _ = peer.read(&mut [0; 16]).await;
            }
        };
        let (found, ()) = tokio::join!(seen(&listener, vec![443, port]), serve);
        assert_eq!(found.len(), 1, "strict: {strict}");
        assert_eq!((&found[0].0, &found[0].1), (&shop(), &Place::Port(port)));
        assert!((days_left(found[0].2) - 40.0).abs() < 0.1);
    }
}

#[tokio::test]
async fn nobody_is_asked_on_a_port_that_is_not_declared() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    assert_eq!(seen(&listener, vec![1]).await, []);
    let asked = timeout(Duration::from_millis(1), listener.accept()).await;
    assert!(asked.is_err());
}

#[tokio::test]
async fn who_speaks_something_else_shows_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = async {
        let (mut peer, _) = listener.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut peer, b"220 mail ready\r\n")
            .await
            .unwrap();
    };
    let (found, ()) = tokio::join!(seen(&listener, vec![port]), serve);
    assert_eq!(found, []);
}

#[tokio::test(start_paused = true)]
async fn a_suffering_host_is_not_asked_and_what_was_seen_stays() {
    let asked = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&asked);
    let what = Served {
        ports: vec![443],
        listening: Arc::new(move || {
            *counted.lock().unwrap() += 1;
            Vec::new()
        }),
        expiries: Expiries::default(),
        strain: StrainGauge::default(),
    };
    what.expiries.tell(
        Finder::Ports,
        [(shop(), Place::Port(443), Timestamp::from_secs(9))],
    );
    what.strain.set(Strain::Eased);
    let stop = CancellationToken::new();
    let told = what.expiries.clone();
    let strain = what.strain.clone();
    let watch = async {
        tokio::time::sleep(FIRST_AFTER + LOOK_EVERY).await;
        assert_eq!((*asked.lock().unwrap(), told.columns().1), (0, vec![9.0]));
        strain.set(Strain::Calm);
        tokio::time::sleep(LOOK_EVERY + DEADLINE).await;
        // Nobody listens there any more.
        assert_eq!((*asked.lock().unwrap(), told.columns().1), (1, vec![]));
        stop.cancel();
    };
    tokio::join!(served(what, stop.clone()), watch);
}

#[test]
fn who_is_bound_to_every_address_is_found_on_loopback() {
    for (at, found) in [
        ("0.0.0.0:443", "127.0.0.1:443"),
        ("[::]:443", "[::1]:443"),
        ("192.0.2.1:443", "192.0.2.1:443"),
    ] {
        assert_eq!(reachable(at.parse().unwrap()).to_string(), found);
    }
}
