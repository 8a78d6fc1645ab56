//! The enrolment service: join with a token, renew with a certificate.

use std::sync::Arc;

use firstlook_model::{HostId, Peer, Timestamp};
use firstlook_proto::wire;
use firstlook_proto::wire::enrolment_server::Enrolment;
use tonic::{Request, Response, Status};

use crate::authority::{Authority, AuthorityError, Issued};
use crate::token::secret_hash;

/// Why a token or a renewal is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The token is unknown, used, revoked or too old.
    Token(&'static str),
    /// The name belongs to an enrolled host.
    NameTaken(HostId),
    /// The host was revoked or never enrolled, or what it shows is of before it joined again.
    Host(HostId),
    /// The certificate has ended and is not the last one that the host was given.
    Superseded(HostId),
    /// The registry cannot be read or written; a retry may help.
    Unavailable(String),
}

/// Where tokens and hosts are kept. Calls may block; each is one transaction.
pub trait Registry: Send + Sync + 'static {
    /// The name under which the token lets in whoever wishes for `wished`. Uses nothing up.
    ///
    /// # Errors
    /// [`Refused`].
    fn name(
        &self,
        secret_hash: [u8; 32],
        wished: &HostId,
        now: Timestamp,
    ) -> Result<HostId, Refused>;

    /// Uses the token up and lets the host in with this certificate: both, or neither.
    ///
    /// # Errors
    /// [`Refused`]; a token refused for a taken name stays valid.
    fn redeem(
        &self,
        secret_hash: [u8; 32],
        host: &HostId,
        issued: &Issued,
        now: Timestamp,
    ) -> Result<(), Refused>;

    /// Whether a host whose certificate has ended may have a new one: it is not revoked, and the certificate with this
    /// fingerprint is the last one that it was given.
    ///
    /// # Errors
    /// [`Refused::Host`], [`Refused::Superseded`], [`Refused::Unavailable`].
    fn may_return(&self, host: &HostId, fingerprint: &str, now: Timestamp) -> Result<(), Refused>;

    /// Notes a certificate that was issued to a host for the one of the fingerprint `shown`.
    ///
    /// # Errors
    /// [`Refused::Host`] when the host is revoked or unknown, or what it shows is void.
    fn renew(
        &self,
        host: &HostId,
        shown: &str,
        issued: &Issued,
        now: Timestamp,
    ) -> Result<(), Refused>;
}

/// Serves `firstlook.v1.Enrolment`.
pub struct EnrolmentService<R> {
    authority: Arc<Authority>,
    registry: Arc<R>,
    clock: fn() -> Timestamp,
}

impl<R: Registry> EnrolmentService<R> {
    /// Issues from `authority` to whom `registry` admits.
    pub fn new(authority: Arc<Authority>, registry: Arc<R>, clock: fn() -> Timestamp) -> Self {
        Self {
            authority,
            registry,
            clock,
        }
    }

    /// Runs registry work where blocking is allowed.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&R) -> Result<T, Refused> + Send + 'static,
    ) -> Result<T, Status> {
        let registry = Arc::clone(&self.registry);
        tokio::task::spawn_blocking(move || work(&registry))
            .await
            .map_err(|_| Status::internal("enrolment task failed"))?
            .map_err(refusal)
    }

    /// A certificate, given away only once `note` has noted it.
    async fn issue(
        &self,
        csr: &str,
        host: HostId,
        now: Timestamp,
        note: impl FnOnce(&R, &HostId, &Issued) -> Result<(), Refused> + Send + 'static,
    ) -> Result<String, Status> {
        let issued = self
            .authority
            .issue_host(csr, &host, now)
            .map_err(issue_failure)?;
        let pem = issued.certificate_pem.clone();
        let known = host.clone();
        self.blocking(move |registry| note(registry, &known, &issued))
            .await?;
        tracing::info!(%host, "certificate issued");
        Ok(pem)
    }
}

#[tonic::async_trait]
impl<R: Registry> Enrolment for EnrolmentService<R> {
    async fn join(
        &self,
        request: Request<wire::JoinRequest>,
    ) -> Result<Response<wire::JoinReply>, Status> {
        let request = request.into_inner();
        let wished =
            HostId::new(request.name).map_err(|e| Status::invalid_argument(e.to_string()))?;
        let now = (self.clock)();
        let hash = secret_hash(&request.token_secret)
            .ok_or_else(|| refusal(Refused::Token("it is malformed")))?;
        let host = self
            .blocking(move |registry| registry.name(hash, &wished, now))
            .await?;
        let redeem = move |registry: &R, host: &HostId, issued: &Issued| {
            registry.redeem(hash, host, issued, now)
        };
        // A request that cannot be signed does not cost the token.
        let certificate_pem = self
            .issue(&request.csr_pem, host.clone(), now, redeem)
            .await?;
        Ok(Response::new(wire::JoinReply {
            host: host.to_string(),
            certificate_pem,
            authority_pem: self.authority.certificate_pem().to_owned(),
        }))
    }

    async fn renew(
        &self,
        request: Request<wire::RenewRequest>,
    ) -> Result<Response<wire::RenewReply>, Status> {
        let now = (self.clock)();
        let (host, fingerprint) = match request.extensions().get::<Peer>().cloned() {
            Some(Peer::Host {
                host, fingerprint, ..
            }) => (host, fingerprint),
            Some(Peer::Lapsed {
                host,
                ended,
                fingerprint,
            }) => {
                let (asking, shown) = (host.clone(), fingerprint.clone());
                self.blocking(move |registry| registry.may_return(&asking, &shown, now))
                    .await?;
                tracing::info!(%host, %ended, "a host returns whose certificate had ended");
                (host, fingerprint)
            }
            _ => {
                return Err(Status::unauthenticated(
                    "renewal needs the host's own certificate",
                ));
            }
        };
        let csr_pem = request.into_inner().csr_pem;
        let renew = move |registry: &R, host: &HostId, issued: &Issued| {
            registry.renew(host, &fingerprint, issued, now)
        };
        let certificate_pem = self.issue(&csr_pem, host, now, renew).await?;
        Ok(Response::new(wire::RenewReply {
            certificate_pem,
            authority_pem: self.authority.certificate_pem().to_owned(),
        }))
    }
}

fn issue_failure(error: AuthorityError) -> Status {
    match error {
        AuthorityError::Request(_) => Status::invalid_argument(error.to_string()),
        other => {
            tracing::error!(error = %other, "certificate cannot be issued");
            Status::internal("certificate cannot be issued")
        }
    }
}

fn refusal(refused: Refused) -> Status {
    match refused {
        Refused::Token(why) => Status::unauthenticated(format!(
            "join token refused: {why}; make another with `firstlook tokens create`"
        )),
        Refused::NameTaken(host) => Status::already_exists(format!(
            "a host named {host} is enrolled: join with --name, or make a token with `firstlook \
             tokens create --host {host} --replace`"
        )),
        Refused::Host(host) => Status::permission_denied(format!(
            "host {host} is revoked or was never enrolled: join it again with a new token"
        )),
        Refused::Superseded(host) => Status::permission_denied(format!(
            "the certificate of host {host} has ended, and it was given a later one: join it again with a token made \
             with `firstlook tokens create --host {host} --replace`"
        )),
        Refused::Unavailable(why) => {
            tracing::error!(error = why, "registry cannot be used");
            Status::unavailable("the collector cannot use its registry now; try again")
        }
    }
}
