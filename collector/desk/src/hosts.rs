//! Enrolled hosts: which certificate each was given, and whether it is still welcome.

use firstlook_model::{HostId, Timestamp};
use rusqlite::{OptionalExtension, Row, Transaction, params};

use crate::row::{Columns, short};
use crate::{Desk, DeskError};

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
}

/// Access to enrolled hosts.
pub struct Hosts<'d>(pub(crate) &'d Desk);

const REVOKE: &str = "revoking a host";

impl Hosts<'_> {
    /// Notes that a host was let in with this certificate. A host that was known, even a revoked one,
    /// starts anew: whether that may be is the business of whoever lets it in.
    ///
    /// # Errors
    /// When a text is over its limit or the database fails.
    pub fn enrol(
        &self,
        host: &HostId,
        certificate: &Certificate,
        at: Timestamp,
    ) -> Result<(), DeskError> {
        self.0.transaction("enrolling a host", |transaction| {
            write(
                transaction,
                "INSERT INTO hosts (host, serial, fingerprint, expires, enrolled)
                 VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (host) DO UPDATE SET serial = ?2, fingerprint = ?3, expires = ?4,
                     enrolled = ?5, renewed = NULL, revoked = NULL",
                host,
                certificate,
                at,
            )
        })
    }

    /// Notes that a host was given a new certificate.
    ///
    /// # Errors
    /// [`DeskError::NotFound`] when it was never enrolled, [`DeskError::Revoked`] when it was shut out: give
    /// it none.
    pub fn renew(
        &self,
        host: &HostId,
        certificate: &Certificate,
        at: Timestamp,
    ) -> Result<(), DeskError> {
        self.0
            .transaction("renewing a host's certificate", |transaction| {
                if let Some(revoked) = find(transaction, host)?.revoked {
                    let host = host.clone();
                    return Err(DeskError::Revoked { host, at: revoked });
                }
                write(
                    transaction,
                    "UPDATE hosts SET serial = ?2, fingerprint = ?3, expires = ?4, renewed = ?5
                 WHERE host = ?1",
                    host,
                    certificate,
                    at,
                )
            })
    }

    /// Shuts a host out. One that is out already keeps its time.
    ///
    /// # Errors
    /// [`DeskError::NotFound`] when it was never enrolled.
    pub fn revoke(&self, host: &HostId, at: Timestamp) -> Result<(), DeskError> {
        self.0.transaction(REVOKE, |transaction| {
            find(transaction, host)?;
            transaction
                .execute(
                    "UPDATE hosts SET revoked = ?2 WHERE host = ?1 AND revoked IS NULL",
                    params![host.as_str(), at.as_micros()],
                )
                .map_err(|source| DeskError::Database {
                    doing: REVOKE,
                    source,
                })?;
            Ok(())
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

fn write(
    transaction: &Transaction<'_>,
    sql: &str,
    host: &HostId,
    certificate: &Certificate,
    at: Timestamp,
) -> Result<(), DeskError> {
    let values = params![
        host.as_str(),
        short("a certificate's serial number", &certificate.serial)?,
        short("a certificate's fingerprint", &certificate.fingerprint)?,
        certificate.expires.as_micros(),
        at.as_micros()
    ];
    let doing = "storing a host's certificate";
    let failed = |source| DeskError::Database { doing, source };
    transaction.execute(sql, values).map_err(failed)?;
    Ok(())
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
    })
}
