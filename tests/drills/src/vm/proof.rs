//! Proof that a power cut costs nothing that was safe: what the agent had put on its disk arrives after the next boot,
//! once, and what had arrived stays.
//!
//! The last seconds before the cut the agent is alone. What it samples then is on its own disk and nowhere else, and must
//! arrive later. So must what the host logged; that the agent may read again, where the host's own log kept it, and it must
//! not arrive twice. The machine logs a numbered line four times a second for that. Of the very last seconds no promise
//! is made.
//!
//! And the gap is told: the collector says that it sees nothing while it lasts, and nothing is made up for it later.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use super::Machine;
use crate::lab::Lab;
use crate::lab::product::Responder;
use crate::{clock, watch};

const PULSE: &str = "service:vm1/pulse.service";
const HOST: &str = "host:vm1";
/// Sampled each second.
const SAMPLED: &str = "memory.available_bytes";
/// So many samples, one a second, there must be at least of the four seconds in which the agent was alone.
const LEAST_SAMPLES: usize = 3;
/// Where the agent keeps what waits for the collector.
const SPOOL: &str = "/var/lib/firstlook-agent";
/// How far the machine's clock, set from one that counts whole seconds at boot, may be from ours, and some more.
const CLOCKS: Duration = Duration::from_secs(2);
/// No drill sets the machine's clock further ahead.
const AHEAD: Duration = Duration::from_secs(600);
/// A run's lines are some thousands.
const LIMIT: &str = "100000";
/// What waited on the disk must arrive so soon after the host reports again.
const ARRIVE_DEADLINE: Duration = Duration::from_secs(60);
/// The incident must close by itself within so long.
const CLOSE_DEADLINE: Duration = Duration::from_secs(240);
const QUIET: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_secs(2);

/// A moment on the machine, and the last line that it had logged.
#[derive(Debug, PartialEq, Eq)]
pub struct Pulse {
    /// The first digits of the boot's id.
    boot: String,
    /// The line's number.
    number: u64,
    /// By the machine's own clock, RFC 3339.
    time: String,
}

/// A cut of the power.
#[derive(Debug)]
pub struct Cut {
    /// When nobody could be reached any more.
    alone: Pulse,
    /// What was observed until then is sure to be on the agent's disk.
    safe: Pulse,
    /// From then on the machine observes nothing. RFC 3339.
    dark_from: String,
}

/// A cut that is over in a moment.
#[derive(Debug)]
pub struct Outage {
    cut: Cut,
    /// RFC 3339.
    dark_until: String,
    /// What the collector had of the boot that was cut.
    before: Arrived,
}

/// How often each numbered line of one boot is among the collector's.
type Arrived = BTreeMap<u64, u32>;

impl Pulse {
    /// The machine's last line now.
    ///
    /// # Errors
    /// When it logs none.
    pub fn now(machine: &Machine) -> anyhow::Result<Self> {
        let ask = "cat /run/pulse/last; date --utc +%FT%T.%3NZ";
        Self::parse(&machine.shell(ask)?).context("reading the pulse")
    }

    fn parse(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let &[boot, number, time] = words.as_slice() else {
            return None;
        };
        Some(Self {
            boot: boot.to_owned(),
            number: number.parse().ok()?,
            time: time.to_owned(),
        })
    }
}

impl Cut {
    /// The power went just now.
    pub fn now(alone: Pulse, safe: Pulse) -> Self {
        Self {
            alone,
            safe,
            dark_from: clock::rfc3339_in(CLOCKS),
        }
    }
}

impl Outage {
    /// To be asked just before the power comes back. While it lasts, the collector must say that it sees nothing there.
    ///
    /// # Errors
    /// When it does not say that, or does not answer, or has too much or too little of what was logged before for
    /// anything to be proven.
    pub fn end(lab: &Lab, cut: Cut) -> anyhow::Result<Self> {
        let responder = lab.responder()?;
        let status = responder.json(&["status", "--json"])?.unwrap_or_default();
        ensure!(
            is_blind(&status, HOST),
            "the collector does not say that it is blind to {HOST}"
        );
        let before = arrived(responder, &cut.safe.boot)?;
        let last = before.keys().next_back().copied();
        let last = last.context("no line had arrived before the cut")?;
        let sampled = sampled_between(responder, &cut.alone.time, &cut.safe.time)?;
        ensure!(
            last < cut.safe.number && sampled == 0,
            "what was observed before the cut had arrived: the disk held nothing to be proven"
        );
        Ok(Self {
            cut,
            dark_until: clock::now_rfc3339(),
            before,
        })
    }

