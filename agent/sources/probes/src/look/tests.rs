use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use firstlook_model::{ActiveState, ComponentId, ComponentKind, HostId, Timestamp, UnitState};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::http::BODY_LIMIT_BYTES;
use super::*;
use crate::apart::Apart;

mod certificates;
mod resolver;

fn looker(target: &str) -> Looker {
    let probe: Probe = toml::from_str(&format!("name = \"p\"\n{target}")).unwrap();
    assert_eq!(crate::config::check(std::slice::from_ref(&probe)), Ok(()));
    Looker::new(probe, &Shared::default())
}

/// Why a look found its target not up; `None` when it is.
fn why(found: &Found) -> Option<Failure> {
    let failure = Failure::of_code(found.sample(Part::Failure));
    assert_eq!(found.sample(Part::Up) == 1.0, failure.is_none());
    failure
}

/// A peer that takes one request, answers with these bytes, and closes.
async fn looked(target: impl Fn(SocketAddr) -> String, answer: &[u8]) -> Found {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut looker = looker(&target(listener.local_addr().unwrap()));
    let serve = async {
        let (mut peer, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        let read = peer.read(&mut request).await.unwrap();
        // A peer that was judged already may have gone.
        let _ = peer.write_all(answer).await;
        let _ = peer.shutdown().await;
        String::from_utf8_lossy(&request[..read]).into_owned()
    };
    let (found, request) = tokio::join!(looker.look(), serve);
    assert!(request.starts_with("GET /health HTTP/1.1\r\n"), "{request}");
    found.unwrap()
}

fn page(more: &'static str) -> impl Fn(SocketAddr) -> String {
    move |address| format!("http = {{ address = \"{address}\", path = \"/health\"{more} }}")
}

#[tokio::test]
async fn a_page_is_up_when_status_and_text_are_right() {
    let ok = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nready";
    let (status, text) = (Some(Failure::WrongStatus), Some(Failure::TextMissing));
    for (more, answer, failure) in [
        ("", &ok[..], None),
        (", contains = \"ready\"", ok, None),
        (", contains = \"steady\"", ok, text),
        (", status = 204", ok, status),
        (", status = 503", b"HTTP/1.1 503 Busy\r\n\r\n", None),
    ] {
        let found = looked(page(more), answer).await;
        assert_eq!(why(&found), failure, "{more}");
        assert!(found.sample(Part::Duration) > 0.0, "{more}");
    }
}

#[tokio::test]
async fn a_wrong_status_is_told_beside_the_right_one() {
    let found = looked(page(", status = 204"), b"HTTP/1.1 503 Busy\r\n\r\n").await;
    let numbers = [Part::Status, Part::Expected].map(|part| found.sample(part));
    assert_eq!(numbers, [503.0, 204.0]);
}

#[tokio::test]
async fn text_beyond_the_limit_of_a_body_is_not_found() {
    for (before, up) in [(BODY_LIMIT_BYTES - 5, true), (BODY_LIMIT_BYTES * 2, false)] {
        let mut answer = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        answer.resize(answer.len() + before, b'.');
        answer.extend(b"ready");
        let found = looked(page(", contains = \"ready\""), &answer).await;
        assert_eq!(why(&found).is_none(), up, "{before}");
    }
}

#[tokio::test]
async fn what_is_no_answer_is_not_up_and_has_no_duration() {
    for answer in [&b"SSH-2.0-x\r\n"[..], b""] {
        let found = looked(page(""), answer).await;
        assert_eq!(why(&found), Some(Failure::Unreadable));
        assert!(found.sample(Part::Duration).is_nan());
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_says_nothing_is_given_up_at_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tls = format!("tls = {{ address = \"{address}\", verify = false }}");
    for target in [page("")(address), tls] {
        let found = looker(&target).look().await.unwrap();
        assert_eq!(why(&found), Some(Failure::NoAnswer));
    }
}

#[tokio::test]
async fn a_port_is_up_while_somebody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut looker = looker(&format!("tcp = {{ address = \"localhost:{port}\" }}"));
    let found = looker.look().await.unwrap();
    assert_eq!(why(&found), None);
    assert!(found.sample(Part::Duration) > 0.0);
    drop(listener);
    let found = looker.look().await.unwrap();
    assert_eq!(why(&found), Some(Failure::Refused));
}

#[tokio::test]
async fn a_file_is_up_while_it_is_fresh() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("backup");
    let mut looker = looker(&format!("file = {{ path = {path:?}, max_age_s = 3600 }}"));
    let found = looker.look().await.unwrap();
    assert_eq!(why(&found), Some(Failure::FileMissing));
    let file = std::fs::File::create(&path).unwrap();
    assert_eq!(why(&looker.look().await.unwrap()), None);
    file.set_modified(SystemTime::now() - Duration::from_secs(7200))
        .unwrap();
    let found = looker.look().await.unwrap();
    assert_eq!(why(&found), Some(Failure::FileOld));
    assert!(found.sample(Part::Age) >= 7200.0);
    assert_eq!(found.sample(Part::Expected), 3600.0);
}

