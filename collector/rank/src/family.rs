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
