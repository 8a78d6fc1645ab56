use std::net::SocketAddr;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::config::{Fault, check};

fn probe(target: &str) -> Probe {
    toml::from_str(&format!("name = \"p\"\n{target}")).unwrap()
}

/// A peer that takes one request, answers with these bytes, and closes.
async fn looked(target: impl Fn(SocketAddr) -> String, answer: &[u8]) -> Found {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut looker = Looker::new(probe(&target(listener.local_addr().unwrap())));
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
    found
}

fn page(more: &'static str) -> impl Fn(SocketAddr) -> String {
    move |address| format!("http = {{ address = \"{address}\", path = \"/health\"{more} }}")
}

#[tokio::test]
async fn a_page_is_up_when_status_and_text_are_right() {
    let ok = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nready";
    for (more, answer, up) in [
        ("", &ok[..], true),
        (", contains = \"ready\"", ok, true),
        (", contains = \"steady\"", ok, false),
        (", status = 204", ok, false),
        (", status = 503", b"HTTP/1.1 503 Busy\r\n\r\n", true),
    ] {
        let found = looked(page(more), answer).await;
        assert_eq!((found.up, found.seconds.is_some()), (up, true), "{more}");
    }
}

#[tokio::test]
async fn text_beyond_the_limit_of_a_body_is_not_found() {
    for (before, up) in [(BODY_LIMIT_BYTES - 5, true), (BODY_LIMIT_BYTES * 2, false)] {
        let mut answer = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        answer.resize(answer.len() + before, b'.');
        answer.extend(b"ready");
        let found = looked(page(", contains = \"ready\""), &answer).await;
        assert_eq!(found.up, up, "{before}");
    }
}

#[tokio::test]
async fn what_is_no_answer_is_not_up_and_has_no_duration() {
    assert_eq!(looked(page(""), b"SSH-2.0-x\r\n").await, NOTHING);
    assert_eq!(looked(page(""), b"").await, NOTHING);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_says_nothing_is_given_up_at_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = page("")(listener.local_addr().unwrap());
    assert_eq!(Looker::new(probe(&target)).look().await, NOTHING);
}

#[tokio::test]
async fn a_port_is_up_while_somebody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut looker = Looker::new(probe(&format!("tcp = {{ address = \"{address}\" }}")));
    let found = looker.look().await;
    assert!(found.up && found.seconds.is_some());
    drop(listener);
    assert_eq!(looker.look().await, NOTHING);
}

#[tokio::test]
async fn a_file_is_up_while_it_is_fresh() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("backup");
    let target = format!("file = {{ path = {path:?}, max_age_s = 3600 }}");
    let mut looker = Looker::new(probe(&target));
    assert_eq!(looker.look().await, NOTHING);
    let file = std::fs::File::create(&path).unwrap();
    assert!(looker.look().await.up);
    file.set_modified(SystemTime::now() - Duration::from_secs(7200))
        .unwrap();
    let found = looker.look().await;
    assert!(!found.up && found.age_seconds.unwrap() >= 7200.0);
}

#[test]
fn a_file_from_the_future_is_new() {
    let now = SystemTime::UNIX_EPOCH;
    let found = aged(
        Some(now + Duration::from_secs(9)),
        now,
        Duration::from_secs(1),
    );
    assert_eq!((found.up, found.age_seconds), (true, Some(0.0)));
}

#[test]
fn what_is_wrong_with_a_probe_is_named() {
    for (wrong, named) in [
        ("", "exactly one"),
        (
            "tcp = { address = \"[::1]:1\" }\nfile = { path = \"/x\", max_age_s = 1 }",
            "exactly one",
        ),
        ("file = { path = \"x\", max_age_s = 1 }", "absolute"),
        (
            "interval_s = 0\ntcp = { address = \"[::1]:1\" }",
            "interval_s",
        ),
        (
            "deadline_s = 11\ntcp = { address = \"[::1]:1\" }",
            "deadline_s",
        ),
        ("service = \"\"\ntcp = { address = \"[::1]:1\" }", "service"),
        (
            "http = { address = \"[::1]:1\", path = \"x\" }",
            "http.path",
        ),
        (
            "http = { address = \"[::1]:1\", host = \"a b\" }",
            "http.host",
        ),
        (
            "http = { address = \"[::1]:1\", contains = \"\" }",
            "contains",
        ),
    ] {
        let error = check(&[probe(wrong)]).unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
    }
    let fine = probe("tcp = { address = \"[::1]:1\" }");
    assert_eq!(check(std::slice::from_ref(&fine)), Ok(()));
    let twice = [fine.clone(), fine.clone()];
    assert_eq!(check(&twice), Err(Fault::Twice("p".to_owned())));
    assert_eq!(check(&vec![fine; 65]), Err(Fault::TooMany(65)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_answer_but_the_right_status_is_up(rest in proptest::collection::vec(any::<u8>(), 0..400), lead in 0..3_usize) {
        let mut answer = [&b""[..], b"HTTP/1.1 404 ", b"HTTP/1.1 500 X\r\n"][lead].to_vec();
        answer.extend(rest);
        prop_assume!(!answer.starts_with(b"HTTP/1.1 200") && !answer.starts_with(b"HTTP/1.0 200"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        prop_assert!(!runtime.block_on(looked(page(""), &answer)).up);
    }
}
