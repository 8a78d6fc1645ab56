//! Sessions against a collector that the test plays itself, over a pipe in memory and paused time.

mod collector;
mod configs;
mod handler;
mod lines;

use std::collections::BTreeMap;

use firstlook_journal::{Entry, JournalConfig, Shed};
use firstlook_model::{Epoch, HostId, RecordClass, Sequence};
use firstlook_proto::wire::snapshot_piece::Kind as PieceKind;
use proptest::prelude::*;
use tokio::time::timeout;

use self::collector::{Collector, Visit, link};
use self::handler::Handler;
use super::*;
use crate::requests::{LinesEvent, SnapshotEvent, SnapshotRequest};
use firstlook_model::LinesQuestion;

/// Paused time that a test waits for something to be said.
const PATIENCE: Duration = Duration::from_secs(600);

struct Agent {
    uplink: Uplink,
    journal: Journal,
    appended: Arc<Notify>,
    snapshot: mpsc::Sender<SnapshotEvent>,
    _dir: tempfile::TempDir,
}

fn agent() -> Agent {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("journal");
    let journal = Journal::open(&folder, JournalConfig::default())
        .unwrap()
        .journal;
    let made = rcgen::generate_simple_self_signed(vec!["h".to_owned()]).unwrap();
    let (key, pem) = (made.signing_key.serialize_pem(), made.cert.pem());
    let host = HostId::new("h1").unwrap();
    let identity = Identity::new(host, "https://c".into(), key, pem.clone(), pem).unwrap();
    let appended = Arc::new(Notify::new());
    let (snapshot, events) = mpsc::channel(1);
    let uplink = Uplink::new(
        identity,
        dir.path().to_owned(),
        "boot".into(),
        "0",
        journal.clone(),
        Arc::clone(&appended),
        Arc::new(Handler::with(events)),
    );
    Agent {
        uplink,
        journal,
        appended,
        snapshot,
        _dir: dir,
    }
}

impl Agent {
    fn append(&self, lengths: &[usize]) {
        let first = self.journal.last().unwrap().0 + 1;
        let entry = |(length, sequence): (&usize, u64)| Entry {
            class: RecordClass::Facts,
            bytes: content(sequence, *length),
        };
        let entries: Vec<_> = lengths.iter().zip(first..).map(entry).collect();
        self.journal
            .append(&entries, &[], &Shed::default())
            .unwrap();
        self.appended.notify_one();
    }

    fn waiting(&self) -> usize {
        self.journal
            .read_after(Sequence(0), usize::MAX)
            .unwrap()
            .len()
    }
}

fn content(sequence: u64, length: usize) -> Vec<u8> {
    vec![(sequence % 251) as u8; length]
}

/// What a session's part of the property test does.
#[derive(Clone, Debug)]
struct Script {
    append: Vec<usize>,
    /// For each message of records: whether its acknowledgement reaches the agent.
    acknowledged: Vec<bool>,
    /// Whether the collector says why it ends.
    says_why: bool,
}

fn script() -> impl Strategy<Value = Script> {
    let length = prop_oneof![4 => 1usize..5_000, 2 => 200_000usize..700_000];
    (
        prop::collection::vec(length, 0..9),
        prop::collection::vec(any::<bool>(), 0..4),
        any::<bool>(),
    )
        .prop_map(|(append, acknowledged, says_why)| Script {
            append,
            acknowledged,
            says_why,
        })
}

/// A collector's durable part: what it holds by epoch and sequence.
#[derive(Default)]
struct Kept(BTreeMap<(u64, u64), Vec<u8>>);

impl Kept {
    fn last(&self, epoch: u64) -> u64 {
        let range = (epoch, 0)..=(epoch, u64::MAX);
        self.0
            .range(range)
            .next_back()
            .map_or(0, |((_, sequence), _)| *sequence)
    }

    fn keep(&mut self, epoch: u64, batch: wire::RecordBatch) -> u64 {
        for record in batch.records {
            let known = self
                .0
                .insert((epoch, record.sequence), record.record.to_vec());
            // Sent again after an acknowledgement that got lost, at most, and then the same.
            assert!(known.is_none_or(|known| known == record.record));
        }
        self.last(epoch)
    }

