//! Questions that the store answers: logs, metrics, changes.

use firstlook_model::log::CONTAINS_LIMIT_BYTES;
use firstlook_model::{
    Change, ComponentId, LinesQuestion, LogEntry, Series, Severity, TemplateId, TimeRange,
    UnitState,
};
use firstlook_proto::wire;
use firstlook_store::{LogFilter, MetricSelector, SeriesSamples, Store};
use tonic::Status;

use crate::about::About;
use crate::office::KeptLines;

/// Lines returned when the question does not say.
const DEFAULT_LINES: usize = 1_000;
/// Most lines returned.
const LINES_LIMIT: usize = 100_000;
/// Lines per reply, so that no message grows large.
const LINES_PER_REPLY: usize = 500;
/// Points per reply.
const POINTS_PER_REPLY: usize = 20_000;
/// Most lines asked of a host.
pub const KEPT_LINES_LIMIT: usize = 10_000;

/// The range of a question.
///
/// # Errors
/// INVALID_ARGUMENT when there is none or it is empty.
pub fn range(range: Option<wire::TimeRange>) -> Result<TimeRange, Status> {
    let range = TimeRange::from(
        range.ok_or_else(|| Status::invalid_argument("a range of time is needed"))?,
    );
    match range.from < range.to {
        true => Ok(range),
        false => Err(Status::invalid_argument("the range of time is empty")),
    }
}

/// The component that a label means of those of which the store holds anything in the range: a service that has long
/// written nothing is known from its logs only.
///
/// # Errors
/// NOT_FOUND when it holds nothing of that name; INVALID_ARGUMENT when the label may mean several.
pub fn stored(store: &Store, label: &str, range: TimeRange) -> Result<About, Status> {
    let holds = |component: &ComponentId| {
        let log = LogFilter {
            component: Some(component.clone()),
            newest_first: true,
            ..LogFilter::new(range, 1)
        };
        let selector = MetricSelector {
            hosts: None,
            component: Some(component.clone()),
            signal: None,
        };
        !store.logs(&log).is_empty()
            || !store.units(range, Some(component)).is_empty()
            || !store.changes(range, Some(component)).is_empty()
            || !store.metrics(&selector, range).is_empty()
    };
    About::only(label, About::possible(label).into_iter().filter(holds))
}

/// The question for lines that a host itself keeps.
///
/// # Errors
/// INVALID_ARGUMENT where it names no host or cannot be asked of one.
pub fn kept(
    about: About,
    request: wire::LogsRequest,
    range: TimeRange,
) -> Result<LinesQuestion, Status> {
    let component = match about {
        About::Component(component) => Some(component),
        About::Host(host) => Some(ComponentId::host(host)),
        About::All => None,
    };
    let named = component.filter(|component| component.host_id().is_some());
    let component = named.ok_or_else(|| {
        Status::invalid_argument("lines kept by a host: say of which component or host")
    })?;
    if request.template.is_some() {
        return Err(Status::invalid_argument(
            "lines kept by a host have no templates: say what they contain",
        ));
    }
    let limit = limit(request.limit).min(KEPT_LINES_LIMIT);
    Ok(LinesQuestion {
        component,
        range,
        limit: u32::try_from(limit).unwrap_or(u32::MAX),
        severity: severity(&request),
        contains: needle(request.contains)?,
    })
}

/// Lines that a host itself keeps, in replies of a bounded size.
pub fn kept_replies(kept: &KeptLines) -> Vec<wire::LogsReply> {
    let mut replies = in_replies(kept.entries.iter(), kept.left_out);
    if replies.is_empty() {
        replies.push(wire::LogsReply::default());
    }
    if let Some(first) = replies.first_mut() {
        (first.left_out, first.notes) = (kept.left_out, kept.notes.clone());
    }
    replies
}

fn needle(contains: String) -> Result<String, Status> {
    match contains.len() <= CONTAINS_LIMIT_BYTES {
        true => Ok(contains),
        false => Err(Status::invalid_argument("the text to look for is too long")),
    }
}

fn limit(asked: u32) -> usize {
    match asked {
        0 => DEFAULT_LINES,
        asked => (asked as usize).min(LINES_LIMIT),
    }
}

fn severity(request: &wire::LogsRequest) -> Option<Severity> {
    match request.severity() {
        wire::Severity::Unspecified => None,
        other => Severity::try_from(other).ok(),
    }
}

fn in_replies<'a>(
    entries: impl Iterator<Item = &'a LogEntry>,
    left_out: u64,
) -> Vec<wire::LogsReply> {
    let lines: Vec<wire::LogLine> = entries.map(Into::into).collect();
    let mut replies: Vec<_> = lines
        .chunks(LINES_PER_REPLY)
        .map(|lines| wire::LogsReply {
            lines: lines.to_vec(),
            ..wire::LogsReply::default()
        })
        .collect();
    if let Some(first) = replies.first_mut() {
        first.left_out = left_out;
    }
    replies
}

