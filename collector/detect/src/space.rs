//! Filesystems: space, inodes, mount state, calls that do not return.

use firstlook_model::symptom::{families, kinds};
use firstlook_model::{ComponentId, Timestamp, signal::names};
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::draft::{Finding, Health, Source};
use crate::plan::Row;
use crate::watch::{Reading, Rule, Run, Watch};
use crate::window::Meter;
use crate::words;

pub(crate) const SIGNALS: [&str; 9] = [
    names::FILESYSTEM_SIZE,
    names::FILESYSTEM_AVAILABLE,
    names::FILESYSTEM_INODES,
    names::FILESYSTEM_INODES_AVAILABLE,
    names::FILESYSTEM_READONLY,
    names::FILESYSTEM_HUNG,
    names::FILESYSTEM_FREE,
    names::FILESYSTEM_ERRORS,
    names::FILESYSTEM_DEVICES_MISSING,
];
const SIZE: usize = 0;
const AVAILABLE: usize = 1;
const INODES: usize = 2;
const INODES_AVAILABLE: usize = 3;
const READONLY: usize = 4;
const HUNG: usize = 5;
const ERRORS: usize = 7;
const MISSING: usize = 8;

/// Share available at or below which space is exhausted, on filesystems where it is also under
/// [`EXHAUSTED_BYTES`]; and the share from which it is not.
const EXHAUSTED: f64 = 0.02;
const AMPLE: f64 = 0.03;
/// 2% of a large filesystem is no want.
const EXHAUSTED_BYTES: f64 = 5e9;
/// So little is none, whatever the share.
const NONE_BYTES: f64 = 64.0 * 1024.0;
/// Inodes above which 2% of them is no want.
const EXHAUSTED_INODES: f64 = 20_000.0;
/// Share at or below which running out is reason for an incident.
const GATE: f64 = 0.01;
/// Below this size it is a control filesystem or an image, not a place to write.
const SMALLEST_BYTES: f64 = 1024.0 * 1024.0;

const FULL: Rule = Rule::new(2, 1, 15);
const MOUNT: Rule = Rule::new(2, 1, 15);
const CALLS: Rule = Rule::new(2, 2, 15);
/// An error is an event. It stands on the disk.
const DAMAGE: Rule = Rule::new(1, 0, 60);

/// What is known of one filesystem.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Filesystem {
    space: Watch,
    inodes: Watch,
    readonly: Watch,
    hung: Watch,
    damage: Watch,
    /// The same by lines of the kernel, whose times run beside those of samples.
    said: Watch,
    errors: Meter,
    damaged: String,
    last: Option<Timestamp>,
    now: Levels,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Levels {
    size: f64,
    available: f64,
    inodes: f64,
    inodes_available: f64,
    /// Well inside every limit.
    ample: bool,
    /// Share available before it ran out.
    usual: f64,
    usual_inodes: f64,
}

impl Filesystem {
    pub fn take(&mut self, at: Timestamp, row: &Row<'_>) {
        if let Some(hung) = row.get(HUNG) {
            self.hung
                .take(at, Reading::of(hung > 0.0, hung <= 0.0), hung, 0.0, CALLS);
        }
        self.take_damage(at, row);
        let readonly = row.get(READONLY).is_some_and(|v| v > 0.0);
        if row.get(READONLY).is_some() {
            self.readonly
                .take(at, Reading::of(readonly, !readonly), 1.0, 0.0, MOUNT);
        }
        let size = row.get(SIZE).unwrap_or(0.0);
        // What cannot be written to cannot run out: image mounts are full by nature.
        if readonly || size < SMALLEST_BYTES {
            return;
        }
        self.last = Some(at);
        self.now.ample = true;
        self.now.size = size;
        if let Some(available) = row.get(AVAILABLE) {
            self.take_space(at, size, available);
        }
        if let (Some(inodes), Some(left)) = (row.get(INODES), row.get(INODES_AVAILABLE))
            && inodes > 0.0
        {
            self.take_inodes(at, inodes, left);
        }
    }

    fn take_damage(&mut self, at: Timestamp, row: &Row<'_>) {
        if let Some((errors, _)) = self.errors.step(at, row.get(ERRORS)) {
            if errors > 0.0 {
                self.damaged = format!("{errors:.0} more errors counted by the filesystem");
            }
            let reading = Reading::of(errors > 0.0, errors <= 0.0);
            self.damage.take(at, reading, errors, 0.0, DAMAGE);
        }
        if row.get(MISSING).is_some_and(|missing| missing > 0.0) {
            self.damaged = "devices that it should have are missing".to_owned();
            self.damage.take(at, Reading::Bad, 1.0, 0.0, DAMAGE);
        }
    }

    /// The kernel wrote of an error of its structures.
    pub fn error(&mut self, at: Timestamp, line: &str) {
        self.said.take(at, Reading::Bad, 1.0, 0.0, DAMAGE);
        self.damaged = words::clip(line, 160);
    }

    fn take_space(&mut self, at: Timestamp, size: f64, available: f64) {
        let share = available / size;
        let bad = available <= NONE_BYTES || (share <= EXHAUSTED && available < EXHAUSTED_BYTES);
        let clear = available > NONE_BYTES && (share > AMPLE || available > 1.2 * EXHAUSTED_BYTES);
        self.space
            .take(at, Reading::of(bad, clear), share, self.now.usual, FULL);
        if self.space.is_quiet() {
            self.now.usual +=
                (share - self.now.usual) * if self.now.usual == 0.0 { 1.0 } else { 0.05 };
        }
        self.now.available = available;
        self.now.ample &= clear;
    }

