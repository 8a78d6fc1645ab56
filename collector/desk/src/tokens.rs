//! Join tokens: each lets one host in, once, for a while. Only the secret's hash is kept.

use std::fmt;
use std::str::FromStr;

use firstlook_model::{HostId, InvalidId, Timestamp};
use rusqlite::{OptionalExtension, Row, Transaction, params};

use crate::hosts::enrol;
use crate::row::{Columns, short};
use crate::{Certificate, Desk, DeskError, TokenRefusal};

/// SHA-256 of a token's secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// The hash of a secret. Secrets are random and long: they need no slow hash.
    pub fn of(secret: &[u8]) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, secret);
        let mut hash = [0; 32];
        hash.copy_from_slice(digest.as_ref());
        Self(hash)
    }

    /// The token's name.
    pub fn id(&self) -> TokenId {
        let mut id = [0; 8];
        id.copy_from_slice(&self.0[..8]);
        TokenId(u64::from_be_bytes(id))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenHash({}…)", self.id())
    }
}

/// A token's name, for people: the first 16 hexadecimal digits of its hash. It lets nobody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(u64);

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for TokenId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let plain = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
        match u64::from_str_radix(text, 16) {
            Ok(id) if plain => Ok(Self(id)),
            _ => Err(InvalidId::new("token id", text, "16 hexadecimal digits")),
        }
    }
}

/// A token as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinToken {
    /// Hash of its secret.
    pub hash: TokenHash,
    /// When it was made.
    pub created: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// First instant at which it is no good any more.
    pub expires: Timestamp,
    /// The only host that it lets in; `None`: any.
    pub bound_to: Option<HostId>,
    /// Which host it let in, and when.
    pub used: Option<(HostId, Timestamp)>,
    /// When it was withdrawn.
    pub revoked: Option<Timestamp>,
}

impl JoinToken {
    /// Whether it lets `host` in at `at`.
    ///
    /// # Errors
    /// Why it does not.
    pub fn check(&self, host: &HostId, at: Timestamp) -> Result<(), TokenRefusal> {
        if let Some((by, at)) = self.used.clone() {
            return Err(TokenRefusal::Used { by, at });
        }
        if let Some(revoked) = self.revoked {
            return Err(TokenRefusal::Revoked(revoked));
        }
        if at >= self.expires {
            return Err(TokenRefusal::Expired(self.expires));
        }
        match &self.bound_to {
            Some(bound) if bound != host => Err(TokenRefusal::Bound(bound.clone())),
            _ => Ok(()),
        }
    }
}

/// Access to join tokens.
pub struct Tokens<'d>(pub(crate) &'d Desk);

