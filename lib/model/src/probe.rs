//! Probes: the form in which what a look at a target found travels, as series of the component it is about.
//!
//! The series are named `probe.NAME.PART`. A sample in which they have values is a look; between two looks they have
//! none. The reason of a failure travels as a number with the numbers it speaks of, and gets its words where it is shown.

/// What the name of each series of a probe begins with.
const PREFIX: &str = "probe.";

/// What a series of a probe tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// 1 when everything asked for was so, else 0.
    Up,
    /// [`Failure::code`] of why not; 0 when up.
    Failure,
    /// Seconds until the answer was there.
    Duration,
    /// Status of the answer: of HTTP, or the response code of DNS.
    Status,
    /// Age of a file's contents, in seconds.
    Age,
    /// Days until the certificate ends; negative when it has ended.
    CertificateDays,
    /// What the answer is held against: the status, greatest age or fewest days asked for.
    Expected,
}

impl Part {
    /// Every part; [`Part::index`] is its place here.
    pub const ALL: [Self; 7] = [
        Self::Up,
        Self::Failure,
        Self::Duration,
        Self::Status,
        Self::Age,
        Self::CertificateDays,
        Self::Expected,
    ];

    /// Its place in [`Part::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// Last part of the series' name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Failure => "failure",
            Self::Duration => "duration_seconds",
            Self::Status => "status",
            Self::Age => "age_seconds",
            Self::CertificateDays => "certificate_days",
            Self::Expected => "expected",
        }
    }
}

/// Name of the series in which the probe `name` tells a part.
pub fn signal(name: &str, part: Part) -> String {
    format!("{PREFIX}{name}.{}", part.name())
}

/// Name of a probe and what its series tells; `None` for any other series. Inverse of [`signal`] for names without
/// a full stop.
pub fn parse(signal: &str) -> Option<(&str, Part)> {
    let (name, part) = signal.strip_prefix(PREFIX)?.split_once('.')?;
    let part = Part::ALL.into_iter().find(|known| known.name() == part)?;
    (!name.is_empty()).then_some((name, part))
}

/// Why a look found its target not up. Codes are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Failure {
    /// The connection was refused, or the port answered unreachable.
    Refused,
    /// Nothing came within the deadline.
    NoAnswer,
    /// No way there.
    Unreachable,
    /// The target's name has no address.
    NameUnknown,
    /// The peer broke off, or said what cannot be read.
    Unreadable,
    /// Another status than asked for.
    WrongStatus,
    /// The text asked for is not in the answer.
    TextMissing,
    /// The file is not there, or cannot be looked at.
    FileMissing,
    /// The file's contents are older than asked for.
    FileOld,
    /// No TLS session came about.
    Handshake,
    /// The certificate is not one to be trusted.
    Untrusted,
    /// The certificate ends sooner than asked for, or has ended.
    CertificateEnds,
    /// No certificates to trust could be read on this host.
    NoAuthorities,
    /// The resolver answered with an error: the status is its code.
    ResolverError,
    /// The resolver knows no such address.
    NoAddress,
    /// The resolver gave other addresses than the one asked for.
    OtherAddress,
    /// The unit is not active.
    UnitInactive,
    /// The service manager has not loaded such a unit.
    UnitUnknown,
}

/// All failures, each at the place of its code less one.
const FAILURES: [Failure; 18] = [
    Failure::Refused,
    Failure::NoAnswer,
    Failure::Unreachable,
    Failure::NameUnknown,
    Failure::Unreadable,
    Failure::WrongStatus,
    Failure::TextMissing,
    Failure::FileMissing,
    Failure::FileOld,
    Failure::Handshake,
    Failure::Untrusted,
    Failure::CertificateEnds,
    Failure::NoAuthorities,
    Failure::ResolverError,
    Failure::NoAddress,
    Failure::OtherAddress,
    Failure::UnitInactive,
    Failure::UnitUnknown,
];

impl Failure {
    /// Its number in the series; 1 or more.
    pub fn code(self) -> u8 {
        self as u8 + 1
    }

    /// Whether it says that nobody serves there, rather than that something is served otherwise than asked for or that
    /// the prober is at a loss.
    pub fn is_unanswered(self) -> bool {
        use Failure::{NoAnswer, Refused, UnitInactive, UnitUnknown, Unreachable};
        matches!(
            self,
            Refused | NoAnswer | Unreachable | UnitInactive | UnitUnknown
        )
    }

    /// The failure of a number from a series; `None` for 0 and for what a newer agent may know.
    pub fn of_code(code: f64) -> Option<Self> {
        let known = |failure: &Self| f64::from(failure.code()) == code;
        FAILURES.into_iter().find(known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_series_are_read_as_they_are_written() {
        for part in Part::ALL {
            assert_eq!(Part::ALL[part.index()], part);
            assert_eq!(parse(&signal("front-1", part)), Some(("front-1", part)));
        }
        for other in ["probe.x", "probe..up", "probe.x.down", "cpu.cores", "probe"] {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    #[test]
    fn codes_are_read_as_they_are_written_and_no_others() {
        for (failure, code) in FAILURES.into_iter().zip(1..) {
            assert_eq!(failure.code(), code);
            assert_eq!(Failure::of_code(f64::from(code)), Some(failure));
        }
        for other in [0.0, -1.0, 1.5, 19.0, 1e300, f64::NAN] {
            assert_eq!(Failure::of_code(other), None, "{other}");
        }
    }
}
