//! What programs tell of themselves: from an endpoint to what a responder is shown.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{JoinHandle, spawn};

use firstlook_whole::{Host, House, until};
use serde_json::{Value, json};

use crate::units::alone;

const SHOP: &str = "service:h1/shop.service";
/// Told for the number of orders by an endpoint that is to end.
const OVER: u64 = u64::MAX;

/// A program that counts its orders.
struct Shop {
    address: SocketAddr,
    orders: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Shop {
    fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let orders = Arc::new(AtomicU64::new(7));
        let told = Arc::clone(&orders);
        let thread = spawn(move || serve(&listener, &told));
        Self {
            address,
            orders,
            thread: Some(thread),
        }
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.orders.store(OVER, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(listener: &TcpListener, orders: &AtomicU64) {
    for peer in listener.incoming() {
        let orders = orders.load(Ordering::SeqCst);
        if orders == OVER {
            return;
        }
        let Ok(mut peer) = peer else { continue };
        let mut request = [0; 1024];
        // A peer that has gone needs no answer.
        if matches!(peer.read(&mut request), Ok(1..)) {
            let text = format!(
                "# TYPE shop_orders_total counter\n\
                 shop_orders_total{{paid=\"yes\",kind=\"new\"}} {orders}\n\
                 this is no sample\n"
            );
            let length = text.len();
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{text}");
            let _ = peer.write_all(answer.as_bytes());
        }
    }
}

/// The service that this process is of, as agents here name it: that of a port at which it listens.
fn us() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = alone(&["run", "--once", "--json", "--state-dir", "/nonexistent"]);
    let document: Value = serde_json::from_str(&seen.out).expect("an observation");
    let listeners = document["inventory"]["listeners"].as_array();
    let ours = listeners.into_iter().flatten().find(|l| l["port"] == port);
    let component = ours
        .and_then(|l| l["component"].as_str())
        .expect("its listener");
    let (kind, name) = component.split_once('/').expect("a service");
    assert!(kind.starts_with("service:"), "{component}");
    name.to_owned()
}

/// The values of a series of the shop, oldest first.
fn values(house: &House, signal: &str) -> Vec<f64> {
    values_of(house, SHOP, signal)
}

fn values_of(house: &House, component: &str, signal: &str) -> Vec<f64> {
    let shown = house.ask(&["metrics", component, signal, "--json"]);
    let document: Value = serde_json::from_str(&shown.out).unwrap_or_default();
    let points = document["series"][0]["points"].as_array();
    let values = points.into_iter().flatten();
    values.filter_map(|point| point[1].as_f64()).collect()
}

#[test]
fn what_an_endpoint_tells_is_shown_under_its_service() {
    let (house, shop) = (House::open(), Shop::open());
    let mut host = Host::join(&house, "h1");
    let url = format!("http://{}/metrics", shop.address);
    host.configure(&format!(
        "[[scrape]]\nurl = \"{url}\"\nservice = \"shop.service\"\ninterval_s = 1\n"
    ));
    let orders = "shop_orders_total{kind=\"new\",paid=\"yes\"}";
    until("the first orders", || {
        values(&house, orders).contains(&7.0).then_some(())
    });
    shop.orders.store(9, Ordering::SeqCst);
    until("more orders", || {
        values(&house, orders).ends_with(&[9.0]).then_some(())
    });
    let own = |name: &str| values(&house, &format!("scrape.{name}{{url=\"{url}\"}}"));
    assert_eq!(own("up").last(), Some(&1.0));
    let refused = own("refused_lines_total");
    assert!(
        refused.last().is_some_and(|lines| *lines >= 2.0),
        "{refused:?}"
    );
}

#[test]
fn what_a_program_sends_is_shown_under_its_service() {
    let house = House::open();
    let mut host = Host::join(&house, "h1");
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    // A port that was free a moment ago.
    let port = UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    host.configure(&format!(
        "[statsd]\nlisten = \"{port}\"\nservice = \"shop.service\"\n"
    ));
    until("a receiver", || {
        values(&house, "statsd.up").contains(&1.0).then_some(())
    });
    let lines = b"orders:3|c|#kind:new\norders:1|c|@0.5|#kind:new\nno line";
    sender.send_to(lines, port).unwrap();
    // Ours, while others of our name listen.
    let us = format!("service:h1/{}", us());
    until("orders", || {
        let of = |who| values_of(&house, who, "orders_total{kind=\"new\"}");
        let shown = of(SHOP).contains(&5.0) || of(&us).contains(&5.0);
        shown.then_some(())
    });
    let refused = values(&house, "statsd.refused_lines_total");
    assert_eq!(refused.last(), Some(&1.0));
}

/// What an agent answers to a message in JSON; none while nobody answers.
fn told(address: SocketAddr, path: &str, message: &Value) -> Option<String> {
    let mut peer = TcpStream::connect(address).ok()?;
    let body = message.to_string();
    let length = body.len();
    let ask = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    peer.write_all(ask.as_bytes()).ok()?;
    let mut answer = String::new();
    peer.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// Has the host take OTLP, with more of its configuration, and says where by HTTP.
fn take_otlp(host: &mut Host, more: &str) -> SocketAddr {
    // Ports that were free a moment ago.
    let free = || TcpListener::bind("127.0.0.1:0").unwrap();
    let (http, grpc) = (free(), free());
    let (address, calls) = (http.local_addr().unwrap(), grpc.local_addr().unwrap());
    drop((http, grpc));
    host.configure(&format!(
        "[otlp]\nhttp_listen = \"{address}\"\ngrpc_listen = \"{calls}\"\nservice = \"shop.service\"\n{more}\n"
    ));
    address
}

fn orders(number: u64, name: &str) -> Value {
    let attribute = json!({"key": "order.kind", "value": {"stringValue": "new"}});
    let point =
        json!({"asInt": number.to_string(), "startTimeUnixNano": "7", "attributes": [attribute]});
    let sum = json!({"aggregationTemporality": 2, "isMonotonic": true, "dataPoints": [point]});
    let metrics = json!([{"name": name, "unit": "1", "sum": sum}]);
    json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": metrics}]}]})
}

#[test]
fn what_a_program_tells_is_its_own_services_as_the_kernel_shows_it() {
    let house = House::open();
    let mut host = Host::join(&house, "h1");
    let us = format!("service:h1/{}", us());
    let address = take_otlp(&mut host, "");
    // Before the first sample, nobody is known yet.
    until("our orders", || {
        told(address, "/v1/metrics", &orders(7, "shop.orders"))?;
        let values = values_of(&house, &us, "shop.orders{kind=\"new\"}");
        values.contains(&7.0).then_some(())
    });
}

#[test]
fn what_a_relay_passes_on_in_opentelemetrys_form_is_shown_under_its_service() {
    let house = House::open();
    let mut host = Host::join(&house, "h1");
    let address = take_otlp(&mut host, &format!("relays = [{:?}]", us()));
    let answer = until("a receiver", || {
        told(address, "/v1/metrics", &orders(7, "shop.orders"))
    });
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n{}"),
        "{answer}"
    );
    let series = "shop.orders{kind=\"new\"}";
    until("the first orders", || {
        values(&house, series).contains(&7.0).then_some(())
    });
    told(address, "/v1/metrics", &orders(9, "shop.orders")).unwrap();
    until("more orders", || {
        values(&house, series).ends_with(&[9.0]).then_some(())
    });
    let answer = told(address, "/v1/metrics", &orders(9, "no name")).unwrap();
    assert!(answer.contains("\"rejectedDataPoints\":\"1\""), "{answer}");
    until("the refused point", || {
        let refused = values(&house, "otlp.refused_total");
        refused.ends_with(&[1.0]).then_some(())
    });
    assert_eq!(values(&house, "otlp.up").last(), Some(&1.0));
    let span = |kind: u8, attributes: Value| {
        json!({"kind": kind, "startTimeUnixNano": "5", "endTimeUnixNano": "250000005",
            "status": {"code": 2}, "attributes": attributes})
    };
    let db = json!([{"key": "peer.service", "value": {"stringValue": "db"}}]);
    let spans = json!([span(2, json!([])), span(3, db)]);
    let spans = json!({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]});
    told(address, "/v1/traces", &spans).unwrap();
    until("what is answered", || {
        let errors = values(&house, "spans.errors_total");
        errors.ends_with(&[1.0]).then_some(())
    });
    let record = json!({"severityNumber": 17, "body": {"stringValue": "the stock is gone"}});
    let records = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]});
    told(address, "/v1/logs", &records).unwrap();
    until("the line", || {
        let shown = house.ask(&["logs", SHOP, "--severity", "error"]);
        shown.out.contains("the stock is gone").then_some(())
    });
    until("what is called", || {
        let called = values(&house, "calls.seconds_mean{callee=\"db\"}");
        called.contains(&0.25).then_some(())
    });
}