impl Tokens<'_> {
    /// Makes a token.
    ///
    /// # Errors
    /// [`DeskError::Exists`] when the secret was used for one before.
    pub fn create(
        &self,
        hash: TokenHash,
        created_by: &str,
        created: Timestamp,
        expires: Timestamp,
        bound_to: Option<&HostId>,
    ) -> Result<(), DeskError> {
        let doing = "making a join token";
        let made = self
            .0
            .connection()
            .execute(
                "INSERT INTO tokens (hash, created, created_by, expires, bound_to)
                 VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (hash) DO NOTHING",
                params![
                    hash.0,
                    created.as_micros(),
                    short("a token's maker", created_by)?,
                    expires.as_micros(),
                    bound_to.map(HostId::as_str)
                ],
            )
            .map_err(|source| DeskError::Database { doing, source })?;
        match made {
            0 => Err(DeskError::Exists {
                what: "join token",
                name: hash.id().to_string(),
            }),
            _ => Ok(()),
        }
    }

    /// One token.
    ///
    /// # Errors
    /// [`DeskError::Token`] when nobody made it.
    pub fn get(&self, hash: TokenHash) -> Result<JoinToken, DeskError> {
        self.0.transaction("reading a join token", |transaction| {
            find(transaction, hash)?.ok_or(TokenRefusal::Unknown.into())
        })
    }

    /// Uses a token up and lets the host in with its certificate: both, or neither. Of any number of callers, at once
    /// or one after the other, one wins. Only a token that is bound to a name takes it over from an enrolled host.
    ///
    /// # Errors
    /// [`DeskError::Token`] says why the token does not let the host in; [`DeskError::Exists`] when the name is taken.
    pub fn redeem(
        &self,
        hash: TokenHash,
        host: &HostId,
        certificate: &Certificate,
        at: Timestamp,
    ) -> Result<JoinToken, DeskError> {
        let doing = "redeeming a join token";
        self.0.transaction(doing, |transaction| {
            let mut token = find(transaction, hash)?.ok_or(TokenRefusal::Unknown)?;
            token.check(host, at)?;
            enrol(transaction, host, certificate, at, token.bound_to.is_some())?;
            transaction
                .execute(
                    "UPDATE tokens SET used = ?2, used_by = ?3 WHERE hash = ?1",
                    params![hash.0, at.as_micros(), host.as_str()],
                )
                .map_err(|source| DeskError::Database { doing, source })?;
            token.used = Some((host.clone(), at));
            Ok(token)
        })
    }

    /// All tokens, newest first.
    ///
    /// # Errors
    /// When the database fails. Unreadable rows are left out and counted.
    pub fn list(&self) -> Result<Vec<JoinToken>, DeskError> {
        let sql = "SELECT * FROM tokens ORDER BY created DESC, hash";
        self.0.rows("reading join tokens", sql, (), read)
    }

    /// Withdraws a token that was not used yet. One that is withdrawn already keeps its time.
    ///
    /// # Errors
    /// [`DeskError::NotFound`], or [`DeskError::Token`] when it was used.
    pub fn revoke(&self, id: TokenId, at: Timestamp) -> Result<(), DeskError> {
        let token = self.list()?.into_iter().find(|token| token.hash.id() == id);
        let hash = token
            .map(|token| token.hash)
            .ok_or_else(|| DeskError::NotFound {
                what: "join token",
                name: id.to_string(),
            })?;
        let doing = "revoking a join token";
        self.0.transaction(doing, |transaction| {
            let token = find(transaction, hash)?.ok_or(TokenRefusal::Unknown)?;
            if let Some((by, at)) = token.used {
                return Err(TokenRefusal::Used { by, at }.into());
            }
            transaction
                .execute(
                    "UPDATE tokens SET revoked = ?2 WHERE hash = ?1 AND revoked IS NULL",
                    params![hash.0, at.as_micros()],
                )
                .map_err(|source| DeskError::Database { doing, source })?;
            Ok(())
        })
    }

    /// Forgets tokens that expired before `before`, and says how many.
    ///
    /// # Errors
    /// When the database fails.
    pub fn forget_expired(&self, before: Timestamp) -> Result<usize, DeskError> {
        let doing = "forgetting join tokens";
        self.0
            .connection()
            .execute(
                "DELETE FROM tokens WHERE expires < ?1",
                [before.as_micros()],
            )
            .map_err(|source| DeskError::Database { doing, source })
    }
}

fn find(transaction: &Transaction<'_>, hash: TokenHash) -> Result<Option<JoinToken>, DeskError> {
    let doing = "reading a join token";
    transaction
        .query_row("SELECT * FROM tokens WHERE hash = ?1", [hash.0], |row| {
            Ok(read(row))
        })
        .optional()
        .map_err(|source| DeskError::Database { doing, source })?
        .transpose()
}

fn read(row: &Row<'_>) -> Result<JoinToken, DeskError> {
    let columns = Columns {
        table: "tokens",
        row,
    };
    let used_by = columns.parsed_or_none("used_by", HostId::new)?;
    Ok(JoinToken {
        hash: TokenHash(columns.get("hash")?),
        created: columns.time("created")?,
        created_by: columns.get("created_by")?,
        expires: columns.time("expires")?,
        bound_to: columns.parsed_or_none("bound_to", HostId::new)?,
        used: used_by.zip(columns.time_or_none("used")?),
        revoked: columns.time_or_none("revoked")?,
    })
}
