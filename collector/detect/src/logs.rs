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
use serde::{Deserialize, Serialize};

use crate::anew::Anew;
use crate::draft::{Finding, Health, Source};
use crate::lifetime::Lifetime;
use crate::own::is_own;
use crate::words;
use novelty::Novelty;
use phrases::{Phrase, grave};
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
/// Of what a line says by itself, two are enough too where nobody says it in passing.
const TELLING: Limits = Limits {
    least: 2,
    seconds: 1,
};
/// And of what is said once and then no more.
const LAST_WORDS: Limits = Limits {
    least: 1,
    seconds: 1,
};
const COMPLAINTS: Limits = Limits {
    least: 3,
    seconds: 2,
};
/// Window of an attestation, in seconds.
const WELL_SECONDS: i64 = 30;

/// One component's log.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Log {
    lines: Tally,
    errors: Surge,
    sorts: Sorts,
    /// Of the phrases that it ever wrote, sorted. Most write none.
    said: Vec<(Phrase, Surge)>,
    novelty: Novelty,
    life: Lifetime,
    #[serde(default)]
    anew: Anew,
}

/// All logs of one host.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Logs {
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
                refused += log.take(entry, shape, learning, budget.templates);
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
            .filter_map(|log| log.said(Phrase::NoSpace))
            .any(|surge| surge.live(now).is_some())
    }

    /// Whether the component said at or after `from` that it was refused.
    pub fn refused_since(&self, component: &ComponentId, from: Timestamp) -> bool {
        let log = self.components.get(component);
        log.and_then(|log| log.said(Phrase::Refused)?.last())
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

    /// Time of the last line.
    pub fn last(&self) -> Option<Timestamp> {
        self.last
    }

    /// What was usual of the logs that `is_meant` names is forgotten.
    pub fn forget_usual(&mut self, is_meant: impl Fn(&ComponentId) -> bool, now: Timestamp) {
        for (_, log) in self.components.iter_mut().filter(|(id, _)| is_meant(id)) {
            log.forget_usual(now);
        }
    }

    /// Forgets components that have not written since `from`.
    pub fn forget_before(&mut self, from: Timestamp) {
        self.components
            .retain(|_, log| log.life.last() >= Some(from));
    }

    pub fn stepped(&mut self) {
        for log in self.components.values_mut() {
            log.lines = Tally::default();
            log.errors.stepped();
            log.said.iter_mut().for_each(|(_, surge)| surge.stepped());
            log.sorts.stepped();
            log.novelty.stepped();
            log.anew = Anew::default();
        }
    }
}

impl Log {
    /// Rates are learned anew, and sorts that are news are known. What a line says of a limit or a failure stays so.
    fn forget_usual(&mut self, now: Timestamp) {
        self.errors.forget_usual();
        self.sorts.forget_usual();
        self.novelty.accept();
        for (_, surge) in self.said.iter_mut().filter(|(p, _)| p.is_of_degree()) {
            surge.forget_usual();
        }
        self.anew = Anew::from(now);
    }

    /// Returns 1 when the template was over the budget.
    fn take(&mut self, entry: &LogEntry, shape: &str, learning: bool, templates: usize) -> u64 {
        let at = entry.time;
        self.life.seen(at);
        self.lines.add(at);
        let anew = learning || !self.anew.is_over(at);
        for phrase in phrases::find(&entry.text).each() {
            let learning = if phrase.is_of_degree() {
                anew
            } else {
                learning
            };
            self.take_phrase(phrase, entry, learning);
        }
        let error = entry.severity >= Severity::Error || grave(&entry.text);
        if !error {
            return 0;
        }
        self.errors.take(at, ERRORS, anew);
        self.sorts.take(entry, anew);
        let room = self.novelty.take(entry, shape, anew, templates);
        u64::from(!room)
    }

    fn take_phrase(&mut self, phrase: Phrase, entry: &LogEntry, learning: bool) {
        // Some kernels' lines speak of processes that are none of this host's.
        let kernel = entry.source == LogSource::Kernel;
        let of_host = entry.component.kind() == ComponentKind::Host;
        let counts = match phrase {
            Phrase::Refused | Phrase::Timeout => true,
            // The first process speaks for the host, in the journal; users have service managers that end as they leave.
            Phrase::ShuttingDown => entry.source == LogSource::Journald && of_host,
            _ => !kernel,
        };
        if !counts || entry.severity < phrase.least_severity() {
            return;
        }
        let known = self.said.binary_search_by_key(&phrase, |(p, _)| *p);
        let place = known.unwrap_or_else(|place| {
            self.said.insert(place, (phrase, Surge::default()));
            place
        });
        let (limits, learning) = match phrase {
            // Never usual, not even where it was there first.
            Phrase::NoSpace => (NO_SPACE, false),
            Phrase::ShuttingDown => (LAST_WORDS, false),
            Phrase::Refused | Phrase::Timeout | Phrase::AuthFailed | Phrase::Quota => {
                (COMPLAINTS, learning)
            }
            _ => (TELLING, learning),
        };
        self.said[place].1.take(entry.time, limits, learning);
    }

    fn said(&self, phrase: Phrase) -> Option<&Surge> {
        let place = self.said.binary_search_by_key(&phrase, |(p, _)| *p);
        place.ok().map(|place| &self.said[place].1)
    }

    fn findings(&self, id: &ComponentId, now: Timestamp) -> Vec<Finding> {
        // The kernel's log is a host's at large, or several hosts'; our own processes complain of us.
        let may_gate = id.kind() == ComponentKind::Service && !is_own(id);
        let mut found = Vec::new();
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
        if let Some(run) = self.errors.live(now) {
            let text = format!("{} error lines {}", run.count, pace(run));
            found.push(finding(kinds::LOG_ERRORS, run, 0.6, text, None));
        }
        for (phrase, surge) in &self.said {
            let Some(run) = surge.live(now) else { continue };
            let text = format!("{} {} {}", run.count, phrase.noun(), pace(run));
            let severity = match phrase {
                Phrase::NoSpace => 0.9,
                Phrase::Refused | Phrase::Timeout => 0.5,
                _ => 0.8,
            };
            let mut said = finding(phrase.kind(), run, severity, text, None);
            // What it says tells why, not whether: its errors and its callers are reason enough where there are any.
            if !matches!(phrase, Phrase::NoSpace | Phrase::Refused | Phrase::Timeout) {
                (said.gate, said.severity) = (false, severity);
            }
            found.push(said);
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
