//! One network interface.

use firstlook_model::symptom::{families, kinds};
use firstlook_model::{ComponentId, Timestamp, signal::names};
use serde::{Deserialize, Serialize};

use crate::anew::Anew;
use crate::baseline::Baseline;
use crate::draft::{Finding, Health, Source};
use crate::plan::Row;
use crate::watch::{Reading, Rule, Run, Watch};
use crate::window::{Meter, Window};
use crate::words;

pub(crate) const SIGNALS: [&str; 11] = [
    names::INTERFACE_RX_PACKETS,
    names::INTERFACE_TX_PACKETS,
    names::INTERFACE_RX_BYTES,
    names::INTERFACE_TX_BYTES,
    names::INTERFACE_RX_ERRORS,
    names::INTERFACE_TX_ERRORS,
    names::INTERFACE_RX_DROPS,
    names::INTERFACE_TX_DROPS,
    names::INTERFACE_UP,
    names::INTERFACE_SPEED,
    names::INTERFACE_TX_QUEUE,
];
const RX_PACKETS: usize = 0;
const TX_PACKETS: usize = 1;
const RX_BYTES: usize = 2;
const TX_BYTES: usize = 3;
const BROKEN: [usize; 4] = [4, 5, 6, 7];
const UP: usize = 8;
const SPEED: usize = 9;
const QUEUE: usize = 10;

/// Share of the link's speed, either way over ten seconds, from which it is full, and below which it is not.
const FULL: f64 = 0.9;
const ROOMY: f64 = 0.75;
const SATURATED: Rule = Rule::new(5, 8, 20);

/// Seconds that what waits to be sent would take at the pace of late, from which it is held up, below which it is not, and how much
/// must wait: one burst is gone in the next moment.
const HELD_UP_S: f64 = 0.05;
const FLOWS_S: f64 = 0.01;
const LEAST_QUEUED: f64 = 6_000.0;
/// No longer wait is told.
const LONGEST_WAIT_S: f64 = 60.0;
/// The queue is asked for in every second sample.
const QUEUED: Rule = Rule::new(3, 4, 20);

/// Share of packets in error or dropped, and times the usual number. Drops of what nobody wanted (frames
/// of unknown protocols) come at a steady pace and are usual.
const FAULTY: f64 = 0.01;
const LEAST: f64 = 10.0;
const ABOVE_USUAL: f64 = 4.0;
const ERRORS: Rule = Rule::new(3, 3, 20);
const DOWN: Rule = Rule::new(2, 1, 20);
/// Weight of one sample in the traffic by which the main interface is chosen.
const TRAFFIC_WEIGHT: f64 = 0.02;

/// Packets between two samples.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moved {
    pub heard: f64,
    pub said: f64,
    pub secs: f64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Interface {
    packets: [Meter; 2],
    bytes: [Meter; 2],
    broken: [Meter; 4],
    faults: Window,
    usual: Baseline,
    errors: Watch,
    down: Watch,
    speed: Option<f64>,
    carried: [Window; 2],
    saturated: Watch,
    #[serde(default)]
    held_up: Watch,
    traffic: f64,
    #[serde(default)]
    anew: Anew,
}

impl Default for Interface {
    fn default() -> Self {
        Self {
            packets: Default::default(),
            bytes: Default::default(),
            broken: Default::default(),
            faults: Window::seconds(10),
            usual: Baseline::NEW,
            errors: Watch::default(),
            down: Watch::default(),
            speed: None,
            carried: [Window::seconds(10), Window::seconds(10)],
            saturated: Watch::default(),
            held_up: Watch::default(),
            traffic: 0.0,
            anew: Anew::default(),
        }
    }
}

impl Interface {
    /// Takes one sample. What moved since the last, if both directions were seen.
    pub fn take(&mut self, at: Timestamp, row: &Row<'_>, warm: bool) -> Option<Moved> {
        if let Some(up) = row.get(UP) {
            self.down
                .take(at, Reading::of(up <= 0.0, up > 0.0), 0.0, 1.0, DOWN);
        }
        // Read every ten seconds or so: the last one holds.
        self.speed = row.get(SPEED).filter(|s| *s > 0.0).or(self.speed);
        for (way, signal) in [RX_BYTES, TX_BYTES].into_iter().enumerate() {
            if let Some((bytes, secs)) = self.bytes[way].step(at, row.get(signal)) {
                self.traffic += TRAFFIC_WEIGHT * (bytes / secs - self.traffic);
                self.carried[way].push(at, bytes, secs);
            }
        }
        if let Some(speed) = self.speed {
            let share = self.fullest() / speed;
            let reading = Reading::of(share >= FULL, share < ROOMY);
            self.saturated.take(at, reading, share, 0.0, SATURATED);
        }
        if let Some(queued) = row.get(QUEUE) {
            self.take_queue(at, queued);
        }
        let heard = self.packets[0].step(at, row.get(RX_PACKETS));
        let said = self.packets[1].step(at, row.get(TX_PACKETS));
        let mut broken = 0.0;
        for (meter, signal) in self.broken.iter_mut().zip(BROKEN) {
            broken += meter
                .step(at, row.get(signal))
                .map_or(0.0, |(faults, _)| faults);
        }
        let ((heard, secs), (said, _)) = (heard?, said?);
        self.faults.push(at, broken, heard + said + broken);
        let (faults, _) = self.faults.sums();
        let share = self.faults.ratio().unwrap_or(0.0);
        let usual = self.usual.location();
        let bad = faults >= LEAST && share >= FAULTY && faults >= ABOVE_USUAL * usual;
        if warm && self.anew.is_over(at) {
            let reading = Reading::of(bad, share < 0.5 * FAULTY || faults < 2.0 * usual);
            self.errors.take(at, reading, share, usual, ERRORS);
        } else {
            self.errors.learn(at, share < FAULTY);
        }
        if self.errors.is_quiet() {
            self.usual.feed(faults, 1.0);
        }
        Some(Moved { heard, said, secs })
    }

