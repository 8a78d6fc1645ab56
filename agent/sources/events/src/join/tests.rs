use proptest::prelude::*;

use super::*;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_000_000 + millis)
}

fn pieces<'a>(texts: &[&'a str]) -> Vec<Piece<'a>> {
    let piece = |text: &&'a str| Piece {
        writer: 1,
        text,
        seen: at(0),
        joins: true,
    };
    texts.iter().map(piece).collect()
}

/// How many lines each message of a text has.
fn lengths(text: &str) -> Vec<usize> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    let plan = plan(&pieces(&lines), at(0), true);
    assert_eq!(plan.released, lines.len());
    plan.groups.iter().map(Vec::len).collect()
}

const JAVA: &str = "\
2026-11-23 08:00:00,123 ERROR [http-7] c.e.shop.Orders - order failed
java.lang.IllegalStateException: no price
\tat com.example.shop.Orders.price(Orders.java:41)
\tat com.example.shop.Orders.place(Orders.java:20)
\tSuppressed: java.io.IOException: closed
\t\tat com.example.shop.Db.close(Db.java:9)
Caused by: java.net.ConnectException: Connection refused
\tat java.base/sun.nio.ch.Net.connect0(Native Method)
\t... 12 more
2026-11-23 08:00:01,000 INFO [http-7] c.e.shop.Orders - next order
";

const PYTHON: &str = "\
ERROR:shop:order failed
Traceback (most recent call last):
  File \"/opt/shop/app.py\", line 12, in price
    return prices[item]
           ~~~~~~^^^^^^
KeyError: 'price'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File \"/opt/shop/app.py\", line 30, in <module>
    main()
shop.errors.Refused: no price
INFO:shop:next order
";

const GO: &str = "\
2026/11/23 08:00:00 listening
panic: runtime error: index out of range [5] with length 3

goroutine 1 [running]:
main.(*Shop).price(0xc000012345, {0x1, 0x2})
\t/srv/shop/main.go:12 +0x1d
main.main()
\t/srv/shop/main.go:5 +0x17
created by main.start in goroutine 1
\t/srv/shop/main.go:3 +0x11
exit status 2
2026/11/23 08:00:01 listening
";

const RUST: &str = "\
thread 'main' panicked at src/main.rs:2:5:
index out of bounds: the len is 3 but the index is 5
stack backtrace:
   0: rust_begin_unwind
             at /rustc/90b35a6/library/std/src/panicking.rs:645:5
  10: shop::main
note: Some details are omitted, run with `RUST_BACKTRACE=full` for a verbose backtrace.
next line
Error: orders cannot be read

Caused by:
    0: file cannot be opened
    1: No such file or directory (os error 2)
last line
";

const NODE: &str = "\
listening on 8080
/srv/shop/app.js:12
    throw new TypeError('no price');
    ^

TypeError: no price
    at price (/srv/shop/app.js:12:11)
    at Object.<anonymous> (/srv/shop/app.js:20:1) {
  code: 'E_PRICE'
}

Node.js v20.11.0
listening on 8080
Error: connect ECONNREFUSED 127.0.0.1:5432
    at TCPConnectWrap.afterConnect [as oncomplete] (node:net:1595:16)
next
";

#[test]
fn stack_traces_of_five_runtimes_become_one_message_each() {
    for (text, expected) in [
        (JAVA, vec![1, 8, 1]),
        (PYTHON, vec![1, 10, 1]),
        (GO, vec![1, 9, 1]),
        (RUST, vec![7, 1, 4, 1]),
        (NODE, vec![1, 9, 1, 2, 1]),
    ] {
        assert_eq!(lengths(text), expected, "{text}");
    }
}

#[test]
fn plain_lines_stay_alone_and_tabs_go_on() {
    for (text, expected) in [
        ("a\nb\nc", vec![1, 1, 1]),
        ("usage:\n  --help\n  --version", vec![1, 1, 1]),
        (
            "ERROR:  duplicate key\nSTATEMENT:  INSERT\n\tINTO orders\n\tVALUES (1)\nLOG:  x",
            vec![1, 3, 1],
        ),
        ("KeyError: x\nat noon", vec![1, 1]),
        ("} else {\n}", vec![1, 1]),
    ] {
        assert_eq!(lengths(text), expected, "{text}");
    }
}

#[test]
fn writers_that_speak_at_once_are_kept_apart() {
    let mut pieces = pieces(&[
        "Traceback (most recent call last):",
        "panic: x",
        "  File \"a.py\", line 1, in f",
        "goroutine 1 [running]:",
        "KeyError: 1",
        "exit status 2",
    ]);
    for (index, piece) in pieces.iter_mut().enumerate() {
        piece.writer = index as u64 % 2;
    }
    let plan = plan(&pieces, at(0), true);
    assert_eq!(plan.groups, [vec![0, 2, 4], vec![1, 3, 5]]);
}