    /// Plays the collector for one session; ends it when the script does, or when all is kept.
    async fn serve(&mut self, mut visit: Visit, script: &Script, all: u64) {
        let epoch = visit.hello().await.epoch;
        let mut before = self.last(epoch);
        visit.welcome(before).await;
        let mut acknowledged = script.acknowledged.iter();
        while self.last(epoch) < all {
            let Some(answer) = acknowledged.next() else {
                break;
            };
            let batch = visit.records().await;
            for record in &batch.records {
                assert!(
                    record.sequence > before,
                    "sent twice in a session, or after its welcome"
                );
                before = record.sequence;
            }
            let last = self.keep(epoch, batch);
            if *answer {
                visit.acknowledge(epoch, last).await;
            }
        }
        visit.end(script.says_why).await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn nothing_is_lost_and_nothing_comes_twice(scripts in prop::collection::vec(script(), 1..6)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut agent = agent();
            let mut kept = Kept::default();
            let mut expected = BTreeMap::new();
            let epoch = agent.journal.epoch().0;
            // The last session takes all that is left.
            let patient = Script { append: vec![1], acknowledged: vec![true; 100], says_why: true };
            for script in scripts.iter().chain([&patient]) {
                for (sequence, length) in (agent.journal.last().unwrap().0 + 1..).zip(&script.append) {
                    expected.insert((epoch, sequence), content(sequence, *length));
                }
                agent.append(&script.append);
                let all = agent.journal.last().unwrap().0;
                let (channel, mut collector) = link().await;
                let (ended, ()) = tokio::join!(agent.uplink.converse(channel), async {
                    let visit = collector.visit().await;
                    let served = timeout(PATIENCE, kept.serve(visit, script, all)).await;
                    served.expect("what was appended is sent");
                });
                assert!(ended.is_err(), "only the collector ends these sessions");
            }
            assert!(kept.0 == expected, "{} kept, {} appended", kept.0.len(), expected.len());
        });
    }
}

/// Runs a session until `play` is done with it.
async fn during<T>(agent: &mut Agent, play: impl AsyncFnOnce(&mut Collector) -> T) -> T {
    let (channel, mut collector) = link().await;
    tokio::select! {
        ended = agent.uplink.converse(channel) => panic!("the session ended: {ended:?}"),
        played = timeout(PATIENCE, play(&mut collector)) => played.expect("what is waited for comes"),
    }
}

