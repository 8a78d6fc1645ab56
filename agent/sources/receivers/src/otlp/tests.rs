use super::about::Connection;
use super::message::{Form, Service};
use super::serve::respond;
use super::wire::metrics::{
    ExportMetrics, Gauge, Metric, NumberPoint, ResourceMetrics, ScopeMetrics,
};
use super::wire::{AnyValue, ExportResponse, KeyValue, Resource, Status};
use super::*;
use bytes::Bytes;
use firstlook_model::Lines;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use proptest::prelude::*;
use prost::Message;
use std::collections::BTreeSet;
use std::io::Write;

mod calls;
mod owner;

const PROTOBUF: &str = "application/x-protobuf";

fn host() -> HostId {
    HostId::new("h1").unwrap()
}

fn desk(series_budget: usize) -> Desk {
    desk_with(series_budget, Arc::new(|_| Box::pin(async {})))
}

fn desk_with(series_budget: usize, lines: LinesTo) -> Desk {
    let about = About {
        otherwise: ComponentId::host(host()),
        relays: BTreeSet::new(),
        caller: Arc::new(|_, _| Box::pin(async { None })),
        named: Arc::new(|name| (name == "shop").then(|| unit(name))),
    };
    Desk::new(series_budget, about, lines)
}

fn unit(name: &str) -> ComponentId {
    about(Some(&format!("{name}.service")), &host())
}

fn places(desk: &Desk) -> Places {
    let shelves = Shelves::default();
    let about = ComponentId::host(host());
    let places = Places {
        told: shelves.add(about.clone(), 99),
        own: shelves.add(about, OWN_SERIES),
        shelves,
    };
    desk.tell(&places);
    places
}

/// Of these parts, those that were told: `component signal value`.
fn told(places: &Places) -> Vec<String> {
    let columns = places.shelves.take();
    let all = columns.series.iter().zip(&columns.values);
    let told = all.filter(|(_, value)| !value.is_nan());
    told.map(|(series, value)| format!("{} {} {value}", series.component, series.signal))
        .collect()
}

fn levels(of: &str, names: &[&str]) -> ExportMetrics {
    let service = KeyValue {
        key: "service.name".to_owned(),
        value: Some(AnyValue {
            string_value: Some(of.to_owned()),
            ..AnyValue::default()
        }),
    };
    let metric = |name: &&str| Metric {
        name: (*name).to_owned(),
        gauge: Some(Gauge {
            data_points: vec![NumberPoint {
                as_int: Some(7),
                ..NumberPoint::default()
            }],
        }),
        ..Metric::default()
    };
    ExportMetrics {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(Resource {
                attributes: vec![service],
            }),
            scope_metrics: vec![ScopeMetrics {
                scope: None,
                metrics: names.iter().map(metric).collect(),
            }],
        }],
    }
}

fn post(kind: &str, packing: Option<&str>, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let request = Request::post("/v1/metrics").header("content-type", kind);
    let request = match packing {
        Some(packing) => request.header("content-encoding", packing),
        None => request,
    };
    request.body(Full::from(body.into())).unwrap()
}

async fn answered(desk: &Desk, request: Request<Full<Bytes>>) -> (u16, http::HeaderMap, Bytes) {
    let (parts, body) = respond(desk, &Connection::new(None), request)
        .await
        .into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (parts.status.as_u16(), parts.headers, body)
}

