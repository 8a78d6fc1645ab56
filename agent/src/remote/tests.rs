//! The steward over paused time. Its memory is this process's: what a budget of 8 MiB is over, and one of 64 GiB is not.

use std::path::Path;
use std::pin::Pin;
use std::sync::Mutex;

use firstlook_model::Lines;
use tokio::time::sleep;

use super::*;
use crate::config::Config;

const LENGTH: Duration = Duration::from_secs(60);
const DEAR: &str = "[budget]\nmemory_mib = 8\n";
const FAIR: &str = "[budget]\nmemory_mib = 65536\n[logs]\nlines_per_second = 7\n";

#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl EventSink for Told {
    fn offer(&self, _: &'static str, observation: Observation) {
        if let Observation::Changes(changes) = observation {
            let texts = changes.into_iter().map(|change| change.text);
            self.0.lock().unwrap().extend(texts);
        }
    }

    fn deliver<'a>(&'a self, _: Lines) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(async {})
    }
}

struct Agent {
    desired: Desired,
    tuning: watch::Receiver<Tuning>,
    uplink: Arc<UplinkStatus>,
    blind: BlindSpots,
    lost: Arc<AtomicU64>,
    told: Arc<Told>,
    running: u64,
    /// What is over 8 MiB for certain.
    _ballast: Vec<u8>,
    stop: CancellationToken,
    task: tokio::task::JoinSet<()>,
}

/// An agent with its state in `dir`. It is connected, and has room for this process.
fn start(dir: &Path, file: &str) -> Agent {
    let path = dir.join("agent.toml");
    std::fs::write(&path, file).unwrap();
    let mut config = Config::read(&path).unwrap();
    config.budget.memory_mib = 65_536;
    let host = HostId::new("h1").unwrap();
    let (steward, desired) = Steward::resume(&host, Own::of(&config), dir.to_owned(), LENGTH);
    let (uplink, told) = (Arc::<UplinkStatus>::default(), Arc::<Told>::default());
    uplink.connected.store(true, Ordering::Relaxed);
    let (blind, lost) = (BlindSpots::default(), Arc::<AtomicU64>::default());
    let watched = Watched {
        uplink: Arc::clone(&uplink),
        blind: blind.clone(),
        lost: Arc::clone(&lost),
        sink: Arc::clone(&told) as Arc<dyn EventSink>,
    };
    let (tuning, running) = (steward.tuning(), steward.running());
    let stop = CancellationToken::new();
    let mut task = tokio::task::JoinSet::new();
    task.spawn(steward.run(watched, stop.clone()));
    Agent {
        desired,
        tuning,
        uplink,
        blind,
        lost,
        told,
        running,
        _ballast: vec![1; 16 << 20],
        stop,
        task,
    }
}

impl Agent {
    async fn settled(self) -> Self {
        sleep(LENGTH + EVERY).await;
        self
    }

    fn want(&self, version: u64, text: &str) {
        self.desired.want(WantedConfig {
            version,
            text: text.to_owned(),
        });
    }

    /// The next report with another state than `on-trial`.
    async fn verdict(&self) -> ConfigReport {
        let mut reports = self.desired.reports();
        loop {
            let report = reports.borrow_and_update().clone();
            match report {
                Some(report) if report.state != ConfigState::OnTrial => return report,
                _ => reports.changed().await.unwrap(),
            }
        }
    }

    /// Wants a version that is tried, and gives what became of it.
    async fn tried(&self, version: u64, text: &str) -> ConfigReport {
        self.want(version, text);
        let mut reports = self.desired.reports();
        let begun = |report: &Option<ConfigReport>| {
            let report = report.as_ref();
            report.is_some_and(|r| r.version == version && r.state == ConfigState::OnTrial)
        };
        reports.wait_for(begun).await.unwrap();
        self.verdict().await
    }

    fn lines(&self) -> u32 {
        self.tuning.borrow().lines_per_second
    }

