//! Verdicts on situations such as the fire-drill lab shows them.

mod changes;
mod faults;
mod gate;
mod judgement;
mod laws;
mod probes;
mod world;
