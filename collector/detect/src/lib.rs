//! From signals to symptoms: what hosts report goes in, a [`Situation`](firstlook_model::Situation) comes out.
//!
//! [`Detector`] takes records as they become durable and keeps, for each series, edge, unit and log, no more
//! than judging it needs. Level one ([`Level`]) runs on every sample and only nominates
//! ([`Detector::nominees`]); level two judges the signals that the symptoms are made of, with persistence,
//! hysteresis and an onset interval.
//!
//! Invariants:
//! * Pure: no clock, no IO, no randomness. What [`Detector::situation`] says depends on the records seen and
//!   on the reference time, never on how often it was asked: a replay ends where the live run did.
//! * Missing is a value, never zero. A host that reports nothing keeps its last symptoms; it does not recover.
//! * Absence of a symptom is an attestation only where the signal was measured, lately and with power.
//! * A host speaks only of components of its own; the rest is refused and counted ([`Refusals`]).
//! * Memory is bounded per host and in all; what goes over is refused and counted.
//!
//! Times inside a host's state are its own wall clock's; they are corrected by its estimated offset when they
//! leave. References keep the host's own times, because that is how its records are stored.

mod accept;
mod anew;
mod baseline;
mod blind;
mod cells;
mod certificates;
mod checkpoint;
mod clock;
mod config;
mod context;
mod cpu;
mod demand;
mod detector;
mod disk;
mod draft;
mod edges;
mod graph;
mod growth;
mod heartbeat;
mod host;
mod io;
mod jobs;
mod kernel;
mod level;
mod lifetime;
mod limits;
mod listeners;
mod logs;
mod looks;
mod lost;
mod memory;
mod network;
mod oom;
mod own;
mod plan;
mod probes;
mod rates;
mod refusals;
mod season;
mod service;
mod sightings;
mod space;
mod units;
mod watch;
mod window;
mod words;

pub use checkpoint::BadCheckpoint;
pub use config::DetectConfig;
pub use detector::Detector;
pub use level::{Departure, Level, Nominee};
pub use rates::BaseRates;
pub use refusals::Refusals;
