//! Verdicts on situations such as the fire-drill lab shows them.

mod changes;
mod faults;
mod gate;
mod judgement;
mod kinds;
mod laws;
mod others;
mod probes;
mod staged;
mod world;
