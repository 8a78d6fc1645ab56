//! A change that somebody announces: what it must say, and what it becomes.

use std::time::Duration;

use firstlook_model::{Change, ChangeKind, ComponentId, Timestamp};
use firstlook_proto::wire;
use tonic::Status;

use crate::about::About;

/// In front of every announced id, so that none is taken for an agent's.
pub const ANNOUNCED_PREFIX: &str = "announced:";
/// Longest id of an announcer, in bytes.
const ID_LIMIT_BYTES: usize = 200;
/// Longest text, in bytes: a line.
const TEXT_LIMIT_BYTES: usize = 1_024;
/// Longest detail, in bytes.
const DETAIL_LIMIT_BYTES: usize = 64 * 1024;
/// How far ahead an announcer's clock may be.
const AHEAD: Duration = Duration::from_secs(60);
/// How long ago a change may be.
const OLDEST: Duration = Duration::from_secs(30 * 86_400);

/// The component that is meant; a host alone stands for itself.
///
/// # Errors
/// INVALID_ARGUMENT where it is nothing on a host.
pub fn subject(about: About) -> Result<ComponentId, Status> {
    let component = match about {
        About::Component(component) => component,
        About::Host(host) => ComponentId::host(host),
        About::All => {
            return Err(Status::invalid_argument(
                "say what was changed: a component, as service:app1/shop.service, or a host",
            ));
        }
    };
    match component.host_id() {
        Some(_) => Ok(component),
        None => Err(Status::invalid_argument(format!(
            "{component} is on no host: name a component of a host"
        ))),
    }
}

/// The change that a request announces. `drawn` is the id where it brings none.
///
/// # Errors
/// INVALID_ARGUMENT says which part is wrong, and what is allowed.
pub fn change(
    request: wire::AddChangeRequest,
    component: &ComponentId,
    drawn: &str,
    now: Timestamp,
) -> Result<Change, Status> {
    let within = |what: &str, text: &str, limit: usize| match text.len() <= limit {
        true => Ok(()),
        false => Err(Status::invalid_argument(format!(
            "the {what} has {} bytes: {limit} are allowed",
            text.len()
        ))),
    };
    within("text", &request.text, TEXT_LIMIT_BYTES)?;
    within("id", &request.id, ID_LIMIT_BYTES)?;
    within("detail", &request.detail, DETAIL_LIMIT_BYTES)?;
    if request.text.trim().is_empty() || request.text.chars().any(char::is_control) {
        return Err(Status::invalid_argument(
            "the text must be one line, and not empty",
        ));
    }
    if request.id.chars().any(char::is_control) {
        return Err(Status::invalid_argument("the id must be one line"));
    }
    let kind = match request.kind() {
        wire::ChangeKind::Unspecified if request.kind == 0 => ChangeKind::Deploy,
        kind => ChangeKind::try_from(kind)
            .map_err(|error| Status::invalid_argument(error.to_string()))?,
    };
    let time = match request.time {
        0 => now,
        time => Timestamp::from_micros(time),
    };
    if time > now.plus(AHEAD) || time < now.minus(OLDEST) {
        return Err(Status::invalid_argument(format!(
            "the change is said to be of {time}, and it is {now}: at most a minute ahead and 30 days back is allowed"
        )));
    }
    let id = match request.id.is_empty() {
        true => drawn,
        false => &request.id,
    };
    Ok(Change {
        id: format!("{ANNOUNCED_PREFIX}{id}"),
        time,
        component: component.clone(),
        kind,
        text: request.text,
        detail: request.detail,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

    fn shop() -> ComponentId {
        "service:app1/shop.service".parse().unwrap()
    }

    fn asked(text: &str) -> wire::AddChangeRequest {
        wire::AddChangeRequest {
            text: text.to_owned(),
            ..wire::AddChangeRequest::default()
        }
    }

    #[test]
    fn what_is_not_said_is_a_deployment_now() {
        let made = change(asked("shop 1.4"), &shop(), "77", NOW).unwrap();
        assert_eq!(
            (made.kind, made.time, made.id.as_str()),
            (ChangeKind::Deploy, NOW, "announced:77")
        );
        let request = wire::AddChangeRequest {
            kind: wire::ChangeKind::ConfigFile.into(),
            id: "build-12".to_owned(),
            time: NOW.minus(Duration::from_secs(60)).as_micros(),
            ..asked("limits raised")
        };
        let made = change(request, &shop(), "77", NOW).unwrap();
        assert_eq!(
            (made.kind, made.id.as_str()),
            (ChangeKind::ConfigFile, "announced:build-12")
        );
        let request = wire::AddChangeRequest {
            kind: wire::ChangeKind::Accepted.into(),
            ..asked("four times the customers since Monday")
        };
        let made = change(request, &shop(), "78", NOW).unwrap();
        assert_eq!((made.kind, made.time), (ChangeKind::Accepted, NOW));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let with = |edit: fn(&mut wire::AddChangeRequest)| {
            let mut request = asked("shop 1.4");
            edit(&mut request);
            change(request, &shop(), "77", NOW).unwrap_err()
        };
        for (refused, named) in [
            (with(|r| r.text = " ".into()), "one line"),
            (with(|r| r.text = "a\nb".into()), "one line"),
            (with(|r| r.text = "x".repeat(1_025)), "1024"),
            (with(|r| r.id = "x".repeat(201)), "200"),
            (with(|r| r.id = "a\u{7}".into()), "id"),
            (with(|r| r.detail = "x".repeat(65_537)), "65536"),
            (with(|r| r.kind = 99), "kind"),
            (with(|r| r.time = 1), "30 days"),
            (with(|r| r.time = i64::MAX), "a minute ahead"),
        ] {
            assert_eq!(refused.code(), tonic::Code::InvalidArgument);
            assert!(refused.message().contains(named), "{}", refused.message());
        }
        assert!(subject(About::All).is_err());
        let outside = "endpoint:192.0.2.7:443".parse().unwrap();
        assert!(subject(About::Component(outside)).is_err());
    }

    proptest! {
        #[test]
        fn any_request_is_refused_or_kept_within_its_limits(
            text in "\\PC{0,40}|[\\x00-\\x20]{0,5}", id in "\\PC{0,220}", kind in any::<i32>(), time in any::<i64>(),
        ) {
            let request = wire::AddChangeRequest { kind, id, time, ..asked(&text) };
            if let Ok(made) = change(request, &shop(), "77", NOW) {
                prop_assert!(made.id.len() <= ID_LIMIT_BYTES + ANNOUNCED_PREFIX.len() && made.id.starts_with(ANNOUNCED_PREFIX));
                prop_assert!(made.time <= NOW.plus(AHEAD) && made.time >= NOW.minus(OLDEST));
                prop_assert_eq!(made.text, text);
            }
        }
    }
}
