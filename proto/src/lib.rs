//! The wire contract between agent, collector and responder, and its checked border to the model.
//!
//! Types of [`wire`] stop at [`convert`]: rooms work with `firstlook_model`.

pub mod convert;
pub mod heard;
pub mod settings;

/// Generated from `firstlook/v1/*.proto`; `tests/generated.rs` keeps it true.
#[allow(missing_docs, clippy::all, clippy::pedantic, unused_qualifications)]
pub mod wire {
    include!("wire/firstlook.v1.rs");
}
