use std::path::Path;

use firstlook_journal::JournalConfig;
use firstlook_model::{
    Change, ChangeKind, ComponentId, HostId, Lines, LogSource, RawLine, Sequence,
};
use firstlook_pipeline::PipelineConfig;
use firstlook_proto::convert::decode_record;
use firstlook_sources_events::{BlindSpots, EventSink};

use super::*;
mod canary;

use crate::intake::{Intake, intake};

/// Bytes that may wait before lines do.
const ROOM_BYTES: u64 = 100_000;

fn journal(dir: &Path, budget_bytes: u64) -> Journal {
    Journal::open(&dir.join("journal"), JournalConfig { budget_bytes })
        .unwrap()
        .journal
}

fn beat() -> Beat {
    firstlook_runtime::Pulse::default().part("part", Duration::from_secs(1))
}

fn spool(journal: &Journal) -> (Intake, Spool) {
    spool_of(journal, PipelineConfig::default())
}

fn spool_of(journal: &Journal, config: PipelineConfig) -> (Intake, Spool) {
    let (source, outlet) = intake(BlindSpots::default(), beat());
    let pipeline = Pipeline::new(config).unwrap();
    let appended = Arc::new(Notify::new());
    (
        source,
        Spool::new(
            pipeline,
            journal.clone(),
            Leaving {
                appended,
                uplink: Arc::default(),
                limit_bytes: ROOM_BYTES,
            },
            Recent::default(),
            OwnSeries::new(
                &HostId::new("h1").unwrap(),
                firstlook_sources_probes::Board::new(&[], &HostId::new("h1").unwrap()),
                firstlook_sources_probes::Units::default(),
            ),
            outlet,
            beat(),
        ),
    )
}

fn lines(text: &str, position: &[u8]) -> Lines {
    Lines {
        lines: vec![RawLine {
            time: Timestamp::from_secs(1),
            component: ComponentId::host(HostId::new("h1").unwrap()),
            severity: None,
            source: LogSource::File,
            text: text.to_owned(),
        }],
        checkpoints: vec![Checkpoint {
            reader: "file:1".into(),
            position: position.to_vec(),
        }],
    }
}

fn change() -> Change {
    Change {
        id: "restart:1".to_owned(),
        time: Timestamp::from_secs(1),
        component: ComponentId::host(HostId::new("h1").unwrap()),
        kind: ChangeKind::Restart,
        text: "restarted".to_owned(),
        detail: String::new(),
    }
}

fn records(journal: &Journal) -> Vec<Record> {
    let read = journal.read_after(Sequence(0), usize::MAX).unwrap();
    read.iter()
        .map(|(_, bytes)| decode_record(bytes.clone().into()).unwrap().0)
        .collect()
}

