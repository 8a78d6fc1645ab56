//! A small collector: an authority, enrolment, and a store in memory that outlives its restarts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use firstlook_proto::wire;
use firstlook_proto::wire::agent_message::Kind as Said;
use firstlook_proto::wire::agent_server::{Agent, AgentServer};
use firstlook_proto::wire::collector_message::Kind as Say;
use firstlook_proto::wire::enrolment_server::{Enrolment, EnrolmentServer};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, IsCa, Issuer,
    KeyPair, SanType,
};
use ring::digest::{SHA256, digest};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};
use x509_parser::prelude::{FromDer, X509Certificate};

/// The secret of the one token that is good, any number of times.
pub const SECRET: &str = "c2VjcmV0";
const LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// What a collector signs with, and what it shows.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    shown_pem: String,
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, "test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::from_ca_cert_pem(&pem, key).unwrap();
        Self {
            issuer,
            shown_pem: pem.clone(),
            pem,
        }
    }

    /// One that shows another's certificate.
    pub fn showing(other: &Self) -> Self {
        Self {
            shown_pem: other.pem.clone(),
            ..Self::new()
        }
    }

    pub fn token(&self, secret: &str) -> String {
        let der = CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap();
        let hash = digest(&SHA256, &der);
        let hexadecimal: String = hash.as_ref().iter().map(|b| format!("{b:02x}")).collect();
        format!("flj1.{secret}.{hexadecimal}")
    }

    fn server_identity(&self) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = vec![SanType::IpAddress([127, 0, 0, 1].into())];
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity::from_pem(certificate.pem() + &self.shown_pem, key.serialize_pem())
    }

    fn issue(&self, csr_pem: &str, host: &str, age: Duration) -> String {
        let mut csr = CertificateSigningRequestParams::from_pem(csr_pem).unwrap();
        csr.params = CertificateParams::new(Vec::new()).unwrap();
        csr.params.distinguished_name.push(DnType::CommonName, host);
        csr.params.not_before = OffsetDateTime::now_utc() - age;
        csr.params.not_after = csr.params.not_before + LIFETIME;
        csr.signed_by(&self.issuer).unwrap().pem()
    }
}

#[derive(Default)]
struct Inner {
    records: BTreeMap<(u64, u64), Vec<u8>>,
    secrets: Vec<String>,
    hosts: Vec<String>,
    serials: Vec<String>,
    age: Duration,
}

/// What the collector keeps, restarts or not.
#[derive(Clone, Default)]
pub struct Kept(Arc<(Mutex<Inner>, Notify)>);

impl Kept {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.0.lock().unwrap()
    }

    pub fn last(&self, epoch: u64) -> u64 {
        self.sequences(epoch).last().copied().unwrap_or(0)
    }

    pub fn sequences(&self, epoch: u64) -> Vec<u64> {
        self.inner()
            .records
            .keys()
            .filter(|key| key.0 == epoch)
            .map(|key| key.1)
            .collect()
    }

    /// Every secret that was said.
    pub fn secrets(&self) -> Vec<String> {
        self.inner().secrets.clone()
    }

    /// Whose sessions there were, by their certificates.
    pub fn hosts(&self) -> Vec<String> {
        self.inner().hosts.clone()
    }

    /// Certificates that were shown on renewals and sessions, in order.
    pub fn serials(&self) -> Vec<String> {
        self.inner().serials.clone()
    }

    /// From now on certificates are this old when issued.
    pub fn issue_with_age(&self, age: Duration) {
        self.inner().age = age;
    }

    /// Waits until records that came make `holds` true.
    pub async fn until(&self, holds: impl Fn(&Self) -> bool) {
        while !holds(self) {
            self.0.1.notified().await;
        }
    }

    /// Who shows a certificate, and which.
    fn note_peer<T>(&self, request: &Request<T>) -> Result<String, Status> {
        let chain = request
            .peer_certs()
            .ok_or_else(|| Status::unauthenticated("no certificate"))?;
        let (_, certificate) = X509Certificate::from_der(&chain[0]).unwrap();
        let name = certificate
            .subject()
            .iter_common_name()
            .next()
            .unwrap()
            .as_str()
            .unwrap();
        self.inner()
            .serials
            .push(certificate.raw_serial_as_string());
        Ok(name.to_owned())
    }
}

type Sessions = Arc<Mutex<JoinSet<()>>>;

/// A collector that listens.
pub struct Collector {
    pub authority: Arc<Authority>,
    address: std::net::SocketAddr,
    server: JoinSet<()>,
    sessions: Sessions,
}

