//! From a situation to a verdict: which component fails, how, how surely, and what speaks against it.
//!
//! Every pair of a component near the symptoms and a fault kind of the [`Catalogue`] is a hypothesis.
//! Each observation adds `10·log10(P(seen | hypothesis) / P(seen | otherwise))` decibans to it. What is
//! absent although it was measured counts against; what was not measured counts nothing. The best
//! hypothesis explains its symptoms, what is left over is weighed again.
//!
//! Pure: no clock, no randomness, no IO. The same situation gives the same verdict to the bit.

mod absence;
mod catalogue;
mod changed;
mod cleared;
mod compete;
mod gate;
mod graph;
mod hypothesis;
mod judge;
mod outlook;
mod reach;
mod relation;
mod suspect;
mod timing;
mod weigh;
mod witness;

pub use catalogue::{
    CATALOGUE_FILE_LIMIT_BYTES, Catalogue, CatalogueError, ChangeRate, Fault, Forbidden, Level,
    NeededChange, Prediction, Question, Relation, Remark, UNKNOWN_FAULT,
};
pub use gate::{IncidentScope, SymptomGroup, symptom_gate};
pub use judge::{TheoryError, diagnose, theory};