#[test]
fn a_file_from_the_future_is_new() {
    let now = SystemTime::UNIX_EPOCH;
    let changed = Some(now + Duration::from_secs(9));
    let found = file::aged(changed, now, Duration::from_secs(1));
    assert_eq!((why(&found), found.sample(Part::Age)), (None, 0.0));
}

#[tokio::test]
async fn while_others_hold_all_threads_nothing_is_said_of_what_needs_one() {
    let shared = Shared::default();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Arc::new(std::sync::Mutex::new(wait));
    let mut others = Vec::new();
    while !shared.threads.are_taken() {
        let (mut other, wait) = (Apart::on(&shared.threads), wait.clone());
        let work = other.run(move || wait.lock().unwrap().recv().is_err());
        assert!(timeout(Duration::ZERO, work).await.is_err());
        others.push(other);
    }
    let looked = async |target: &str| {
        let probe = toml::from_str(&format!("name = \"p\"\n{target}")).unwrap();
        Looker::new(probe, &shared).look().await
    };
    assert_eq!(looked("file = { path = \"/\", max_age_s = 1 }").await, None);
    assert_eq!(looked("tcp = { address = \"localhost:1\" }").await, None);
    let refused = looked("tcp = { address = \"127.0.0.1:1\" }").await;
    assert_eq!(refused.as_ref().and_then(why), Some(Failure::Refused));
    drop(go);
}

fn state(active: ActiveState) -> UnitState {
    let host = HostId::new("h1").unwrap();
    UnitState {
        component: ComponentId::on_host(ComponentKind::Service, host, "a.service").unwrap(),
        time: Timestamp::default(),
        active,
        sub: String::new(),
        result: String::new(),
        restarts: 0,
        main_pid: 0,
        exit_code: 0,
        exit_status: 0,
        since: None,
        wanted: true,
        invocation: String::new(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_unit_is_up_while_its_manager_says_so_and_unknown_when_it_says_nothing() {
    let mut looker = looker("unit = { name = \"a.service\" }");
    let units = looker.units.clone();
    assert_eq!(looker.look().await, None);
    for (active, failure) in [
        (ActiveState::Active, None),
        (ActiveState::Reloading, None),
        (ActiveState::Activating, Some(Failure::UnitInactive)),
        (ActiveState::Failed, Some(Failure::UnitInactive)),
    ] {
        units.take(&[state(active)]);
        assert_eq!(why(&looker.look().await.unwrap()), failure, "{active:?}");
    }
    tokio::time::advance(Duration::from_secs(151)).await;
    assert_eq!(looker.look().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_unit_that_is_not_loaded_is_told_once_all_others_were() {
    let mut looker = looker("unit = { name = \"other.service\" }");
    let units = looker.units.clone();
    units.take(&[state(ActiveState::Active)]);
    assert_eq!(looker.look().await, None);
    tokio::time::advance(Duration::from_secs(71)).await;
    units.take(&[state(ActiveState::Active)]);
    let found = looker.look().await.unwrap();
    assert_eq!(why(&found), Some(Failure::UnitUnknown));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_answer_but_the_right_status_is_up(rest in proptest::collection::vec(any::<u8>(), 0..400), lead in 0..3_usize) {
        let mut answer = [&b""[..], b"HTTP/1.1 404 ", b"HTTP/1.1 500 X\r\n"][lead].to_vec();
        answer.extend(rest);
        prop_assume!(!answer.starts_with(b"HTTP/1.1 200") && !answer.starts_with(b"HTTP/1.0 200"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        prop_assert!(why(&runtime.block_on(looked(page(""), &answer))).is_some());
    }
}
