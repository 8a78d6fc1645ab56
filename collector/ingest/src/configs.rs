//! Telling an agent which configuration is wanted of it, and hearing how that fares.
//!
//! A session looks itself, with each message that it hears, whether something else is wanted than what it told: agents speak
//! every second, so nothing has to be pushed, and nothing that was pushed can be lost.

use std::sync::Arc;

use firstlook_model::{ConfigReport, WantedConfig};
use firstlook_proto::wire;
use firstlook_proto::wire::collector_message::Kind as Say;
use tonic::Status;

use crate::counters::IngestCounters;
use crate::ledger::Ledger;
use crate::session::Session;

/// Reports heard in one session; agents send two or three of each version. What is beyond it is counted and not kept.
const REPORTS_LIMIT: u32 = 1_000;

/// What the agent of a session was told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// The version; `None` until it was told one.
    version: Option<u64>,
    /// What it said that it runs when it came.
    running: u64,
    /// [`crate::Sessions::configurations`] when it was last looked.
    looked: Option<u64>,
    reports: u32,
    last: Option<ConfigReport>,
}

impl Told {
    /// Nothing yet; it runs this version.
    pub fn running(version: u64) -> Self {
        Self {
            running: version,
            ..Self::default()
        }
    }

    /// Whether the agent has to be told: of nothing only when it knows something else.
    fn differs(&self, wanted: &WantedConfig) -> bool {
        match self.version {
            Some(version) => version != wanted.version,
            None => wanted.version != 0 || self.running != 0,
        }
    }
}

impl<L: Ledger> Session<'_, L> {
    /// Tells the agent what is wanted, if that has changed.
    ///
    /// # Errors
    /// When the agent does not read.
    pub async fn configure(&mut self) -> Result<(), Status> {
        // Before what is wanted is read: a change meanwhile is seen the next time.
        let now = self.shared.sessions.configurations();
        if self.told.looked == Some(now) {
            return Ok(());
        }
        let (ledger, host) = (Arc::clone(&self.shared.ledger), self.host.clone());
        let read = tokio::task::spawn_blocking(move || ledger.wanted(&host)).await;
        let wanted = match read {
            Ok(Ok(wanted)) => wanted.unwrap_or_default(),
            Ok(Err(error)) => {
                tracing::error!(host = %self.host, %error, "wanted configuration not read");
                return Ok(());
            }
            Err(_) => return Err(Status::internal("ledger task failed")),
        };
        if self.told.differs(&wanted) {
            self.told.version = Some(wanted.version);
            tracing::info!(host = %self.host, version = wanted.version, "configuration is told");
            self.say(Say::Configure(wanted.into())).await?;
        }
        self.told.looked = Some(now);
        Ok(())
    }

    /// Keeps what the agent says. What cannot be kept is counted: the session's records matter more.
    ///
    /// # Errors
    /// When the task that keeps it fails.
    pub async fn configured(&mut self, said: wire::Configured) -> Result<(), Status> {
        let lost = || IngestCounters::add(&self.shared.counters.lost_config_reports, 1);
        self.told.reports = self.told.reports.saturating_add(1);
        let report = match ConfigReport::try_from(said) {
            Ok(report) if self.told.reports <= REPORTS_LIMIT => report,
            Ok(_) => {
                lost();
                return Ok(());
            }
            Err(error) => {
                tracing::warn!(host = %self.host, %error, "report of a configuration refused");
                lost();
                return Ok(());
            }
        };
        if self.told.last.as_ref() == Some(&report) {
            return Ok(());
        }
        self.told.last = Some(report.clone());
        let (ledger, host) = (Arc::clone(&self.shared.ledger), self.host.clone());
        let received = (self.shared.clock)();
        let kept =
            tokio::task::spawn_blocking(move || ledger.configured(&host, report, received)).await;
        match kept {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                tracing::error!(host = %self.host, %error, "report of a configuration not kept");
                lost();
                Ok(())
            }
            Err(_) => Err(Status::internal("ledger task failed")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_told_of_nothing_only_when_it_runs_something() {
        let wanted = |version| WantedConfig {
            version,
            text: String::new(),
        };
        let fresh = Told::running(0);
        assert!(!fresh.differs(&wanted(0)) && fresh.differs(&wanted(1)));
        let runs = Told::running(3);
        assert!(runs.differs(&wanted(0)) && runs.differs(&wanted(3)));
        let told = Told {
            version: Some(3),
            ..Told::running(0)
        };
        assert!(!told.differs(&wanted(3)));
        assert!(told.differs(&wanted(0)) && told.differs(&wanted(4)));
    }
}
