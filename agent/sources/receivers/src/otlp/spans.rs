//! Spans as rates, errors and durations: of what a component answers, and of what it asks of each of those it calls.
//! Spans themselves are not kept.

use std::collections::HashMap;
use std::time::Duration;

use firstlook_model::{ComponentId, SignalKind, Unit};
use tokio::time::Instant;

use super::callees::Callees;
use super::totals::{Kind, Told, Totals};
use super::wire::traces::{ResourceSpans, Span};
use super::wire::{AnyValue, KeyValue, attribute, text};
use crate::called::Counted;
use crate::measures::Measures;

/// SPAN_KIND_SERVER and _CONSUMER, _CLIENT and _PRODUCER; STATUS_CODE_ERROR.
const ANSWERS: [i32; 2] = [2, 5];
const CALLS: [i32; 2] = [3, 4];
const ERROR: i32 = 2;
/// Most that are told apart: components, and whom each calls. What is over is told as of [`OTHERS`].
const TALLIES_LIMIT: usize = 256;
/// Most components that have a tally of others beyond that.
const COMPONENTS_LIMIT: usize = 128;
/// One of whom no span was told for so long is forgotten; its counts begin anew with the next.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(300);
/// Longest name of who is called.
const CALLEE_LIMIT_BYTES: usize = 64;
/// Who is called, where a span does not say, or cannot be told for want of room.
const OTHERS: &str = "other";

/// All tallies.
#[derive(Debug, Default)]
pub(super) struct Spans {
    by: HashMap<(ComponentId, Option<String>), Tally>,
    callees: Callees,
}

#[derive(Debug)]
struct Tally {
    requests: u64,
    errors: u64,
    took: Measures,
    told: Instant,
}

/// What became of the spans of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// All there were.
    pub spans: u64,
    /// Those that end before they begin.
    pub refused: u64,
    /// Those without room.
    pub no_room: u64,
}

impl Spans {
    /// Takes all spans of a resource. Those within a program are passed over.
    pub fn resource(&mut self, about: &ComponentId, spans: &ResourceSpans, taken: &mut Taken) {
        let now = Instant::now();
        for span in spans.scope_spans.iter().flat_map(|scope| &scope.spans) {
            taken.spans += 1;
            let callee = match span.kind {
                kind if ANSWERS.contains(&kind) => None,
                kind if CALLS.contains(&kind) => Some(callee(&span.attributes)),
                _ => continue,
            };
            let Some(nanos) = span
                .end_time_unix_nano
                .checked_sub(span.start_time_unix_nano)
            else {
                taken.refused += 1;
                continue;
            };
            if callee.is_some() {
                self.callees
                    .count(about, &span.attributes, nanos, is_error(span));
            }
            match self.tally(about, callee, now) {
                Some(tally) => tally.add(nanos, is_error(span), now),
                None => taken.no_room += 1,
            }
        }
    }

    fn tally(
        &mut self,
        about: &ComponentId,
        callee: Option<String>,
        now: Instant,
    ) -> Option<&mut Tally> {
        let mut key = (about.clone(), callee);
        if !self.by.contains_key(&key) && self.by.len() >= TALLIES_LIMIT {
            key.1 = key.1.map(|_| OTHERS.to_owned());
            if !self.by.contains_key(&key) && self.by.len() >= TALLIES_LIMIT + COMPONENTS_LIMIT {
                return None;
            }
        }
        Some(self.by.entry(key).or_insert_with(|| Tally {
            requests: 0,
            errors: 0,
            took: Measures::default(),
            told: now,
        }))
    }

    /// Calls by address, once they were counted for long enough; and how many of late found no room there.
    pub fn turn(&mut self) -> (Option<Counted>, u64) {
        self.callees.turn()
    }

    /// Tells all that is known: numbers always, durations where there were any. Returns how many samples found no room.
    pub fn tell(&mut self, totals: &mut Totals) -> u64 {
        let now = Instant::now();
        self.by
            .retain(|_, tally| now - tally.told < FORGOTTEN_AFTER);
        let mut no_room = 0;
        for ((about, callee), tally) in &mut self.by {
            tally.tell(callee.as_deref(), &mut |signal, unit, kind, told| {
                let kind = Kind {
                    unit,
                    kind,
                    bucket: false,
                };
                no_room += u64::from(!totals.take(about, &signal, kind, told));
            });
        }
        no_room
    }
}

impl Tally {
    fn add(&mut self, nanos: u64, error: bool, now: Instant) {
        self.requests += 1;
        self.errors += u64::from(error);
        self.took.add(nanos as f64 / 1e9, 1.0);
        self.told = now;
    }

