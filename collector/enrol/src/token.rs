//! Join tokens: `flj1.<secret>.<authority>`.
//!
//! The secret is 32 random bytes in URL-safe base64 without padding; the authority is the SHA-256 of its
//! certificate (DER), in hexadecimal, so that an agent can tell the true collector before it says the secret.
//! The collector keeps only the SHA-256 of the secret.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};

/// How long a token may be redeemed.
pub const TOKEN_LIFETIME: Duration = Duration::from_secs(600);
const PREFIX: &str = "flj1";
const SECRET_BYTES: usize = 32;
/// Longest secret text looked at.
const SECRET_LIMIT_BYTES: usize = 64;

/// A text that is no join token.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidToken {
    /// Not of the form `flj1.<secret>.<authority>`.
    #[error(
        "not a join token: it reads flj1.<secret>.<authority>; make one with `firstlook tokens create`"
    )]
    Malformed,
    /// The system gave no randomness.
    #[error("the system gives no randomness")]
    NoRandomness,
}

/// A one-time token, whole.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    secret: String,
    authority: String,
}

/// Never shows the secret.
impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinToken")
            .field("authority", &self.authority)
            .finish_non_exhaustive()
    }
}

impl JoinToken {
    /// Draws a token for the authority with this certificate hash (64 hexadecimal digits).
    ///
    /// # Errors
    /// [`InvalidToken::NoRandomness`] when the system gives none.
    pub fn draw(authority: String) -> Result<Self, InvalidToken> {
        let mut bytes = [0u8; SECRET_BYTES];
        SystemRandom::new()
            .fill(&mut bytes)
            .map_err(|_| InvalidToken::NoRandomness)?;
        Ok(Self {
            secret: URL_SAFE_NO_PAD.encode(bytes),
            authority,
        })
    }

    /// Reads a token's text.
    ///
    /// # Errors
    /// [`InvalidToken::Malformed`].
    pub fn parse(text: &str) -> Result<Self, InvalidToken> {
        let mut parts = text.trim().split('.');
        let (prefix, secret, authority) = (parts.next(), parts.next(), parts.next());
        match (prefix, secret, authority, parts.next()) {
            (Some(PREFIX), Some(secret), Some(authority), None)
                if secret_hash(secret).is_some()
                    && authority.len() == 64
                    && authority.bytes().all(|b| b.is_ascii_hexdigit()) =>
            {
                Ok(Self {
                    secret: secret.to_owned(),
                    authority: authority.to_ascii_lowercase(),
                })
            }
            _ => Err(InvalidToken::Malformed),
        }
    }

    /// What the collector keeps.
    pub fn hash(&self) -> [u8; 32] {
        secret_hash(&self.secret).unwrap_or_default()
    }

    /// The text to hand to an operator, once.
    pub fn reveal(&self) -> String {
        format!("{PREFIX}.{}.{}", self.secret, self.authority)
    }
}

/// SHA-256 of a secret as it is sent, or `None` if it is no secret.
pub fn secret_hash(secret: &str) -> Option<[u8; 32]> {
    if secret.len() > SECRET_LIMIT_BYTES {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(secret).ok()?;
    if bytes.len() != SECRET_BYTES {
        return None;
    }
    digest(&SHA256, &bytes).as_ref().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_token_reads_back_and_hides_its_secret() {
        let token = JoinToken::draw("ab".repeat(32)).unwrap();
        assert_eq!(JoinToken::parse(&token.reveal()).unwrap(), token);
        assert!(!format!("{token:?}").contains(&token.secret));
        assert_ne!(token.hash(), [0; 32]);
    }

    #[test]
    fn two_tokens_differ() {
        let draw = || JoinToken::draw("00".repeat(32)).unwrap();
        assert_ne!(draw().hash(), draw().hash());
    }

    proptest! {
        #[test]
        fn other_texts_are_refused(text in "\\PC{0,120}") {
            prop_assert!(JoinToken::parse(&text).is_err());
        }
    }
}
