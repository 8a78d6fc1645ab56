//! Channels to the collector.

use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity as TlsIdentity};
use tower::service_fn;

use crate::identity::Identity;

/// Why there is no channel.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("collector's address {0:?} is malformed: it reads https://HOST or https://HOST:PORT")]
    Address(String),
    #[error(transparent)]
    Transport(#[from] tonic::transport::Error),
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A collector that answers no ping within this, idle or not, is gone.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Port of a collector's address that names none.
const DEFAULT_PORT: u16 = 9443;

/// A channel over mutual TLS.
///
/// # Errors
/// When the address is malformed or the collector does not answer.
pub(crate) async fn mutual(identity: &Identity) -> Result<Channel, ConnectError> {
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(&identity.authority_pem))
        .identity(TlsIdentity::from_pem(
            &identity.certificate_pem,
            &identity.key_pem,
        ));
    let channel = endpoint("https", &identity.collector)?.tls_config(tls)?;
    Ok(channel.connect().await?)
}

/// A channel with TLS settings of our own.
///
/// # Errors
/// When the address is malformed or the collector does not answer, or is not the pinned one.
pub(crate) async fn with_config(
    collector: &str,
    config: ClientConfig,
) -> Result<Channel, ConnectError> {
    let connector = TlsConnector::from(Arc::new(config));
    // The connector below does TLS: to tonic the address is plain.
    let channel = endpoint("http", collector)?
        .connect_with_connector(service_fn(move |uri: http::Uri| {
            let connector = connector.clone();
            async move {
                let host = uri
                    .host()
                    .unwrap_or_default()
                    .trim_matches(['[', ']'])
                    .to_owned();
                let port = uri.port_u16().unwrap_or(DEFAULT_PORT);
                let name = ServerName::try_from(host.clone()).map_err(std::io::Error::other)?;
                let socket = TcpStream::connect((host, port)).await?;
                let stream = timeout(CONNECT_TIMEOUT, connector.connect(name, socket))
                    .await
                    .map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))??;
                Ok::<_, std::io::Error>(TokioIo::new(stream))
            }
        }))
        .await?;
    Ok(channel)
}

fn endpoint(scheme: &str, collector: &str) -> Result<Endpoint, ConnectError> {
    let address = authority(collector)
        .map(|authority| format!("{scheme}://{authority}"))
        .ok_or_else(|| ConnectError::Address(collector.to_owned()))?;
    Ok(Endpoint::from_shared(address)?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .tcp_nodelay(true))
}

/// Host and port of a collector's address; [`DEFAULT_PORT`] where it names none. `None` for what is no address
/// of a collector: another scheme, user names, paths, queries.
fn authority(collector: &str) -> Option<String> {
    let uri: http::Uri = collector.parse().ok()?;
    let authority = uri.authority()?;
    let bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
    let fits = uri.scheme_str() == Some("https")
        && bare
        && !authority.host().is_empty()
        && !authority.as_str().contains('@');
    let port = match authority.port() {
        Some(port) => port.as_u16(),
        None => DEFAULT_PORT,
    };
    fits.then(|| format!("{}:{port}", authority.host()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_the_agents_port_unless_it_names_one() {
        for (address, expected) in [
            ("https://c1", Some("c1:9443")),
            ("https://c1/", Some("c1:9443")),
            ("https://192.0.2.1:7000", Some("192.0.2.1:7000")),
            ("https://[2001:db8::1]", Some("[2001:db8::1]:9443")),
            ("http://c1", None),
            ("c1:9443", None),
            ("https://c1/path", None),
            ("https://c1?x=1", None),
            ("https://me@c1", None),
            ("", None),
        ] {
            assert_eq!(authority(address).as_deref(), expected, "{address:?}");
        }
    }
}