    fn tell(&mut self, callee: Option<&str>, put: &mut dyn FnMut(String, Unit, SignalKind, Told)) {
        let (what, label) = match callee {
            None => ("spans", String::new()),
            Some(callee) => ("calls", format!("{{callee=\"{callee}\"}}")),
        };
        let name = |part: &str| format!("{what}.{part}{label}");
        let more = |count: &mut u64| Told::More(std::mem::take(count) as f64);
        let counter = SignalKind::Counter;
        put(
            name("requests_total"),
            Unit::Count,
            counter,
            more(&mut self.requests),
        );
        put(
            name("errors_total"),
            Unit::Count,
            counter,
            more(&mut self.errors),
        );
        let endings = ["seconds_mean", "seconds_p50", "seconds_p95", "seconds_max"];
        for (ending, value) in endings.into_iter().zip(self.took.take()) {
            if !value.is_nan() {
                put(
                    name(ending),
                    Unit::Seconds,
                    SignalKind::Gauge,
                    Told::Level(value),
                );
            }
        }
    }
}

fn is_error(span: &Span) -> bool {
    span.status
        .as_ref()
        .is_some_and(|status| status.code == ERROR)
}

/// Who is called, by what a span says in OpenTelemetry's words of now and of before: a name for the service first, then an
/// address with its port, then what sort of thing it is.
fn callee(attributes: &[KeyValue]) -> String {
    let ports = [
        "server.port",
        "net.peer.port",
        "network.peer.port",
        "net.sock.peer.port",
    ];
    let port = || {
        ports
            .iter()
            .find_map(|key| port(attribute(attributes, key)?))
    };
    let text = |keys: &[&str]| keys.iter().find_map(|key| text(attributes, key));
    let address = || {
        let keys = [
            "server.address",
            "net.peer.name",
            "network.peer.address",
            "net.peer.ip",
            "net.sock.peer.addr",
        ];
        let address = text(&keys)?;
        Some(match port() {
            Some(port) if address.contains(':') => format!("[{address}]:{port}"),
            Some(port) => format!("{address}:{port}"),
            None => address.to_owned(),
        })
    };
    let sort = || {
        text(&[
            "db.system.name",
            "db.system",
            "messaging.system",
            "rpc.service",
        ])
    };
    let named = text(&["peer.service"]).map(str::to_owned);
    let named = named.or_else(address).or_else(|| sort().map(str::to_owned));
    let plain = |name: &String| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_.-/:[]%@".contains(&b);
        name.len() <= CALLEE_LIMIT_BYTES && name.bytes().all(allowed)
    };
    named.filter(plain).unwrap_or_else(|| OTHERS.to_owned())
}

/// Not 0.
pub(super) fn port(value: &AnyValue) -> Option<u16> {
    let text = || value.string_value.as_deref()?.parse().ok();
    let number = value.int_value.and_then(|port| u16::try_from(port).ok());
    number.or_else(text).filter(|port| *port != 0)
}

