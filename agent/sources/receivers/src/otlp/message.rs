//! A request's message, read from protobuf or JSON under a limit of what it may weigh. Pure.

use serde::de::DeserializeOwned;

use super::weigh::{self, Shape};
use super::wire::logs::ExportLogs;
use super::wire::metrics::ExportMetrics;
use super::wire::traces::ExportTraces;

/// What a message may weigh in memory beside its texts: some ten thousand points.
const WEIGHT_LIMIT_BYTES: usize = 12 * 1024 * 1024;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    Metrics,
    Logs,
    Traces,
}

/// How a message is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Protobuf,
    Json,
}

/// What is told.
#[derive(Debug)]
pub(super) enum Message {
    Metrics(ExportMetrics),
    Logs(ExportLogs),
    Traces(ExportTraces),
}

/// Why a message was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    Malformed,
    TooHeavy,
}

/// Reads what came.
pub(super) fn read(service: Service, form: Form, body: &[u8]) -> Result<Message, Unread> {
    match service {
        Service::Metrics => message(weigh::METRICS, form, body).map(Message::Metrics),
        Service::Logs => message(weigh::LOGS, form, body).map(Message::Logs),
        Service::Traces => message(weigh::TRACES, form, body).map(Message::Traces),
    }
}

fn message<M>(shape: &Shape, form: Form, body: &[u8]) -> Result<M, Unread>
where
    M: prost::Message + Default + DeserializeOwned,
{
    let weight = match form {
        Form::Protobuf => weigh::protobuf(body, shape, WEIGHT_LIMIT_BYTES),
        Form::Json => weigh::json(body),
    };
    if weight > WEIGHT_LIMIT_BYTES {
        return Err(Unread::TooHeavy);
    }
    let read = match form {
        Form::Protobuf => M::decode(body).ok(),
        Form::Json => serde_json::from_slice(body).ok(),
    };
    read.ok_or(Unread::Malformed)
}
