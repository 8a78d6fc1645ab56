//! Joining, renewing and coming back, over real sockets and mutual TLS, against a collector of the test's own.

#![allow(clippy::unwrap_used, reason = "a test says what failed by panicking")]

mod collector;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use firstlook_journal::{Entry, Journal, JournalConfig, Shed};
use firstlook_model::{ConfigReport, HostId, LinesQuestion, RecordClass, WantedConfig};
use firstlook_uplink::{
    Identity, JoinError, JoinRequest, LinesEvent, RequestHandler, SnapshotEvent, SnapshotRequest,
    Uplink, join,
};
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use collector::{Authority, Collector, Kept, SECRET};

struct NoSnapshots;

impl RequestHandler for NoSnapshots {
    fn take_snapshot(&self, _: SnapshotRequest) -> mpsc::Receiver<SnapshotEvent> {
        mpsc::channel(1).1
    }

    fn read_lines(&self, _: LinesQuestion) -> mpsc::Receiver<LinesEvent> {
        mpsc::channel(1).1
    }

    fn configure(&self, _: WantedConfig) {}

    fn reports(&self) -> watch::Receiver<Option<ConfigReport>> {
        watch::channel(None).1
    }
}

fn request(collector: &str, token: &str, name: &str) -> JoinRequest {
    JoinRequest {
        collector: collector.to_owned(),
        token: token.to_owned(),
        name: HostId::new(name).unwrap(),
    }
}

async fn joined(collector: &Collector, dir: &Path) -> Identity {
    let token = collector.authority.token(SECRET);
    join(request(&collector.url(), &token, "h1"), dir)
        .await
        .unwrap()
}

fn journal(dir: &Path) -> Journal {
    Journal::open(&dir.join("journal"), JournalConfig::default())
        .unwrap()
        .journal
}

fn append(journal: &Journal, appended: &Notify, count: usize) {
    for _ in 0..count {
        let bytes = journal.last().unwrap().0.to_le_bytes().to_vec();
        let entry = Entry {
            class: RecordClass::Facts,
            bytes,
        };
        journal.append(&[entry], &[], &Shed::default()).unwrap();
        appended.notify_one();
    }
}

fn uplink(identity: Identity, dir: &Path, journal: &Journal, appended: &Arc<Notify>) -> Uplink {
    let (journal, appended) = (journal.clone(), Arc::clone(appended));
    Uplink::new(
        identity,
        dir.to_owned(),
        "boot".into(),
        "0",
        journal,
        appended,
        Arc::new(NoSnapshots),
    )
}

#[tokio::test]
async fn joins_once_and_keeps_what_the_collector_decided() {
    let (dir, kept) = (tempfile::tempdir().unwrap(), Kept::default());
    let collector = Collector::start(Authority::new(), &kept).await;
    let identity = joined(&collector, dir.path()).await;
    assert_eq!(identity.host.as_str(), "h1");
    assert_eq!(Identity::load(dir.path()).unwrap().host, identity.host);
    assert_eq!(kept.secrets(), [SECRET]);
    let again = join(
        request(&collector.url(), &collector.authority.token(SECRET), "h2"),
        dir.path(),
    );
    assert!(matches!(again.await, Err(JoinError::Joined(host)) if host.as_str() == "h1"));
    assert_eq!(
        kept.secrets().len(),
        1,
        "the second token was used up for nothing"
    );
}

#[tokio::test]
async fn never_says_the_secret_to_a_collector_of_another_authority() {
    let (dir, kept) = (tempfile::tempdir().unwrap(), Kept::default());
    let collector = Collector::start(Authority::new(), &kept).await;
    let foreign = Authority::new().token(SECRET);
    let refused = join(request(&collector.url(), &foreign, "h1"), dir.path()).await;
    assert!(
        matches!(refused, Err(JoinError::Untrusted { .. })),
        "{refused:?}"
    );
    assert!(kept.secrets().is_empty());
    assert!(!Identity::exists(dir.path()));
}

#[tokio::test]
async fn never_says_the_secret_to_one_that_merely_shows_the_right_authority() {
    // The true authority's certificate is public: showing it proves nothing without a signature of its key.
    let (dir, kept) = (tempfile::tempdir().unwrap(), Kept::default());
    let honest = Authority::new();
    let token = honest.token(SECRET);
    let collector = Collector::start(Authority::showing(&honest), &kept).await;
    let refused = join(request(&collector.url(), &token, "h1"), dir.path()).await;
    assert!(
        matches!(refused, Err(JoinError::Untrusted { .. })),
        "{refused:?}"
    );
    assert!(kept.secrets().is_empty());
}

