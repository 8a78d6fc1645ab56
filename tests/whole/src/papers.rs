//! Keys and certificates as a peer holds them, and channels that show them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use firstlook_enrol::Authority;
use firstlook_model::{HostId, Timestamp};
use rcgen::{CertificateParams, KeyPair};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Error, Identity};

/// What stands between the parts of an agent's `identity.pem`.
const SEPARATOR: &str = "# ----\n";

/// A key, its certificate, and the authority that the other side must be of.
#[derive(Clone)]
pub struct Papers {
    /// The private key.
    pub key_pem: String,
    /// Its certificate.
    pub certificate_pem: String,
    /// Whom to believe.
    pub authority_pem: String,
}

impl Papers {
    /// Those of an agent that has joined.
    pub fn of_agent(state_dir: &Path) -> Self {
        let pem = std::fs::read_to_string(state_dir.join("identity.pem")).expect("it has joined");
        let parts: Vec<&str> = pem.split(SEPARATOR).collect();
        let [key, certificate, authority] = parts[..] else {
            panic!("{} parts", parts.len())
        };
        let [key_pem, certificate_pem, authority_pem] =
            [key, certificate, authority].map(str::to_owned);
        Self {
            key_pem,
            certificate_pem,
            authority_pem,
        }
    }

    /// New ones that `authority` issues to `host` at the time `now`.
    pub fn of_host(authority: &Authority, host: &str, now: Timestamp) -> Self {
        let (key_pem, request) = signing_request();
        let host = HostId::new(host).expect("a host's name");
        let issued = authority
            .issue_host(&request, &host, now)
            .expect("a good request");
        let authority_pem = authority.certificate_pem().to_owned();
        Self {
            key_pem,
            certificate_pem: issued.certificate_pem,
            authority_pem,
        }
    }

    /// New ones that `authority` issues to a responder at the time `now`.
    pub fn of_responder(authority: &Authority, name: &str, now: Timestamp) -> Self {
        let (issued, key_pem) = authority.issue_responder(name, now).expect("a plain name");
        let authority_pem = authority.certificate_pem().to_owned();
        Self {
            key_pem,
            certificate_pem: issued.certificate_pem,
            authority_pem,
        }
    }

    /// The same, believing `authority_pem`.
    pub fn believing(mut self, authority_pem: &str) -> Self {
        authority_pem.clone_into(&mut self.authority_pem);
        self
    }

    /// Writes them into `folder` as the responder's command wants them, and gives the folder.
    pub fn write(&self, folder: PathBuf) -> PathBuf {
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        let files = [
            ("ca.pem", &self.authority_pem),
            ("cert.pem", &self.certificate_pem),
            ("key.pem", &self.key_pem),
        ];
        for (name, text) in files {
            std::fs::write(folder.join(name), text).expect("a file can be written");
        }
        folder
    }

    /// A channel that shows them.
    ///
    /// # Errors
    /// When the other side refuses at once. It may do so at the first request, too.
    pub async fn channel(&self, url: &str) -> Result<Channel, Error> {
        let identity = Identity::from_pem(&self.certificate_pem, &self.key_pem);
        channel(url, self.tls().identity(identity)).await
    }

    /// A channel that shows nothing.
    ///
    /// # Errors
    /// As [`Papers::channel`].
    pub async fn anonymous_channel(&self, url: &str) -> Result<Channel, Error> {
        channel(url, self.tls()).await
    }

    /// Settings for a bare TLS connection; `anonymous` shows no certificate.
    pub fn client_config(&self, anonymous: bool) -> Arc<ClientConfig> {
        let der =
            |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate");
        let mut roots = RootCertStore::empty();
        roots.add(der(&self.authority_pem)).expect("an authority");
        let builder = ClientConfig::builder().with_root_certificates(roots);
        let mut config = if anonymous {
            builder.with_no_client_auth()
        } else {
            let key = PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes()).expect("a key");
            let chain = vec![der(&self.certificate_pem)];
            builder.with_client_auth_cert(chain, key).expect("a pair")
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Arc::new(config)
    }

    fn tls(&self) -> ClientTlsConfig {
        ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&self.authority_pem))
    }
}

/// A key and a request to certify it.
pub fn signing_request() -> (String, String) {
    let key = KeyPair::generate().expect("a key can be made");
    let params = CertificateParams::new(Vec::new()).expect("no names");
    let request = params
        .serialize_request(&key)
        .expect("a request can be made");
    (key.serialize_pem(), request.pem().expect("PEM can be made"))
}

async fn channel(url: &str, tls: ClientTlsConfig) -> Result<Channel, Error> {
    Endpoint::from_shared(url.to_owned())?
        .tls_config(tls)?
        .connect()
        .await
}
