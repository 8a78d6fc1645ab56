//! The uplink: the one room of the agent that speaks gRPC.
//!
//! Joins once with a token, then keeps one session open: sends the journal's records in order, trims it by
//! acknowledgement, says that it lives every second, answers requests, and renews its certificate at two
//! thirds of its life.

mod connect;
mod enrol;
mod identity;
mod pin;
mod requests;
mod session;
mod uplink;

pub use enrol::{JoinError, JoinRequest, join};
pub use identity::{Identity, IdentityError};
pub use requests::{LinesEvent, RequestHandler, SnapshotEvent, SnapshotRequest};
pub use uplink::{Uplink, UplinkStatus};
