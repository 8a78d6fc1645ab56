//! Receivers: numbers that programs on the host tell of themselves, in the forms that others made.
//!
//! Off unless configured. What comes is columns of the host's frames, under the service that tells it. Programs may
//! tell anything in any amount: each part has a budget of series, each line its limits, and what is refused is counted
//! in a series beside it.

mod called;
mod config;
mod endpoint;
mod exposition;
mod measures;
mod otlp;
mod run;
mod scrape;
mod shelf;
mod statsd;

pub use called::Called;
pub use config::{ENDPOINTS_LIMIT, Fault, Receivers, SERIES_BUDGET_LIMIT, Scrape, check};
pub use endpoint::{Endpoint, NoEndpoint};
pub use otlp::Otlp;
pub use run::{Caller, Found, LinesTaken, LinesTo, Named, Owner, ReceiverEnded, Surroundings, run};
pub use shelf::{Columns, Shelves};
pub use statsd::Statsd;
