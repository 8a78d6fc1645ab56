//! Reading a peer's identity from its certificate, after the chain was verified.

use firstlook_model::{HostId, InvalidId, Peer, Timestamp};
use ring::digest::{SHA256, digest};
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer, X509Certificate};

const HOST: &str = "firstlook://host/";
const RESPONDER: &str = "firstlook://responder/";

/// A certificate that our authority signed but that names no one.
#[derive(Debug, thiserror::Error)]
pub enum InvalidIdentity {
    /// Not X.509.
    #[error("certificate is malformed")]
    Malformed,
    /// No URI of ours, or more than one.
    #[error("certificate names no host or responder, or several")]
    NoName,
    /// The host's name breaks its rule.
    #[error(transparent)]
    Host(#[from] InvalidId),
}

/// SHA-256 of a certificate (DER): 64 hexadecimal digits.
pub fn fingerprint_of(der: &[u8]) -> String {
    hexadecimal(digest(&SHA256, der).as_ref())
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Who a verified certificate names.
///
/// # Errors
/// [`InvalidIdentity`] when it names no one, or more than one.
pub fn peer_of(der: &[u8]) -> Result<Peer, InvalidIdentity> {
    let (_, certificate) =
        X509Certificate::from_der(der).map_err(|_| InvalidIdentity::Malformed)?;
    let expires = Timestamp::from_secs(certificate.validity().not_after.timestamp());
    let mut uris =
        certificate
            .extensions()
            .iter()
            .flat_map(|extension| match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(names) => names.general_names.as_slice(),
                _ => &[],
            });
    match (uris.next(), uris.next()) {
        (Some(GeneralName::URI(uri)), None) => {
            if let Some(name) = uri.strip_prefix(HOST) {
                Ok(Peer::Host {
                    host: HostId::new(name)?,
                    expires,
                    fingerprint: fingerprint_of(der),
                })
            } else if let Some(name) = uri.strip_prefix(RESPONDER) {
                Ok(Peer::Responder {
                    name: name.to_owned(),
                    expires,
                })
            } else {
                Err(InvalidIdentity::NoName)
            }
        }
        _ => Err(InvalidIdentity::NoName),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn hostile_bytes_name_no_one(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(peer_of(&bytes).is_err());
        }
    }

    #[test]
    fn a_certificate_without_our_uri_names_no_one() {
        let made = rcgen::generate_simple_self_signed(vec!["db1".to_owned()]).unwrap();
        assert!(matches!(
            peer_of(made.cert.der()),
            Err(InvalidIdentity::NoName)
        ));
    }
}
