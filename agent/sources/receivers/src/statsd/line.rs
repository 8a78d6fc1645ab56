//! One line: `NAME:VALUE|TYPE`, with `|@RATE` and `|#TAG:VALUE,TAG` after it, the latter as Datadog's agents take them.
//!
//! Types are `c` (counter), `g` (gauge, with a sign: a step), `ms` (a time in milliseconds), `h` and `d` (any measure), `s`
//! (a member of a set). Several values of one name may stand as `NAME:1:2:3|ms`. Further parts, as a container's id, are
//! passed over.

use firstlook_model::signal::SIGNAL_NAME_LIMIT_BYTES;

/// Most values of a line.
const VALUES_LIMIT: usize = 1_000;
/// Most tags of a line.
const TAGS_LIMIT: usize = 32;
/// What is put behind a name is at most so long.
const ENDING_LIMIT_BYTES: usize = 16;

/// What a line tells.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Told<'a> {
    pub name: &'a str,
    /// `{a="b",c=""}` in order of the names, or empty.
    pub labels: String,
    pub values: Values<'a>,
    /// The share of such lines that are sent: above 0, at most 1.
    pub rate: f64,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Values<'a> {
    Count(Vec<f64>),
    Level(Vec<f64>),
    Step(Vec<f64>),
    /// In seconds.
    Times(Vec<f64>),
    Measures(Vec<f64>),
    Members(Vec<&'a str>),
}

/// `None`: refused.
pub(super) fn read(line: &str) -> Option<Told<'_>> {
    let (head, rest) = line.split_once('|')?;
    let (name, values) = head.split_once(':')?;
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_.-/".contains(&b);
    if name.is_empty() || !name.bytes().all(allowed) {
        return None;
    }
    let mut parts = rest.split('|');
    let values = values_of(values, parts.next()?)?;
    let (mut rate, mut labels) = (1.0, String::new());
    for part in parts {
        if let Some(text) = part.strip_prefix('@') {
            rate = number(text).filter(|rate| *rate > 0.0 && *rate <= 1.0)?;
        } else if let Some(tags) = part.strip_prefix('#') {
            labels = labels_of(tags)?;
        }
    }
    let fits = name.len() + labels.len() + ENDING_LIMIT_BYTES <= SIGNAL_NAME_LIMIT_BYTES;
    fits.then_some(Told {
        name,
        labels,
        values,
        rate,
    })
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

fn values_of<'a>(text: &'a str, kind: &str) -> Option<Values<'a>> {
    if kind == "s" {
        return (!text.is_empty()).then(|| Values::Members(vec![text]));
    }
    if text.split(':').count() > VALUES_LIMIT {
        return None;
    }
    let numbers: Vec<_> = text.split(':').map(number).collect::<Option<_>>()?;
    Some(match kind {
        // A counter only rises.
        "c" if numbers.iter().all(|n| *n >= 0.0) => Values::Count(numbers),
        "g" if text.starts_with(['+', '-']) => Values::Step(numbers),
        "g" => Values::Level(numbers),
        "ms" => Values::Times(numbers.iter().map(|n| n / 1e3).collect()),
        "h" | "d" => Values::Measures(numbers),
        _ => return None,
    })
}

fn labels_of(tags: &str) -> Option<String> {
    let tags = tags.split(',').filter(|tag| !tag.is_empty());
    let mut tags: Vec<_> = tags.map(|t| t.split_once(':').unwrap_or((t, ""))).collect();
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_.-/".contains(&b);
    let named = |name: &str| !name.is_empty() && name.bytes().all(allowed);
    let plain = |value: &str| !value.chars().any(char::is_control);
    if tags.len() > TAGS_LIMIT || !tags.iter().all(|(n, v)| named(n) && plain(v)) {
        return None;
    }
    tags.sort_unstable();
    let mut labels = String::new();
    for (index, (name, value)) in tags.iter().enumerate() {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"");
        labels.push(if index == 0 { '{' } else { ',' });
        labels.push_str(&format!("{name}=\"{value}\""));
    }
    if !labels.is_empty() {
        labels.push('}');
    }
    Some(labels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_of_each_type_are_read() {
        use Values::{Count, Level, Measures, Members, Step, Times};
        for (line, values, rate, labels) in [
            ("a.b:3|c", Count(vec![3.0]), 1.0, ""),
            ("a.b:3|c|@0.1", Count(vec![3.0]), 0.1, ""),
            ("a.b:-3|g", Step(vec![-3.0]), 1.0, ""),
            ("a.b:+3|g", Step(vec![3.0]), 1.0, ""),
            ("a.b:3|g", Level(vec![3.0]), 1.0, ""),
            ("a.b:250|ms", Times(vec![0.25]), 1.0, ""),
            ("a.b:1:2|h|@0.5", Measures(vec![1.0, 2.0]), 0.5, ""),
            ("a.b:1|d|c:some-id", Measures(vec![1.0]), 1.0, ""),
            ("a.b:u:7|s", Members(vec!["u:7"]), 1.0, ""),
            (
                "a.b:1|c|#z:1:2,y,x:\"q\"|@1",
                Count(vec![1.0]),
                1.0,
                r#"{x="\"q\"",y="",z="1:2"}"#,
            ),
        ] {
            let told = read(line).unwrap_or_else(|| panic!("{line} was refused"));
            assert_eq!((told.name, told.labels.as_str()), ("a.b", labels), "{line}");
            assert_eq!((told.values, told.rate), (values, rate), "{line}");
        }
    }

    #[test]
    fn other_lines_are_refused() {
        for line in [
            "",
            "a",
            "a:1",
            ":1|c",
            "a:|c",
            "a:x|c",
            "a:-1|c",
            "a:NaN|g",
            "a:inf|g",
            "a:1|q",
            "a:1|c|@0",
            "a:1|c|@2",
            "a:1|c|#:v",
            "a:1|c|#k:\u{1b}[m",
            "a b:1|c",
            "a{}:1|c",
            "_e{5,4}:title|text",
        ] {
            assert_eq!(read(line), None, "{line}");
        }
        assert!(read(&format!("{}:1|c", "n".repeat(112))).is_some());
        assert!(read(&format!("{}:1|c", "n".repeat(113))).is_none());
        assert!(read(&format!("a:1{}|c", ":1".repeat(VALUES_LIMIT))).is_none());
        assert!(read(&format!("a:1|c|#{}", "t,".repeat(TAGS_LIMIT + 1))).is_none());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(
            text in "(a|:|\\||c|g|ms|s|@|#|,|[0-9.+-]|\\PC){0,40}",
        ) {
            if let Some(told) = read(&text) {
                prop_assert!(told.rate > 0.0 && told.rate <= 1.0);
                prop_assert!(told.name.len() + told.labels.len() <= SIGNAL_NAME_LIMIT_BYTES);
                prop_assert!(!told.labels.chars().any(char::is_control));
            }
        }
    }
}
