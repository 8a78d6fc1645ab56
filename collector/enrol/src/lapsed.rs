//! Host certificates that ended a while ago: good for one thing, their renewal.
//!
//! A host that was off for longer than its certificate lasts would have to join anew, by hand, just when it comes
//! back from a repair. So a handshake goes on when all that is wrong is the date, and that by no more than a window: the
//! certificate is our authority's, names a host, and its key is proven as ever by the handshake's own signature. The
//! peer then is [`firstlook_model::Peer::Lapsed`], to whom only renewal answers.

use std::sync::Arc;
use std::time::Duration;

use firstlook_model::{Peer, Timestamp};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::identity::peer_of;

/// Verifies as `strict` does, but for a host's certificate that ended within the window before now.
#[derive(Debug)]
pub(crate) struct Lenient {
    strict: Arc<dyn ClientCertVerifier>,
    window: Duration,
}

impl Lenient {
    pub(crate) fn new(strict: Arc<dyn ClientCertVerifier>, window: Duration) -> Self {
        Self { strict, window }
    }

    /// When a certificate ended, if it is a host's and ended within the window before `now`.
    fn ended(&self, certificate: &CertificateDer<'_>, now: UnixTime) -> Option<UnixTime> {
        let Ok(Peer::Host { expires, .. }) = peer_of(certificate) else {
            return None;
        };
        let ended = u64::try_from(expires.as_micros().div_euclid(1_000_000)).ok()?;
        let since = now.as_secs().checked_sub(ended)?;
        (since <= self.window.as_secs())
            .then(|| UnixTime::since_unix_epoch(Duration::from_secs(ended)))
    }
}

impl ClientCertVerifier for Lenient {
    fn offer_client_auth(&self) -> bool {
        self.strict.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.strict.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.strict.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verify = |at| {
            self.strict
                .verify_client_cert(end_entity, intermediates, at)
        };
        verify(now).or_else(|error| match error {
            Error::InvalidCertificate(
                CertificateError::Expired | CertificateError::ExpiredContext { .. },
            ) => match self.ended(end_entity, now) {
                // Everything but the date is checked once more, as it stood at the end.
                Some(ended) => verify(ended),
                None => Err(error),
            },
            other => Err(other),
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.strict
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.strict
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.strict.supported_verify_schemes()
    }
}

/// A host whose certificate has ended by now is lapsed; anybody else is who they are.
pub(crate) fn dated(peer: Peer, now: Timestamp) -> Peer {
    match peer {
        Peer::Host {
            host,
            expires,
            fingerprint,
        } if expires <= now => Peer::Lapsed {
            host,
            ended: expires,
            fingerprint,
        },
        other => other,
    }
}
