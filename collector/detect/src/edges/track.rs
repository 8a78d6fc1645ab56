//! One edge over time, as one end's kernel sees it. What spans tell of it is kept beside, and judges nothing.

use std::time::Duration;

use firstlook_model::{Calls, EdgeObservation, EdgeStats, Timestamp};
use serde::{Deserialize, Serialize};

use crate::anew::Anew;
use crate::baseline::Baseline;
use crate::watch::{Reading, Rule, Watch};
use crate::window::Window;

/// Retransmitted share of segments over ten seconds, and the least number.
pub(super) const LOSSY: f64 = 0.04;
const CLEAN: f64 = 0.015;
const LEAST_RETRANSMITS: f64 = 4.0;
const ABOVE_USUAL: f64 = 3.0;
/// Round-trip time: times the usual, milliseconds and deviations above it, all three.
pub(super) const SLOW_TIMES: f64 = 4.0;
pub(super) const SLOW_MS: f64 = 3.0;
const SLOW_DEVIATIONS: f64 = 6.0;
const RTT_FLOOR_MS: f64 = 0.2;
/// Observations of a round-trip time before it can be slow.
const RTT_SEEN: u32 = 6;
/// How long a path may be slow until that is how it is.
const ADOPT_AFTER: Duration = Duration::from_secs(3_600);
/// Connects: times the usual, and a second above it, from which a caller asks again and again; and times the usual that comes
/// back at which it gets no more for it.
const RETRIES_TIMES: f64 = 5.0;
const RETRIES_ABOVE: f64 = 10.0;
const RETRIES_OVER: f64 = 2.0;
const ANSWERED_TIMES: f64 = 1.5;
/// Bytes a second that usually come back, under which an edge is no question and answer.
const ANSWERS: f64 = 50.0;
/// Who connects so often for so long does so: a setting changed.
const CONNECTS_AFTER: Duration = Duration::from_secs(1_800);
/// Unanswered for this long, or twice as long as is usual on the edge: long polls wait by design.
const STALLED_MS: f64 = 3_000.0;
/// Observations with a connection in which the longest wait is learned.
const LEARNT: u32 = 10;
/// Share of the usual bytes below which nothing comes back.
const DRY: f64 = 0.1;

pub(super) const LOSS: Rule = Rule::new(2, 2, 20);
pub(super) const SYN: Rule = Rule::new(2, 2, 20);
pub(super) const SLOW: Rule = Rule::new(3, 4, 20);
pub(super) const STALL: Rule = Rule::new(2, 2, 20);
/// After a restart of the callee all connect once: that is over with one dump.
pub(super) const RETRY: Rule = Rule::new(3, 4, 30);
pub(super) const FULL: Rule = Rule::new(3, 4, 30);

/// When an edge carried connections.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Alive {
    pub first: Option<Timestamp>,
    pub last: Option<Timestamp>,
    /// Observations with one.
    pub count: u32,
    /// Longest time between two of them of late, in seconds.
    pub gap_s: f64,
}

/// One edge's past.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Track {
    pub stats: EdgeStats,
    pub first: Timestamp,
    pub alive: Alive,
    last: Timestamp,
    live: Timestamp,
    /// When spans told of calls last, and what.
    pub called: Option<(Timestamp, Calls)>,
    /// Last dump in which bytes arrived, and its interval.
    pub heard: Option<(Timestamp, Duration)>,
    /// Last dump with unanswered attempts or a connection in backoff.
    pub failing: Option<Timestamp>,
    pub(super) loss: Window,
    pub(super) usual_loss: Baseline,
    pub(super) rtt: Baseline,
    usual_syn: Baseline,
    usual_inflow: Baseline,
    usual_stall_ms: f64,
    waited_ms: f64,
    pub(super) losing: Watch,
    pub(super) unanswered: Watch,
    pub(super) slow: Watch,
    pub(super) stalled: Watch,
    usual_opens: Baseline,
    pub(super) retrying: Watch,
    pub(super) large_stuck: Watch,
    #[serde(default)]
    anew: Anew,
}

impl Track {
    pub fn new(first: Timestamp) -> Self {
        Self {
            stats: EdgeStats::default(),
            first,
            alive: Alive::default(),
            last: Timestamp::from_micros(i64::MIN),
            live: first,
            called: None,
            heard: None,
            failing: None,
            loss: Window::seconds(12),
            usual_loss: Baseline::NEW,
            rtt: Baseline::NEW,
            usual_syn: Baseline::NEW,
            usual_inflow: Baseline::NEW,
            usual_stall_ms: 0.0,
            waited_ms: 0.0,
            losing: Watch::default(),
            unanswered: Watch::default(),
            slow: Watch::default(),
            stalled: Watch::default(),
            usual_opens: Baseline::NEW,
            retrying: Watch::default(),
            large_stuck: Watch::default(),
            anew: Anew::default(),
        }
    }

