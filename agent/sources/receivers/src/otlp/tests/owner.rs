use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// A desk whose callers are known by turns, the last for ever, and how often it was asked for one.
fn knowing(relays: &[&str], answers: Vec<Option<&'static str>>) -> (Desk, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let (times, answers) = (Arc::clone(&asked), Mutex::new(answers));
    let about = About {
        otherwise: ComponentId::host(host()),
        relays: relays.iter().map(|name| (*name).to_owned()).collect(),
        caller: Arc::new(move |from, to| {
            assert!(from.ip().is_loopback() && to.ip().is_loopback() && from != to);
            times.fetch_add(1, Ordering::SeqCst);
            let mut answers = answers.lock().unwrap();
            let known = match answers.len() {
                1 => answers[0],
                _ => answers.remove(0),
            };
            Box::pin(async move { known.map(unit) })
        }),
        named: Arc::new(|name| (name == "shop").then(|| unit(name))),
    };
    let desk = Desk::new(9, about, Arc::new(|_| Box::pin(async {})));
    (desk, asked)
}

fn ends() -> Connection {
    let end = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    Connection::new(Some((end(40_000), end(4_318))))
}

/// About whom a level is that a resource of this name sends on a connection.
async fn about_whom(desk: &Desk, on: &Connection, name: &str) -> String {
    let body = levels(name, &["x"]).encode_to_vec();
    let answer = respond(desk, on, post(PROTOBUF, None, body)).await;
    assert_eq!(answer.status(), 200);
    let told = told(&places(desk));
    let of = told.iter().find_map(|line| line.strip_suffix(" x 7"));
    of.unwrap().to_owned()
}

#[tokio::test]
async fn who_made_the_connection_comes_before_the_name_the_name_before_the_host() {
    for (owner, name, whom) in [
        (Some("pay"), "shop", "service:h1/pay.service"),
        (Some("pay"), "nobody", "service:h1/pay.service"),
        (Some("otelcol"), "shop", "service:h1/shop.service"),
        (Some("otelcol"), "nobody", "host:h1"),
        (None, "shop", "service:h1/shop.service"),
        (None, "nobody", "host:h1"),
    ] {
        let (desk, _) = knowing(&["otelcol.service"], vec![owner]);
        assert_eq!(
            about_whom(&desk, &ends(), name).await,
            whom,
            "{owner:?} {name}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn who_made_a_connection_is_asked_until_it_is_known_and_not_with_each_request() {
    let (desk, asked) = knowing(&[], vec![None, Some("pay"), Some("other")]);
    let on = ends();
    for (seconds, whom, times) in [
        (0, "host:h1", 1),
        (1, "host:h1", 1),
        (2, "service:h1/pay.service", 2),
        (600, "service:h1/pay.service", 2),
    ] {
        tokio::time::advance(Duration::from_secs(seconds)).await;
        assert_eq!(about_whom(&desk, &on, "nobody").await, whom);
        assert_eq!(asked.load(Ordering::SeqCst), times);
    }
    // Another connection is another's.
    assert_eq!(
        about_whom(&desk, &ends(), "nobody").await,
        "service:h1/other.service"
    );
}

#[tokio::test]
async fn the_ends_of_a_real_connection_are_those_that_are_asked_about() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let here = listener.local_addr().unwrap();
    let mut near = TcpStream::connect(here).await.unwrap();
    let from = near.local_addr().unwrap();
    let about = About {
        otherwise: ComponentId::host(host()),
        relays: BTreeSet::new(),
        caller: Arc::new(move |asked, to| {
            assert_eq!((asked, to), (from, here));
            Box::pin(async { Some(unit("pay")) })
        }),
        named: Arc::new(|_| None),
    };
    let desk = Arc::new(Desk::new(9, about, Arc::new(|_| Box::pin(async {}))));
    let body = levels("shop", &["x"]).encode_to_vec();
    let head = format!(
        "POST /v1/metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\
         content-type: {PROTOBUF}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut answer = Vec::new();
    let sent = async {
        near.write_all(head.as_bytes()).await.unwrap();
        near.write_all(&body).await.unwrap();
        near.read_to_end(&mut answer).await.unwrap();
    };
    tokio::select! {
        () = serve::accept(&listener, Speaks::Http, &desk) => panic!("the port failed"),
        () = sent => {}
    }
    assert!(answer.starts_with(b"HTTP/1.1 200 "));
    let told = told(&places(&desk));
    assert!(
        told.contains(&"service:h1/pay.service x 7".to_owned()),
        "{told:?}"
    );
}
