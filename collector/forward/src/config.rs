//! Where to, and what: the file that `--forward` names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use serde::Deserialize;

/// Largest file, in bytes.
const FILE_LIMIT_BYTES: u64 = 256 * 1024;
/// Most targets.
const TARGET_LIMIT: usize = 16;
/// Most patterns of one target.
const PATTERN_LIMIT: usize = 256;
const QUEUE_DEFAULT: u64 = 1_000_000;
const QUEUE_LIMIT: u64 = 100_000_000;

/// Why the configuration cannot be used. No retry helps.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("{path} cannot be read")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file is larger than any that makes sense.
    #[error("{0} is over {FILE_LIMIT_BYTES} bytes")]
    TooLarge(PathBuf),
    /// Not TOML, or with a key that is not known.
    #[error("{path} is malformed: {source}")]
    Malformed {
        /// Which.
        path: PathBuf,
        /// Where, and what is wrong.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A value that cannot work.
    #[error("{path}, target {number}: {what}")]
    Value {
        /// Which file.
        path: PathBuf,
        /// Which target, from 1.
        number: usize,
        /// What is wrong, and what would be right.
        what: String,
    },
}

/// The protocol of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Protocol {
    /// Prometheus remote write: metrics.
    RemoteWrite,
    /// OTLP over HTTP: metrics, and logs where asked for.
    Otlp,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Where telemetry is passed on to, at most 16. Default none.
    #[serde(default)]
    target: Vec<RawTarget>,
}

/// `[[target]]`: a receiver. It needs metrics, logs, or both.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
struct RawTarget {
    /// What it speaks, as `otlp`: Prometheus remote write, which has no logs, or OTLP over HTTP with protobuf.
    protocol: Protocol,
    /// Where it is, as `https://metrics.example:4318`: for remote write the whole address, for OTLP what stands
    /// before `/v1/metrics` and `/v1/logs`.
    url: String,
    /// Which metrics, as `cpu.*`, where `*` stands for any text; at most 256 patterns. None: all. Default none.
    #[serde(default)]
    signals: Vec<String>,
    /// Whether metrics are sent. Default true.
    #[serde(default = "yes")]
    metrics: bool,
    /// Whether log lines are sent, as `true` says; only by OTLP. Default false.
    #[serde(default)]
    logs: bool,
    /// Sent with each request, as `{ X-Scope-OrgID = "one" }`. Default none.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// File with the token to show, as `/etc/firstlook/metrics-token`; read once, at the start. Not with `user`. Default:
    /// no token is shown.
    bearer_file: Option<PathBuf>,
    /// Name to show, as `firstlook`, with `password_file`. Default: no name is shown.
    user: Option<String>,
    /// File with the password of `user`, as `/etc/firstlook/metrics-password`; read once, at the start. Default: no
    /// password is shown.
    password_file: Option<PathBuf>,
    /// Authorities to trust, in PEM, as `/etc/firstlook/metrics-ca.pem`. Default: those of the system.
    ca_file: Option<PathBuf>,
    /// Samples and lines that wait for a slow receiver, 1,000 to 100,000,000, of 10 to 20 bytes each; beyond it the
    /// oldest are dropped. Default 1,000,000.
    #[serde(default = "queue_samples")]
    queue_samples: u64,
}

fn queue_samples() -> u64 {
    QUEUE_DEFAULT
}

fn yes() -> bool {
    true
}

/// A receiver, checked.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub protocol: Protocol,
    /// Base for OTLP, the whole address for remote write.
    pub url: Uri,
    /// Patterns of signals; empty takes all.
    pub signals: Vec<String>,
    pub metrics: bool,
    pub logs: bool,
    /// Sent with each request, authorization included.
    pub headers: HeaderMap,
    /// Authorities to trust instead of the system's, as PEM.
    pub ca_pem: Option<Vec<u8>>,
    /// Samples and lines that may wait.
    pub queue_samples: u64,
}

/// Receivers.
#[derive(Clone, Debug, Default)]
pub struct ForwardConfig {
    pub(crate) targets: Vec<Target>,
}

impl ForwardConfig {
    /// Reads a file, and the secrets that it names.
    ///
    /// # Errors
    /// [`ConfigError`] says what, where, and what would be right.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = String::from_utf8_lossy(&small_file(path)?).into_owned();
        let file: File = toml::from_str(&text).map_err(|source| ConfigError::Malformed {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
        let value = |number: usize, what: String| ConfigError::Value {
            path: path.to_owned(),
            number,
            what,
        };
        if file.target.len() > TARGET_LIMIT {
            let what = format!("at most {TARGET_LIMIT} targets are allowed");
            return Err(value(TARGET_LIMIT + 1, what));
        }
        let numbered = (1..).zip(file.target);
        let targets = numbered.map(|(number, raw)| {
            check(raw).map_err(|problem| match problem {
                Problem::Value(what) => value(number, what),
                Problem::File(error) => error,
            })
        });
        Ok(Self {
            targets: targets.collect::<Result<_, _>>()?,
        })
    }

    /// Whether there is nobody to send to.
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }
}

enum Problem {
    Value(String),
    File(ConfigError),
}

impl From<String> for Problem {
    fn from(what: String) -> Self {
        Self::Value(what)
    }
}

