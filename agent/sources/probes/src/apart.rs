//! Work that may block for ever, on a thread of its own.

use tokio::task::{JoinHandle, spawn_blocking};

/// One piece of blocking work at a time: what does not come back holds one thread, never more.
#[derive(Debug)]
pub(crate) struct Apart<T>(Option<JoinHandle<T>>);

impl<T> Default for Apart<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Send + 'static> Apart<T> {
    /// The result of `work`, or of the earlier work that has not come back yet; `None` when it panicked.
    ///
    /// # Cancel safety
    /// When dropped, the work goes on, and the next call waits for it.
    pub async fn run(&mut self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let task = self.0.get_or_insert_with(|| spawn_blocking(work));
        let done = task.await;
        self.0 = None;
        done.ok()
    }
}
