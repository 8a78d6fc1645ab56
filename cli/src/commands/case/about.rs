//! `case.json`: what the case is about, without what the engine made of it.

use std::time::Duration;

use firstlook_model::{ComponentId, Incident, Reference, Symptom, TimeRange, Timestamp};
use serde_json::{Map, Value, json};

use super::limits;
use super::names;

/// So long before the onset the recording is said to be normal no more: an onset is known only so well.
const NORMAL_ENDS_BEFORE: Duration = Duration::from_secs(60);

/// What the case is to hold: from `before` the onset to the incident's end, or to `now` while it is open. The second says
/// whether the end is cut off, for want of rows.
///
/// Where the incident is kept but began in the future, by a clock set back since, the range is empty.
pub fn window(incident: &Incident, before: Duration, now: Timestamp) -> (TimeRange, bool) {
    let from = incident.began.minus(before);
    let end = incident.closed.unwrap_or(now);
    let most = from.plus(Duration::from_secs(limits::ROWS as u64 - 1));
    (TimeRange::new(from, end.min(most)), end > most)
}

/// The document. `normal_from` is the first second with an observation.
pub fn document(
    incident: &Incident,
    range: TimeRange,
    normal_from: Option<i64>,
    truth: Option<(&ComponentId, Option<&str>)>,
) -> Value {
    let mut fields = Map::new();
    let mut say = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    say("set", "exported".into());
    say("incident", incident.id.to_string().into());
    say("interval_s", 1.into());
    say("reference_time", range.to.as_secs_f64().into());
    say("alarm", alarm(incident, range.to));
    let until = incident.began.minus(NORMAL_ENDS_BEFORE);
    if normal_from.is_some_and(|from| Timestamp::from_secs(from) < until) {
        say("normal_until", until.as_secs_f64().into());
    }
    if let Some((component, fault)) = truth {
        let mut truth = json!({ "component": names::component(component) });
        if let Some(fault) = fault {
            truth["fault"] = fault.into();
        }
        say("truth", truth);
    }
    Value::Object(fields)
}

/// The first sign that somebody was hurt.
fn alarm(incident: &Incident, end: Timestamp) -> Value {
    let noticed = |s: &&Symptom| (s.onset.to, s.onset.from, s.component.clone());
    let gating = incident
        .symptoms
        .iter()
        .filter(|s| s.gate)
        .min_by_key(noticed);
    let Some(symptom) = gating else {
        return json!({ "time": incident.opened.min(end).as_secs_f64() });
    };
    let mut alarm = json!({
        "time": symptom.onset.to.min(end).as_secs_f64(),
        "component": names::component(&symptom.component),
        "text": symptom.text,
    });
    // Another component's signal would be read as one of this one's.
    if let Reference::Metric {
        component, signal, ..
    } = &symptom.reference
        && *component == symptom.component
    {
        alarm["signal"] = names::encoded(signal).into();
    }
    alarm
}

#[cfg(test)]
mod tests {
    use super::super::tests::{id, incident, symptom};
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_secs(seconds)
    }

    #[test]
    fn the_window_ends_with_the_incident_or_now() {
        let mut incident = incident("host:h1");
        let minutes = |n: u64| Duration::from_secs(60 * n);
        let began = incident.began;
        let now = began.plus(minutes(30));
        let (range, cut) = window(&incident, minutes(15), now);
        assert_eq!(
            (range.from, range.to, cut),
            (began.minus(minutes(15)), now, false)
        );
        incident.closed = Some(began.plus(minutes(7)));
        assert_eq!(
            window(&incident, minutes(15), now).0.to,
            began.plus(minutes(7))
        );
        incident.closed = Some(began.plus(minutes(9_999)));
        let (range, cut) = window(&incident, minutes(15), now);
        assert!(cut);
        assert_eq!(
            range.to.since(range.from).as_secs(),
            limits::ROWS as u64 - 1
        );
    }

    #[test]
    fn the_alarm_is_the_first_symptom_that_hurts_and_the_engines_verdict_is_not_told() {
        let mut incident = incident("service:h1/first,web");
        let began = incident.began;
        let second = |n: u64| began.plus(Duration::from_secs(n));
        let mut quiet = symptom("disk:h1/vda", second(0));
        quiet.gate = false;
        let mut later = symptom("host:h2", second(90));
        later.text = "later".to_owned();
        incident.symptoms[0].onset.to = second(4);
        incident.symptoms.splice(0..0, [later, quiet]);
        let end = second(600);
        let range = TimeRange::new(second(0).minus(Duration::from_secs(900)), end);
        let from = range.from.as_micros() / 1_000_000;
        let case = document(&incident, range, Some(from), None);
        assert_eq!(case["alarm"]["component"], "service:h1/first%2Cweb");
        assert_eq!(case["alarm"]["time"], second(4).as_secs_f64());
        assert_eq!(
            case["alarm"]["signal"],
            "cpu.some|of it".replace('|', "%7C")
        );
        assert_eq!(case["reference_time"], end.as_secs_f64());
        assert_eq!(case["normal_until"], began.as_secs_f64() - 60.0);
        assert_eq!(
            (&case["set"], &case["interval_s"]),
            (&json!("exported"), &json!(1))
        );
        let text = case.to_string();
        assert!(
            !text.contains("truth") && !text.contains("suspected"),
            "{text}"
        );

        let disk = id("disk:h1/vda");
        for (fault, truth) in [
            (None, json!({ "component": "disk:h1/vda" })),
            (
                Some("disk-slow"),
                json!({ "component": "disk:h1/vda", "fault": "disk-slow" }),
            ),
        ] {
            let told = document(&incident, range, Some(from), Some((&disk, fault)));
            assert_eq!(told["truth"], truth);
        }
        // Nothing normal was recorded.
        for from in [None, Some(began.as_micros() / 1_000_000 - 30)] {
            assert!(document(&incident, range, from, None)["normal_until"].is_null());
        }
    }

    #[test]
    fn a_signal_of_another_component_is_not_the_alarms_and_no_gate_is_the_opening() {
        let mut incident = incident("service:h1/web");
        let range = TimeRange::new(at(0), incident.opened.plus(NORMAL_ENDS_BEFORE));
        incident.symptoms[0].component = id("host:h9");
        let alarm = document(&incident, range, None, None)["alarm"].clone();
        assert!(alarm["signal"].is_null(), "{alarm}");
        incident.symptoms.clear();
        let alarm = document(&incident, range, None, None)["alarm"].clone();
        assert_eq!(alarm, json!({ "time": incident.opened.as_secs_f64() }));
    }
}
