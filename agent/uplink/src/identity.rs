//! Who this agent is: `identity.toml` (host, collector) and `identity.pem` (key, certificate, authority).
//!
//! Key and certificate stand in one file so that they can never be of two different pairs.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use firstlook_model::{HostId, InvalidId, Timestamp};
use firstlook_runtime::files::{make_private_folder, write_atomically};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};
use x509_parser::prelude::{FromDer, X509Certificate};

const NAME_FILE: &str = "identity.toml";
const PEM_FILE: &str = "identity.pem";
/// Separates the three parts of the PEM file; PEM ignores text between blocks.
const SEPARATOR: &str = "# ----\n";

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The agent never joined.
    #[error(
        "this host has not joined a collector: run `firstlook-agent join URL --token TOKEN` ({0} is missing)"
    )]
    NotJoined(PathBuf),
    /// A file cannot be read or written.
    #[error("identity file {path} cannot be read or written")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Others may read the key.
    #[error(
        "identity file {0} may be read by others: run `chmod 600 {0}`, or join again with a new token"
    )]
    Exposed(PathBuf),
    /// A file is not what was written.
    #[error("identity file {path} is damaged ({what}): join again with a new token")]
    Damaged {
        /// Which.
        path: PathBuf,
        /// In what way.
        what: String,
    },
    /// The host's name breaks its rule.
    #[error(transparent)]
    Host(#[from] InvalidId),
}

/// Name and address.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Name {
    host: String,
    collector: String,
}

/// A joined agent's identity.
#[derive(Clone)]
pub struct Identity {
    /// The host's name, as the collector decided.
    pub host: HostId,
    /// Address of the collector, as `https://collector:9443`.
    pub collector: String,
    pub(crate) key_pem: String,
    pub(crate) certificate_pem: String,
    pub(crate) authority_pem: String,
    pub(crate) begins: Timestamp,
    /// When the certificate ends.
    pub expires: Timestamp,
}

/// Never shows the key.
impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

impl Identity {
    /// Assembles an identity, reading the certificate's span.
    ///
    /// # Errors
    /// [`IdentityError::Damaged`] when the certificate is none.
    pub(crate) fn new(
        host: HostId,
        collector: String,
        key_pem: String,
        certificate_pem: String,
        authority_pem: String,
    ) -> Result<Self, IdentityError> {
        let damaged = |what: &str| IdentityError::Damaged {
            path: PathBuf::from(PEM_FILE),
            what: what.to_owned(),
        };
        let der = CertificateDer::from_pem_slice(certificate_pem.as_bytes())
            .map_err(|_| damaged("no certificate"))?;
        let (_, certificate) =
            X509Certificate::from_der(&der).map_err(|_| damaged("certificate is malformed"))?;
        let (begins, expires) = (
            Timestamp::from_secs(certificate.validity().not_before.timestamp()),
            Timestamp::from_secs(certificate.validity().not_after.timestamp()),
        );
        Ok(Self {
            host,
            collector,
            key_pem,
            certificate_pem,
            authority_pem,
            begins,
            expires,
        })
    }

    /// Whether an identity is kept in `dir`.
    pub fn exists(dir: &Path) -> bool {
        dir.join(NAME_FILE).exists()
    }

