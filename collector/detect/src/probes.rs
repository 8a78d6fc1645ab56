//! Probes: what declared looks at a component found.
//!
//! Being answered otherwise than asked for is one kind of symptom, not being answered another: who answers is not down.
//! A look is a sample that has values. Two bad looks in a row raise, two good ones clear: a single lost packet is
//! nobody's business. What the last look found holds until three times the usual gap has passed without another.

use std::collections::BTreeMap;
use std::time::Duration;

use firstlook_model::probe::{self, Failure, Part};
use firstlook_model::symptom::{families, kinds};
use firstlook_model::{Columns, ComponentId, Series, Timestamp};
use serde::{Deserialize, Serialize};

use crate::draft::{Finding, Health, Source};
use crate::watch::Span;
use crate::words;

/// Most probes of one host: four times what an agent's configuration may hold.
pub(crate) const PROBES_LIMIT: usize = 256;
/// Looks that raise, and that clear.
const LOOKS: u32 = 2;
/// So many gaps without a look, and nothing is known any more.
const GAPS: u32 = 3;
/// The gap taken for usual after the first look, and the longest: an agent's default, and its limit.
const GAP: Duration = Duration::from_secs(10);
const GAP_LIMIT: Duration = Duration::from_secs(3_600);
/// Longest name that is shown, in bytes.
const NAME_LIMIT_BYTES: usize = 48;

/// Columns of one probe.
#[derive(Debug)]
pub(crate) struct ProbeCells {
    component: ComponentId,
    name: String,
    columns: [Option<u32>; Part::ALL.len()],
}

/// The columns of all probes of a schema, and how many probes there is no room for.
pub(crate) fn cells(series: &[Series]) -> (Vec<ProbeCells>, usize) {
    let mut found: BTreeMap<(&ComponentId, &str), [Option<u32>; Part::ALL.len()]> = BTreeMap::new();
    for (column, series) in (0u32..).zip(series) {
        if let Some((name, part)) = probe::parse(&series.signal) {
            let columns = found.entry((&series.component, name)).or_default();
            columns[part.index()] = Some(column);
        }
    }
    found.retain(|_, columns| columns[Part::Up.index()].is_some());
    let over = found.len().saturating_sub(PROBES_LIMIT);
    let cells = found.into_iter().take(PROBES_LIMIT);
    let cells = cells.map(|((component, name), columns)| ProbeCells {
        component: component.clone(),
        name: name.to_owned(),
        columns,
    });
    (cells.collect(), over)
}

/// What one look found, by [`Part::index`].
type Look = [Option<f64>; Part::ALL.len()];