    pub fn take(&mut self, seen: &EdgeObservation, warm: bool) {
        let at = seen.time;
        if seen
            .stats
            .calls
            .is_some_and(|calls| self.take_calls(at, calls))
            || at <= self.last
        {
            return;
        }
        self.last = at;
        let (stats, interval) = (
            &seen.stats,
            Duration::from_millis(u64::from(seen.interval_ms)),
        );
        self.take_life(at, stats);
        if stats.bytes_received > 0 {
            self.heard = Some((at, interval));
        }
        if stats.syn_sent > 0 || stats.backing_off > 0 {
            self.failing = Some(at);
        }
        let known = warm && self.anew.is_over(at);
        self.take_loss(at, stats, known);
        self.take_syn(at, stats, warm);
        self.take_rtt(at, stats, known);
        // Before what is usual of what comes back learns from this dump.
        self.take_opens(at, stats, interval, known);
        self.take_full(at, stats, warm);
        self.take_stall(at, stats, interval, known || (warm && is_cut_off(stats)));
        self.stats = stats.clone();
    }

    /// Takes what spans told, which is no evidence of connections. Whether it is all that the observation says.
    fn take_calls(&mut self, at: Timestamp, calls: Calls) -> bool {
        if self.called.is_none_or(|(before, _)| before < at) {
            self.called = Some((at, calls));
            self.live = self.live.max(at);
        }
        calls.alone
    }

    fn take_life(&mut self, at: Timestamp, stats: &EdgeStats) {
        if stats.established > 0 || stats.opened > 0 || stats.syn_sent > 0 {
            self.live = at;
        }
        // A connection whose segments nobody acknowledges is established by name only.
        let carries = stats.established > stats.backing_off || stats.opened > 0;
        if !carries {
            return;
        }
        if let Some(before) = self.alive.last {
            let gap = at.since(before).as_secs_f64();
            self.alive.gap_s = gap.max(0.9 * self.alive.gap_s);
        }
        self.alive.first.get_or_insert(at);
        self.alive.last = Some(at);
        self.alive.count = self.alive.count.saturating_add(1);
    }

    fn take_loss(&mut self, at: Timestamp, stats: &EdgeStats, warm: bool) {
        self.loss
            .push(at, stats.retransmits as f64, stats.segments_sent as f64);
        let (resent, _) = self.loss.sums();
        let share = self.loss.ratio().unwrap_or(0.0).min(1.0);
        let usual = self.usual_loss.location();
        let enough = resent >= LEAST_RETRANSMITS && self.loss.stirred() >= 2;
        let bad = enough && share >= LOSSY && share >= ABOVE_USUAL * usual;
        judged(
            &mut self.losing,
            at,
            bad,
            share < CLEAN,
            (share, usual),
            LOSS,
            warm,
        );
        if self.losing.is_quiet() {
            self.usual_loss.feed(share, 0.005);
        }
    }

    fn take_syn(&mut self, at: Timestamp, stats: &EdgeStats, warm: bool) {
        let waiting = f64::from(stats.syn_sent);
        let usual = self.usual_syn.location();
        let bad = waiting >= 1.0 + 3.0 * usual;
        judged(
            &mut self.unanswered,
            at,
            bad,
            stats.syn_sent == 0,
            (waiting, usual),
            SYN,
            warm,
        );
        if self.unanswered.is_quiet() {
            self.usual_syn.feed(waiting, 0.1);
        }
    }

    fn take_rtt(&mut self, at: Timestamp, stats: &EdgeStats, warm: bool) {
        let Some(rtt) = stats.rtt_us.map(|us| f64::from(us) / 1_000.0) else {
            return;
        };
        let usual = self.rtt.location();
        let known = self.rtt.seen() >= RTT_SEEN;
        let bad = known
            && rtt >= SLOW_TIMES * usual
            && rtt >= usual + SLOW_MS
            && rtt >= usual + SLOW_DEVIATIONS * self.rtt.scale(RTT_FLOOR_MS);
        let clear = rtt < 2.5 * usual || rtt < usual + 2.0;
        judged(&mut self.slow, at, bad, clear, (rtt, usual), SLOW, warm);
        let long = |run: &crate::watch::Run| run.span.length() > ADOPT_AFTER;
        if self.slow.live(at, SLOW).is_some_and(long) {
            (self.slow, self.rtt) = (Watch::default(), Baseline::NEW);
        }
        if self.slow.is_quiet() {
            self.rtt.feed(rtt, RTT_FLOOR_MS);
        }
    }

    fn take_stall(&mut self, at: Timestamp, stats: &EdgeStats, interval: Duration, warm: bool) {
        let inflow = stats.bytes_received as f64 / interval.as_secs_f64().max(0.001);
        let usual = self.usual_inflow.location();
        let dry = inflow <= DRY * usual;
        let waited = stats.stalled_ms as f64;
        let long = waited >= STALLED_MS && waited > 2.0 * self.usual_stall_ms;
        let cut = is_cut(stats);
        let bad = dry && self.alive.count >= 3 && (long || is_cut_off(stats));
        let clear = waited < 1_000.0 || inflow >= 3.0 * DRY * usual;
        judged(
            &mut self.stalled,
            at,
            bad,
            clear && !cut,
            (waited, self.usual_stall_ms),
            STALL,
            warm,
        );
        if self.stalled.is_quiet() {
            self.learn_stall(waited, warm);
            self.usual_inflow.feed(inflow, 1.0);
        }
        self.waited_ms = waited;
    }

