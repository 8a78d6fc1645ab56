//! Disks: how long their requests take, and whether arrays and pools are whole.

use firstlook_model::symptom::{families, kinds};
use firstlook_model::{ComponentId, Timestamp, signal::names};
use serde::{Deserialize, Serialize};

use crate::baseline::Baseline;
use crate::draft::{Finding, Source};
use crate::plan::Row;
use crate::watch::{Reading, Rule, Run, Watch};
use crate::window::{Meter, Window};
use crate::words;

pub(crate) const SIGNALS: [&str; 11] = [
    names::DISK_READS,
    names::DISK_WRITES,
    names::DISK_READ_SECONDS,
    names::DISK_WRITE_SECONDS,
    names::DISK_READ_BYTES,
    names::DISK_WRITTEN_BYTES,
    names::ARRAY_MEMBERS,
    names::ARRAY_MEMBERS_ACTIVE,
    names::ARRAY_MEMBERS_FAILED,
    names::POOL_DEGRADED,
    names::POOL_FAILED,
];
const REQUESTS: [usize; 2] = [0, 1];
const SECONDS: [usize; 2] = [2, 3];
const BYTES: [usize; 2] = [4, 5];
const MEMBERS: usize = 6;
const ACTIVE: usize = 7;
const FAILED: usize = 8;
const POOL_DEGRADED: usize = 9;
const POOL_FAILED: usize = 10;

/// Mean time of a request over ten seconds: seconds, and times the usual, both; and the least number of requests.
const SLOW_S: f64 = 0.03;
const SLOW_TIMES: f64 = 5.0;
const LEAST_REQUESTS: f64 = 20.0;
/// Smallest deviation of that time that means anything.
const WAIT_FLOOR_S: f64 = 0.001;
/// Bytes a second that more than this many times the usual ask, and this much more, are load: that a disk is slow then
/// is nobody's fault.
const LOAD_TIMES: f64 = 2.0;
const LOAD_BYTES: f64 = 1e6;
const SLOW: Rule = Rule::new(5, 6, 20);
const WHOLE: Rule = Rule::new(2, 4, 60);
/// So long after the kernel's last line an error of the device still counts.
const ERRORS: Rule = Rule::new(1, 0, 60);

/// What is known of one disk, array or pool.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Disk {
    meters: [Meter; 6],
    waits: Window,
    moved: Window,
    usual_wait: Baseline,
    usual_bytes: Baseline,
    slow: Watch,
    broken: Watch,
    errors: Watch,
    error: String,
    state: String,
    last: Option<Timestamp>,
}

impl Default for Disk {
    fn default() -> Self {
        Self {
            meters: Default::default(),
            waits: Window::seconds(10),
            moved: Window::seconds(10),
            usual_wait: Baseline::NEW,
            usual_bytes: Baseline::NEW,
            slow: Watch::default(),
            broken: Watch::default(),
            errors: Watch::default(),
            error: String::new(),
            state: String::new(),
            last: None,
        }
    }
}

impl Disk {
    pub fn take(&mut self, at: Timestamp, row: &Row<'_>, warm: bool) {
        self.last = self.last.max(Some(at));
        self.take_state(at, row);
        let mut step = |meter: usize, signal: usize| self.meters[meter].step(at, row.get(signal));
        let requests = REQUESTS.map(|signal| step(signal, signal));
        let waited = SECONDS.map(|signal| step(signal, signal));
        let bytes = BYTES.map(|signal| step(signal, signal));
        let sum = |steps: [Option<(f64, f64)>; 2]| {
            steps.into_iter().flatten().fold(None, |all, (by, secs)| {
                let (sum, _) = all.unwrap_or((0.0, secs));
                Some((sum + by, secs))
            })
        };
        let (Some((requests, secs)), Some((waited, _))) = (sum(requests), sum(waited)) else {
            return;
        };
        self.waits.push(at, waited, requests);
        self.moved
            .push(at, sum(bytes).map_or(0.0, |(by, _)| by), secs);
        self.judge(at, warm);
    }

    fn judge(&mut self, at: Timestamp, warm: bool) {
        let (_, requests) = self.waits.sums();
        let wait = self.waits.ratio().unwrap_or(0.0);
        let bytes = self.moved.ratio().unwrap_or(0.0);
        let usual = self.usual_wait.location();
        let loaded = bytes > LOAD_TIMES * self.usual_bytes.location() + LOAD_BYTES;
        let enough = requests >= LEAST_REQUESTS && self.usual_wait.is_warm();
        let slow = wait >= SLOW_S && wait >= SLOW_TIMES * usual;
        if warm {
            let clear = wait < 0.5 * SLOW_S || wait < 0.5 * SLOW_TIMES * usual;
            let reading = Reading::of(enough && slow && !loaded, clear);
            self.slow.take(at, reading, wait, usual, SLOW);
        } else {
            self.slow.learn(at, !slow);
        }
        if self.slow.is_quiet() && requests > 0.0 {
            self.usual_wait.feed(wait, WAIT_FLOOR_S);
            self.usual_bytes.feed(bytes, LOAD_BYTES);
        }
    }