fn check(raw: RawTarget) -> Result<Target, Problem> {
    let url: Uri = raw
        .url
        .parse()
        .map_err(|error| format!("url {:?}: {error}", raw.url))?;
    if !matches!(url.scheme_str(), Some("http" | "https")) || url.host().is_none() {
        return Err(format!(
            "url {:?}: must be http://HOST[:PORT]/PATH or https://…",
            raw.url
        )
        .into());
    }
    if raw.logs && raw.protocol == Protocol::RemoteWrite {
        return Err("logs: remote write has none; use protocol = \"otlp\""
            .to_owned()
            .into());
    }
    if !raw.metrics && !raw.logs {
        return Err("neither metrics nor logs: nothing would be sent"
            .to_owned()
            .into());
    }
    if raw.signals.len() > PATTERN_LIMIT {
        return Err(format!("signals: at most {PATTERN_LIMIT} patterns").into());
    }
    let queue_samples = raw.queue_samples;
    if !(1_000..=QUEUE_LIMIT).contains(&queue_samples) {
        return Err(format!("queue_samples: must be 1000 to {QUEUE_LIMIT}").into());
    }
    let ca_pem = raw.ca_file.as_deref().map(small_file).transpose();
    Ok(Target {
        headers: headers(&raw)?,
        ca_pem: ca_pem.map_err(Problem::File)?,
        protocol: raw.protocol,
        url,
        signals: raw.signals,
        metrics: raw.metrics,
        logs: raw.logs,
        queue_samples,
    })
}

fn headers(raw: &RawTarget) -> Result<HeaderMap, Problem> {
    let mut headers = HeaderMap::new();
    for (name, value) in &raw.headers {
        let parsed = (
            HeaderName::try_from(name.as_str()),
            HeaderValue::try_from(value.as_str()),
        );
        let (Ok(name), Ok(value)) = parsed else {
            return Err(format!("headers: {name:?} or its value cannot stand in a request").into());
        };
        headers.insert(name, value);
    }
    let secret = |path: &Path| -> Result<String, Problem> {
        let bytes = small_file(path).map_err(Problem::File)?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    };
    let authorization = match (&raw.bearer_file, &raw.user, &raw.password_file) {
        (None, None, None) => return Ok(headers),
        (Some(file), None, None) => format!("Bearer {}", secret(file)?),
        (None, Some(user), Some(file)) => {
            let pair = format!("{user}:{}", secret(file)?);
            format!("Basic {}", BASE64_STANDARD.encode(pair))
        }
        _ => {
            let what = "say either bearer_file, or user and password_file";
            return Err(what.to_owned().into());
        }
    };
    let mut value = HeaderValue::try_from(authorization)
        .map_err(|_| "the secret holds characters that cannot stand in a request".to_owned())?;
    value.set_sensitive(true);
    headers.insert(header::AUTHORIZATION, value);
    Ok(headers)
}

fn small_file(path: &Path) -> Result<Vec<u8>, ConfigError> {
    let read = |source| ConfigError::Read {
        path: path.to_owned(),
        source,
    };
    if std::fs::metadata(path).map_err(read)?.len() > FILE_LIMIT_BYTES {
        return Err(ConfigError::TooLarge(path.to_owned()));
    }
    std::fs::read(path).map_err(read)
}

impl Target {
    /// Whether a signal of this name is wanted.
    pub fn wants(&self, signal: &str) -> bool {
        self.metrics && (self.signals.is_empty() || self.signals.iter().any(|p| matches(p, signal)))
    }
}

/// Whether `pattern`, in which `*` stands for any text, is all of `name`.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod reference;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ForwardConfig, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("forward.toml");
        std::fs::write(&path, text).unwrap();
        ForwardConfig::read(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn a_target_is_read_with_its_secrets() {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        std::fs::write(&secret, "s3cret\n").unwrap();
        let text = format!(
            "[[target]]\nprotocol = \"remote-write\"\nurl = \"http://127.0.0.1:9090/api/v1/write\"\n\
             signals = [\"cpu.*\"]\nuser = \"ana\"\npassword_file = {secret:?}\nheaders = {{ X-Scope = \"a\" }}\n"
        );
        let config = read(&text).unwrap();
        let target = &config.targets[0];
        assert_eq!(target.headers["authorization"], "Basic YW5hOnMzY3JldA==");
        assert_eq!(target.headers["x-scope"], "a");
        assert!(target.wants("cpu.user_seconds_total") && !target.wants("memory.total_bytes"));
        assert!(
            !format!("{target:?}").contains("YW5h"),
            "a secret is not printed"
        );
    }

    #[test]
    fn what_cannot_work_is_refused_with_the_reason() {
        let with =
            |more: &str| format!("[[target]]\nprotocol = \"otlp\"\nurl = \"http://h/\"\n{more}\n");
        let cases = [
            ("protocol = 3".to_owned(), "malformed"),
            (with("unknown = 1"), "unknown"),
            (
                "[[target]]\nprotocol = \"otlp\"\nurl = \"ftp://h/\"".to_owned(),
                "must be http",
            ),
            (
                "[[target]]\nprotocol = \"otlp\"\nurl = \"http://\"".to_owned(),
                "url",
            ),
            (with("metrics = false"), "nothing would be sent"),
            (with("queue_samples = 3"), "queue_samples"),
            (with("bearer_file = \"/nonexistent\""), "cannot be read"),
            (with("user = \"ana\""), "password_file"),
            (with("headers = { \"a b\" = \"c\" }"), "headers"),
            (
                "[[target]]\nprotocol = \"remote-write\"\nurl = \"http://h/\"\nlogs = true"
                    .to_owned(),
                "otlp",
            ),
            (with("").repeat(17), "at most 16"),
        ];
        for (text, why) in cases {
            let said = read(&text).unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
        }
        assert!(read("").unwrap().is_empty());
    }

    #[test]
    fn a_pattern_is_the_whole_name() {
        for (pattern, name, fits) in [
            ("*", "anything", true),
            ("cpu.*", "cpu.user", true),
            ("cpu.*", "xcpu.user", false),
            ("*_total", "a_total", true),
            ("*_total", "a_totals", false),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "abYb", false),
            ("a", "a", true),
            ("a", "ab", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }
}
