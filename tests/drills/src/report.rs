//! The results, for people and for programs.

use std::fmt::Write;

use serde::Serialize;

use crate::drill::{Drill, Outcome};
use crate::say;

/// Version of both JSON documents; raised when a field changes its meaning or goes.
const VERSION: u32 = 1;

/// The document of `--json`.
#[derive(Debug, Serialize)]
pub struct Report {
    version: u32,
    drills: Vec<Outcome>,
    /// How many passed.
    pub passed: usize,
    /// How many did not.
    pub failed: usize,
}

/// The document of `--list --json`.
#[derive(Debug, Serialize)]
struct List<'a> {
    version: u32,
    drills: &'a [&'static Drill],
}

impl Report {
    /// Counts.
    pub fn new(drills: Vec<Outcome>) -> Self {
        let passed = drills.iter().filter(|outcome| outcome.passed).count();
        Self {
            version: VERSION,
            failed: drills.len() - passed,
            passed,
            drills,
        }
    }

    /// Prints it on standard output.
    ///
    /// # Errors
    /// When standard output does not take it.
    pub fn print(&self, json: bool) -> anyhow::Result<()> {
        let text = if json { pretty(self)? } else { self.table() };
        Ok(say::result(&text)?)
    }

    /// At most 80 columns, save for the reasons of a failure, which are wrapped by nobody.
    fn table(&self) -> String {
        let mut text = format!(
            "{:<21}{:<8}{:>8}{:>9}{:>6}  {}\n",
            "DRILL", "RESULT", "SYMPTOM", "VERDICT", "RANK", "FAULT GIVEN"
        );
        let seconds =
            |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.1} s"));
        for outcome in &self.drills {
            let watched = &outcome.watched;
            let _ = writeln!(
                text,
                "{:<21}{:<8}{:>8}{:>9}{:>6}  {}",
                outcome.drill.name,
                if outcome.passed { "pass" } else { "FAIL" },
                seconds(watched.first_symptom_seconds),
                seconds(watched.first_correct_verdict_seconds),
                watched.rank.map_or("-".to_owned(), |rank| rank.to_string()),
                watched.fault.as_deref().unwrap_or("-"),
            );
            for failure in &outcome.failures {
                let _ = writeln!(text, "    {failure}");
            }
            if let Some(dir) = &outcome.diagnostics {
                let _ = writeln!(text, "    logs: {dir}");
            }
        }
        let _ = writeln!(text, "{} passed, {} failed", self.passed, self.failed);
        text
    }
}

/// Prints the drills' names, and what happens in each.
///
/// # Errors
/// When standard output does not take it.
pub fn list(drills: &[&'static Drill], json: bool) -> anyhow::Result<()> {
    let text = if json {
        pretty(&List {
            version: VERSION,
            drills,
        })?
    } else {
        drills
            .iter()
            .map(|drill| format!("{:<20} {}\n", drill.name, drill.about))
            .collect()
    };
    Ok(say::result(&text)?)
}

fn pretty(document: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(document)? + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::CATALOGUE;
    use crate::watch::Watched;

    fn outcome(at: usize, failures: &[&str]) -> Outcome {
        Outcome {
            drill: &CATALOGUE[at],
            injected_at: "2025-01-01T00:00:00.000Z".to_owned(),
            quiet_before: true,
            watched: Watched {
                first_symptom_seconds: Some(1.2),
                first_correct_verdict_seconds: Some(4.0),
                rank: Some(1),
                fault: Some(CATALOGUE[at].truth.fault.to_owned()),
                ..Watched::default()
            },
            passed: failures.is_empty(),
            failures: failures.iter().map(|&failure| failure.to_owned()).collect(),
            diagnostics: None,
        }
    }

    #[test]
    fn the_table_fits_a_terminal_and_ends_with_the_counts() {
        let outcomes = (0..CATALOGUE.len()).map(|at| outcome(at, &[])).collect();
        let table = Report::new(outcomes).table();
        assert!(
            table.lines().all(|line| line.chars().count() <= 80),
            "{table}"
        );
        let names = CATALOGUE.iter().chain(&crate::elsewhere::CATALOGUE);
        for drill in names.chain(&crate::vm::faults::CATALOGUE) {
            assert!(drill.name.len() <= 20, "{}", drill.name);
        }
        let counts = format!("{} passed, 0 failed", CATALOGUE.len());
        assert_eq!(table.lines().last(), Some(counts.as_str()));
    }

    #[test]
    fn a_failure_is_counted_and_says_why() {
        let table = Report::new(vec![outcome(0, &[]), outcome(1, &["too late"])]).table();
        assert!(table.contains("service-down         FAIL"), "{table}");
        assert!(table.contains("\n    too late\n"), "{table}");
        assert!(table.ends_with("1 passed, 1 failed\n"), "{table}");
    }

    #[test]
    fn the_document_has_the_fields_that_programs_read() {
        let document = serde_json::to_value(Report::new(vec![outcome(0, &["x"])])).unwrap();
        assert_eq!(
            (&document["version"], &document["failed"]),
            (&1.into(), &1.into())
        );
        let drill = document["drills"][0].as_object().unwrap();
        for field in [
            "name",
            "expected",
            "injected_at",
            "quiet_before",
            "first_symptom_seconds",
            "first_correct_verdict_seconds",
            "rank",
            "fault",
            "others_blamed",
            "others_blamed_before",
            "wrongly_ruled_out",
            "unanswered",
            "passed",
            "failures",
            "diagnostics",
        ] {
            assert!(drill.contains_key(field), "{field}");
        }
        assert_eq!(
            drill["fault"], "disk-full",
            "the kind given, not the one injected"
        );
    }
}
