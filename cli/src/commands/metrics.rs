//! `firstlook metrics`: signals of a component, as a list or over time.

use firstlook_model::{ComponentId, Timestamp};
use firstlook_proto::convert::range_to_wire;
use firstlook_proto::wire;
use serde_json::{Value, json};

use super::Context;
use crate::Answer;
use crate::args::Span;
use crate::exit::{Exit, Failure};
use crate::json;
use crate::render::{Tone, clock, escape, table, wrap};
use crate::when;

/// Columns of a chart; each is the mean of its share of the range.
const CHART_COLUMNS: usize = 60;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

struct Series {
    component: ComponentId,
    signal: String,
    unit: wire::Unit,
    counter: bool,
    points: Vec<(Timestamp, f64)>,
}

pub async fn run(
    mut context: Context,
    about: String,
    signal: Option<String>,
    span: Span,
) -> Result<Answer, Failure> {
    let range = when::range(&span, context.now)?;
    let list = signal.is_none();
    let request = wire::MetricsRequest {
        about: about.clone(),
        signal: signal.clone().unwrap_or_default(),
        range: Some(range_to_wire(range)),
        list,
    };
    let mut stream = context.client.metrics(request).await?.into_inner();
    let mut all = Vec::new();
    while let Some(reply) = stream.message().await? {
        for series in reply.series {
            all.push(check(series)?);
        }
    }
    if all.is_empty() {
        let what = signal.unwrap_or_else(|| "signal".to_owned());
        let message = format!(
            "no {what} of {about} in this range: `firstlook metrics {about}` lists signals"
        );
        return Err(Failure {
            exit: Exit::NotFound,
            message,
        });
    }
    let text = if context.json {
        let series: Vec<Value> = all.iter().map(document).collect();
        json::document("metrics", json!({ "range": range, "series": series }))?
    } else if list {
        listing(&all)
    } else {
        all.iter().map(|series| chart(&context, series)).collect()
    };
    Ok(Answer::done(text))
}

fn check(series: wire::SeriesSamples) -> Result<Series, Failure> {
    let (unit, kind) = (series.unit(), series.kind());
    let times = series.times.iter().map(|t| Timestamp::from_micros(*t));
    Ok(Series {
        component: series.component.parse()?,
        unit,
        counter: kind == wire::SignalKind::Counter,
        points: times
            .zip(series.values)
            .filter(|(_, v)| v.is_finite())
            .collect(),
        signal: series.signal,
    })
}

fn document(series: &Series) -> Value {
    let points: Vec<Value> = series.points.iter().map(|(t, v)| json!([t, v])).collect();
    json!({
        "component": json::component(&series.component),
        "signal": series.signal,
        "unit": unit_word(series.unit),
        "kind": if series.counter { "counter" } else { "gauge" },
        "points": points,
    })
}

fn unit_word(unit: wire::Unit) -> &'static str {
    match unit {
        wire::Unit::Bytes => "bytes",
        wire::Unit::Seconds => "seconds",
        wire::Unit::Ratio => "ratio",
        wire::Unit::Count | wire::Unit::Unspecified => "count",
    }
}

fn listing(all: &[Series]) -> String {
    let rows: Vec<_> = all
        .iter()
        .map(|s| {
            let latest = s
                .points
                .last()
                .map_or_else(|| "-".to_owned(), |p| show(p.1, s.unit));
            vec![escape(&s.component.to_string()), escape(&s.signal), latest]
        })
        .collect();
    table(&rows)
}

