//! From what systemd says of a service now, and said before: its state, and what changed. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use firstlook_model::{ActiveState, Change, ChangeKind, ComponentId, Timestamp, UnitState};

/// Between two reports of automatic restarts of one unit: a crash loop restarts ten times a second, and
/// its counter says how often anyway.
const AUTOMATIC_RESTART_PAUSE: Duration = Duration::from_secs(10);

/// waitid(2)'s CLD_EXITED.
const EXITED: i32 = 1;

/// What the manager says of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) component: ComponentId,
    pub(crate) active: ActiveState,
    pub(crate) sub: String,
    pub(crate) result: String,
    pub(crate) restarts: u32,
    pub(crate) main_pid: u32,
    pub(crate) exit_code: i32,
    pub(crate) exit_status: i32,
    pub(crate) since: Option<Timestamp>,
    pub(crate) invocation: String,
    /// Enabled, or without an `[Install]` of its own but wanted by a unit that is active.
    pub(crate) enabled: bool,
    /// Whether the conditions of its unit file held when it was last started.
    pub(crate) condition_met: bool,
    /// `Type=oneshot`.
    pub(crate) oneshot: bool,
    /// Whether a job (start, stop, restart) waits or runs for it.
    pub(crate) job: bool,
}

impl Seen {
    /// Down, and without a past: the manager loaded it only to answer.
    pub(crate) fn is_unloaded(&self) -> bool {
        self.active == ActiveState::Inactive && self.invocation.is_empty() && self.exit_code == 0
    }

    fn is_up(&self) -> bool {
        matches!(self.active, ActiveState::Active | ActiveState::Reloading)
    }
}

/// A unit as known so far in this agent's life.
#[derive(Debug)]
struct Known {
    seen: Seen,
    /// It was up since the agent started.
    ran: bool,
    /// A job came for it since it was last up and quiet.
    requested: bool,
    /// It went down because somebody asked.
    stopped: bool,
    /// Result of its last end that was no success, until reported.
    last_failure: Option<String>,
    restart_reported: Option<Timestamp>,
    /// A oneshot's failure was reported, so that its recovery must be too.
    reported: bool,
}

/// Every service's past.
#[derive(Debug, Default)]
pub(crate) struct Tracker {
    units: BTreeMap<String, Known>,
}

impl Tracker {
    /// A job was queued for this unit: what happens next was asked for.
    pub(crate) fn job(&mut self, unit: &str) {
        if let Some(known) = self.units.get_mut(unit) {
            known.requested = true;
        }
    }

    /// Takes what the manager says now. `jobs_seen`: whether jobs are being told; if they are not, every
    /// clean stop counts as asked for. Returns the state if it is worth reporting and differs from the
    /// one before, and what changed.
    pub(crate) fn update(
        &mut self,
        unit: &str,
        seen: Seen,
        now: Timestamp,
        jobs_seen: bool,
    ) -> (Option<UnitState>, Vec<Change>) {
        let Some(known) = self.units.get_mut(unit) else {
            let mut known = Known::first(seen);
            let state = known.state(now);
            self.units.insert(unit.to_owned(), known);
            return (state, Vec::new());
        };
        if known.seen == seen {
            return (None, Vec::new());
        }
        let changes = known.advance(unit, seen, now, jobs_seen);
        // Down with a job: on its way up again. If it stays so, the next full state tells.
        let passing = known.seen.active == ActiveState::Inactive && known.seen.job;
        (known.state(now).filter(|_| !passing), changes)
    }

    /// This unit exists no more. Its last state is no fault of anybody: it is returned as down and
    /// unwanted, if it was worth reporting.
    pub(crate) fn forget(&mut self, unit: &str, now: Timestamp) -> Option<UnitState> {
        let mut state = self.units.remove(unit)?.state(now)?;
        state.wanted = false;
        state.main_pid = 0;
        state.active = ActiveState::Inactive;
        Some(state)
    }

    /// Names of all units known.
    pub(crate) fn names(&self) -> Vec<String> {
        self.units.keys().cloned().collect()
    }

    /// The (active, sub) pair last seen, to compare with a listing.
    pub(crate) fn last(&self, unit: &str) -> Option<(ActiveState, &str)> {
        let seen = &self.units.get(unit)?.seen;
        Some((seen.active, seen.sub.as_str()))
    }

    /// The state of every unit worth reporting.
    pub(crate) fn all(&mut self, now: Timestamp) -> Vec<UnitState> {
        self.units
            .values_mut()
            .filter_map(|known| known.state(now))
            .collect()
    }
}

impl Known {
    fn first(seen: Seen) -> Self {
        Self {
            ran: seen.is_up() && !seen.oneshot,
            requested: seen.job,
            stopped: false,
            last_failure: None,
            restart_reported: None,
            reported: false,
            seen,
        }
    }