/// Attributes, numbers where they are.
#[cfg(test)]
pub(super) fn said(pairs: &[(&str, &str)]) -> Vec<KeyValue> {
    let pair = |(key, value): &(&str, &str)| KeyValue {
        key: (*key).to_owned(),
        value: Some(match value.parse() {
            Ok(number) => AnyValue {
                int_value: Some(number),
                ..AnyValue::default()
            },
            Err(_) => AnyValue {
                string_value: Some((*value).to_owned()),
                ..AnyValue::default()
            },
        }),
    };
    pairs.iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::super::wire::traces::{ScopeSpans, SpanStatus};
    use super::*;
    use firstlook_model::HostId;
    use proptest::prelude::*;

    fn host() -> ComponentId {
        ComponentId::host(HostId::new("h1").unwrap())
    }

    fn span(kind: i32, ms: u64, code: i32, pairs: &[(&str, &str)]) -> Span {
        Span {
            kind,
            start_time_unix_nano: 5,
            end_time_unix_nano: 5 + ms * 1_000_000,
            attributes: said(pairs),
            status: Some(SpanStatus { code }),
        }
    }

    fn resource(spans: Vec<Span>) -> ResourceSpans {
        ResourceSpans {
            resource: None,
            scope_spans: vec![ScopeSpans { spans }],
        }
    }

    fn told(spans: &mut Spans, totals: &mut Totals) -> Vec<(String, f64)> {
        assert_eq!(spans.tell(totals), 0);
        let told = totals.tell().into_iter().flat_map(|(_, samples)| samples);
        told.map(|s| (s.signal, s.value)).collect()
    }

    #[tokio::test]
    async fn what_is_answered_and_what_is_called_is_counted_and_timed() {
        let (mut spans, mut totals) = (Spans::default(), Totals::new(99));
        let mut taken = Taken::default();
        let db = [("server.address", "10.0.0.7"), ("server.port", "5432")];
        let all = vec![
            span(2, 100, 0, &[]),
            span(5, 300, 2, &[]),
            span(1, 7, 2, &[]),
            span(3, 20, 1, &db),
            span(4, 40, 2, &db),
        ];
        spans.resource(&host(), &resource(all), &mut taken);
        let mut backwards = span(2, 0, 0, &[]);
        backwards.start_time_unix_nano = 6;
        spans.resource(&host(), &resource(vec![backwards]), &mut taken);
        let expected = Taken {
            spans: 6,
            refused: 1,
            no_room: 0,
        };
        assert_eq!(taken, expected);
        let first = [
            ("calls.errors_total{callee=\"10.0.0.7:5432\"}", 1.0),
            ("calls.requests_total{callee=\"10.0.0.7:5432\"}", 2.0),
            ("calls.seconds_max{callee=\"10.0.0.7:5432\"}", 0.04),
            ("calls.seconds_mean{callee=\"10.0.0.7:5432\"}", 0.03),
            ("calls.seconds_p50{callee=\"10.0.0.7:5432\"}", 0.02),
            ("calls.seconds_p95{callee=\"10.0.0.7:5432\"}", 0.04),
            ("spans.errors_total", 1.0),
            ("spans.requests_total", 2.0),
            ("spans.seconds_max", 0.3),
            ("spans.seconds_mean", 0.2),
            ("spans.seconds_p50", 0.1),
            ("spans.seconds_p95", 0.3),
        ];
        let found = told(&mut spans, &mut totals);
        assert_eq!(found.len(), first.len(), "{found:?}");
        for ((signal, value), (expected, near)) in found.iter().zip(first) {
            assert_eq!(signal, expected);
            assert!((value - near).abs() < 1e-9, "{signal} {value}");
        }
        // A second without spans: the numbers stand, and there is no duration.
        let found = told(&mut spans, &mut totals);
        let names: Vec<_> = found
            .iter()
            .map(|(name, value)| (name.as_str(), *value))
            .collect();
        assert_eq!(
            names[2..],
            [("spans.errors_total", 1.0), ("spans.requests_total", 2.0)]
        );
    }

    #[test]
    fn who_is_called_is_named_by_what_says_most() {
        for (pairs, expected) in [
            (
                &[("peer.service", "billing"), ("server.address", "b")][..],
                "billing",
            ),
            (
                &[("net.peer.name", "db.lan"), ("net.peer.port", "5432")],
                "db.lan:5432",
            ),
            (
                &[("server.address", "::1"), ("server.port", "80")],
                "[::1]:80",
            ),
            (
                &[("network.peer.address", "10.0.0.1"), ("server.port", "0")],
                "10.0.0.1",
            ),
            (&[("db.system", "redis")], "redis"),
            (&[("rpc.service", "shop.Orders")], "shop.Orders"),
            (&[("peer.service", "no \"name\"")], OTHERS),
            (&[("http.url", "http://x/")], OTHERS),
        ] {
            assert_eq!(callee(&said(pairs)), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_who_are_called_are_told_as_others_until_some_are_forgotten() {
        let (mut spans, mut totals) = (Spans::default(), Totals::new(10_000));
        let mut taken = Taken::default();
        let call = |n: usize| span(3, 1, 0, &[("peer.service", &format!("s-{n}"))]);
        let many: Vec<_> = (0..TALLIES_LIMIT + 10).map(call).collect();
        spans.resource(&host(), &resource(many), &mut taken);
        let found = told(&mut spans, &mut totals);
        let others = |found: &[(String, f64)], name: &str| {
            let signal = format!("calls.requests_total{{callee=\"{name}\"}}");
            found
                .iter()
                .find(|(s, _)| *s == signal)
                .map(|(_, value)| *value)
        };
        assert_eq!((others(&found, OTHERS), taken.no_room), (Some(10.0), 0));
        tokio::time::advance(FORGOTTEN_AFTER).await;
        assert!(told(&mut spans, &mut totals).is_empty());
        let one = vec![call(TALLIES_LIMIT + 1)];
        spans.resource(&host(), &resource(one), &mut taken);
        let found = told(&mut spans, &mut totals);
        assert_eq!(
            others(&found, &format!("s-{}", TALLIES_LIMIT + 1)),
            Some(1.0)
        );
    }

    proptest! {
        #[test]
        fn every_span_is_told_or_counted(
            all in proptest::collection::vec((0..7, any::<u64>(), any::<u64>(), 0..4, ".{0,80}"), 0..20),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let make = |(kind, start, end, code, name): (i32, u64, u64, i32, String)| Span {
                    start_time_unix_nano: start,
                    end_time_unix_nano: end,
                    ..span(kind, 0, code, &[("peer.service", &name)])
                };
                let asked = all.iter().filter(|s| (2..=5).contains(&s.0) && s.2 >= s.1).count();
                let (mut spans, mut totals) = (Spans::default(), Totals::new(999));
                let mut taken = Taken::default();
                let number = all.len() as u64;
                spans.resource(&host(), &resource(all.into_iter().map(make).collect()), &mut taken);
                assert_eq!((taken.spans, taken.no_room), (number, 0));
                let found = told(&mut spans, &mut totals);
                let requests = found.iter().filter(|(name, _)| name.contains(".requests_total"));
                assert_eq!(requests.map(|(_, value)| *value).sum::<f64>(), asked as f64);
                assert!(found.iter().all(|(name, _)| name.len() <= 128));
            });
        }
    }
}
