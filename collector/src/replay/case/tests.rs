//! What is read of a case, and what is refused.

use proptest::prelude::*;

use super::*;

#[test]
fn an_empty_cell_is_no_observation() {
    let series = metrics("time,a|b|cpu,c|mem\n1,2,\n2,,4\n3,NaN,nan\n").unwrap();
    assert_eq!(series[0].component, "a|b");
    assert_eq!(series[0].points, [(1.0, 2.0)]);
    assert_eq!(series[1].points, [(2.0, 4.0)]);
}

#[test]
fn what_is_not_in_its_form_is_refused() {
    for text in [
        "",
        "a|b\n",
        "time,cpu\n",
        "time,a|b\n1\n",
        "time,a|b\n1,x\n",
        "time,a|b\n2,1\n1,1\n",
        "time,a|b\n1,inf\n",
    ] {
        assert!(metrics(text).is_err(), "{text:?}");
    }
}

#[test]
fn a_history_ends_one_interval_before_the_recording() {
    let mut series = metrics("time,a|b\n100,1\n").unwrap();
    prepend(
        &mut series,
        metrics("time,a|b,c|d\n1,5,6\n2,7,8\n").unwrap(),
        10.0,
    );
    assert_eq!(series[0].points, [(89.0, 5.0), (90.0, 7.0), (100.0, 1.0)]);
    assert_eq!(series[1].points, [(89.0, 6.0), (90.0, 8.0)]);
}

#[test]
fn an_unknown_file_is_reported_and_the_future_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    put(
        "case.json",
        r#"{"set":"s","reference_time":2,"alarm":{"time":1},"new":[]}"#,
    );
    put("metrics.csv", "time,a|b\n1,1\n2,1\n3,1\n");
    put("notes.txt", "");
    let case = read(folder.path(), &[]).unwrap();
    assert_eq!(case.unknown_files, ["notes.txt"]);
    assert_eq!(case.series[0].points.len(), 2);
}

#[test]
fn calls_are_read_and_what_is_no_call_is_refused() {
    let read = edges("caller,callee\na,b\n").unwrap();
    assert_eq!((&*read[0].caller, &*read[0].callee), ("a", "b"));
    assert!(edges("a,b\n").is_err());
    assert!(edges("caller,callee\na\n").is_err());
}

proptest! {
    #[test]
    fn what_was_written_is_read(values in prop::collection::vec(-1e9f64..1e9, 0..30)) {
        let mut text = String::from("time,a|b\n");
        for (time, value) in values.iter().enumerate() {
            text.push_str(&format!("{time},{value}\n"));
        }
        let read: Vec<f64> = metrics(&text).unwrap()[0].points.iter().map(|p| p.1).collect();
        prop_assert_eq!(read, values);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "(time,)?[a|,0-9.\n-]{0,60}") {
        let _: anyhow::Result<Vec<Series>> = metrics(&text);
    }

    #[test]
    fn any_calls_are_read_or_refused(text in "(caller,callee\n)?[ab,\n]{0,40}") {
        let _: anyhow::Result<Vec<Edge>> = edges(&text);
    }
}
