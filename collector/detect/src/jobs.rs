//! Jobs: what timers and crontabs start, and how much of it at once.

use std::collections::VecDeque;
use std::time::Duration;

use firstlook_model::symptom::{families, kinds};
use firstlook_model::{ActiveState, ComponentId, HostId, Timestamp, UnitState, signal::names};
use serde::{Deserialize, Serialize};

use crate::baseline::Baseline;
use crate::draft::{Finding, Source};
use crate::watch::Span;
use crate::words;

/// So many within so long are many at once.
const MANY: usize = 6;
const TOGETHER: Duration = Duration::from_secs(30);
/// How long it is told after the last of them began: their work goes on.
const HOLD: Duration = Duration::from_secs(120);
/// All states come every minute: what began while nobody looked for longer than this began one knows not when.
const UNSEEN: Duration = Duration::from_secs(90);
/// So long after a boot everything begins together.
const BOOT: Duration = Duration::from_secs(180);
/// Most starts, and samples of a cron, that are remembered.
const LIMIT: usize = 256;
/// Most names in a text.
const NAMED: usize = 4;
/// Services that run crontabs.
const CRON: [&str; 5] = [
    "cron.service",
    "crond.service",
    "cronie.service",
    "fcron.service",
    "anacron.service",
];
/// Processes of one line of a crontab: cron's own child, and the command.
const PER_LINE: f64 = 2.0;
/// Deviation of the number of a cron's processes that means nothing.
const PROCESSES_FLOOR: f64 = 0.5;

/// The jobs of one host that began of late.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Jobs {
    begun: VecDeque<(Timestamp, ComponentId)>,
    cron: Cron,
    booted: Option<Timestamp>,
    /// The last time that many were together.
    many: Option<Many>,
}

/// Many at once: since when, and what they were when they were most.
#[derive(Debug, Serialize, Deserialize)]
struct Many {
    span: Span,
    most: usize,
    what: String,
}

/// How many processes a cron had of late.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Cron {
    usual: Baseline,
    processes: VecDeque<(Timestamp, f64)>,
}

impl Cron {
    fn take(&mut self, at: Timestamp, processes: f64) {
        self.processes.push_back((at, processes));
        forget(&mut self.processes, at);
        self.usual.feed(processes, PROCESSES_FLOOR);
    }

    /// Lines of crontabs that run at the same time: at most, of late, and beyond the usual.
    fn lines(&self) -> usize {
        let most = self.processes.iter().map(|(_, count)| *count);
        let beyond = most.fold(0.0, f64::max) - self.usual.location().ceil();
        if self.usual.is_warm() {
            (beyond / PER_LINE).clamp(0.0, LIMIT as f64) as usize
        } else {
            0
        }
    }
}

/// Whether a service runs crontabs.
pub(crate) fn is_cron(service: &ComponentId) -> bool {
    CRON.contains(&service.name())
}

fn forget<T>(of_late: &mut VecDeque<(Timestamp, T)>, at: Timestamp) {
    let old = |first: Option<&(Timestamp, T)>| first.is_some_and(|(t, _)| at.since(*t) > TOGETHER);
    while of_late.len() > LIMIT || old(of_late.front()) {
        of_late.pop_front();
    }
}

impl Jobs {
    /// A unit that was down begins: not one that is to be up, nor one that its manager restarts because it failed.
    /// `before`: its state until then.
    pub fn take_unit(&mut self, before: &UnitState, now: &UnitState) {
        let was_down = matches!(before.active, ActiveState::Inactive | ActiveState::Failed);
        let begins = before.invocation != now.invocation && !now.invocation.is_empty() && was_down;
        let by_itself = !now.wanted && before.restarts == now.restarts;
        let seen = now.time.since(before.time) <= UNSEEN;
        let booting = self
            .booted
            .is_some_and(|booted| now.time.since(booted) <= BOOT);
        if begins && by_itself && seen && !booting {
            self.begun.push_back((now.time, now.component.clone()));
            self.judge(now.time);
        }
    }

