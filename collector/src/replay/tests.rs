//! A shop whose shelf service slows down from second 600 on, and billing, which it does not call, a little; the alarm comes
//! at 700. By what files the rest is told differs.

use std::fmt::Write as _;

use clap::{CommandFactory, FromArgMatches, Parser};
use serde_json::Value;

use super::*;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    options: ReplayOptions,
}

const ONSET: u32 = 600;
const ONE_CHANGE: &str =
    r#"{"time":595,"component":"billing","id":"x","details":{"message":"new pool"}}"#;
/// Only what is said since tells these two apart.
const TWO_CHANGES: &str = r#"{"time":400,"component":"shelf","id":"x","details":{"message":"restyle button"}}
{"time":550,"component":"shelf","id":"y","details":{"message":"smaller connectionPool, shorter deadline"}}"#;
const COMPLAINT: &str = r#"{"time":600,"component":"shelf","severity":"ERROR","text":"no connection in the pool before the deadline"}"#;
const FAILED_SPAN: &str = r#"{"time":600,"component":"shelf","trace_id":"t","span_id":"1","status":"ERROR","error":"no connection in the pool before the deadline"}"#;
const CALL: &str = r#"{"time":10,"component":"shop","trace_id":"t","span_id":"1","status":"OK"}
{"time":10,"component":"shelf","trace_id":"t","span_id":"2","parent_id":"1","status":"OK"}"#;

/// A case with those files; its signals step up by so much at the onset, and by the other for 90 seconds before the
/// searched time.
fn case(step: f64, earlier: f64, files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    put(
        "case.json",
        r#"{"set":"s","reference_time":800,"alarm":{"time":700,"component":"shop","signal":"latency"},
            "truth":{"component":"shelf"}}"#,
    );
    let mut metrics = String::from("time,shop|latency,billing|pool_wait,shelf|pool_wait\n");
    for time in 0..800_u32 {
        let ripple = 10.0 + f64::from(time % 7) / 10.0;
        let moved = if time >= ONSET {
            step
        } else if (170..260).contains(&time) {
            earlier
        } else {
            0.0
        };
        let (less, least) = (ripple + moved / 3.0, ripple + moved / 9.0);
        writeln!(metrics, "{time},{less},{least},{}", ripple + moved).unwrap();
    }
    put("metrics.csv", &metrics);
    for (name, text) in files {
        put(name, text);
    }
    folder
}

/// What `replay --json` prints of it.
fn replayed(case: &tempfile::TempDir, more: &[&str]) -> Value {
    let path = case.path().to_str().unwrap();
    let arguments = ["replay", "--json", path];
    let cli = Cli::try_parse_from(arguments.iter().chain(more)).unwrap();
    serde_json::from_str(&run(&cli.options).unwrap()).unwrap()
}

/// What it says is at fault with all evidence, and without that of a kind.
fn change_with_and_without(files: &[(&str, &str)], kind: &str) -> (Value, Value) {
    let case = case(90.0, 0.0, files);
    let without = replayed(&case, &["--without", kind]);
    (
        replayed(&case, &[])["change"].clone(),
        without["change"].clone(),
    )
}

#[test]
fn logs_that_are_withheld_tell_no_change() {
    let files = [
        ("changes.ndjson", TWO_CHANGES),
        ("logs.ndjson", COMPLAINT),
        ("edges.csv", "caller,callee\nshop,shelf\n"),
    ];
    let (with, without) = change_with_and_without(&files, "logs");
    assert_eq!((with, without), ("y".into(), Value::Null));
    let (_, without) = change_with_and_without(&files, "spans");
    assert_eq!(without, "y");
}

#[test]
fn spans_that_are_withheld_tell_no_change() {
    let files = [
        ("changes.ndjson", TWO_CHANGES),
        ("spans.ndjson", FAILED_SPAN),
        ("edges.csv", "caller,callee\nshop,shelf\n"),
    ];
    let (with, without) = change_with_and_without(&files, "spans");
    assert_eq!((with, without), ("y".into(), Value::Null));
    let (_, without) = change_with_and_without(&files, "logs");
    assert_eq!(without, "y");
}

#[test]
fn changes_that_are_withheld_are_not_named() {
    let files = [("changes.ndjson", TWO_CHANGES), ("logs.ndjson", COMPLAINT)];
    let (with, without) = change_with_and_without(&files, "changes");
    assert_eq!((with, without), ("y".into(), Value::Null));
}

#[test]
fn without_topology_neither_recorded_calls_nor_those_of_spans_keep_a_stranger_out() {
    for calls in [
        ("edges.csv", "caller,callee\nshop,shelf\n"),
        ("spans.ndjson", CALL),
    ] {
        let files = [("changes.ndjson", ONE_CHANGE), calls];
        let case = case(90.0, 0.0, &files);
        assert_eq!(replayed(&case, &[])["change"], "none", "{calls:?}");
        let without = replayed(&case, &["--without", "topology"]);
        assert_ne!(without["change"], "none", "{calls:?}");
    }
}

