//! Probes: what a client of this host would find, asked from the host itself at an interval.
//!
//! A probe is declared in the agent's configuration, never found by itself: it touches a service, and only
//! the operator knows which touch is harmless. The one exception is a handshake at ports where TLS is the rule, which any
//! client may begin: [`Served`]. Each probe has one look in hand at most, and each look a deadline; what
//! may block for ever (names, files) holds one thread per probe, never more.

mod apart;
mod board;
mod config;
mod found;
mod look;
mod run;
mod served;
mod units;

pub use board::Board;
pub use config::{
    DnsProbe, Fault, FileProbe, HttpProbe, NoTarget, PROBES_LIMIT, Probe, Target, TcpProbe,
    TlsProbe, UnitProbe, check,
};
pub use look::dns::Record;
pub use run::{ProbeEnded, run};
pub use served::{Listening, PORTS_LIMIT, Served, served};
pub use units::Units;
