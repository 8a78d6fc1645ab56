//! Joining with a token, and renewing with a certificate.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use firstlook_model::{HostId, InvalidId};
use firstlook_proto::wire;
use firstlook_proto::wire::enrolment_client::EnrolmentClient;
use firstlook_runtime::clock;
use firstlook_runtime::telemetry::chain;
use rcgen::{CertificateParams, KeyPair};
use ring::digest::{SHA256, digest};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio::time::timeout;
use tonic::{Code, Status};

use crate::connect::{self, ConnectError};
use crate::identity::{Identity, IdentityError};
use crate::pin::pinned_config;

const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// What joining needs.
#[derive(Clone, Debug)]
pub struct JoinRequest {
    /// Address of the collector, as `https://collector:9443`.
    pub collector: String,
    /// The token's text, `flj1.<secret>.<authority>`.
    pub token: String,
    /// Name wished for.
    pub name: HostId,
}

/// Why a host could not join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// It joined before.
    #[error(
        "this host has joined already as {0}: stop its agent and remove its state folder to join anew"
    )]
    Joined(HostId),
    /// The token is malformed.
    #[error(
        "not a join token: it reads flj1.<secret>.<authority>; make one with `firstlook tokens create`"
    )]
    Token,
    /// The collector's address is malformed.
    #[error("collector's address {0:?} is malformed: it reads https://HOST or https://HOST:PORT")]
    Address(String),
    /// The collector cannot be reached, or cannot answer now. A retry may help.
    #[error("cannot reach the collector at {collector}: {why}")]
    Unreachable {
        /// Its address.
        collector: String,
        /// Why.
        why: String,
    },
    /// Whoever answers is not the collector that the token was made on. The secret was not said.
    #[error("{collector} is not the collector that made this token: check the address ({why})")]
    Untrusted {
        /// Its address.
        collector: String,
        /// Why.
        why: String,
    },
    /// The collector refused the token or the request.
    #[error("{0}")]
    Refused(String),
    /// The name belongs to another host. The token stays good.
    #[error("{0}")]
    NameTaken(String),
    /// The host's name in the answer is malformed.
    #[error("the collector's answer is malformed")]
    Answer(#[from] InvalidId),
    /// The authority in the answer is not the one that the token names.
    #[error("the collector answered with another authority than the token names")]
    Authority,
    /// The identity cannot be kept.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A key or signing request cannot be made.
    #[error("key or signing request cannot be made")]
    Key(#[from] rcgen::Error),
}

/// Joins and keeps the identity in `state_dir`. The secret is said only to the collector that the token names.
///
/// # Errors
/// [`JoinError`]; nothing was kept.
pub async fn join(request: JoinRequest, state_dir: &Path) -> Result<Identity, JoinError> {
    if Identity::exists(state_dir) {
        let known = Identity::load(state_dir)?;
        // One that has ended is worth nothing; the journal beside it is, and goes along.
        if known.expires > clock::now() {
            return Err(JoinError::Joined(known.host));
        }
    }
    let (secret, fingerprint) = split(&request.token).ok_or(JoinError::Token)?;
    // Before the token is used up: a folder that cannot be written must not cost it.
    Identity::prepare(state_dir)?;
    let collector = &*request.collector;
    let config = pinned_config(fingerprint).map_err(|e| unreachable(collector, e.to_string()))?;
    let channel = connect::with_config(collector, config)
        .await
        .map_err(|e| unconnected(collector, e))?;
    let (key, csr_pem) = signing_request()?;
    let ask = wire::JoinRequest {
        token_secret: secret.to_owned(),
        name: request.name.to_string(),
        csr_pem,
    };
    let reply = timeout(ANSWER_TIMEOUT, EnrolmentClient::new(channel).join(ask))
        .await
        .map_err(|_| unreachable(collector, "no answer in time"))?
        .map_err(|status| refused(collector, &status))?
        .into_inner();
    let authority = CertificateDer::from_pem_slice(reply.authority_pem.as_bytes());
    if authority.map_or(true, |der| digest(&SHA256, &der).as_ref() != fingerprint) {
        return Err(JoinError::Authority);
    }
    let identity = Identity::new(
        HostId::new(reply.host)?,
        request.collector.clone(),
        key.serialize_pem(),
        reply.certificate_pem,
        reply.authority_pem,
    )?;
    identity.save(state_dir)?;
    Ok(identity)
}

/// A new certificate, with a new key, for the same host.
///
/// # Errors
/// As [`join`]; the old identity is still good.
pub(crate) async fn renew(
    identity: &Identity,
    channel: tonic::transport::Channel,
) -> Result<Identity, JoinError> {
    let (key, csr_pem) = signing_request()?;
    let ask = wire::RenewRequest { csr_pem };
    let collector = &*identity.collector;
    let reply = timeout(ANSWER_TIMEOUT, EnrolmentClient::new(channel).renew(ask))
        .await
        .map_err(|_| unreachable(collector, "no answer in time"))?
        .map_err(|status| refused(collector, &status))?
        .into_inner();
    Ok(Identity::new(
        identity.host.clone(),
        identity.collector.clone(),
        key.serialize_pem(),
        reply.certificate_pem,
        reply.authority_pem,
    )?)
}

fn unreachable(collector: &str, why: impl Into<String>) -> JoinError {
    JoinError::Unreachable {
        collector: collector.to_owned(),
        why: why.into(),
    }
}

/// What a failed connection means: a wrong address, a stranger, or nobody.
fn unconnected(collector: &str, error: ConnectError) -> JoinError {
    let why = chain(&error);
    match error {
        ConnectError::Address(address) => JoinError::Address(address),
        error if strange_certificate(&error) => JoinError::Untrusted {
            collector: collector.to_owned(),
            why,
        },
        _ => unreachable(collector, why),
    }
}

/// Whether it was the peer's certificate that ended a connection.
fn strange_certificate(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let inner = error
            .downcast_ref::<std::io::Error>()
            .and_then(|e| e.get_ref());
        let tls = match inner {
            Some(inner) => inner.downcast_ref::<rustls::Error>(),
            None => error.downcast_ref::<rustls::Error>(),
        };
        if matches!(tls, Some(rustls::Error::InvalidCertificate(_))) {
            return true;
        }
        next = error.source();
    }
    false
}

