//! Where a probe goes: an address or a name, and a port.

use std::fmt;
use std::net::IpAddr;

use serde::Deserialize;

/// Longest name of a host, in bytes: RFC 1035 §2.3.4.
const NAME_LIMIT_BYTES: usize = 253;

/// `127.0.0.1:80`, `[::1]:80` or `www.example.org:80`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Target {
    host: String,
    port: u16,
}

/// A text that is no [`Target`].
#[derive(Debug, thiserror::Error)]
#[error(
    "{0:?}: an address or a name with a port is needed, as \"127.0.0.1:80\", \"[::1]:80\" or \"www.example.org:80\""
)]
pub struct NoTarget(String);

impl TryFrom<String> for Target {
    type Error = NoTarget;

    fn try_from(text: String) -> Result<Self, NoTarget> {
        let parsed = (|| {
            let (host, port) = text.rsplit_once(':')?;
            let port = port.parse().ok().filter(|port| *port > 0)?;
            let inner = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
            let host = match inner {
                Some(address) => address.parse::<std::net::Ipv6Addr>().ok()?.to_string(),
                None => Some(host).filter(|host| is_name(host))?.to_owned(),
            };
            Some(Self { host, port })
        })();
        parsed.ok_or_else(|| NoTarget(text.chars().take(300).collect()))
    }
}

/// Also holds for addresses of version 4.
fn is_name(host: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    (1..=NAME_LIMIT_BYTES).contains(&host.len()) && host.bytes().all(allowed)
}

impl Target {
    /// The name, or the address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address, where no resolver is needed.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn targets_are_addresses_or_names_with_a_port() {
        for text in ["127.0.0.1:80", "[::1]:80", "www.example.org:443", "a_b:1"] {
            let target = Target::try_from(text.to_owned()).unwrap();
            assert_eq!(target.to_string(), text);
        }
        for text in [
            "",
            ":80",
            "x",
            "x:",
            "x:0",
            "x:65536",
            "::1:80",
            "a b:80",
            "[x]:80",
            "http://x:80",
        ] {
            assert!(Target::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_target_that_prints_alike_or_refused(text in "(\\[|\\]|:|[0-9a-f.]|\\PC){0,12}") {
            if let Ok(target) = Target::try_from(text) {
                let again = Target::try_from(target.to_string()).unwrap();
                prop_assert_eq!(again, target);
            }
        }
    }
}
