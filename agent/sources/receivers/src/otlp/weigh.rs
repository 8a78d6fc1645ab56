//! What a message will weigh once it is read, found out before it is: two bytes of protobuf can be two hundred in memory,
//! and the agent has little. Pure.

use super::wire::logs::{ExportLogs, LogRecord, ResourceLogs, ScopeLogs};
use super::wire::metrics::{
    Buckets, ExponentialHistogram, ExponentialPoint, ExportMetrics, Gauge, Histogram,
    HistogramPoint, Metric, NumberPoint, Quantile, ResourceMetrics, ScopeMetrics, Sum, Summary,
    SummaryPoint,
};
use super::wire::traces::{ExportTraces, ResourceSpans, ScopeSpans, Span, SpanStatus};
use super::wire::{AnyValue, ArrayValue, KeyValue, KeyValueList, Resource, Scope};

/// Deepest nesting that is looked into: more than the reader of protobuf reads.
const DEPTH_LIMIT: usize = 100;
/// What an object and an element of JSON may take: the largest of the types, and a number that may be text.
const JSON_OBJECT_BYTES: usize = size_of::<Metric>();
const JSON_ELEMENT_BYTES: usize = 32;

/// A message: what it takes itself, and which of its fields are messages or packed numbers.
pub(super) struct Shape {
    bytes: usize,
    fields: &'static [(u64, Field)],
}

