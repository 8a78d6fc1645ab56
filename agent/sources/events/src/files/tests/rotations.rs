//! Rotation by copying, packing and renaming, where copies and neighbours are about.

use super::*;

#[test]
fn what_was_written_before_copy_and_truncate_is_read_from_the_copy() {
    for restart in [false, true] {
        let mut bench = Bench::new();
        bench.append("app.log", "first line\n");
        bench.read();
        if restart {
            bench.restart();
        }
        bench.append("app.log", "not read yet\n");
        bench.copy("app.log", "app.log-20260101");
        bench.truncate("app.log", 0);
        bench.append("app.log", "x\n");
        let mut read = bench.read();
        read.sort();
        assert_eq!(
            (read, bench.lost),
            (vec!["not read yet".to_owned(), "x".to_owned()], 0)
        );
        bench.restart();
        assert_eq!(bench.read(), Vec::<String>::new());
    }
}

#[test]
fn truncation_without_a_copy_is_counted_where_lines_may_be_gone() {
    for (restart, lost) in [(false, 0), (true, 1)] {
        let mut bench = Bench::new();
        bench.append("app.log", "a\nb\n");
        bench.read();
        if restart {
            bench.restart();
        }
        bench.truncate("app.log", 0);
        bench.append("app.log", "x\n");
        assert_eq!((bench.read(), bench.lost), (vec!["x".to_owned()], lost));
    }
}

#[test]
fn copy_that_the_glob_takes_too_is_not_read_twice() {
    let mut bench = Bench::with_neighbours();
    let long = "a line that is long enough to prove whose beginning it is, by any measure\n";
    bench.append("app.log", long);
    assert_eq!(bench.read().len(), 1);
    bench.append("app.log", "late\n");
    bench.copy("app.log", "app.log.1");
    assert_eq!(bench.read(), ["late"]);
    bench.append("app.log", "later\n");
    bench.copy("app.log", "app.log.1");
    bench.truncate("app.log", 0);
    bench.append("app.log", "x\n");
    let mut read = bench.read();
    read.sort();
    assert_eq!(read, ["later", "x"]);
    bench.restart();
    assert_eq!(bench.read(), Vec::<String>::new());
}

#[test]
fn renamed_file_that_the_glob_takes_too_is_not_read_twice() {
    let mut bench = Bench::with_neighbours();
    bench.append("app.log", "a\n");
    bench.read();
    bench.append("app.log", "b\n");
    bench.rename("app.log", "app.log.1");
    bench.append("app.log", "c\n");
    let mut read = bench.read();
    read.sort();
    assert_eq!(read, ["b", "c"]);
}

#[test]
fn file_that_is_packed_after_rotation_is_read_to_its_end_from_the_open_one() {
    let mut bench = Bench::with_neighbours();
    bench.append("app.log", "a\n");
    bench.read();
    bench.append("app.log", "b\n");
    bench.rename("app.log", "app.log.1");
    bench.append("app.log.1.gz", "packed\n");
    fs::remove_file(bench.path("app.log.1")).unwrap();
    bench.append("app.log", "c\n");
    let mut read = bench.read();
    read.sort();
    assert_eq!(
        (read, bench.lost),
        (vec!["b".to_owned(), "c".to_owned()], 0)
    );
}

#[test]
fn file_packed_while_the_agent_was_down_is_counted() {
    let mut bench = Bench::new();
    bench.append("app.log", "a\n");
    bench.read();
    bench.restart();
    bench.rename("app.log", "kept so that the inode is not used again");
    bench.append("app.log.1.gz", "packed\n");
    bench.append("app.log", "b\n");
    assert_eq!((bench.read(), bench.lost), (vec!["b".to_owned()], 1));
}

