//! The drills: which fault, what the truth is, and when one has passed.

use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::fault::Fault;
use crate::lab::Lab;
use crate::verdict::Truth;
use crate::watch::{self, Watched};
use crate::{clock, diagnostics, record, say};

/// No incident may be open for so long before a drill.
const QUIET: Duration = Duration::from_secs(15);
/// How long that may take to come about, from the end of the drill before.
const QUIET_DEADLINE: Duration = Duration::from_secs(180);
/// A correct verdict must be there so soon after the injection.
const TARGET_SECONDS: f64 = 30.0;
/// After healing, the customers must be content for so long …
const CALM: Duration = Duration::from_secs(3);
/// … within so long.
const CALM_DEADLINE: Duration = Duration::from_secs(90);

/// One drill.
#[derive(Debug, Serialize)]
pub struct Drill {
    /// Its name.
    pub name: &'static str,
    /// What happens, in one line.
    pub about: &'static str,
    /// What is injected.
    #[serde(rename = "injected")]
    pub fault: Fault,
    /// What the verdict must say.
    #[serde(rename = "expected")]
    pub truth: Truth,
    /// What it must say as well, where two things are broken at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub also: Option<Truth>,
    /// One of those that every change is tried by; the others take longer together than a change can wait.
    #[serde(skip)]
    pub core: bool,
}

/// How a drill went.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// Which drill.
    #[serde(flatten)]
    pub drill: &'static Drill,
    /// When the injection began, RFC 3339.
    pub injected_at: String,
    /// No incident was open for 15 s before.
    pub quiet_before: bool,
    /// What the collector said, and when.
    #[serde(flatten)]
    pub watched: Watched,
    /// Whether there is no failure.
    pub passed: bool,
    /// Why it did not pass; empty when it did.
    pub failures: Vec<String>,
    /// Folder with logs of a drill that did not pass.
    pub diagnostics: Option<String>,
}