    /// Processes of a cron at one time.
    pub fn take_cron(&mut self, at: Timestamp, processes: f64) {
        self.cron.take(at, processes);
        self.judge(at);
    }

    /// How many processes a cron usually has is forgotten.
    pub fn forget_cron(&mut self) {
        self.cron = Cron::default();
    }

    /// The host booted, as it said at this time.
    pub fn booted(&mut self, at: Timestamp) {
        self.stepped();
        self.booted = Some(at);
    }

    fn judge(&mut self, at: Timestamp) {
        forget(&mut self.begun, at);
        let lines = self.cron.lines();
        let count = self.begun.len() + lines;
        if count < MANY {
            return;
        }
        let of_cron = self.cron.processes.front().filter(|_| lines > 0);
        let times = self.begun.front().map(|(first, _)| *first);
        let first = times.into_iter().chain(of_cron.map(|(first, _)| *first));
        let first = first.min().unwrap_or(at);
        let goes_on = |many: &Many| at.since(many.span.last) <= HOLD;
        let span = match self.many.as_ref().filter(|many| goes_on(many)) {
            Some(many) if count <= many.most => {
                let span = Span {
                    last: at,
                    ..many.span
                };
                if let Some(many) = &mut self.many {
                    many.span = span;
                }
                return;
            }
            Some(many) => Span {
                last: at,
                ..many.span
            },
            None => Span {
                after: Some(first),
                first,
                last: at,
            },
        };
        self.many = Some(Many {
            span,
            most: count,
            what: self.what(lines),
        });
    }

    /// The jobs in words.
    fn what(&self, lines: usize) -> String {
        let mut names: Vec<&str> = Vec::new();
        for (_, unit) in &self.begun {
            if !names.contains(&unit.name()) {
                names.push(unit.name());
            }
        }
        let over = names.len().saturating_sub(NAMED);
        names.truncate(NAMED);
        let mut told: Vec<String> = names.iter().map(|name| words::clip(name, 60)).collect();
        if over > 0 {
            told.push(format!("{over} more"));
        }
        if lines > 0 {
            told.push(format!("about {lines} of crontabs"));
        }
        told.join(", ")
    }

    /// Never reason for an incident: jobs are what a host is for, too.
    pub fn finding(&self, host: &HostId, now: Timestamp) -> Option<Finding> {
        let many = self.many.as_ref()?;
        if now.since(many.span.last) > HOLD {
            return None;
        }
        let text = format!(
            "{} jobs began within {}: {}",
            many.most,
            words::span(TOGETHER),
            many.what,
        );
        Some(Finding {
            component: ComponentId::host(host.clone()),
            peer: None,
            kind: kinds::JOBS_TOGETHER,
            family: families::UNIT,
            span: many.span,
            severity: (0.3 + 0.02 * many.most as f64).min(0.8),
            gate: false,
            text,
            source: Source::Metric(names::PROCESSES),
        })
    }

