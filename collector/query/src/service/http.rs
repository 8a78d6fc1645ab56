//! The HTTP face: announcing a change, for whatever can send a request.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use firstlook_model::{Change, ChangeKind, Timestamp};
use firstlook_proto::wire;
use firstlook_proto::wire::query_server::Query;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_stream::StreamExt;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

use super::QueryService;
use crate::office::Office;

/// Longest body, in bytes: a detail with every character escaped in the shortest way.
const BODY_LIMIT_BYTES: usize = 256 * 1024;
/// How much of a longer one is still taken and thrown away: who is cut off while it sends does not read why.
const DRAIN_LIMIT_BYTES: usize = 4 * 1024 * 1024;
/// How long a body may take to come.
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// What is sent to `/v1/changes`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Announced {
    component: String,
    text: String,
    kind: Option<ChangeKind>,
    #[serde(default)]
    id: String,
    at: Option<String>,
    #[serde(default)]
    detail: String,
}

/// `POST /v1/changes`, to stand beside the gRPC face.
pub fn routes<O: Office>(service: Arc<QueryService<O>>) -> Router {
    Router::new()
        .route("/v1/changes", post(add_change::<O>))
        .with_state(service)
}

async fn add_change<O: Office>(
    State(service): State<Arc<QueryService<O>>>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let headers = MetadataMap::from_headers(parts.headers);
    let asked = tonic::Request::from_parts(headers, parts.extensions, ());
    let admitted = service.access.responder(&asked);
    let body = match timeout(BODY_WITHIN, whole(body)).await {
        Ok(body) => body,
        Err(_) => {
            let why = format!("the body did not come within {} s", BODY_WITHIN.as_secs());
            return answer(StatusCode::REQUEST_TIMEOUT, &error(&why));
        }
    };
    if let Err(status) = admitted {
        return refused(&status);
    }
    let Some(body) = body else {
        let why = format!("the body is longer than {BODY_LIMIT_BYTES} bytes, or was cut off");
        return answer(StatusCode::PAYLOAD_TOO_LARGE, &error(&why));
    };
    let announced = match read(&body) {
        Ok(announced) => announced,
        Err(status) => return refused(&status),
    };
    let (headers, extensions, ()) = asked.into_parts();
    let asked = tonic::Request::from_parts(headers, extensions, announced);
    match service.add_change(asked).await {
        Ok(reply) => added(reply.into_inner()),
        Err(status) => refused(&status),
    }
}

/// A whole body; `None` when it is too long or was cut off.
async fn whole(body: Body) -> Option<Vec<u8>> {
    let (mut kept, mut length) = (Vec::new(), 0);
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.ok()?;
        length += piece.len();
        if length > DRAIN_LIMIT_BYTES {
            return None;
        }
        if length <= BODY_LIMIT_BYTES {
            kept.extend_from_slice(&piece);
        }
    }
    (length <= BODY_LIMIT_BYTES).then_some(kept)
}

fn read(body: &[u8]) -> Result<wire::AddChangeRequest, Status> {
    let announced: Announced = serde_json::from_slice(body).map_err(|error| {
        Status::invalid_argument(format!(
            "the body is no announced change: {error}; send {{\"component\": \"app1/shop.service\", \"text\": \"shop 1.4 deployed\"}}"
        ))
    })?;
    let time = announced.at.map(|at| {
        Timestamp::parse(&at).map_err(|_| {
            Status::invalid_argument(format!("at: {at:?} is no time as 2026-01-31T14:03:00Z"))
        })
    });
    Ok(wire::AddChangeRequest {
        about: announced.component,
        kind: announced
            .kind
            .map_or(0, |kind| wire::ChangeKind::from(kind).into()),
        text: announced.text,
        detail: announced.detail,
        id: announced.id,
        time: time.transpose()?.map_or(0, Timestamp::as_micros),
    })
}

fn added(reply: wire::AddChangeReply) -> Response {
    let Some(Ok(change)) = reply.change.map(Change::try_from) else {
        return refused(&Status::internal("the change cannot be shown"));
    };
    let component = json!({
        "id": change.component.to_string(),
        "kind": change.component.kind(),
        "host": change.component.host_id(),
        "name": change.component.name(),
    });
    let document = json!({
        "version": 1,
        "kind": "change-added",
        "known": reply.known,
        "change": {
            "id": change.id,
            "time": change.time,
            "component": component,
            "kind": change.kind,
            "text": change.text,
            "detail": change.detail,
        },
    });
    answer(StatusCode::OK, &document)
}

fn refused(status: &Status) -> Response {
    let code = match status.code() {
        Code::InvalidArgument => StatusCode::BAD_REQUEST,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    answer(code, &error(status.message()))
}

fn error(why: &str) -> Value {
    json!({ "version": 1, "kind": "error", "error": why })
}

fn answer(code: StatusCode, document: &Value) -> Response {
    let body = format!("{document}\n");
    (code, [(CONTENT_TYPE, "application/json")], body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_body_says_what_the_command_says() {
        let body = br#"{"component": "app1/shop", "text": "x", "kind": "config-file", "id": "7", "at": "2026-01-31T14:03:00Z"}"#;
        let asked = read(body).unwrap();
        assert_eq!(asked.about, "app1/shop");
        assert_eq!(asked.kind(), wire::ChangeKind::ConfigFile);
        assert_eq!(
            (asked.id.as_str(), asked.time),
            ("7", 1_769_868_180_000_000)
        );
        let accepted = br#"{"component": "app1/shop", "text": "x", "kind": "accepted"}"#;
        assert_eq!(read(accepted).unwrap().kind(), wire::ChangeKind::Accepted);
        let least = read(br#"{"component": "h1", "text": "x"}"#).unwrap();
        assert_eq!((least.kind, least.time), (0, 0));
    }

    #[test]
    fn what_is_wrong_with_a_body_is_named() {
        for (body, named) in [
            ("", "EOF"),
            ("{}", "component"),
            (r#"{"component": "h1", "text": "x", "by": "me"}"#, "`by`"),
            (
                r#"{"component": "h1", "text": "x", "kind": "party"}"#,
                "party",
            ),
            (r#"{"component": "h1", "text": "x", "at": "soon"}"#, "soon"),
        ] {
            let status = read(body.as_bytes()).unwrap_err();
            assert!(status.message().contains(named), "{}", status.message());
        }
    }

    proptest! {
        #[test]
        fn any_body_is_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Err(status) = read(&body) {
                prop_assert_eq!(status.code(), Code::InvalidArgument);
            }
        }
    }
}
