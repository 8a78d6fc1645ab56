//! What is learned anew: for a while it is taken in and not judged, as when it was first seen.

use std::time::Duration;

use firstlook_model::Timestamp;
use serde::{Deserialize, Serialize};

/// So long. Dumps of sockets come every few seconds, and an average of so many says what is usual.
const LEARNS: Duration = Duration::from_secs(60);

/// Until when, by its host's own clock.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Anew(Option<Timestamp>);

impl Anew {
    /// What was usual is forgotten now.
    pub fn from(now: Timestamp) -> Self {
        Self(Some(now.plus(LEARNS)))
    }

    /// Whether what is usual may be judged by.
    pub fn is_over(self, at: Timestamp) -> bool {
        self.0.is_none_or(|until| at >= until)
    }
}
