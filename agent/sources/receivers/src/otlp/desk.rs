//! Where messages are taken: one at a time is read, and so much a second.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use firstlook_model::{SignalKind, Unit};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::Places;
use super::about::About;
use super::message::{self, Form, Message, Service};
use super::metrics::Taking;
use super::replies::{Refusal, Taken};
use super::spans::{self, Spans};
use super::totals::Totals;
use super::wire::metrics::ExportMetrics;
use super::wire::traces::ExportTraces;
use crate::exposition::Sample;

/// Series about the receiver itself, beside its budget.
pub(crate) const OWN_SERIES: usize = 7;
/// What is read between two tellings; more is refused, to be sent again.
const READ_LIMIT_BYTES: usize = 8 * 1024 * 1024;
/// Ports that there are.
const PORTS: usize = 2;
/// Bodies that are held at once. With what one weighs as it is read, it is what the receiver may take of the agent's memory.
const BODIES_AT_ONCE: usize = 2;
/// How long a request waits for its turn.
const TURN_WITHIN: Duration = Duration::from_secs(5);

/// Takes messages.
pub(super) struct Desk {
    about: About,
    books: Mutex<Books>,
    bodies: Semaphore,
    reading: Semaphore,
    /// Ports that can be reached.
    ports: AtomicUsize,
}

struct Books {
    totals: Totals,
    spans: Spans,
    counts: Counts,
    /// Bytes since the last telling.
    read: usize,
}

/// What came since the agent began.
#[derive(Debug, Default)]
struct Counts {
    requests: u64,
    refused_requests: u64,
    points: u64,
    spans: u64,
    refused: u64,
    no_room: u64,
}

impl Desk {
    /// With room for so many series.
    pub fn new(series_budget: usize, about: About) -> Self {
        Self {
            about,
            books: Mutex::new(Books {
                totals: Totals::new(series_budget),
                spans: Spans::default(),
                counts: Counts::default(),
                read: 0,
            }),
            bodies: Semaphore::new(BODIES_AT_ONCE),
            reading: Semaphore::new(1),
            ports: AtomicUsize::new(0),
        }
    }

    /// A port can be reached, for as long as this future is not dropped.
    pub async fn reached_while<F: Future>(&self, open: F) -> F::Output {
        struct Open<'a>(&'a AtomicUsize);
        impl Drop for Open<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        self.ports.fetch_add(1, Ordering::Relaxed);
        let _open = Open(&self.ports);
        open.await
    }

    /// A place for a body, which it leaves when the permit is dropped.
    ///
    /// # Errors
    /// When there is none in time.
    pub async fn place(&self) -> Result<tokio::sync::SemaphorePermit<'_>, Refusal> {
        let place = timeout(TURN_WITHIN, self.bodies.acquire()).await;
        place.ok().and_then(Result::ok).ok_or(Refusal::Busy)
    }

    /// Takes a message.
    ///
    /// # Errors
    /// When it cannot be read, or not now.
    pub async fn take(&self, service: Service, form: Form, body: &[u8]) -> Result<Taken, Refusal> {
        let _turn = self.reading.acquire().await.map_err(|_| Refusal::Busy)?;
        {
            let mut books = self.books();
            if books.read + body.len() > READ_LIMIT_BYTES {
                return Err(Refusal::Busy);
            }
            books.read += body.len();
        }
        match message::read(service, form, body)? {
            Message::Metrics(metrics) => Ok(self.metrics(&metrics)),
            Message::Traces(traces) => Ok(self.traces(&traces)),
        }
    }

    /// Counts a request, however it ended.
    pub fn count(&self, refused: bool) {
        let counts = &mut self.books().counts;
        counts.requests += 1;
        counts.refused_requests += u64::from(refused);
    }

    fn metrics(&self, metrics: &ExportMetrics) -> Taken {
        let mut books = self.books();
        let mut taking = Taking::new(&mut books.totals, now_nanos());
        for resource in &metrics.resource_metrics {
            let about = self.about.of(resource.resource.as_ref());
            taking.resource(&about, resource);
        }
        let taken = taking.finish();
        books.counts.points += taken.points;
        books.counts.refused += taken.refused;
        books.counts.no_room += taken.no_room + taken.parts;
        let says = match (taken.refused, taken.no_room, taken.parts) {
            (0, 0, 0) => "",
            (0, ..) => "there is no room for all series: see series_budget",
            _ => "points without a name, a value or a temporality that can be told are refused",
        };
        Taken {
            rejected: taken.refused + taken.no_room,
            says,
        }
    }

    fn traces(&self, traces: &ExportTraces) -> Taken {
        let mut books = self.books();
        let mut taken = spans::Taken::default();
        for resource in &traces.resource_spans {
            let about = self.about.of(resource.resource.as_ref());
            books.spans.resource(&about, resource, &mut taken);
        }
        books.counts.spans += taken.spans;
        books.counts.refused += taken.refused;
        books.counts.no_room += taken.no_room;
        Taken {
            rejected: taken.refused + taken.no_room,
            says: match (taken.refused, taken.no_room) {
                (0, 0) => "",
                (0, _) => "there is no room for the spans of so many services",
                _ => "spans that end before they begin are refused",
            },
        }
    }

    /// Puts what came since the last call where it belongs.
    pub fn tell(&self, places: &Places) {
        let mut books = self.books();
        let books = &mut *books;
        books.read = 0;
        books.counts.no_room += books.spans.tell(&mut books.totals);
        for (about, samples) in books.totals.tell() {
            books.counts.no_room += places.shelves.put_about(places.told, &about, samples);
        }
        let own = books
            .counts
            .samples(self.ports.load(Ordering::Relaxed) == PORTS);
        places.shelves.put(places.own, own);
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        // A panic elsewhere leaves a message half taken at most.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    /// As many as [`OWN_SERIES`].
    fn samples(&self, up: bool) -> Vec<Sample> {
        let own = |name: &str, kind, value: u64| Sample {
            signal: format!("otlp.{name}"),
            unit: Unit::Count,
            kind,
            bucket: false,
            value: value as f64,
        };
        use SignalKind::{Counter, Gauge};
        vec![
            own("up", Gauge, u64::from(up)),
            own("requests_total", Counter, self.requests),
            own("refused_requests_total", Counter, self.refused_requests),
            own("points_total", Counter, self.points),
            own("spans_total", Counter, self.spans),
            own("refused_total", Counter, self.refused),
            own("over_budget_total", Counter, self.no_room),
        ]
    }
}

fn now_nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    })
}
