//! Small checks of what is asked, and the words of refusals.

use firstlook_model::{HostId, SnapshotId};
use tonic::Status;

use crate::office::OfficeError;

/// Longest reason for a snapshot or a revocation, in bytes: with a host's name it fits into a text of the desk.
const REASON_LIMIT_BYTES: usize = 3_840;

/// What a refusal of the office is on the wire.
pub fn refusal(error: OfficeError) -> Status {
    match error {
        OfficeError::NotFound(why) => Status::not_found(why),
        OfficeError::Invalid(why) => Status::invalid_argument(why),
        OfficeError::Refused(why) => Status::permission_denied(why),
        OfficeError::Unreachable(why) => Status::unavailable(why),
        OfficeError::Busy(why) => Status::aborted(why),
        OfficeError::Already(why) => Status::already_exists(why),
        OfficeError::Damaged(why) => Status::data_loss(why),
        OfficeError::Failed(why) => {
            tracing::error!(error = why, "query failed");
            Status::internal(why)
        }
    }
}

/// A host's name.
///
/// # Errors
/// INVALID_ARGUMENT where it is none.
pub fn host(text: String) -> Result<HostId, Status> {
    HostId::new(text).map_err(|e| Status::invalid_argument(e.to_string()))
}

/// Whether a reason is short enough.
///
/// # Errors
/// INVALID_ARGUMENT where it is not.
pub fn reason(text: &str) -> Result<(), Status> {
    match text.len() > REASON_LIMIT_BYTES {
        true => Err(Status::invalid_argument(format!(
            "the reason is longer than {REASON_LIMIT_BYTES} bytes"
        ))),
        false => Ok(()),
    }
}

/// A snapshot's name.
///
/// # Errors
/// INVALID_ARGUMENT where it is none.
pub fn snapshot_id(text: String) -> Result<SnapshotId, Status> {
    SnapshotId::new(text).map_err(|e| Status::invalid_argument(e.to_string()))
}
