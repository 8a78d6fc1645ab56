//! Prometheus remote write, version 0.1.0 on the wire: a `WriteRequest` under Snappy.
//!
//! Source: "Prometheus Remote-Write 1.0 specification".

use bytes::Bytes;
use firstlook_model::{MetricBlock, Schema};
use prost::Message;

use crate::config::Target;
use crate::names;

pub(crate) const HEADERS: [(&str, &str); 3] = [
    ("content-type", "application/x-protobuf"),
    ("content-encoding", "snappy"),
    ("x-prometheus-remote-write-version", "0.1.0"),
];

#[derive(Clone, PartialEq, Message)]
pub(crate) struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    pub timeseries: Vec<TimeSeries>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    pub samples: Vec<Sample>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Label {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Sample {
    #[prost(double, tag = "1")]
    pub value: f64,
    /// Milliseconds since the Unix epoch.
    #[prost(int64, tag = "2")]
    pub timestamp: i64,
}

/// Adds a block's series, and gives the number of its samples.
pub(crate) fn add(
    request: &mut WriteRequest,
    target: &Target,
    schema: &Schema,
    block: &MetricBlock,
) -> usize {
    let mut added = 0;
    for (series, column) in schema.series().iter().zip(block.columns.iter()) {
        if !target.wants(&series.signal) {
            continue;
        }
        let samples: Vec<Sample> = (block.times.iter().zip(column))
            .filter(|(_, value)| !value.is_nan())
            .map(|(time, &value)| Sample {
                value,
                timestamp: time.as_millis(),
            })
            .collect();
        if samples.is_empty() {
            continue;
        }
        added += samples.len();
        let mut labels = vec![label("__name__", names::metric(&series.signal))];
        if let Some(host) = series.component.host_id() {
            labels.push(label("host", host.as_str().to_owned()));
        }
        // Sorted by name, as the specification asks.
        labels.extend(names::labels(&series.component).map(|(name, value)| label(name, value)));
        labels.retain(|label| !label.value.is_empty());
        request.timeseries.push(TimeSeries { labels, samples });
    }
    added
}

fn label(name: &str, value: String) -> Label {
    Label {
        name: name.to_owned(),
        value,
    }
}

/// The body.
pub(crate) fn body(request: &WriteRequest) -> Bytes {
    let plain = request.encode_to_vec();
    let packed = snap::raw::Encoder::new().compress_vec(&plain);
    // Fails above 4 GiB alone, which a batch never reaches.
    Bytes::from(packed.unwrap_or_default())
}
