//! The task of one target: gathers pieces, sends them, and tries again while the receiver may yet take them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use firstlook_runtime::backoff::Backoff;
use firstlook_runtime::queue::Receiver;
use http::Uri;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::config::{Protocol, Target};
use crate::post::{Answer, Client};
use crate::tap::{Counters, Piece};
use crate::{otlp, remote_write};

/// Samples and lines of one request.
const BATCH_ITEMS: usize = 10_000;
/// What waits longest for company.
const BATCH_WAIT: Duration = Duration::from_secs(2);
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_LIMIT: Duration = Duration::from_secs(30);

/// A forwarder's task.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A request, ready to be sent as often as it takes.
struct Ready {
    url: Uri,
    headers: &'static [(&'static str, &'static str)],
    body: Bytes,
    items: usize,
}

pub(crate) fn task(
    target: Target,
    client: Client,
    receiver: Receiver<Piece>,
    counters: Arc<Counters>,
    stop: CancellationToken,
) -> Task {
    Box::pin(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = run(&target, &client, receiver, &counters) => stop.cancelled().await,
        }
    })
}

/// Until every tap is gone.
async fn run(target: &Target, client: &Client, mut receiver: Receiver<Piece>, counters: &Counters) {
    while let Some(pieces) = gather(&mut receiver).await {
        for ready in requests(target, &pieces) {
            deliver(client, &ready, counters).await;
        }
    }
}

async fn gather(receiver: &mut Receiver<Piece>) -> Option<Vec<Piece>> {
    let mut pieces = vec![receiver.recv().await?];
    let mut items = pieces[0].items();
    let deadline = Instant::now() + BATCH_WAIT;
    while items < BATCH_ITEMS {
        match timeout_at(deadline, receiver.recv()).await {
            Ok(Some(piece)) => {
                items += piece.items();
                pieces.push(piece);
            }
            Ok(None) | Err(_) => break,
        }
    }
    Some(pieces)
}

fn requests(target: &Target, pieces: &[Piece]) -> Vec<Ready> {
    match target.protocol {
        Protocol::RemoteWrite => {
            let mut request = remote_write::WriteRequest::default();
            let mut items = 0;
            for piece in pieces {
                if let Piece::Metrics(schema, block) = piece {
                    items += remote_write::add(&mut request, target, schema, block);
                }
            }
            let ready = Ready {
                url: target.url.clone(),
                headers: &remote_write::HEADERS,
                body: remote_write::body(&request),
                items,
            };
            keep_full(vec![ready])
        }
        Protocol::Otlp => {
            let mut metrics = ExportMetricsServiceRequest::default();
            let mut logs = ExportLogsServiceRequest::default();
            let (mut samples, mut lines) = (0, 0);
            for piece in pieces {
                match piece {
                    Piece::Metrics(schema, block) => {
                        samples += otlp::add_metrics(&mut metrics, target, schema, block);
                    }
                    Piece::Logs(host, block) => lines += otlp::add_logs(&mut logs, host, block),
                }
            }
            let ready = |path, body, items| Ready {
                url: otlp::below(&target.url, path),
                headers: &otlp::HEADERS,
                body,
                items,
            };
            keep_full(vec![
                ready("v1/metrics", otlp::body(&metrics), samples),
                ready("v1/logs", otlp::body(&logs), lines),
            ])
        }
    }
}

fn keep_full(mut all: Vec<Ready>) -> Vec<Ready> {
    all.retain(|ready| ready.items > 0);
    all
}

/// Until it is taken or refused; meanwhile the queue holds what comes, within its budget.
async fn deliver(client: &Client, ready: &Ready, counters: &Counters) {
    let mut backoff = Backoff::new(RETRY_FIRST, RETRY_LIMIT);
    let mut failing = false;
    loop {
        let body = ready.body.clone();
        match client.post(&ready.url, ready.headers, body).await {
            Answer::Taken => {
                if failing {
                    tracing::info!(url = %ready.url, "forwarding goes on");
                }
                return Counters::add(&counters.sent, ready.items);
            }
            Answer::Refused(why) => {
                tracing::warn!(url = %ready.url, items = ready.items, why, "receiver refused what was forwarded");
                return Counters::add(&counters.refused, ready.items);
            }
            Answer::Later { why, after } => {
                if !failing {
                    tracing::warn!(url = %ready.url, why, "forwarding fails, will try again");
                }
                failing = true;
                Counters::add(&counters.retried, 1);
                sleep(backoff.next_wait().max(after.unwrap_or_default())).await;
            }
        }
    }
}
