use proptest::prelude::*;

use super::*;

fn read(logs: &str, spans: &str, changes: &str) -> Told {
    let mut told = Told::default();
    told.read_logs(logs.as_bytes(), 100.0).unwrap();
    told.read_spans(spans.as_bytes(), 100.0, 10.0).unwrap();
    told.read_changes(changes.as_bytes(), 100.0).unwrap();
    told
}

#[test]
fn a_warning_is_a_complaint_and_what_comes_after_the_reference_is_not_seen() {
    let logs = r#"{"time":1,"component":"a","severity":"INFO","text":"fine","attributes":{}}
{"time":2,"component":"a","severity":"Warn","text":"slow"}
{"time":101,"component":"a","severity":"ERROR","text":"later"}"#;
    let told = read(logs, "", "");
    let notes: Vec<_> = told
        .notes
        .iter()
        .map(|n| (n.text.as_str(), n.bad))
        .collect();
    assert_eq!(notes, [("fine", false), ("slow", true)]);
}

#[test]
fn spans_tell_calls_and_failures_and_peers_outside() {
    let spans = r#"{"time":1,"component":"a","trace_id":"t","span_id":"1","parent_id":null,"status":"OK","name":"Buy"}
{"time":1,"component":"b","trace_id":"t","span_id":"2","parent_id":"1","status":"ERROR","name":"Pay","error":"no","peer.service":"bank"}
{"time":1,"component":"b","trace_id":"other","span_id":"3","parent_id":"1","status":"OK"}"#;
    let told = read("", spans, "");
    let edge = Edge {
        caller: "a".into(),
        callee: "b".into(),
    };
    assert_eq!(told.edges, [edge]);
    assert_eq!(told.operations, ["Buy", "Pay"]);
    let notes: Vec<_> = told
        .notes
        .iter()
        .map(|n| (n.text.as_str(), n.outside))
        .collect();
    assert_eq!(notes, [("no", true)]);
}

#[test]
fn a_change_is_read_with_all_its_words_and_files() {
    let changes = r#"{"time":1,"component":"a","id":"c","kind":"deploy","details":{"message":"new pool","files_changed":["db/pool.rs"]}}"#;
    let told = read("", "", changes);
    assert_eq!(told.changes[0].files, ["db/pool.rs"]);
    assert!(told.changes[0].text.contains("new pool"));
}

#[test]
fn a_line_out_of_form_is_refused_and_counted() {
    let told = read("{}\nnot json\n{\"time\":1,\"component\":\"a\"}", "[]", "");
    assert_eq!((told.notes.len(), told.refused), (1, 3));
}

#[test]
fn a_line_without_end_is_refused_and_the_next_one_read() {
    let long = "x".repeat(LONGEST_LINE_BYTES as usize + 10);
    let fine = r#"{"time":1,"component":"a"}"#;
    let told = read(&format!("{fine}\n{long}\n{fine}\n{long}"), "", "");
    assert_eq!((told.notes.len(), told.refused), (2, 2));
}

#[test]
fn a_status_is_a_failure_by_its_word_or_its_number() {
    for failed in [
        "\"ERROR\"",
        "\"Error\"",
        "\"STATUS_CODE_ERROR\"",
        "2",
        "\"13\"",
        "503",
    ] {
        assert!(
            is_failure(&serde_json::from_str(failed).unwrap()),
            "{failed}"
        );
    }
    for fine in [
        "null",
        "\"OK\"",
        "\"\"",
        "\"UNSET\"",
        "0",
        "1",
        "\"200\"",
        "404",
    ] {
        assert!(!is_failure(&serde_json::from_str(fine).unwrap()), "{fine}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_without_a_panic(text in "\\PC*", bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for text in [text.as_str(), &String::from_utf8_lossy(&bytes)] {
            let told = read(text, text, text);
            prop_assert!(told.refused <= 3 * text.lines().count());
        }
    }

    #[test]
    fn a_long_text_is_cut_between_letters(text in "[aäß日]{0,20000}") {
        prop_assert!(shortened(text).len() <= LONGEST_TEXT_BYTES);
    }
}
