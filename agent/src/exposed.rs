//! The agent's last sample as Prometheus reads it: `GET /metrics` on the address of `[metrics]`.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use firstlook_model::Frame;
use firstlook_uplink::UplinkStatus;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

mod text;

/// What the text form is called.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// An address that cannot be had is tried again after this.
const BIND_AGAIN: Duration = Duration::from_secs(10);
/// Connections that are answered at once; others wait.
const AT_ONCE: usize = 4;
/// How long one may take, from first to last byte.
const DEADLINE: Duration = Duration::from_secs(10);
/// Bytes of a request's head. The least that the HTTP library takes.
const HEAD_LIMIT_BYTES: usize = 8 * 1024;

/// The last sample. Cheap to clone; all clones are one.
#[derive(Clone, Default)]
pub struct Shown(Arc<Mutex<Option<Frame>>>);

impl Shown {
    /// Replaces it.
    pub fn put(&self, frame: Frame) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(frame);
    }

    fn last(&self) -> Option<Frame> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Answers at `listen` until `stop`.
pub async fn serve(
    listen: SocketAddr,
    shown: Shown,
    status: Arc<UplinkStatus>,
    stop: CancellationToken,
) {
    while !stop.is_cancelled() {
        match TcpListener::bind(listen).await {
            Ok(listener) => {
                tracing::info!(%listen, "metrics are shown");
                return accept(&listener, &shown, &status, &stop).await;
            }
            Err(error) => {
                tracing::error!(%error, %listen, "metrics cannot be shown there, will try again");
            }
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = sleep(BIND_AGAIN) => {}
        }
    }
}

async fn accept(
    listener: &TcpListener,
    shown: &Shown,
    status: &Arc<UplinkStatus>,
    stop: &CancellationToken,
) {
    let (room, tasks) = (Arc::new(Semaphore::new(AT_ONCE)), TaskTracker::new());
    let ended = stop.cancelled();
    tokio::pin!(ended);
    loop {
        let next = async {
            let place = Arc::clone(&room).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = &mut ended => return,
            next = next => next,
        };
        match accepted {
            Ok((stream, _)) => {
                let answered = answer(stream, shown.clone(), Arc::clone(status));
                tasks.spawn(async move {
                    let _place = place;
                    // A scraper that is slow or speaks something else is told nothing more.
                    let _ = timeout(DEADLINE, answered).await;
                });
            }
            // Out of descriptors, say: a moment later there may be some.
            Err(error) => {
                tracing::warn!(%error, "a scraper's connection failed");
                sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn answer(stream: TcpStream, shown: Shown, status: Arc<UplinkStatus>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let reply = reply(&request, &shown, &status);
        async move { reply }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(HEAD_LIMIT_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "a scraper was not answered");
    }
}

fn reply<B>(
    request: &Request<B>,
    shown: &Shown,
    status: &UplinkStatus,
) -> http::Result<Response<Full<Bytes>>> {
    let plain = |status: StatusCode, says: &'static str| {
        Response::builder()
            .status(status)
            .header(CONTENT_TYPE, TEXT)
            .body(Full::from(says))
    };
    if request.uri().path() != "/metrics" {
        return plain(StatusCode::NOT_FOUND, "only /metrics is here\n");
    }
    if request.method() != Method::GET {
        return Response::builder()
            .status(StatusCode::METHOD_NOT_ALLOWED)
            .header(ALLOW, "GET")
            .body(Full::from("only GET is answered\n"));
    }
    let Some(frame) = shown.last() else {
        return plain(StatusCode::SERVICE_UNAVAILABLE, "nothing was sampled yet\n");
    };
    Response::builder()
        .header(CONTENT_TYPE, TEXT)
        .body(Full::from(text::write(&frame, status)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use firstlook_model::{HostId, Schema, Timestamp};

    fn ask(method: Method, path: &str, shown: &Shown) -> Response<Full<Bytes>> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .body(())
            .unwrap();
        reply(&request, shown, &UplinkStatus::default()).unwrap()
    }

    #[test]
    fn only_metrics_are_shown_and_only_once_there_are_some() {
        let shown = Shown::default();
        assert_eq!(ask(Method::GET, "/", &shown).status(), 404);
        assert_eq!(ask(Method::GET, "/metrics", &shown).status(), 503);
        shown.put(Frame {
            schema: Arc::new(Schema::new(Vec::new())),
            time: Timestamp::from_secs(5),
            values: Vec::new(),
        });
        assert_eq!(ask(Method::GET, "/metrics", &shown).status(), 200);
        let refused = ask(Method::POST, "/metrics", &shown);
        assert_eq!(
            (refused.status().as_u16(), &refused.headers()[ALLOW]),
            (405, &"GET".parse().unwrap())
        );
    }

    #[tokio::test]
    async fn a_scraper_of_ours_reads_what_is_shown() {
        use firstlook_model::{ComponentId, Series, SignalKind, Unit};
        let probe = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let listen = probe.local_addr().unwrap();
        drop(probe);
        let shown = Shown::default();
        shown.put(Frame {
            schema: Arc::new(Schema::new(vec![Series {
                component: ComponentId::host(HostId::new("h1").unwrap()),
                signal: "load.1m".to_owned(),
                unit: Unit::Count,
                kind: SignalKind::Gauge,
            }])),
            time: Timestamp::from_secs(5),
            values: vec![1.25],
        });
        let stop = CancellationToken::new();
        let served = serve(listen, shown, Arc::default(), stop.clone());
        let asked = async {
            let text = format!("[[scrape]]\nurl = \"http://{listen}/metrics\"\ninterval_s = 1");
            let config: crate::config::Config = toml::from_str(&text).unwrap();
            let shelves = firstlook_sources_receivers::Shelves::default();
            let around = firstlook_sources_receivers::Surroundings {
                host: HostId::new("h2").unwrap(),
                owner: Arc::new(|_| None),
                caller: Arc::new(|_, _| Box::pin(async { None })),
                sender: Arc::new(|_, _| Box::pin(async { None })),
                named: Arc::new(|_| None),
                lines: Arc::new(|_| Box::pin(async {})),
            };
            let run = firstlook_sources_receivers::run(
                config.receivers(),
                around,
                shelves.clone(),
                stop.clone(),
            );
            let seen = async {
                loop {
                    let columns = shelves.take();
                    let at = columns
                        .series
                        .iter()
                        .position(|s| s.signal.starts_with("firstlook_load_1m{"));
                    if let Some(at) = at {
                        stop.cancel();
                        return columns.values[at];
                    }
                    sleep(Duration::from_millis(20)).await;
                }
            };
            tokio::join!(run, seen).1
        };
        let ((), value) = timeout(Duration::from_secs(60), async {
            tokio::join!(served, asked)
        })
        .await
        .unwrap();
        assert_eq!(value, 1.25);
    }
}
