use proptest::prelude::*;

use super::*;

fn read(text: &str) -> (Vec<Sample>, u64) {
    read_in_pieces(&[text.as_bytes()])
}

fn read_in_pieces(pieces: &[&[u8]]) -> (Vec<Sample>, u64) {
    let (mut exposition, mut samples) = (Exposition::default(), Vec::new());
    for piece in pieces {
        exposition.feed(piece, &mut |sample| samples.push(sample));
    }
    exposition.finish(&mut |sample| samples.push(sample));
    (samples, exposition.refused)
}

fn one(line: &str) -> (String, f64) {
    let (mut samples, refused) = read(line);
    assert_eq!((samples.len(), refused), (1, 0), "{line}");
    let sample = samples.remove(0);
    (sample.signal, sample.value)
}

#[test]
fn a_sample_has_its_labels_in_its_name() {
    for (line, signal, value) in [
        ("up 1", "up", 1.0),
        ("  up\t-2.5e3 1395066363000\r", "up", -2500.0),
        ("up{} 3", "up", 3.0),
        ("a:b {x=\"1\"} 4", "a:b{x=\"1\"}", 4.0),
        ("a{ z = \"1\" , b = \"2\" , } 5", "a{b=\"2\",z=\"1\"}", 5.0),
        (
            r#"a{p="C:\\x \"y\"\n}"} 6"#,
            r#"a{p="C:\\x \"y\"\n}"}"#,
            6.0,
        ),
        ("a{x=\"é\"} 7 # {trace=\"1\"} 0.1 2", "a{x=\"é\"}", 7.0),
        ("a 8 12.5 # {trace=\"1\"} 0.1", "a", 8.0),
    ] {
        assert_eq!(one(line), (signal.to_owned(), value), "{line}");
    }
}

#[test]
fn what_is_not_finite_is_missing() {
    for line in ["a NaN", "a +Inf", "a -Inf"] {
        assert!(one(line).1.is_nan(), "{line}");
    }
}

#[test]
fn malformed_lines_are_refused_and_counted_and_the_others_taken() {
    for line in [
        "a",
        "a{",
        "a{b} 1",
        "a{b=1} 1",
        "a{b=\"1} 1",
        "a{b=\"1\" c=\"2\"} 1",
        "a{b=\"\\x\"} 1",
        "a{b=\"1\",b=\"2\"} 1",
        "a{b=\"\u{9b}31m\"} 1",
        "a{=\"1\"} 1",
        "1a 1",
        "{\"a.b\"} 1",
        "a one",
        "a 1 two",
        "a 1 2 3",
        "é 1",
    ] {
        let (samples, refused) = read(&format!("{line}\nb 2\n"));
        assert_eq!((samples.len(), refused), (1, 1), "{line}");
    }
    let (samples, refused) = read_in_pieces(&[b"a{b=\"\xff\"} 1\nb 2"]);
    assert_eq!((samples.len(), refused), (1, 1));
}

#[test]
fn a_line_or_name_over_its_limit_is_refused() {
    let long = format!("a{{b=\"{}\"}} 1\nb 2\n", "x".repeat(LINE_LIMIT_BYTES));
    let (samples, refused) = read(&long);
    assert_eq!((samples.len(), refused), (1, 1));
    let fits = "n".repeat(SIGNAL_NAME_LIMIT_BYTES);
    assert_eq!(read(&format!("{fits} 1")).1, 0);
    assert_eq!(read(&format!("{fits}n 1")).1, 1);
    let labels = |count: usize| {
        let labels: Vec<_> = (0..count).map(|n| format!("l{n}=\"\"")).collect();
        format!("a{{{}}} 1", labels.join(","))
    };
    assert_eq!(read(&labels(10)).1, 0);
    assert_eq!(read(&labels(LABELS_LIMIT + 1)).1, 1);
}

