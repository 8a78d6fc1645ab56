//! Named tasks with one owner: the first that ends, or a signal, ends them all, within a deadline.

use std::future::Future;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::{Id, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Why a supervisor's tasks were told to stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The stop token was cancelled, as by a signal.
    Asked,
    /// A task that should have gone on returned.
    Returned(String),
    /// A task panicked.
    Panicked(String),
}

/// Owns the tasks of a daemon.
pub struct Supervisor {
    tasks: JoinSet<()>,
    names: Vec<(Id, String)>,
    stop: CancellationToken,
}

impl Supervisor {
    /// Without tasks. Cancelling `stop` asks them all to end.
    pub fn new(stop: CancellationToken) -> Self {
        Self {
            tasks: JoinSet::new(),
            names: Vec::new(),
            stop,
        }
    }

    /// The token that tells tasks to end.
    pub fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Runs `task` under `name`. It must end soon after the stop token is cancelled, and not before.
    pub fn spawn(&mut self, name: &str, task: impl Future<Output = ()> + Send + 'static) {
        let handle = self.tasks.spawn(task);
        self.names.push((handle.id(), name.to_owned()));
    }

    /// Waits until the stop token is cancelled or a task ends by itself, then stops the others; those that
    /// are not done within `grace` are aborted and named in the log.
    pub async fn run(mut self, grace: Duration) -> Ended {
        // Both arms are cancel-safe: a task that has ended stays in the set until it is joined. Being asked comes
        // first: the task that waits for signals cancels, then returns.
        let ended = tokio::select! {
            biased;
            () = self.stop.cancelled() => Ended::Asked,
            Some(done) = self.tasks.join_next_with_id() => match done {
                Ok((id, ())) => Ended::Returned(self.name(id)),
                Err(error) => Ended::Panicked(self.name(error.id())),
            },
        };
        if ended != Ended::Asked {
            tracing::error!(reason = ?ended, "task ended unexpectedly");
        }
        self.stop.cancel();
        if timeout(grace, self.drain()).await.is_err() {
            let late: Vec<_> = self.names.iter().map(|(_, name)| name.as_str()).collect();
            tracing::warn!(tasks = ?late, "tasks did not end in time");
            self.tasks.shutdown().await;
        }
        ended
    }

    async fn drain(&mut self) {
        while let Some(done) = self.tasks.join_next_with_id().await {
            let id = match &done {
                Ok((id, ())) => *id,
                Err(error) => error.id(),
            };
            if done.is_err() {
                tracing::error!(task = self.name(id), "task panicked while stopping");
            }
            self.names.retain(|(known, _)| *known != id);
        }
    }

    fn name(&self, id: Id) -> String {
        let known = self.names.iter().find(|(known, _)| *known == id);
        known.map_or_else(|| "unknown".to_owned(), |(_, name)| name.clone())
    }
}

/// SIGTERM and SIGINT, caught from the moment of installing on.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Installs the handlers, to be done before anything else: until then either signal ends the process without a
    /// clean end. Needs a runtime.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub fn install() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Ends when the process is, or was since the installing, asked to stop.
    pub async fn received(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    const GRACE: Duration = Duration::from_secs(5);

    #[tokio::test(start_paused = true)]
    async fn a_task_that_returns_ends_the_others_and_is_named() {
        let mut supervisor = Supervisor::new(CancellationToken::new());
        let stop = supervisor.stop_token();
        let stopped = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stopped);
        supervisor.spawn("steady", async move {
            stop.cancelled().await;
            seen.store(true, Ordering::SeqCst);
        });
        supervisor.spawn("hasty", async {});
        assert_eq!(
            supervisor.run(GRACE).await,
            Ended::Returned("hasty".to_owned())
        );
        assert!(stopped.load(Ordering::SeqCst));
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_is_told_from_a_return() {
        let mut supervisor = Supervisor::new(CancellationToken::new());
        supervisor.spawn("broken", async { panic!("on purpose") });
        assert_eq!(
            supervisor.run(GRACE).await,
            Ended::Panicked("broken".to_owned())
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_asks_for_the_end_and_returns_has_not_failed() {
        let mut supervisor = Supervisor::new(CancellationToken::new());
        for _ in 0..20 {
            let stop = supervisor.stop_token();
            supervisor.spawn("signals", async move { stop.cancel() });
        }
        assert_eq!(supervisor.run(GRACE).await, Ended::Asked);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_will_not_stop_is_aborted_at_the_deadline() {
        let mut supervisor = Supervisor::new(CancellationToken::new());
        supervisor.spawn("stubborn", pending());
        supervisor.stop_token().cancel();
        assert_eq!(supervisor.run(GRACE).await, Ended::Asked);
    }
}
