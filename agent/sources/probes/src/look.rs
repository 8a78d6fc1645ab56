//! One look at a target.

use std::path::Path;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, timeout};

use crate::config::{HttpProbe, Probe};

/// As much of a body is looked through.
const BODY_LIMIT_BYTES: usize = 64 * 1024;

/// What a look found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Found {
    /// Whether everything asked for is so.
    pub up: bool,
    /// How long the answer took; `None` when there was none, and for files.
    pub seconds: Option<f64>,
    /// How old the file's contents are; `None` when that cannot be told. Never negative.
    pub age_seconds: Option<f64>,
}

const NOTHING: Found = Found {
    up: false,
    seconds: None,
    age_seconds: None,
};

/// Looks again and again at one probe's target.
pub(crate) struct Looker {
    probe: Probe,
    /// A look at a file that has not come back: a file system that hangs holds one thread, never more.
    hanging: Option<JoinHandle<Option<SystemTime>>>,
}

impl Looker {
    pub fn new(probe: Probe) -> Self {
        Self {
            probe,
            hanging: None,
        }
    }

    /// One look, within the deadline. What does not answer is not up.
    pub async fn look(&mut self) -> Found {
        let deadline = self.probe.deadline();
        if let Some(file) = &self.probe.file {
            let limit = Duration::from_secs(file.max_age_s);
            let path = file.path.clone();
            let changed = self.changed(path, deadline).await;
            return aged(changed, SystemTime::now(), limit);
        }
        let begun = Instant::now();
        let up = timeout(deadline, answers(&self.probe)).await;
        match up {
            Ok(Some(up)) => Found {
                up,
                seconds: Some(begun.elapsed().as_secs_f64()),
                age_seconds: None,
            },
            Ok(None) | Err(_) => NOTHING,
        }
    }

    async fn changed(
        &mut self,
        path: impl AsRef<Path> + Send + 'static,
        deadline: Duration,
    ) -> Option<SystemTime> {
        let mut task = self.hanging.take().unwrap_or_else(|| {
            spawn_blocking(move || std::fs::metadata(path).and_then(|m| m.modified()).ok())
        });
        match timeout(deadline, &mut task).await {
            Ok(changed) => changed.ok().flatten(),
            Err(_) => {
                self.hanging = Some(task);
                None
            }
        }
    }
}

fn aged(changed: Option<SystemTime>, now: SystemTime, limit: Duration) -> Found {
    // A file from the future is new: clocks are the clock source's affair.
    let age = changed.map(|changed| now.duration_since(changed).unwrap_or_default());
    Found {
        up: age.is_some_and(|age| age <= limit),
        seconds: None,
        age_seconds: age.map(|age| age.as_secs_f64()),
    }
}

/// Whether the answer is right; `None` when there is none.
async fn answers(probe: &Probe) -> Option<bool> {
    if let Some(tcp) = &probe.tcp {
        return TcpStream::connect(tcp.address).await.ok().map(|_| true);
    }
    let http = probe.http.as_ref()?;
    let stream = TcpStream::connect(http.address).await.ok()?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    let request = http::Request::get(&http.path)
        .header(http::header::HOST, http.host())
        .header(http::header::USER_AGENT, "firstlook-agent")
        .header(http::header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .ok()?;
    let asked = async move {
        let response = sender.send_request(request).await.ok()?;
        Some(right(http, response).await)
    };
    tokio::pin!(asked, connection);
    // Once the connection has ended, what it brought may still be waiting in the answer.
    tokio::select! {
        biased;
        up = &mut asked => up,
        _ = &mut connection => asked.await,
    }
}

async fn right(http: &HttpProbe, response: http::Response<Incoming>) -> bool {
    if response.status().as_u16() != http.status {
        return false;
    }
    let Some(text) = &http.contains else {
        return true;
    };
    let mut body = Limited::new(response.into_body(), BODY_LIMIT_BYTES);
    let mut read = Vec::new();
    // An error is the limit, or a peer that broke off: judged by what came.
    while let Some(Ok(frame)) = body.frame().await {
        if let Ok(part) = frame.into_data() {
            read.extend_from_slice(&part);
        }
    }
    read.windows(text.len()).any(|w| w == text.as_bytes())
}

#[cfg(test)]
mod tests;