#[tokio::test]
async fn protobuf_plain_and_packed_and_json_are_told_under_their_service() {
    let desk = desk(9);
    let (status, headers, body) = answered(
        &desk,
        post(PROTOBUF, None, levels("shop", &["a"]).encode_to_vec()),
    )
    .await;
    assert_eq!((status, &body[..]), (200, &b""[..]));
    assert_eq!(headers["content-type"], PROTOBUF);
    let mut packing = GzEncoder::new(Vec::new(), Compression::fast());
    packing
        .write_all(&levels("nobody", &["b"]).encode_to_vec())
        .unwrap();
    let packed = packing.finish().unwrap();
    assert_eq!(
        answered(&desk, post(PROTOBUF, Some("gzip"), packed))
            .await
            .0,
        200
    );
    let json = r#"{"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},
        "scopeMetrics":[{"scope":{"name":"x","version":"1"},"metrics":[{"name":"c","unit":"By","sum":{"aggregationTemporality":2,
        "isMonotonic":true,"dataPoints":[{"attributes":[{"key":"k","value":{"intValue":"5"}}],"startTimeUnixNano":"1544712660000000000",
        "timeUnixNano":1544712661000000000,"asInt":"9007199254740993"}]}},{"name":"d","gauge":{"dataPoints":[{"asDouble":"NaN"}]}}]}]}]}"#;
    let (status, headers, body) =
        answered(&desk, post("application/json; charset=utf-8", None, json)).await;
    assert_eq!((status, &body[..]), (200, &b"{}"[..]));
    assert_eq!(headers["content-type"], "application/json");
    let places = places(&desk);
    assert_eq!(
        told(&places),
        [
            "host:h1 b 7",
            "service:h1/shop.service a 7",
            "service:h1/shop.service c{k=\"5\"} 9007199254740992",
            "host:h1 otlp.up 0",
            "host:h1 otlp.requests_total 3",
            "host:h1 otlp.refused_requests_total 0",
            "host:h1 otlp.points_total 4",
            "host:h1 otlp.records_total 0",
            "host:h1 otlp.spans_total 0",
            "host:h1 otlp.refused_total 0",
            "host:h1 otlp.over_budget_total 0",
        ]
    );
}

#[tokio::test]
async fn what_is_taken_in_part_says_how_much_is_not() {
    let desk = desk(1);
    let message = levels("shop", &["a", "b", "no name"]);
    let (status, _, body) = answered(&desk, post(PROTOBUF, None, message.encode_to_vec())).await;
    let partial = ExportResponse::decode(body)
        .unwrap()
        .partial_success
        .unwrap();
    assert_eq!((status, partial.rejected), (200, 2));
    assert!(partial.error_message.contains("refused"), "{partial:?}");
    let json = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"z","gauge":{"dataPoints":[{"asInt":1}]}}]}]}]}"#;
    let (_, _, body) = answered(&desk, post("application/json", None, json)).await;
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["partialSuccess"]["rejectedDataPoints"], "1");
    assert!(told(&places(&desk)).contains(&"host:h1 otlp.over_budget_total 2".to_owned()));
}

#[tokio::test]
async fn what_cannot_be_taken_is_refused_with_its_reason() {
    let desk = desk(9);
    let get = Request::get("/v1/metrics").body(Full::default()).unwrap();
    let other = Request::post("/v2/metrics").body(Full::default()).unwrap();
    let large = vec![0; body::MESSAGE_LIMIT_BYTES + 1];
    let heavy = "{".repeat(1_000_000);
    for (request, expected, code) in [
        (get, 405, 12),
        (other, 404, 12),
        (post("text/plain", None, "x"), 415, 3),
        (post(PROTOBUF, Some("br"), "x"), 415, 12),
        (post(PROTOBUF, None, "x"), 400, 3),
        (post(PROTOBUF, Some("gzip"), "x"), 400, 3),
        (post(PROTOBUF, None, large), 413, 8),
        (post("application/json", None, heavy), 413, 8),
        (post("application/json", None, "{"), 400, 3),
    ] {
        let what = format!("{request:?}");
        let (status, headers, body) = answered(&desk, request).await;
        assert_eq!(status, expected, "{what}");
        let told = match headers["content-type"].to_str().unwrap() {
            PROTOBUF => i64::from(Status::decode(body).unwrap().code),
            _ => serde_json::from_slice::<serde_json::Value>(&body).unwrap()["code"]
                .as_i64()
                .unwrap(),
        };
        assert_eq!(told, code, "{what}");
        assert!(!headers.contains_key("retry-after"), "{what}");
        assert_eq!(headers.get("allow").is_some(), expected == 405);
    }
    let counted = told(&places(&desk));
    assert!(
        counted.contains(&"host:h1 otlp.refused_requests_total 9".to_owned()),
        "{counted:?}"
    );
}