    fn take_opens(&mut self, at: Timestamp, stats: &EdgeStats, interval: Duration, warm: bool) {
        let secs = interval.as_secs_f64().max(0.001);
        let opens = f64::from(stats.opened) / secs;
        let usual = self.usual_opens.location();
        let more = opens >= RETRIES_TIMES * usual && opens >= usual + RETRIES_ABOVE;
        let answered = stats.bytes_received as f64 / secs;
        let usually = self.usual_inflow.location();
        let unrewarded = usually >= ANSWERS && answered <= ANSWERED_TIMES * usually;
        let clear = opens < RETRIES_OVER * usual || opens < usual + RETRIES_ABOVE / 2.0;
        let known = warm && self.usual_opens.is_warm();
        judged(
            &mut self.retrying,
            at,
            more && unrewarded,
            clear,
            (opens, usual),
            RETRY,
            known,
        );
        let long = |run: &crate::watch::Run| run.span.length() > CONNECTS_AFTER;
        if self.retrying.live(at, RETRY).is_some_and(long) {
            (self.retrying, self.usual_opens) = (Watch::default(), Baseline::NEW);
        }
        if self.retrying.is_quiet() {
            self.usual_opens.feed(opens, 0.5);
        }
    }

    /// Every connection in backoff waits with a full segment, while others are made: small packets pass.
    fn take_full(&mut self, at: Timestamp, stats: &EdgeStats, warm: bool) {
        let stuck = stats.full_backing_off;
        let small_pass = stats.syn_sent == 0 && (stats.opened > 0 || stats.bytes_received > 0);
        let bad = stuck > 0 && stuck == stats.backing_off && small_pass;
        let reading = (f64::from(stuck), 0.0);
        judged(
            &mut self.large_stuck,
            at,
            bad,
            stuck == 0,
            reading,
            FULL,
            warm,
        );
    }

    /// How long answers usually take at most: a wait that still grows is not yet a usual one.
    fn learn_stall(&mut self, waited: f64, warm: bool) {
        self.usual_stall_ms *= 0.97;
        let known = warm && self.alive.count >= LEARNT;
        if !known {
            self.usual_stall_ms = self.usual_stall_ms.max(waited);
        } else if waited < self.waited_ms {
            self.usual_stall_ms = self.usual_stall_ms.max(self.waited_ms);
        }
    }

    /// What was usual of it is forgotten, and what was told because of that is over. What nobody answers stays: connects,
    /// full packets, and a connection that is cut off now.
    pub fn forget_usual(&mut self, now: Timestamp) {
        (self.losing, self.usual_loss) = (Watch::default(), Baseline::NEW);
        (self.slow, self.rtt) = (Watch::default(), Baseline::NEW);
        (self.retrying, self.usual_opens) = (Watch::default(), Baseline::NEW);
        if !is_cut_off(&self.stats) {
            (self.stalled, self.usual_inflow) = (Watch::default(), Baseline::NEW);
            self.usual_stall_ms = 0.0;
        }
        self.anew = Anew::from(now);
    }

    /// Last observation.
    pub fn last(&self) -> Timestamp {
        self.last
    }

    /// Last observation with a connection or an attempt, or of calls.
    pub fn last_live(&self) -> Timestamp {
        self.live
    }

    /// Segments sent over the last ten seconds, and how many of them again.
    pub fn segments(&self) -> (f64, f64) {
        let (resent, all) = self.loss.sums();
        (all, resent)
    }

    /// Something about it is beyond a limit, raised or not.
    pub fn is_unwell(&self) -> bool {
        let watches = [
            &self.losing,
            &self.unanswered,
            &self.slow,
            &self.stalled,
            &self.retrying,
            &self.large_stuck,
        ];
        watches.iter().any(|watch| !watch.is_quiet())
    }

    /// It used to carry connections, and not only once.
    pub fn is_regular(&self) -> bool {
        self.alive.count >= 4
    }
}

/// A connection in backoff that brings nothing.
fn is_cut(stats: &EdgeStats) -> bool {
    stats.backing_off > 0 && stats.bytes_received == 0
}

/// That, or one that has sent for seconds and gets nothing through: no answer, however long answers usually take.
fn is_cut_off(stats: &EdgeStats) -> bool {
    let stuck = stats.send_queue_bytes > 0 && stats.bytes_sent == 0 && stats.bytes_received == 0;
    is_cut(stats) || (stuck && stats.stalled_ms as f64 >= STALLED_MS)
}

fn judged(
    watch: &mut Watch,
    at: Timestamp,
    bad: bool,
    clear: bool,
    (value, usual): (f64, f64),
    rule: Rule,
    warm: bool,
) {
    if warm {
        watch.take(at, Reading::of(bad, clear), value, usual, rule);
    } else {
        watch.learn(at, clear);
    }
}