#[test]
fn sources_that_keep_messages_whole_are_left_alone() {
    let mut pieces = pieces(&["x", "\ty"]);
    pieces[1].joins = false;
    assert_eq!(plan(&pieces, at(0), true).groups, [vec![0], vec![1]]);
}

#[test]
fn a_trace_waits_for_its_end_a_quarter_of_a_second_and_plain_lines_do_not() {
    let pieces = pieces(&["started", "java.io.IOException: x", "\tat a.b(C.java:1)"]);
    for (millis, released) in [(0, 1), (249, 1), (250, 3), (-1, 3)] {
        assert_eq!(
            plan(&pieces, at(millis), false).released,
            released,
            "{millis}"
        );
    }
    assert_eq!(plan(&pieces[..1], at(0), false).released, 1);
    assert_eq!(plan(&[], at(0), false), Plan::default());
}

#[test]
fn what_came_behind_a_waiting_trace_waits_with_it() {
    let mut pieces = pieces(&[
        "a plain line",
        "panic: x",
        "another writer's line",
        "more of it",
    ]);
    pieces[2].writer = 2;
    pieces[3].writer = 2;
    assert_eq!(plan(&pieces, at(10), false).released, 1);
    assert_eq!(plan(&pieces, at(300), false).released, 4);
}

#[test]
fn traces_are_cut_at_their_limits_and_go_on_as_one() {
    let frame = format!("\tat {}", "x".repeat(96));
    let mut texts = vec!["java.lang.StackOverflowError"];
    texts.extend(std::iter::repeat_n(frame.as_str(), 1_000));
    let plan = plan(&pieces(&texts), at(0), true);
    assert_eq!(plan.groups.iter().map(Vec::len).sum::<usize>(), 1_001);
    assert!(plan.groups.len() < 20, "{} messages", plan.groups.len());
    for group in &plan.groups {
        assert!(text(group, |index| texts[index]).len() <= LINE_LIMIT_BYTES);
        assert!(group.len() <= GROUP_LIMIT_LINES);
    }
}

fn line() -> impl Strategy<Value = String> {
    let known = [JAVA, PYTHON, GO, RUST, NODE]
        .map(|text| text.lines().collect::<Vec<_>>())
        .concat();
    prop_oneof![
        4 => proptest::sample::select(known).prop_map(str::to_owned),
        1 => "\\PC{0,40}",
        1 => "\t[a-z]{0,9000}",
    ]
}

proptest! {
    /// Lines of three writers are read in bursts, and released as time passes.
    #[test]
    fn no_line_is_lost_repeated_or_reordered(
        lines in proptest::collection::vec((0..3_u64, line(), 0..200_i64), 0..120),
        bursts in proptest::collection::vec(1..20_usize, 1..30),
    ) {
        let lines: Vec<_> = lines.into_iter().map(|(w, t, ms)| (w, t.chars().take(LINE_LIMIT_BYTES / 4).collect::<String>(), ms)).collect();
        let (mut held, mut out): (Vec<(usize, Timestamp)>, Vec<Vec<usize>>) = (Vec::new(), Vec::new());
        let (mut next, mut now) = (0, at(0));
        for burst in bursts.iter().cycle().take(lines.len() + 1) {
            let end = (next + burst).min(lines.len());
            held.extend((next..end).map(|index| (index, now)));
            next = end;
            let step = lines.get(next).map_or(0, |line| line.2);
            now = now.plus(Duration::from_millis(step as u64));
            let pieces: Vec<_> = held.iter().map(|(index, seen)| Piece {
                writer: lines[*index].0, text: &lines[*index].1, seen: *seen, joins: true,
            }).collect();
            let plan = plan(&pieces, now, next == lines.len());
            prop_assert_eq!(plan.groups.iter().map(Vec::len).sum::<usize>(), plan.released);
            out.extend(plan.groups.iter().map(|group| group.iter().map(|at| held[*at].0).collect::<Vec<_>>()));
            held.drain(..plan.released);
        }
        prop_assert!(held.is_empty());
        let firsts: Vec<usize> = out.iter().map(|group| group[0]).collect();
        prop_assert!(firsts.is_sorted());
        for writer in 0..3 {
            let of = |index: &usize| lines[*index].0 == writer;
            let released: Vec<usize> = out.iter().flatten().copied().filter(of).collect();
            let written: Vec<usize> = (0..lines.len()).filter(of).collect();
            prop_assert_eq!(released, written);
        }
        for group in &out {
            prop_assert!(group.iter().all(|index| lines[*index].0 == lines[group[0]].0));
            prop_assert!(text(group, |index| &lines[index].1).len() <= LINE_LIMIT_BYTES);
        }
    }
}