fn refused(collector: &str, status: &Status) -> JoinError {
    let said = status.message().to_owned();
    match status.code() {
        Code::AlreadyExists => JoinError::NameTaken(said),
        Code::InvalidArgument | Code::Unauthenticated | Code::PermissionDenied => {
            JoinError::Refused(said)
        }
        _ => unreachable(collector, said),
    }
}

/// A key made here, which never leaves, and a request to certify it. The names in it are ignored.
fn signing_request() -> Result<(KeyPair, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let request = CertificateParams::new(Vec::new())?
        .serialize_request(&key)?
        .pem()?;
    Ok((key, request))
}

/// Secret and authority's hash of a token.
fn split(token: &str) -> Option<(&str, [u8; 32])> {
    let mut parts = token.trim().split('.');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some("flj1"), Some(secret), Some(authority), None) if !secret.is_empty() => {
            Some((secret, hash(authority)?))
        }
        _ => None,
    }
}

fn hash(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0u8; 32];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_taken_apart_or_refused() {
        let token = format!("flj1.abc.{}", "0f".repeat(32));
        assert_eq!(split(&token), Some(("abc", [15; 32])));
        for bad in [
            "",
            "flj1.abc",
            "flj2.abc.00",
            "flj1..",
            &format!("{token}.x"),
            "flj1.a.zz",
        ] {
            assert_eq!(split(bad), None, "{bad:?} was accepted");
        }
    }
}