#[test]
fn without_quiet_windows_an_earlier_fault_is_not_held_against_it() {
    let case = case(30.0, 60.0, &[]);
    let with = replayed(&case, &[]);
    assert_eq!(with["verdict"], Value::Null, "{with}");
    let without = replayed(&case, &["--without", "quiet-windows"]);
    assert_eq!(without["verdict"], "shelf");
    assert_eq!(without["suspects"], with["suspects"]);
    assert!(without["probability"].as_f64() > with["probability"].as_f64());
}

#[test]
fn withheld_kinds_can_be_given_together_and_are_printed() {
    let case = case(90.0, 0.0, &[]);
    let both = ["--without", "logs", "--without", "quiet-windows"];
    let printed = replayed(&case, &both);
    assert_eq!(
        printed["without"],
        serde_json::json!(["logs", "quiet-windows"])
    );
    assert_eq!(replayed(&case, &[])["without"], serde_json::json!([]));
}

#[test]
fn an_unknown_kind_is_a_usage_error_that_lists_the_known() {
    let refused = Cli::command().try_get_matches_from(["replay", "--without", "weather", "case"]);
    let refused = refused.unwrap_err();
    assert_eq!(
        (refused.kind(), refused.exit_code()),
        (clap::error::ErrorKind::InvalidValue, 2)
    );
    let known = "topology, logs, spans, changes, quiet-windows";
    assert!(refused.to_string().contains(known), "{refused}");
    let given = Cli::command().get_matches_from(["replay", "--without", "spans", "case"]);
    let cli = Cli::from_arg_matches(&given).unwrap();
    assert_eq!(cli.options.without, [Withheld::Spans]);
}

#[test]
fn the_probability_is_printed_for_people_and_machines_and_none_where_nobody_moved() {
    let moved = case(90.0, 0.0, &[]);
    let printed = replayed(&moved, &[]);
    let probability = printed["probability"].as_f64().unwrap();
    assert!((0.5..1.0).contains(&probability), "{printed}");
    assert_eq!(printed["first_right"], true);
    for explain in [&["--explain"][..], &[]] {
        let path = moved.path().to_str().unwrap();
        let cli = Cli::try_parse_from(["replay", path].iter().chain(explain)).unwrap();
        let text = run(&cli.options).unwrap();
        let line = format!("  probability of shelf: {probability:.2} (");
        assert!(text.contains(&line), "{text}");
    }
    let still = replayed(&case(0.0, 0.0, &[]), &[]);
    assert_eq!(
        (&still["probability"], &still["first_right"]),
        (&Value::Null, &Value::Null)
    );
}

#[test]
fn what_would_steer_a_terminal_is_replaced() {
    let hostile = case(90.0, 0.0, &[("a\u{1b}[2Jb.txt", "x")]);
    let path = hostile.path().to_str().unwrap();
    let cli = Cli::try_parse_from(["replay", path]).unwrap();
    let text = run(&cli.options).unwrap();
    assert!(text.contains("unknown file: a\u{fffd}[2Jb.txt"), "{text:?}");
}

/// A call a second, in which the shelf works so long from the onset on and 10 ms before, and the shop 5 ms more.
fn spans(since: u32) -> String {
    let mut lines = String::new();
    for time in 0..800_u32 {
        let shelf = time % 7 + if time >= ONSET { since } else { 10 };
        let shop = shelf + 5;
        writeln!(
            lines,
            r#"{{"time":{time},"component":"shop","trace_id":"{time}","span_id":"1","duration_ms":{shop},"status":"OK"}}
{{"time":{time},"component":"shelf","trace_id":"{time}","span_id":"2","parent_id":"1","duration_ms":{shelf},"status":"OK"}}"#
        )
        .unwrap();
    }
    lines
}

#[test]
fn spans_name_who_works_longer_though_all_signals_are_still() {
    let slow = spans(90);
    let case = case(0.0, 0.0, &[("spans.ndjson", slow.as_str())]);
    let printed = replayed(&case, &[]);
    assert_eq!(printed["verdict"], "shelf", "{printed}");
    assert_eq!(printed["suspects"][0]["for"][0]["signal"], "own_time_ms");
    let without = replayed(&case, &["--without", "spans"]);
    assert_eq!(without["verdict"], Value::Null);
}

#[test]
fn whom_a_caller_waits_for_is_known_from_spans_where_no_calls_are_recorded() {
    let calls = spans(10);
    let case = case(0.0, 0.0, &[("spans.ndjson", calls.as_str())]);
    let path = case.path().join("metrics.csv");
    let waits = std::fs::read_to_string(&path).unwrap();
    let waits = waits.lines().enumerate().map(|(row, line)| {
        let wait = 10 + row % 7 + if row > ONSET as usize { 900 } else { 0 };
        let cell = if row == 0 {
            "shop|client_latency".into()
        } else {
            wait.to_string()
        };
        format!("{line},{cell}\n")
    });
    std::fs::write(&path, waits.collect::<String>()).unwrap();
    assert_eq!(replayed(&case, &[])["verdict"], "shelf");
    let without = replayed(&case, &["--without", "topology"]);
    assert_eq!(without["verdict"], "shop");
}
