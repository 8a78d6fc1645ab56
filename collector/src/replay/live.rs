//! What was heard of an incident, taken once more the way that it took live: detection, diagnosis, incident, once a second.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use firstlook_detect::{DetectConfig, Detector};
use firstlook_diagnose::Catalogue;
use firstlook_incident::Incidents;
use firstlook_model::{
    Change, ComponentId, Incident, IncidentId, Record, Situation, Suspect, Timestamp, Verdict,
};
use firstlook_proto::heard::HeardRecords;
use firstlook_query::ANNOUNCED_PREFIX;

use super::case::{About, LARGEST_FILE_BYTES, Noticed, Truth};
use super::withheld::Withheld;
use crate::think::{Usual, think};

/// The file of a case that holds what was heard.
pub const FILE: &str = "records.zst";
/// As often as the analysis runs.
const EVERY: Duration = Duration::from_secs(1);
/// A verdict may be given so much before the alarm, which is when a symptom had begun at the latest.
const EARLY_S: f64 = 5.0;
/// No case may be longer, in analyses.
const MOST_STEPS: usize = 200_000;
/// No file may hold more, unpacked.
const UNPACKED_LIMIT_BYTES: u64 = 8 << 30;

/// The first suspect of a verdict, held against the truth where that is known.
#[derive(Clone, Debug, PartialEq)]
pub struct First {
    pub component: ComponentId,
    pub fault: String,
    pub probability: f64,
    /// Whether it is the component at fault.
    pub right: Option<bool>,
    /// Whether the kind of fault is right, too.
    pub kind_right: Option<bool>,
}

/// A verdict as it was given.
#[derive(Clone, Debug, PartialEq)]
pub struct Given {
    pub at: Timestamp,
    /// None: it abstained.
    pub first: Option<First>,
    /// Place of the component at fault among the suspects, from 1. None: it is none of them, or not known.
    pub truth_place: Option<usize>,
    /// The component at fault was among those that are ruled out.
    pub truth_ruled_out: bool,
}

/// How a case went.
#[derive(Debug, Default)]
pub struct Live {
    /// The incident that the case is about; None: none was opened.
    pub incident: Option<Incident>,
    /// Its verdicts from the alarm on, one a second while it was open.
    pub given: Vec<Given>,
    /// Incidents beside it.
    pub others: usize,
}

impl Live {
    /// The verdict at the end: of the incident as long as something hurt.
    pub fn last(&self) -> Option<&Given> {
        self.given.last()
    }

    /// The suspects at the end, as [`Live::last`].
    pub fn suspects(&self) -> &[Suspect] {
        match (&self.incident, self.last()) {
            (Some(incident), Some(_)) => &incident.verdict.suspects,
            _ => &[],
        }
    }

    /// Seconds from the alarm to the first verdict that is right; below 0 where it came before.
    pub fn right_after_s(&self, alarm_s: f64) -> Option<f64> {
        let right = |given: &&Given| given.first.as_ref().is_some_and(|f| f.right == Some(true));
        Some(self.given.iter().find(right)?.at.as_secs_f64() - alarm_s)
    }
}

/// Replays `records.zst` of a folder, where it is there.
///
/// # Errors
/// When it cannot be read, is damaged or too large.
pub fn replay(
    folder: &Path,
    about: &About,
    catalogue: &Catalogue,
    without: &[Withheld],
) -> anyhow::Result<Option<Live>> {
    let path = folder.join(FILE);
    let file = match File::open(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        file => file.context(FILE)?,
    };
    let length = file.metadata().context(FILE)?.len();
    ensure!(length <= LARGEST_FILE_BYTES, "{FILE} is too large");
    let unpacked = zstd::Decoder::new(file).context(FILE)?;
    let mut run = Run::new(about, catalogue, without);
    for heard in HeardRecords::open(unpacked.take(UNPACKED_LIMIT_BYTES)).context(FILE)? {
        let heard = heard.context(FILE)?;
        if heard.received > run.end {
            break;
        }
        run.until(heard.received).context(FILE)?;
        match &heard.record {
            record if withheld(record, without) => {}
            // Somebody told of it: that the host lives is not said by it.
            Record::Changes(changes) if changes.iter().all(is_announced) => {
                run.detector.observe_changes(&heard.host, changes);
                changes.iter().for_each(|change| run.usual.hear(change));
            }
            record => run
                .detector
                .observe_record(&heard.host, heard.received, record),
        }
    }
    run.until(run.end).context(FILE)?;
    run.finish();
    Ok(Some(run.ended(&about.alarm)))
}

