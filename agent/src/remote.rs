//! Configuration from the collector: checked, tried out, and taken back where the agent does worse with it.
//!
//! One task owns all of it. What runs is shown through a channel to those who work by it; nobody is started anew, so nothing
//! is lost by a change.

mod course;
mod kept;
mod shown;
mod trial;
mod tuning;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use firstlook_model::{
    Change, ChangeKind, ComponentId, ConfigReport, ConfigState, HostId, Observation, WantedConfig,
};
use firstlook_runtime::clock;
use firstlook_sources_events::{BlindSpots, EventSink};
use firstlook_uplink::UplinkStatus;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::cost::{OwnUse, resident_mib};

pub use kept::Kept;
pub use shown::Shown;
pub use tuning::{Own, Tuning};

use course::{Barred, Course, Step};
use trial::{Past, Trial, Verdict, Vitals};
use tuning::Merged;

/// How often the agent is looked at.
const EVERY: Duration = Duration::from_secs(1);
/// Blind spots of strain: what the host suffers, and what the agent gives up for it. Cost is looked at itself.
const OF_STRAIN: &str = "strain-";

/// What the uplink and the others have of it.
#[derive(Clone)]
pub struct Desired {
    wanted: watch::Sender<Option<WantedConfig>>,
    reports: watch::Receiver<Option<ConfigReport>>,
}

impl Desired {
    /// The collector wants this. The latest counts.
    pub fn want(&self, wanted: WantedConfig) {
        self.wanted.send_replace(Some(wanted));
    }

    /// What the collector is to be told, as it comes.
    pub fn reports(&self) -> watch::Receiver<Option<ConfigReport>> {
        self.reports.clone()
    }
}

/// What an agent is looked at by.
pub struct Watched {
    /// Whether it has a session.
    pub uplink: Arc<UplinkStatus>,
    /// What does not see.
    pub blind: BlindSpots,
    /// Records lost.
    pub lost: Arc<AtomicU64>,
    /// Who hears of changes.
    pub sink: Arc<dyn EventSink>,
}

/// Owns the remote configuration.
pub struct Steward {
    agent: ComponentId,
    own: Own,
    length: Duration,
    kept: Kept,
    course: Course,
    overruled: String,
    tuning: watch::Sender<Tuning>,
    wanted: watch::Receiver<Option<WantedConfig>>,
    reports: watch::Sender<Option<ConfigReport>>,
    /// Wanted before the agent has run for as long as a trial takes: there is nothing to compare with yet.
    waiting: Option<WantedConfig>,
    trial: Option<Trial>,
    past: Past,
    use_of: OwnUse,
    /// A change at the start, to be told once somebody hears.
    untold: Option<String>,
}

impl Steward {
    /// Goes on with what `state_dir` keeps. What was on trial there is taken back; what was accepted and does not fit any more, as
    /// after a change of the host's own file, is not applied.
    pub fn resume(
        host: &HostId,
        own: Own,
        state_dir: PathBuf,
        length: Duration,
    ) -> (Self, Desired) {
        let kept = Kept::of(state_dir);
        let mut course = kept.load();
        let mut untold = None;
        if course.resume() {
            untold = course.barred.as_ref().map(taken_back);
            tracing::warn!("a configuration on trial is taken back: the agent was started anew");
        }
        let mut now = own.alone();
        if let Some(accepted) = course.accepted.clone() {
            match own.with(&accepted.text) {
                Ok(merged) => now = merged,
                Err(why) => {
                    tracing::error!(
                        version = accepted.version,
                        why,
                        "the accepted configuration does not fit any more"
                    );
                    course.accepted = None;
                    course.refuse(&accepted, why);
                }
            }
        }
        kept.save_or_log(&course);
        let (wanted_in, wanted) = watch::channel(None);
        // Tells the uplink what runs; it says more only once something is wanted.
        let (reports, reports_out) = watch::channel(Some(course.report(&now.overruled)));
        let steward = Self {
            agent: ComponentId::agent(host.clone()),
            own,
            length,
            kept,
            course,
            overruled: now.overruled,
            tuning: watch::Sender::new(now.tuning),
            wanted,
            reports,
            waiting: None,
            trial: None,
            past: Past::default(),
            use_of: OwnUse::default(),
            untold,
        };
        let desired = Desired {
            wanted: wanted_in,
            reports: reports_out,
        };
        (steward, desired)
    }

    /// What is in force, now and later.
    pub fn tuning(&self) -> watch::Receiver<Tuning> {
        self.tuning.subscribe()
    }

    /// The version that runs; 0: none.
    fn running(&self) -> u64 {
        self.course.running().map_or(0, |running| running.version)
    }

    /// Runs until `stop`. A trial that is under way then is taken back at the next start.
    pub async fn run(mut self, watched: Watched, stop: CancellationToken) {
        let begun = Instant::now();
        let mut tick = interval(EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        if let Some(text) = self.untold.take() {
            self.tell(&watched, text);
        }
        loop {
            // Both are cancel-safe: a wish stays in its channel until it is read.
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Ok(()) = self.wanted.changed() => {
                    let wanted = self.wanted.borrow_and_update().clone();
                    if let Some(wanted) = wanted {
                        self.hear(&wanted, begun.elapsed(), &watched);
                    }
                }
                _ = tick.tick() => self.look(begun.elapsed(), &watched),
            }
        }
    }

