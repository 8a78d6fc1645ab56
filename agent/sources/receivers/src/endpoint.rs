//! Where metrics are scraped: an URL that needs no resolver.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::Deserialize;

/// Longest as printed, in bytes: it stands whole in the names of the series about it.
const LIMIT_BYTES: usize = 96;

/// `http://127.0.0.1:9100/metrics`. The host is an address or `localhost`, the port 80 and the path `/metrics` unless
/// given.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Endpoint {
    address: SocketAddr,
    path: String,
}

/// A text that is no [`Endpoint`].
#[derive(Debug, thiserror::Error)]
#[error(
    "{0:?}: an URL with an address is needed, of at most {LIMIT_BYTES} bytes, as \"http://127.0.0.1:9100/metrics\""
)]
pub struct NoEndpoint(String);

impl TryFrom<String> for Endpoint {
    type Error = NoEndpoint;

    fn try_from(text: String) -> Result<Self, NoEndpoint> {
        parsed(&text).ok_or_else(|| NoEndpoint(text.chars().take(200).collect()))
    }
}

fn parsed(text: &str) -> Option<Endpoint> {
    let rest = text.strip_prefix("http://")?;
    let (authority, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, "/metrics"),
    };
    let plain = |b: u8| b.is_ascii_graphic() && !b"#\"\\".contains(&b);
    let endpoint = Endpoint {
        address: address(authority)?,
        path: path.to_owned(),
    };
    let fits = endpoint.to_string().len() <= LIMIT_BYTES && path.bytes().all(plain);
    fits.then_some(endpoint)
}

fn address(authority: &str) -> Option<SocketAddr> {
    let numbered = match authority.strip_prefix("localhost") {
        Some("") => return Some((Ipv4Addr::LOCALHOST, 80).into()),
        Some(port) => format!("127.0.0.1{port}"),
        None => authority.to_owned(),
    };
    let bare = || {
        let inner = numbered
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        let address: IpAddr = inner.unwrap_or(&numbered).parse().ok()?;
        (address.is_ipv4() != inner.is_some()).then_some((address, 80).into())
    };
    let address: SocketAddr = numbered.parse().ok().or_else(bare)?;
    (address.port() > 0).then_some(address)
}

impl Endpoint {
    /// Address and port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Path with its query; begins with `/`.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.address, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn endpoints_have_an_address_and_need_no_resolver() {
        for (text, meant) in [
            ("http://127.0.0.1:9100", "http://127.0.0.1:9100/metrics"),
            ("http://localhost:1/a?b=c", "http://127.0.0.1:1/a?b=c"),
            ("http://localhost", "http://127.0.0.1:80/metrics"),
            ("http://192.0.2.1/", "http://192.0.2.1:80/"),
            ("http://[::1]:8080/m", "http://[::1]:8080/m"),
            ("http://[::1]/m", "http://[::1]:80/m"),
        ] {
            let endpoint = Endpoint::try_from(text.to_owned()).unwrap();
            assert_eq!(endpoint.to_string(), meant);
        }
        for text in [
            "",
            "127.0.0.1:9100",
            "https://127.0.0.1/metrics",
            "http://www.example.org/metrics",
            "http://localhost.example.org/",
            "http://127.0.0.1:0/",
            "http://[127.0.0.1]/",
            "http://::1/",
            "http://user@127.0.0.1/",
            "http://127.0.0.1/a b",
            "http://127.0.0.1/a\r\nX: y",
            "http://127.0.0.1/a\"",
        ] {
            assert!(Endpoint::try_from(text.to_owned()).is_err(), "{text}");
        }
        let long = format!("http://127.0.0.1:1/{}", "a".repeat(LIMIT_BYTES));
        assert!(Endpoint::try_from(long).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_an_endpoint_that_prints_alike_or_refused(text in "(http://)?(localhost|\\[|\\]|:|/|[0-9.]|\\PC){0,12}") {
            if let Ok(endpoint) = Endpoint::try_from(text) {
                let again = Endpoint::try_from(endpoint.to_string()).unwrap();
                prop_assert_eq!(again, endpoint);
            }
        }
    }
}
