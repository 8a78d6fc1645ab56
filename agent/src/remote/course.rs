//! Which configuration runs, which is tried, and which is not tried again: what the agent keeps of it. Pure.
//!
//! It is kept in one file of the state folder. A version on trial is written there before it is applied: an agent that finds one
//! when it starts was ended by it, or at least in the midst of it, and goes back.

use firstlook_model::{ConfigReport, ConfigState, WantedConfig};
use serde::{Deserialize, Serialize};

/// Why a version that is found on trial at the start is taken back.
const STARTED_ANEW: &str = "the agent was started anew, or ended, while it was on trial";

/// What is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Course {
    /// Stood its trial; the last good one.
    pub accepted: Option<WantedConfig>,
    /// Runs, and is watched.
    pub trial: Option<WantedConfig>,
    /// Not tried again.
    pub barred: Option<Barred>,
    /// What the collector last wanted; not kept.
    #[serde(skip)]
    wanted: u64,
}

/// A version that is not tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Barred {
    /// Which.
    pub config: WantedConfig,
    /// `Refused` or `RolledBack`.
    pub state: ConfigState,
    /// Why.
    pub why: String,
}

/// What is to be done about a wanted version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing: it runs, is tried, or was tried.
    Stay,
    /// It is to be checked, and then tried.
    Try,
    /// What runs is to be another, without a trial: none, or what runs under another number.
    Take,
}

impl Course {
    /// The version that runs; `None`: the host's own file alone.
    pub fn running(&self) -> Option<&WantedConfig> {
        self.trial.as_ref().or(self.accepted.as_ref())
    }

    /// Goes back from a version that was on trial when the agent ended. Says whether there was one. What was refused is
    /// checked again when it is wanted: the host's own file may say something else by now.
    pub fn resume(&mut self) -> bool {
        let refused = |barred: &mut Barred| barred.state == ConfigState::Refused;
        self.barred.take_if(refused);
        self.back(STARTED_ANEW.to_owned())
    }

    /// The collector wants a version.
    pub fn want(&mut self, wanted: &WantedConfig) -> Step {
        self.wanted = wanted.version;
        if wanted.version == 0 {
            (self.trial, self.barred) = (None, None);
            self.accepted = None;
            return Step::Take;
        }
        let known = self.barred.as_ref().map(|barred| &barred.config);
        if self.running() == Some(wanted) || (known == Some(wanted) && self.trial.is_none()) {
            return Step::Stay;
        }
        if let Some(accepted) = self.accepted.as_mut().filter(|a| a.text == wanted.text) {
            // What has stood its trial needs no other for a new number.
            accepted.version = wanted.version;
            (self.trial, self.barred) = (None, None);
            return Step::Take;
        }
        Step::Try
    }

    /// Begins to try a version.
    pub fn begin(&mut self, wanted: &WantedConfig) {
        self.trial = Some(wanted.clone());
    }

    /// Will not try a version; one on trial that it was to follow is ended, too.
    pub fn refuse(&mut self, wanted: &WantedConfig, why: String) {
        self.trial = None;
        self.barred = Some(Barred {
            config: wanted.clone(),
            state: ConfigState::Refused,
            why,
        });
    }

    /// The version on trial is good.
    pub fn accept(&mut self) {
        if let Some(good) = self.trial.take() {
            (self.accepted, self.barred) = (Some(good), None);
        }
    }

    /// The version on trial is taken back. Says whether there was one.
    pub fn back(&mut self, why: String) -> bool {
        let Some(config) = self.trial.take() else {
            return false;
        };
        let state = ConfigState::RolledBack;
        self.barred = Some(Barred { config, state, why });
        true
    }

