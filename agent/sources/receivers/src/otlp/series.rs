//! What series of OTLP are called: the metric's name as it was sent, and of its attributes what fits. Pure.
//!
//! `http.server.request.duration{method="GET",route="/orders",status_code="200"}`: an attribute is called by the last part
//! of its name, where no other attribute of the point ends so; whole names would leave no room for values. Where the name
//! is too long still, the longest attributes are left off, and what differs in them only is added up.

use std::fmt::Write;

use firstlook_model::Unit;
use firstlook_model::signal::SIGNAL_NAME_LIMIT_BYTES;

use super::wire::{AnyValue, KeyValue};

/// Most attributes of a point that are looked at.
const ATTRIBUTES_LIMIT: usize = 64;
/// Room that is kept for endings and for a label of our own: `_bucket`, `le="0.0000152587890625",`.
const ENDING_LIMIT_BYTES: usize = 32;

/// The name of a point's series.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Name<'a> {
    metric: &'a str,
    /// In order of their names, values escaped.
    labels: Vec<(&'a str, String)>,
    /// Whether attributes were left off: such a series is a sum of several.
    pub summed: bool,
}

impl<'a> Name<'a> {
    /// `None` when the metric's name cannot be one of ours.
    pub fn of(metric: &'a str, attributes: &'a [KeyValue]) -> Option<Self> {
        let fits = metric.len() + ENDING_LIMIT_BYTES <= SIGNAL_NAME_LIMIT_BYTES;
        if !fits || !is_name(metric) || attributes.len() > ATTRIBUTES_LIMIT {
            return None;
        }
        let mut labels = Vec::with_capacity(attributes.len());
        for attribute in attributes {
            let value = attribute.value.as_ref().and_then(label);
            let key = short(&attribute.key, attributes);
            if let Some(value) =
                value.filter(|_| is_name(key) && !["le", "quantile"].contains(&key))
            {
                labels.push((key, value));
            }
        }
        labels.sort_unstable();
        labels.dedup_by(|a, b| a.0 == b.0);
        let room = SIGNAL_NAME_LIMIT_BYTES - metric.len() - ENDING_LIMIT_BYTES;
        let length = |labels: &[(&str, String)]| -> usize {
            labels
                .iter()
                .map(|(key, value)| key.len() + value.len() + 4)
                .sum()
        };
        while length(&labels) > room {
            let longest = labels
                .iter()
                .enumerate()
                .max_by_key(|(_, l)| l.0.len() + l.1.len());
            let Some((at, _)) = longest else { break };
            labels.remove(at);
        }
        Some(Self {
            metric,
            summed: labels.len() < attributes.len(),
            labels,
        })
    }

    /// With this ending, and one label more.
    pub fn signal(&self, ending: &str, more: Option<(&str, &str)>) -> Option<String> {
        let mut signal = format!("{}{ending}", self.metric);
        let own = self
            .labels
            .iter()
            .map(|(key, value)| (*key, value.as_str()));
        let mut labels: Vec<_> = own.chain(more).collect();
        labels.sort_unstable();
        for (index, (key, value)) in labels.iter().enumerate() {
            signal.push(if index == 0 { '{' } else { ',' });
            // Writing to a string does not fail.
            let _ = write!(signal, "{key}=\"{value}\"");
        }
        if !labels.is_empty() {
            signal.push('}');
        }
        (signal.len() <= SIGNAL_NAME_LIMIT_BYTES).then_some(signal)
    }
}

fn is_name(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_.-/:".contains(&b);
    !text.is_empty() && text.bytes().all(allowed)
}

/// The last part of a name, or the whole where another ends so too.
fn short<'a>(key: &'a str, attributes: &[KeyValue]) -> &'a str {
    fn last(key: &str) -> &str {
        key.rsplit('.').next().unwrap_or(key)
    }
    let alike = |other: &&KeyValue| last(&other.key) == last(key);
    match attributes.iter().filter(alike).count() {
        0 | 1 => last(key),
        _ => key,
    }
}

