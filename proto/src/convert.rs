//! The checked border between wire and model.
//!
//! Towards the model everything is checked and the first fault is named; towards the wire nothing can fail.

mod enums;
mod fields;
mod incident;
mod logs;
mod network;
mod records;
mod reference;
mod remote;
mod schema;
mod views;

pub use fields::InvalidMessage;
pub use records::{decode_record, encode_record};
pub use views::{edge_to_wire, manifest_from_wire, manifest_to_wire, range_to_wire};
