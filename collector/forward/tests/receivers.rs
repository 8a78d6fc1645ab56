//! Forwarding to receivers on loopback: Prometheus itself, and one that answers as each test wants.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests; what they share is no test function, and their tasks end with their runtime"
)]

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use firstlook_forward::{ForwardConfig, Forwarders, Tap, start};
use firstlook_model::{
    ComponentId, ComponentKind, HostId, LogBlock, LogEntry, LogSource, MetricBlock, Record, Schema,
    Series, Severity, SignalKind, TemplateId, Timestamp, Unit,
};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use prost::Message;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const EVEN_IF_BUSY: Duration = Duration::from_secs(60);

/// A request as it came.
struct Came {
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

type Log = Arc<Mutex<Vec<Came>>>;

/// Answers with these statuses and headers in turn, then with 200.
async fn receiver(answers: Vec<(u16, Option<&'static str>)>) -> (SocketAddr, Log) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let log = Log::default();
    let (heard, answers) = (log.clone(), Arc::new(Mutex::new(VecDeque::from(answers))));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (heard, answers) = (heard.clone(), answers.clone());
            let service = service_fn(move |request: Request<Incoming>| {
                let (heard, answers) = (heard.clone(), answers.clone());
                async move {
                    let (parts, body) = request.into_parts();
                    let body = body.collect().await.unwrap().to_bytes();
                    let came = Came {
                        path: parts.uri.path().to_owned(),
                        headers: parts.headers,
                        body,
                    };
                    locked(&heard).push(came);
                    let (status, wait) = locked(&answers).pop_front().unwrap_or((200, None));
                    let mut response = Response::builder().status(status);
                    if let Some(wait) = wait {
                        response = response.header("retry-after", wait);
                    }
                    Ok::<_, Infallible>(response.body(Full::new(Bytes::from("said so"))).unwrap())
                }
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    (address, log)
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn host() -> HostId {
    HostId::new("web1").unwrap()
}

fn service() -> ComponentId {
    ComponentId::on_host(ComponentKind::Service, host(), "shop.service").unwrap()
}

fn schema() -> Schema {
    let series = |component, signal: &str, unit, kind| Series {
        component,
        signal: signal.to_owned(),
        unit,
        kind,
    };
    Schema::new(vec![
        series(
            ComponentId::host(host()),
            "load.1m",
            Unit::Count,
            SignalKind::Gauge,
        ),
        series(
            service(),
            "service.cpu_seconds_total",
            Unit::Seconds,
            SignalKind::Counter,
        ),
    ])
}

fn now_millis() -> i64 {
    firstlook_runtime::clock::now().as_millis()
}

/// Two samples of the load, the second missing, and two of the service's CPU time.
fn block(at_millis: i64) -> Record {
    Record::Metrics(MetricBlock {
        schema: schema().id(),
        times: [0, 1_000]
            .map(|more| Timestamp::from_millis(at_millis + more))
            .to_vec(),
        columns: vec![vec![0.5, f64::NAN], vec![10.0, 12.5]]
            .try_into()
            .unwrap(),
    })
}

fn lines() -> Record {
    Record::Logs(LogBlock {
        templates: Vec::new(),
        entries: vec![LogEntry {
            time: Timestamp::from_millis(now_millis()),
            component: service(),
            template: TemplateId(7),
            severity: Severity::Error,
            source: LogSource::File,
            text: "payment refused".to_owned(),
        }],
    })
}

struct Running {
    tap: Tap,
    stop: CancellationToken,
}

impl Running {
    fn begin(config: &str, known: Option<Schema>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("forward.toml");
        std::fs::write(&path, config).unwrap();
        let stop = CancellationToken::new();
        let lookup = Box::new(move |_: &HostId, id| known.clone().filter(|s| s.id() == id));
        let config = ForwardConfig::read(&path).unwrap();
        let Forwarders { tap, tasks } = start(config, lookup, &stop).unwrap();
        for (_, task) in tasks {
            tokio::spawn(task);
        }
        Self { tap, stop }
    }

    fn count(&self, name: &str) -> u64 {
        let name = format!("firstlook_forward_{name}_total");
        let all = self.tap.counters();
        all.iter().find(|(known, _)| *known == name).unwrap().1
    }

    async fn until(&self, name: &str, count: u64) {
        let reached = async {
            while self.count(name) < count {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let waited = tokio::time::timeout(EVEN_IF_BUSY, reached).await;
        assert!(waited.is_ok(), "{name} is {:?}", self.tap.counters());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn target(protocol: &str, address: SocketAddr, more: &str) -> String {
    format!("[[target]]\nprotocol = {protocol:?}\nurl = \"http://{address}/base/\"\n{more}\n")
}

#[tokio::test]
async fn metrics_and_lines_leave_by_otlp_with_their_component_as_resource() {
    let (address, log) = receiver(Vec::new()).await;
    let running = Running::begin(&target("otlp", address, "logs = true"), None);
    running.tap.offer(&host(), &Record::Schema(schema()));
    running.tap.offer(&host(), &block(now_millis()));
    running.tap.offer(&host(), &lines());
    running.until("sent", 4).await;

    let log = locked(&log);
    let of = |path: &str| log.iter().find(|came| came.path == path).unwrap();
    let came = of("/base/v1/metrics");
    assert_eq!(came.headers["content-type"], "application/x-protobuf");
    let metrics = ExportMetricsServiceRequest::decode(came.body.clone()).unwrap();
    let [of_host, of_service] = &metrics.resource_metrics[..] else {
        panic!("{metrics:?}")
    };
    let load = &of_host.scope_metrics[0].metrics[0];
    assert_eq!((&*load.name, &*load.unit), ("firstlook.load.1m", "1"));
    let Some(Data::Gauge(gauge)) = &load.data else {
        panic!("{load:?}")
    };
    assert_eq!(
        gauge.data_points.len(),
        1,
        "what was not observed is not sent"
    );
    let cpu = &of_service.scope_metrics[0].metrics[0];
    let Some(Data::Sum(sum)) = &cpu.data else {
        panic!("{cpu:?}")
    };
    assert!(sum.is_monotonic && sum.data_points.len() == 2 && cpu.unit == "s");
    let attributes = &of_service.resource.as_ref().unwrap().attributes;
    let named = |key: &str| {
        let found = attributes.iter().find(|a| a.key == key).unwrap();
        match found.value.as_ref().unwrap().value.as_ref().unwrap() {
            Value::StringValue(text) => text.clone(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        (&*named("host.name"), &*named("service.name")),
        ("web1", "shop.service")
    );

    let logs = ExportLogsServiceRequest::decode(of("/base/v1/logs").body.clone()).unwrap();
    let record = &logs.resource_logs[0].scope_logs[0].log_records[0];
    assert_eq!(record.severity_text, "ERROR");
    assert!(format!("{:?}", record.body).contains("payment refused"));
}

#[tokio::test]
async fn what_may_succeed_later_is_sent_again_and_what_was_refused_is_not() {
    let (address, log) = receiver(vec![
        (503, None),
        (429, Some("0")),
        (200, None),
        (400, None),
    ])
    .await;
    let running = Running::begin(&target("remote-write", address, ""), Some(schema()));
    running.tap.offer(&host(), &block(now_millis()));
    running.until("sent", 3).await;
    assert_eq!(
        (locked(&log).len(), running.count("retried_requests")),
        (3, 2)
    );
    running.tap.offer(&host(), &block(now_millis()));
    running.until("refused", 3).await;
    assert_eq!((locked(&log).len(), running.count("sent")), (4, 3));
    let log = locked(&log);
    assert_eq!(
        log[0].body, log[2].body,
        "the same bytes, until they are taken"
    );
    assert_eq!(log[0].headers["content-encoding"], "snappy");
}

#[tokio::test]
async fn a_receiver_that_is_away_costs_the_oldest_and_they_are_counted() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let more = "queue_samples = 1000";
    let running = Running::begin(&target("remote-write", address, more), Some(schema()));
    running.tap.offer(&host(), &block(now_millis()));
    // The first is under way; of the others a thousand samples fit, four a block.
    running.until("retried_requests", 1).await;
    for _ in 0..300 {
        running.tap.offer(&host(), &block(now_millis()));
    }
    assert_eq!(running.count("overflowed"), 50 * 4);
    assert_eq!(running.count("sent"), 0);
}

#[tokio::test]
async fn samples_of_an_unknown_schema_are_counted_and_not_sent() {
    let (address, log) = receiver(Vec::new()).await;
    let running = Running::begin(&target("otlp", address, "signals = [\"load.*\"]"), None);
    running.tap.offer(&host(), &block(now_millis()));
    assert_eq!(running.count("nameless_samples"), 4);
    running.tap.offer(&host(), &Record::Schema(schema()));
    running.tap.offer(&host(), &block(now_millis()));
    running.until("sent", 1).await;
    let request = ExportMetricsServiceRequest::decode(locked(&log)[0].body.clone()).unwrap();
    assert_eq!(
        request.resource_metrics.len(),
        1,
        "only what the pattern names"
    );
}

/// Prometheus, as Debian packages it, taking remote writes.
struct Prometheus {
    child: Child,
    address: SocketAddr,
}

impl Prometheus {
    async fn begin(folder: &Path) -> Self {
        let port = {
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            free.local_addr().unwrap().port()
        };
        std::fs::write(folder.join("prometheus.yml"), "global: {}\n").unwrap();
        let log = std::fs::File::create(folder.join("prometheus.log")).unwrap();
        let child = Command::new("prometheus")
            .arg(format!(
                "--config.file={}",
                folder.join("prometheus.yml").display()
            ))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.join("data").display()
            ))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--web.enable-remote-write-receiver")
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("Debian's package prometheus is installed; tests/run does so");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self { child, address }
    }

    /// The answer to a query, once there is one.
    async fn answers(&self, path: &str, wanted: &str) -> String {
        let asked = async {
            loop {
                let text = get(self.address, path).await.unwrap_or_default();
                if text.contains(wanted) {
                    return text;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        let answer = tokio::time::timeout(EVEN_IF_BUSY, asked).await;
        answer.unwrap_or_else(|_| panic!("{path} never says {wanted}"))
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn get(address: SocketAddr, path: &str) -> Option<String> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.ok()?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: h\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await.ok()?;
    Some(text)
}

#[tokio::test]
async fn prometheus_takes_what_is_written_and_finds_it_by_its_labels() {
    let folder = tempfile::tempdir().unwrap();
    let prometheus = Prometheus::begin(folder.path()).await;
    prometheus.answers("/-/ready", "200 OK").await;
    let url = format!("http://{}/api/v1/write", prometheus.address);
    let config = format!("[[target]]\nprotocol = \"remote-write\"\nurl = {url:?}\n");
    let running = Running::begin(&config, Some(schema()));
    running.tap.offer(&host(), &block(now_millis() - 2_000));
    running.until("sent", 3).await;
    let query = "/api/v1/query?query=firstlook_service_cpu_seconds_total%7Bhost=%22web1%22%7D";
    let answer = prometheus.answers(query, "12.5").await;
    for part in ["\"kind\":\"service\"", "\"name\":\"shop.service\""] {
        assert!(answer.contains(part), "{answer}");
    }
}