#[tokio::test]
async fn what_is_too_much_for_a_second_may_come_again() {
    let desk = desk(9);
    // Fields that nobody knows: a long text of field 15.
    let mut text = vec![0; 4_000_000];
    text.splice(..0, [15 << 3 | 2, 0x80, 0x92, 0xf4, 0x01]);
    let mut statuses = Vec::new();
    for _ in 0..3 {
        let (status, headers, _) = answered(&desk, post(PROTOBUF, None, text.clone())).await;
        assert_eq!(headers.get("retry-after").is_some(), status == 429);
        statuses.push(status);
    }
    assert_eq!(statuses, [200, 200, 429]);
    drop(places(&desk));
    let (status, ..) = answered(&desk, post(PROTOBUF, None, text)).await;
    assert_eq!(status, 200, "a second later");
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_its_turn_and_not_for_ever() {
    let desk = desk(9);
    let first = desk.place().await.unwrap();
    let second = desk.place().await.unwrap();
    let (status, headers, _) = answered(&desk, post(PROTOBUF, None, "")).await;
    assert_eq!(status, 429);
    assert_eq!(headers["retry-after"], "1");
    drop((first, second));
    assert_eq!(answered(&desk, post(PROTOBUF, None, "")).await.0, 200);
}

#[tokio::test]
async fn messages_of_a_real_sdk_are_taken_whole() {
    let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
    let to: LinesTo = Arc::new(move |lines| {
        let sender = sender.clone();
        Box::pin(async move {
            let _ = sender.send(lines).await;
        })
    });
    let desk = desk_with(99, to);
    for (path, body) in [
        (
            "/v1/metrics",
            &include_bytes!("../../fixtures/otlp/metrics.bin")[..],
        ),
        (
            "/v1/traces",
            include_bytes!("../../fixtures/otlp/traces.bin"),
        ),
        ("/v1/logs", include_bytes!("../../fixtures/otlp/logs.bin")),
    ] {
        let mut request = post(PROTOBUF, None, body);
        *request.uri_mut() = path.parse().unwrap();
        let (status, _, answer) = answered(&desk, request).await;
        assert_eq!((status, &answer[..]), (200, &b""[..]), "{path}");
    }
    let told = told(&places(&desk));
    for expected in [
        "orders{kind=\"new\"} 3",
        "queue -2",
        "level 1.5",
        "took_count{method=\"GET\"} 2",
        "took_sum{method=\"GET\"} 1",
        "took_bucket{le=\"0.1\",method=\"GET\"} 0",
        "took_bucket{le=\"0.5\",method=\"GET\"} 1",
        "took_bucket{le=\"+Inf\",method=\"GET\"} 2",
        "exp.took_count 1",
        "exp.took_bucket{le=\"0.0625\"} 0",
        "exp.took_bucket{le=\"1\"} 1",
        "spans.seconds_max 0.5",
        "calls.errors_total{callee=\"10.0.0.7:5432\"} 1",
    ] {
        let expected = format!("service:h1/shop.service {expected}");
        assert!(told.contains(&expected), "{expected} in {told:?}");
    }
    let lines: Lines = receiver.recv().await.unwrap();
    let line = &lines.lines[0];
    assert_eq!(line.component.name(), "shop.service");
    assert_eq!(line.severity, Some(firstlook_model::Severity::Error));
    assert!(
        line.text
            .starts_with("order failed\nTraceback (most recent call last):")
    );
}

#[tokio::test]
async fn spans_in_json_are_told_as_what_is_answered_and_called() {
    let desk = desk(99);
    let json = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},
        "scopeSpans":[{"spans":[
        {"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"GET /","kind":2,
         "startTimeUnixNano":"1544712660000000000","endTimeUnixNano":"1544712660500000000","status":{"code":2,"message":"x"}},
        {"name":"SELECT","kind":3,"startTimeUnixNano":"1544712660000000000","endTimeUnixNano":"1544712660250000000",
         "attributes":[{"key":"server.address","value":{"stringValue":"db"}},{"key":"server.port","value":{"intValue":5432}}]},
        {"name":"late","kind":2,"startTimeUnixNano":"2","endTimeUnixNano":"1"}]}]}]}"#;
    let mut request = post("application/json", None, json);
    *request.uri_mut() = "/v1/traces".parse().unwrap();
    let (status, _, body) = answered(&desk, request).await;
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        (status, &body["partialSuccess"]["rejectedSpans"]),
        (200, &"1".into())
    );
    let told = told(&places(&desk));
    for expected in [
        "service:h1/shop.service spans.requests_total 1",
        "service:h1/shop.service spans.errors_total 1",
        "service:h1/shop.service spans.seconds_p95 0.5",
        "service:h1/shop.service calls.requests_total{callee=\"db:5432\"} 1",
        "service:h1/shop.service calls.errors_total{callee=\"db:5432\"} 0",
        "service:h1/shop.service calls.seconds_mean{callee=\"db:5432\"} 0.25",
        "host:h1 otlp.spans_total 3",
        "host:h1 otlp.refused_total 1",
    ] {
        assert!(
            told.contains(&expected.to_owned()),
            "{expected} in {told:?}"
        );
    }
}