/// Counters are shown as rates per second.
fn chart(context: &Context, series: &Series) -> String {
    let points = if series.counter {
        rates(&series.points)
    } else {
        series.points.clone()
    };
    let per = if series.counter { "/s" } else { "" };
    let head = format!(
        "{}  {}{per}",
        escape(&series.component.to_string()),
        escape(&series.signal)
    );
    let mut out = format!("{}\n", context.style.paint(Tone::Strong, &head));
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return out + "  no observation in this range\n";
    };
    let (low, high) = points
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), p| {
            (low.min(p.1), high.max(p.1))
        });
    out.push_str(&format!("  {}\n", bars(&points, low, high)));
    let value = |v: f64| format!("{}{per}", show(v, series.unit));
    let summary = format!(
        "{} to {}: first {}, last {}, lowest {}, highest {}",
        clock(first.0, context.now),
        clock(last.0, context.now),
        value(first.1),
        value(last.1),
        value(low),
        value(high)
    );
    out.push_str(&format!("  {}\n", wrap(&summary, 2)));
    out
}

/// Rates between neighbours; a fall is a reset and gives none.
fn rates(points: &[(Timestamp, f64)]) -> Vec<(Timestamp, f64)> {
    let rate = |w: &[(Timestamp, f64)]| {
        let seconds = w[1].0.seconds_from(w[0].0);
        let rise = w[1].1 - w[0].1;
        (seconds > 0.0 && rise >= 0.0).then(|| (w[1].0, rise / seconds))
    };
    points.windows(2).filter_map(rate).collect()
}

fn bars(points: &[(Timestamp, f64)], low: f64, high: f64) -> String {
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return String::new();
    };
    let length = last.0.seconds_from(first.0).max(f64::MIN_POSITIVE);
    let mut columns = vec![(0.0, 0u32); CHART_COLUMNS];
    for (time, value) in points {
        let place = time.seconds_from(first.0) / length * (CHART_COLUMNS as f64 - 1.0);
        let column = &mut columns[(place as usize).min(CHART_COLUMNS - 1)];
        *column = (column.0 + value, column.1 + 1);
    }
    let top = (BARS.len() - 1) as f64;
    let bar = |(sum, count): (f64, u32)| match count {
        0 => ' ',
        _ if high <= low => BARS[0],
        _ => {
            BARS[((sum / f64::from(count) - low) / (high - low) * top)
                .round()
                .clamp(0.0, top) as usize]
        }
    };
    columns.into_iter().map(bar).collect()
}

fn show(value: f64, unit: wire::Unit) -> String {
    match unit {
        wire::Unit::Bytes => bytes(value),
        wire::Unit::Seconds => format!("{value:.3} s"),
        wire::Unit::Ratio => format!("{:.1}%", value * 100.0),
        _ if value.fract() == 0.0 && value.abs() < 1e15 => format!("{value:.0}"),
        _ => format!("{value:.2}"),
    }
}

fn bytes(value: f64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut scaled = value;
    let mut unit = 0;
    while scaled.abs() >= 1_024.0 && unit + 1 < UNITS.len() {
        scaled /= 1_024.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{scaled:.0} B")
    } else {
        format!("{scaled:.1} {}", UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(values: &[f64]) -> Vec<(Timestamp, f64)> {
        values
            .iter()
            .enumerate()
            .map(|(i, v)| (Timestamp::from_secs(i as i64), *v))
            .collect()
    }

    #[test]
    fn a_counter_that_falls_gives_no_rate() {
        let rates = rates(&points(&[10.0, 15.0, 2.0, 4.0]));
        let values: Vec<_> = rates.iter().map(|r| r.1).collect();
        assert_eq!(values, [5.0, 2.0]);
    }

    #[test]
    fn a_flat_line_is_drawn_low_and_gaps_stay_empty() {
        let drawn = bars(&points(&[3.0, 3.0]), 3.0, 3.0);
        assert_eq!(drawn.chars().filter(|c| *c == BARS[0]).count(), 2);
        assert_eq!(drawn.chars().count(), CHART_COLUMNS);
    }

    #[test]
    fn sizes_read_well() {
        assert_eq!(bytes(0.0), "0 B");
        assert_eq!(bytes(1_536.0), "1.5 KiB");
        assert_eq!(bytes(240_000_000.0), "228.9 MiB");
    }
}
