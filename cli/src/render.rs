//! How answers look on a terminal of 80 columns.

pub mod incident;
pub mod text;
pub mod time;

pub use text::{Style, Tone, counted, escape, table, wrap};
pub use time::{age, clock, span};
