//! Sessions that break the rules: each is ended with the reason, or goes on without what was wrong, and counted.

use firstlook_model::record::RECORD_LIMIT_BYTES;
use firstlook_proto::wire;
use firstlook_proto::wire::agent_message::Kind as Say;
use firstlook_proto::wire::snapshot_piece::Kind as PieceKind;
use firstlook_whole::line::{heartbeat, hello};
use firstlook_whole::records::encoded_line;
use firstlook_whole::{House, Line, until};
use tonic::Code;
use tonic::transport::Channel;

const MESSAGES: &str = "firstlook_ingest_refused_messages_total";

pub async fn channel(house: &House) -> Channel {
    house
        .admit("h1")
        .channel(&house.agents_url())
        .await
        .unwrap()
}

fn record(text: &str) -> Vec<u8> {
    encoded_line("service:h1/web.service", text)
}

fn records(numbers: &[u64]) -> Say {
    let record = |n: &u64| wire::SequencedRecord {
        sequence: *n,
        record: record("x").into(),
    };
    Say::Records(wire::RecordBatch {
        records: numbers.iter().map(record).collect(),
    })
}

fn chunk(size: usize) -> Say {
    let kind = Some(PieceKind::Chunk(vec![0; size].into()));
    Say::Snapshot(wire::SnapshotPiece { request: 99, kind })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_begins_with_hello() {
    let house = House::open();
    let channel = channel(&house).await;
    for first in [heartbeat(), records(&[1]), chunk(1)] {
        let mut line = Line::open(channel.clone()).await.unwrap();
        line.say(first).await;
        assert_eq!(line.refusal().await.code(), Code::FailedPrecondition);
    }
    house.counted("firstlook_ingest_silent_sessions_total", 3);
    assert_eq!(house.counter("firstlook_store_records"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_the_order_ends_the_session_and_stores_nothing() {
    let house = House::open();
    let channel = channel(&house).await;
    let too_many: Vec<u64> = (1..=4_097).collect();
    let cases = [
        ("hello twice", hello(1), Code::InvalidArgument),
        ("falling", records(&[2, 1]), Code::InvalidArgument),
        ("twice the same", records(&[1, 1]), Code::InvalidArgument),
        ("from 0", records(&[0, 1]), Code::InvalidArgument),
        ("too many", records(&too_many), Code::InvalidArgument),
        ("too long", chunk(9 * 1024 * 1024), Code::OutOfRange),
    ];
    let count = cases.len() as u64;
    for (name, say, code) in cases {
        let (mut line, acknowledged) = Line::greeted(channel.clone(), 1).await.unwrap();
        assert_eq!(acknowledged, 0, "{name}");
        line.say(say).await;
        assert_eq!(line.refusal().await.code(), code, "{name}");
    }
    house.counted(MESSAGES, count);
    assert_eq!(house.counter("firstlook_store_records"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_records_are_acknowledged_counted_and_cost_nothing_else() {
    let house = House::open();
    let (mut line, _) = Line::greeted(channel(&house).await, 1).await.unwrap();
    let long = [record("long"), vec![0; RECORD_LIMIT_BYTES]].concat();
    line.send(vec![
        (1, record("before")),
        (2, b"\xff\xff\xff junk".to_vec()),
        (3, vec![]),
    ])
    .await;
    assert_eq!(line.acknowledged().await, 3);
    line.send(vec![(4, long), (5, record("after"))]).await;
    assert_eq!(line.acknowledged().await, 5);
    house.counted("firstlook_ingest_malformed_records_total", 3);
    let logs = house.ask(&["logs", "h1"]).out;
    let shown: Vec<_> = logs.lines().filter_map(|l| l.split("  ").nth(1)).collect();
    assert_eq!(shown, ["before", "after"], "{logs}");
    let lost = until("the loss", || {
        let hosts = house.ask_json("hosts", &["hosts", "h1"]);
        let losses = hosts["hosts"][0]["losses"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        losses
            .into_iter()
            .find(|loss| loss["reason"] == "malformed")
    });
    assert_eq!(lost["source"], "collector");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_sent_again_is_stored_once() {
    let house = House::open();
    let channel = channel(&house).await;
    let (mut line, _) = Line::greeted(channel.clone(), 7).await.unwrap();
    line.send(vec![(1, record("one")), (2, record("two"))])
        .await;
    assert_eq!(line.acknowledged().await, 2);
    line.send(vec![
        (1, record("one")),
        (2, record("two")),
        (3, record("three")),
    ])
    .await;
    assert_eq!(line.acknowledged().await, 3);
    drop(line);
    let (_line, acknowledged) = Line::greeted(channel.clone(), 7).await.unwrap();
    assert_eq!(acknowledged, 3, "of the same epoch");
    let (_line, acknowledged) = Line::greeted(channel, 8).await.unwrap();
    assert_eq!(acknowledged, 0, "of another epoch");
    let logs = house.ask_json("logs", &["logs", "h1"]);
    let texts: Vec<_> = logs["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| &l["text"])
        .collect();
    assert_eq!(texts, ["one", "two", "three"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn pieces_that_nobody_asked_for_are_counted_and_dropped() {
    let house = House::open();
    let (mut line, _) = Line::greeted(channel(&house).await, 1).await.unwrap();
    line.say(chunk(1_000)).await;
    line.say(Say::Snapshot(wire::SnapshotPiece {
        request: 0,
        kind: None,
    }))
    .await;
    line.send(vec![(1, record("still here"))]).await;
    assert_eq!(line.acknowledged().await, 1);
    house.counted("firstlook_ingest_stray_pieces_total", 2);
    assert_eq!(
        std::fs::read_dir(house.data().join("snapshots"))
            .unwrap()
            .count(),
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_session_of_a_host_ends_the_older_one() {
    let house = House::open();
    let channel = channel(&house).await;
    let (mut older, _) = Line::greeted(channel.clone(), 1).await.unwrap();
    let (mut newer, _) = Line::greeted(channel, 1).await.unwrap();
    assert_eq!(older.refusal().await.code(), Code::Aborted);
    newer.send(vec![(1, record("mine"))]).await;
    assert_eq!(newer.acknowledged().await, 1);
    house.counted("firstlook_ingest_displaced_sessions_total", 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_believed_about_itself_only() {
    let house = House::open();
    house.admit("victim");
    let (mut line, _) = Line::greeted(channel(&house).await, 1).await.unwrap();
    let forged = |text: &str| encoded_line("service:victim/db.service", text);
    line.send(vec![
        (1, forged("panic: out of memory")),
        (2, record("mine")),
    ])
    .await;
    assert_eq!(line.acknowledged().await, 2);
    house.counted("firstlook_ingest_malformed_records_total", 1);
    let shown = |args: &[&str]| {
        let logs = house.ask_json("logs", args);
        let lines = logs["lines"].as_array().unwrap().clone();
        lines
            .into_iter()
            .map(|l| l["component"]["host"].clone())
            .collect::<Vec<_>>()
    };
    assert!(shown(&["logs", "victim"]).is_empty());
    assert_eq!(
        shown(&["logs"]),
        ["h1"],
        "nothing is shown in the victim's name"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_host_breaks_nothing_for_the_others() {
    let house = House::open();
    let good = house
        .admit("good")
        .channel(&house.agents_url())
        .await
        .unwrap();
    let (mut line, _) = Line::greeted(good, 1).await.unwrap();
    let hostile = channel(&house).await;
    for round in 0..20u64 {
        let (mut bad, acknowledged) = Line::greeted(hostile.clone(), 1).await.unwrap();
        let junk: Vec<u8> = (0..500)
            .map(|n: u64| ((n * 31 + round * 17) % 251) as u8)
            .collect();
        bad.send(vec![(acknowledged + 1, junk)]).await;
        bad.acknowledged().await;
        bad.say(records(&[3, 2])).await;
        bad.refusal().await;
        let text = format!("round {round}");
        line.send(vec![(round + 1, encoded_line("host:good", &text))])
            .await;
        assert_eq!(line.acknowledged().await, round + 1);
    }
    let logs = house.ask_json("logs", &["logs", "good"]);
    assert_eq!(logs["lines"].as_array().map(Vec::len), Some(20));
}
