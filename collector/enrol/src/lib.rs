//! Enrolment: the collector's own authority, who may join, and who is at the other end.
//!
//! A host proves itself by a certificate of this authority for 24 hours at a time; a responder by one for a
//! year. The role and the name stand in the certificate's URI, `firstlook://host/<name>` or
//! `firstlook://responder/<name>`: what a peer says about itself is never believed.

pub mod authority;
pub mod identity;
mod lapsed;
pub mod listener;
pub mod service;
pub mod token;

pub use authority::{Authority, AuthorityError, Issued};
pub use identity::{InvalidIdentity, fingerprint_of, peer_of};
pub use listener::{Authenticated, ListenerCounters, ListenerLimits, incoming, server_config};
pub use rustls::ServerConfig;
pub use service::{EnrolmentService, Refused, Registry};
pub use token::{InvalidToken, JoinToken};
