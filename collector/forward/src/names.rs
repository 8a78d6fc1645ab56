//! How what we call things reads elsewhere.

use firstlook_model::{ComponentId, Series, Unit};

/// A signal's name for Prometheus: `firstlook_` and the name with `_` for what it does not allow.
pub(crate) fn metric(signal: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || c == '_' {
            c
        } else {
            '_'
        }
    };
    let mut name = String::from("firstlook_");
    name.extend(signal.chars().map(plain));
    name
}

/// A unit as UCUM writes it.
pub(crate) fn ucum(series: &Series) -> &'static str {
    match series.unit {
        Unit::Bytes => "By",
        Unit::Seconds => "s",
        Unit::Count | Unit::Ratio => "1",
    }
}

/// Labels of a component, without the host's: its kind, and its name where it has one of its own.
pub(crate) fn labels(component: &ComponentId) -> [(&'static str, String); 2] {
    [
        ("kind", component.kind().as_str().to_owned()),
        ("name", component.name().to_owned()),
    ]
}