impl Collector {
    pub async fn start(authority: Authority, kept: &Kept) -> Self {
        Self::listen(Arc::new(authority), "127.0.0.1:0".parse().unwrap(), kept).await
    }

    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Dies with all its connections, and comes back at the same address.
    pub async fn restart(mut self, kept: &Kept) -> Self {
        self.server.shutdown().await;
        self.sessions.lock().unwrap().abort_all();
        Self::listen(self.authority, self.address, kept).await
    }

    async fn listen(authority: Arc<Authority>, address: std::net::SocketAddr, kept: &Kept) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let tls = ServerTlsConfig::new()
            .identity(authority.server_identity())
            .client_ca_root(Certificate::from_pem(&authority.pem))
            .client_auth_optional(true);
        let sessions = Sessions::default();
        let service = Service {
            authority: Arc::clone(&authority),
            kept: kept.clone(),
            sessions: Arc::clone(&sessions),
        };
        let mut server = JoinSet::new();
        let router = Server::builder()
            .tls_config(tls)
            .unwrap()
            .add_service(EnrolmentServer::new(service.clone()))
            .add_service(AgentServer::new(service));
        server.spawn(async move {
            router
                .serve_with_incoming(TcpListenerStream::new(listener))
                .await
                .unwrap();
        });
        Self {
            authority,
            address,
            server,
            sessions,
        }
    }
}

#[derive(Clone)]
struct Service {
    authority: Arc<Authority>,
    kept: Kept,
    sessions: Sessions,
}

#[tonic::async_trait]
impl Enrolment for Service {
    async fn join(
        &self,
        request: Request<wire::JoinRequest>,
    ) -> Result<Response<wire::JoinReply>, Status> {
        let request = request.into_inner();
        self.kept.inner().secrets.push(request.token_secret.clone());
        if request.name == "taken" {
            return Err(Status::already_exists("a host named taken is enrolled"));
        }
        if request.token_secret != SECRET {
            return Err(Status::unauthenticated("join token refused: it was used"));
        }
        let age = self.kept.inner().age;
        Ok(Response::new(wire::JoinReply {
            certificate_pem: self.authority.issue(&request.csr_pem, &request.name, age),
            host: request.name,
            authority_pem: self.authority.pem.clone(),
        }))
    }

    async fn renew(
        &self,
        request: Request<wire::RenewRequest>,
    ) -> Result<Response<wire::RenewReply>, Status> {
        let host = self.kept.note_peer(&request)?;
        let age = self.kept.inner().age;
        Ok(Response::new(wire::RenewReply {
            certificate_pem: self
                .authority
                .issue(&request.into_inner().csr_pem, &host, age),
            authority_pem: self.authority.pem.clone(),
        }))
    }
}

#[tonic::async_trait]
impl Agent for Service {
    type SessionStream = ReceiverStream<Result<wire::CollectorMessage, Status>>;

    async fn session(
        &self,
        request: Request<Streaming<wire::AgentMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let host = self.kept.note_peer(&request)?;
        self.kept.inner().hosts.push(host);
        let (answers, stream) = mpsc::channel(64);
        let session = serve(self.kept.clone(), request.into_inner(), answers);
        self.sessions.lock().unwrap().spawn(async {
            // The agent left, or the test ended: nobody is to be told.
            let _ = session.await;
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

/// Keeps what is new, and acknowledges it.
async fn serve(
    kept: Kept,
    mut said: Streaming<wire::AgentMessage>,
    answers: mpsc::Sender<Result<wire::CollectorMessage, Status>>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut epoch = 0;
    while let Some(message) = said.message().await? {
        let answer = match message.kind {
            Some(Said::Hello(hello)) => {
                epoch = hello.epoch;
                let acknowledged = kept.last(epoch);
                Say::Welcome(wire::Welcome {
                    acknowledged,
                    reconnect_window_ms: 100,
                })
            }
            Some(Said::Records(batch)) => {
                for record in batch.records {
                    let key = (epoch, record.sequence);
                    let known = kept.inner().records.insert(key, record.record.to_vec());
                    assert!(known.is_none_or(|known| known == record.record));
                }
                kept.0.1.notify_one();
                Say::Acknowledgement(wire::Acknowledgement {
                    epoch,
                    sequence: kept.last(epoch),
                })
            }
            _ => continue,
        };
        answers
            .send(Ok(wire::CollectorMessage { kind: Some(answer) }))
            .await?;
    }
    Ok(())
}
