//! OTLP over HTTP with binary protobuf: `/v1/metrics` and `/v1/logs` below the target's address.
//!
//! A component is a resource: `host.name`, and `service.name` for services. Sources: "OTLP Specification 1.x", the
//! logs and metrics data models of OpenTelemetry.

use bytes::Bytes;
use firstlook_model::{
    ComponentId, ComponentKind, HostId, LogBlock, LogEntry, MetricBlock, Schema,
};
use firstlook_model::{Severity, SignalKind, Timestamp};
use http::Uri;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use crate::config::Target;
use crate::names;

pub(crate) const HEADERS: [(&str, &str); 1] = [("content-type", "application/x-protobuf")];

/// Adds a block's series, and gives the number of its samples.
pub(crate) fn add_metrics(
    request: &mut ExportMetricsServiceRequest,
    target: &Target,
    schema: &Schema,
    block: &MetricBlock,
) -> usize {
    let mut added = 0;
    let mut last: Option<&ComponentId> = None;
    for (series, column) in schema.series().iter().zip(block.columns.iter()) {
        if !target.wants(&series.signal) {
            continue;
        }
        let points: Vec<NumberDataPoint> = (block.times.iter().zip(column))
            .filter(|(_, value)| !value.is_nan())
            .map(|(time, &value)| NumberDataPoint {
                time_unix_nano: nanos(*time),
                value: Some(Number::AsDouble(value)),
                ..NumberDataPoint::default()
            })
            .collect();
        if points.is_empty() {
            continue;
        }
        added += points.len();
        let data = match series.kind {
            SignalKind::Gauge => Data::Gauge(Gauge {
                data_points: points,
            }),
            SignalKind::Counter => Data::Sum(Sum {
                data_points: points,
                aggregation_temporality: AggregationTemporality::Cumulative.into(),
                is_monotonic: true,
            }),
        };
        let metric = Metric {
            name: format!("firstlook.{}", series.signal),
            unit: names::ucum(series).to_owned(),
            data: Some(data),
            ..Metric::default()
        };
        if last != Some(&series.component) {
            last = Some(&series.component);
            request.resource_metrics.push(ResourceMetrics {
                resource: Some(resource(&series.component, series.component.host_id())),
                scope_metrics: vec![ScopeMetrics {
                    scope: Some(scope()),
                    ..ScopeMetrics::default()
                }],
                ..ResourceMetrics::default()
            });
        }
        if let Some(of_component) = request.resource_metrics.last_mut() {
            of_component.scope_metrics[0].metrics.push(metric);
        }
    }
    added
}

/// Adds a block's lines, and gives their number.
pub(crate) fn add_logs(
    request: &mut ExportLogsServiceRequest,
    host: &HostId,
    block: &LogBlock,
) -> usize {
    let mut last: Option<&ComponentId> = None;
    for entry in &block.entries {
        if last != Some(&entry.component) {
            last = Some(&entry.component);
            request.resource_logs.push(ResourceLogs {
                resource: Some(resource(&entry.component, Some(host))),
                scope_logs: vec![ScopeLogs {
                    scope: Some(scope()),
                    ..ScopeLogs::default()
                }],
                ..ResourceLogs::default()
            });
        }
        if let Some(of_component) = request.resource_logs.last_mut() {
            of_component.scope_logs[0].log_records.push(line(entry));
        }
    }
    block.entries.len()
}

fn line(entry: &LogEntry) -> LogRecord {
    let (number, text) = match entry.severity {
        Severity::Debug => (SeverityNumber::Debug, "DEBUG"),
        Severity::Info => (SeverityNumber::Info, "INFO"),
        Severity::Warning => (SeverityNumber::Warn, "WARN"),
        Severity::Error => (SeverityNumber::Error, "ERROR"),
        Severity::Critical => (SeverityNumber::Fatal, "FATAL"),
    };
    LogRecord {
        time_unix_nano: nanos(entry.time),
        observed_time_unix_nano: nanos(entry.time),
        severity_number: number.into(),
        severity_text: text.to_owned(),
        body: Some(text_value(entry.text.clone())),
        attributes: vec![attribute("firstlook.template", entry.template.to_string())],
        ..LogRecord::default()
    }
}

fn resource(component: &ComponentId, host: Option<&HostId>) -> Resource {
    let mut attributes = Vec::new();
    if let Some(host) = host {
        attributes.push(attribute("host.name", host.as_str().to_owned()));
    }
    if component.kind() == ComponentKind::Service {
        attributes.push(attribute("service.name", component.name().to_owned()));
    }
    let own = names::labels(component)
        .map(|(name, value)| attribute(&format!("firstlook.{name}"), value));
    attributes.extend(own);
    Resource {
        attributes,
        ..Resource::default()
    }
}

fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "firstlook".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}

fn attribute(key: &str, value: String) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(text_value(value)),
        ..KeyValue::default()
    }
}

fn text_value(text: String) -> AnyValue {
    AnyValue {
        value: Some(Value::StringValue(text)),
    }
}

/// Before 1970 is 0, which OTLP reads as unknown.
fn nanos(time: Timestamp) -> u64 {
    u64::try_from(time.as_micros())
        .unwrap_or(0)
        .saturating_mul(1_000)
}

/// An address below the target's.
pub(crate) fn below(base: &Uri, path: &str) -> Uri {
    let text = format!("{}/{path}", base.to_string().trim_end_matches('/'));
    // A URI with another valid path is one.
    text.parse().unwrap_or_else(|_| base.clone())
}

/// The body.
pub(crate) fn body(request: &impl Message) -> Bytes {
    Bytes::from(request.encode_to_vec())
}
