//! Judging edges whose both ends are named.

use std::time::Duration;

use firstlook_model::symptom::{families, kinds};
use firstlook_model::{ComponentId, Direction, Timestamp};

use super::track::{FULL, LOSS, LOSSY, RETRY, SLOW, SLOW_MS, SLOW_TIMES, STALL, SYN, Track};
use super::{EdgeKey, Edges};
use crate::draft::{Finding, Source};
use crate::own::is_own;
use crate::watch::{Run, Span};
use crate::words;

/// Loss, slowness and stalls that are reason for an incident by themselves.
const GATE_LOSS: f64 = 0.05;
const GATE_RTT_MS: f64 = 60.0;
const GATE_RTT_TIMES: f64 = 8.0;
const LOSS_GATES_AFTER: Duration = Duration::from_secs(8);
const SYN_GATES_AFTER: Duration = Duration::from_secs(3);
const SLOW_GATES_AFTER: Duration = Duration::from_secs(10);
const STALL_GATES_AFTER: Duration = Duration::from_secs(4);
const FULL_GATES_AFTER: Duration = Duration::from_secs(8);
/// No connection for this long, and twice as long as is usual between two, is none left.
const GONE_AFTER: Duration = Duration::from_secs(4);
/// A slow restart of the callee is over by then.
const LOST_GATES_AFTER: Duration = Duration::from_secs(6);
/// How long ago an attempt may have failed that shows that the caller still tries.
const TRIES_WITHIN: Duration = Duration::from_secs(15);
const LEAST_FAILS: f64 = 2.0;
/// An edge that ended longer ago is not missed any more.
const MISSED_FOR: Duration = Duration::from_secs(900);

/// The far end of an edge, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Far {
    /// A component on a host with an agent.
    Seen,
    /// An address without an agent.
    Endpoint,
}

/// An edge with named ends, ready to be judged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judged<'a> {
    pub key: &'a EdgeKey,
    pub track: &'a Track,
    pub caller: &'a ComponentId,
    pub callee: &'a ComponentId,
    pub far: Far,
}

impl Judged<'_> {
    /// Symptoms that this end shows. Those of visitors without an agent are their own affair.
    pub fn findings(&self, now: Timestamp) -> Vec<Finding> {
        let inbound = self.key.direction == Direction::Inbound;
        if inbound && self.far == Far::Endpoint {
            return Vec::new();
        }
        let track = self.track;
        let mut found = Vec::new();
        if let Some(run) = track.losing.live(now, LOSS) {
            let (all, resent) = track.segments();
            let text = words::sent_again((resent, all), run.latest, run.usual);
            let gate = run.latest >= GATE_LOSS && run.span.length() >= LOSS_GATES_AFTER;
            let severity = (0.4 + 4.0 * (run.latest - LOSSY)).min(0.95);
            found.push(self.finding(kinds::EDGE_RETRANSMITS, run.span, severity, gate, text));
        }
        found.extend(
            track
                .large_stuck
                .live(now, FULL)
                .map(|run| self.large_stuck(run)),
        );
        if inbound {
            return found;
        }
        if let Some(run) = track.unanswered.live(now, SYN) {
            let text = format!(
                "{} without an answer for {}",
                words::count(run.latest as u64, "connect"),
                words::span(run.span.length())
            );
            let gate = track.is_regular() && run.span.length() >= SYN_GATES_AFTER;
            let severity = if track.is_regular() { 0.9 } else { 0.4 };
            found.push(self.finding(kinds::EDGE_UNANSWERED, run.span, severity, gate, text));
        }
        found.extend(track.slow.live(now, SLOW).map(|run| self.slow(run)));
        found.extend(track.stalled.live(now, STALL).map(|run| self.stalled(run)));
        found.extend(
            track
                .retrying
                .live(now, RETRY)
                .map(|run| self.retrying(run)),
        );
        found
    }

    /// At either end: whoever sends the large ones sees it.
    fn large_stuck(&self, run: &Run) -> Finding {
        let text = format!(
            "{} with a full packet that is not acknowledged, while others are made and small ones pass",
            words::count(run.latest as u64, "connection"),
        );
        let gate = self.track.is_regular() && run.span.length() >= FULL_GATES_AFTER;
        self.finding(kinds::EDGE_LARGE_STUCK, run.span, 0.8, gate, text)
    }

    /// No reason for an incident by itself: whoever asks again may be answered then.
    fn retrying(&self, run: &Run) -> Finding {
        let times = run.latest / run.usual.max(0.1);
        let text = format!(
            "connects {:.1} times a second, usual {:.1}, and gets no more for it",
            run.latest, run.usual,
        );
        let severity = (0.3 + 0.05 * times).min(0.8);
        self.finding(kinds::EDGE_RETRYING, run.span, severity, false, text)
    }

    fn slow(&self, run: &Run) -> Finding {
        let times = run.latest / run.usual.max(0.05);
        let text = format!(
            "round-trip time {}, usual {}",
            words::millis(run.latest),
            words::millis(run.usual)
        );
        let gate = run.latest >= GATE_RTT_MS
            && times >= GATE_RTT_TIMES
            && run.span.length() >= SLOW_GATES_AFTER;
        let severity = (0.3 + 0.1 * (times / SLOW_TIMES)).min(0.9);
        self.finding(kinds::EDGE_SLOW, run.span, severity, gate, text)
    }

    fn stalled(&self, run: &Run) -> Finding {
        let stats = &self.track.stats;
        let text = format!(
            "no answer for {} on {}, {} unsent or unacknowledged, {} in backoff",
            words::millis(run.latest),
            words::count(u64::from(stats.established), "connection"),
            words::bytes(stats.send_queue_bytes as f64),
            stats.backing_off,
        );
        let gate = self.track.is_regular() && run.span.length() >= STALL_GATES_AFTER;
        self.finding(kinds::EDGE_STALLED, run.span, 0.8, gate, text)
    }

    fn finding(
        &self,
        kind: &'static str,
        span: Span,
        severity: f64,
        gate: bool,
        text: String,
    ) -> Finding {
        let (component, peer) = match self.key.direction {
            Direction::Outbound => (self.caller, self.callee),
            Direction::Inbound => (self.callee, self.caller),
        };
        Finding {
            component: component.clone(),
            peer: Some(peer.clone()),
            kind,
            family: families::EDGE,
            span,
            severity,
            gate: gate && !is_own(self.caller) && !is_own(self.callee),
            text: format!("{} → {}: {text}", self.caller.label(), self.callee.label()),
            source: Source::Edge(self.caller.clone(), self.callee.clone()),
        }
    }

    /// What its health says, for people; `None` when it carried too little to say anything.
    pub fn health(&self) -> Option<(f64, f64, Option<f64>)> {
        let (all, resent) = self.track.segments();
        let well = !self.track.is_unwell() && self.track.stats.bytes_received > 0;
        well.then_some((
            all,
            resent,
            self.track.stats.rtt_us.map(|us| f64::from(us) / 1_000.0),
        ))
    }
}

