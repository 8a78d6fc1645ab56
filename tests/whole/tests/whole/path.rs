//! The main path: a real agent on this machine, a real collector, and the responder's command.

use std::path::Path;
use std::process::Stdio;

use firstlook_whole::house::{bare_command, said};
use firstlook_whole::{Host, House, until};
use serde_json::Value;

fn reporting(house: &House, host: &str) -> Value {
    until("a host that reports", || {
        let hosts = house.ask_json("hosts", &["hosts", host]);
        let one = hosts["hosts"][0].clone();
        (one["state"] == "reporting" && one["inventory"].is_object()).then_some(one)
    })
}

/// Waits until the agent follows its log, and the collector shows what was written there.
fn followed(house: &House, host: &Host, line: &[u8]) {
    until("a followed log", || {
        host.log(line);
        let logs = house.ask_json("logs", &["logs", host.name()]);
        (!logs["lines"].as_array().unwrap().is_empty()).then_some(())
    });
}

#[test]
fn every_command_shows_a_host_that_has_just_joined() {
    let house = House::open();
    let host = Host::join(&house, "h1");
    let seen = reporting(&house, "h1");
    assert!(seen["inventory"]["cores"].as_u64().unwrap() > 0);
    let offset = seen["clock_offset_s"].as_f64().unwrap();
    assert!(
        offset.abs() < 30.0,
        "{offset} s between two clocks that are one"
    );
    followed(&house, &host, b"a line of the log");
    until("a processor's time", || {
        let metrics = house.ask(&["metrics", "h1", "cpu.*", "--json"]);
        (metrics.code == 0 && metrics.out.contains("cpu.user_seconds_total")).then_some(())
    });
    for (kind, args, text, field) in [
        (
            "status",
            &["status"][..],
            "hosts: 1 reporting, 0 silent",
            "hosts",
        ),
        ("status", &[], "hosts: 1 reporting, 0 silent", "components"),
        ("hosts", &["hosts"], "reporting", "hosts"),
        ("hosts", &["hosts", "h1"], "Linux", "hosts"),
        (
            "metrics",
            &["metrics", "h1", "cpu.*"],
            "cpu.user_seconds_total",
            "series",
        ),
        (
            "logs",
            &["logs", "service:h1/web.service"],
            "a line of the log",
            "lines",
        ),
        ("map", &["map", "h1"], "host:h1", "components"),
        ("changes", &["changes"], "", "changes"),
        (
            "snapshots",
            &["snapshot", "list"],
            "no snapshots",
            "snapshots",
        ),
        ("tokens", &["tokens", "list"], "used", "tokens"),
    ] {
        let shown = house.ask(args);
        assert_eq!((shown.code, &*shown.err), (0, ""), "{args:?}");
        assert!(shown.out.contains(text), "{args:?}: {}", shown.out);
        assert!(
            !shown.out.contains('\u{1b}'),
            "{args:?} is not coloured into a pipe"
        );
        let document = house.ask_json(kind, args);
        assert!(
            !document[field].is_null(),
            "{args:?} has {field}: {document}"
        );
    }
}

#[test]
fn exit_codes_say_what_went_wrong() {
    let mut house = House::open();
    house.admit("h1");
    until("a view", || (house.ask(&["map"]).code == 0).then_some(()));
    for (code, args) in [
        (2, &["no-such-command"][..]),
        (2, &["hosts", "--no-such-option"]),
        (2, &["logs", "--since", "yesterday-ish"]),
        (2, &["logs", "--since", "1h", "--until", "2h"]),
        (2, &["metrics"]),
        (2, &["snapshot", "fetch", "../../etc/passwd"]),
        (3, &["hosts", "nobody"]),
        (3, &["map", "nobody"]),
        (3, &["logs", "nobody"]),
        (3, &["changes", "service:nobody/x.service"]),
        (3, &["why"]),
        (3, &["why", "INC-9999"]),
        (3, &["why", "service:h1/nothing.service"]),
        (3, &["metrics", "h1", "cpu.nothing"]),
        (3, &["logs", "h1/nothing"]),
        (3, &["snapshot", "take", "nobody"]),
        (3, &["snapshot", "show", "nothing"]),
        (3, &["snapshot", "verify", "nothing"]),
        (3, &["tokens", "revoke", "nothing"]),
        (7, &["snapshot", "take", "h1"]),
    ] {
        let said = house.ask(args);
        assert_eq!(
            (said.code, &*said.out),
            (code, ""),
            "{args:?}: {}",
            said.err
        );
        assert!(!said.err.is_empty(), "{args:?} says nothing");
    }
    let untold = said(&mut bare_command(house.data().as_path()));
    assert_eq!(untold.code, 2, "without credentials: {}", untold.err);
    let elsewhere = house.ask(&["--collector", "nonsense://x y", "hosts"]);
    assert_eq!(elsewhere.code, 2, "{}", elsewhere.err);
    house.stop();
    let down = house.ask(&["hosts"]);
    assert_eq!(down.code, 7, "{}", down.err);
    assert!(down.err.contains(&house.responders_url()), "{}", down.err);
}

