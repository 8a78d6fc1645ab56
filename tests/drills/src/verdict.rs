//! Scoring: what a verdict says about the true cause. Pure.

use serde::Serialize;
use serde_json::Value;

/// A suspect that is as likely as this is blamed.
const BLAMED_PROBABILITY: f64 = 0.5;

/// The truth about an injected fault.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Truth {
    /// Ids of the component at fault; more than one where one thing has two names.
    pub components: &'static [&'static str],
    /// The fault kind.
    pub fault: &'static str,
    /// The host all of whose components are parts of the one at fault; none when it has no parts.
    pub parts_of_host: Option<&'static str>,
}

/// A suspect, as named in the report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Suspect {
    /// The component's id.
    pub component: String,
    /// The fault kind given.
    pub fault: String,
    /// The probability given.
    pub probability: f64,
    /// Its place, from 1.
    pub rank: usize,
}

/// One verdict, read against the truth.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Reading {
    /// The true component among the suspects; none when it is not there.
    pub truth: Option<Suspect>,
    /// Suspects that are neither the true component nor part of it, and either rank above it or are
    /// as likely as not.
    pub others_blamed: Vec<Suspect>,
    /// The true component is among the ruled out.
    pub wrongly_ruled_out: bool,
}

impl Reading {
    /// Reads the document of `firstlook why --json`. What is missing in it is taken as not said. `also`: another fault that is
    /// in at the same time, and no other to blame; with it the true one need not be above it.
    pub fn of(why: &Value, truth: &Truth, also: Option<&Truth>) -> Self {
        let suspects: Vec<Suspect> = list(why, "suspects")
            .enumerate()
            .map(|(at, entry)| suspect(entry, at + 1))
            .collect();
        let found = suspects
            .iter()
            .find(|suspect| truth.names(&suspect.component))
            .cloned();
        let place = found.as_ref().map_or(usize::MAX, |suspect| suspect.rank);
        let blamed = |suspect: &Suspect| {
            let of = |truth: &Truth| {
                truth.names(&suspect.component) || truth.includes(&suspect.component)
            };
            let other = !of(truth) && !also.is_some_and(of);
            other
                && (suspect.rank < place && found.is_some()
                    || suspect.probability >= BLAMED_PROBABILITY)
        };
        Self {
            others_blamed: suspects.into_iter().filter(blamed).collect(),
            wrongly_ruled_out: list(why, "ruled_out").any(|entry| truth.names(component_id(entry))),
            truth: found,
        }
    }

    /// The true component is the first suspect.
    pub fn is_first(&self) -> bool {
        self.truth.as_ref().is_some_and(|suspect| suspect.rank == 1)
    }

    /// The true component is named with its fault, first or second.
    pub fn names(&self, truth: &Truth) -> bool {
        self.truth.as_ref().is_some_and(|suspect| {
            suspect.rank <= 2
                && suspect.fault == truth.fault
                && suspect.probability >= BLAMED_PROBABILITY
        })
    }
}

impl Truth {
    /// Whether this id is one of the true component's.
    fn names(&self, id: &str) -> bool {
        self.components.contains(&id)
    }

    /// Whether this id is a part of the true component. Ids are `kind:host/name` or `kind:host`.
    fn includes(&self, id: &str) -> bool {
        let host = id
            .split_once(':')
            .map_or(id, |(_, rest)| rest.split('/').next().unwrap_or(rest));
        self.parts_of_host == Some(host)
    }
}

fn list<'a>(why: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    why[key]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default()
        .iter()
}

fn suspect(entry: &Value, rank: usize) -> Suspect {
    Suspect {
        component: component_id(entry).to_owned(),
        fault: entry["fault"].as_str().unwrap_or_default().to_owned(),
        probability: entry["probability"].as_f64().unwrap_or_default(),
        rank,
    }
}

