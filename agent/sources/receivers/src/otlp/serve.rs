//! Connections: so many at once, each for as long as something is asked on it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Body;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::about::Connection;
use super::body::{MESSAGE_LIMIT_BYTES, inflate, whole};
use super::desk::Desk;
use super::grpc;
use super::message::{Form, Service};
use super::replies::{Refusal, Taken, reply};

/// An address that cannot be had is tried again after this.
const BIND_AGAIN: Duration = Duration::from_secs(10);
/// Connections at once; others wait.
const CONNECTIONS_LIMIT: usize = 64;
/// Calls of one connection at once; others wait.
const CALLS_AT_ONCE: u32 = 16;
/// Bytes of a request's head. The least that the HTTP library takes.
const HEAD_LIMIT_BYTES: u16 = 8 * 1024;
/// A connection on which nothing was asked for so long is closed: senders come once a minute.
const IDLE_LIMIT: Duration = Duration::from_secs(150);
/// One that has just been made asks sooner.
const FIRST_WITHIN: Duration = Duration::from_secs(10);

/// What is spoken at a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    Http,
    Grpc,
}

/// Answers at an address, without end.
pub(super) async fn listen(address: SocketAddr, speaks: Speaks, desk: Arc<Desk>) {
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => desk.reached_while(accept(&listener, speaks, &desk)).await,
            Err(error) => {
                tracing::error!(%error, %address, "otlp cannot be received there, will try again")
            }
        }
        sleep(BIND_AGAIN).await;
    }
}

/// Ends when the port fails. Connections end with it.
pub(super) async fn accept(listener: &TcpListener, speaks: Speaks, desk: &Arc<Desk>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_LIMIT));
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let answered = answer(stream, peer, speaks, Arc::clone(desk));
                connections.spawn(async move {
                    let _place = place;
                    answered.await;
                });
            }
            // Out of descriptors, say: a moment later there may be some.
            Err(error) => {
                tracing::warn!(%error, "a sender's connection failed");
                sleep(Duration::from_secs(1)).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

/// Until when a connection is waited for.
#[derive(Clone)]
struct Patience(Arc<Mutex<Instant>>);

impl Patience {
    fn until(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn renew(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now() + IDLE_LIMIT;
    }

    /// Waits for an answer, and for the next request from then on.
    async fn during<T>(&self, answer: impl Future<Output = T>) -> Result<T, Infallible> {
        self.renew();
        let answer = answer.await;
        self.renew();
        Ok(answer)
    }

    /// Returns once nothing was asked for too long.
    async fn ended(&self) {
        while self.until() > Instant::now() {
            sleep_until(self.until()).await;
        }
    }
}

async fn answer(stream: TcpStream, peer: SocketAddr, speaks: Speaks, desk: Arc<Desk>) {
    let ends = stream.local_addr().ok().map(|here| (peer, here));
    let on = Arc::new(Connection::new(ends));
    let patience = Patience(Arc::new(Mutex::new(Instant::now() + FIRST_WITHIN)));
    let (stream, asked) = (TokioIo::new(stream), patience.clone());
    // Dropped midway, a connection is closed, and what was asked on it is asked again elsewhere.
    match speaks {
        Speaks::Http => {
            let service = service_fn(move |request| {
                let (desk, on, asked) = (Arc::clone(&desk), Arc::clone(&on), asked.clone());
                async move { asked.during(respond(&desk, &on, request)).await }
            });
            let serving = http1::Builder::new()
                .max_buf_size(HEAD_LIMIT_BYTES.into())
                .serve_connection(stream, service);
            tokio::select! {
                _ = serving => {}
                () = patience.ended() => {}
            }
        }
        Speaks::Grpc => {
            let service = service_fn(move |request| {
                let (desk, on, asked) = (Arc::clone(&desk), Arc::clone(&on), asked.clone());
                async move { asked.during(grpc::respond(&desk, &on, request)).await }
            });
            let serving = http2::Builder::new(TokioExecutor::new())
                .max_concurrent_streams(CALLS_AT_ONCE)
                .max_header_list_size(HEAD_LIMIT_BYTES.into())
                .serve_connection(stream, service);
            tokio::select! {
                _ = serving => {}
                () = patience.ended() => {}
            }
        }
    }
}

/// Answers one request.
pub(super) async fn respond<B>(
    desk: &Desk,
    on: &Connection,
    request: Request<B>,
) -> Response<Full<Bytes>>
where
    B: Body + Unpin,
{
    let service = match request.uri().path() {
        "/v1/metrics" => Some(Service::Metrics),
        "/v1/logs" => Some(Service::Logs),
        "/v1/traces" => Some(Service::Traces),
        _ => None,
    };
    let form = form(request.headers());
    let outcome = outcome(desk, on, request, service, form).await;
    desk.count(outcome.is_err());
    reply(service, form, outcome)
}

async fn outcome<B>(
    desk: &Desk,
    on: &Connection,
    request: Request<B>,
    service: Option<Service>,
    form: Option<Form>,
) -> Result<Taken, Refusal>
where
    B: Body + Unpin,
{
    let service = service.ok_or(Refusal::NoPath)?;
    if request.method() != Method::POST {
        return Err(Refusal::NoMethod);
    }
    let form = form.ok_or(Refusal::NoForm)?;
    let packed = packed(request.headers())?;
    let _place = desk.place().await?;
    let mut body = whole(request.into_body(), MESSAGE_LIMIT_BYTES).await?;
    if packed {
        body = inflate(&body)?;
    }
    desk.take(on, service, form, &body).await
}

/// The form that a request says its message has.
fn form(headers: &HeaderMap) -> Option<Form> {
    let kind = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let kind = kind.split(';').next().unwrap_or(kind).trim();
    if kind.eq_ignore_ascii_case("application/x-protobuf") {
        Some(Form::Protobuf)
    } else if kind.eq_ignore_ascii_case("application/json") {
        Some(Form::Json)
    } else {
        None
    }
}

/// Whether the body is packed.
fn packed(headers: &HeaderMap) -> Result<bool, Refusal> {
    match headers.get(CONTENT_ENCODING).map(|value| value.as_bytes()) {
        None | Some(b"" | b"identity") => Ok(false),
        Some(b"gzip") => Ok(true),
        Some(_) => Err(Refusal::NoPacking),
    }
}
