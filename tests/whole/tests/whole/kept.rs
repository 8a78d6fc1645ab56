//! Lines that a host itself keeps: read again when a responder asks, sent or not.

use std::sync::Arc;

use firstlook_proto::wire;
use firstlook_proto::wire::agent_message::Kind as Say;
use firstlook_proto::wire::collector_message::Kind as Hear;
use firstlook_proto::wire::lines_piece::Kind;
use firstlook_whole::{Host, House, LONG, Line, Puppet, until};
use serde_json::Value;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::session::channel;

const WEB: &str = "service:h1/web.service";
const SECRET: &str = "hunter2hunter2";

fn texts(document: &Value) -> Vec<&str> {
    let lines = document["lines"].as_array().unwrap();
    lines
        .iter()
        .map(|line| line["text"].as_str().unwrap())
        .collect()
}

#[test]
fn lines_that_were_not_sent_are_read_from_the_host() {
    let house = House::open();
    let mut host = Host::join(&house, "h1");
    host.configure("[logs]\nlines_per_second = 1\n");
    host.settled();
    for number in 0..400 {
        host.log(format!("order {number} failed, password={SECRET}").as_bytes());
    }
    until("some of the lines", || {
        let sent = house.ask_json("logs", &["logs", WEB, "-n", "1000"]);
        let count = texts(&sent).len();
        assert!(count < 400, "the budget of lines was not kept: {count}");
        (count > 0).then_some(())
    });
    let ask = ["logs", WEB, "--from-host", "-n", "300"];
    let kept = house.ask_json("logs", &ask);
    let lines = texts(&kept);
    assert_eq!((lines.len(), &kept["left_out"]), (300, &100.into()));
    assert!(lines[0].starts_with("order 100 failed") && lines[299].starts_with("order 399 failed"));
    assert!(
        lines.iter().all(|line| !line.contains(SECRET)),
        "{}",
        lines[0]
    );
    // Files without stamps are said to have none.
    let screen = house.ask(&["logs", WEB, "--from-host", "--contains", "ORDER 37 "]);
    assert_eq!(screen.code, 0, "{}", screen.err);
    assert!(
        screen.out.contains("order 37 failed") && screen.out.contains("no time stamps"),
        "{}",
        screen.out
    );
    assert_eq!(screen.out.lines().count(), 2, "{}", screen.out);

    assert_eq!(house.ask(&["logs", "--from-host"]).code, 2, "of whom?");
    assert_eq!(
        house
            .ask(&["logs", "service:h9/web.service", "--from-host"])
            .code,
        3
    );
    host.stop();
    until("a host without its agent", || {
        (house.ask(&ask).code == 7).then_some(())
    });
}

#[test]
fn an_agent_that_cannot_is_told_from_one_without_lines() {
    let house = House::open();
    let _puppet = Puppet::join(&house, "h1");
    until("a refusal", || {
        let said = house.ask(&["logs", "h1", "--from-host"]);
        (said.code != 7 && said.err.contains("a puppet keeps no lines")).then_some(())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_another_host_and_lines_that_nobody_asked_for_are_refused() {
    let house = Arc::new(House::open());
    let (mut line, _) = Line::greeted(channel(&house).await, 1).await.unwrap();
    let entry = |component: &str| wire::LogBlock {
        components: vec![component.to_owned()],
        templates: Vec::new(),
        entries: vec![wire::LogEntry {
            severity: wire::Severity::Error.into(),
            source: wire::LogSource::File.into(),
            text: "forged".to_owned(),
            ..wire::LogEntry::default()
        }],
    };
    let piece = |request, component: &str| {
        Say::Lines(wire::LinesPiece {
            request,
            kind: Some(Kind::Lines(entry(component))),
        })
    };
    line.say(piece(77, "service:h1/web.service")).await;
    house.counted("firstlook_ingest_stray_pieces_total", 1);
    let asker = Arc::clone(&house);
    let asking = spawn_blocking(move || asker.ask(&["logs", "h1", "--from-host"]));
    let answering = async {
        loop {
            if let Some(Hear::ReadLines(ask)) = line.hear().await.unwrap() {
                let forged = piece(ask.request, "service:victim/web.service");
                return line.say(forged).await;
            }
        }
    };
    timeout(LONG, answering).await.unwrap();
    let asked = asking.await.unwrap();
    assert!(
        asked.code != 0 && asked.err.contains("lines of another host"),
        "{}",
        asked.err
    );
    house.counted("firstlook_ingest_malformed_records_total", 1);
}