    /// Reads the identity in `dir`.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn load(dir: &Path) -> Result<Self, IdentityError> {
        let (name_path, pem_path) = (dir.join(NAME_FILE), dir.join(PEM_FILE));
        let name: Name =
            toml::from_str(&read(&name_path)?).map_err(|error| IdentityError::Damaged {
                path: name_path,
                what: error.message().to_owned(),
            })?;
        let pem = read_private(&pem_path)?;
        let mut parts = pem.split(SEPARATOR).map(str::to_owned);
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(key), Some(certificate), Some(authority), None) => {
                let host = HostId::new(name.host)?;
                Self::new(host, name.collector, key, certificate, authority)
            }
            _ => Err(IdentityError::Damaged {
                path: pem_path,
                what: "parts are missing".into(),
            }),
        }
    }

    /// Makes `dir`, for its owner alone, and makes sure that files can be written there.
    ///
    /// # Errors
    /// [`IdentityError::File`].
    pub(crate) fn prepare(dir: &Path) -> Result<(), IdentityError> {
        let file = |source| IdentityError::File {
            path: dir.to_owned(),
            source,
        };
        make_private_folder(dir).map_err(file)?;
        let probe = dir.join("identity.probe");
        write_atomically(&probe, b"", 0o600).map_err(file)?;
        std::fs::remove_file(probe).map_err(file)
    }

    /// Keeps the identity in `dir`, which is made where it is missing.
    ///
    /// # Errors
    /// [`IdentityError::File`].
    pub fn save(&self, dir: &Path) -> Result<(), IdentityError> {
        let file = |path: PathBuf, source| IdentityError::File { path, source };
        Self::prepare(dir)?;
        let pem = [&*self.key_pem, &*self.certificate_pem, &*self.authority_pem].join(SEPARATOR);
        let path = dir.join(PEM_FILE);
        write_atomically(&path, pem.as_bytes(), 0o600).map_err(|e| file(path, e))?;
        let name = Name {
            host: self.host.to_string(),
            collector: self.collector.clone(),
        };
        let path = dir.join(NAME_FILE);
        let text = toml::to_string(&name)
            .map_err(|e| file(path.clone(), std::io::Error::other(e.to_string())))?;
        write_atomically(&path, text.as_bytes(), 0o644).map_err(|e| file(path, e))
    }

    /// When to renew: at two thirds of the certificate's life.
    pub fn renew_at(&self) -> Timestamp {
        self.begins
            .plus(self.expires.since(self.begins).mul_f64(2.0 / 3.0))
    }
}

/// Reads a file that holds a key: nobody but its owner may be able to.
fn read_private(path: &Path) -> Result<String, IdentityError> {
    let text = read(path)?;
    let mode = path.metadata().map(|m| m.permissions().mode());
    match mode {
        Ok(mode) if mode & 0o077 == 0 => Ok(text),
        _ => Err(IdentityError::Exposed(path.to_owned())),
    }
}

fn read(path: &Path) -> Result<String, IdentityError> {
    std::fs::read_to_string(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => IdentityError::NotJoined(path.to_owned()),
        _ => IdentityError::File {
            path: path.to_owned(),
            source,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        let made = rcgen::generate_simple_self_signed(vec!["h".to_owned()]).unwrap();
        let pem = made.cert.pem();
        let host = HostId::new("h1").unwrap();
        let key = made.signing_key.serialize_pem();
        Identity::new(host, "https://c:1".into(), key, pem.clone(), pem).unwrap()
    }

    #[test]
    fn reads_back_and_keeps_the_key_private() {
        let dir = tempfile::tempdir().unwrap();
        let saved = identity();
        saved.save(dir.path()).unwrap();
        let loaded = Identity::load(dir.path()).unwrap();
        assert_eq!(
            (&loaded.host, &loaded.key_pem),
            (&saved.host, &saved.key_pem)
        );
        assert_eq!(loaded.authority_pem, saved.authority_pem);
        let mode = dir
            .path()
            .join(PEM_FILE)
            .metadata()
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!format!("{saved:?}").contains("PRIVATE"));
    }

    #[test]
    fn says_what_is_missing_or_damaged() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(
            Identity::load(dir.path()),
            Err(IdentityError::NotJoined(_))
        ));
        identity().save(dir.path()).unwrap();
        std::fs::write(dir.path().join(PEM_FILE), "junk").unwrap();
        assert!(matches!(
            Identity::load(dir.path()),
            Err(IdentityError::Damaged { .. })
        ));
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        identity().save(dir.path()).unwrap();
        let open = std::fs::Permissions::from_mode(0o640);
        std::fs::set_permissions(dir.path().join(PEM_FILE), open).unwrap();
        assert!(matches!(
            Identity::load(dir.path()),
            Err(IdentityError::Exposed(_))
        ));
    }

    #[test]
    fn renews_at_two_thirds() {
        let mut identity = identity();
        identity.begins = Timestamp::from_secs(0);
        identity.expires = Timestamp::from_secs(86_400);
        assert_eq!(identity.renew_at(), Timestamp::from_secs(57_600));
    }
}
