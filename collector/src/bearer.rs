//! Bearer tokens of responders: SHA-256 hashes in `bearer.toml`, read anew for each question, for there are
//! few questions and a token that was taken away must not live on.

use std::path::{Path, PathBuf};

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use firstlook_query::BearerTokens;
use firstlook_runtime::files::write_atomically;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};

use crate::config::check_name;

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    token: Vec<Row>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    sha256: String,
}

/// The file of hashes.
pub struct BearerFile(pub PathBuf);

impl BearerTokens for BearerFile {
    /// Compares hashes: how long that takes tells nothing of the token.
    fn responder(&self, token: &str) -> Option<String> {
        let wanted = hash(token);
        let file = read(&self.0)
            .inspect_err(|error| tracing::error!(%error, "bearer tokens cannot be read"))
            .ok()?;
        file.token
            .into_iter()
            .find(|row| row.sha256 == wanted)
            .map(|row| row.name)
    }
}

/// Draws a token for `name`, keeps its hash, and gives it.
///
/// # Errors
/// When the name is not plain or the file cannot be read or written.
pub fn add(path: &Path, name: &str) -> anyhow::Result<String> {
    check_name(name)?;
    let mut bytes = [0u8; 32];
    SystemRandom::new()
        .fill(&mut bytes)
        .ok()
        .context("the system gives no randomness")?;
    let token = format!("flr1.{}", URL_SAFE_NO_PAD.encode(bytes));
    let mut file = read(path)?;
    file.token.push(Row {
        name: name.to_owned(),
        sha256: hash(&token),
    });
    write_atomically(path, toml::to_string(&file)?.as_bytes(), 0o600)
        .with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(token)
}

fn read(path: &Path) -> anyhow::Result<File> {
    match std::fs::read_to_string(path) {
        Ok(text) => {
            toml::from_str(&text).with_context(|| format!("{} is malformed", path.display()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(File::default()),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
}

fn hash(token: &str) -> String {
    digest(&SHA256, token.as_bytes())
        .as_ref()
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_token_that_was_given_names_someone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bearer.toml");
        let file = BearerFile(path.clone());
        assert_eq!(file.responder("flr1.guess"), None);
        let token = add(&path, "ana").unwrap();
        assert_eq!(file.responder(&token), Some("ana".to_owned()));
        assert_eq!(file.responder(&format!("{token}x")), None);
        assert!(!std::fs::read_to_string(&path).unwrap().contains(&token));
    }
}