#[tokio::test(start_paused = true)]
async fn says_that_it_lives_every_second_with_nothing_to_send() {
    during(&mut agent(), async |collector: &mut Collector| {
        let mut visit = collector.visit().await;
        visit.hello().await;
        visit.welcome(0).await;
        visit.heartbeat().await;
        let begun = Instant::now();
        for _ in 0..5 {
            visit.heartbeat().await;
        }
        assert_eq!(begun.elapsed().as_secs(), 5);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn leaves_a_collector_that_reads_but_acknowledges_nothing() {
    let mut agent = agent();
    agent.append(&[10]);
    let (channel, mut collector) = link().await;
    let begun = Instant::now();
    let ended = tokio::select! {
        ended = agent.uplink.converse(channel) => ended,
        () = async {
            let mut visit = collector.visit().await;
            visit.hello().await;
            visit.welcome(0).await;
            loop {
                visit.next().await;
            }
        } => unreachable!(),
    };
    assert!(
        matches!(ended, Err(SessionError::NotAcknowledged)),
        "{ended:?}"
    );
    assert!((30..35).contains(&begun.elapsed().as_secs()));
    assert_eq!(agent.waiting(), 1);
}

#[tokio::test(start_paused = true)]
async fn leaves_a_collector_that_no_longer_reads() {
    let mut agent = agent();
    agent.append(&[900_000; 8]);
    let (channel, mut collector) = link().await;
    let ended = tokio::select! {
        ended = agent.uplink.converse(channel) => ended,
        () = async {
            let mut visit = collector.visit().await;
            visit.hello().await;
            visit.welcome(0).await;
            std::future::pending().await
        } => unreachable!(),
    };
    assert!(
        matches!(ended, Err(SessionError::NotAcknowledged)),
        "{ended:?}"
    );
    assert_eq!(agent.waiting(), 8);
}

#[tokio::test(start_paused = true)]
async fn leaves_a_collector_that_does_not_welcome() {
    let mut agent = agent();
    let (channel, mut collector) = link().await;
    let (ended, _visit) = tokio::join!(agent.uplink.converse(channel), collector.visit());
    assert!(matches!(ended, Err(SessionError::NotWelcomed)), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn pauses_records_but_not_heartbeats_when_told_to_slow_down() {
    let mut agent = agent();
    let (journal, appended) = (agent.journal.clone(), Arc::clone(&agent.appended));
    during(&mut agent, async |collector: &mut Collector| {
        let mut visit = collector.visit().await;
        visit.hello().await;
        visit.welcome(0).await;
        visit.slow(5_000).await;
        visit.heartbeat().await;
        visit.heartbeat().await;
        let entry = Entry {
            class: RecordClass::Facts,
            bytes: vec![1],
        };
        journal.append(&[entry], &[], &Shed::default()).unwrap();
        appended.notify_one();
        let mut heartbeats = 0;
        while visit.next_is_heartbeat().await {
            heartbeats += 1;
        }
        assert!((3..=5).contains(&heartbeats), "{heartbeats}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_acknowledgement_of_more_than_was_sent_takes_only_what_was_sent() {
    let mut agent = agent();
    // More than the window: some is not yet sent when the acknowledgement comes.
    agent.append(&[900_000; 12]);
    during(&mut agent, async |collector: &mut Collector| {
        let mut visit = collector.visit().await;
        let epoch = visit.hello().await.epoch;
        visit.welcome(0).await;
        let mut seen = Vec::new();
        while seen.len() < 12 {
            seen.extend(visit.records().await.records.iter().map(|r| r.sequence));
            visit.acknowledge(epoch, u64::MAX).await;
        }
        assert_eq!(seen, (1..=12).collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn another_epochs_acknowledgement_takes_nothing() {
    let mut agent = agent();
    agent.append(&[10]);
    during(&mut agent, async |collector: &mut Collector| {
        let mut visit = collector.visit().await;
        let epoch = visit.hello().await.epoch;
        visit.welcome(0).await;
        visit.records().await;
        visit.acknowledge(epoch ^ 1, 1).await;
        visit.heartbeat().await;
        visit.heartbeat().await;
    })
    .await;
    assert_eq!(agent.waiting(), 1);
}

#[tokio::test(start_paused = true)]
async fn begins_a_new_epoch_when_the_collector_has_what_the_journal_never_wrote() {
    let mut agent = agent();
    agent.append(&[10, 10]);
    let old = agent.journal.epoch();
    let (channel, mut collector) = link().await;
    let (ended, ()) = tokio::join!(agent.uplink.converse(channel), async {
        let mut visit = collector.visit().await;
        visit.hello().await;
        visit.welcome(70).await;
        visit.closed().await;
    });
    assert!(matches!(ended, Err(SessionError::NewEpoch)), "{ended:?}");
    let sequences = during(&mut agent, async |collector: &mut Collector| {
        let mut visit = collector.visit().await;
        assert_ne!(Epoch(visit.hello().await.epoch), old);
        visit.welcome(0).await;
        let batch = visit.records().await;
        batch.records.iter().map(|r| r.sequence).collect::<Vec<_>>()
    })
    .await;
    assert_eq!(sequences, [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_message_holds_no_more_records_than_a_collector_takes() {
    let mut agent = agent();
    agent.append(&[1; 5_000]);
    during(&mut agent, async |collector: &mut Collector| {
        let mut visit = collector.visit().await;
        visit.hello().await;
        visit.welcome(0).await;
        let mut seen = 0;
        while seen < 5_000 {
            let records = visit.records().await.records.len();
            assert!(records <= 1_000, "{records} records");
            seen += records;
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_travels_while_records_do() {
    let mut agent = agent();
    let (journal, appended) = (agent.journal.clone(), Arc::clone(&agent.appended));
    let events = agent.snapshot.clone();
    during(&mut agent, async |collector: &mut Collector| {
        let mut visit = collector.visit().await;
        visit.hello().await;
        visit.welcome(0).await;
        visit.ask_snapshot(7, "h1-1-00ff").await;
        visit.ask_snapshot(8, "h1-2-00ff").await;
        visit.ask_snapshot(9, "../../etc").await;
        let mut failed = Vec::new();
        for _ in 0..2 {
            let piece = visit.piece().await;
            assert!(matches!(piece.kind, Some(PieceKind::Failed(_))));
            failed.push(piece.request);
        }
        assert_eq!(failed, [8, 9], "one at a time, under a name that is one");
        for part in 0..20u8 {
            events
                .send(SnapshotEvent::Chunk(vec![part; 1_000].into()))
                .await
                .unwrap();
            let entry = Entry {
                class: RecordClass::Facts,
                bytes: vec![part],
            };
            journal.append(&[entry], &[], &Shed::default()).unwrap();
            appended.notify_one();
            // In either order, but neither waits for the other to end.
            let (mut records, mut piece) = (false, None);
            while !(records && piece.is_some()) {
                match visit.next().await.kind {
                    Some(Say::Records(_)) => records = true,
                    Some(Say::Snapshot(got)) => piece = Some(got),
                    _ => {}
                }
            }
            let expected = PieceKind::Chunk(vec![part; 1_000].into());
            assert_eq!(
                piece,
                Some(wire::SnapshotPiece {
                    request: 7,
                    kind: Some(expected)
                })
            );
        }
        let end = SnapshotEvent::End {
            size_bytes: 20_000,
            sha256: vec![1; 32].into(),
        };
        events.send(end).await.unwrap();
        assert!(matches!(visit.piece().await.kind, Some(PieceKind::End(_))));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_ends_without_a_result_is_said_to_have_failed() {
    let mut agent = agent();
    let (gone, _) = mpsc::channel(1);
    drop(std::mem::replace(&mut agent.snapshot, gone));
    during(&mut agent, async |collector: &mut Collector| {
        let mut visit = collector.visit().await;
        visit.hello().await;
        visit.welcome(0).await;
        visit.ask_snapshot(7, "h1-1-00ff").await;
        assert!(matches!(
            visit.piece().await.kind,
            Some(PieceKind::Failed(_))
        ));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_well_when_the_certificate_is_due() {
    let mut agent = agent();
    agent.uplink.identity.begins = Timestamp::from_secs(0);
    agent.uplink.identity.expires = clock::now();
    let (channel, mut collector) = link().await;
    let (ended, _visit) = tokio::join!(
        timeout(Duration::from_secs(60), agent.uplink.converse(channel)),
        async {
            let mut visit = collector.visit().await;
            visit.hello().await;
            visit.welcome(0).await;
            visit
        }
    );
    assert!(matches!(ended, Ok(Ok(()))), "{ended:?}");
}
