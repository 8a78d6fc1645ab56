//! What a look found.

use firstlook_model::probe::{Failure, Part};

/// What one look found: everything is as asked for, or why not, with the numbers that came.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Found {
    failure: Option<Failure>,
    /// By [`Part::index`]; not a number where there is none.
    numbers: [f64; Part::ALL.len()],
}

impl Found {
    /// Everything is as asked for.
    pub fn up() -> Self {
        Self {
            failure: None,
            numbers: [f64::NAN; Part::ALL.len()],
        }
    }

    /// Something is not.
    pub fn down(failure: Failure) -> Self {
        Self {
            failure: Some(failure),
            ..Self::up()
        }
    }

    /// Up, or down for this reason.
    pub fn of(failure: Option<Failure>) -> Self {
        failure.map_or_else(Self::up, Self::down)
    }

    /// With a number that came.
    pub fn with(mut self, part: Part, value: f64) -> Self {
        self.numbers[part.index()] = value;
        self
    }

    /// Whether the target answered, rightly or not.
    pub fn is_answer(&self) -> bool {
        use Failure::{
            CertificateEnds, NoAddress, OtherAddress, ResolverError, TextMissing, Untrusted,
            WrongStatus,
        };
        self.failure.is_none_or(|failure| {
            matches!(
                failure,
                WrongStatus
                    | TextMissing
                    | Untrusted
                    | CertificateEnds
                    | ResolverError
                    | NoAddress
                    | OtherAddress
            )
        })
    }

    /// The sample of a part; not a number where there is none.
    pub fn sample(&self, part: Part) -> f64 {
        match part {
            Part::Up => f64::from(u8::from(self.failure.is_none())),
            Part::Failure => self.failure.map_or(0.0, |f| f64::from(f.code())),
            other => self.numbers[other.index()],
        }
    }
}