/// Lines of a question, oldest first, in replies of a bounded size.
pub fn logs(
    store: &Store,
    about: &About,
    request: &wire::LogsRequest,
    range: TimeRange,
) -> Result<Vec<wire::LogsReply>, Status> {
    let contains = needle(request.contains.clone())?;
    let limit = limit(request.limit);
    let filter = LogFilter {
        host: about.host().cloned(),
        component: match about {
            About::Component(component) => Some(component.clone()),
            _ => None,
        },
        template: request.template.map(TemplateId),
        severity_min: severity(request),
        contains: Some(contains).filter(|text| !text.is_empty()),
        newest_first: true,
        // One more shows that there was more.
        ..LogFilter::new(range, limit + 1)
    };
    let mut found = store.logs(&filter);
    let left_out = u64::from(found.len() > limit);
    found.truncate(limit);
    found.reverse();
    Ok(in_replies(found.iter().map(|line| &line.entry), left_out))
}

/// Samples of a question in replies of a bounded size.
pub fn metrics(
    store: &Store,
    about: &About,
    request: &wire::MetricsRequest,
    range: TimeRange,
) -> Vec<wire::MetricsReply> {
    let prefix = request.signal.strip_suffix('*');
    let wanted = |series: &Series| match prefix {
        Some(prefix) => series.signal.starts_with(prefix),
        None => request.signal.is_empty() || series.signal == request.signal,
    };
    let selector = MetricSelector {
        hosts: about.host().map(|host| vec![host.clone()]),
        component: match about {
            About::Component(component) => Some(component.clone()),
            _ => None,
        },
        signal: (prefix.is_none() && !request.signal.is_empty()).then(|| request.signal.clone()),
    };
    let mut replies = vec![wire::MetricsReply::default()];
    let mut points = 0;
    for samples in store.metrics(&selector, range) {
        if !wanted(&samples.series) {
            continue;
        }
        points += samples.values.len();
        if points > POINTS_PER_REPLY {
            replies.push(wire::MetricsReply::default());
            points = samples.values.len();
        }
        if let Some(reply) = replies.last_mut() {
            reply.series.push(series_to_wire(samples, request.list));
        }
    }
    replies
}

/// For a list, only the latest observation.
fn series_to_wire(samples: SeriesSamples, list: bool) -> wire::SeriesSamples {
    let latest = samples.values.iter().rposition(|v| !v.is_nan());
    let rows = match (list, latest) {
        (false, _) => 0..samples.values.len(),
        (true, Some(last)) => last..last + 1,
        (true, None) => 0..0,
    };
    wire::SeriesSamples {
        component: samples.series.component.to_string(),
        unit: wire::Unit::from(samples.series.unit).into(),
        kind: wire::SignalKind::from(samples.series.kind).into(),
        signal: samples.series.signal,
        times: samples.times[rows.clone()]
            .iter()
            .map(|t| t.as_micros())
            .collect(),
        values: samples.values[rows].to_vec(),
    }
}

/// Changes and unit states of a question, oldest first. A unit's state that repeats the one before is left out.
pub fn changes(
    store: &Store,
    about: &About,
    range: TimeRange,
    announced: Vec<Change>,
) -> wire::ChangesReply {
    let component = match about {
        About::Component(component) => Some(component),
        _ => None,
    };
    let mut changes: Vec<Change> = store
        .changes(range, component)
        .into_iter()
        .map(|stored| stored.item)
        .chain(announced)
        .filter(|change| about.covers(&change.component))
        .collect();
    changes.sort_by_key(|change| change.time);
    let mut units: Vec<UnitState> = store
        .units(range, component)
        .into_iter()
        .map(|stored| stored.item)
        .filter(|unit| about.covers(&unit.component))
        .collect();
    units.sort_by(|a, b| (&a.component, a.time).cmp(&(&b.component, b.time)));
    let mut kept = only_changes(units);
    kept.sort_by_key(|unit| unit.time);
    wire::ChangesReply {
        changes: changes.iter().map(Into::into).collect(),
        units: kept.iter().map(Into::into).collect(),
    }
}

/// Of each unit's states, sorted by unit and time, those that differ from the one before; the first of a
/// unit only when it began within the range, which its own stamp tells.
fn only_changes(units: Vec<UnitState>) -> Vec<UnitState> {
    type State = (ComponentId, firstlook_model::ActiveState, String, String);
    let mut last: Option<State> = None;
    let mut kept = Vec::new();
    for unit in units {
        let state: State = (
            unit.component.clone(),
            unit.active,
            unit.sub.clone(),
            unit.invocation.clone(),
        );
        let known = last.as_ref().is_some_and(|l| l.0 == state.0);
        if known && last.as_ref() != Some(&state) {
            kept.push(unit);
        }
        last = Some(state);
    }
    kept
}
