//! Work that may block for ever, on threads of its own.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, spawn_blocking};

/// Most threads that all probes together may hold: the agent's own work needs the others.
const THREADS_LIMIT: usize = 8;

/// The threads of all probes. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Threads(Arc<Semaphore>);

impl Default for Threads {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(THREADS_LIMIT)))
    }
}

impl Threads {
    /// Whether every thread is held by work that has not come back.
    pub fn are_taken(&self) -> bool {
        self.0.available_permits() == 0
    }
}

/// One piece of blocking work at a time: what does not come back holds one thread, never more.
#[derive(Debug)]
pub(crate) struct Apart<T> {
    threads: Threads,
    task: Option<JoinHandle<T>>,
}

impl<T: Send + 'static> Apart<T> {
    /// Works on one of these threads.
    pub fn on(threads: &Threads) -> Self {
        Self {
            threads: threads.clone(),
            task: None,
        }
    }

    /// Whether earlier work has not come back.
    pub fn hangs(&self) -> bool {
        self.task.is_some()
    }

    /// The result of `work`, or of the earlier work that has not come back yet; `None` when it panicked.
    ///
    /// # Cancel safety
    /// When dropped, work that has begun goes on, and the next call waits for it.
    pub async fn run(&mut self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        if self.task.is_none() {
            let permit = Arc::clone(&self.threads.0).acquire_owned().await.ok()?;
            self.task = Some(spawn_blocking(move || {
                let done = work();
                drop(permit);
                done
            }));
        }
        let done = self.task.as_mut()?.await;
        self.task = None;
        done.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use tokio::time::{Duration, timeout};

    #[tokio::test]
    async fn work_that_hangs_is_waited_for_and_not_begun_again() {
        let threads = Threads::default();
        let mut apart = Apart::on(&threads);
        let (go, wait) = channel();
        let hung = timeout(
            Duration::from_secs(1),
            apart.run(move || wait.recv().is_ok()),
        );
        assert!(hung.await.is_err() && apart.hangs());
        go.send(()).unwrap();
        let second = apart.run(|| unreachable!("the first has not come back"));
        assert_eq!(second.await, Some(true));
        assert!(!apart.hangs());
        assert_eq!(apart.run(|| false).await, Some(false));
    }

    #[tokio::test]
    async fn all_probes_together_hold_few_threads() {
        let threads = Threads::default();
        let (go, wait) = channel::<()>();
        let wait = Arc::new(std::sync::Mutex::new(wait));
        let mut all: Vec<_> = (0..THREADS_LIMIT).map(|_| Apart::on(&threads)).collect();
        for apart in &mut all {
            assert!(!threads.are_taken());
            let wait = Arc::clone(&wait);
            let work = apart.run(move || wait.lock().unwrap().recv().is_err());
            assert!(timeout(Duration::ZERO, work).await.is_err());
        }
        assert!(threads.are_taken());
        let mut more = Apart::on(&threads);
        let refused = timeout(Duration::ZERO, more.run(|| true)).await;
        assert!(refused.is_err() && !more.hangs());
        drop(go);
        assert_eq!(more.run(|| true).await, Some(true));
    }
}
