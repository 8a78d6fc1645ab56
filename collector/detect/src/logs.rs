//! Logs: error lines, new ones, and catalogue phrases, per component.

mod novelty;
mod phrases;
mod sorts;
mod surge;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use firstlook_model::symptom::{families, kinds};
use firstlook_model::{
    ComponentId, ComponentKind, LogBlock, LogEntry, LogSource, Severity, TemplateId, Timestamp,
};

use crate::draft::{Finding, Health, Source};
use crate::lifetime::Lifetime;
use crate::own::is_own;
use crate::words;
use novelty::Novelty;
use phrases::{Phrases, grave};
use sorts::Sorts;
use surge::{Limits, Surge, SurgeRun, Tally};

const ERRORS: Limits = Limits {
    least: 5,
    seconds: 2,
};
/// A line that no space is left is rare enough to count from the second on.
const NO_SPACE: Limits = Limits {
    least: 2,
    seconds: 1,
};
const COMPLAINTS: Limits = Limits {
    least: 3,
    seconds: 2,
};
/// Window of an attestation, in seconds.
const WELL_SECONDS: i64 = 30;

/// One component's log.
#[derive(Debug, Default)]
struct Log {
    lines: Tally,
    errors: Surge,
    sorts: Sorts,
    no_space: Surge,
    refused: Surge,
    timeouts: Surge,
    novelty: Novelty,
    life: Lifetime,
}

/// All logs of one host.
#[derive(Debug, Default)]
pub(crate) struct Logs {
    phrases: Phrases,
    components: BTreeMap<ComponentId, Log>,
    last: Option<Timestamp>,
}

/// How many components and templates are followed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    pub components: usize,
    pub templates: usize,
}

impl Logs {
    /// Takes a block. `learning` tells of a time whether it is still being learned. Returns how many
    /// entries were over the budget.
    pub fn take(
        &mut self,
        block: &LogBlock,
        learning: impl Fn(Timestamp) -> bool,
        budget: Budget,
    ) -> u64 {
        let shapes: HashMap<TemplateId, &str> = block
            .templates
            .iter()
            .map(|t| (t.id, t.text.as_str()))
            .collect();
        let mut refused = 0;
        for entry in &block.entries {
            if !self.components.contains_key(&entry.component) {
                if self.components.len() >= budget.components {
                    refused += 1;
                    continue;
                }
                self.components
                    .insert(entry.component.clone(), Log::default());
            }
            let shape = shapes.get(&entry.template).copied().unwrap_or(&entry.text);
            self.last = self.last.max(Some(entry.time));
            let learning = learning(entry.time);
            if let Some(log) = self.components.get_mut(&entry.component) {
                refused += log.take(&self.phrases, entry, shape, learning, budget.templates);
            }
        }
        refused
    }

    pub fn findings(&self, now: Timestamp) -> Vec<Finding> {
        let of_one = |(id, log): (&ComponentId, &Log)| log.findings(id, now);
        self.components.iter().flat_map(of_one).collect()
    }

    /// Whether a service says that no space is left.
    pub fn says_no_space(&self, now: Timestamp) -> bool {
        self.components
            .values()
            .any(|log| log.no_space.live(now).is_some())
    }

    /// Whether the component said at or after `from` that it was refused.
    pub fn refused_since(&self, component: &ComponentId, from: Timestamp) -> bool {
        let log = self.components.get(component);
        log.and_then(|log| log.refused.last())
            .is_some_and(|last| last >= from)
    }

    pub fn healths(&self, now: Timestamp, coverage: f64) -> Vec<Health> {
        let of_one = |(id, log): (&ComponentId, &Log)| log.health(id, now, coverage);
        self.components.iter().filter_map(of_one).collect()
    }

    /// Who wrote, and from when to when.
    pub fn lives(&self) -> impl Iterator<Item = (&ComponentId, &Lifetime)> {
        self.components.iter().map(|(id, log)| (id, &log.life))
    }

    /// Forgets components that have not written since `from`.
    pub fn forget_before(&mut self, from: Timestamp) {
        self.components
            .retain(|_, log| log.life.last() >= Some(from));
    }

    pub fn stepped(&mut self) {
        for log in self.components.values_mut() {
            log.lines = Tally::default();
            let surges = [
                &mut log.errors,
                &mut log.no_space,
                &mut log.refused,
                &mut log.timeouts,
            ];
            surges.into_iter().for_each(Surge::stepped);
            log.sorts.stepped();
            log.novelty.stepped();
        }
    }
}

