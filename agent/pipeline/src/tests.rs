use std::sync::Arc;
use std::time::Duration;

use firstlook_model::{
    Change, ChangeKind, Checkpoint, ComponentId, Frame, HostId, Lines, LogBlock, LogEntry,
    LogSource, Loss, MetricBlock, Observation, RawLine, Record, Schema, Series, Severity,
    SignalKind, Timestamp, Unit,
};

use crate::{Flushed, LineBudget, Pipeline, PipelineConfig, Rule};

fn host() -> ComponentId {
    ComponentId::host(HostId::new("db1").unwrap())
}

fn pipeline() -> Pipeline {
    Pipeline::new(PipelineConfig::default()).unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_secs(1_700_000_000 + second)
}

fn raw(text: &str) -> RawLine {
    RawLine {
        time: at(0),
        component: host(),
        severity: None,
        source: LogSource::File,
        text: text.to_owned(),
    }
}

fn lines(texts: &[&str]) -> Observation {
    Observation::Lines(Lines {
        lines: texts.iter().map(|t| raw(t)).collect(),
        checkpoints: Vec::new(),
    })
}

fn schema(names: &[&str]) -> Arc<Schema> {
    let series = |name: &&str| Series {
        component: host(),
        signal: (*name).to_owned(),
        unit: Unit::Count,
        kind: SignalKind::Gauge,
    };
    Arc::new(Schema::new(names.iter().map(series).collect()))
}

fn frame(schema: &Arc<Schema>, time: Timestamp, values: &[f64]) -> Observation {
    Observation::Frame(Frame {
        schema: Arc::clone(schema),
        time,
        values: values.to_vec(),
    })
}

fn entries(flushed: &Flushed) -> Vec<LogEntry> {
    blocks(flushed)
        .into_iter()
        .flat_map(|b| b.entries)
        .collect()
}

fn blocks(flushed: &Flushed) -> Vec<LogBlock> {
    flushed
        .records
        .iter()
        .filter_map(|r| match r {
            Record::Logs(block) => Some(block.clone()),
            _ => None,
        })
        .collect()
}

fn metric_blocks(flushed: &Flushed) -> Vec<&MetricBlock> {
    flushed
        .records
        .iter()
        .filter_map(|r| match r {
            Record::Metrics(block) => Some(block),
            _ => None,
        })
        .collect()
}

fn losses(flushed: &Flushed) -> Vec<Loss> {
    flushed
        .records
        .iter()
        .filter_map(|r| match r {
            Record::Losses(losses) => Some(losses.clone()),
            _ => None,
        })
        .flatten()
        .collect()
}

fn schemas(flushed: &Flushed) -> usize {
    flushed
        .records
        .iter()
        .filter(|r| matches!(r, Record::Schema(_)))
        .count()
}

#[test]
fn frames_of_one_schema_become_one_block_after_their_schema() {
    let (mut pipeline, schema) = (pipeline(), schema(&["a", "b"]));
    pipeline.push(frame(&schema, at(0), &[1.0, 2.0]));
    pipeline.push(frame(&schema, at(1), &[3.0, f64::NAN]));
    let flushed = pipeline.flush(at(2));
    assert!(matches!(&flushed.records[0], Record::Schema(s) if s.id() == schema.id()));
    let expected = MetricBlock {
        schema: schema.id(),
        times: vec![at(0), at(1)],
        columns: vec![vec![1.0, 3.0], vec![2.0, f64::NAN]]
            .try_into()
            .unwrap(),
    };
    assert_eq!(flushed.records[1], Record::Metrics(expected));
    assert_eq!(pipeline.flush(at(4)), Flushed::default());
}

#[test]
fn a_schema_is_written_when_it_is_new_and_every_ten_minutes() {
    let (mut pipeline, a, b) = (pipeline(), schema(&["a"]), schema(&["b"]));
    let mut written = Vec::new();
    for second in 0..1_300 {
        let now = if second == 100 { &b } else { &a };
        pipeline.push(frame(now, at(second), &[0.0]));
        if schemas(&pipeline.flush(at(second))) > 0 {
            written.push(second);
        }
    }
    assert_eq!(written, [0, 100, 600, 1_200]);
}

