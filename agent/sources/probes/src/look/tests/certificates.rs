//! Peers with certificates of all sorts.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;

use super::super::tls::Authorities;
use super::*;

/// An authority, and the file of certificates to trust that holds it.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let authority = Self {
            issuer,
            folder: tempfile::tempdir().unwrap(),
        };
        std::fs::write(authority.file(), authority.issuer.pem()).unwrap();
        authority
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("trusted.pem")
    }

    /// A certificate for `localhost` that ends in so many days, and its key.
    fn certify(&self, days: i64) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let now = time::OffsetDateTime::now_utc();
        params.not_before = now - time::Duration::days(100);
        params.not_after = now + time::Duration::days(days) + time::Duration::hours(1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        (certificate.into(), key)
    }
}

/// A look at a peer that shows a certificate and answers whatever is asked.
async fn shown(
    target: &str,
    (certificate, key): (CertificateDer<'static>, PrivateKeyDer<'static>),
) -> Found {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let mut looker = looker(&target.replace("PORT", &port));
    let serve = async {
        let (peer, _) = listener.accept().await.unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let Ok(mut peer) = acceptor.accept(peer).await else {
            return;
        };
        let mut request = [0; 4096];
        if matches!(peer.read(&mut request).await, Ok(1..)) {
            let _ = peer.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            let _ = peer.shutdown().await;
        }
    };
    let (found, ()) = tokio::join!(looker.look(), serve);
    found.unwrap()
}

fn target(kind: &str, authority: &Authority, more: &str) -> String {
    let file = authority.file();
    format!(
        "deadline_s = 10\n{kind} = {{ address = \"127.0.0.1:PORT\", ca_file = {file:?}{more} }}"
    )
}

#[tokio::test]
async fn a_certificate_is_up_while_it_is_trusted_and_has_days_left() {
    let authority = Authority::new();
    let named = ", host = \"localhost\"";
    for (days, more, failure) in [
        (30, named, None),
        (3, named, Some(Failure::CertificateEnds)),
        (3, ", host = \"localhost\", min_days = 2", None),
        (-2, named, Some(Failure::CertificateEnds)),
        // The certificate does not bear the address.
        (30, "", Some(Failure::Untrusted)),
        (30, ", verify = false", None),
        (-2, ", verify = false", Some(Failure::CertificateEnds)),
    ] {
        let target = target("tls", &authority, more);
        let found = shown(&target, authority.certify(days)).await;
        assert_eq!(why(&found), failure, "{days} {more}");
        let left = found.sample(Part::CertificateDays);
        assert!((left - days as f64).abs() < 0.1, "{left} of {days}");
    }
}

#[tokio::test]
async fn the_days_of_an_untrusted_certificate_are_told_all_the_same() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let target = target("tls", &ours, ", host = \"localhost\"");
    let found = shown(&target, theirs.certify(30)).await;
    assert_eq!(why(&found), Some(Failure::Untrusted));
    assert!(found.sample(Part::CertificateDays) > 29.0);
}

#[tokio::test]
async fn a_page_over_tls_is_asked_for_only_of_a_trusted_peer() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let target = target("http", &ours, ", tls = true, host = \"localhost\"");
    let found = shown(&target, ours.certify(30)).await;
    assert_eq!((why(&found), found.sample(Part::Status)), (None, 200.0));
    let found = shown(&target, theirs.certify(30)).await;
    assert_eq!(why(&found), Some(Failure::Untrusted));
    assert!(found.sample(Part::Status).is_nan());
}

#[tokio::test]
async fn without_certificates_to_trust_nobody_is_asked() {
    let authority = Authority::new();
    for content in ["", "no certificate"] {
        std::fs::write(authority.file(), content).unwrap();
        let target = target("tls", &authority, "").replace("PORT", "1");
        let found = looker(&target).look().await.unwrap();
        assert_eq!(why(&found), Some(Failure::NoAuthorities));
    }
}

#[test]
fn a_file_that_was_replaced_is_read_again() {
    let (authority, known) = (Authority::new(), Authorities::default());
    let of = |known: &Authorities| known.of(&authority.file()).unwrap();
    assert!(Arc::ptr_eq(&of(&known), &of(&known)));
    let before = of(&known);
    let file = std::fs::File::options().append(true).open(authority.file());
    let later = SystemTime::now() + Duration::from_secs(5);
    file.unwrap().set_modified(later).unwrap();
    assert!(!Arc::ptr_eq(&before, &of(&known)));
}

#[tokio::test]
async fn a_peer_that_speaks_no_tls_has_no_certificate() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let target = format!("tls = {{ address = \"{address}\", verify = false }}");
    let serve = async {
        let (mut peer, _) = listener.accept().await.unwrap();
        let _ = peer.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    };
    let mut looker = looker(&target);
    let (found, ()) = tokio::join!(looker.look(), serve);
    assert_eq!(why(&found.unwrap()), Some(Failure::Handshake));
}