/// Runs the drills one after the other. One that breaks off fails; the others still run.
///
/// # Errors
/// When the lab has no collector.
pub fn run_all(
    lab: &Lab,
    drills: &[&'static Drill],
    cases: Option<&Path>,
) -> anyhow::Result<Vec<Outcome>> {
    lab.responder()?;
    let numbered = (1..).zip(drills);
    Ok(numbered
        .map(|(number, drill)| {
            say::progress(&format!("drill {number}/{}: {}", drills.len(), drill.name));
            run(lab, drill, cases)
        })
        .collect())
}

fn run(lab: &Lab, drill: &'static Drill, cases: Option<&Path>) -> Outcome {
    let mut outcome = Outcome {
        drill,
        injected_at: clock::now_rfc3339(),
        quiet_before: false,
        watched: Watched::default(),
        passed: false,
        failures: Vec::new(),
        diagnostics: None,
    };
    if let Err(error) = inject_and_watch(lab, &mut outcome) {
        outcome.failures.push(format!("{error:#}"));
    }
    outcome
        .failures
        .extend(shortcomings(drill, outcome.quiet_before, &outcome.watched));
    if let Some(cases) = cases
        && let Err(error) = kept(lab, drill, &outcome.watched, cases)
    {
        outcome
            .failures
            .push(format!("keeping it as a case: {error:#}"));
    }
    // Before healing, while the hosts still show the fault.
    if !outcome.failures.is_empty() {
        outcome.diagnostics = diagnostics::save(lab, drill.name, &outcome.watched.last_why);
    }
    let healed = drill
        .fault
        .heal(lab)
        .and_then(|()| lab.wait_for_calm(CALM, CALM_DEADLINE));
    if let Err(error) = healed {
        outcome.failures.push(format!("healing: {error:#}"));
        if outcome.diagnostics.is_none() {
            outcome.diagnostics = diagnostics::save(lab, drill.name, &outcome.watched.last_why);
        }
    }
    outcome.passed = outcome.failures.is_empty();
    outcome
}

fn kept(lab: &Lab, drill: &Drill, watched: &Watched, cases: &Path) -> anyhow::Result<()> {
    record::keep(lab.responder()?, drill, &watched.last_why, cases)
}

fn inject_and_watch(lab: &Lab, outcome: &mut Outcome) -> anyhow::Result<()> {
    let responder = lab.responder()?;
    outcome.quiet_before = watch::quiet(responder, QUIET, QUIET_DEADLINE)?;
    outcome.injected_at = clock::now_rfc3339();
    let injected = Instant::now();
    outcome.drill.fault.inject(lab)?;
    outcome.watched = watch::verdict(
        responder,
        &outcome.drill.truth,
        outcome.drill.also.as_ref(),
        injected,
    );
    Ok(())
}

/// What keeps a drill from having passed, in words.
fn shortcomings(drill: &Drill, quiet_before: bool, watched: &Watched) -> Vec<String> {
    let mut found = Vec::new();
    if !quiet_before {
        found.push("an incident was open before the injection".to_owned());
    }
    let last_place = if drill.also.is_some() { 2 } else { 1 };
    match watched.first_correct_verdict_seconds {
        None if drill.also.is_some() => {
            found.push("the two causes were never named together".to_owned());
        }
        None => found.push(format!(
            "{} was never the first suspect",
            drill.truth.components[0]
        )),
        Some(seconds) if seconds > TARGET_SECONDS => {
            found.push(format!(
                "the verdict came after {seconds:.1} s, not within {TARGET_SECONDS} s"
            ));
        }
        Some(_) if watched.rank.is_none_or(|rank| rank > last_place) => {
            found.push("the verdict was right at first and then changed".to_owned());
        }
        Some(_) => {}
    }
    match watched.fault.as_deref() {
        Some(fault) if fault != drill.truth.fault => {
            found.push(format!("the fault kind given is {fault}"));
        }
        _ => {}
    }
    if let Some(also) = &drill.also
        && watched.also.as_deref() != Some(also.fault)
    {
        let given = watched.also.as_deref().unwrap_or("none");
        found.push(format!(
            "the fault kind given to {} is {given}",
            also.components[0]
        ));
    }
    for other in &watched.others_blamed {
        let percent = other.probability * 100.0;
        found.push(format!(
            "{} ({}) is blamed with {percent:.0}%",
            other.component, other.fault
        ));
    }
    if let Some(because) = &watched.unanswered_because {
        found.push(format!(
            "not answered {} times, at last: {because}",
            watched.unanswered
        ));
    }
    if watched.wrongly_ruled_out {
        found.push("the true component was ruled out".to_owned());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::CATALOGUE;
    use crate::verdict::Suspect;

    fn right() -> Watched {
        Watched {
            first_symptom_seconds: Some(1.0),
            first_correct_verdict_seconds: Some(4.0),
            rank: Some(1),
            fault: Some("disk-full".to_owned()),
            ..Watched::default()
        }
    }

    #[test]
    fn a_right_verdict_in_time_passes() {
        assert_eq!(
            shortcomings(&CATALOGUE[0], true, &right()),
            Vec::<String>::new()
        );
    }

    #[test]
    fn each_shortcoming_fails_a_drill_by_itself() {
        let other = Suspect {
            component: "host:db1".to_owned(),
            fault: "cpu-saturated".to_owned(),
            probability: 0.6,
            rank: 2,
        };
        let unanswered = Watched {
            unanswered: 2,
            unanswered_because: Some("refused".to_owned()),
            ..right()
        };
        let cases: [(&str, Watched); 7] = [
            ("not answered 2 times, at last: refused", unanswered),
            (
                "never the first",
                Watched {
                    first_correct_verdict_seconds: None,
                    rank: None,
                    ..right()
                },
            ),
            (
                "after 30.1 s",
                Watched {
                    first_correct_verdict_seconds: Some(30.1),
                    ..right()
                },
            ),
            (
                "then changed",
                Watched {
                    rank: Some(2),
                    ..right()
                },
            ),
            (
                "given is inodes-full",
                Watched {
                    fault: Some("inodes-full".to_owned()),
                    ..right()
                },
            ),
            (
                "blamed with 60%",
                Watched {
                    others_blamed: vec![other],
                    ..right()
                },
            ),
            (
                "was ruled out",
                Watched {
                    wrongly_ruled_out: true,
                    ..right()
                },
            ),
        ];
        for (words, watched) in cases {
            let found = shortcomings(&CATALOGUE[0], true, &watched);
            assert!(
                found.len() == 1 && found[0].contains(words),
                "{words}: {found:?}"
            );
        }
        assert_eq!(shortcomings(&CATALOGUE[0], false, &right()).len(), 1);
    }

    #[test]
    fn who_was_blamed_before_the_first_correct_verdict_does_not_fail_it() {
        let early = Suspect {
            component: "host:db1".to_owned(),
            fault: "packet-loss".to_owned(),
            probability: 0.9,
            rank: 1,
        };
        let watched = Watched {
            others_blamed_before: vec![early],
            ..right()
        };
        assert!(shortcomings(&CATALOGUE[0], true, &watched).is_empty());
    }
}
