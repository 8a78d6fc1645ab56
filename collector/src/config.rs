//! What the collector is told, and its folder.
//!
//! The folder holds `authority/`, `addresses.toml`, `responder/`, `responders/`, `bearer.toml`, `store/`,
//! `desk.sqlite` and `snapshots/`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use firstlook_enrol::Authority;
use firstlook_runtime::clock;
use firstlook_runtime::files::{make_private_folder, write_atomically};
use serde::{Deserialize, Serialize};

/// Most names and addresses of a collector.
const ADDRESS_LIMIT: usize = 64;
/// Always valid in the collector's certificate.
const LOCAL: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Options of `run`.
#[derive(Clone, Debug, clap::Args)]
pub struct RunOptions {
    /// Where the collector keeps everything
    #[arg(long, value_name = "DIR")]
    pub data_dir: PathBuf,
    /// Where agents connect
    #[arg(long, default_value = "127.0.0.1:9443", value_name = "ADDR:PORT")]
    pub listen: SocketAddr,
    /// Where responders ask
    #[arg(long, default_value = "127.0.0.1:9444", value_name = "ADDR:PORT")]
    pub query_listen: SocketAddr,
    /// Name or address by which agents and responders reach it, beside those of init; may be repeated
    #[arg(long, value_name = "NAME_OR_IP")]
    pub address: Vec<String>,
    /// File that says where metrics and logs are passed on to: Prometheus, OTLP
    #[arg(long, value_name = "FILE")]
    pub forward: Option<PathBuf>,
    /// Folder of the team's own catalogue of faults: its .toml files are read over those that Firstlook ships
    #[arg(long, value_name = "DIR")]
    pub catalogue: Option<PathBuf>,
    /// How many days telemetry is kept, 1 to 3650
    #[arg(long, default_value_t = 14, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub retention_days: u32,
    /// How many GiB of telemetry are kept, 1 to 1000000
    #[arg(long, default_value_t = 20, value_name = "GIB", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub retention_gib: u32,
    /// For how many days after its end a host may still renew its last certificate, 0 (not at all) to 365
    #[arg(long, default_value_t = 30, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(0..=365))]
    pub return_days: u32,
}

impl RunOptions {
    /// Retention by age.
    pub fn retention_age(&self) -> Duration {
        Duration::from_secs(u64::from(self.retention_days) * 86_400)
    }

    /// How long after its end a host may still renew its last certificate.
    pub fn return_within(&self) -> Duration {
        Duration::from_secs(u64::from(self.return_days) * 86_400)
    }

