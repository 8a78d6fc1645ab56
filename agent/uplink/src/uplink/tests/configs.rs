use firstlook_model::{ConfigReport, ConfigState, WantedConfig};
use tokio::sync::watch;

use super::*;

/// Runs whatever is wanted, and says so at once.
pub(super) struct Answers(watch::Sender<Option<ConfigReport>>);

impl Default for Answers {
    /// Runs version 3.
    fn default() -> Self {
        Self(watch::Sender::new(Some(running(3))))
    }
}

fn running(version: u64) -> ConfigReport {
    ConfigReport {
        version,
        state: ConfigState::Running,
        why: String::new(),
        running: version,
    }
}

impl Answers {
    pub(super) fn configure(&self, wanted: WantedConfig) {
        self.0.send_replace(Some(running(wanted.version)));
    }

    pub(super) fn reports(&self) -> watch::Receiver<Option<ConfigReport>> {
        self.0.subscribe()
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_wanted_is_answered_and_a_malformed_wish_is_refused() {
    let mut agent = agent();
    during(&mut agent, async |collector: &mut Collector| {
        let mut visit = collector.visit().await;
        assert_eq!(visit.hello().await.running_config, 3);
        visit.welcome(0).await;
        for version in [7, 7, 8] {
            visit.configure(version, "# a").await;
            let said = visit.configured().await;
            assert_eq!((said.version, said.running), (version, version));
        }
        visit.configure(0, "# none has no text").await;
        let said = visit.configured().await;
        assert_eq!((said.version, said.running), (0, 8));
        assert_eq!(said.state(), wire::ConfigState::Refused);
        visit.configure(9, &"#".repeat(40_000)).await;
        let said = visit.configured().await;
        assert!(said.why.contains("over the limit"), "{said:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_collector_that_wants_nothing_is_told_nothing() {
    let mut agent = agent();
    during(&mut agent, async |collector: &mut Collector| {
        let mut visit = collector.visit().await;
        visit.hello().await;
        visit.welcome(0).await;
        for _ in 0..5 {
            assert!(
                visit.next_is_heartbeat().await,
                "an older one would end the session"
            );
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_message_of_a_kind_that_the_agent_does_not_know_changes_nothing() {
    let mut agent = agent();
    during(&mut agent, async |collector: &mut Collector| {
        let mut visit = collector.visit().await;
        visit.hello().await;
        visit.welcome(0).await;
        // What a message of a newer collector decodes to.
        visit.say_nothing_known().await;
        visit.configure(7, "# a").await;
        assert_eq!(visit.configured().await.running, 7);
    })
    .await;
}
