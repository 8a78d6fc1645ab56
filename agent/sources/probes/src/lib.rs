//! Probes: what a client of this host would find, asked from the host itself at an interval.
//!
//! A probe is declared in the agent's configuration, never found by itself: it touches a service, and only
//! the operator knows which touch is harmless. Targets are addresses, not names, so that a probe of a service
//! never waits for a resolver. Each probe has one look in hand at most, and each look a deadline.

mod board;
mod config;
mod look;
mod run;

pub use board::Board;
pub use config::{Fault, FileProbe, HttpProbe, PROBES_LIMIT, Probe, TcpProbe, check};
pub use run::{ProbeEnded, run};
