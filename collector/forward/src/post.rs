//! One HTTP request, and what its answer means.

use std::time::Duration;

use bytes::Bytes;
use firstlook_runtime::telemetry::chain;
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::config::Target;

/// From the first byte sent to the last received.
const TIMEOUT: Duration = Duration::from_secs(30);
/// What is read of an answer; more says nothing new.
const ANSWER_LIMIT_BYTES: usize = 4 * 1024;
/// Longest time that a receiver may tell us to wait.
const RETRY_AFTER_LIMIT: Duration = Duration::from_secs(300);

/// A client that cannot be made. No retry helps.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The system's authorities cannot be read, and none were given.
    #[error("the system's certificate authorities cannot be read: name a ca_file")]
    NoAuthorities(#[source] std::io::Error),
    /// The file holds no certificate that can be used.
    #[error("ca_file: no usable certificate in it: {0}")]
    Authorities(String),
}

/// How a request went.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Taken.
    Taken,
    /// To be tried again, not before so long if the receiver said so.
    Later {
        /// Why, for the log.
        why: String,
        /// When the receiver wants it.
        after: Option<Duration>,
    },
    /// Refused for good: these bytes will never be taken.
    Refused(String),
}

/// Sends to one target.
pub(crate) struct Client {
    http: hyper_util::client::legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    headers: HeaderMap,
}

impl Client {
    pub fn new(target: &Target) -> Result<Self, ClientError> {
        let tls = rustls_config(target.ca_pem.as_deref())?;
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .build();
        let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(TIMEOUT)
            .build(connector);
        let mut headers = target.headers.clone();
        let agent = HeaderValue::from_static(concat!("firstlook/", env!("CARGO_PKG_VERSION")));
        headers.entry(header::USER_AGENT).or_insert(agent);
        Ok(Self { http, headers })
    }

    /// Posts `body`. Cancel safety: dropping it gives up the request, which may have arrived.
    pub async fn post(
        &self,
        url: &Uri,
        own: &[(&'static str, &'static str)],
        body: Bytes,
    ) -> Answer {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = url.clone();
        *request.headers_mut() = self.headers.clone();
        for (name, value) in own {
            let value = HeaderValue::from_static(value);
            request.headers_mut().insert(*name, value);
        }
        match tokio::time::timeout(TIMEOUT, self.exchange(request)).await {
            Ok(answer) => answer,
            Err(_) => later(format!("no answer within {} s", TIMEOUT.as_secs())),
        }
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Answer {
        let response = match self.http.request(request).await {
            Ok(response) => response,
            Err(error) => return later(chain(&error)),
        };
        let status = response.status();
        let after = retry_after(response.headers());
        // Read to its end, so that the connection can be used again.
        let body = Limited::new(response.into_body(), ANSWER_LIMIT_BYTES);
        let text = body.collect().await.map(|all| all.to_bytes());
        if status.is_success() {
            return Answer::Taken;
        }
        let text = String::from_utf8_lossy(text.as_deref().unwrap_or_default()).into_owned();
        let why = format!("{status}: {}", text.trim().escape_debug());
        if status.is_server_error()
            || matches!(
                status,
                StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
            )
        {
            Answer::Later { why, after }
        } else {
            Answer::Refused(why)
        }
    }
}

fn later(why: String) -> Answer {
    Answer::Later { why, after: None }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers
        .get(header::RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_LIMIT))
}

fn rustls_config(ca_pem: Option<&[u8]>) -> Result<rustls::ClientConfig, ClientError> {
    use rustls_pki_types::pem::PemObject;
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has the default protocol versions");
    let Some(pem) = ca_pem else {
        let native = builder.with_native_roots();
        return Ok(native
            .map_err(ClientError::NoAuthorities)?
            .with_no_client_auth());
    };
    let mut roots = rustls::RootCertStore::empty();
    for certificate in rustls_pki_types::CertificateDer::pem_slice_iter(pem) {
        let unusable = |error: String| ClientError::Authorities(error);
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        roots
            .add(certificate)
            .map_err(|error| unusable(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(ClientError::Authorities("it holds none".to_owned()));
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