#[test]
fn what_a_programs_spans_tell_of_its_calls_is_an_edge_with_their_numbers() {
    let house = House::open();
    let mut host = Host::join(&house, "h1");
    // We speak for the shop, whoever of us listens meanwhile and so is a service too.
    let address = take_otlp(&mut host, &format!("relays = [{:?}]", us()));
    let to = json!([
        {"key": "server.address", "value": {"stringValue": "127.0.0.9"}},
        {"key": "server.port", "value": {"intValue": "1"}},
    ]);
    let span = |ended: &str, code: u8| {
        json!({"kind": 3, "startTimeUnixNano": "5", "endTimeUnixNano": ended,
            "status": {"code": code}, "attributes": to})
    };
    let spans = json!([span("100000005", 0), span("300000005", 2)]);
    let spans = json!({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]});
    until("a receiver", || told(address, "/v1/traces", &spans));
    let told = until("the edge", || {
        let shown = house.ask(&["map", "--all", "--json"]);
        let document: Value = serde_json::from_str(&shown.out).ok()?;
        let mut edges = document["edges"].as_array()?.iter();
        let of = |edge: &&Value| {
            edge["port"] == 1 && edge["caller"].to_string().contains("shop.service")
        };
        let edge = edges.find(of)?.clone();
        let told = edge["from_caller"]["calls"].is_object();
        told.then(|| edge["from_caller"].clone())
    });
    let calls = &told["calls"];
    let number = |name: &str| calls[name].as_u64();
    assert_eq!(
        (number("requests"), number("failed")),
        (Some(2), Some(1)),
        "{told}"
    );
    assert_eq!(
        (number("mean_us"), number("longest_us")),
        (Some(200_000), Some(300_000)),
        "{told}"
    );
    assert!(
        number("interval_ms").is_some_and(|ms| ms >= 10_000),
        "{told}"
    );
    assert_eq!(
        (&calls["alone"], &told["established"]),
        (&json!(true), &json!(0))
    );
}