    fn take_queue(&mut self, at: Timestamp, queued: f64) {
        let pace = self.carried[1].ratio().unwrap_or(0.0).max(1.0);
        let wait = queued / pace;
        let bad = queued >= LEAST_QUEUED && wait >= HELD_UP_S;
        let clear = queued < LEAST_QUEUED / 2.0 || wait < FLOWS_S;
        self.held_up
            .take(at, Reading::of(bad, clear), wait, 0.0, QUEUED);
    }

    /// What was usual of its faults is forgotten, and that there are more of them is over.
    pub fn forget_usual(&mut self, now: Timestamp) {
        (self.errors, self.usual) = (Watch::default(), Baseline::NEW);
        self.anew = Anew::from(now);
    }

    /// Bytes per second over ten seconds, the fuller way.
    fn fullest(&self) -> f64 {
        let ways = self.carried.iter().filter_map(Window::ratio);
        ways.fold(0.0, f64::max)
    }

    /// Bytes per second over the last minute or so, either way.
    pub fn traffic(&self) -> f64 {
        self.traffic
    }

    pub fn findings(&self, id: &ComponentId, now: Timestamp, main: bool) -> Vec<Finding> {
        let mut found = Vec::new();
        if let Some(run) = self.errors.live(now, ERRORS) {
            let (faults, all) = self.faults.sums();
            let text = format!(
                "{faults:.0} of {all:.0} packets in error or dropped in 10 s ({}), usual {:.0}",
                words::percent(run.latest),
                run.usual
            );
            let signal = names::INTERFACE_RX_ERRORS;
            found.push(finding(
                id,
                kinds::INTERFACE_ERRORS,
                run,
                0.6,
                false,
                text,
                signal,
            ));
        }
        let full = self.saturated.live(now, SATURATED);
        if let Some(run) = self.held_up.live(now, QUEUED).filter(|_| full.is_none()) {
            let text = format!(
                "what waits to be sent takes {} at the pace of late, usual under {}: its link, or what slows it down, carries no more",
                words::millis(1_000.0 * run.latest.min(LONGEST_WAIT_S)),
                words::millis(1_000.0 * HELD_UP_S),
            );
            let (kind, signal) = (kinds::INTERFACE_SATURATED, names::INTERFACE_TX_QUEUE);
            found.push(finding(id, kind, run, 0.7, false, text, signal));
        }
        if let Some(run) = full {
            let text = format!(
                "carries {} of its {}/s, the fuller way over 10 s",
                words::percent(run.latest),
                words::bytes(self.speed.unwrap_or(0.0)),
            );
            let (kind, signal) = (kinds::INTERFACE_SATURATED, names::INTERFACE_SPEED);
            // Whoever is held up by it says so.
            found.push(finding(id, kind, run, 0.7, false, text, signal));
        }
        // Only a turn is a symptom: an unplugged port has always been down.
        let turned = self
            .down
            .live(now, DOWN)
            .filter(|run| run.span.after.is_some());
        if let Some(run) = turned {
            let text = "not operational; it was".to_owned();
            let severity = if main { 1.0 } else { 0.4 };
            let signal = names::INTERFACE_UP;
            found.push(finding(
                id,
                kinds::INTERFACE_DOWN,
                run,
                severity,
                main,
                text,
                signal,
            ));
        }
        found
    }

    pub fn health(&self, id: &ComponentId, coverage: f64) -> Option<Health> {
        let (faults, all) = self.faults.sums();
        let well = all > 0.0 && faults < FAULTY * all && self.down.is_quiet();
        let last = self.faults.last().filter(|_| well)?;
        Some(Health {
            component: id.clone(),
            family: families::NETWORK,
            coverage,
            last,
            text: format!(
                "operational, {faults:.0} of {all:.0} packets in error or dropped in 10 s, would have shown {}",
                words::percent(FAULTY)
            ),
            source: Source::Metric(names::INTERFACE_RX_ERRORS),
        })
    }

    pub fn last(&self) -> Option<Timestamp> {
        self.faults.last().max(self.down.last())
    }
}

fn finding(
    id: &ComponentId,
    kind: &'static str,
    run: &Run,
    severity: f64,
    gate: bool,
    text: String,
    signal: &'static str,
) -> Finding {
    Finding {
        component: id.clone(),
        peer: None,
        kind,
        family: families::NETWORK,
        span: run.span,
        severity,
        gate,
        text,
        source: Source::Metric(signal),
    }
}