enum Field {
    Message(&'static Shape),
    /// Numbers of one byte or more each, eight in memory.
    Varints,
}

use Field::{Message, Varints};

macro_rules! shape {
    ($name:ident, $type:ty, $fields:expr) => {
        static $name: Shape = Shape {
            bytes: size_of::<$type>(),
            fields: &$fields,
        };
    };
}

shape!(KEY_VALUE, KeyValue, [(2, Message(&ANY))]);
shape!(ANY, AnyValue, [(5, Message(&ARRAY)), (6, Message(&LIST))]);
shape!(ARRAY, ArrayValue, [(1, Message(&ANY))]);
shape!(LIST, KeyValueList, [(1, Message(&KEY_VALUE))]);
shape!(RESOURCE, Resource, [(1, Message(&KEY_VALUE))]);
shape!(SCOPE, Scope, []);

shape!(
    EXPORT_METRICS,
    ExportMetrics,
    [(1, Message(&METRICS_OF_RESOURCE))]
);
shape!(
    METRICS_OF_RESOURCE,
    ResourceMetrics,
    [(1, Message(&RESOURCE)), (2, Message(&METRICS_OF_SCOPE))]
);
shape!(
    METRICS_OF_SCOPE,
    ScopeMetrics,
    [(1, Message(&SCOPE)), (2, Message(&METRIC))]
);
shape!(
    METRIC,
    Metric,
    [
        (5, Message(&GAUGE)),
        (7, Message(&SUM)),
        (9, Message(&HISTOGRAM)),
        (10, Message(&EXPONENTIAL)),
        (11, Message(&SUMMARY)),
    ]
);
shape!(GAUGE, Gauge, [(1, Message(&NUMBER_POINT))]);
shape!(SUM, Sum, [(1, Message(&NUMBER_POINT))]);
shape!(HISTOGRAM, Histogram, [(1, Message(&HISTOGRAM_POINT))]);
shape!(
    EXPONENTIAL,
    ExponentialHistogram,
    [(1, Message(&EXPONENTIAL_POINT))]
);
shape!(SUMMARY, Summary, [(1, Message(&SUMMARY_POINT))]);
shape!(NUMBER_POINT, NumberPoint, [(7, Message(&KEY_VALUE))]);
shape!(HISTOGRAM_POINT, HistogramPoint, [(9, Message(&KEY_VALUE))]);
shape!(
    EXPONENTIAL_POINT,
    ExponentialPoint,
    [
        (1, Message(&KEY_VALUE)),
        (8, Message(&BUCKETS)),
        (9, Message(&BUCKETS)),
    ]
);
shape!(BUCKETS, Buckets, [(2, Varints)]);
shape!(
    SUMMARY_POINT,
    SummaryPoint,
    [(7, Message(&KEY_VALUE)), (6, Message(&QUANTILE))]
);
shape!(QUANTILE, Quantile, []);

shape!(
    EXPORT_TRACES,
    ExportTraces,
    [(1, Message(&SPANS_OF_RESOURCE))]
);
shape!(
    SPANS_OF_RESOURCE,
    ResourceSpans,
    [(1, Message(&RESOURCE)), (2, Message(&SPANS_OF_SCOPE))]
);
shape!(SPANS_OF_SCOPE, ScopeSpans, [(2, Message(&SPAN))]);
shape!(
    SPAN,
    Span,
    [(9, Message(&KEY_VALUE)), (15, Message(&SPAN_STATUS))]
);
shape!(SPAN_STATUS, SpanStatus, []);

shape!(EXPORT_LOGS, ExportLogs, [(1, Message(&LOGS_OF_RESOURCE))]);
shape!(
    LOGS_OF_RESOURCE,
    ResourceLogs,
    [(1, Message(&RESOURCE)), (2, Message(&LOGS_OF_SCOPE))]
);
shape!(LOGS_OF_SCOPE, ScopeLogs, [(2, Message(&LOG_RECORD))]);
shape!(
    LOG_RECORD,
    LogRecord,
    [(5, Message(&ANY)), (6, Message(&KEY_VALUE))]
);

/// The requests.
pub(super) static METRICS: &Shape = &EXPORT_METRICS;
pub(super) static LOGS: &Shape = &EXPORT_LOGS;
pub(super) static TRACES: &Shape = &EXPORT_TRACES;

/// About how many bytes a protobuf message takes in memory beside its texts, counted up to the first that is over `limit`.
/// What cannot be read ends the count: the reader will say so.
pub(super) fn protobuf(message: &[u8], shape: &Shape, limit: usize) -> usize {
    let mut weight = shape.bytes;
    add(message, shape, limit, DEPTH_LIMIT, &mut weight);
    weight
}

/// `None` at what cannot be read, or over the limit.
fn add(
    mut message: &[u8],
    shape: &Shape,
    limit: usize,
    depth: usize,
    weight: &mut usize,
) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    while !message.is_empty() {
        let key = varint(&mut message)?;
        let field = shape.fields.iter().find(|(number, _)| *number == key >> 3);
        match (key & 7, field) {
            (0, Some((_, Varints))) => {
                varint(&mut message)?;
                *weight += size_of::<u64>();
            }
            (0, _) => {
                varint(&mut message)?;
            }
            (1, _) => message = message.get(8..)?,
            (5, _) => message = message.get(4..)?,
            (2, field) => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                let (inner, rest) = message.split_at_checked(length)?;
                message = rest;
                match field {
                    Some((_, Message(shape))) => {
                        *weight += shape.bytes;
                        add(inner, shape, limit, depth, weight)?;
                    }
                    Some((_, Varints)) => *weight += inner.len() * size_of::<u64>(),
                    None => {}
                }
            }
            _ => return None,
        }
        if *weight > limit {
            return None;
        }
    }
    Some(())
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// The most that a JSON text may take in memory beside its texts. What stands in texts counts too.
pub(super) fn json(text: &[u8]) -> usize {
    let count = |byte| text.iter().filter(|b| **b == byte).count();
    count(b'{') * JSON_OBJECT_BYTES + (count(b',') + count(b'[')) * JSON_ELEMENT_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use prost::Message as _;

    fn metrics(points: usize) -> ExportMetrics {
        let attribute = KeyValue {
            key: "k".to_owned(),
            value: Some(AnyValue {
                int_value: Some(1),
                ..AnyValue::default()
            }),
        };
        let point = NumberPoint {
            attributes: vec![attribute; 2],
            ..NumberPoint::default()
        };
        ExportMetrics {
            resource_metrics: vec![ResourceMetrics {
                resource: None,
                scope_metrics: vec![ScopeMetrics {
                    scope: None,
                    metrics: vec![Metric {
                        gauge: Some(Gauge {
                            data_points: vec![point; points],
                        }),
                        ..Metric::default()
                    }],
                }],
            }],
        }
    }

    #[test]
    fn a_message_weighs_what_its_parts_take() {
        let (one, two) = (metrics(1).encode_to_vec(), metrics(2).encode_to_vec());
        let point = size_of::<NumberPoint>() + 2 * (size_of::<KeyValue>() + size_of::<AnyValue>());
        let weigh = |bytes: &[u8]| protobuf(bytes, METRICS, usize::MAX);
        assert_eq!(weigh(&two) - weigh(&one), point);
        let none = size_of::<ExportMetrics>();
        assert_eq!((weigh(&[]), weigh(&[10])), (none, none));
    }

    #[test]
    fn counting_ends_soon_after_the_limit() {
        // A million points of two bytes each.
        let points = [10, 0].repeat(1_000_000);
        let length = |bytes: &[u8]| {
            let mut out = Vec::new();
            prost::encode_length_delimiter(bytes.len(), &mut out).unwrap();
            out
        };
        let wrap = |tag: u8, inner: Vec<u8>| [vec![tag], length(&inner), inner].concat();
        let metric = wrap(2 << 3 | 2, wrap(5 << 3 | 2, points));
        let message = wrap(1 << 3 | 2, wrap(2 << 3 | 2, metric));
        let found = protobuf(&message, METRICS, 1_000_000);
        assert!((1_000_000..1_001_000).contains(&found), "{found}");
        assert!(protobuf(&message, METRICS, usize::MAX) > 50_000_000);
    }

    #[test]
    fn an_object_of_json_weighs_as_much_as_the_largest_message() {
        let largest = [
            size_of::<Metric>(),
            size_of::<ExponentialPoint>(),
            size_of::<HistogramPoint>(),
            size_of::<LogRecord>(),
            size_of::<Span>(),
            size_of::<KeyValue>(),
        ];
        assert!(largest.iter().all(|bytes| *bytes <= JSON_OBJECT_BYTES));
        assert_eq!(json(b"{}"), JSON_OBJECT_BYTES);
        assert_eq!(json(b"[1,2]"), 2 * JSON_ELEMENT_BYTES);
    }

    proptest! {
        #[test]
        fn hostile_bytes_end_and_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            for shape in [METRICS, LOGS, TRACES] {
                prop_assert!(protobuf(&bytes, shape, usize::MAX) < 400 * (bytes.len() + 1));
            }
        }
    }
}