    /// What is to be said of the version that is wanted; `overruled` where it runs.
    pub fn report(&self, overruled: &str) -> ConfigReport {
        let barred = self.barred.as_ref();
        let barred = barred.filter(|barred| barred.config.version == self.wanted);
        let (state, why) = match (barred, &self.trial) {
            (Some(barred), None) => (barred.state, barred.why.clone()),
            (_, Some(_)) => (ConfigState::OnTrial, overruled.to_owned()),
            (None, None) => (ConfigState::Running, overruled.to_owned()),
        };
        ConfigReport {
            version: self.wanted,
            state,
            why,
            running: self.running().map_or(0, |running| running.version),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn config(version: u64, text: &str) -> WantedConfig {
        WantedConfig {
            version,
            text: text.to_owned(),
        }
    }

    /// A course that runs version 1.
    fn settled() -> Course {
        let mut course = Course::default();
        let first = config(1, "# a");
        assert_eq!(course.want(&first), Step::Try);
        course.begin(&first);
        course.accept();
        course
    }

    fn said(course: &Course) -> (ConfigState, u64) {
        let report = course.report("");
        (report.state, report.running)
    }

    #[test]
    fn a_version_is_tried_once_and_then_runs() {
        let mut course = settled();
        assert_eq!(course.want(&config(1, "# a")), Step::Stay);
        assert_eq!(said(&course), (ConfigState::Running, 1));
        let next = config(2, "# b");
        assert_eq!(course.want(&next), Step::Try);
        course.begin(&next);
        assert_eq!(course.want(&next), Step::Stay, "it is on trial");
        assert_eq!(said(&course), (ConfigState::OnTrial, 2));
        course.accept();
        assert_eq!(said(&course), (ConfigState::Running, 2));
    }

    #[test]
    fn a_version_that_failed_is_not_tried_again_until_it_changes() {
        let mut course = settled();
        let bad = config(2, "# b");
        course.want(&bad);
        course.begin(&bad);
        assert!(course.back("it cost more".to_owned()));
        assert_eq!(course.want(&bad), Step::Stay);
        assert_eq!(said(&course), (ConfigState::RolledBack, 1));
        assert_eq!(course.report("").why, "it cost more");
        assert_eq!(
            course.want(&config(2, "# other")),
            Step::Try,
            "a restored desk"
        );
        assert_eq!(
            course.want(&config(3, "# b")),
            Step::Try,
            "somebody insists"
        );
        assert_eq!(course.want(&config(4, "# a")), Step::Take, "as it runs");
        assert_eq!(said(&course), (ConfigState::Running, 4));
        assert_eq!(course.barred, None);
    }

    #[test]
    fn an_agent_that_ends_in_a_trial_goes_back() {
        let mut course = settled();
        assert!(!course.resume());
        let bad = config(2, "# b");
        course.want(&bad);
        course.begin(&bad);
        let kept = toml::to_string(&course).unwrap();
        let mut course: Course = toml::from_str(&kept).unwrap();
        assert!(course.resume() && !course.resume());
        assert_eq!(course.running(), Some(&config(1, "# a")));
        assert_eq!(course.want(&bad), Step::Stay);
        assert!(course.report("").why.contains("started anew"));
    }

    #[test]
    fn when_nothing_is_wanted_the_hosts_own_file_holds_at_once() {
        let mut course = settled();
        course.want(&config(2, "# b"));
        course.begin(&config(2, "# b"));
        assert_eq!(course.want(&WantedConfig::default()), Step::Take);
        assert_eq!(course, Course::default());
        assert_eq!(said(&course), (ConfigState::Running, 0));
    }

    #[test]
    fn a_refused_version_ends_the_trial_of_the_one_before_it() {
        let mut course = settled();
        course.want(&config(2, "# b"));
        course.begin(&config(2, "# b"));
        let refused = config(3, "# c");
        assert_eq!(course.want(&refused), Step::Try);
        course.refuse(&refused, "not allowed".to_owned());
        assert_eq!(said(&course), (ConfigState::Refused, 1));
        assert_eq!(course.want(&refused), Step::Stay);
        assert!(!course.resume());
        assert_eq!(
            course.want(&refused),
            Step::Try,
            "the host's file may be another"
        );
    }

    #[derive(Clone, Debug)]
    enum Event {
        Want(u64, u8, bool),
        Accept,
        Back,
        Restart,
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            4 => (0..6u64, 0..3u8, any::<bool>()).prop_map(|(v, t, fits)| Event::Want(v, t, fits)),
            2 => Just(Event::Accept),
            2 => Just(Event::Back),
            1 => Just(Event::Restart),
        ]
    }

    proptest! {
        #[test]
        fn what_is_accepted_has_stood_a_trial_and_what_failed_is_never_begun_again(
            events in proptest::collection::vec(event(), 0..60),
        ) {
            let mut course = Course::default();
            let mut stood: Vec<String> = Vec::new();
            for event in events {
                match event {
                    Event::Want(version, text, fits) => {
                        let text = if version == 0 { String::new() } else { format!("# {text}") };
                        let wanted = config(version, &text);
                        let barred = course.barred.clone().filter(|_| course.trial.is_none());
                        match course.want(&wanted) {
                            Step::Try if fits => {
                                prop_assert!(barred.is_none_or(|barred| barred.config != wanted));
                                course.begin(&wanted);
                            }
                            Step::Try => course.refuse(&wanted, "no".to_owned()),
                            Step::Stay | Step::Take => {}
                        }
                        prop_assert_eq!(course.report("").version, version);
                    }
                    Event::Accept => {
                        stood.extend(course.trial.iter().map(|trial| trial.text.clone()));
                        course.accept();
                    }
                    Event::Back => { course.back("worse".to_owned()); }
                    Event::Restart => {
                        let kept = toml::to_string(&course).unwrap();
                        course = toml::from_str(&kept).unwrap();
                        course.resume();
                        prop_assert_eq!(&course.trial, &None);
                    }
                }
                prop_assert!(course.accepted.as_ref().is_none_or(|good| stood.contains(&good.text)));
                let running = course.running().map_or(0, |running| running.version);
                prop_assert_eq!(course.report("").running, running);
            }
        }
    }
}