/// Records of this length, as a request.
fn records(number: usize, bytes: usize) -> Request<Full<Bytes>> {
    let record = wire::logs::LogRecord {
        severity_number: 17,
        body: Some(AnyValue {
            string_value: Some("x".repeat(bytes)),
            ..AnyValue::default()
        }),
        ..wire::logs::LogRecord::default()
    };
    let message = wire::logs::ExportLogs {
        resource_logs: vec![wire::logs::ResourceLogs {
            resource: None,
            scope_logs: vec![wire::logs::ScopeLogs {
                log_records: vec![record; number],
            }],
        }],
    };
    let mut request = post(PROTOBUF, None, message.encode_to_vec());
    *request.uri_mut() = "/v1/logs".parse().unwrap();
    request
}

#[tokio::test(start_paused = true)]
async fn records_wait_for_room_and_come_again_where_there_is_none() {
    let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
    let to: LinesTo = Arc::new(move |lines| {
        let sender = sender.clone();
        Box::pin(async move {
            let _ = sender.send(lines).await;
        })
    });
    let desk = desk_with(9, to);
    assert_eq!(answered(&desk, records(1, 10)).await.0, 200);
    let (status, headers, _) = answered(&desk, records(1, 20)).await;
    assert_eq!((status, headers.contains_key("retry-after")), (429, true));
    let first: Lines = receiver.recv().await.unwrap();
    assert_eq!(first.lines[0].text.len(), 10);
    assert!(
        receiver.try_recv().is_err(),
        "what was refused was not taken"
    );
    // More than one piece: the first is taken, and the others wait for as long as it takes.
    let drained = async {
        let mut lengths = Vec::new();
        while lengths.iter().sum::<usize>() < 100 {
            tokio::time::sleep(2 * Duration::from_secs(2)).await;
            lengths.push(receiver.recv().await.unwrap().lines.len());
        }
        lengths
    };
    let (answer, lengths) = tokio::join!(answered(&desk, records(100, 8_000)), drained);
    assert_eq!(answer.0, 200);
    assert!(lengths.len() > 2, "{lengths:?}");
    let told = told(&places(&desk));
    assert!(
        told.contains(&"host:h1 otlp.records_total 101".to_owned()),
        "{told:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_connection_on_which_nothing_is_asked_is_closed() {
    use tokio::io::AsyncReadExt;
    let desk = Arc::new(desk(9));
    for speaks in [Speaks::Http, Speaks::Grpc] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut idle = tokio::net::TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let mut bytes = Vec::new();
        tokio::select! {
            () = serve::accept(&listener, speaks, &desk) => panic!("the port failed"),
            // Closed with or without a last word.
            _ = idle.read_to_end(&mut bytes) => {}
        }
    }
}

proptest! {
    #[test]
    fn hostile_messages_never_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        text in "[\\[\\]{}:,\"a-zA-Z0-9]{0,80}",
    ) {
        for (form, body) in [(Form::Protobuf, &bytes[..]), (Form::Json, text.as_bytes())] {
            for service in [Service::Metrics, Service::Logs, Service::Traces] {
                let _ = message::read(service, form, body);
            }
        }
    }
}