/// A value that is a text, a number or a truth, escaped as in Prometheus's text form; others are no labels.
fn label(value: &AnyValue) -> Option<String> {
    let AnyValue {
        string_value,
        bool_value,
        int_value,
        double_value,
        ..
    } = value;
    let text = string_value.clone();
    let text = text.or_else(|| bool_value.map(|value| value.to_string()));
    let text = text.or_else(|| int_value.map(|value| value.to_string()));
    let text = text.or_else(|| double_value.map(|value| value.to_string()))?;
    if text.len() > SIGNAL_NAME_LIMIT_BYTES || text.chars().any(char::is_control) {
        return None;
    }
    Some(text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// By UCUM's sign. Values stay as they were sent, and what is no base unit of ours is a plain number.
pub(super) fn unit(sign: &str) -> Unit {
    match sign {
        "s" => Unit::Seconds,
        "By" => Unit::Bytes,
        _ => Unit::Count,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(key: &str, value: &str) -> KeyValue {
        KeyValue {
            key: key.to_owned(),
            value: Some(AnyValue {
                string_value: Some(value.to_owned()),
                ..AnyValue::default()
            }),
        }
    }

    #[test]
    fn attributes_become_labels_in_order_of_their_last_names() {
        let number = KeyValue {
            key: "http.response.status_code".to_owned(),
            value: Some(AnyValue {
                int_value: Some(200),
                ..AnyValue::default()
            }),
        };
        let attributes = [
            text("http.route", "/a\"b\\"),
            number,
            text("http.request.method", "GET"),
        ];
        let name = Name::of("http.server.request.duration", &attributes).unwrap();
        assert!(!name.summed);
        let signal = name.signal("_bucket", Some(("le", "0.005"))).unwrap();
        let expected = "http.server.request.duration_bucket\
            {le=\"0.005\",method=\"GET\",route=\"/a\\\"b\\\\\",status_code=\"200\"}";
        assert_eq!(signal, expected);
        let plain = Name::of("queue.length", &[]).unwrap();
        assert_eq!(plain.signal("", None).unwrap(), "queue.length");
    }

    #[test]
    fn names_that_end_alike_stay_whole() {
        let attributes = [text("server.address", "a"), text("client.address", "b")];
        let name = Name::of("n", &attributes).unwrap();
        let expected = "n{client.address=\"b\",server.address=\"a\"}";
        assert_eq!(name.signal("", None).unwrap(), expected);
    }

    #[test]
    fn what_does_not_fit_is_left_off_and_told() {
        let long = "x".repeat(90);
        let attributes = [text("a", "1"), text("path", &long), text("b", "2")];
        let name = Name::of("n", &attributes).unwrap();
        assert!(name.summed);
        assert_eq!(name.signal("", None).unwrap(), "n{a=\"1\",b=\"2\"}");
        let nothing = KeyValue::default();
        let control = text("c", "\u{9b}31m");
        for left_off in [nothing, control, text("le", "1"), text("no name", "1")] {
            let attributes = [left_off];
            let name = Name::of("n", &attributes).unwrap();
            assert!(name.summed, "{attributes:?}");
            assert_eq!(name.signal("", None).unwrap(), "n");
        }
        for metric in ["", "two words", "zwölf", &"n".repeat(105)] {
            assert_eq!(Name::of(metric, &[]), None, "{metric}");
        }
        let many = vec![text("a", "1"); 65];
        assert_eq!(Name::of("n", &many), None);
    }

    proptest! {
        #[test]
        fn whatever_is_sent_fits(metric in ".{0,130}", pairs in proptest::collection::vec((".{0,40}", ".{0,150}"), 0..9)) {
            let attributes: Vec<_> = pairs.iter().map(|(key, value)| text(key, value)).collect();
            if let Some(name) = Name::of(&metric, &attributes) {
                let signal = name.signal("_bucket", Some(("le", "1000000"))).unwrap();
                prop_assert!(!signal.chars().any(char::is_control));
            }
        }
    }
}
