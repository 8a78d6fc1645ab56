//! TLS sessions, and what certificate a peer showed in them.
//!
//! The certificate is read whether it is trusted or not: when it ends is worth knowing either way. So the handshake
//! takes any, the verdict is kept beside it, and the prober decides by the verdict before it says anything.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use firstlook_model::probe::{Failure, Part};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::net::Names;
use crate::apart::{Apart, Threads};
use crate::config::TlsProbe;
use crate::found::Found;

/// Largest file of certificates to trust; systems' bundles have some 250 KB.
const FILE_LIMIT_BYTES: u64 = 4 * 1024 * 1024;
/// Most certificates of one file.
const AUTHORITIES_LIMIT: usize = 2_000;
const DAY_S: f64 = 86_400.0;

/// Looks until when a certificate is valid.
pub(super) async fn look(
    tls: &TlsProbe,
    names: &mut Names,
    trust: &mut Trust,
) -> Result<Found, Failure> {
    let verifier = trust.verifier(tls.authorities()).await?;
    let stream = names.connect(&tls.address).await?;
    let shown = session(stream, tls.server_name(), verifier).await?.shown;
    let least = f64::from(tls.min_days);
    let ends = (shown.days < least).then_some(Failure::CertificateEnds);
    Ok(Found::of(shown.fault.or(ends))
        .with(Part::CertificateDays, shown.days)
        .with(Part::Expected, least))
}

/// Judges certificates; `None` trusts any.
type Verifier = Option<Arc<WebPkiServerVerifier>>;

/// The files of certificates to trust, each read once until it changes. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Authorities(Arc<Mutex<BTreeMap<PathBuf, Known>>>);

/// When a file was changed, and who judges by it.
type Known = (SystemTime, Arc<WebPkiServerVerifier>);

impl Authorities {
    /// Blocks while the file is read. `None` when it holds nothing to trust.
    pub(super) fn of(&self, path: &Path) -> Verifier {
        let changed = std::fs::metadata(path).and_then(|m| m.modified()).ok()?;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((before, verifier)) = known.get(path)
            && *before == changed
        {
            return Some(Arc::clone(verifier));
        }
        let verifier = read(path)?;
        known.insert(path.to_owned(), (changed, Arc::clone(&verifier)));
        Some(verifier)
    }
}

fn read(path: &Path) -> Verifier {
    let mut pem = Vec::new();
    let file = std::fs::File::open(path).ok()?;
    file.take(FILE_LIMIT_BYTES).read_to_end(&mut pem).ok()?;
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_slice_iter(&pem).take(AUTHORITIES_LIMIT);
    // What is no certificate among them is of no use to anybody.
    roots.add_parsable_certificates(certificates.filter_map(Result::ok));
    let built = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build();
    built.ok()
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Whom one probe believes.
pub(super) struct Trust {
    authorities: Authorities,
    reading: Apart<Verifier>,
}

impl Trust {
    pub fn new(authorities: Authorities, threads: &Threads) -> Self {
        Self {
            authorities,
            reading: Apart::on(threads),
        }
    }

    pub fn hangs(&self) -> bool {
        self.reading.hangs()
    }

    /// Who judges by the authorities of a file; nobody without one.
    pub async fn verifier(&mut self, file: Option<&Path>) -> Result<Verifier, Failure> {
        let Some(file) = file.map(Path::to_owned) else {
            return Ok(None);
        };
        let authorities = self.authorities.clone();
        let read = self.reading.run(move || authorities.of(&file)).await;
        read.flatten().map(Some).ok_or(Failure::NoAuthorities)
    }
}

/// A session with a peer that may not be trusted.
pub(super) struct Session {
    pub stream: TlsStream<TcpStream>,
    pub shown: Shown,
}

/// What a peer showed of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown {
    /// When its certificate ends, in seconds since the epoch.
    pub ends_s: i64,
    /// Days until its certificate ends; negative when it has ended.
    pub days: f64,
    /// Why it is not to be trusted.
    pub fault: Option<Failure>,
}

/// Shakes hands with whatever peer.
pub(super) async fn session(
    stream: TcpStream,
    name: &str,
    verifier: Verifier,
) -> Result<Session, Failure> {
    let name = ServerName::try_from(name.to_owned()).map_err(|_| Failure::Handshake)?;
    let witness = Witness::of(verifier);
    let connector = connector(&witness).map_err(|_| Failure::Handshake)?;
    let stream = connector.connect(name, stream).await;
    let stream = stream.map_err(|_| Failure::Handshake)?;
    let shown = witness.shown().ok_or(Failure::Handshake)?;
    Ok(Session { stream, shown })
}

/// What a peer shows to whom it does not know: the certificate counts even if the handshake then fails, as where the
/// peer wants to see one of ours.
pub(crate) async fn peek(stream: TcpStream, address: IpAddr) -> Option<Shown> {
    let witness = Witness::of(None);
    let connector = connector(&witness).ok()?;
    let _ = connector.connect(address.into(), stream).await;
    witness.shown()
}

fn connector(witness: &Arc<Witness>) -> Result<TlsConnector, Error> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(witness.clone())
        .with_no_client_auth();
    // Each look is a stranger: it shows what a new client would see.
    config.resumption = Resumption::disabled();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Takes any certificate that the peer has the key of, and keeps what is to be said of it.
#[derive(Debug)]
struct Witness {
    verifier: Verifier,
    provider: Arc<CryptoProvider>,
    shown: Mutex<Option<Shown>>,
}

impl Witness {
    fn of(verifier: Verifier) -> Arc<Self> {
        Arc::new(Self {
            verifier,
            provider: provider(),
            shown: Mutex::new(None),
        })
    }

    fn shown(&self) -> Option<Shown> {
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let bad = Error::InvalidCertificate(CertificateError::BadEncoding);
        let (_, leaf) = x509_parser::parse_x509_certificate(end_entity).map_err(|_| bad)?;
        let ends_s = leaf.validity().not_after.timestamp();
        let judged = self.verifier.as_ref().map(|verifier| {
            verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
        });
        let fault = judged.and_then(Result::err).map(|error| match error {
            Error::InvalidCertificate(
                CertificateError::Expired | CertificateError::ExpiredContext { .. },
            ) => Failure::CertificateEnds,
            _ => Failure::Untrusted,
        });
        let days = (ends_s as f64 - now.as_secs() as f64) / DAY_S;
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        *shown = Some(Shown {
            ends_s,
            days,
            fault,
        });
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
