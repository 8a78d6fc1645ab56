//! Signals that say the same thing, told by general words in their names.

/// What a signal is about. Signals of one family count once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// Processor time.
    Cpu,
    /// Memory.
    Memory,
    /// How long work takes.
    Latency,
    /// How long a component waits for those that it calls, as it sees it.
    Waiting,
    /// Work that failed, or the share that did not.
    Failures,
    /// How long it works itself, as spans tell.
    Own,
    /// How long the way to it takes, as spans tell.
    Way,
    /// How much work arrives.
    Load,
    /// Bytes and packets.
    Network,
    /// Disks and files.
    Disk,
    /// No word was recognised.
    Other,
}

/// Words and their families. The first row with a word inside the name, in any case, decides.
const WORDS: &[(Family, &[&str])] = &[
    (Family::Own, &["own_time"]),
    (Family::Way, &["way_time"]),
    (Family::Cpu, &["cpu", "processor"]),
    (Family::Memory, &["mem", "heap", "rss"]),
    (
        Family::Failures,
        &[
            "error",
            "fail",
            "success",
            "availab",
            "reject",
            "unauthorized",
        ],
    ),
    (Family::Latency, &["lat", "duration", "response_time"]),
    (Family::Disk, &["disk", "filesystem", "iops"]),
    (Family::Network, &["network", "bytes", "packet"]),
    (Family::Load, &["request", "load", "rps", "qps", "ops"]),
];

/// A latency with one of these is seen from the calling side.
const CALLING: &[&str] = &["client", "upstream", "outbound", "egress"];

/// The family of a signal by its name.
pub fn of(signal: &str) -> Family {
    let name = signal.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    let known = WORDS.iter().find(|(_, words)| has(words));
    match known {
        Some((Family::Latency, _)) if has(CALLING) => Family::Waiting,
        Some((family, _)) => *family,
        None => Family::Other,
    }
}

/// Whether a signal of failures tells the share that did not fail.
pub fn is_share_of_success(signal: &str) -> bool {
    let name = signal.to_ascii_lowercase();
    ["availab", "success"]
        .iter()
        .any(|word| name.contains(word))
}

/// The quantile that a signal's name tells: `P99`, `p999`, `latency-90`. None: a mean, or not said.
pub fn quantile_of(signal: &str) -> Option<f64> {
    let name = signal.to_ascii_lowercase();
    let digits = |text: &str| -> String { text.chars().take_while(char::is_ascii_digit).collect() };
    let after = name.match_indices(['p', '-', '_']);
    let mut told = after.map(|(at, mark)| (mark, digits(&name[at + 1..]), name.len() - at - 1));
    let (_, digits, _) = told.find(|(mark, digits, rest)| {
        // A number by itself is one at the end of the name.
        let ends = *mark == "p" || digits.len() == *rest;
        ends && matches!(digits.len(), 2 | 3) && digits.as_str() >= "50"
    })?;
    let number: f64 = digits.parse().ok()?;
    Some(number / 10f64.powi(digits.len() as i32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_told_by_its_mark_or_at_the_end_of_a_name() {
        for (signal, quantile) in [
            ("PodClientLatencyP99(s)", Some(0.99)),
            ("latency_p95_ms", Some(0.95)),
            ("client_p999", Some(0.999)),
            ("latency-50", Some(0.5)),
            ("latency_90", Some(0.9)),
            ("latency", None),
            ("http2_latency", None),
            ("ip_10_latency", None),
            ("p9_wait", None),
            ("latency-2024", None),
            ("p\u{e4}90", None),
        ] {
            assert_eq!(quantile_of(signal), quantile, "{signal}");
        }
    }
}
