//! Asking the collector, as a responder would, and noting when it says what.

use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;

use crate::lab::product::Responder;
use crate::verdict::{Reading, Suspect, Truth};

/// How often the collector is asked.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// How long it may take to name the true component at all; later than the target, so that a slow
/// answer can be told from a wrong one.
const VERDICT_DEADLINE: Duration = Duration::from_secs(60);
/// How long a correct verdict is watched, as it must not change its mind.
const HOLD: Duration = Duration::from_secs(5);

/// What was seen from injection on.
#[derive(Debug, Default, Serialize)]
pub struct Watched {
    /// When an incident was open for the first time, in seconds since the injection.
    pub first_symptom_seconds: Option<f64>,
    /// When the true component was in the first place for the first time; of two faults, when both were named.
    pub first_correct_verdict_seconds: Option<f64>,
    /// The true component's place in the last verdict.
    pub rank: Option<usize>,
    /// The fault kind given to it in the last verdict.
    pub fault: Option<String>,
    /// Of two faults, the kind given to the second in the last verdict about it, where that names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub also: Option<String>,
    /// Others blamed since the first correct verdict, or in the last one when there was none.
    pub others_blamed: Vec<Suspect>,
    /// Others blamed before the first correct verdict. Told, not judged.
    pub others_blamed_before: Vec<Suspect>,
    /// The true component was ruled out at any time.
    pub wrongly_ruled_out: bool,
    /// How often the collector was asked in vain.
    pub unanswered: u32,
    /// Why, the last time.
    pub unanswered_because: Option<String>,
    /// The last answer of `firstlook why --json`; null when there was no incident.
    #[serde(skip)]
    pub last_why: Value,
}

/// Waits until no incident has been open for `calm`; false when that does not happen within
/// `deadline`.
///
/// # Errors
/// When the collector does not answer at the end of that time.
pub fn quiet(responder: &Responder, calm: Duration, deadline: Duration) -> anyhow::Result<bool> {
    let begun = Instant::now();
    let mut since = Instant::now();
    loop {
        let why = responder.json(&["why", "--json"]);
        let open = !matches!(why, Ok(None));
        if open {
            since = Instant::now();
        } else if since.elapsed() >= calm {
            return Ok(true);
        }
        if begun.elapsed() >= deadline {
            return why.map(|_| false);
        }
        thread::sleep(ASK_EVERY);
    }
}

/// Asks until the verdict has been right for a while, or the time is over. A question without an
/// answer is counted, and the next one asked.
pub fn verdict(
    responder: &Responder,
    truth: &Truth,
    also: Option<&Truth>,
    injected: Instant,
) -> Watched {
    let mut watched = Watched::default();
    // Two faults may be two incidents: each is asked for by its component then.
    let about = |truth: &Truth| responder.json(&["why", truth.components[0], "--json"]);
    loop {
        let asked = Instant::now();
        let answer = match also {
            None => responder.json(&["why", "--json"]).map(|why| (why, None)),
            Some(second) => about(truth).and_then(|why| Ok((why, about(second)?))),
        };
        let now = injected.elapsed();
        match answer {
            Ok((why, second)) => watched.note(why, truth, also.map(|also| (also, second)), now),
            Err(error) => {
                watched.unanswered += 1;
                watched.unanswered_because = Some(format!("{error:#}"));
            }
        }
        let over = match watched.first_correct_verdict_seconds {
            Some(first) => now.as_secs_f64() - first >= HOLD.as_secs_f64(),
            None => now >= VERDICT_DEADLINE,
        };
        if over {
            return watched;
        }
        thread::sleep(ASK_EVERY.saturating_sub(asked.elapsed()));
    }
}