#[test]
fn every_block_can_be_encoded_though_the_clock_steps_back() {
    let (mut pipeline, schema) = (pipeline(), schema(&["a"]));
    for second in [5, 6, 6, 3, 4, 4, 9] {
        pipeline.push(frame(&schema, at(second), &[1.0]));
    }
    pipeline.push(frame(&schema, at(10), &[1.0, 2.0]));
    let flushed = pipeline.flush(at(11));
    let blocks = metric_blocks(&flushed);
    assert_eq!(blocks.len(), 2);
    for block in blocks {
        block.encode(1).unwrap();
    }
    let losses = losses(&flushed);
    let reasons: Vec<_> = losses
        .iter()
        .map(|l| (l.reason.as_str(), l.count))
        .collect();
    assert_eq!(reasons, [("same-time", 2), ("shape", 2)]);
}

#[test]
fn large_schemas_are_cut_into_blocks_that_fit_a_record() {
    let names: Vec<String> = (0..10_000).map(|n| format!("s{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (mut pipeline, schema) = (pipeline(), schema(&names));
    for second in 0..30 {
        // Values that do not compress.
        let values: Vec<f64> = (0..10_000)
            .map(|n| f64::from(n) * 1.1 + second as f64)
            .collect();
        pipeline.push(frame(&schema, at(second), &values));
    }
    let flushed = pipeline.flush(at(30));
    let blocks = metric_blocks(&flushed);
    assert!(blocks.len() > 1);
    assert_eq!(blocks.iter().map(|b| b.times.len()).sum::<usize>(), 30);
    for block in blocks {
        let bytes = block.encode(1).unwrap().len();
        assert!(bytes < firstlook_model::record::RECORD_LIMIT_BYTES);
    }
}

#[test]
fn lines_are_redacted_graded_and_templated() {
    let mut pipeline = pipeline();
    pipeline.push(lines(&[
        "\u{1b}[31mERROR\u{1b}[0m login of 12 with password=C4nary failed",
        "ERROR login of 13 with password=C4nary2 failed",
        "   ",
    ]));
    let flushed = pipeline.flush(at(1));
    let blocks = blocks(&flushed);
    assert_eq!(blocks.len(), 1);
    let text = "ERROR login of <*> with password=[redacted] failed";
    assert_eq!(blocks[0].templates.len(), 1);
    assert_eq!(blocks[0].templates[0].text, text);
    let entries = &blocks[0].entries;
    assert_eq!(entries.len(), 2);
    assert_eq!(
        entries[0].text,
        "ERROR login of 12 with password=[redacted] failed"
    );
    assert!(
        entries
            .iter()
            .all(|e| e.template == blocks[0].templates[0].id)
    );
    assert!(entries.iter().all(|e| e.severity == Severity::Error));
    assert_eq!(pipeline.counters().lines_redacted, 2);
    assert!(losses(&flushed).is_empty());
}

#[test]
fn a_template_is_announced_again_after_ten_minutes() {
    let mut pipeline = pipeline();
    let mut announced = Vec::new();
    for second in 0..1_300 {
        pipeline.push(lines(&["hello world"]));
        let flushed = pipeline.flush(at(second));
        if !blocks(&flushed)[0].templates.is_empty() {
            announced.push(second);
        }
    }
    assert_eq!(announced.len(), 3, "{announced:?}");
}

#[test]
fn severity_yields_to_the_text_only_where_the_source_says_info() {
    let mut pipeline = pipeline();
    for severity in [Some(Severity::Info), Some(Severity::Debug), None] {
        let mut line = raw("ERROR: no space");
        line.severity = severity;
        pipeline.push(Observation::Lines(Lines {
            lines: vec![line],
            checkpoints: Vec::new(),
        }));
    }
    let read: Vec<_> = entries(&pipeline.flush(at(1)))
        .iter()
        .map(|e| e.severity)
        .collect();
    assert_eq!(read, [Severity::Error, Severity::Debug, Severity::Error]);
}

#[test]
fn a_private_key_over_several_lines_is_gone() {
    let mut pipeline = pipeline();
    pipeline.push(lines(&[
        "loading key",
        "-----BEGIN RSA PRIVATE KEY-----",
        "MIIEpAIBAAKCAQEAC4nary",
        "C4naryqwertz",
        "-----END RSA PRIVATE KEY-----",
        "loaded key",
    ]));
    let texts: Vec<_> = entries(&pipeline.flush(at(1)))
        .into_iter()
        .map(|e| e.text)
        .collect();
    assert_eq!(texts.len(), 6);
    assert!(!texts.concat().contains("C4nary"), "{texts:?}");
    assert_eq!(texts[5], "loaded key");
}

#[test]
fn a_flood_is_cut_counted_and_leaves_first_lines_and_other_components_alone() {
    let mut pipeline = Pipeline::new(PipelineConfig {
        lines: LineBudget {
            lines_per_second: 100,
            burst_seconds: 1,
        },
        ..PipelineConfig::default()
    })
    .unwrap();
    let flood: Vec<String> = (0..10_000).map(|n| format!("request {n} served")).collect();
    let mut texts: Vec<&str> = flood.iter().map(String::as_str).collect();
    texts.push("disk is full");
    pipeline.push(lines(&texts));
    let mut quiet = raw("all is well");
    quiet.component = ComponentId::host(HostId::new("db2").unwrap());
    pipeline.push(Observation::Lines(Lines {
        lines: vec![quiet],
        checkpoints: Vec::new(),
    }));
    let flushed = pipeline.flush(at(1));
    let entries = entries(&flushed);
    assert!(entries.len() < 120, "{} were kept", entries.len());
    assert!(entries.iter().any(|e| e.text == "disk is full"));
    assert!(entries.iter().any(|e| e.text == "all is well"));
    let losses = losses(&flushed);
    assert_eq!(losses.len(), 1);
    assert_eq!(
        (losses[0].source.as_str(), losses[0].reason.as_str()),
        ("logs", "rate")
    );
    assert_eq!(losses[0].count + entries.len() as u64, 10_002);
}

#[test]
fn under_pressure_lines_go_first_and_facts_last() {
    let mut pipeline = Pipeline::new(PipelineConfig {
        pending_limit_bytes: 100_000,
        ..PipelineConfig::default()
    })
    .unwrap();
    let long = "x".repeat(1_000);
    for _ in 0..200 {
        pipeline.push(lines(&[&long]));
    }
    let (schema, values) = (schema(&["a", "b"]), [1.0, 2.0]);
    pipeline.push(frame(&schema, at(1), &values));
    assert!(pipeline.pending_bytes() < 60_000);
    let change = |n: usize| Change {
        id: n.to_string(),
        time: at(1),
        component: host(),
        kind: ChangeKind::ConfigFile,
        text: "app.conf".to_owned(),
        detail: "+password = C4nary one\n".repeat(1_000),
    };
    for n in 0..20 {
        pipeline.push(Observation::Changes(vec![change(n)]));
    }
    pipeline.push(frame(&schema, at(2), &values));
    assert!(pipeline.pending_bytes() < 200_000);
    let flushed = pipeline.flush(at(3));
    assert_eq!(pipeline.pending_bytes(), 0);
    let mut lost: Vec<_> = losses(&flushed)
        .into_iter()
        .map(|l| (l.source, l.reason, l.count > 0))
        .collect();
    lost.sort();
    let pending = |source: &str| (source.to_owned(), "pending".to_owned(), true);
    assert_eq!(
        lost,
        [pending("changes"), pending("logs"), pending("metrics")]
    );
    assert!(!format!("{flushed:?}").contains("C4nary"));
    assert_eq!(metric_blocks(&flushed)[0].times.len(), 1);
}

#[test]
fn the_last_checkpoint_of_each_reader_comes_with_the_lines() {
    let mut pipeline = pipeline();
    for position in [1u8, 2] {
        pipeline.push(Observation::Lines(Lines {
            lines: vec![raw("hello")],
            checkpoints: vec![
                Checkpoint {
                    reader: "file:a".to_owned(),
                    position: vec![position],
                },
                Checkpoint {
                    reader: "x".repeat(2_000),
                    position: Vec::new(),
                },
            ],
        }));
    }
    let flushed = pipeline.flush(at(1));
    let expected = Checkpoint {
        reader: "file:a".to_owned(),
        position: vec![2],
    };
    assert_eq!(flushed.checkpoints, [expected]);
    assert_eq!(losses(&flushed)[0].count, 2);
    assert!(pipeline.flush(at(2)).checkpoints.is_empty());
}

#[test]
fn lines_keep_their_template_ids_across_a_restart() {
    let people = [
        "ann", "bob", "cid", "dora", "eve", "finn", "gus", "hal", "ida", "jo",
    ];
    let texts: Vec<String> = people
        .iter()
        .flat_map(|name| {
            let login = format!("session opened for user {name} by system");
            [
                login,
                format!("order of {name} was refused twice"),
                format!("{name} is a rare line"),
            ]
        })
        .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let ids = |pipeline: &mut Pipeline| {
        pipeline.push(lines(&texts));
        let flushed = pipeline.flush(at(1));
        let ids: Vec<_> = entries(&flushed)
            .iter()
            .map(|entry| entry.template)
            .collect();
        (ids, flushed.checkpoints)
    };
    let mut first = pipeline();
    let (learning, kept) = ids(&mut first);
    let (learned, nothing_new) = ids(&mut first);
    assert_ne!(learning, learned, "nothing was generalised");
    assert_eq!(nothing_new, []);
    let stored: std::collections::BTreeMap<_, _> =
        kept.into_iter().map(|c| (c.reader, c.position)).collect();
    assert!(!stored.is_empty());
    let mut second = pipeline();
    second.restore(|name| stored.get(name).cloned(), at(2));
    assert_eq!(ids(&mut second), (learned, Vec::new()));
}

#[test]
fn the_same_observations_give_the_same_records() {
    let run = || {
        let mut pipeline = pipeline();
        let mut all = Vec::new();
        for second in 0..50i64 {
            let texts: Vec<String> = (0..100)
                .map(|n| format!("job {n} of user{second} state {}", ["a", "b"][n % 2]))
                .collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            pipeline.push(lines(&texts));
            all.push(pipeline.flush(at(second).plus(Duration::from_millis(500))));
        }
        all
    };
    assert_eq!(run(), run());
}

#[test]
fn other_rules_hold_from_the_next_line_on_and_unfit_ones_change_nothing() {
    let rule = |pattern: &str| Rule {
        name: "badge".to_owned(),
        pattern: pattern.to_owned(),
    };
    let mut pipeline = pipeline();
    pipeline.push(lines(&["badge b-17 before"]));
    pipeline
        .retune(LineBudget::default(), &[rule("b-[0-9]+")])
        .unwrap();
    pipeline.push(lines(&["badge b-17 after"]));
    assert!(
        pipeline
            .retune(LineBudget::default(), &[rule("(")])
            .is_err()
    );
    pipeline.push(lines(&["badge b-17 still"]));
    pipeline.retune(LineBudget::default(), &[]).unwrap();
    pipeline.push(lines(&["badge b-17 again"]));
    let texts: Vec<_> = entries(&pipeline.flush(at(2)))
        .into_iter()
        .map(|entry| entry.text)
        .collect();
    let expected = [
        "badge b-17 before",
        "badge [redacted] after",
        "badge [redacted] still",
        "badge b-17 again",
    ];
    assert_eq!(texts, expected);
}