#[test]
fn a_reader_who_has_seen_enough_is_no_failure() {
    let house = House::open();
    house.admit("h1");
    let mut command = house.command(&house.data().join("responder"));
    command
        .arg("hosts")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), &*ended.stderr), (Some(0), &b""[..]));
}

#[test]
fn colour_is_shown_only_where_it_is_wanted() {
    let house = House::open();
    let colored = |args: &[&str], no_color: bool| {
        let mut command = house.command(&house.data().join("responder"));
        if no_color {
            command.env("NO_COLOR", "1");
        }
        let said = said(command.args(args));
        assert_eq!(said.code, 0, "{}", said.err);
        said.out.contains("\u{1b}[")
    };
    assert!(!colored(&["status"], false), "into a pipe");
    assert!(colored(&["status", "--color", "always"], false));
    assert!(!colored(&["status", "--color", "never"], false));
    assert!(!colored(&["status"], true));
    assert!(
        !colored(&["status", "--color", "always", "--json"], false),
        "no colour in JSON"
    );
}

#[test]
fn hostile_lines_are_harmless_when_shown() {
    let house = House::open();
    let host = Host::join(&house, "h1");
    followed(&house, &host, b"begin");
    host.log(b"evil \x1b]0;owned\x07\x1b[2J \x9b31m \xe2\x80\xae\xe2\x81\xa6 \xff\xfe \x00 \x08\x08 marker");
    let long = [&b"long "[..], &vec![b'x'; 100_000], b" tail"].concat();
    host.log(&long);
    host.log(b"after");
    let shown = until("the lines", || {
        let shown = house.ask(&["logs", "h1"]).out;
        (shown.contains("marker") && shown.contains("  after")).then_some(shown)
    });
    let harmless = |c: char| {
        c == '\n'
            || (!c.is_control() && !matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
    };
    let harmful: Vec<char> = shown.chars().filter(|c| !harmless(*c)).collect();
    assert!(harmful.is_empty(), "{harmful:?} in {shown:?}");
    assert!(
        shown.lines().all(|line| line.len() < 10_000),
        "the long line was cut"
    );
    let lines = house.ask_json("logs", &["logs", "h1", "--contains", "marker"]);
    assert_eq!(lines["lines"].as_array().map(Vec::len), Some(1));
}

const SECRETS: [&str; 4] = ["Zk8vQ2pLw9", "tR7uYx3mNb", "pG5hJd1sKe", "vB4nMq6zXc"];

/// Files below `folder` that hold `text`.
fn holding(folder: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
    {
        if entry.is_dir() {
            found.extend(holding(&entry, text));
        } else if std::fs::read(&entry)
            .is_ok_and(|bytes| bytes.windows(text.len()).any(|w| w == text.as_bytes()))
        {
            found.push(entry.display().to_string());
        }
    }
    found
}

#[test]
fn a_secret_in_a_log_reaches_neither_disk_nor_screen() {
    let mut house = House::open();
    let mut host = Host::join(&house, "h1");
    followed(&house, &host, b"begin");
    house.stop();
    let [password, bearer, url, key] = SECRETS;
    for line in [
        format!("markerword login password={password} for ana"),
        format!("markerword > Authorization: Bearer {bearer}{bearer}"),
        format!("markerword connects to postgres://app:{url}@db1/shop"),
        format!("markerword {{\"api_key\": \"{key}\"}}"),
    ] {
        host.log(line.as_bytes());
    }
    let journal = host.state_dir().join("journal");
    until("the journal", || {
        (!holding(&journal, "markerword").is_empty()).then_some(())
    });
    house.start();
    let shown = until("the lines", || {
        let shown = house.ask(&["logs", "h1", "--contains", "markerword"]).out;
        (shown.lines().count() >= 4).then_some(shown)
    });
    assert_eq!(shown.matches("[redacted]").count(), 4, "{shown}");
    host.stop();
    house.stop();
    let data = house.data();
    assert!(
        !holding(&data, "markerword").is_empty(),
        "the store is readable to this test"
    );
    for secret in SECRETS {
        assert!(!shown.contains(secret), "{shown}");
        assert_eq!(holding(&journal, secret), [""; 0]);
        assert_eq!(holding(&data, secret), [""; 0]);
    }
}