#[test]
fn types_say_what_only_rises_and_what_is_a_bucket() {
    use SignalKind::{Counter, Gauge};
    use Unit::{Bytes, Count, Ratio, Seconds};
    let text = "\
        # HELP a_bytes_total What # TYPE says\n# TYPE a_bytes_total counter\na_bytes_total 1\n\
        # TYPE m counter\nm_total 1\n\
        # TYPE g_total gauge\ng_total 1\n\
        # TYPE h_seconds histogram\nh_seconds_bucket{le=\"+Inf\"} 1\nh_seconds_sum 1\nh_seconds_count 1\n\
        # TYPE s_seconds summary\ns_seconds{quantile=\"0.5\"} 1\ns_seconds_sum 1\ns_seconds_count 1\n\
        u_total 1\nu_ratio 1\n# EOF\n";
    let (samples, refused) = read(text);
    let found: Vec<_> = samples
        .iter()
        .map(|s| (s.signal.as_str(), s.kind, s.unit, s.bucket))
        .collect();
    assert_eq!(
        found,
        [
            ("a_bytes_total", Counter, Bytes, false),
            ("m_total", Counter, Count, false),
            ("g_total", Gauge, Count, false),
            ("h_seconds_bucket{le=\"+Inf\"}", Counter, Count, true),
            ("h_seconds_sum", Counter, Seconds, false),
            ("h_seconds_count", Counter, Count, false),
            ("s_seconds{quantile=\"0.5\"}", Gauge, Seconds, false),
            ("s_seconds_sum", Counter, Seconds, false),
            ("s_seconds_count", Counter, Count, false),
            ("u_total", Counter, Count, false),
            ("u_ratio", Gauge, Ratio, false),
        ]
    );
    assert_eq!(refused, 0);
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused_whatever_the_pieces(
        bytes in prop::collection::vec(prop_oneof![
            Just(b'\n'), Just(b'{'), Just(b'}'), Just(b'"'), Just(b'\\'), Just(b'='), Just(b','), Just(b' '), Just(b'#'),
            Just(b'a'), Just(b'1'), any::<u8>(),
        ], 0..300),
        cut in 0_usize..300,
    ) {
        let cut = cut.min(bytes.len());
        let (whole, refused) = read_in_pieces(&[&bytes]);
        let (pieces, refused_in_pieces) = read_in_pieces(&[&bytes[..cut], &bytes[cut..]]);
        prop_assert_eq!(format!("{whole:?}"), format!("{pieces:?}"));
        prop_assert_eq!(refused, refused_in_pieces);
        for sample in whole {
            prop_assert!(sample.signal.len() <= SIGNAL_NAME_LIMIT_BYTES);
            prop_assert!(!sample.signal.chars().any(char::is_control));
        }
    }

    #[test]
    fn what_was_printed_reads_back(
        name in "[a-z_:][a-z0-9_:]{0,20}",
        labels in prop::collection::btree_map("[a-z_][a-z0-9_]{0,5}", "\\PC{0,8}", 0..4),
        value in prop::num::f64::NORMAL,
    ) {
        let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
        let printed: Vec<_> = labels.iter().map(|(n, v)| format!("{n}=\"{}\"", escaped(v))).collect();
        let signal = match printed.is_empty() {
            true => name.clone(),
            false => format!("{name}{{{}}}", printed.join(",")),
        };
        let (samples, refused) = read(&format!("{signal} {value:e}\n"));
        if signal.len() <= SIGNAL_NAME_LIMIT_BYTES {
            prop_assert_eq!(refused, 0);
            prop_assert_eq!(&samples[0].signal, &signal);
            prop_assert_eq!(samples[0].value, value);
        } else {
            prop_assert_eq!(refused, 1);
        }
    }
}

#[test]
fn a_real_exporter_is_understood_but_for_names_over_the_limit() {
    let text = include_str!("../../fixtures/node_exporter.txt");
    let (samples, refused) = read(text);
    let told = text.lines().filter(|line| !line.starts_with('#')).count();
    // `node_os_info` and `node_uname_info` say all in labels.
    assert_eq!((samples.len(), refused), (told - 2, 2));
    let find = |signal: &str| samples.iter().find(|s| s.signal == signal).unwrap();
    let idle = find("node_cpu_seconds_total{cpu=\"0\",mode=\"idle\"}");
    assert_eq!(
        (idle.kind, idle.unit, idle.value),
        (SignalKind::Counter, Unit::Seconds, 32712.16)
    );
    let root = "node_filesystem_avail_bytes{device=\"/dev/vda\",fstype=\"ext4\",mountpoint=\"/\"}";
    let root = find(root);
    assert_eq!(
        (root.kind, root.unit, root.value),
        (SignalKind::Gauge, Unit::Bytes, 36_580_573_184.0)
    );
    assert_eq!(
        find("go_gc_duration_seconds_count").kind,
        SignalKind::Counter
    );
}