fn is_announced(change: &Change) -> bool {
    change.id.starts_with(ANNOUNCED_PREFIX)
}

fn withheld(record: &Record, without: &[Withheld]) -> bool {
    match record {
        Record::Logs(_) => without.contains(&Withheld::Logs),
        Record::Changes(_) => without.contains(&Withheld::Changes),
        _ => false,
    }
}

struct Run<'a> {
    detector: Detector,
    incidents: Incidents,
    usual: Usual,
    catalogue: &'a Catalogue,
    truth: &'a Truth,
    without: &'a [Withheld],
    end: Timestamp,
    /// When the next analysis is due; None before the first record.
    due: Option<Timestamp>,
    steps: usize,
    opened: u32,
    all: Vec<Live>,
}

impl<'a> Run<'a> {
    fn new(about: &'a About, catalogue: &'a Catalogue, without: &'a [Withheld]) -> Self {
        Self {
            detector: Detector::new(DetectConfig::default()),
            incidents: Incidents::new(firstlook_incident::Config::default()),
            usual: Usual::default(),
            catalogue,
            truth: &about.truth,
            without,
            end: Timestamp::from_micros((about.reference_time * 1e6) as i64),
            due: None,
            steps: 0,
            opened: 0,
            all: Vec::new(),
        }
    }

    /// Makes the analyses that are due by `now`.
    fn until(&mut self, now: Timestamp) -> anyhow::Result<()> {
        let mut due = self.due.unwrap_or_else(|| now.plus(EVERY));
        while due <= now {
            self.steps += 1;
            ensure!(self.steps <= MOST_STEPS, "longer than {MOST_STEPS} s");
            self.step(due);
            due = due.plus(EVERY);
        }
        self.due = Some(due);
        Ok(())
    }

    /// What came since the last analysis counts, too.
    fn finish(&mut self) {
        if self.due.is_none_or(|due| due.minus(EVERY) < self.end) {
            self.step(self.end);
        }
    }

    fn step(&mut self, now: Timestamp) {
        let mut situation = self.detector.situation(now);
        withhold(&mut situation, self.without);
        let opened = &mut self.opened;
        let number = || {
            *opened += 1;
            IncidentId(*opened)
        };
        let (incidents, usual) = (&mut self.incidents, &mut self.usual);
        think(self.catalogue, incidents, usual, &mut situation, number);
        self.all.resize_with(self.opened as usize, Live::default);
        for incident in self.incidents.open() {
            let Some(live) = self.all.get_mut(incident.id.0 as usize - 1) else {
                continue;
            };
            // A verdict that is kept while nothing hurts any more is not given anew.
            if incident.verdict.reference_time == now {
                live.given.push(given(now, &incident.verdict, self.truth));
            }
            live.incident = Some(incident.clone());
        }
    }

    fn ended(self, alarm: &Noticed) -> Live {
        of_alarm(self.all, alarm)
    }
}

/// The incident that the alarm is of: those that hurt at or after it first, of these those with a symptom of its component, then
/// the nearest in time. The others are counted.
fn of_alarm(all: Vec<Live>, alarm: &Noticed) -> Live {
    let others = all.len().saturating_sub(1);
    let named = alarm.named();
    // An incident may have been open before, for another reason.
    let from = alarm.time - EARLY_S;
    let since = |given: &Given| given.at.as_secs_f64() >= from;
    let far = |live: &Live| {
        let over = !live.given.iter().any(since);
        let Some(incident) = &live.incident else {
            return (over, true, f64::INFINITY);
        };
        let of_it = |name: &String| {
            let mut symptoms = incident.symptoms.iter();
            symptoms.any(|symptom| symptom.component.to_string() == *name)
        };
        let another = !named.as_ref().is_none_or(of_it);
        let away = (incident.began.as_secs_f64() - alarm.time).abs();
        (over, another, away)
    };
    let nearest = all.into_iter().min_by(|a, b| {
        let (a, b) = (far(a), far(b));
        (a.0, a.1).cmp(&(b.0, b.1)).then(a.2.total_cmp(&b.2))
    });
    let mut live = nearest.unwrap_or_default();
    live.given.retain(since);
    Live { others, ..live }
}