impl Watched {
    /// Takes in one answer, `now` after the injection; of two faults also the answer about the second.
    fn note(
        &mut self,
        why: Option<Value>,
        truth: &Truth,
        also: Option<(&Truth, Option<Value>)>,
        now: Duration,
    ) {
        let read = |why: &Option<Value>, truth, other| {
            let why = why.as_ref();
            why.map(|why| Reading::of(why, truth, other))
                .unwrap_or_default()
        };
        let mut reading = read(&why, truth, also.as_ref().map(|(also, _)| *also));
        let mut right = reading.is_first();
        if let Some((second, said)) = &also {
            let other = read(said, second, Some(truth));
            right = reading.names(truth) && other.names(second);
            self.also = other.truth.map(|suspect| suspect.fault);
            reading.others_blamed.extend(other.others_blamed);
            reading.wrongly_ruled_out |= other.wrongly_ruled_out;
        }
        let seconds = (now.as_secs_f64() * 10.0).round() / 10.0;
        if why.is_some() {
            self.first_symptom_seconds.get_or_insert(seconds);
        }
        if right && self.first_correct_verdict_seconds.is_none() {
            self.first_correct_verdict_seconds = Some(seconds);
            self.others_blamed_before = std::mem::take(&mut self.others_blamed);
        }
        for other in reading.others_blamed {
            if !self
                .others_blamed
                .iter()
                .any(|known| known.component == other.component)
            {
                self.others_blamed.push(other);
            }
        }
        self.wrongly_ruled_out |= reading.wrongly_ruled_out;
        self.rank = reading.truth.as_ref().map(|suspect| suspect.rank);
        self.fault = reading.truth.map(|suspect| suspect.fault);
        self.last_why = why.unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TRUTH: Truth = Truth {
        components: &["host:app2"],
        fault: "host-partitioned",
        parts_of_host: Some("app2"),
    };

    fn suspects(of: &[(&str, f64)]) -> Option<Value> {
        let entry = |&(id, probability): &(&str, f64)| json!({"component": {"id": id}, "fault": "host-partitioned", "probability": probability});
        Some(json!({"suspects": of.iter().map(entry).collect::<Vec<_>>()}))
    }

    fn watch(answers: Vec<Option<Value>>) -> Watched {
        let mut watched = Watched::default();
        for (second, answer) in (1..).zip(answers) {
            watched.note(answer, &TRUTH, None, Duration::from_secs(second));
        }
        watched
    }

    #[test]
    fn symptom_and_verdict_are_timed_separately() {
        let watched = watch(vec![
            None,
            suspects(&[]),
            suspects(&[("host:app2", 0.9)]),
            suspects(&[("host:app2", 0.95)]),
        ]);
        assert_eq!(watched.first_symptom_seconds, Some(2.0));
        assert_eq!(watched.first_correct_verdict_seconds, Some(3.0));
        assert_eq!(
            (watched.rank, watched.fault.as_deref()),
            (Some(1), Some("host-partitioned"))
        );
    }

    #[test]
    fn who_was_blamed_on_the_way_is_kept_apart() {
        let watched = watch(vec![
            suspects(&[("host:db1", 0.8)]),
            suspects(&[("host:app2", 0.9)]),
        ]);
        assert!(watched.others_blamed.is_empty());
        assert_eq!(watched.others_blamed_before[0].component, "host:db1");
    }

    #[test]
    fn a_verdict_that_changes_its_mind_shows_in_rank_and_blame() {
        let turned = suspects(&[("host:db1", 0.8), ("host:app2", 0.1)]);
        let watched = watch(vec![suspects(&[("host:app2", 0.9)]), turned]);
        assert_eq!(watched.rank, Some(2));
        assert_eq!(watched.others_blamed[0].component, "host:db1");
    }

    #[test]
    fn an_incident_that_closes_leaves_no_rank() {
        assert_eq!(
            watch(vec![suspects(&[("host:app2", 0.9)]), None]).rank,
            None
        );
    }

    #[test]
    fn of_two_faults_both_must_be_named() {
        const SECOND: Truth = Truth {
            components: &["service:app1/shop.service"],
            fault: "service-down",
            parts_of_host: None,
        };
        let down = json!({"suspects": [{"component": {"id": SECOND.components[0]}, "fault": "service-down", "probability": 0.9}]});
        let mut watched = Watched::default();
        let cut = suspects(&[("host:app2", 0.9)]);
        for (second, said) in [(1, None), (2, Some(down))] {
            let now = Duration::from_secs(second);
            watched.note(cut.clone(), &TRUTH, Some((&SECOND, said)), now);
        }
        assert_eq!(watched.first_correct_verdict_seconds, Some(2.0));
        assert_eq!(watched.also.as_deref(), Some("service-down"));
        assert!(watched.others_blamed.is_empty());
    }
}
