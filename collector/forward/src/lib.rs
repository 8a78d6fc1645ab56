//! What hosts saw, passed on: to Prometheus by remote write, to anything that speaks OTLP over HTTP.
//!
//! [`Tap::offer`] is told of every record after it is durable here. It never waits: each target has a queue of
//! its own with a budget, and what does not fit is dropped and counted, so that a slow receiver costs
//! nobody else anything. What was queued and not yet sent is gone when the collector ends: the store keeps
//! it, the receiver has a gap.
//!
//! Sources: Prometheus Remote-Write 1.0; OpenTelemetry Protocol 1.x, HTTP with binary protobuf.

mod config;
mod names;
mod otlp;
mod post;
mod remote_write;
mod send;
mod tap;

pub use config::{ConfigError, ForwardConfig};
pub use tap::{Forwarders, SchemaLookup, Tap, start};
