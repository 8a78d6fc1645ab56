//! Log records as lines, as those of files. Pure.

use firstlook_model::log::LINE_LIMIT_BYTES;
use firstlook_model::{ComponentId, LogSource, RawLine, Severity, Timestamp};
use serde_json::Value;

use super::wire::logs::{LogRecord, ResourceLogs};
use super::wire::{AnyValue, KeyValue, text};

/// A record's own time is believed if it is no older and no newer than this when it comes, as that of a file's line.
const PAST_BELIEVED_MICROS: i64 = 48 * 3_600 * 1_000_000;
const FUTURE_BELIEVED_MICROS: i64 = 60 * 1_000_000;

/// The lines of a resource at this time; returns how many records have no text.
pub(super) fn lines(
    about: &ComponentId,
    logs: &ResourceLogs,
    now: Timestamp,
    lines: &mut Vec<RawLine>,
) -> u64 {
    let mut refused = 0;
    for record in logs.scope_logs.iter().flat_map(|scope| &scope.log_records) {
        let text = written(record);
        if text.is_empty() {
            refused += 1;
            continue;
        }
        lines.push(RawLine {
            time: time(record, now),
            component: about.clone(),
            severity: severity(record.severity_number),
            source: LogSource::File,
            text,
        });
    }
    refused
}

/// When it happened, else when it was seen first, if either is believed; else now.
fn time(record: &LogRecord, now: Timestamp) -> Timestamp {
    let believed = 0..=PAST_BELIEVED_MICROS + FUTURE_BELIEVED_MICROS;
    let told = [record.time_unix_nano, record.observed_time_unix_nano];
    let stamps = told.into_iter().filter(|nanos| *nanos != 0);
    let micros = stamps.filter_map(|nanos| i64::try_from(nanos / 1_000).ok());
    let earliest = now.as_micros().saturating_sub(PAST_BELIEVED_MICROS);
    let mut near = micros.filter(|micros| believed.contains(&micros.saturating_sub(earliest)));
    near.next().map_or(now, Timestamp::from_micros)
}

/// By SeverityNumber: 1 to 4 trace, then debug, info, warning, error, fatal, four of each.
fn severity(number: i32) -> Option<Severity> {
    match number {
        1..=8 => Some(Severity::Debug),
        9..=12 => Some(Severity::Info),
        13..=16 => Some(Severity::Warning),
        17..=20 => Some(Severity::Error),
        21..=24 => Some(Severity::Critical),
        _ => None,
    }
}

/// The body, or the name of the event; and the exception that came with it.
fn written(record: &LogRecord) -> String {
    let body = record.body.as_ref();
    let mut line = match body.map(|body| (body.string_value.clone(), body)) {
        Some((Some(text), _)) => text,
        Some((None, body)) if *body != AnyValue::default() => json(body).to_string(),
        _ => record.event_name.clone(),
    };
    exception(&record.attributes, &mut line);
    let mut end = line.len().min(LINE_LIMIT_BYTES);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    line.truncate(end);
    line
}

fn exception(attributes: &[KeyValue], line: &mut String) {
    let said = |key| text(attributes, key).unwrap_or_default();
    let stack = said("exception.stacktrace");
    let (kind, message) = (said("exception.type"), said("exception.message"));
    let more = match (stack, kind, message) {
        ("", "", message) => message.to_owned(),
        ("", kind, "") => kind.to_owned(),
        ("", kind, message) => format!("{kind}: {message}"),
        (stack, ..) => stack.to_owned(),
    };
    if more.is_empty() || line.contains(&more) {
        return;
    }
    if !line.is_empty() {
        line.push_str(if stack.is_empty() { ": " } else { "\n" });
    }
    line.push_str(&more);
}

/// A body that is no text, as JSON. Its reader allows no deeper nesting than can be written.
fn json(value: &AnyValue) -> Value {
    let AnyValue {
        string_value,
        bool_value,
        int_value,
        double_value,
        array_value,
        kvlist_value,
    } = value;
    if let Some(text) = string_value {
        return text.as_str().into();
    }
    if let Some(array) = array_value {
        return array.values.iter().map(json).collect();
    }
    if let Some(list) = kvlist_value {
        let pair = |pair: &KeyValue| {
            let value = pair.value.as_ref().map_or(Value::Null, json);
            (pair.key.clone(), value)
        };
        return list.values.iter().map(pair).collect();
    }
    let number = || int_value.map(Value::from).or(double_value.map(Value::from));
    let plain = bool_value.map(Value::from).or_else(number);
    plain.unwrap_or(Value::Null)
}

#[cfg(test)]
mod tests {
    use super::super::wire::logs::ScopeLogs;
    use super::super::wire::{ArrayValue, KeyValueList};
    use super::*;
    use firstlook_model::HostId;
    use proptest::prelude::*;

    fn said(text: &str) -> AnyValue {
        AnyValue {
            string_value: Some(text.to_owned()),
            ..AnyValue::default()
        }
    }