/// All probes of one host, by what they are about.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Probes {
    known: BTreeMap<ComponentId, BTreeMap<String, Probe>>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Probe {
    /// The newest look.
    last: Option<Timestamp>,
    gap: Option<Duration>,
    last_good: Option<Timestamp>,
    good: u32,
    bad: u32,
    /// Since the first bad look that no two good ones followed.
    failing: Option<Failing>,
    /// How long the last answer took.
    seconds: Option<f64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Failing {
    span: Span,
    raised: bool,
    /// Of the newest bad look.
    look: Look,
}

impl Probes {
    /// Takes the samples of one probe: those without a value are no looks.
    pub fn take(&mut self, cells: &ProbeCells, times: &[Timestamp], columns: &Columns) {
        for (index, at) in times.iter().enumerate() {
            let value = |column: &Option<u32>| {
                let value = *columns.get((*column)? as usize)?.get(index)?;
                value.is_finite().then_some(value)
            };
            let look: Look = std::array::from_fn(|part| value(&cells.columns[part]));
            if look[Part::Up.index()].is_none() {
                continue;
            }
            let of_component = self.known.entry(cells.component.clone()).or_default();
            let probe = of_component.entry(cells.name.clone()).or_default();
            probe.take(*at, look);
        }
    }

    /// Forgets the probes that a new schema no longer has.
    pub fn keep(&mut self, cells: &[ProbeCells]) {
        for (component, probes) in &mut self.known {
            let kept = |name: &String| {
                let same = |c: &ProbeCells| c.name == *name && c.component == *component;
                cells.iter().any(same)
            };
            probes.retain(|name, _| kept(name));
        }
        self.known.retain(|_, probes| !probes.is_empty());
    }

    /// Forgets times, as after the host's clock stepped back.
    pub fn stepped(&mut self) {
        self.known.clear();
    }

    pub fn findings(&self, now: Timestamp) -> Vec<Finding> {
        let mut found = Vec::new();
        for (component, probes) in &self.known {
            let failing = probes
                .iter()
                .filter(|(_, probe)| probe.is_fresh(now))
                .filter_map(|(name, probe)| Some((name, probe, probe.failing.as_ref()?)))
                .filter(|(_, _, failing)| failing.raised);
            found.extend(failing.map(|(name, probe, failing)| Finding {
                component: component.clone(),
                peer: None,
                kind: kind(&failing.look),
                family: families::PROBE,
                span: Span {
                    last: now,
                    ..failing.span
                },
                severity: probe.severity(failing),
                // What ends soon has not ended: nobody is hurt yet.
                gate: kind(&failing.look) != kinds::CERTIFICATE_EXPIRING,
                text: probe.words(name, failing),
                source: Source::Series(probe::signal(name, Part::Up)),
            }));
        }
        found
    }

    /// Components all of whose probes were up at their last look.
    pub fn health(&self, now: Timestamp, coverage: f64) -> Vec<Health> {
        let all = self.known.iter();
        all.filter_map(|(component, probes)| health(component, probes, now, coverage))
            .collect()
    }
}

fn health(
    component: &ComponentId,
    probes: &BTreeMap<String, Probe>,
    now: Timestamp,
    coverage: f64,
) -> Option<Health> {
    let well = |probe: &Probe| probe.is_fresh(now) && probe.failing.is_none();
    if !probes.values().all(well) {
        return None;
    }
    let (name, slowest) = probes.iter().min_by_key(|(_, probe)| probe.last)?;
    let took = slowest.seconds.map_or_else(String::new, |seconds| {
        format!(", answers in {}", words::millis(seconds * 1_000.0))
    });
    let others = match probes.len() {
        1 => String::new(),
        all => format!(" and {}", words::count(all as u64 - 1, "other")),
    };
    let text = format!(
        "probe {}{others}: up{took}; a failure would have shown within {}",
        words::clip(name, NAME_LIMIT_BYTES),
        words::span(slowest.gap() * LOOKS),
    );
    Some(Health {
        component: component.clone(),
        family: families::PROBE,
        coverage,
        last: slowest.last?,
        text,
        source: Source::Series(probe::signal(name, Part::Up)),
    })
}

impl Probe {
    /// Takes one look; late and repeated ones change nothing.
    fn take(&mut self, at: Timestamp, look: Look) {
        if self.last.is_some_and(|last| at <= last) {
            return;
        }
        if !self.is_fresh(at) {
            // Nobody looked meanwhile: looks before and after are not in a row. What was raised is not over by that.
            (self.good, self.bad) = (0, 0);
            self.failing = self.failing.take().filter(|failing| failing.raised);
        }
        self.gap = self.last.map(|last| at.since(last).min(GAP_LIMIT));
        self.last = Some(at);
        self.seconds = look[Part::Duration.index()];
        if look[Part::Up.index()] == Some(1.0) {
            self.take_good(at);
        } else {
            self.take_bad(at, look);
        }
    }

    fn take_good(&mut self, at: Timestamp) {
        (self.good, self.bad) = (self.good.saturating_add(1), 0);
        self.last_good = Some(at);
        let raised = self.failing.as_ref().is_some_and(|f| f.raised);
        if !raised || self.good >= LOOKS {
            self.failing = None;
        }
    }

    fn take_bad(&mut self, at: Timestamp, look: Look) {
        (self.bad, self.good) = (self.bad.saturating_add(1), 0);
        let after = self.last_good;
        let failing = self.failing.get_or_insert(Failing {
            span: Span {
                after,
                first: at,
                last: at,
            },
            raised: false,
            look,
        });
        (failing.span.last, failing.look) = (at, look);
        failing.raised |= self.bad >= LOOKS;
    }

    fn severity(&self, failing: &Failing) -> f64 {
        match self.last_good {
            _ if kind(&failing.look) == kinds::CERTIFICATE_EXPIRING => 0.2,
            Some(_) => 0.9,
            // One that was never up may ask for too much.
            None => 0.6,
        }
    }

    fn gap(&self) -> Duration {
        self.gap.unwrap_or(GAP)
    }

    fn is_fresh(&self, now: Timestamp) -> bool {
        // The gap after a first look is not known yet, and may be long.
        let holds = self.gap.map_or(GAP_LIMIT, |gap| gap * GAPS);
        self.last.is_some_and(|last| now.since(last) <= holds)
    }

    fn words(&self, name: &str, failing: &Failing) -> String {
        let looks = match self.bad {
            0 => "up at the last look".to_owned(),
            bad => format!("{} in a row", words::count(u64::from(bad), "look")),
        };
        let usual = match self.last_good {
            Some(_) => "usual: up",
            None => "never up while it was watched",
        };
        let name = words::clip(name, NAME_LIMIT_BYTES);
        format!("probe {name}: {}, {looks}, {usual}", why(&failing.look))
    }
}

fn kind(look: &Look) -> &'static str {
    let failure = look[Part::Failure.index()].and_then(Failure::of_code);
    let days = look[Part::CertificateDays.index()];
    match failure {
        Some(Failure::CertificateEnds) => match days {
            Some(days) if days >= 0.0 => kinds::CERTIFICATE_EXPIRING,
            _ => kinds::CERTIFICATE_EXPIRED,
        },
        Some(failure) if failure.is_unanswered() => kinds::PROBE_UNANSWERED,
        _ => kinds::PROBE_FAILED,
    }
}