fn component_id(entry: &Value) -> &str {
    entry["component"]["id"].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const DISK: Truth = Truth {
        components: &["filesystem:db1/var/lib/postgresql"],
        fault: "disk-full",
        parts_of_host: None,
    };
    const HOST: Truth = Truth {
        components: &["host:app2"],
        fault: "host-partitioned",
        parts_of_host: Some("app2"),
    };

    fn why(suspects: &[(&str, &str, f64)], ruled_out: &[&str]) -> Value {
        let suspects = suspects.iter().map(|(id, fault, probability)| {
            json!({"component": {"id": id}, "fault": fault, "probability": probability})
        });
        let ruled_out = ruled_out.iter().map(|id| json!({"component": {"id": id}}));
        json!({
            "suspects": suspects.collect::<Vec<_>>(),
            "ruled_out": ruled_out.collect::<Vec<_>>(),
        })
    }

    fn blamed(reading: &Reading) -> Vec<&str> {
        reading
            .others_blamed
            .iter()
            .map(|suspect| suspect.component.as_str())
            .collect()
    }

    #[test]
    fn the_true_component_alone_is_first_and_nobody_else_is_blamed() {
        let reading = Reading::of(
            &why(&[(DISK.components[0], "disk-full", 0.97)], &["host:db1"]),
            &DISK,
            None,
        );
        assert!(reading.is_first());
        assert_eq!(reading.truth.unwrap().fault, "disk-full");
        assert!(reading.others_blamed.is_empty() && !reading.wrongly_ruled_out);
    }

    #[test]
    fn a_suspect_above_the_true_one_is_blamed_however_unlikely() {
        let victims = [
            ("service:app1/shop.service", "unknown", 0.3),
            (DISK.components[0], "disk-full", 0.2),
        ];
        let reading = Reading::of(&why(&victims, &[]), &DISK, None);
        assert!(!reading.is_first());
        assert_eq!(blamed(&reading), ["service:app1/shop.service"]);
    }

    #[test]
    fn a_suspect_below_is_blamed_only_when_as_likely_as_not() {
        let suspects = [
            (DISK.components[0], "disk-full", 0.9),
            ("service:app1/shop.service", "unknown", 0.5),
            ("service:app2/shop.service", "unknown", 0.49),
        ];
        assert_eq!(
            blamed(&Reading::of(&why(&suspects, &[]), &DISK, None)),
            ["service:app1/shop.service"]
        );
    }

    #[test]
    fn parts_of_the_true_component_are_not_others() {
        let suspects = [
            ("agent:app2", "agent-down", 0.6),
            ("host:app2", "host-partitioned", 0.6),
            ("service:app2/shop.service", "service-down", 0.6),
            ("host:app1", "host-partitioned", 0.6),
        ];
        let reading = Reading::of(&why(&suspects, &[]), &HOST, None);
        assert_eq!(blamed(&reading), ["host:app1"]);
        assert!(
            !reading.is_first(),
            "a part in the first place is not yet the component"
        );
    }

    #[test]
    fn when_the_true_one_is_missing_only_likely_others_count_as_blamed() {
        let suspects = [
            ("host:db1", "cpu-saturated", 0.7),
            ("host:app1", "cpu-saturated", 0.1),
        ];
        let reading = Reading::of(&why(&suspects, &[]), &DISK, None);
        assert_eq!(reading.truth, None);
        assert_eq!(blamed(&reading), ["host:db1"]);
    }

    #[test]
    fn of_two_faults_each_is_named_and_neither_is_blamed_for_the_other() {
        let suspects = [
            ("host:app2", "host-partitioned", 0.9),
            (DISK.components[0], "disk-full", 0.8),
            ("service:app1/shop.service", "unknown", 0.6),
        ];
        let said = why(&suspects, &[]);
        let reading = Reading::of(&said, &DISK, Some(&HOST));
        assert!(reading.names(&DISK) && !reading.is_first());
        assert_eq!(blamed(&reading), ["service:app1/shop.service"]);
        assert!(Reading::of(&said, &HOST, Some(&DISK)).names(&HOST));
        for unsure in [
            [(DISK.components[0], "disk-full", 0.4)],
            [(DISK.components[0], "inodes-full", 0.9)],
        ] {
            assert!(!Reading::of(&why(&unsure, &[]), &DISK, Some(&HOST)).names(&DISK));
        }
    }

    #[test]
    fn clearing_the_true_component_is_noticed() {
        assert!(Reading::of(&why(&[], &[DISK.components[0]]), &DISK, None).wrongly_ruled_out);
    }

    #[test]
    fn a_document_of_another_shape_says_nothing() {
        for odd in [
            json!(null),
            json!([]),
            json!({"suspects": {"a": 1}, "ruled_out": [3, "x", null]}),
        ] {
            assert_eq!(Reading::of(&odd, &DISK, None), Reading::default(), "{odd}");
        }
    }
}