    /// Arrays and pools: what they lack of being whole.
    fn take_state(&mut self, at: Timestamp, row: &Row<'_>) {
        let members = row.get(MEMBERS).zip(row.get(ACTIVE));
        let failed = row.get(FAILED).unwrap_or(0.0);
        let pool = row.get(POOL_DEGRADED).zip(row.get(POOL_FAILED));
        let broken = match (members, pool) {
            (Some((all, active)), _) => {
                let broken = active < all || failed > 0.0;
                if broken {
                    self.state = format!(
                        "{active:.0} of {all:.0} members work, {failed:.0} marked as failed"
                    );
                }
                broken
            }
            (None, Some((degraded, failed))) => {
                let words = match failed > 0.0 {
                    true => "the pool does not work",
                    false => "the pool has less redundancy than it should have",
                };
                if degraded > 0.0 || failed > 0.0 {
                    self.state = words.to_owned();
                }
                degraded > 0.0 || failed > 0.0
            }
            (None, None) => return,
        };
        self.broken
            .take(at, Reading::of(broken, !broken), 1.0, 0.0, WHOLE);
    }

    /// The kernel wrote of an error of the device.
    pub fn error(&mut self, at: Timestamp, line: &str) {
        self.errors.take(at, Reading::Bad, 1.0, 0.0, ERRORS);
        self.error = words::clip(line, 160);
    }

    pub fn findings(&self, id: &ComponentId, now: Timestamp) -> Vec<Finding> {
        let finding = |kind, run: &Run, severity, gate, text, source| Finding {
            component: id.clone(),
            peer: None,
            kind,
            family: families::DISK,
            span: run.span,
            severity,
            gate,
            text,
            source,
        };
        let mut found = Vec::new();
        if let Some(run) = self.slow.live(now, SLOW) {
            let text = format!(
                "a request takes {}, usual {}, while {}/s are moved (usual {}/s)",
                words::millis(run.latest * 1_000.0),
                words::millis(run.usual * 1_000.0),
                words::bytes(self.moved.ratio().unwrap_or(0.0)),
                words::bytes(self.usual_bytes.location()),
            );
            let source = Source::Metric(names::DISK_WEIGHTED_SECONDS);
            // Whoever waits for it says so.
            found.push(finding(kinds::DISK_SLOW, run, 0.7, false, text, source));
        }
        if let Some(run) = self.broken.live(now, WHOLE) {
            // Broken before we looked is an old story, though still a risk.
            let turned = run.span.after.is_some();
            let severity = if turned { 0.9 } else { 0.4 };
            let text = self.state.clone();
            let source = Source::Metric(names::ARRAY_MEMBERS_ACTIVE);
            found.push(finding(
                kinds::DISK_DEGRADED,
                run,
                severity,
                turned,
                text,
                source,
            ));
        }
        if let Some(run) = self.errors.live(now, ERRORS) {
            let lines = words::count(u64::from(run.count), "line");
            let text = format!("{lines} of the kernel: {}", self.error);
            let source = Source::Log(None);
            found.push(finding(kinds::DISK_ERRORS, run, 0.9, false, text, source));
        }
        found
    }

    /// What was usual of it is forgotten, and that it is slow against that is over.
    pub fn forget_usual(&mut self) {
        (self.usual_wait, self.usual_bytes) = (Baseline::NEW, Baseline::NEW);
        self.slow = Watch::default();
    }

    /// Last sign of it.
    pub fn last(&self) -> Option<Timestamp> {
        self.last
    }

    /// The host's clock was set back: what is usual stays.
    pub fn stepped(&mut self) {
        let usual = (self.usual_wait, self.usual_bytes);
        *self = Self::default();
        (self.usual_wait, self.usual_bytes) = usual;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(disk: &Disk, now: i64) -> Vec<&'static str> {
        let id = "disk:h1/sda".parse().expect("an id");
        let found = disk.findings(&id, Timestamp::from_secs(now));
        found.into_iter().map(|f| f.kind).collect()
    }

    #[test]
    fn an_error_of_the_device_is_told_for_a_minute_with_the_kernels_line() {
        let mut disk = Disk::default();
        let at = Timestamp::from_secs;
        disk.error(at(100), "I/O error, dev sda, sector 7");
        assert_eq!(shown(&disk, 110), [kinds::DISK_ERRORS]);
        assert!(shown(&disk, 161).is_empty());
    }
}