impl Log {
    /// Returns 1 when the template was over the budget.
    fn take(
        &mut self,
        phrases: &Phrases,
        entry: &LogEntry,
        shape: &str,
        learning: bool,
        templates: usize,
    ) -> u64 {
        let at = entry.time;
        self.life.seen(at);
        self.lines.add(at);
        let said = phrases.find(&entry.text);
        let kernel = entry.source == LogSource::Kernel;
        if said.no_space && !kernel {
            // Never usual, not even where it was there first.
            self.no_space.take(at, NO_SPACE, false);
        }
        if said.refused {
            self.refused.take(at, COMPLAINTS, learning);
        }
        // "Connection timed out" at information level is how servers speak of vanished visitors.
        if said.timeout && entry.severity >= Severity::Warning {
            self.timeouts.take(at, COMPLAINTS, learning);
        }
        let error = entry.severity >= Severity::Error || grave(&entry.text);
        if !error {
            return 0;
        }
        self.errors.take(at, ERRORS, learning);
        self.sorts.take(entry, learning);
        let room = self.novelty.take(entry, shape, learning, templates);
        u64::from(!room)
    }

    fn findings(&self, id: &ComponentId, now: Timestamp) -> Vec<Finding> {
        // The kernel's log is a host's at large, or several hosts'; our own processes complain of us.
        let may_gate = id.kind() == ComponentKind::Service && !is_own(id);
        let mut found = Vec::new();
        let surges = [
            (kinds::LOG_ERRORS, &self.errors, "error lines", 0.6),
            (
                kinds::LOG_NO_SPACE,
                &self.no_space,
                "lines that say that no space is left",
                0.9,
            ),
            (
                kinds::LOG_REFUSED,
                &self.refused,
                "lines of refused connections",
                0.5,
            ),
            (kinds::LOG_TIMEOUT, &self.timeouts, "lines of timeouts", 0.5),
        ];
        let finding = |kind: &'static str, run: &SurgeRun, severity, text, template| {
            let lasting = run.count >= 5 && run.span.length() >= Duration::from_secs(3);
            let gate = may_gate && (lasting || kind == kinds::LOG_NO_SPACE);
            Finding {
                component: id.clone(),
                peer: None,
                kind,
                family: families::LOG,
                span: run.span,
                severity: if gate { severity } else { 0.5 * severity },
                gate,
                text,
                source: Source::Log(template),
            }
        };
        for (kind, surge, noun, severity) in surges {
            let Some(run) = surge.live(now) else { continue };
            let text = format!("{} {noun} {}", run.count, pace(run));
            found.push(finding(kind, run, severity, text, None));
        }
        let sums = self.errors.live(now).is_some();
        if let Some(risen) = self.sorts.live(now).filter(|_| !sums) {
            let (run, sample) = (risen.run, words::clip(risen.sample, 160));
            let text = format!(
                "{} error lines of one sort {}: {sample}",
                run.count,
                pace(run)
            );
            found.push(finding(
                kinds::LOG_ERRORS,
                run,
                0.6,
                text,
                Some(risen.template),
            ));
        }
        if let Some(news) = self.novelty.live(now) {
            found.push(Finding {
                component: id.clone(),
                peer: None,
                kind: kinds::LOG_NEW_ERROR,
                family: families::LOG,
                span: news.span,
                severity: if news.lasting { 0.8 } else { 0.4 },
                gate: may_gate && news.lasting,
                text: format!(
                    "{} of a sort never seen here: {}",
                    words::count(news.count, "line"),
                    words::clip(&news.sample, 200)
                ),
                source: Source::Log(Some(news.template)),
            });
        }
        found
    }

    fn health(&self, id: &ComponentId, now: Timestamp, coverage: f64) -> Option<Health> {
        let lines = self.lines.sum(now, WELL_SECONDS);
        let errors = self.errors.tally().sum(now, WELL_SECONDS);
        // Usual errors are usual; unusual ones are no health, even while too few for a symptom.
        let usual = 2.0 * self.errors.usual() * WELL_SECONDS as f64 + 1.0;
        (f64::from(errors) <= usual).then(|| Health {
            component: id.clone(),
            family: families::LOG,
            coverage,
            last: now,
            text: format!(
                "{} in {WELL_SECONDS} s, {}; would have shown {} error lines",
                words::count(u64::from(lines), "line"),
                match errors {
                    0 => "none an error".to_owned(),
                    some => format!("{some} of error, as usual"),
                },
                ERRORS.least
            ),
            source: Source::Log(None),
        })
    }
}

/// How fast they come, and how fast usually.
fn pace(run: &SurgeRun) -> String {
    format!(
        "in {}, usual {:.1} per minute",
        words::span(run.span.length().max(Duration::from_secs(1))),
        run.usual * 60.0
    )
}