#[tokio::test]
async fn says_why_it_cannot_join() {
    let (dir, kept) = (tempfile::tempdir().unwrap(), Kept::default());
    let collector = Collector::start(Authority::new(), &kept).await;
    let (url, good) = (collector.url(), collector.authority.token(SECRET));
    let used = collector.authority.token("used");
    let try_join = async |url: &str, token: &str, name: &str| {
        join(request(url, token, name), dir.path())
            .await
            .unwrap_err()
    };
    assert!(matches!(
        try_join(&url, "flj1.x", "h1").await,
        JoinError::Token
    ));
    assert!(matches!(
        try_join(&url, &used, "h1").await,
        JoinError::Refused(_)
    ));
    assert!(matches!(
        try_join(&url, &good, "taken").await,
        JoinError::NameTaken(_)
    ));
    assert!(matches!(
        try_join("http://127.0.0.1", &good, "h1").await,
        JoinError::Address(_)
    ));
    // A port that was free a moment ago.
    let free = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let nobody = format!("https://{free}");
    assert!(matches!(
        try_join(&nobody, &good, "h1").await,
        JoinError::Unreachable { .. }
    ));
    assert!(
        !Identity::exists(dir.path()),
        "a failure left something behind"
    );
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_does_not_cost_the_token() {
    let (dir, kept) = (tempfile::tempdir().unwrap(), Kept::default());
    let collector = Collector::start(Authority::new(), &kept).await;
    let blocked = dir.path().join("file");
    std::fs::write(&blocked, "in the way").unwrap();
    let token = collector.authority.token(SECRET);
    let failed = join(
        request(&collector.url(), &token, "h1"),
        &blocked.join("state"),
    )
    .await;
    assert!(matches!(failed, Err(JoinError::Identity(_))), "{failed:?}");
    assert!(kept.secrets().is_empty());
}

#[tokio::test]
async fn everything_arrives_once_through_restarts_of_the_collector() {
    let (dir, kept) = (tempfile::tempdir().unwrap(), Kept::default());
    let mut collector = Collector::start(Authority::new(), &kept).await;
    let identity = joined(&collector, dir.path()).await;
    let (journal, appended) = (journal(dir.path()), Arc::new(Notify::new()));
    let uplink = uplink(identity, dir.path(), &journal, &appended);
    let (status, stop) = (uplink.status(), CancellationToken::new());
    let epoch = journal.epoch().0;
    let drive = async {
        for round in 1..=3 {
            append(&journal, &appended, 10);
            kept.until(|kept| kept.last(epoch) >= 5 + 10 * (round - 1))
                .await;
            // Every connection dies midway.
            collector = collector.restart(&kept).await;
        }
        append(&journal, &appended, 5);
        kept.until(|kept| kept.last(epoch) >= 35).await;
        while journal.bytes() > 0 {
            tokio::task::yield_now().await;
        }
        stop.cancel();
    };
    tokio::join!(uplink.run(stop.clone()), drive);
    assert_eq!(kept.sequences(epoch), (1..=35).collect::<Vec<_>>());
    assert!(kept.hosts().iter().all(|host| host == "h1"));
    assert!(status.sessions.load(Ordering::Relaxed) >= 4);
    assert!(!status.connected.load(Ordering::Relaxed));
}

#[tokio::test]
async fn a_certificate_past_two_thirds_of_its_life_is_renewed_and_kept() {
    let (dir, kept) = (tempfile::tempdir().unwrap(), Kept::default());
    let collector = Collector::start(Authority::new(), &kept).await;
    kept.issue_with_age(Duration::from_secs(20 * 3600));
    let old = joined(&collector, dir.path()).await;
    kept.issue_with_age(Duration::ZERO);
    let (journal, appended) = (journal(dir.path()), Arc::new(Notify::new()));
    append(&journal, &appended, 1);
    let (old_expires, epoch) = (old.expires, journal.epoch().0);
    let uplink = uplink(old, dir.path(), &journal, &appended);
    let stop = CancellationToken::new();
    tokio::join!(uplink.run(stop.clone()), async {
        kept.until(|kept| kept.last(epoch) == 1).await;
        stop.cancel();
    });
    let new = Identity::load(dir.path()).unwrap();
    assert!(new.expires > old_expires);
    assert_eq!(new.host.as_str(), "h1");
    let serials = kept.serials();
    assert_ne!(
        serials.first(),
        serials.last(),
        "the session ran on the old certificate"
    );
}
