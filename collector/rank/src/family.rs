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
    /// Work that failed, or the share that did not.
    Failures,
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

/// The family of a signal by its name.
pub fn of(signal: &str) -> Family {
    let name = signal.to_ascii_lowercase();
    let known = WORDS
        .iter()
        .find(|(_, words)| words.iter().any(|word| name.contains(word)));
    known.map_or(Family::Other, |(family, _)| *family)
}

/// Whether a signal of failures tells the share that did not fail.
pub fn is_share_of_success(signal: &str) -> bool {
    let name = signal.to_ascii_lowercase();
    ["availab", "success"]
        .iter()
        .any(|word| name.contains(word))
}