/// Where a file system keeps no birth time, a new file may have its predecessor's identity.
#[test]
fn inode_that_appears_again_with_another_content_is_another_file() {
    let mut bench = Bench::new();
    bench.append("app.log", "old one\nold two\n");
    bench.read();
    bench.restart();
    let position = {
        let mut stored = bench.stored.0.lock().unwrap();
        let key = stored.keys().find(|key| key.starts_with("file:")).cloned();
        stored.remove(&key.unwrap()).unwrap()
    };
    bench.rename("app.log", "elsewhere");
    bench.append("app.log", "new one\nnew two\nnew three\n");
    let identity = Identity::of(&fs::metadata(bench.path("app.log")).unwrap());
    let mut stored = bench.stored.0.lock().unwrap();
    stored.insert(format!("file:{}", identity.as_str()), position);
    drop(stored);
    assert_eq!(bench.read(), ["new one", "new two", "new three"]);
}

#[test]
fn file_that_lost_its_end_in_a_power_loss_is_not_read_again() {
    let mut bench = Bench::new();
    let lines: String = (0..200).map(|n| format!("line {n}\n")).collect();
    bench.append("app.log", &lines);
    assert_eq!(bench.read().len(), 200);
    bench.restart();
    bench.truncate("app.log", 1_500);
    assert_eq!((bench.read(), bench.lost), (Vec::new(), 1));
    bench.append("app.log", "\nnew\n");
    assert_eq!(bench.read(), ["new"]);
}

#[test]
fn stack_trace_becomes_one_message_and_is_not_lost_by_a_restart_in_its_midst() {
    let mut bench = Bench::new();
    bench.append(
        "app.log",
        "begin\njava.io.IOException: x\n\tat a.b(C.java:1)\n",
    );
    assert_eq!(bench.read(), ["begin"], "the trace may go on");
    bench.restart();
    bench.append("app.log", "\tat a.b(C.java:2)\nend\n");
    assert_eq!(
        bench.read(),
        [
            "java.io.IOException: x\n\tat a.b(C.java:1)\n\tat a.b(C.java:2)",
            "end"
        ]
    );
    bench.append("app.log", "panic: y\n");
    assert_eq!(bench.read(), Vec::<String>::new());
    bench.pass(1);
    assert_eq!(bench.read(), ["panic: y"]);
    bench.restart();
    assert_eq!(bench.read(), Vec::<String>::new());
}

#[test]
fn rotated_file_that_was_not_finished_when_the_agent_stopped_is_gone_on_with() {
    let mut bench = Bench::new();
    bench.append("app.log", "a\npanic: x\n");
    bench.read();
    bench.rename("app.log", "app.log.1");
    bench.append("app.log", "b\n");
    assert_eq!(bench.read(), ["b"], "the panic may go on");
    bench.restart();
    assert_eq!(bench.read(), Vec::<String>::new());
    bench.pass(1);
    assert_eq!((bench.read(), bench.lost), (vec!["panic: x".to_owned()], 0));
}

#[test]
fn trace_held_when_its_file_was_truncated_is_handed_over() {
    let mut bench = Bench::new();
    bench.append("app.log", "panic: y\n");
    assert_eq!(bench.read(), Vec::<String>::new());
    bench.truncate("app.log", 0);
    bench.append("app.log", "x\n");
    assert_eq!(bench.read(), ["panic: y", "x"]);
}

#[test]
fn what_is_cut_off_long_lines_is_counted() {
    let mut bench = Bench::new();
    bench.append(
        "app.log",
        format!("{}\nshort\n", "x".repeat(LINE_LIMIT_BYTES + 100)),
    );
    assert_eq!(bench.read().len(), 2);
    assert_eq!(
        (bench.lost, bench.reasons.as_slice()),
        (1, &["line-cut".to_owned()][..])
    );
}

#[test]
fn every_reason_of_a_loss_is_documented() {
    let guide = include_str!("../../../../../../docs/logs-and-changes.md");
    let code = [
        include_str!("../../files.rs"),
        include_str!("../rotation.rs"),
    ]
    .concat();
    let told = code
        .split("lost(\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next());
    let told: BTreeSet<&str> = told.collect();
    assert_eq!(told.len(), 5, "{told:?}");
    for reason in told {
        assert!(guide.contains(&format!("| `{reason}` |")), "{reason}");
    }
}