    /// The host's clock was set back, or it booted.
    pub fn stepped(&mut self) {
        self.begun.clear();
        self.cron.processes.clear();
        (self.many, self.booted) = (None, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(secs: i64) -> Timestamp {
        Timestamp::from_secs(1_700_000_000 + secs)
    }

    fn unit(name: &str, secs: i64, active: ActiveState, invocation: &str) -> UnitState {
        UnitState {
            component: format!("service:app1/{name}").parse().unwrap(),
            time: second(secs),
            active,
            sub: String::new(),
            result: "success".to_owned(),
            restarts: 0,
            main_pid: 0,
            exit_code: 0,
            exit_status: 0,
            since: None,
            wanted: false,
            invocation: invocation.to_owned(),
        }
    }

    fn said(jobs: &Jobs, secs: i64) -> Option<String> {
        let host = HostId::new("app1").unwrap();
        jobs.finding(&host, second(secs)).map(|found| found.text)
    }

    fn starts(jobs: &mut Jobs, count: i64, every: i64, before: ActiveState) {
        for number in 0..count {
            let name = format!("job{number}.service");
            let idle = unit(&name, 0, before, "a");
            let began = unit(&name, number * every, ActiveState::Activating, "b");
            jobs.take_unit(&idle, &began);
        }
    }

    #[test]
    fn timers_that_fire_together_are_told_and_those_that_are_spread_are_not() {
        let mut jobs = Jobs::default();
        starts(&mut jobs, 8, 1, ActiveState::Inactive);
        let text = said(&jobs, 20).unwrap();
        assert_eq!(
            text,
            "8 jobs began within 30 s: job0.service, job1.service, job2.service, job3.service, 4 more"
        );
        assert_eq!(said(&jobs, 7 + 121), None, "it is over");
        let mut jobs = Jobs::default();
        starts(&mut jobs, 20, 10, ActiveState::Inactive);
        assert_eq!(said(&jobs, 200), None);
    }

    #[test]
    fn restarts_are_no_jobs() {
        let mut jobs = Jobs::default();
        starts(&mut jobs, 8, 1, ActiveState::Active);
        for number in 0..8 {
            let name = format!("loop{number}.service");
            let failed = unit(&name, 0, ActiveState::Failed, "a");
            let mut again = unit(&name, number, ActiveState::Activating, "b");
            again.restarts = 1;
            jobs.take_unit(&failed, &again);
            // The same start, told once more.
            jobs.take_unit(&again.clone(), &again);
        }
        assert_eq!(said(&jobs, 10), None);
    }

    #[test]
    fn what_is_to_be_up_or_began_unseen_or_at_a_boot_is_no_job() {
        let change = |mut jobs: Jobs, change: fn(&mut UnitState)| {
            for number in 0..8 {
                let name = format!("job{number}.service");
                let idle = unit(&name, 0, ActiveState::Inactive, "a");
                let mut began = unit(&name, number, ActiveState::Activating, "b");
                change(&mut began);
                jobs.take_unit(&idle, &began);
            }
            jobs.finding(&HostId::new("app1").unwrap(), second(400))
                .is_some()
                || jobs
                    .finding(&HostId::new("app1").unwrap(), second(10))
                    .is_some()
        };
        assert!(change(Jobs::default(), |_| {}));
        assert!(!change(Jobs::default(), |began| began.wanted = true));
        assert!(!change(Jobs::default(), |began| began.time = second(400)));
        let mut booted = Jobs::default();
        booted.booted(second(-20));
        assert!(!change(booted, |_| {}));
    }

    #[test]
    fn the_text_keeps_the_names_of_those_that_were_many() {
        let mut jobs = Jobs::default();
        starts(&mut jobs, 8, 1, ActiveState::Inactive);
        let idle = unit("late.service", 0, ActiveState::Inactive, "a");
        let late = unit("late.service", 60, ActiveState::Activating, "b");
        jobs.take_unit(&idle, &late);
        assert!(said(&jobs, 61).unwrap().contains("job0.service"));
    }

    #[test]
    fn a_crons_processes_above_the_usual_are_jobs_once() {
        let mut jobs = Jobs::default();
        (0..60).for_each(|secs| jobs.take_cron(second(secs), 1.0));
        assert_eq!(said(&jobs, 60), None);
        (60..70).for_each(|secs| jobs.take_cron(second(secs), 17.0));
        let text = said(&jobs, 70).unwrap();
        assert_eq!(text, "7 jobs began within 30 s: about 7 of crontabs");
        // One script that runs one short command after the other.
        let mut few = Jobs::default();
        (0..60).for_each(|secs| few.take_cron(second(secs), 1.0));
        (60..200).for_each(|secs| few.take_cron(second(secs), 3.0 + (secs % 2) as f64));
        assert_eq!(said(&few, 200), None);
    }
}
