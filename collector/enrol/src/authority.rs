//! The collector's own certificate authority, kept in a folder: `authority.pem`, `authority.key`.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use firstlook_model::{HostId, Timestamp};
use firstlook_runtime::files::write_atomically;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use ring::rand::{SecureRandom, SystemRandom};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use time::OffsetDateTime;

use crate::identity::{fingerprint_of, hexadecimal};

const CERTIFICATE_FILE: &str = "authority.pem";
const KEY_FILE: &str = "authority.key";
const AUTHORITY_LIFETIME: Duration = Duration::from_secs(10 * 365 * 86_400);
/// A host's certificate; its agent renews at two thirds.
pub const HOST_LIFETIME: Duration = Duration::from_secs(86_400);
/// A responder's certificate.
pub const RESPONDER_LIFETIME: Duration = Duration::from_secs(365 * 86_400);
/// The collector's own certificate, issued anew at each start.
const SERVER_LIFETIME: Duration = Duration::from_secs(825 * 86_400);
/// Certificates begin this much early, so that a host whose clock is a little slow is not shut out.
const SKEW_TOLERANCE: Duration = Duration::from_secs(300);
/// Largest signing request looked at.
const REQUEST_LIMIT_BYTES: usize = 16 * 1024;

/// What can go wrong with the authority.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file of the authority cannot be read or written.
    #[error("authority file {path} cannot be read or written")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Only one of the two files is there: writing the other would orphan every host.
    #[error("{missing} is missing beside the authority's other file: restore it from a backup")]
    Half {
        /// Which.
        missing: PathBuf,
    },
    /// A certificate or key cannot be made or read.
    #[error("certificate cannot be made or read")]
    Certificate(#[from] rcgen::Error),
    /// The authority's own certificate is not one.
    #[error("authority certificate in {0} is not a PEM certificate")]
    NotACertificate(PathBuf),
    /// A signing request is malformed, unsigned, or too long.
    #[error("signing request is malformed")]
    Request(#[source] Option<rcgen::Error>),
    /// The system gave no randomness.
    #[error("the system gives no randomness")]
    NoRandomness,
}

/// A certificate that was issued.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate.
    pub certificate_pem: String,
    /// Its serial number, in hexadecimal.
    pub serial: String,
    /// SHA-256 of the certificate (DER), in hexadecimal.
    pub fingerprint: String,
    /// When it ends.
    pub expires: Timestamp,
}

impl Issued {
    fn new(certificate: &rcgen::Certificate, serial: String, expires: Timestamp) -> Self {
        Self {
            certificate_pem: certificate.pem(),
            serial,
            fingerprint: fingerprint_of(certificate.der()),
            expires,
        }
    }
}

/// The authority, with its key in memory.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
    fingerprint: String,
}

impl Authority {
    /// Opens the authority in `dir`, or makes it where there is none.
    ///
    /// # Errors
    /// When a file cannot be read or written, or only one of the two is there.
    pub fn open(dir: &Path, now: Timestamp) -> Result<Self, AuthorityError> {
        let (certificate, key) = (dir.join(CERTIFICATE_FILE), dir.join(KEY_FILE));
        match (certificate.exists(), key.exists()) {
            (true, true) => Self::read(&certificate, &key),
            (false, false) => Self::make(&certificate, &key, now),
            (true, false) => Err(AuthorityError::Half { missing: key }),
            (false, true) => Err(AuthorityError::Half {
                missing: certificate,
            }),
        }
    }

    fn read(certificate: &Path, key: &Path) -> Result<Self, AuthorityError> {
        let certificate_pem = read(certificate)?;
        let key = KeyPair::from_pem(&read(key)?)?;
        Self::assemble(certificate_pem, key, certificate)
    }

    fn make(certificate: &Path, key: &Path, now: Timestamp) -> Result<Self, AuthorityError> {
        let pair = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params
            .distinguished_name
            .push(DnType::CommonName, "Firstlook authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.serial_number = Some(draw_serial()?);
        set_validity(&mut params, now, AUTHORITY_LIFETIME);
        let pem = params.self_signed(&pair)?.pem();
        // The key first: a certificate without its key is refused at the next start, and says so.
        write(key, pair.serialize_pem().as_bytes(), 0o600)?;
        write(certificate, pem.as_bytes(), 0o644)?;
        Self::assemble(pem, pair, certificate)
    }

    fn assemble(pem: String, key: KeyPair, path: &Path) -> Result<Self, AuthorityError> {
        let der = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| AuthorityError::NotACertificate(path.to_owned()))?;
        let fingerprint = fingerprint_of(&der);
        let issuer = Issuer::from_ca_cert_pem(&pem, key)?;
        Ok(Self {
            issuer,
            certificate_pem: pem,
            fingerprint,
        })
    }

    /// The authority's certificate.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// SHA-256 of the authority's certificate (DER): 64 hexadecimal digits.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Certifies the key of a signing request as that of `host`. Nothing but the key is taken from the request.
    ///
    /// # Errors
    /// [`AuthorityError::Request`] when the request is malformed or not signed by its own key.
    pub fn issue_host(
        &self,
        request_pem: &str,
        host: &HostId,
        now: Timestamp,
    ) -> Result<Issued, AuthorityError> {
        if request_pem.len() > REQUEST_LIMIT_BYTES {
            return Err(AuthorityError::Request(None));
        }
        let mut request = CertificateSigningRequestParams::from_pem(request_pem)
            .map_err(|e| AuthorityError::Request(Some(e)))?;
        let uri = format!("firstlook://host/{host}");
        request.params = client_params(host.as_str(), &uri, now, HOST_LIFETIME)?;
        let serial = serial_text(&request.params);
        let certificate = request.signed_by(&self.issuer)?;
        Ok(Issued::new(&certificate, serial, now.plus(HOST_LIFETIME)))
    }