fn withhold(situation: &mut Situation, without: &[Withheld]) {
    for kind in without {
        match kind {
            Withheld::Topology => situation.edges.clear(),
            Withheld::Changes => situation.changes.clear(),
            Withheld::QuietWindows => situation.attestations.clear(),
            Withheld::Logs | Withheld::Spans => {}
        }
    }
}

fn given(at: Timestamp, verdict: &Verdict, truth: &Truth) -> Given {
    let is_true = |component: &ComponentId| {
        let name = component.to_string();
        truth.names().any(|named| named == name)
    };
    let known = truth.component.is_some();
    let first = verdict.suspects.first().map(|suspect| {
        let right = known.then(|| is_true(&suspect.component));
        let kind = truth.fault.as_ref().map(|fault| *fault == suspect.fault);
        First {
            component: suspect.component.clone(),
            fault: suspect.fault.clone(),
            probability: suspect.probability,
            right,
            kind_right: right.zip(kind).map(|(right, kind)| right && kind),
        }
    });
    let mut suspects = verdict.suspects.iter();
    Given {
        at,
        first,
        truth_place: suspects
            .position(|s| is_true(&s.component))
            .map(|at| at + 1),
        truth_ruled_out: verdict.ruled_out.iter().any(|c| is_true(&c.component)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// An incident of one service that hurt from and to then, in seconds.
    fn incident(id: u32, service: &str, from: i64, to: i64) -> Live {
        let at = Timestamp::from_secs;
        let component = format!("service:h1/{service}");
        let told: Incident = serde_json::from_value(json!({
            "id": IncidentId(id), "state": "open", "began": at(from), "opened": at(from), "closed": null, "title": "",
            "symptoms": [{
                "component": component, "kind": "log.errors", "peer": null, "family": "log",
                "onset": { "from": at(from), "to": at(from) }, "last_seen": at(to), "severity": 0.5, "gate": true,
                "text": "", "usual": 0.0, "reference": { "of": "unit", "component": component, "range": { "from": at(from), "to": at(to) } },
            }],
            "verdict": {
                "reference_time": at(to), "suspects": [], "ruled_out": [], "blind_spots": [], "changes": [],
                "next_look": null, "hesitation": null,
            },
            "timeline": [],
        }))
        .unwrap();
        let given = |secs| Given {
            at: at(secs),
            first: None,
            truth_place: None,
            truth_ruled_out: false,
        };
        Live {
            incident: Some(told),
            given: (from..to).map(given).collect(),
            others: 0,
        }
    }

    #[test]
    fn an_alarm_is_of_what_hurts_then_and_of_that_of_its_own_component() {
        let alarm: Noticed =
            serde_json::from_value(json!({ "time": 1_000.0, "component": "service:h1/web" }))
                .unwrap();
        let chosen = |all: Vec<Live>| {
            let live = of_alarm(all, &alarm);
            (live.incident.map(|incident| incident.id.0), live.others)
        };
        let (over, other, own) = (
            incident(1, "web", 900, 960),
            incident(2, "db", 998, 1_030),
            incident(3, "web", 980, 1_030),
        );
        assert_eq!(chosen(vec![over, other, own]), (Some(3), 2));
        let over = incident(1, "web", 900, 960);
        assert_eq!(
            chosen(vec![over, incident(2, "db", 998, 1_030)]),
            (Some(2), 1)
        );
        let kept = of_alarm(vec![incident(3, "web", 980, 1_030)], &alarm);
        assert_eq!(
            kept.given.first().map(|g| g.at),
            Some(Timestamp::from_secs(995))
        );
        assert_eq!(chosen(Vec::new()), (None, 0));
    }
}