/// What an agent answers to `GET /metrics`; none while nobody answers.
fn scraped(address: SocketAddr) -> Option<String> {
    let mut peer = TcpStream::connect(address).ok()?;
    let ask = format!("GET /metrics HTTP/1.1\r\nhost: {address}\r\n\r\n");
    peer.write_all(ask.as_bytes()).ok()?;
    let mut answer = String::new();
    peer.read_to_string(&mut answer).ok()?;
    let (head, text) = answer.split_once("\r\n\r\n")?;
    head.starts_with("HTTP/1.1 200 ").then(|| text.to_owned())
}

#[test]
fn what_an_agent_samples_is_shown_as_prometheus_reads_it() {
    let house = House::open();
    let mut host = Host::join(&house, "h1");
    // A port that was free a moment ago.
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    host.configure(&format!(
        "[metrics]\nlisten = \"{address}\"\n\
         [[probe]]\nname = \"front\"\ninterval_s = 1\ntcp = {{ address = \"{address}\" }}\n"
    ));
    let text = until("a sample with a session and a probe", || {
        let connected = |text: &String| {
            text.contains("\nfirstlook_uplink_connected 1\n")
                && text.contains("firstlook_probe_up{component=\"host:h1\",probe=\"front\"} 1\n")
        };
        scraped(address).filter(connected)
    });
    assert!(
        text.contains("\nfirstlook_cpu_idle_seconds_total{component=\"host:h1\"} "),
        "{text}"
    );
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("Debian's package prometheus is installed; tests/run does so");
    let mut stdin = promtool.stdin.take().unwrap();
    stdin.write_all(text.as_bytes()).unwrap();
    drop(stdin);
    let checked = promtool.wait_with_output().unwrap();
    let says = String::from_utf8_lossy(&checked.stderr);
    // 3: it was read, and its names could be better by its author's taste.
    assert!(matches!(checked.status.code(), Some(0 | 3)), "{says}");
}
