//! Enrolled hosts: which certificate each was given, and whether it is still welcome.

use firstlook_model::{HostId, Timestamp};
use rusqlite::{OptionalExtension, Row, Transaction, params};

use crate::audit::append;
use crate::row::{Columns, short};
use crate::{AuditEntry, Desk, DeskError};

/// What identifies a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Serial number, as its issuer writes it.
    pub serial: String,
    /// SHA-256 of its DER form, as its issuer writes it.
    pub fingerprint: String,
    /// When it expires.
    pub expires: Timestamp,
}

/// A host that was let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrolledHost {
    /// Which.
    pub host: HostId,
    /// The newest certificate given to it.
    pub certificate: Certificate,
    /// When it was let in, the last time if more than once.
    pub enrolled: Timestamp,
    /// When its certificate was last renewed.
    pub renewed: Option<Timestamp>,
    /// When it was shut out; `None` while it is welcome.
    pub revoked: Option<Timestamp>,
    /// Fingerprint of the certificate that it showed for the newest.
    pub former: Option<String>,
}

impl EnrolledHost {
    /// Whether a certificate of this fingerprint lets the host speak. One from before it last joined, or from before
    /// it was revoked, does not.
    pub fn admits(&self, fingerprint: &str) -> bool {
        let newest = &self.certificate.fingerprint;
        // Empty: a desk of an older version does not know it, until the next renewal.
        let known = newest.is_empty()
            || newest == fingerprint
            || self.former.as_deref() == Some(fingerprint);
        self.revoked.is_none() && known
    }
}

/// Access to enrolled hosts.
pub struct Hosts<'d>(pub(crate) &'d Desk);

impl Hosts<'_> {
    /// Notes that a host was given a new certificate for the one with the fingerprint `shown`, which it may go on
    /// showing until it renews with the new one.
    ///
    /// # Errors
    /// [`DeskError::NotFound`] when it was never enrolled, [`DeskError::Revoked`] when it was shut out,
    /// [`DeskError::Superseded`] when what it showed is void: give it none.
    pub fn renew(
        &self,
        host: &HostId,
        shown: &str,
        certificate: &Certificate,
        at: Timestamp,
    ) -> Result<(), DeskError> {
        let doing = "renewing a host's certificate";
        self.0.transaction(doing, |transaction| {
            let row = find(transaction, host)?;
            let host = host.clone();
            if let Some(at) = row.revoked {
                return Err(DeskError::Revoked { host, at });
            }
            if !row.admits(shown) {
                return Err(DeskError::Superseded { host });
            }
            let (serial, fingerprint) = written(certificate)?;
            transaction
                .execute(
                    "UPDATE hosts SET serial = ?2, fingerprint = ?3, expires = ?4, renewed = ?5,
                         former = ?6 WHERE host = ?1",
                    params![
                        host.as_str(),
                        serial,
                        fingerprint,
                        certificate.expires.as_micros(),
                        at.as_micros(),
                        short("a certificate's fingerprint", shown)?
                    ],
                )
                .map_err(|source| DeskError::Database { doing, source })?;
            Ok(())
        })
    }

    /// Shuts a host out, whatever certificate it shows, until a join token lets it in again. `entry` goes into the
    /// audit in the same transaction.
    ///
    /// # Errors
    /// [`DeskError::NotFound`] when it was never enrolled, [`DeskError::Revoked`] when it is out already.
    pub fn revoke(
        &self,
        host: &HostId,
        at: Timestamp,
        entry: &AuditEntry,
    ) -> Result<(), DeskError> {
        let doing = "revoking a host";
        self.0.transaction(doing, |transaction| {
            if let Some(at) = find(transaction, host)?.revoked {
                let host = host.clone();
                return Err(DeskError::Revoked { host, at });
            }
            transaction
                .execute(
                    "UPDATE hosts SET revoked = ?2 WHERE host = ?1",
                    params![host.as_str(), at.as_micros()],
                )
                .map_err(|source| DeskError::Database { doing, source })?;
            append(transaction, entry)
        })
    }

    /// One host; `None` when it was never enrolled.
    ///
    /// # Errors
    /// When its row or the database fails.
    pub fn get(&self, host: &HostId) -> Result<Option<EnrolledHost>, DeskError> {
        match self
            .0
            .transaction("reading a host", |transaction| find(transaction, host))
        {
            Err(DeskError::NotFound { .. }) => Ok(None),
            found => found.map(Some),
        }
    }

    /// All hosts ever enrolled, by name.
    ///
    /// # Errors
    /// When the database fails. Unreadable rows are left out and counted.
    pub fn list(&self) -> Result<Vec<EnrolledHost>, DeskError> {
        self.0.rows(
            "reading hosts",
            "SELECT * FROM hosts ORDER BY host",
            (),
            read,
        )
    }
}

/// Lets a host in with its first certificate. One that was known, even a revoked one, starts anew.
///
/// # Errors
/// [`DeskError::Exists`] when its name is in use and may not be taken over.
pub(crate) fn enrol(
    transaction: &Transaction<'_>,
    host: &HostId,
    certificate: &Certificate,
    at: Timestamp,
    take_over: bool,
) -> Result<(), DeskError> {
    match find(transaction, host) {
        Ok(row) if row.revoked.is_none() && !take_over => {
            return Err(DeskError::Exists {
                what: "host",
                name: host.to_string(),
            });
        }
        Ok(_) | Err(DeskError::NotFound { .. }) => {}
        Err(other) => return Err(other),
    }
    let (serial, fingerprint) = written(certificate)?;
    let doing = "enrolling a host";
    transaction
        .execute(
            "INSERT INTO hosts (host, serial, fingerprint, expires, enrolled)
             VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (host) DO UPDATE SET serial = ?2, fingerprint = ?3, expires = ?4,
                 enrolled = ?5, renewed = NULL, revoked = NULL, former = NULL",
            params![
                host.as_str(),
                serial,
                fingerprint,
                certificate.expires.as_micros(),
                at.as_micros()
            ],
        )
        .map_err(|source| DeskError::Database { doing, source })?;
    Ok(())
}

fn written(certificate: &Certificate) -> Result<(&str, &str), DeskError> {
    Ok((
        short("a certificate's serial number", &certificate.serial)?,
        short("a certificate's fingerprint", &certificate.fingerprint)?,
    ))
}

fn find(transaction: &Transaction<'_>, host: &HostId) -> Result<EnrolledHost, DeskError> {
    let doing = "reading a host";
    transaction
        .query_row(
            "SELECT * FROM hosts WHERE host = ?1",
            [host.as_str()],
            |row| Ok(read(row)),
        )
        .optional()
        .map_err(|source| DeskError::Database { doing, source })?
        .unwrap_or_else(|| {
            Err(DeskError::NotFound {
                what: "host",
                name: host.to_string(),
            })
        })
}

fn read(row: &Row<'_>) -> Result<EnrolledHost, DeskError> {
    let columns = Columns {
        table: "hosts",
        row,
    };
    Ok(EnrolledHost {
        host: columns.parsed("host", HostId::new)?,
        certificate: Certificate {
            serial: columns.get("serial")?,
            fingerprint: columns.get("fingerprint")?,
            expires: columns.time("expires")?,
        },
        enrolled: columns.time("enrolled")?,
        renewed: columns.time_or_none("renewed")?,
        revoked: columns.time_or_none("revoked")?,
        former: columns.get("former")?,
    })
}