    fn pair(key: &str, value: AnyValue) -> KeyValue {
        KeyValue {
            key: key.to_owned(),
            value: Some(value),
        }
    }

    fn now() -> Timestamp {
        Timestamp::from_secs(1_000_000)
    }

    fn read(records: Vec<LogRecord>) -> (Vec<RawLine>, u64) {
        let about = ComponentId::host(HostId::new("h1").unwrap());
        let logs = ResourceLogs {
            resource: None,
            scope_logs: vec![ScopeLogs {
                log_records: records,
            }],
        };
        let mut found = Vec::new();
        let refused = lines(&about, &logs, now(), &mut found);
        (found, refused)
    }

    #[test]
    fn a_record_is_a_line_with_its_severity() {
        let record = |number, body| LogRecord {
            severity_number: number,
            body,
            ..LogRecord::default()
        };
        let list = AnyValue {
            kvlist_value: Some(KeyValueList {
                values: vec![
                    pair(
                        "n",
                        AnyValue {
                            int_value: Some(7),
                            ..AnyValue::default()
                        },
                    ),
                    pair(
                        "all",
                        AnyValue {
                            array_value: Some(ArrayValue {
                                values: vec![said("x"), AnyValue::default()],
                            }),
                            ..AnyValue::default()
                        },
                    ),
                ],
            }),
            ..AnyValue::default()
        };
        let event = LogRecord {
            event_name: "started".to_owned(),
            ..LogRecord::default()
        };
        let all = vec![
            record(17, Some(said("out of stock"))),
            record(99, Some(list)),
            event,
            record(9, None),
            record(9, Some(said(""))),
        ];
        let (found, refused) = read(all);
        let texts: Vec<_> = found
            .iter()
            .map(|l| (l.text.as_str(), l.severity))
            .collect();
        let expected = [
            ("out of stock", Some(Error)),
            ("{\"all\":[\"x\",null],\"n\":7}", None),
            ("started", None),
        ];
        assert_eq!((&texts[..], refused), (&expected[..], 2));
        let folded = [1, 8, 12, 16, 20, 24].map(severity);
        use Severity::{Critical, Debug, Error, Info, Warning};
        assert_eq!(
            folded,
            [Debug, Debug, Info, Warning, Error, Critical].map(Some)
        );
    }

    #[test]
    fn an_exception_stands_behind_what_was_said_unless_it_was_said() {
        let line = |body: &str, pairs: &[(&str, &str)]| {
            let attributes = pairs
                .iter()
                .map(|(key, value)| pair(&format!("exception.{key}"), said(value)));
            let record = LogRecord {
                body: Some(said(body)),
                attributes: attributes.collect(),
                ..LogRecord::default()
            };
            read(vec![record]).0[0].text.clone()
        };
        let named = [("type", "KeyError"), ("message", "'x'")];
        assert_eq!(line("failed", &named), "failed: KeyError: 'x'");
        assert_eq!(line("KeyError: 'x' again", &named), "KeyError: 'x' again");
        let traced = [named[0], ("stacktrace", "Traceback:\n  f()")];
        assert_eq!(line("failed", &traced), "failed\nTraceback:\n  f()");
        assert_eq!(line(&"é".repeat(9_000), &[]).len(), LINE_LIMIT_BYTES);
    }

    #[test]
    fn a_time_is_believed_for_two_days_and_a_minute() {
        let at = |happened: i64, seen: i64| {
            let nanos = |secs: i64| u64::try_from(secs * 1_000_000_000).unwrap();
            let record = LogRecord {
                time_unix_nano: nanos(happened),
                observed_time_unix_nano: nanos(seen),
                ..LogRecord::default()
            };
            time(&record, now())
        };
        let (day, secs) = (86_400, 1_000_000);
        for (happened, seen, expected) in [
            (secs - 5, secs - 1, secs - 5),
            (secs - 2 * day, 0, secs - 2 * day),
            (secs - 2 * day - 1, secs - 7, secs - 7),
            (secs + 60, 0, secs + 60),
            (secs + 61, 0, secs),
            (0, secs - 9, secs - 9),
            (0, 0, secs),
        ] {
            assert_eq!(
                at(happened, seen),
                Timestamp::from_secs(expected),
                "{happened} {seen}"
            );
        }
    }

    proptest! {
        #[test]
        fn every_record_is_a_line_or_counted(
            all in proptest::collection::vec((any::<u64>(), any::<u64>(), any::<i32>(), ".{0,40}", ".{0,40}"), 0..9),
        ) {
            let make = |(happened, seen, number, body, stack): &(u64, u64, i32, String, String)| LogRecord {
                time_unix_nano: *happened,
                observed_time_unix_nano: *seen,
                severity_number: *number,
                body: Some(said(body)),
                attributes: vec![pair("exception.stacktrace", said(stack))],
                event_name: String::new(),
            };
            let (found, refused) = read(all.iter().map(make).collect());
            prop_assert_eq!(found.len() as u64 + refused, all.len() as u64);
            prop_assert!(found.iter().all(|line| line.text.len() <= LINE_LIMIT_BYTES));
        }
    }
}
