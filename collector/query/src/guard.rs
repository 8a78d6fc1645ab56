//! Who may ask: a responder's certificate, or a bearer token.

use std::sync::Arc;

use firstlook_model::{Peer, Timestamp};
use tonic::{Request, Status};

/// Checks bearer tokens. Implementations compare in constant time or by hash.
pub trait BearerTokens: Send + Sync + 'static {
    /// The responder whom the token names.
    fn responder(&self, token: &str) -> Option<String>;
}

/// Longest bearer token looked at.
const TOKEN_LIMIT_BYTES: usize = 512;

/// Admits responders.
#[derive(Clone)]
pub struct Access {
    tokens: Arc<dyn BearerTokens>,
    clock: fn() -> Timestamp,
}

impl Access {
    /// Admits who has a responder's certificate or a token that `tokens` knows.
    pub fn new(tokens: Arc<dyn BearerTokens>, clock: fn() -> Timestamp) -> Self {
        Self { tokens, clock }
    }

    /// The responder's name.
    ///
    /// # Errors
    /// UNAUTHENTICATED when nothing proves one; PERMISSION_DENIED for a host's certificate.
    pub fn responder<T>(&self, request: &Request<T>) -> Result<String, Status> {
        match request.extensions().get::<Peer>() {
            Some(Peer::Responder { name, expires }) if *expires > (self.clock)() => {
                return Ok(name.clone());
            }
            Some(Peer::Host { host, .. }) => {
                return Err(Status::permission_denied(format!(
                    "the certificate is that of host {host}, and hosts may not ask: use a \
                     responder's credentials"
                )));
            }
            _ => {}
        }
        let bearer = request
            .metadata()
            .get("authorization")
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "))
            .filter(|token| token.len() <= TOKEN_LIMIT_BYTES);
        bearer
            .and_then(|token| self.tokens.responder(token))
            .ok_or_else(|| {
                Status::unauthenticated(
                    "show a responder's certificate or a bearer token; whoever installed the \
                 collector can issue one with `firstlook-collector responder add NAME`",
                )
            })
    }
}
