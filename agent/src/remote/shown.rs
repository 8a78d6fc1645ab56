//! What a remote configuration comes to on this host, for `check`: what is kept, and what is in force by it.

use serde::Serialize;

use super::course::Course;
use super::{Kept, Own};
use crate::config::Config;

/// All of it.
#[derive(Serialize)]
pub struct Shown {
    /// Sections that the collector may set.
    allow: Vec<&'static str>,
    trial_s: u64,
    /// The version that runs, or would with the next start; none: the host's own file alone.
    running: Option<u64>,
    /// Whether it is on trial still.
    on_trial: bool,
    lines_per_second: u32,
    cpu_percent: f64,
    memory_mib: u64,
    /// Rules of redaction, the host's own with those of the collector.
    redact_rules: usize,
    /// What of it the host's own file overrules; or why it does not fit.
    note: String,
    /// The version that is not tried again.
    barred: Option<NotTried>,
}

#[derive(Serialize)]
struct NotTried {
    version: u64,
    state: &'static str,
    why: String,
}

impl Shown {
    /// By the configuration and by what is kept beside it.
    pub fn of(config: &Config) -> Self {
        let (course, unread) = match Kept::of(config.state_dir.clone()).read() {
            Ok(course) => (course, None),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => (Course::default(), None),
            Err(error) => (
                Course::default(),
                Some(format!("what is kept cannot be read: {error}")),
            ),
        };
        let own = Own::of(config);
        let running = course.running();
        let (merged, misfit) = match running.map(|running| own.with(&running.text)) {
            Some(Ok(merged)) => (merged, None),
            Some(Err(why)) => (own.alone(), Some(why)),
            None => (own.alone(), None),
        };
        let barred = course.barred.as_ref().map(|barred| NotTried {
            version: barred.config.version,
            state: barred.state.as_str(),
            why: barred.why.clone(),
        });
        Self {
            allow: config.remote.allow.iter().map(|s| s.as_str()).collect(),
            trial_s: config.remote.trial_s,
            running: running
                .filter(|_| misfit.is_none())
                .map(|running| running.version),
            on_trial: course.trial.is_some(),
            lines_per_second: merged.tuning.lines_per_second,
            cpu_percent: merged.tuning.budget.cpu_percent,
            memory_mib: merged.tuning.budget.memory_mib,
            redact_rules: merged.tuning.rules.len(),
            note: unread.or(misfit).unwrap_or(merged.overruled),
            barred,
        }
    }

    /// For people, one line each.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![match self.allow.is_empty() {
            true => "may set nothing (remote.allow)".to_owned(),
            false => format!(
                "may set {}; a version is watched for {} s",
                self.allow.join(", "),
                self.trial_s
            ),
        }];
        lines.push(match (self.running, self.on_trial) {
            (Some(version), true) => format!("version {version} is on trial"),
            (Some(version), false) => format!("version {version} runs"),
            (None, _) => "nothing of it runs".to_owned(),
        });
        if !self.note.is_empty() {
            lines.push(self.note.clone());
        }
        if let Some(NotTried {
            version,
            state,
            why,
        }) = &self.barred
        {
            lines.push(format!(
                "version {version} is not tried again, {state}: {why}"
            ));
        }
        lines.push(format!(
            "in force: {} lines a second, {} % of a core, {} MiB, {} own rules of redaction",
            self.lines_per_second, self.cpu_percent, self.memory_mib, self.redact_rules
        ));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use firstlook_model::WantedConfig;

    fn shown(file: &str, course: &Course) -> Shown {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.toml");
        std::fs::write(&path, file).unwrap();
        let mut config = Config::read(&path).unwrap();
        config.state_dir = dir.path().to_owned();
        Kept::of(dir.path().to_owned()).save(course).unwrap();
        Shown::of(&config)
    }

    fn course() -> Course {
        let mut course = Course::default();
        for (version, text) in [(3, "[logs]\nlines_per_second = 7\n"), (4, "# b")] {
            course.begin(&WantedConfig {
                version,
                text: text.to_owned(),
            });
            if version == 3 {
                course.accept();
            }
        }
        course.back("its memory was more".to_owned());
        course
    }

    #[test]
    fn what_runs_what_is_not_tried_again_and_what_is_in_force_is_shown() {
        let lines = shown("", &course()).lines();
        assert_eq!(
            lines,
            [
                "may set logs, budget, redact; a version is watched for 60 s",
                "version 3 runs",
                "version 4 is not tried again, rolled-back: its memory was more",
                "in force: 7 lines a second, 15 % of a core, 64 MiB, 0 own rules of redaction",
            ]
        );
        let own = shown("[logs]\nlines_per_second = 90\n", &course());
        assert_eq!((own.lines_per_second, own.running), (90, Some(3)));
        assert!(own.lines()[2].contains("settles logs.lines_per_second"));
        let closed = shown("[remote]\nallow = []\n", &course());
        assert_eq!((closed.lines_per_second, closed.running), (500, None));
        assert!(closed.lines().join("\n").contains("remote.allow"));
        let none = shown("", &Course::default()).lines();
        assert_eq!(none[1], "nothing of it runs");
    }
}