    async fn end(mut self) {
        self.stop.cancel();
        self.task.join_next().await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_version_that_does_no_harm_is_accepted_and_survives() {
    let dir = tempfile::tempdir().unwrap();
    let agent = start(dir.path(), "").settled().await;
    agent.want(3, FAIR);
    sleep(EVERY * 2).await;
    assert_eq!(agent.lines(), 7, "it runs while it is on trial");
    let good = agent.verdict().await;
    assert_eq!(
        (good.state, good.version, good.running),
        (ConfigState::Running, 3, 3)
    );
    agent.end().await;
    let agent = start(dir.path(), "");
    assert_eq!(
        (agent.running, agent.lines()),
        (3, 7),
        "without a word from the collector"
    );
    agent.want(0, "");
    sleep(EVERY).await;
    assert_eq!(agent.lines(), 500);
    assert_eq!(
        *agent.told.0.lock().unwrap(),
        ["no configuration from the collector any more"]
    );
    agent.end().await;
    assert_eq!(start(dir.path(), "").running, 0);
}

#[tokio::test(start_paused = true)]
async fn a_version_with_which_the_agent_does_worse_is_taken_back_told_and_not_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let agent = start(dir.path(), "").settled().await;
    agent.tried(3, FAIR).await;
    let bad = agent.tried(4, DEAR).await;
    assert_eq!(
        (bad.state, bad.version, bad.running),
        (ConfigState::RolledBack, 4, 3)
    );
    assert!(bad.why.contains("budget.memory_mib"), "{}", bad.why);
    assert_eq!(agent.lines(), 7, "back to what ran before");
    let told = agent.told.0.lock().unwrap().clone();
    assert!(
        told[2].starts_with("configuration version 4 was taken back: its memory"),
        "{told:?}"
    );
    for version in [4, 4] {
        agent.want(version, DEAR);
        sleep(EVERY * 2).await;
        assert_eq!(agent.tuning.borrow().budget.memory_mib, 65_536);
    }
    agent.end().await;
    let agent = start(dir.path(), "").settled().await;
    agent.want(4, DEAR);
    sleep(EVERY * 2).await;
    assert_eq!(agent.verdict().await, bad, "after a start, too");
    let insisted = agent.tried(5, DEAR).await;
    assert_eq!(
        (insisted.state, insisted.running),
        (ConfigState::RolledBack, 3)
    );
}

#[tokio::test(start_paused = true)]
async fn lost_records_a_blind_source_and_an_absent_collector_each_end_a_trial() {
    type Harm = fn(&Agent);
    let harms: [(&str, Harm); 3] = [
        ("records", |agent| {
            agent.lost.fetch_add(100, Ordering::Relaxed);
        }),
        ("kmsg", |agent| agent.blind.set("kmsg", "gone")),
        ("no session", |agent| {
            agent.uplink.connected.store(false, Ordering::Relaxed)
        }),
    ];
    for (named, harm) in harms {
        let dir = tempfile::tempdir().unwrap();
        let agent = start(dir.path(), "").settled().await;
        agent.blind.set("strain-logs", "late");
        agent.want(3, FAIR);
        sleep(EVERY * 2).await;
        harm(&agent);
        let bad = agent.verdict().await;
        assert_eq!(
            (bad.state, bad.running),
            (ConfigState::RolledBack, 0),
            "{named}"
        );
        assert!(bad.why.contains(named), "{}", bad.why);
        assert_eq!(agent.lines(), 500);
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_ends_in_a_trial_comes_back_with_what_was_good() {
    let dir = tempfile::tempdir().unwrap();
    let agent = start(dir.path(), "").settled().await;
    agent.want(3, FAIR);
    sleep(EVERY * 2).await;
    assert_eq!(agent.lines(), 7);
    agent.end().await;
    let agent = start(dir.path(), "");
    assert_eq!((agent.running, agent.lines()), (0, 500));
    sleep(EVERY).await;
    assert!(agent.told.0.lock().unwrap()[0].contains("started anew"));
    agent.want(3, FAIR);
    sleep(EVERY).await;
    let bad = agent.verdict().await;
    assert_eq!((bad.state, bad.version), (ConfigState::RolledBack, 3));
}

#[tokio::test(start_paused = true)]
async fn what_the_host_does_not_take_is_refused_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let agent = start(dir.path(), "[remote]\nallow = [\"redact\"]\n")
        .settled()
        .await;
    for (version, text, named) in [
        (3, FAIR, "remote.allow"),
        (4, "[logs]\nlines_per_second = 0", "1 to 1000000 is allowed"),
        (5, "state_dir = \"/tmp\"", "the host's own file"),
    ] {
        agent.want(version, text);
        sleep(EVERY).await;
        let refused = agent.verdict().await;
        assert_eq!(
            (refused.state, refused.version),
            (ConfigState::Refused, version)
        );
        assert!(refused.why.contains(named), "{}", refused.why);
    }
    assert_eq!(
        (agent.lines(), agent.told.0.lock().unwrap().len()),
        (500, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn an_accepted_version_that_the_hosts_file_forbids_later_is_not_applied() {
    let dir = tempfile::tempdir().unwrap();
    let agent = start(dir.path(), "").settled().await;
    agent.tried(3, FAIR).await;
    agent.end().await;
    let agent = start(dir.path(), "[remote]\nallow = []\n");
    assert_eq!((agent.running, agent.lines()), (0, 500));
    agent.want(3, FAIR);
    sleep(EVERY).await;
    // The first minute is waited out before a version is even looked at.
    let agent = agent.settled().await;
    assert_eq!(agent.verdict().await.state, ConfigState::Refused);
    agent.end().await;
    let agent = start(dir.path(), "").settled().await;
    assert_eq!(agent.tried(3, FAIR).await.state, ConfigState::Running);
}

#[tokio::test(start_paused = true)]
async fn a_version_waits_until_there_is_something_to_compare_with() {
    let dir = tempfile::tempdir().unwrap();
    let agent = start(dir.path(), "");
    agent.want(3, FAIR);
    sleep(LENGTH - EVERY * 2).await;
    assert_eq!(agent.lines(), 500);
    sleep(EVERY * 4).await;
    assert_eq!(agent.lines(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_version_that_cannot_be_kept_is_not_tried_until_it_can() {
    let dir = tempfile::tempdir().unwrap();
    let agent = start(dir.path(), "").settled().await;
    // A folder in the file's place: no write can succeed.
    let place = dir.path().join("remote-config.toml");
    std::fs::create_dir(&place).unwrap();
    agent.want(3, FAIR);
    sleep(EVERY).await;
    let refused = agent.verdict().await;
    assert_eq!(refused.state, ConfigState::Refused);
    assert!(refused.why.contains("cannot be kept"), "{}", refused.why);
    assert_eq!(agent.lines(), 500);
    std::fs::remove_dir(&place).unwrap();
    assert_eq!(agent.tried(3, FAIR).await.state, ConfigState::Running);
}
