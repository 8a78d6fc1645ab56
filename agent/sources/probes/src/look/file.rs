//! How old a file is.

use std::time::{Duration, SystemTime};

use firstlook_model::probe::{Failure, Part};

use crate::apart::{Apart, Threads};
use crate::config::FileProbe;
use crate::found::Found;

/// Looks at one file. A file system that hangs holds one thread, never more.
pub(super) struct Looker(Apart<Option<SystemTime>>);

impl Looker {
    pub fn new(threads: &Threads) -> Self {
        Self(Apart::on(threads))
    }

    pub fn hangs(&self) -> bool {
        self.0.hangs()
    }

    pub async fn look(&mut self, file: &FileProbe) -> Found {
        let path = file.path.clone();
        let changed = self
            .0
            .run(|| std::fs::metadata(path).and_then(|m| m.modified()).ok());
        let limit = Duration::from_secs(file.max_age_s);
        aged(changed.await.flatten(), SystemTime::now(), limit)
    }
}

pub(super) fn aged(changed: Option<SystemTime>, now: SystemTime, limit: Duration) -> Found {
    let Some(changed) = changed else {
        return Found::down(Failure::FileMissing);
    };
    // A file from the future is new: clocks are the clock source's affair.
    let age = now.duration_since(changed).unwrap_or_default();
    Found::of((age > limit).then_some(Failure::FileOld))
        .with(Part::Age, age.as_secs_f64())
        .with(Part::Expected, limit.as_secs_f64())
}
