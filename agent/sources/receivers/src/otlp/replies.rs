//! What is answered over HTTP: OTLP/HTTP of the OpenTelemetry specification.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use hyper::{Response, StatusCode};
use prost::Message;
use serde_json::json;

use super::message::{Form, Service, Unread};
use super::wire::{ExportResponse, PartialSuccess, Status};

/// When to come again, in seconds.
pub(super) const AGAIN_AFTER_S: u64 = 1;
const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// What was taken of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// Points, records or spans that were not.
    pub rejected: u64,
    /// Why, or what else the sender should know. Empty: nothing.
    pub says: &'static str,
}

/// Why nothing was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Malformed,
    TooLarge,
    /// Too much at once.
    Busy,
    /// The body did not come in time.
    Slow,
    NoForm,
    NoPacking,
    NoMethod,
    NoPath,
}

impl From<Unread> for Refusal {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Malformed => Self::Malformed,
            Unread::TooHeavy => Self::TooLarge,
        }
    }
}

impl Refusal {
    /// The status of HTTP. Of these, senders try 429 and 503 again.
    fn status(self) -> StatusCode {
        match self {
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Busy => StatusCode::TOO_MANY_REQUESTS,
            Self::Slow => StatusCode::SERVICE_UNAVAILABLE,
            Self::NoForm | Self::NoPacking => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::NoMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::NoPath => StatusCode::NOT_FOUND,
        }
    }

    /// The code of gRPC (google/rpc/code.proto).
    pub fn code(self) -> i32 {
        match self {
            Self::Malformed | Self::NoForm => 3,
            Self::TooLarge => 8,
            Self::NoPacking | Self::NoMethod | Self::NoPath => 12,
            Self::Busy | Self::Slow => 14,
        }
    }

    pub fn says(self) -> &'static str {
        match self {
            Self::Malformed => "the message cannot be read",
            Self::TooLarge => {
                "the message is too large: 4 MiB, and some ten thousand points, are read"
            }
            Self::Busy => "too much at once",
            Self::Slow => "the message did not come in time",
            Self::NoForm => "protobuf is read, and JSON over HTTP",
            Self::NoPacking => "gzip is the only packing that is read",
            Self::NoMethod => "POST is the only method",
            Self::NoPath => "nothing is taken here",
        }
    }

    /// Whether the same can be taken a moment later.
    pub fn passes(self) -> bool {
        matches!(self, Self::Busy | Self::Slow)
    }
}

/// The answer in the form of the request; what cannot be told from it is answered in JSON, for people.
pub(super) fn reply(
    service: Option<Service>,
    form: Option<Form>,
    outcome: Result<Taken, Refusal>,
) -> Response<Full<Bytes>> {
    let form = form.unwrap_or(Form::Json);
    let (status, body) = match outcome {
        Ok(taken) => (StatusCode::OK, success(service, form, taken)),
        Err(refusal) => (refusal.status(), failure(form, refusal)),
    };
    let kind = match form {
        Form::Protobuf => PROTOBUF,
        Form::Json => JSON,
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, http::HeaderValue::from_static(kind));
    if outcome.is_err_and(Refusal::passes) {
        headers.insert(RETRY_AFTER, AGAIN_AFTER_S.into());
    }
    if outcome == Err(Refusal::NoMethod) {
        headers.insert(ALLOW, http::HeaderValue::from_static("POST"));
    }
    response
}

/// What was taken, as a message. Nothing left out and nothing to say is the empty message.
pub(super) fn answer(taken: Taken) -> ExportResponse {
    let partial = PartialSuccess {
        rejected: i64::try_from(taken.rejected).unwrap_or(i64::MAX),
        error_message: taken.says.to_owned(),
    };
    ExportResponse {
        partial_success: (taken != Taken::default()).then_some(partial),
    }
}

fn success(service: Option<Service>, form: Form, taken: Taken) -> Vec<u8> {
    let rejected = match service {
        Some(Service::Metrics) | None => "rejectedDataPoints",
        Some(Service::Logs) => "rejectedLogRecords",
        Some(Service::Traces) => "rejectedSpans",
    };
    match (form, taken == Taken::default()) {
        (Form::Protobuf, _) => answer(taken).encode_to_vec(),
        (Form::Json, true) => b"{}".to_vec(),
        (Form::Json, false) => {
            let (number, says) = (taken.rejected.to_string(), taken.says);
            json!({"partialSuccess": {rejected: number, "errorMessage": says}})
                .to_string()
                .into_bytes()
        }
    }
}

fn failure(form: Form, refusal: Refusal) -> Vec<u8> {
    let (code, message) = (refusal.code(), refusal.says());
    match form {
        Form::Protobuf => Status {
            code,
            message: message.to_owned(),
            details: Vec::new(),
        }
        .encode_to_vec(),
        Form::Json => json!({"code": code, "message": message})
            .to_string()
            .into_bytes(),
    }
}
