//! Where the collector is: flag, then environment, then `~/.config/firstlook/config.toml`.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::args::Global;
use crate::exit::Failure;

/// Where to ask when nothing says otherwise.
pub const DEFAULT_COLLECTOR: &str = "https://127.0.0.1:9444";

/// The configuration file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// The collector's address for responders. Default: https://127.0.0.1:9444.
    collector: Option<String>,
    /// Folder with ca.pem, cert.pem and key.pem. No default.
    credentials: Option<PathBuf>,
}

/// Where to ask and as whom.
#[derive(Debug, PartialEq, Eq)]
pub struct Target {
    /// Address.
    pub collector: String,
    /// Folder with ca.pem, cert.pem and key.pem.
    pub credentials: PathBuf,
    /// Bearer token, instead of a certificate.
    pub token: Option<String>,
}

impl Target {
    /// Settles flags, environment and file.
    ///
    /// # Errors
    /// Usage, when the file is malformed or nothing names the credentials.
    pub fn settle(global: &Global) -> Result<Self, Failure> {
        let path = default_path();
        let file = match &path {
            Some(path) => read(path)?,
            None => File::default(),
        };
        let credentials = global
            .credentials
            .clone()
            .or(file.credentials)
            .ok_or_else(|| {
                Failure::usage(
                    "no credentials: say --credentials DIR, set FIRSTLOOK_CREDENTIALS, or put \
                 `credentials = \"DIR\"` into ~/.config/firstlook/config.toml",
                )
            })?;
        let collector = global.collector.clone().or(file.collector);
        let collector = collector.unwrap_or_else(|| DEFAULT_COLLECTOR.to_owned());
        check_scheme(&collector)?;
        Ok(Self {
            collector,
            credentials,
            token: global.token.clone(),
        })
    }
}

/// Anything but https would be asked in the clear, and a bearer token be said to whoever listens.
fn check_scheme(collector: &str) -> Result<(), Failure> {
    let scheme = collector.split_once("://").map(|(scheme, _)| scheme);
    match scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https")) {
        true => Ok(()),
        false => Err(Failure::usage(format!(
            "the collector's address {collector:?} does not begin with https://"
        ))),
    }
}

fn default_path() -> Option<PathBuf> {
    let base = match std::env::var_os("XDG_CONFIG_HOME") {
        Some(dir) if !dir.is_empty() => PathBuf::from(dir),
        _ => PathBuf::from(std::env::var_os("HOME")?).join(".config"),
    };
    Some(base.join("firstlook").join("config.toml"))
}

fn read(path: &Path) -> Result<File, Failure> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(File::default()),
        Err(error) => {
            return Err(Failure::usage(format!(
                "cannot read {}: {error}",
                path.display()
            )));
        }
    };
    toml::from_str(&text)
        .map_err(|error| Failure::usage(format!("{} is malformed: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_asked_over_tls_only() {
        for good in ["https://c1:9444", "HTTPS://192.0.2.1:9444"] {
            assert_eq!(check_scheme(good), Ok(()));
        }
        for bad in ["http://c1:9444", "c1:9444", "ftp://c1", "", "https:/c1"] {
            let refused = check_scheme(bad).unwrap_err();
            assert!(refused.message.contains("https://"), "{refused:?}");
        }
    }

    #[test]
    fn an_unknown_key_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        std::fs::write(&path, "colector = \"https://x\"\n").unwrap();
        assert!(read(&path).unwrap_err().message.contains("colector"));
    }
}
