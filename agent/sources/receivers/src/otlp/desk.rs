//! Where messages are taken: one at a time is read, and so much a second.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use firstlook_model::{ComponentId, Lines, RawLine, SignalKind, Timestamp};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::Places;
use super::about::{About, Connection};
use super::logs;
use super::message::{self, Form, Message, Service};
use super::metrics::Taking;
use super::replies::{Refusal, Taken};
use super::spans::{self, Spans};
use super::totals::Totals;
use super::wire::logs::ExportLogs;
use super::wire::metrics::ExportMetrics;
use super::wire::traces::ExportTraces;
use crate::exposition::Sample;
use crate::run::LinesTo;

/// Series about the receiver itself, beside its budget.
pub(crate) const OWN_SERIES: usize = 8;
/// What is read between two tellings; more is refused, to be sent again.
const READ_LIMIT_BYTES: usize = 8 * 1024 * 1024;
/// Ports that there are.
const PORTS: usize = 2;
/// Bodies that are held at once. With what one weighs as it is read, it is what the receiver may take of the agent's memory.
const BODIES_AT_ONCE: usize = 2;
/// How long lines wait for room before their sender is asked to come again.
const ROOM_WITHIN: Duration = Duration::from_secs(2);
/// Lines handed on at once: sixteen such pieces may wait.
const PIECE_LIMIT_BYTES: usize = 256 * 1024;
/// How long a request waits for its turn.
const TURN_WITHIN: Duration = Duration::from_secs(5);

/// Takes messages.
pub(super) struct Desk {
    about: About,
    lines: LinesTo,
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
    records: u64,
    spans: u64,
    refused: u64,
    no_room: u64,
}

impl Desk {
    /// With room for so many series.
    pub fn new(series_budget: usize, about: About, lines: LinesTo) -> Self {
        Self {
            about,
            lines,
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

    /// Takes a message that came on a connection.
    ///
    /// # Errors
    /// When it cannot be read, or not now.
    pub async fn take(
        &self,
        on: &Connection,
        service: Service,
        form: Form,
        body: &[u8],
    ) -> Result<Taken, Refusal> {
        let maker = on.maker(&self.about).await;
        let maker = maker.as_ref();
        let turn = self.reading.acquire().await.map_err(|_| Refusal::Busy)?;
        {
            let mut books = self.books();
            if books.read + body.len() > READ_LIMIT_BYTES {
                return Err(Refusal::Busy);
            }
            books.read += body.len();
        }
        match message::read(service, form, body)? {
            Message::Metrics(metrics) => Ok(self.metrics(maker, &metrics)),
            Message::Traces(traces) => Ok(self.traces(maker, &traces)),
            Message::Logs(logs) => {
                let (lines, refused) = self.lines(maker, &logs);
                drop((turn, logs));
                let records = lines.len() as u64 + refused;
                self.deliver(lines).await?;
                Ok(self.logged(records, refused))
            }
        }
    }

    /// The lines of a message, and how many records are none.
    fn lines(&self, maker: Option<&ComponentId>, logs: &ExportLogs) -> (Vec<RawLine>, u64) {
        let micros = i64::try_from(now_nanos() / 1_000).unwrap_or(i64::MAX);
        let (mut found, mut refused) = (Vec::new(), 0);
        for resource in &logs.resource_logs {
            let about = self.about.of(maker, resource.resource.as_ref());
            let now = Timestamp::from_micros(micros);
            refused += logs::lines(&about, resource, now, &mut found);
        }
        (found, refused)
    }

    /// Hands lines on, in pieces as readers of logs do. Where there is no room for the first in time, none was taken; the
    /// others wait, as nobody could take the first back.
    async fn deliver(&self, lines: Vec<RawLine>) -> Result<(), Refusal> {
        let mut first = true;
        for piece in pieces(lines) {
            let handed = (self.lines)(Lines {
                lines: piece,
                checkpoints: Vec::new(),
            });
            match std::mem::take(&mut first) {
                true => timeout(ROOM_WITHIN, handed)
                    .await
                    .map_err(|_| Refusal::Busy)?,
                false => handed.await,
            }
        }
        Ok(())
    }

    fn logged(&self, records: u64, refused: u64) -> Taken {
        let counts = &mut self.books().counts;
        counts.records += records;
        counts.refused += refused;
        Taken {
            rejected: refused,
            says: if refused == 0 {
                ""
            } else {
                "records without a text are refused"
            },
        }
    }

    /// Counts a request, however it ended.
    pub fn count(&self, refused: bool) {
        let counts = &mut self.books().counts;
        counts.requests += 1;
        counts.refused_requests += u64::from(refused);
    }

    fn metrics(&self, maker: Option<&ComponentId>, metrics: &ExportMetrics) -> Taken {
        let mut books = self.books();
        let mut taking = Taking::new(&mut books.totals, now_nanos());
        for resource in &metrics.resource_metrics {
            let about = self.about.of(maker, resource.resource.as_ref());
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

    fn traces(&self, maker: Option<&ComponentId>, traces: &ExportTraces) -> Taken {
        let mut books = self.books();
        let mut taken = spans::Taken::default();
        for resource in &traces.resource_spans {
            let about = self.about.of(maker, resource.resource.as_ref());
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
        let (counted, no_room) = books.spans.turn();
        books.counts.no_room += no_room;
        if let Some(counted) = counted {
            books.counts.no_room += places.shelves.called().put(counted);
        }
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

/// In their order, each of a bounded size; a line is never cut.
fn pieces(lines: Vec<RawLine>) -> Vec<Vec<RawLine>> {
    let (mut pieces, mut bytes) = (Vec::new(), usize::MAX);
    for line in lines {
        let length = line.text.len() + size_of::<RawLine>();
        if bytes.saturating_add(length) > PIECE_LIMIT_BYTES {
            pieces.push(Vec::new());
            bytes = 0;
        }
        bytes += length;
        if let Some(piece) = pieces.last_mut() {
            piece.push(line);
        }
    }
    pieces
}

impl Counts {
    /// As many as [`OWN_SERIES`].
    fn samples(&self, up: bool) -> Vec<Sample> {
        let own = |name: &str, kind, value| Sample::count(format!("otlp.{name}"), kind, value);
        use SignalKind::{Counter, Gauge};
        vec![
            own("up", Gauge, u64::from(up)),
            own("requests_total", Counter, self.requests),
            own("refused_requests_total", Counter, self.refused_requests),
            own("points_total", Counter, self.points),
            own("records_total", Counter, self.records),
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
