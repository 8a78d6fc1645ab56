//! Units: what the service manager says of a service.

use std::collections::VecDeque;
use std::time::Duration;

use firstlook_model::symptom::{families, kinds};
use firstlook_model::{ActiveState, ComponentId, Timestamp, UnitState};
use serde::{Deserialize, Serialize};

use crate::clock::HostClock;
use crate::context::Context;
use crate::draft::{Finding, Health, Source};
use crate::watch::Span;
use crate::words;

/// A restart by hand passes through `inactive` faster than this.
const DOWN_AFTER: Duration = Duration::from_secs(3);
/// A caller that was alive this shortly before the end is hurt by it.
const CALLED_WITHIN: Duration = Duration::from_secs(60);
/// Automatic restarts within [`LOOP_WITHIN`] that make a loop.
const LOOP: u32 = 3;
const LOOP_WITHIN: Duration = Duration::from_secs(60);
/// A change of state is reported within this time.
const REPORTED_WITHIN: Duration = Duration::from_secs(5);
/// Fewer will do while the manager waits to restart it once more, within [`SLOW_LOOP_WITHIN`].
const SLOW_LOOP: u32 = 2;
const SLOW_LOOP_WITHIN: Duration = Duration::from_secs(180);
/// How long a loop holds after its last restart.
const LOOP_HOLD: Duration = Duration::from_secs(45);
const RESTARTS_LIMIT: usize = 64;
/// How long an end by its watchdog is told: as long as its consequences usually take.
const WATCHDOG_HOLD: Duration = Duration::from_secs(60);
/// All states come every minute: one this old is of a source that ended.
const STATE_FRESH: Duration = Duration::from_secs(150);

/// One unit's past, as far as it matters.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Unit {
    state: UnitState,
    /// It was seen up.
    ran: bool,
    last_up: Option<Timestamp>,
    /// When it left the up states, while it has not come back.
    fell: Option<Span>,
    restarts: VecDeque<(Timestamp, u32)>,
    /// Begin of the present series of restarts.
    series: Option<Span>,
    /// When its watchdog ended it, the last time that it did.
    watchdog: Option<Span>,
}

impl Unit {
    pub fn first(state: UnitState) -> Self {
        let up = is_up(&state);
        let began = state
            .since
            .filter(|since| *since <= state.time)
            .unwrap_or(state.time);
        Self {
            ran: up,
            last_up: up.then_some(state.time),
            fell: (!up).then_some(Span {
                after: None,
                first: began,
                last: state.time,
            }),
            restarts: VecDeque::new(),
            series: None,
            watchdog: None,
            state,
        }
    }

    /// Takes the next state; late and repeated ones change nothing. Whether the manager reports a kill
    /// for want of memory that is new, or still the reason for its failure.
    pub fn take(&mut self, state: UnitState) -> bool {
        if state.time <= self.state.time {
            return false;
        }
        self.take_restarts(&state);
        let up = is_up(&state);
        if up {
            (self.ran, self.last_up, self.fell) = (true, Some(state.time), None);
        } else if self.fell.is_none() {
            self.fell = Some(self.fall(&state));
        }
        let before = std::mem::replace(&mut self.state, state);
        self.take_watchdog(&before);
        let killed = self.state.result == "oom-kill";
        let news = before.result != "oom-kill" || before.invocation != self.state.invocation;
        killed && (news || (self.state.active == ActiveState::Failed && self.ran))
    }

    /// An end by its watchdog that is new, or still the reason for its failure.
    fn take_watchdog(&mut self, before: &UnitState) {
        let state = &self.state;
        if state.result != "watchdog" {
            return;
        }
        let news = before.result != "watchdog" || before.invocation != state.invocation;
        if news {
            self.watchdog = Some(Span {
                after: Some(before.time.max(state.time.minus(REPORTED_WITHIN))),
                ..Span::at(state.time)
            });
        } else if let Some(span) = &mut self.watchdog
            && state.active == ActiveState::Failed
        {
            span.last = state.time;
        }
    }

    fn ended_by_watchdog(&self, now: Timestamp) -> Option<Finding> {
        let span = self.watchdog?;
        let fresh = now.since(span.last) <= WATCHDOG_HOLD;
        let text = "ended by its manager: it gave no sign of life in time".to_owned();
        fresh.then(|| self.finding(kinds::UNIT_WATCHDOG, span, 1.0, true, text))
    }

    /// When it left the up states: by the manager's stamp, else within the reporting interval.
    fn fall(&self, state: &UnitState) -> Span {
        let fits = |t: &Timestamp| *t <= state.time && self.last_up.is_none_or(|up| *t >= up);
        let first = state.since.filter(fits).unwrap_or(state.time);
        Span {
            after: self.last_up.map(|up| up.max(first.minus(REPORTED_WITHIN))),
            first,
            last: state.time,
        }
    }

    fn take_restarts(&mut self, state: &UnitState) {
        let (now, before) = (state.restarts, self.state.restarts);
        if now < before {
            self.restarts.clear();
            self.series = None;
        }
        if now <= before {
            return;
        }
        let at = state.time;
        let quiet = self
            .restarts
            .back()
            .is_none_or(|(last, _)| at.since(*last) > SLOW_LOOP_WITHIN);
        if quiet {
            self.series = None;
        }
        let fell = self.fell.unwrap_or_else(|| self.fall(state));
        let begun = self.series.get_or_insert(fell);
        begun.last = at;
        self.restarts.push_back((at, now - before));
        if self.restarts.len() > RESTARTS_LIMIT {
            self.restarts.pop_front();
        }
    }