/// How large a shift of an edge would have shown, for people.
pub(crate) fn power() -> String {
    format!(
        "would have shown {} or {SLOW_MS:.0} ms more",
        words::percent(LOSSY)
    )
}

/// What a caller's host knows of failing attempts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tries {
    /// Attempts of the host that failed beyond the usual, within the last seconds.
    pub fails: f64,
    /// The caller's log says that it was refused.
    pub refused: bool,
    /// Something still listens at the far end, by its own host's word; `None`: not known.
    pub open: Option<bool>,
    /// Edges of the host that ended, this one included.
    pub ended: usize,
}

/// Whether the edge's connections are all gone, since when, for a caller that used to have them.
pub(crate) fn ended(edges: &Edges, track: &Track) -> Option<Span> {
    let (batch, interval) = edges.batch()?;
    let last = track.alive.last.filter(|_| track.is_regular())?;
    let gone = batch.since(last);
    let usual = Duration::from_secs_f64((2.0 * track.alive.gap_s).clamp(0.0, 3_600.0));
    let missed = gone >= GONE_AFTER.max(usual).max(interval.mul_f64(1.9)) && gone <= MISSED_FOR;
    missed.then_some(Span {
        after: Some(last),
        first: last.plus(interval),
        last: batch,
    })
}

/// How far back failing attempts count for an edge that ended then.
pub(crate) fn tries_from(ended: &Span, now: Timestamp) -> Timestamp {
    ended
        .after
        .unwrap_or(ended.first)
        .max(now.minus(TRIES_WITHIN))
}

/// The symptom of an edge that ended while its caller still tries. Idle is no fault.
pub(crate) fn lost(edge: &Judged<'_>, span: Span, tries: Tries) -> Option<Finding> {
    // The host's counter does not say which attempt failed: an edge whose callee still listens is only
    // meant when it is the only one that ended.
    let meant = tries.open != Some(true) || tries.ended == 1;
    if !meant || !(tries.fails >= LEAST_FAILS || tries.refused) {
        return None;
    }
    let text = format!(
        "no connection left for {}; {}",
        words::span(span.length()),
        if tries.refused {
            "its log says that new ones are refused".to_owned()
        } else {
            format!(
                "{:.0} attempts of its host failed in the last seconds",
                tries.fails
            )
        }
    );
    let gate = span
        .after
        .is_some_and(|alive| span.last.since(alive) >= LOST_GATES_AFTER);
    Some(edge.finding(kinds::EDGE_LOST, span, 0.9, gate, text))
}