/// Why a look was bad, for people.
fn why(look: &Look) -> String {
    let of = |part: Part| look[part.index()];
    let number =
        |part: Part| of(part).map_or_else(|| "?".to_owned(), |value| format!("{value:.0}"));
    let Some(failure) = of(Part::Failure).and_then(Failure::of_code) else {
        return "not up, for a reason that this version does not know".to_owned();
    };
    let words = match failure {
        Failure::Refused => "connection refused",
        Failure::NoAnswer => "no answer within its deadline",
        Failure::Unreachable => "no way there",
        Failure::NameUnknown => "its target's name has no address",
        Failure::Unreadable => "the answer broke off or cannot be read",
        Failure::WrongStatus => {
            let (is, asked) = (number(Part::Status), number(Part::Expected));
            return format!("status {is} instead of {asked}");
        }
        Failure::TextMissing => "the answer does not hold the text asked for",
        Failure::FileMissing => "the file cannot be looked at",
        Failure::FileOld => {
            let age = |part| of(part).map_or_else(|| "?".to_owned(), age);
            let (is, allowed) = (age(Part::Age), age(Part::Expected));
            return format!("contents {is} old, at most {allowed} allowed");
        }
        Failure::Handshake => "no TLS session",
        Failure::Untrusted => "its certificate is not trusted",
        Failure::CertificateEnds => {
            return certificate(of(Part::CertificateDays), of(Part::Expected));
        }
        Failure::NoAuthorities => "no certificates to trust can be read on the host",
        Failure::ResolverError => return resolver(of(Part::Status)),
        Failure::NoAddress => "the resolver knows no such address",
        Failure::OtherAddress => "the resolver gives other addresses than the one asked for",
        Failure::UnitInactive => "the unit is not active",
        Failure::UnitUnknown => "no such unit is loaded",
    };
    words.to_owned()
}

fn certificate(days: Option<f64>, least: Option<f64>) -> String {
    let whole = |days: f64| words::count(days.clamp(0.0, 1e6) as u64, "day");
    match days {
        Some(days) if days < 0.0 => format!("its certificate ended {} ago", whole(-days)),
        Some(days) => {
            let least = least.map_or_else(|| "more".to_owned(), whole);
            format!("its certificate ends in {}, {least} asked for", whole(days))
        }
        None => "its certificate ends".to_owned(),
    }
}

/// RFC 1035 §4.1.1.
fn resolver(code: Option<f64>) -> String {
    let code = code.unwrap_or(-1.0);
    let named = [
        (1.0, "FORMERR"),
        (2.0, "SERVFAIL"),
        (3.0, "NXDOMAIN"),
        (5.0, "REFUSED"),
    ];
    match named.iter().find(|(known, _)| *known == code) {
        Some((_, name)) => format!("the resolver answers {name}"),
        None => format!("the resolver answers with code {code:.0}"),
    }
}

/// `40 s`, `15 min`, `26 h`.
fn age(seconds: f64) -> String {
    if seconds >= 2.0 * 3_600.0 {
        format!("{:.0} h", seconds / 3_600.0)
    } else {
        words::span(Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests;
