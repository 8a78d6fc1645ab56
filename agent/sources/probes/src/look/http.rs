//! A page: its status, and whether it holds a text.

use bytes::Bytes;
use firstlook_model::probe::{Failure, Part};
use http::header;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::net::Names;
use super::tls::Trust;
use crate::config::HttpProbe;
use crate::found::Found;

/// As much of a body is looked through.
pub(super) const BODY_LIMIT_BYTES: usize = 64 * 1024;

/// Asks once. Redirects are not followed.
pub(super) async fn look(
    http: &HttpProbe,
    names: &mut Names,
    trust: &mut Trust,
) -> Result<Found, Failure> {
    if !http.tls {
        let stream = names.connect(&http.address).await?;
        return asked(http, stream).await;
    }
    let verifier = trust.verifier(http.authorities()).await?;
    let stream = names.connect(&http.address).await?;
    let session = super::tls::session(stream, http.server_name(), verifier).await?;
    let days = session.shown.days;
    let found = match session.shown.fault {
        // Nothing is asked of a peer that is not trusted.
        Some(fault) => Ok(Found::down(fault)),
        None => asked(http, session.stream).await,
    };
    found.map(|found| found.with(Part::CertificateDays, days))
}

async fn asked<S>(http: &HttpProbe, stream: S) -> Result<Found, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|_| Failure::Unreadable)?;
    let request = http::Request::get(&http.path)
        .header(header::HOST, http.host())
        .header(header::USER_AGENT, "firstlook-agent")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|_| Failure::Unreadable)?;
    let asked = async move {
        let response = sender.send_request(request).await;
        let response = response.map_err(|_| Failure::Unreadable)?;
        let status = f64::from(response.status().as_u16());
        Ok(Found::of(wrong(http, response).await)
            .with(Part::Status, status)
            .with(Part::Expected, f64::from(http.status)))
    };
    tokio::pin!(asked, connection);
    // Once the connection has ended, what it brought may still be waiting in the answer.
    tokio::select! {
        biased;
        found = &mut asked => found,
        _ = &mut connection => asked.await,
    }
}

async fn wrong(http: &HttpProbe, response: http::Response<Incoming>) -> Option<Failure> {
    if response.status().as_u16() != http.status {
        return Some(Failure::WrongStatus);
    }
    let text = http.contains.as_ref()?;
    let mut body = Limited::new(response.into_body(), BODY_LIMIT_BYTES);
    let mut read = Vec::new();
    // An error is the limit, or a peer that broke off: judged by what came.
    while let Some(Ok(frame)) = body.frame().await {
        if let Ok(part) = frame.into_data() {
            read.extend_from_slice(&part);
        }
    }
    let holds = read.windows(text.len()).any(|w| w == text.as_bytes());
    (!holds).then_some(Failure::TextMissing)
}
