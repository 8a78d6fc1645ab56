//! What a daemon needs to live and die well.

pub mod backoff;
pub mod clock;
pub mod damage;
pub mod files;
pub mod notify;
pub mod pulse;
pub mod queue;
pub mod supervise;
pub mod telemetry;

pub use backoff::Backoff;
pub use pulse::{Beat, Pulse};
pub use supervise::{Ended, Signals, Supervisor};
