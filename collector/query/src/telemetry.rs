//! Questions that the store answers: logs, metrics, changes.

use firstlook_model::{Change, ComponentId, Series, Severity, TemplateId, TimeRange, UnitState};
use firstlook_proto::wire;
use firstlook_store::{LogFilter, MetricSelector, SeriesSamples, Store};
use tonic::Status;

use crate::about::About;

/// Lines returned when the question does not say.
const DEFAULT_LINES: usize = 1_000;
/// Most lines returned.
const LINES_LIMIT: usize = 100_000;
/// Lines per reply, so that no message grows large.
const LINES_PER_REPLY: usize = 500;
/// Points per reply.
const POINTS_PER_REPLY: usize = 20_000;
/// Longest text to look for, in bytes.
const NEEDLE_LIMIT_BYTES: usize = 1_024;

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

/// Lines of a question, oldest first, in replies of a bounded size.
pub fn logs(
    store: &Store,
    about: &About,
    request: &wire::LogsRequest,
    range: TimeRange,
) -> Result<Vec<wire::LogsReply>, Status> {
    if request.contains.len() > NEEDLE_LIMIT_BYTES {
        return Err(Status::invalid_argument("the text to look for is too long"));
    }
    let limit = match request.limit {
        0 => DEFAULT_LINES,
        limit => (limit as usize).min(LINES_LIMIT),
    };
    let severity = match request.severity() {
        wire::Severity::Unspecified => None,
        other => Severity::try_from(other).ok(),
    };
    let filter = LogFilter {
        host: about.host().cloned(),
        component: match about {
            About::Component(component) => Some(component.clone()),
            _ => None,
        },
        template: request.template.map(TemplateId),
        severity_min: severity,
        contains: (!request.contains.is_empty()).then(|| request.contains.clone()),
        newest_first: true,
        // One more shows that there was more.
        ..LogFilter::new(range, limit + 1)
    };
    let mut found = store.logs(&filter);
    let left_out = u64::from(found.len() > limit);
    found.truncate(limit);
    found.reverse();
    let mut replies: Vec<_> = found
        .chunks(LINES_PER_REPLY)
        .map(|lines| wire::LogsReply {
            lines: lines.iter().map(|line| (&line.entry).into()).collect(),
            left_out: 0,
        })
        .collect();
    if let Some(first) = replies.first_mut() {
        first.left_out = left_out;
    }
    Ok(replies)
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