    fn hear(&mut self, wanted: &WantedConfig, now: Duration, watched: &Watched) {
        self.waiting = None;
        let mut next = self.course.clone();
        match next.want(wanted) {
            Step::Try if now < self.length => {
                self.course = next;
                self.waiting = Some(wanted.clone());
                return;
            }
            Step::Stay => self.course = next,
            Step::Take => {
                let before = self.running();
                let merged = self.merged(&next);
                self.trial = None;
                self.apply(merged);
                self.kept.save_or_log(&next);
                self.course = next;
                if self.running() != before {
                    self.tell(watched, runs(self.running()));
                }
            }
            Step::Try => return self.try_out(next, wanted, now, watched),
        }
        self.report();
    }

    fn try_out(
        &mut self,
        mut next: Course,
        wanted: &WantedConfig,
        now: Duration,
        watched: &Watched,
    ) {
        let version = wanted.version;
        let merged = match self.own.with(&wanted.text) {
            Ok(merged) => merged,
            Err(why) => {
                tracing::warn!(version, why, "configuration refused");
                next.refuse(wanted, why);
                let merged = self.merged(&next);
                self.trial = None;
                self.apply(merged);
                self.kept.save_or_log(&next);
                self.course = next;
                return self.report();
            }
        };
        next.begin(wanted);
        // Written before it is applied: whatever happens from here on, the next start knows.
        if let Err(error) = self.kept.save(&next) {
            // Not barred: when it is wanted again, as in the next session, there may be room.
            tracing::error!(version, %error, "configuration cannot be kept, and is not tried");
            self.reports.send_replace(Some(ConfigReport {
                version,
                state: ConfigState::Refused,
                why: format!("it cannot be kept: {error}"),
                running: self.running(),
            }));
            return;
        }
        self.course = next;
        // A trial that follows another compares with what was before the first.
        let before = match &self.trial {
            Some(trial) => trial.before().clone(),
            None => self.past.before(),
        };
        let lost = watched.lost.load(Ordering::Relaxed);
        self.trial = Some(Trial::begin(now, self.length, before, lost));
        self.apply(merged);
        tracing::info!(version, "configuration is on trial");
        self.tell(
            watched,
            format!("configuration version {version} is on trial"),
        );
        self.report();
    }

    fn look(&mut self, now: Duration, watched: &Watched) {
        let vitals = self.vitals(now, watched);
        let Some(trial) = &mut self.trial else {
            self.past.note(now, self.length, vitals);
            if let Some(wanted) = self.waiting.take_if(|_| now >= self.length) {
                self.try_out(self.course.clone(), &wanted, now, watched);
            }
            return;
        };
        match trial.look(now, &vitals) {
            Verdict::Goes => {}
            Verdict::Passed => self.accept(),
            Verdict::Failed(why) => self.take_back(why, watched),
        }
    }

    fn accept(&mut self) {
        let mut next = self.course.clone();
        next.accept();
        // Not kept: it stays on trial, and this is tried again with the next look.
        if self.kept.save_or_log(&next) {
            self.course = next;
            self.trial = None;
            tracing::info!(version = self.running(), "configuration is good");
            self.report();
        }
    }

    fn take_back(&mut self, why: String, watched: &Watched) {
        self.trial = None;
        self.course.back(why);
        // Not kept: the next start finds it on trial, and takes it back too.
        self.kept.save_or_log(&self.course);
        let merged = self.merged(&self.course);
        self.apply(merged);
        if let Some(barred) = &self.course.barred {
            let text = taken_back(barred);
            tracing::warn!(text, "configuration is taken back");
            self.tell(watched, text);
        }
        self.report();
    }

    /// What `course` runs. What is accepted was checked.
    fn merged(&self, course: &Course) -> Merged {
        let running = course.running().map(|running| self.own.with(&running.text));
        match running {
            Some(Ok(merged)) => merged,
            Some(Err(_)) | None => self.own.alone(),
        }
    }

    fn apply(&mut self, merged: Merged) {
        self.overruled = merged.overruled;
        self.tuning.send_replace(merged.tuning);
    }

    fn report(&self) {
        let report = self.course.report(&self.overruled);
        self.reports.send_replace(Some(report));
    }

    fn vitals(&mut self, now: Duration, watched: &Watched) -> Vitals {
        let cpu = self.use_of.cpu_percent(now);
        let tuning = self.tuning.borrow();
        let source = |line: String| line.split(':').next().unwrap_or_default().to_owned();
        let mut blind: std::collections::BTreeSet<_> =
            watched.blind.list().into_iter().map(source).collect();
        blind.retain(|source| !source.starts_with(OF_STRAIN));
        Vitals {
            connected: watched.uplink.connected.load(Ordering::Relaxed),
            cpu: cpu / tuning.budget.cpu_percent,
            memory: resident_mib() / tuning.budget.memory_mib as f64,
            lost: watched.lost.load(Ordering::Relaxed),
            blind,
        }
    }

    /// Puts what happened on the timeline: a verdict may have to weigh it.
    fn tell(&self, watched: &Watched, text: String) {
        let time = clock::now();
        let change = Change {
            id: format!("remote-config@{}", time.as_micros()),
            time,
            component: self.agent.clone(),
            kind: ChangeKind::Setting,
            text,
            detail: String::new(),
        };
        let told = Observation::Changes(vec![change]);
        watched.sink.offer("remote-config", told);
    }
}

fn taken_back(barred: &Barred) -> String {
    let (version, why) = (barred.config.version, &barred.why);
    format!("configuration version {version} was taken back: {why}")
}

fn runs(version: u64) -> String {
    match version {
        0 => "no configuration from the collector any more".to_owned(),
        version => format!("configuration version {version} runs"),
    }
}

#[cfg(test)]
mod tests;
