//! Scenarios: what detection says of hosts that report as real ones do.

// The lint lets tests unwrap, but not the functions that they share.
#![allow(clippy::unwrap_used)]

mod accept;
mod checkpoint;
mod faults;
mod limits;
mod quiet;
mod reports;
mod silence;
mod traffic;
mod world;