    /// Makes a key and certificate for a responder.
    ///
    /// # Errors
    /// When the name cannot stand in a certificate.
    pub fn issue_responder(
        &self,
        name: &str,
        now: Timestamp,
    ) -> Result<(Issued, String), AuthorityError> {
        let key = KeyPair::generate()?;
        let uri = format!("firstlook://responder/{name}");
        let params = client_params(name, &uri, now, RESPONDER_LIFETIME)?;
        let serial = serial_text(&params);
        let certificate = params.signed_by(&key, &self.issuer)?;
        let issued = Issued::new(&certificate, serial, now.plus(RESPONDER_LIFETIME));
        Ok((issued, key.serialize_pem()))
    }

    /// Makes a key and certificate for the collector itself, valid for these names and addresses.
    ///
    /// # Errors
    /// When a name cannot stand in a certificate.
    pub fn issue_server(
        &self,
        names: &[String],
        now: Timestamp,
    ) -> Result<(Issued, String), AuthorityError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params
            .distinguished_name
            .push(DnType::CommonName, "Firstlook collector");
        for name in names {
            let san = match name.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(name.as_str().try_into()?),
            };
            params.subject_alt_names.push(san);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(draw_serial()?);
        set_validity(&mut params, now, SERVER_LIFETIME);
        let serial = serial_text(&params);
        let certificate = params.signed_by(&key, &self.issuer)?;
        let issued = Issued::new(&certificate, serial, now.plus(SERVER_LIFETIME));
        Ok((issued, key.serialize_pem()))
    }
}

fn client_params(
    name: &str,
    uri: &str,
    now: Timestamp,
    lifetime: Duration,
) -> Result<CertificateParams, AuthorityError> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.subject_alt_names.push(SanType::URI(uri.try_into()?));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    params.serial_number = Some(draw_serial()?);
    set_validity(&mut params, now, lifetime);
    Ok(params)
}

fn set_validity(params: &mut CertificateParams, now: Timestamp, lifetime: Duration) {
    let at = |t: Timestamp| {
        OffsetDateTime::from_unix_timestamp(t.as_micros().div_euclid(1_000_000))
            .unwrap_or(OffsetDateTime::UNIX_EPOCH)
    };
    params.not_before = at(now.minus(SKEW_TOLERANCE));
    params.not_after = at(now.plus(lifetime));
}

/// 16 random bytes with a clear top bit and a set low one, so that the number is positive and never 0.
fn draw_serial() -> Result<SerialNumber, AuthorityError> {
    let mut bytes = [0u8; 16];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| AuthorityError::NoRandomness)?;
    bytes[0] = (bytes[0] & 0x7f) | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

fn serial_text(params: &CertificateParams) -> String {
    params
        .serial_number
        .as_ref()
        .map(|s| hexadecimal(s.as_ref()))
        .unwrap_or_default()
}

fn read(path: &Path) -> Result<String, AuthorityError> {
    std::fs::read_to_string(path).map_err(|source| AuthorityError::File {
        path: path.to_owned(),
        source,
    })
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), AuthorityError> {
    write_atomically(path, bytes, mode).map_err(|source| AuthorityError::File {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::peer_of;
    use firstlook_model::Peer;
    use ring::digest::{SHA256, digest};

    fn now() -> Timestamp {
        Timestamp::from_secs(1_800_000_000)
    }

    fn request(key: &KeyPair, name: &str) -> String {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params
            .subject_alt_names
            .push(SanType::URI("firstlook://host/victim".try_into().unwrap()));
        params.serialize_request(key).unwrap().pem().unwrap()
    }

    #[test]
    fn the_same_authority_is_opened_again() {
        let dir = tempfile::tempdir().unwrap();
        let first = Authority::open(dir.path(), now()).unwrap();
        let again = Authority::open(dir.path(), now()).unwrap();
        assert_eq!(first.fingerprint(), again.fingerprint());
    }

    #[test]
    fn a_lost_key_is_never_replaced_silently() {
        let dir = tempfile::tempdir().unwrap();
        Authority::open(dir.path(), now()).unwrap();
        std::fs::remove_file(dir.path().join(KEY_FILE)).unwrap();
        assert!(matches!(
            Authority::open(dir.path(), now()),
            Err(AuthorityError::Half { .. })
        ));
    }

    #[test]
    fn a_request_cannot_choose_its_own_identity() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::open(dir.path(), now()).unwrap();
        let key = KeyPair::generate().unwrap();
        let host = HostId::new("db1").unwrap();
        let issued = authority
            .issue_host(&request(&key, "victim"), &host, now())
            .unwrap();
        let der = CertificateDer::from_pem_slice(issued.certificate_pem.as_bytes()).unwrap();
        let expires = now().plus(HOST_LIFETIME);
        let fingerprint: String = digest(&SHA256, &der)
            .as_ref()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        assert_eq!(issued.fingerprint, fingerprint);
        let peer = Peer::Host {
            host,
            expires,
            fingerprint,
        };
        assert_eq!(peer_of(&der).unwrap(), peer);
    }

    #[test]
    fn malformed_requests_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::open(dir.path(), now()).unwrap();
        let host = HostId::new("db1").unwrap();
        let long = "x".repeat(REQUEST_LIMIT_BYTES + 1);
        let begin = "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----";
        for bad in ["", "hello", begin, &long] {
            assert!(matches!(
                authority.issue_host(bad, &host, now()),
                Err(AuthorityError::Request(_))
            ));
        }
    }
}