    fn take_inodes(&mut self, at: Timestamp, inodes: f64, left: f64) {
        let share = left / inodes;
        let bad = left < 1.0 || (share <= EXHAUSTED && left < EXHAUSTED_INODES);
        let clear = share > AMPLE || left > 1.2 * EXHAUSTED_INODES;
        self.inodes.take(
            at,
            Reading::of(bad, clear),
            share,
            self.now.usual_inodes,
            FULL,
        );
        if self.inodes.is_quiet() {
            let weight = if self.now.usual_inodes == 0.0 {
                1.0
            } else {
                0.05
            };
            self.now.usual_inodes += (share - self.now.usual_inodes) * weight;
        }
        (self.now.inodes, self.now.inodes_available) = (inodes, left);
        self.now.ample &= clear;
    }

    pub fn findings(&self, id: &ComponentId, now: Timestamp, context: &Context) -> Vec<Finding> {
        let no_space = id
            .host_id()
            .is_some_and(|host| context.no_space.contains(host));
        let mut found = Vec::new();
        if let Some(run) = self.space.live(now, FULL) {
            let text = format!(
                "{} of {} available to users ({}), {}",
                words::bytes(run.latest * self.now.size),
                words::bytes(self.now.size),
                words::percent(run.latest),
                before(run),
            );
            let gate = gates(run, no_space);
            let signal = names::FILESYSTEM_AVAILABLE;
            found.push(finding(id, kinds::SPACE_EXHAUSTED, run, gate, text, signal));
        }
        if let Some(run) = self.inodes.live(now, FULL) {
            let text = format!(
                "{:.0} of {:.0} inodes available to users ({}), {}; {} of space available",
                run.latest * self.now.inodes,
                self.now.inodes,
                words::percent(run.latest),
                before(run),
                words::bytes(self.now.available),
            );
            let gate = gates(run, no_space);
            let signal = names::FILESYSTEM_INODES_AVAILABLE;
            found.push(finding(
                id,
                kinds::INODES_EXHAUSTED,
                run,
                gate,
                text,
                signal,
            ));
        }
        let said = self.said.live(now, DAMAGE);
        if let Some(run) = said.or_else(|| self.damage.live(now, DAMAGE)) {
            let text = self.damaged.clone();
            let signal = names::FILESYSTEM_ERRORS;
            found.push(finding(
                id,
                kinds::FILESYSTEM_ERRORS,
                run,
                false,
                text,
                signal,
            ));
        }
        // Only a turn is a symptom: what was mounted read-only before we looked is meant to be.
        let turned = self
            .readonly
            .live(now, MOUNT)
            .filter(|run| run.span.after.is_some());
        if let Some(run) = turned {
            let text = "mounted read-only; it was writable".to_owned();
            found.push(finding(
                id,
                kinds::READONLY,
                run,
                true,
                text,
                names::FILESYSTEM_READONLY,
            ));
        }
        if let Some(run) = self.hung.live(now, CALLS) {
            let text = format!(
                "calls have not returned for {}",
                words::span(run.span.length())
            );
            found.push(finding(
                id,
                kinds::FILESYSTEM_HUNG,
                run,
                true,
                text,
                names::FILESYSTEM_HUNG,
            ));
        }
        found
    }

    pub fn health(&self, id: &ComponentId, coverage: f64) -> Option<Health> {
        let last = self
            .last
            .filter(|_| self.now.ample && self.hung.is_quiet())?;
        let mut text = format!(
            "{} of {} available, would have shown {}",
            words::percent(self.now.available / self.now.size),
            words::bytes(self.now.size),
            words::percent(EXHAUSTED),
        );
        if self.now.inodes > 0.0 {
            let share = self.now.inodes_available / self.now.inodes;
            text.push_str(&format!("; {} of inodes available", words::percent(share)));
        }
        Some(Health {
            component: id.clone(),
            family: families::FILESYSTEM,
            coverage,
            last,
            text,
            source: Source::Metric(names::FILESYSTEM_AVAILABLE),
        })
    }

    pub fn last(&self) -> Option<Timestamp> {
        self.last.max(self.hung.last()).max(self.readonly.last())
    }
}

/// It ran out under our eyes, or somebody is refused space: else it is a risk, and maybe an old one.
fn gates(run: &Run, no_space: bool) -> bool {
    no_space || (run.span.after.is_some() && run.latest <= GATE)
}

fn before(run: &Run) -> String {
    match run.span.after {
        Some(_) => format!("{} before", words::percent(run.usual)),
        None => "as long as it was watched".to_owned(),
    }
}

fn finding(
    id: &ComponentId,
    kind: &'static str,
    run: &Run,
    gate: bool,
    text: String,
    signal: &'static str,
) -> Finding {
    Finding {
        component: id.clone(),
        peer: None,
        kind,
        family: families::FILESYSTEM,
        span: run.span,
        severity: if gate { 1.0 } else { 0.4 },
        gate,
        text,
        source: Source::Metric(signal),
    }
}