    /// Checks all of it, while the machine, that reports again, catches up.
    ///
    /// # Errors
    /// What does not hold.
    pub fn cost_nothing(&self, lab: &Lab, machine: &Machine) -> anyhow::Result<()> {
        let (responder, safe) = (lab.responder()?, &self.cut.safe);
        let first = self.before.keys().next().copied().unwrap_or(1);
        let begun = Instant::now();
        let (mut after, mut sampled);
        loop {
            after = arrived(responder, &safe.boot)?;
            sampled = sampled_between(responder, &self.cut.alone.time, &safe.time)?;
            let all = sampled >= LEAST_SAMPLES && missing(&after, first, safe.number).is_empty();
            if all || begun.elapsed() > ARRIVE_DEADLINE {
                break;
            }
            thread::sleep(POLL);
        }
        if let Some(fault) = fault(&self.before, &after, first, safe.number) {
            bail!(fault);
        }
        ensure!(
            sampled >= LEAST_SAMPLES,
            "{sampled} samples of the seconds from {} to {}, which were on the agent's disk",
            self.cut.alone.time,
            safe.time
        );
        let find = format!("find {SPOOL} -name '*.corrupt-*'");
        let aside = machine.shell(&find)?;
        ensure!(aside.is_empty(), "the spool was given up: {}", aside.trim());
        self.new_boot_is_heard(responder, machine)?;
        self.nothing_is_made_up(responder)?;
        ensure!(
            watch::quiet(responder, QUIET, CLOSE_DEADLINE)?,
            "the incident did not close by itself"
        );
        Ok(())
    }