    /// Retention by bytes.
    pub fn retention_bytes(&self) -> u64 {
        u64::from(self.retention_gib) << 30
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Addresses {
    addresses: Vec<String>,
}

/// The collector's folder, with its authority open.
pub struct Home {
    dir: PathBuf,
    /// The authority.
    pub authority: Authority,
    /// Names and addresses by which the collector is reached.
    pub addresses: Vec<String>,
}

impl Home {
    /// Opens the folder, making the authority and the first responder's credentials where they are
    /// missing. `addresses` are added to those known and kept.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn open(dir: &Path, addresses: &[String]) -> anyhow::Result<Self> {
        make_private(dir)?;
        let authority_dir = dir.join("authority");
        make_private(&authority_dir)?;
        let authority = Authority::open(&authority_dir, clock::now())
            .context("the authority cannot be opened or made")?;
        let addresses = keep_addresses(&dir.join("addresses.toml"), addresses)?;
        let home = Self {
            dir: dir.to_owned(),
            authority,
            addresses,
        };
        let first = home.responder_dir();
        if !first.join("key.pem").exists() {
            home.write_credentials(&first, "responder")?;
        }
        Ok(home)
    }

    /// Credentials of the first responder.
    pub fn responder_dir(&self) -> PathBuf {
        self.dir.join("responder")
    }

    /// Hashes of bearer tokens.
    pub fn bearer_file(&self) -> PathBuf {
        self.dir.join("bearer.toml")
    }

    /// A file or folder of the given name.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Makes credentials for a further responder; gives their folder.
    ///
    /// # Errors
    /// When the name is not plain, taken, or a file cannot be written.
    pub fn add_responder(&self, name: &str) -> anyhow::Result<PathBuf> {
        check_name(name)?;
        let dir = self.dir.join("responders").join(name);
        anyhow::ensure!(!dir.exists(), "{} exists already", dir.display());
        self.write_credentials(&dir, name)?;
        Ok(dir)
    }

    fn write_credentials(&self, dir: &Path, name: &str) -> anyhow::Result<()> {
        make_private(dir)?;
        let (issued, key) = self.authority.issue_responder(name, clock::now())?;
        let files = [
            ("ca.pem", self.authority.certificate_pem(), 0o644),
            ("cert.pem", &issued.certificate_pem, 0o644),
            ("key.pem", &key, 0o600),
        ];
        for (name, text, mode) in files {
            let path = dir.join(name);
            write_atomically(&path, text.as_bytes(), mode)
                .with_context(|| format!("{} cannot be written", path.display()))?;
        }
        Ok(())
    }
}

/// A name that may stand in a path and a certificate.
///
/// # Errors
/// When it is empty, long, or holds anything but letters, digits, `.`, `-`, `_`, `@`.
pub fn check_name(name: &str) -> anyhow::Result<()> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'@');
    let fits =
        (1..=64).contains(&name.len()) && name.bytes().all(plain) && !name.starts_with(['.', '-']);
    anyhow::ensure!(
        fits,
        "{name:?} cannot be a responder's name: 1 to 64 of a-z, A-Z, 0-9, '.', '-', '_', '@'"
    );
    Ok(())
}

fn make_private(dir: &Path) -> anyhow::Result<()> {
    make_private_folder(dir).with_context(|| format!("folder {} cannot be made", dir.display()))
}

fn keep_addresses(path: &Path, given: &[String]) -> anyhow::Result<Vec<String>> {
    let mut kept = match std::fs::read_to_string(path) {
        Ok(text) => toml::from_str::<Addresses>(&text)
            .with_context(|| format!("{} is malformed", path.display()))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Addresses::default(),
        Err(error) => {
            return Err(error).with_context(|| format!("{} cannot be read", path.display()));
        }
    };
    let known = kept.addresses.len();
    for address in LOCAL
        .iter()
        .map(|s| (*s).to_owned())
        .chain(given.iter().cloned())
    {
        if !kept.addresses.contains(&address) {
            kept.addresses.push(address);
        }
    }
    anyhow::ensure!(
        kept.addresses.len() <= ADDRESS_LIMIT,
        "more than {ADDRESS_LIMIT} addresses in {}",
        path.display()
    );
    if kept.addresses.len() != known {
        write_atomically(path, toml::to_string(&kept)?.as_bytes(), 0o644)
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(kept.addresses)
}

#[cfg(test)]
mod reference;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opening_twice_keeps_authority_credentials_and_addresses() {
        let dir = tempfile::tempdir().unwrap();
        let first = Home::open(dir.path(), &["10.0.0.1".to_owned()]).unwrap();
        let key = std::fs::read(first.responder_dir().join("key.pem")).unwrap();
        let again = Home::open(dir.path(), &[]).unwrap();
        assert_eq!(first.authority.fingerprint(), again.authority.fingerprint());
        assert_eq!(
            key,
            std::fs::read(again.responder_dir().join("key.pem")).unwrap()
        );
        assert!(again.addresses.contains(&"10.0.0.1".to_owned()));
    }

    #[test]
    fn responders_names_cannot_leave_their_folder() {
        for bad in ["", "..", "a/b", "-x", &"x".repeat(65)] {
            assert!(check_name(bad).is_err(), "{bad:?} was accepted");
        }
        assert!(check_name("ana@ops").is_ok());
    }
}
