//! Who is at the other end of a connection, as its certificate proves.

use crate::id::HostId;
use crate::time::Timestamp;

/// An authenticated identity. Nothing that a peer says about itself can change it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// The agent of a host.
    Host {
        /// Which.
        host: HostId,
        /// When its certificate ends.
        expires: Timestamp,
        /// SHA-256 of its certificate (DER), in hexadecimal.
        fingerprint: String,
    },
    /// The agent of a host whose certificate ended a while ago. It may ask for a new one and do nothing else.
    Lapsed {
        /// Which.
        host: HostId,
        /// When its certificate ended.
        ended: Timestamp,
        /// SHA-256 of the certificate (DER), in hexadecimal.
        fingerprint: String,
    },
    /// A person or tool that may ask.
    Responder {
        /// Name in the certificate.
        name: String,
        /// When its certificate ends.
        expires: Timestamp,
    },
    /// Showed no certificate.
    Anonymous,
}
