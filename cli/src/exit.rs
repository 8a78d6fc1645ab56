//! Exit codes and the failures behind them.

use std::process::ExitCode;

use tonic::{Code, Status};

/// How a command went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Failed for a reason that no other code names.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// There is no such thing.
    NotFound = 3,
    /// Refused by a rule; the message says by which, and whom to ask.
    Refused = 4,
    /// Somebody else holds it, or it changed meanwhile.
    Conflict = 5,
    /// `--check` found an open incident, or a lint what is wrong.
    Findings = 6,
    /// The collector or the host cannot be seen or reached.
    CannotSee = 7,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A command that did not do what it should.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which kind.
    pub exit: Exit,
    /// What, where, and how to mend it.
    pub message: String,
}

impl Failure {
    /// No other code names it.
    pub fn failed(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Failed,
            message: message.into(),
        }
    }

    /// The command line is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Usage,
            message: message.into(),
        }
    }

    /// The collector cannot be reached.
    pub fn cannot_see(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::CannotSee,
            message: message.into(),
        }
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let exit = match status.code() {
            Code::InvalidArgument | Code::OutOfRange => Exit::Usage,
            Code::NotFound => Exit::NotFound,
            Code::PermissionDenied | Code::Unauthenticated | Code::FailedPrecondition => {
                Exit::Refused
            }
            Code::AlreadyExists | Code::Aborted => Exit::Conflict,
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => Exit::CannotSee,
            _ => Exit::Failed,
        };
        Self {
            exit,
            message: status.message().to_owned(),
        }
    }
}

/// The collector said something that breaks the contract.
impl From<firstlook_proto::convert::InvalidMessage> for Failure {
    fn from(error: firstlook_proto::convert::InvalidMessage) -> Self {
        Self::failed(format!("the collector's answer is malformed: {error}"))
    }
}

/// An identifier that the collector sent breaks its rule.
impl From<firstlook_model::InvalidId> for Failure {
    fn from(error: firstlook_model::InvalidId) -> Self {
        Self::failed(format!("the collector's answer is malformed: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_refusal_has_its_code() {
        for (code, exit) in [
            (Code::InvalidArgument, Exit::Usage),
            (Code::NotFound, Exit::NotFound),
            (Code::PermissionDenied, Exit::Refused),
            (Code::AlreadyExists, Exit::Conflict),
            (Code::Unavailable, Exit::CannotSee),
            (Code::Internal, Exit::Failed),
        ] {
            assert_eq!(Failure::from(Status::new(code, "x")).exit, exit, "{code:?}");
        }
    }
}
