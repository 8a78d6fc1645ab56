//! One scrape: the text of an endpoint as samples, and the series about the scrape itself.

use std::time::Duration;

use bytes::Bytes;
use firstlook_model::{SignalKind, Unit};
use http::{StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::config::Scrape;
use crate::endpoint::Endpoint;
use crate::exposition::{Exposition, Sample};

/// Largest text read. It is read line by line, never held.
const TEXT_LIMIT_BYTES: usize = 16 * 1024 * 1024;
/// What is held of one scrape: so many times the budget, so that what comes late in a text may be known already.
const HELD_BUDGETS: usize = 4;
/// Forms that are understood, the plain one first.
const ACCEPT: &str =
    "text/plain;version=0.0.4,application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1";
/// Series about a scrape itself, beside its budget.
pub(crate) const OWN_SERIES: usize = 5;

/// What one scrape brought.
#[derive(Debug)]
pub(crate) struct Scraped {
    /// How long it took; `None` when there was no whole text in time.
    took: Option<Duration>,
    /// Those of buckets last. Empty when there was no whole text.
    pub samples: Vec<Sample>,
    /// Samples that were not held.
    pub over: u64,
    /// Lines that were refused.
    pub refused: u64,
}

/// Why there was no whole text.
#[derive(Debug)]
struct NoText;

#[derive(Debug)]
struct Held {
    budget: usize,
    samples: Vec<Sample>,
    buckets: Vec<Sample>,
    over: u64,
}

impl Held {
    fn take(&mut self, sample: Sample) {
        let (held, limit) = match sample.bucket {
            true => (&mut self.buckets, self.budget),
            false => (&mut self.samples, self.budget * HELD_BUDGETS),
        };
        if held.len() < limit {
            held.push(sample);
        } else {
            self.over += 1;
        }
    }
}

/// Asks once, within the deadline.
pub(crate) async fn scrape(scrape: &Scrape) -> Scraped {
    let begun = Instant::now();
    let mut text = Exposition::default();
    let mut held = Held {
        budget: scrape.series_budget,
        samples: Vec::new(),
        buckets: Vec::new(),
        over: 0,
    };
    let asked = ask(&scrape.url, &mut text, &mut held);
    let whole = matches!(timeout(scrape.deadline(), asked).await, Ok(Ok(())));
    if !whole {
        // Half a text is no text: the missing half would look like series that ended.
        (held.samples, held.buckets, held.over) = (Vec::new(), Vec::new(), 0);
    }
    held.samples.append(&mut held.buckets);
    Scraped {
        took: whole.then(|| begun.elapsed()),
        samples: held.samples,
        over: held.over,
        refused: text.refused,
    }
}

async fn ask(endpoint: &Endpoint, text: &mut Exposition, held: &mut Held) -> Result<(), NoText> {
    let stream = TcpStream::connect(endpoint.address()).await;
    let stream = TokioIo::new(stream.map_err(|_| NoText)?);
    let handshake = http1::handshake(stream).await;
    let (mut sender, connection) = handshake.map_err(|_| NoText)?;
    let request = http::Request::get(endpoint.path())
        .header(header::HOST, endpoint.address().to_string())
        .header(header::USER_AGENT, "firstlook-agent")
        .header(header::ACCEPT, ACCEPT)
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|_| NoText)?;
    let asked = async move {
        let response = sender.send_request(request).await.map_err(|_| NoText)?;
        if response.status() != StatusCode::OK {
            return Err(NoText);
        }
        let (mut body, mut bytes) = (response.into_body(), 0);
        while let Some(frame) = body.frame().await {
            let Ok(piece) = frame.map_err(|_| NoText)?.into_data() else {
                continue;
            };
            bytes += piece.len();
            if bytes > TEXT_LIMIT_BYTES {
                return Err(NoText);
            }
            text.feed(&piece, &mut |sample| held.take(sample));
        }
        text.finish(&mut |sample| held.take(sample));
        Ok(())
    };
    tokio::pin!(asked, connection);
    // Once the connection has ended, what it brought may still be waiting in the answer.
    tokio::select! {
        biased;
        read = &mut asked => read,
        _ = &mut connection => asked.await,
    }
}

impl Scraped {
    /// The series about the scrape itself; as many as [`OWN_SERIES`]. `over` counts samples that found no room, `refused`
    /// all lines since the agent began.
    pub fn own(&self, url: &Endpoint, kept: u64, over: u64, refused: u64) -> Vec<Sample> {
        use SignalKind::{Counter, Gauge};
        let own = |name: &str, unit, kind, value| Sample {
            signal: format!("scrape.{name}{{url=\"{url}\"}}"),
            unit,
            kind,
            bucket: false,
            value,
        };
        let when_up = |value: f64| if self.took.is_some() { value } else { f64::NAN };
        let up = f64::from(u8::from(self.took.is_some()));
        let took = self.took.map_or(f64::NAN, |took| took.as_secs_f64());
        vec![
            own("up", Unit::Count, Gauge, up),
            own("duration_seconds", Unit::Seconds, Gauge, took),
            own("series", Unit::Count, Gauge, when_up(kept as f64)),
            own("over_budget", Unit::Count, Gauge, when_up(over as f64)),
            own("refused_lines_total", Unit::Count, Counter, refused as f64),
        ]
    }
}
