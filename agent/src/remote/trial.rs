//! The trial of a configuration from the collector: whether the agent does worse with it. Pure: time is an argument.
//!
//! Each sign is compared with how it was before, so that a host that suffers anyway condemns no configuration.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

/// How much more the agent must cost than before to be held to its budget.
const DEARER: f64 = 1.1;
/// How long it must cost too much.
const TOO_DEAR_FOR: Duration = Duration::from_secs(5);
/// How long the collector may be away. It may be started anew meanwhile, which is nobody's fault.
const AWAY_LIMIT: Duration = Duration::from_secs(30);
/// Records that may be lost beyond twice as many as before.
const LOST_SLACK: u64 = 10;

/// How the agent fares at a moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vitals {
    /// Whether it has a session.
    pub connected: bool,
    /// Own use of CPU and of memory, each as a share of its budget.
    pub cpu: f64,
    /// See `cpu`.
    pub memory: f64,
    /// Records lost since it was started, save the lines that `logs.lines_per_second` itself leaves out.
    pub lost: u64,
    /// Sources that do not see.
    pub blind: BTreeSet<String>,
}

/// How the agent fared before a trial.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Before {
    cpu: f64,
    memory: f64,
    lost: u64,
    blind: BTreeSet<String>,
}

/// The last looks before a trial that may come.
#[derive(Debug, Default)]
pub struct Past(VecDeque<(Duration, Vitals)>);

impl Past {
    /// Remembers a look; those older than `length` are forgotten.
    pub fn note(&mut self, now: Duration, length: Duration, vitals: Vitals) {
        self.0.push_back((now, vitals));
        while self.0.len() > 2 && now.saturating_sub(self.0[1].0) >= length {
            self.0.pop_front();
        }
    }

    /// What a trial that begins now compares with: the highest costs, what was lost in all, and what was not seen lately.
    pub fn before(&self) -> Before {
        let highest = |read: fn(&Vitals) -> f64| {
            let values = self.0.iter().map(|(_, vitals)| read(vitals));
            values.fold(0.0, f64::max)
        };
        let lost = |end: Option<&(Duration, Vitals)>| end.map_or(0, |(_, vitals)| vitals.lost);
        let blind = self.0.iter().flat_map(|(_, vitals)| &vitals.blind);
        Before {
            cpu: highest(|vitals| vitals.cpu),
            memory: highest(|vitals| vitals.memory),
            lost: lost(self.0.back()).saturating_sub(lost(self.0.front())),
            blind: blind.cloned().collect(),
        }
    }
}

/// What became of a trial so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Goes,
    /// The agent did no worse.
    Passed,
    /// The agent did worse, and how.
    Failed(String),
}

/// A trial under way.
#[derive(Debug)]
pub struct Trial {
    began: Duration,
    length: Duration,
    before: Before,
    /// Lost when it began.
    lost: u64,
    dear_since: Option<Duration>,
    away_since: Option<Duration>,
}

impl Trial {
    /// Begins at `now`, with so many records lost until now.
    pub fn begin(now: Duration, length: Duration, before: Before, lost: u64) -> Self {
        Self {
            began: now,
            length,
            before,
            lost,
            dear_since: None,
            away_since: None,
        }
    }

    /// What it compares with.
    pub fn before(&self) -> &Before {
        &self.before
    }

    /// Looks at the agent. To be asked about once a second, with rising times.
    pub fn look(&mut self, now: Duration, vitals: &Vitals) -> Verdict {
        let dear = self.too_dear(vitals);
        let lasts = |since: &mut Option<Duration>, holds: bool| {
            *since = holds.then(|| since.unwrap_or(now));
            since.map_or(Duration::ZERO, |since| now.saturating_sub(since))
        };
        let dear_for = lasts(&mut self.dear_since, dear.is_some());
        let away_for = lasts(&mut self.away_since, !vitals.connected);
        if let Some(why) = dear.filter(|_| dear_for >= TOO_DEAR_FOR) {
            return Verdict::Failed(why);
        }
        if away_for >= AWAY_LIMIT {
            let seconds = AWAY_LIMIT.as_secs();
            return Verdict::Failed(format!(
                "it had no session with its collector for {seconds} s"
            ));
        }
        let lost = vitals.lost.saturating_sub(self.lost);
        if lost
            > self
                .before
                .lost
                .saturating_mul(2)
                .saturating_add(LOST_SLACK)
        {
            let before = self.before.lost;
            return Verdict::Failed(format!("it lost {lost} records, and {before} before"));
        }
        if let Some(source) = vitals.blind.difference(&self.before.blind).next() {
            return Verdict::Failed(format!("a source that saw before does not: {source}"));
        }
        let over = now.saturating_sub(self.began) >= self.length;
        match over && vitals.connected && self.dear_since.is_none() {
            true => Verdict::Passed,
            false => Verdict::Goes,
        }
    }

    fn too_dear(&self, vitals: &Vitals) -> Option<String> {
        let of = |what: &str, key: &str, share: f64, before: f64| {
            let dear = share >= 1.0 && share > before * DEARER;
            dear.then(|| {
                let (now, before) = (100.0 * share, 100.0 * before);
                format!("its {what} was {now:.0} % of {key}, and {before:.0} % before")
            })
        };
        let cpu = of("CPU", "budget.cpu_percent", vitals.cpu, self.before.cpu);
        let memory = || {
            let (now, before) = (vitals.memory, self.before.memory);
            of("memory", "budget.memory_mib", now, before)
        };
        cpu.or_else(memory)
    }
}

#[cfg(test)]
mod tests;