    fn restarted_within(&self, now: Timestamp, within: Duration) -> u32 {
        let recent = self
            .restarts
            .iter()
            .filter(|(at, _)| now.since(*at) <= within);
        recent.fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    pub fn findings(&self, clock: &HostClock, now: Timestamp, context: &Context) -> Vec<Finding> {
        let down = match self.state.active {
            ActiveState::Failed => self.failed(now, context),
            ActiveState::Inactive => self.down(clock, now, context),
            _ => None,
        };
        let watchdog = self.ended_by_watchdog(now);
        let found = self.looping(now).into_iter().chain(down);
        found.chain(watchdog).collect()
    }

    /// Failed before we looked is an old story, unless somebody calls it.
    fn failed(&self, now: Timestamp, context: &Context) -> Option<Finding> {
        let fell = self.fell?;
        let matters = self.ran || context.callers(&self.state.component).any();
        let text = format!("failed: {}", how(&self.state));
        let (severity, span) = (if matters { 1.0 } else { 0.3 }, Span { last: now, ..fell });
        Some(self.finding(kinds::UNIT_FAILED, span, severity, matters, text))
    }

    fn down(&self, clock: &HostClock, now: Timestamp, context: &Context) -> Option<Finding> {
        let fell = self.fell.filter(|_| self.ran)?;
        if now.since(fell.first) < DOWN_AFTER {
            return None;
        }
        let ended = clock.corrected(fell.first);
        let alive = context.callers(&self.state.component).last_alive;
        let called = alive.is_some_and(|alive| ended.since(alive) <= CALLED_WITHIN);
        if !self.state.wanted && !called {
            return None;
        }
        let clean = self.state.result == "success" && !matches!(self.state.exit_code, 2 | 3);
        let gate = called || !clean;
        let severity = match (called, clean) {
            (true, _) => 1.0,
            (false, false) => 0.8,
            (false, true) => 0.4,
        };
        let text = format!(
            "inactive ({}): {}{}",
            words::clip(&self.state.sub, 40),
            how(&self.state),
            if called { "; it had callers" } else { "" },
        );
        let span = Span { last: now, ..fell };
        Some(self.finding(kinds::UNIT_DOWN, span, severity, gate, text))
    }

    fn looping(&self, now: Timestamp) -> Option<Finding> {
        let series = self.series?;
        let waiting = self.state.sub == "auto-restart";
        if now.since(series.last)
            > LOOP_HOLD.max(if waiting { SLOW_LOOP_WITHIN } else { LOOP_HOLD })
        {
            return None;
        }
        let fast = self.restarted_within(series.last, LOOP_WITHIN);
        let slow = self.restarted_within(series.last, SLOW_LOOP_WITHIN);
        if fast < LOOP && !(waiting && slow >= SLOW_LOOP) {
            return None;
        }
        let text = format!(
            "restarted {} by its manager within {}, {} in all; last end: {}",
            times(slow),
            words::span(series.length().max(Duration::from_secs(1))),
            self.state.restarts,
            how(&self.state),
        );
        Some(self.finding(kinds::UNIT_RESTARTING, series, 0.9, true, text))
    }

    fn finding(
        &self,
        kind: &'static str,
        span: Span,
        severity: f64,
        gate: bool,
        text: String,
    ) -> Finding {
        Finding {
            component: self.state.component.clone(),
            peer: None,
            kind,
            family: families::UNIT,
            span,
            severity,
            gate,
            text,
            source: Source::Unit,
        }
    }

    /// Attested while it is up: the manager would have said within a second that it is not.
    pub fn health(&self, now: Timestamp, coverage: f64) -> Option<Health> {
        let fresh = now.since(self.state.time) <= STATE_FRESH;
        (is_up(&self.state) && fresh).then(|| Health {
            component: self.state.component.clone(),
            family: families::UNIT,
            coverage,
            last: now,
            text: format!(
                "active ({}), {} since it was loaded; its end would have shown at once",
                words::clip(&self.state.sub, 40),
                words::count(u64::from(self.state.restarts), "automatic restart"),
            ),
            source: Source::Unit,
        })
    }

    /// Whether it is up, or meant to be.
    pub fn is_wanted(&self) -> bool {
        self.state.wanted || is_up(&self.state)
    }

    /// The state that it was last seen in.
    pub fn state(&self) -> &UnitState {
        &self.state
    }

    pub fn component(&self) -> &ComponentId {
        &self.state.component
    }

    pub fn last(&self) -> Timestamp {
        self.state.time
    }
}

fn is_up(state: &UnitState) -> bool {
    matches!(state.active, ActiveState::Active | ActiveState::Reloading)
}

fn times(number: u32) -> String {
    words::count(u64::from(number), "time")
}

/// How its main process ended, as far as the manager says.
fn how(state: &UnitState) -> String {
    let result = words::clip(&state.result, 40);
    match (state.exit_code, state.exit_status) {
        (1, status) => format!("{result}, exit status {status}"),
        (2 | 3, signal) => format!("{result}, killed by {}", signal_name(signal)),
        _ => result,
    }
}

fn signal_name(number: i32) -> String {
    let name = match number {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        _ => return format!("signal {number}"),
    };
    name.to_owned()
}