#[tokio::test]
async fn what_was_delivered_before_the_end_is_written_with_its_position() {
    let dir = tempfile::tempdir().unwrap();
    let journal = journal(dir.path(), 1 << 20);
    let (source, spool) = spool(&journal);
    source
        .deliver(lines("password=hunter2 accepted", b"25"))
        .await;
    drop(source);
    let stop = CancellationToken::new();
    stop.cancel();
    spool.run(stop).await;
    let texts: Vec<_> = records(&journal)
        .into_iter()
        .filter_map(|r| match r {
            Record::Logs(block) => Some(block.entries[0].text.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(texts.len(), 1);
    assert!(!texts[0].contains("hunter2"), "{texts:?}");
    assert_eq!(journal.position("file:1").unwrap(), Some(b"25".to_vec()));
}

/// A journal that holds much, beside a collector that takes it in slowly: facts go on, lines wait, and go on with the
/// room. Without a collector the journal decides what to shed.
#[tokio::test]
async fn lines_wait_while_a_collector_that_is_there_makes_room() {
    let dir = tempfile::tempdir().unwrap();
    let journal = journal(dir.path(), 1 << 20);
    let entry = Entry {
        class: RecordClass::Logs,
        bytes: vec![0; ROOM_BYTES as usize + 1],
    };
    journal.append(&[entry], &[], &Shed::default()).unwrap();
    let (source, spool) = spool(&journal);
    let uplink = Arc::clone(&spool.leaving.uplink);
    uplink.connected.store(true, Ordering::Relaxed);
    let stop = CancellationToken::new();
    let position = || journal.position("file:1").unwrap();
    let until = async |met: &dyn Fn() -> bool| {
        while !met() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    let play = async {
        // The first flush tells how full the journal is.
        EventSink::offer(&source, "changes", Observation::Changes(vec![change()]));
        until(&|| journal.last().unwrap() == Sequence(2)).await;
        source.deliver(lines("one line", b"1")).await;
        EventSink::offer(&source, "changes", Observation::Changes(vec![change()]));
        until(&|| journal.last().unwrap() == Sequence(3)).await;
        assert_eq!(position(), None, "the line did not wait");
        journal.acknowledge(journal.epoch(), Sequence(3)).unwrap();
        until(&|| position() == Some(b"1".to_vec())).await;
        stop.cancel();
    };
    tokio::join!(spool.run(stop.clone()), play);
}

/// Lines that come faster than the timer fires wait for the journal; none is dropped, whether the agent runs or ends.
#[tokio::test]
async fn flood_of_lines_waits_for_the_journal() {
    const DELIVERIES: usize = 24;
    const LINES: usize = 500;
    for ended_early in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let journal = journal(dir.path(), 1 << 28);
        let mut config = PipelineConfig {
            pending_limit_bytes: 8 * 1024 * 1024,
            ..PipelineConfig::default()
        };
        config.lines.lines_per_second = 1_000_000;
        let (source, spool) = spool_of(&journal, config);
        let stop = CancellationToken::new();
        if ended_early {
            stop.cancel();
        }
        let deliver = async {
            for _ in 0..DELIVERIES {
                let one = lines(&"word ".repeat(100), b"25");
                let many = vec![one.lines[0].clone(); LINES];
                source.deliver(Lines { lines: many, ..one }).await;
            }
            drop(source);
            stop.cancel();
        };
        tokio::join!(spool.run(stop.clone()), deliver);
        let (mut kept, mut lost) = (0, 0);
        for record in records(&journal) {
            match record {
                Record::Logs(block) => kept += block.entries.len(),
                Record::Losses(losses) => lost += losses.len(),
                _ => {}
            }
        }
        assert_eq!((kept, lost), (DELIVERIES * LINES, 0), "{ended_early}");
    }
}

#[tokio::test]
async fn what_the_journal_shed_is_reported_once() {
    let dir = tempfile::tempdir().unwrap();
    let journal = journal(dir.path(), 400);
    let entry = Entry {
        class: RecordClass::Logs,
        bytes: vec![0; 300],
    };
    journal
        .append(&[entry.clone(), entry.clone()], &[], &Shed::default())
        .unwrap();
    journal.acknowledge(journal.epoch(), Sequence(2)).unwrap();
    let (_source, mut spool) = spool(&journal);
    spool.flush().await;
    spool.flush().await;
    let losses: Vec<_> = records(&journal)
        .into_iter()
        .filter_map(|r| match r {
            Record::Losses(losses) => Some(losses),
            _ => None,
        })
        .flatten()
        .collect();
    assert_eq!(losses.len(), 1);
    assert_eq!(
        (losses[0].source.as_str(), losses[0].count, losses[0].bytes),
        ("journal-logs", 1, 300)
    );
    assert!(journal.shed().unwrap().is_empty());
}

#[tokio::test]
async fn a_journal_that_was_set_aside_is_reported_once() {
    let dir = tempfile::tempdir().unwrap();
    drop(journal(dir.path(), 1 << 20));
    std::fs::write(dir.path().join("journal.opening"), "...").unwrap();
    let journal = journal(dir.path(), 1 << 20);
    let (_source, mut spool) = spool(&journal);
    spool.flush().await;
    spool.flush().await;
    let losses: Vec<_> = records(&journal)
        .into_iter()
        .filter_map(|record| match record {
            Record::Losses(losses) => Some(losses),
            _ => None,
        })
        .flatten()
        .collect();
    let told: Vec<_> = losses
        .iter()
        .map(|loss| (loss.source.as_str(), loss.reason.as_str(), loss.count))
        .collect();
    assert_eq!(told, [("journal", "damaged-and-set-aside", 1)]);
}
