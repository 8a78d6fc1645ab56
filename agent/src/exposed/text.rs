//! Frames in the text form of Prometheus's metrics, version 0.0.4. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::Ordering::Relaxed;

use firstlook_model::{Frame, Series, SignalKind, Unit};
use firstlook_uplink::UplinkStatus;

use crate::app::VERSION;

/// What comes before each name, so that it is nobody else's.
const PREFIX: &str = "firstlook_";

/// Metrics of one name.
struct Family {
    kind: SignalKind,
    unit: Unit,
    /// By labels: no two samples of one name may have the same.
    samples: BTreeMap<String, f64>,
}

/// Writes a frame and how the uplink fares. A series without a value now is left out; of two whose names and
/// labels come out the same, the first is told.
pub(super) fn write(frame: &Frame, status: &UplinkStatus) -> String {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let columns = frame.schema.series().iter().zip(&frame.values);
    for (series, value) in columns.filter(|(_, value)| !value.is_nan()) {
        let (name, labels) = named(series);
        let family = families.entry(name).or_insert_with(|| Family {
            kind: series.kind,
            unit: series.unit,
            samples: BTreeMap::new(),
        });
        family.samples.entry(labels).or_insert(*value);
    }
    let mut out = String::new();
    for (name, family) in &families {
        head(&mut out, name, family.kind, unit(family.unit));
        for (labels, value) in &family.samples {
            let _ = writeln!(out, "{name}{{{labels}}} {value}");
        }
    }
    own(&mut out, status);
    out
}

fn own(out: &mut String, status: &UplinkStatus) {
    let connected = u64::from(status.connected.load(Relaxed));
    let numbers = [
        (
            "uplink_connected",
            SignalKind::Gauge,
            "1 while a session with the collector is open",
            connected,
        ),
        (
            "uplink_sessions_total",
            SignalKind::Counter,
            "sessions begun",
            status.sessions.load(Relaxed),
        ),
        (
            "uplink_failures_total",
            SignalKind::Counter,
            "attempts and sessions that failed",
            status.failures.load(Relaxed),
        ),
    ];
    for (name, kind, says, value) in numbers {
        let name = format!("{PREFIX}{name}");
        head(out, &name, kind, says);
        let _ = writeln!(out, "{name} {value}");
    }
    let name = format!("{PREFIX}build_info");
    head(out, &name, SignalKind::Gauge, "1, with the agent's version");
    let _ = writeln!(out, "{name}{{version=\"{VERSION}\"}} 1");
}

fn head(out: &mut String, name: &str, kind: SignalKind, says: &str) {
    let kind = match kind {
        SignalKind::Gauge => "gauge",
        SignalKind::Counter => "counter",
    };
    let _ = writeln!(out, "# HELP {name} {says}\n# TYPE {name} {kind}");
}

fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Count => "number",
        Unit::Bytes => "bytes",
        Unit::Seconds => "seconds",
        Unit::Ratio => "ratio, 0 to 1",
    }
}

/// The metric's name, and its labels as they stand between the braces. A probe's own name is a label.
fn named(series: &Series) -> (String, String) {
    let mut labels = format!("component=\"{}\"", escaped(&series.component.to_string()));
    let probe = series
        .signal
        .strip_prefix("probe.")
        .and_then(|rest| rest.rsplit_once('.'));
    let signal = match probe {
        Some((probe, signal)) => {
            let _ = write!(labels, ",probe=\"{}\"", escaped(probe));
            format!("probe_{signal}")
        }
        None => series.signal.clone(),
    };
    let allowed = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = signal.chars().map(allowed).collect();
    (format!("{PREFIX}{name}"), labels)
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use firstlook_model::{Schema, Timestamp};

    fn series(component: &str, signal: &str, kind: SignalKind) -> Series {
        Series {
            component: component.parse().unwrap(),
            signal: signal.to_owned(),
            unit: Unit::Count,
            kind,
        }
    }

    fn text(columns: Vec<(Series, f64)>) -> String {
        let (series, values) = columns.into_iter().unzip();
        let frame = Frame {
            schema: Arc::new(Schema::new(series)),
            time: Timestamp::from_secs(7),
            values,
        };
        write(&frame, &UplinkStatus::default())
    }

    #[test]
    fn samples_of_one_name_stand_together_under_one_head() {
        let text = text(vec![
            (
                series("service:h1/a.service", "service.tasks", SignalKind::Gauge),
                3.0,
            ),
            (
                series("host:h1", "cpu.user_seconds_total", SignalKind::Counter),
                1.5,
            ),
            (
                series("service:h1/b.service", "service.tasks", SignalKind::Gauge),
                4.0,
            ),
            (series("host:h1", "load.1m", SignalKind::Gauge), f64::NAN),
        ]);
        let frame = "# HELP firstlook_cpu_user_seconds_total number\n\
            # TYPE firstlook_cpu_user_seconds_total counter\n\
            firstlook_cpu_user_seconds_total{component=\"host:h1\"} 1.5\n\
            # HELP firstlook_service_tasks number\n\
            # TYPE firstlook_service_tasks gauge\n\
            firstlook_service_tasks{component=\"service:h1/a.service\"} 3\n\
            firstlook_service_tasks{component=\"service:h1/b.service\"} 4\n";
        assert!(text.starts_with(frame), "{text}");
        assert!(text.contains("\nfirstlook_uplink_connected 0\n"), "{text}");
        assert!(text.ends_with(&format!(
            "firstlook_build_info{{version=\"{VERSION}\"}} 1\n"
        )));
    }

    #[test]
    fn a_probes_name_is_a_label_and_odd_names_break_nothing() {
        let text = text(vec![
            (
                series("host:h1", "probe.front door.v2.up", SignalKind::Gauge),
                1.0,
            ),
            (
                series("filesystem:h1/a\"b\\c", "x-y", SignalKind::Gauge),
                1.0,
            ),
            (
                series("filesystem:h1/a\"b\\c", "x.y", SignalKind::Gauge),
                2.0,
            ),
        ]);
        assert!(
            text.contains("firstlook_probe_up{component=\"host:h1\",probe=\"front door.v2\"} 1\n"),
            "{text}"
        );
        let odd = "firstlook_x_y{component=\"filesystem:h1/a\\\"b\\\\c\"} ";
        assert_eq!(text.matches(odd).count(), 1, "{text}");
    }
}
