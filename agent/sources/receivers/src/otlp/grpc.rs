//! OTLP over gRPC: calls of one message and one answer, each a request of HTTP/2 whose message stands behind five bytes,
//! and whose outcome comes after the answer's body. gRPC over HTTP2, of the gRPC project.

use std::convert::Infallible;
use std::future::{Ready, ready};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use http_body_util::combinators::WithTrailers;
use http_body_util::{BodyExt, Full};
use hyper::body::Body;
use hyper::header::CONTENT_TYPE;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use prost::Message;

use super::about::Connection;
use super::body::{MESSAGE_LIMIT_BYTES, inflate, whole};
use super::desk::Desk;
use super::message::{Form, Service};
use super::replies::{AGAIN_AFTER_S, Refusal, Taken, answer};
use super::wire::{Delay, Detail, RetryInfo, Status};

/// Before each message: whether it is packed, and its length.
const PREFIX_BYTES: usize = 5;
const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// A message, and what became of the call.
pub(super) type Reply = WithTrailers<Full<Bytes>, Ready<Option<Result<HeaderMap, Infallible>>>>;

/// Answers one call.
pub(super) async fn respond<B>(desk: &Desk, on: &Connection, request: Request<B>) -> Response<Reply>
where
    B: Body + Unpin,
{
    let outcome = outcome(desk, on, request).await;
    desk.count(outcome.is_err());
    reply(outcome)
}

async fn outcome<B>(desk: &Desk, on: &Connection, request: Request<B>) -> Result<Taken, Refusal>
where
    B: Body + Unpin,
{
    let service = match request.uri().path() {
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" => Service::Metrics,
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export" => Service::Logs,
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => Service::Traces,
        _ => return Err(Refusal::NoPath),
    };
    if request.method() != Method::POST {
        return Err(Refusal::NoMethod);
    }
    let headers = request.headers();
    let kind = headers.get(CONTENT_TYPE).map(|kind| kind.as_bytes());
    if !matches!(kind, Some(b"application/grpc" | b"application/grpc+proto")) {
        return Err(Refusal::NoForm);
    }
    let packing = headers.get("grpc-encoding").map(|value| value.as_bytes());
    let packs = match packing {
        None | Some(b"identity") => false,
        Some(b"gzip") => true,
        Some(_) => return Err(Refusal::NoPacking),
    };
    let _place = desk.place().await?;
    let body = whole(request.into_body(), MESSAGE_LIMIT_BYTES + PREFIX_BYTES).await?;
    match message(&body)? {
        (false, message) => desk.take(on, service, Form::Protobuf, message).await,
        (true, packed) if packs => {
            let message = inflate(packed)?;
            desk.take(on, service, Form::Protobuf, &message).await
        }
        (true, _) => Err(Refusal::NoPacking),
    }
}

/// The one message of a body, and whether it is packed.
fn message(body: &[u8]) -> Result<(bool, &[u8]), Refusal> {
    let (prefix, message) = body
        .split_first_chunk::<PREFIX_BYTES>()
        .ok_or(Refusal::Malformed)?;
    let [packed, length @ ..] = *prefix;
    let whole = usize::try_from(u32::from_be_bytes(length)) == Ok(message.len());
    match (packed, whole) {
        (0 | 1, true) => Ok((packed == 1, message)),
        _ => Err(Refusal::Malformed),
    }
}

fn reply(outcome: Result<Taken, Refusal>) -> Response<Reply> {
    let mut body = Vec::new();
    if let Ok(taken) = outcome {
        let message = answer(taken).encode_to_vec();
        body.push(0);
        // An answer is one sentence.
        body.extend(u32::try_from(message.len()).unwrap_or(0).to_be_bytes());
        body.extend(message);
    }
    let trailers = ready(Some(Ok(trailers(outcome.err()))));
    let mut response = Response::new(Full::from(body).with_trailers(trailers));
    if outcome == Err(Refusal::NoForm) {
        // Whoever asks so does not look for gRPC's own word.
        *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    }
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        http::HeaderValue::from_static("application/grpc"),
    );
    headers.insert(
        "grpc-accept-encoding",
        http::HeaderValue::from_static("gzip"),
    );
    response
}

/// How a call ended; `None` is well. What can be taken later says when.
fn trailers(refusal: Option<Refusal>) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    let code = refusal.map_or(0, Refusal::code);
    trailers.insert("grpc-status", code.into());
    let Some(refusal) = refusal else {
        return trailers;
    };
    trailers.insert(
        "grpc-message",
        http::HeaderValue::from_static(refusal.says()),
    );
    if refusal.passes() {
        let seconds = i64::try_from(AGAIN_AFTER_S).unwrap_or(1);
        let again = RetryInfo {
            retry_delay: Some(Delay { seconds }),
        };
        let status = Status {
            code,
            message: refusal.says().to_owned(),
            details: vec![Detail {
                type_url: RETRY_INFO.to_owned(),
                value: again.encode_to_vec(),
            }],
        };
        let details = STANDARD_NO_PAD.encode(status.encode_to_vec());
        if let Ok(details) = details.parse() {
            trailers.insert("grpc-status-details-bin", details);
        }
    }
    trailers
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_call_has_exactly_one_message() {
        assert_eq!(message(&[0, 0, 0, 0, 2, 7, 8]), Ok((false, &[7, 8][..])));
        assert_eq!(message(&[1, 0, 0, 0, 0]), Ok((true, &[][..])));
        for body in [
            &[][..],
            &[0, 0, 0, 0],
            &[0, 0, 0, 0, 2, 7],
            &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            &[2, 0, 0, 0, 0],
            &[0, 255, 255, 255, 255, 1],
        ] {
            assert_eq!(message(body), Err(Refusal::Malformed), "{body:?}");
        }
    }

    #[test]
    fn what_can_be_taken_later_says_when() {
        let found = trailers(Some(Refusal::Busy));
        assert_eq!(found["grpc-status"], "14");
        let details = STANDARD_NO_PAD
            .decode(&found["grpc-status-details-bin"])
            .unwrap();
        let status = Status::decode(&details[..]).unwrap();
        let again = RetryInfo::decode(&status.details[0].value[..]).unwrap();
        assert_eq!(again.retry_delay.unwrap().seconds, 1);
        let found = trailers(Some(Refusal::TooLarge));
        assert_eq!(found["grpc-status"], "8");
        assert!(!found.contains_key("grpc-status-details-bin"));
        assert_eq!(trailers(None).len(), 1);
    }

    proptest! {
        #[test]
        fn hostile_bodies_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Ok((_, message)) = message(&bytes) {
                prop_assert_eq!(message.len() + PREFIX_BYTES, bytes.len());
            }
        }
    }
}