    fn new_boot_is_heard(&self, responder: &Responder, machine: &Machine) -> anyhow::Result<()> {
        let now = Pulse::now(machine)?;
        let again = now.boot != self.cut.safe.boot;
        ensure!(again, "the machine was not booted again");
        let begun = Instant::now();
        while !arrived(responder, &now.boot)?.contains_key(&now.number) {
            let waited = begun.elapsed();
            ensure!(waited < ARRIVE_DEADLINE, "no line of the new boot arrives");
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// A gap is a gap: no sample is of the time without power.
    fn nothing_is_made_up(&self, responder: &Responder) -> anyhow::Result<()> {
        let (from, until) = (&self.cut.dark_from, &self.dark_until);
        let points = sampled_between(responder, from, until)?;
        ensure!(
            points == 0,
            "{points} samples of {HOST} from {from} to {until}, when it had no power"
        );
        Ok(())
    }
}

/// Whether a `firstlook status --json` document has that component among what cannot be seen.
fn is_blind(status: &Value, component: &str) -> bool {
    let spots = status["blind_spots"].as_array();
    let mut spots = spots.into_iter().flatten();
    spots.any(|spot| spot["component"]["id"] == component)
}

/// How many points a `firstlook metrics --json` document has.
fn points(document: &Value) -> usize {
    let series = document["series"].as_array().into_iter().flatten();
    let points = series.filter_map(|series| series["points"].as_array());
    points.map(Vec::len).sum()
}

/// How many samples of the machine's own the collector has of that time.
fn sampled_between(responder: &Responder, from: &str, until: &str) -> anyhow::Result<usize> {
    let of_then = ["--since", from, "--until", until, "--json"];
    let ask = [&["metrics", HOST, SAMPLED][..], &of_then].concat();
    Ok(points(&responder.json(&ask)?.unwrap_or_default()))
}

fn arrived(responder: &Responder, boot: &str) -> anyhow::Result<Arrived> {
    let wanted = format!("pulse {boot} ");
    // Lines bear the machine's own time, which may have been ahead of ours.
    let until = clock::rfc3339_in(AHEAD);
    let of_boot = ["--contains", &wanted, "--until", &until];
    let ask = [&["logs", PULSE, "-n", LIMIT, "--json"][..], &of_boot].concat();
    let document = responder.json(&ask)?.unwrap_or_default();
    Ok(numbers(&document, &wanted))
}

/// The numbers in the lines of a `firstlook logs --json` document.
fn numbers(document: &Value, beginning: &str) -> Arrived {
    let lines = document["lines"].as_array();
    let texts = lines.into_iter().flatten();
    let texts = texts.filter_map(|line| line["text"].as_str());
    let mut found = Arrived::new();
    for text in texts {
        let number = text.split_once(beginning).map(|(_, number)| number.trim());
        if let Some(number) = number.and_then(|number| number.parse().ok()) {
            *found.entry(number).or_default() += 1;
        }
    }
    found
}

fn missing(after: &Arrived, first: u64, last: u64) -> Vec<u64> {
    (first..=last)
        .filter(|number| !after.contains_key(number))
        .collect()
}

/// What is wrong with what the collector has in the end, in words; none when nothing is.
fn fault(before: &Arrived, after: &Arrived, first: u64, last: u64) -> Option<String> {
    let gone: Vec<&u64> = before
        .keys()
        .filter(|number| !after.contains_key(number))
        .collect();
    if !gone.is_empty() {
        return Some(format!("lines that had arrived are gone: {gone:?}"));
    }
    let missing = missing(after, first, last);
    if !missing.is_empty() {
        return Some(format!(
            "of the lines {first} to {last}, which were on the agent's disk or had arrived, are missing: {missing:?}"
        ));
    }
    let twice: Vec<&u64> = after
        .iter()
        .filter(|(_, times)| **times > 1)
        .map(|(number, _)| number)
        .collect();
    (!twice.is_empty()).then(|| format!("lines arrived more than once: {twice:?}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lines(of: &[u64]) -> Arrived {
        let mut lines = Arrived::new();
        for number in of {
            *lines.entry(*number).or_default() += 1;
        }
        lines
    }

    #[test]
    fn a_pulse_is_a_boot_a_number_and_a_time() {
        let pulse = Pulse::parse("0a1b2c3d 17\n2025-01-01T00:00:00.007Z\n").unwrap();
        let expected = ("0a1b2c3d", 17, "2025-01-01T00:00:00.007Z");
        assert_eq!(
            (pulse.boot.as_str(), pulse.number, pulse.time.as_str()),
            expected
        );
        for odd in ["", "17", "0a1b2c3d 17", "a b c", "a 1 b c"] {
            assert_eq!(Pulse::parse(odd), None, "{odd}");
        }
    }

    #[test]
    fn lines_are_counted_by_their_number_and_others_left_out() {
        let line = |text: &str| json!({"text": text});
        let document = json!({"lines": [
            line("pulse 0a1b2c3d 7"), line("pulse 0a1b2c3d 7"), line("pulse ffffffff 8"), line("other"), {"text": null}]});
        assert_eq!(numbers(&document, "pulse 0a1b2c3d "), lines(&[7, 7]));
        assert_eq!(numbers(&json!(null), "pulse 0a1b2c3d "), Arrived::new());
    }

    #[test]
    fn blindness_and_points_are_read_from_what_the_collector_prints() {
        let status = json!({"blind_spots": [{"component": {"id": "host:vm1"}, "text": "silent"}]});
        assert!(is_blind(&status, "host:vm1") && !is_blind(&status, "host:app1"));
        assert!(!is_blind(&json!({}), "host:vm1"));
        let metrics = json!({"series": [{"points": [["t", 1.0], ["t", 2.0]]}, {"points": []}]});
        assert_eq!((points(&metrics), points(&json!({}))), (2, 0));
    }

    #[test]
    fn what_was_safe_must_be_there_once_and_of_what_came_later_nothing_is_asked() {
        let before = lines(&[3, 4]);
        assert_eq!(fault(&before, &lines(&[3, 4, 5, 6]), 3, 6), None);
        assert_eq!(fault(&before, &lines(&[3, 4, 5, 6, 9]), 3, 6), None);
        for (after, words) in [
            (lines(&[3, 5, 6]), "are gone: [4]"),
            (lines(&[3, 4, 6]), "missing: [5]"),
            (lines(&[3, 4, 5, 5, 6]), "more than once: [5]"),
        ] {
            let said = fault(&before, &after, 3, 6).unwrap();
            assert!(said.contains(words), "{said}");
        }
    }
}