    fn advance(&mut self, unit: &str, seen: Seen, now: Timestamp, jobs_seen: bool) -> Vec<Change> {
        let before = std::mem::replace(&mut self.seen, seen);
        self.requested |= self.seen.job;
        if self.seen.result != "success" {
            self.last_failure = Some(self.seen.result.clone());
        }
        let mut changes = Vec::new();
        if !self.seen.oneshot {
            changes.extend(self.restarted(unit, &before, now));
            changes.extend(self.went_down(unit, now, jobs_seen));
        }
        if self.seen.is_up() {
            self.ran |= !self.seen.oneshot;
            self.stopped = false;
            // A stop just queued finds its unit still up: then the request stands.
            self.requested = self.seen.job;
        }
        changes
    }

    fn restarted(&mut self, unit: &str, before: &Seen, now: Timestamp) -> Option<Change> {
        let begins = matches!(
            self.seen.active,
            ActiveState::Active | ActiveState::Activating | ActiveState::Reloading
        ) && self.seen.sub != "auto-restart";
        if self.seen.active == ActiveState::Reloading && before.active == ActiveState::Active {
            return Some(self.change(
                ChangeKind::Restart,
                unit,
                now,
                format!("{unit} was reloaded"),
            ));
        }
        if !begins || self.seen.invocation.is_empty() || self.seen.invocation == before.invocation {
            return None;
        }
        let failure = self.last_failure.take();
        if self.seen.restarts > before.restarts {
            let recent = self
                .restart_reported
                .is_some_and(|at| now.since(at) < AUTOMATIC_RESTART_PAUSE);
            if recent {
                return None;
            }
            self.restart_reported = Some(now);
            let why = failure.unwrap_or_else(|| before.result.clone());
            let text = format!(
                "{unit} was restarted by systemd after {why} (restart {} since it was loaded)",
                self.seen.restarts
            );
            return Some(self.change(ChangeKind::Restart, unit, now, text));
        }
        let verb = if self.ran && !self.stopped && failure.is_none() {
            "was restarted"
        } else {
            "was started"
        };
        let text = match failure {
            Some(result) => format!("{unit} {verb}; it had ended with {result}"),
            None => format!("{unit} {verb}"),
        };
        Some(self.change(ChangeKind::Restart, unit, now, text))
    }

    /// A restart passes through `inactive` too, but with its job still there.
    fn went_down(&mut self, unit: &str, now: Timestamp, jobs_seen: bool) -> Option<Change> {
        let down = self.seen.active == ActiveState::Inactive && !self.seen.job;
        let asked = self.requested || !jobs_seen;
        if !down || !self.ran || self.stopped || self.seen.result != "success" || !asked {
            return None;
        }
        self.stopped = true;
        let text = format!("{unit} was stopped on request");
        Some(self.change(ChangeKind::Stop, unit, now, text))
    }

    fn change(&self, kind: ChangeKind, unit: &str, now: Timestamp, text: String) -> Change {
        let time = self.seen.since.unwrap_or(now);
        let word = if kind == ChangeKind::Stop {
            "stop"
        } else {
            "restart"
        };
        Change {
            id: format!("{word}:{unit}@{}", time.as_micros()),
            time,
            component: self.seen.component.clone(),
            kind,
            text,
            detail: String::new(),
        }
    }

    /// The state to report. None for what is no news to anybody: a oneshot that did its work, a service
    /// that is not meant to run and has not.
    fn state(&mut self, now: Timestamp) -> Option<UnitState> {
        let seen = &self.seen;
        let failed = seen.active == ActiveState::Failed;
        if seen.oneshot {
            let worth = failed || self.reported;
            self.reported = failed;
            if !worth {
                return None;
            }
        } else if seen.active == ActiveState::Inactive && !self.ran && !self.wanted() {
            return None;
        }
        Some(UnitState {
            component: seen.component.clone(),
            time: now,
            active: seen.active,
            sub: seen.sub.clone(),
            result: seen.result.clone(),
            restarts: seen.restarts,
            main_pid: seen.main_pid,
            exit_code: seen.exit_code,
            exit_status: seen.exit_status,
            since: seen.since,
            wanted: self.wanted(),
            invocation: seen.invocation.clone(),
        })
    }

    /// Whether its being down is a fault. An enabled unit that was never started since boot, or whose
    /// conditions did not hold, is down as it should be.
    fn wanted(&self) -> bool {
        let seen = &self.seen;
        let never_started =
            seen.invocation.is_empty() && seen.active == ActiveState::Inactive && !self.ran;
        if seen.active == ActiveState::Failed {
            return true;
        }
        (seen.enabled && seen.condition_met && !never_started)
            || (self.ran && !self.stopped && !self.did_its_work())
    }

    /// It ended by itself and well, as a service started by hand for one piece of work does.
    fn did_its_work(&self) -> bool {
        let seen = &self.seen;
        seen.active == ActiveState::Inactive && seen.exit_code == EXITED && seen.exit_status == 0
    }
}

#[cfg(test)]
mod tests;
