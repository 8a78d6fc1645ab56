//! Certificates in watched files: until when they are valid.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use firstlook_model::Timestamp;
use x509_parser::pem::Pem;

use super::marks;

/// Most files with certificates.
const FILE_LIMIT: usize = 512;
/// Most certificates of one file looked at: a bundle of authorities is not a service's.
const CHAIN_LIMIT: usize = 8;
/// An expiry older than this when it is first seen is no news.
const OLD: Duration = Duration::from_secs(7 * 86_400);

/// The certificate of a file that ends first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) subject: String,
    pub(super) ends: Timestamp,
}

/// What tells without reading that a file was not touched.
type Stamp = (u64, u64, i64, i64);

/// Every watched file that holds certificates.
#[derive(Debug, Default)]
pub(super) struct Certificates {
    files: BTreeMap<PathBuf, (Stamp, Option<Validity>)>,
}

impl Certificates {
    /// Reads the files among these that were touched; forgets all others.
    pub(super) fn look<'a>(&mut self, watched: impl Iterator<Item = &'a PathBuf>) {
        let mut found = BTreeMap::new();
        for path in watched.filter(|path| may_hold(path)).take(FILE_LIMIT) {
            let Ok(meta) = fs::metadata(path) else {
                continue;
            };
            let stamp = (meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec());
            let known = self
                .files
                .remove(path)
                .filter(|(before, _)| *before == stamp);
            let entry = known
                .unwrap_or_else(|| (stamp, marks::read(path).and_then(|bytes| validity(&bytes))));
            found.insert(path.clone(), entry);
        }
        self.files = found;
    }

    pub(super) fn of(&self, path: &Path) -> Option<&Validity> {
        self.files.get(path)?.1.as_ref()
    }

    /// Files whose certificate is over, by the key under which that was told.
    pub(super) fn expired(&self, now: Timestamp) -> BTreeMap<String, (&Path, &Validity)> {
        let expired = self.files.iter().filter_map(|(path, (_, validity))| {
            let validity = validity
                .as_ref()
                .filter(|v| v.ends <= now && now.since(v.ends) < OLD)?;
            let key = format!("{}@{}", path.display(), validity.ends.as_micros());
            Some((key, (path.as_path(), validity)))
        });
        expired.collect()
    }
}

fn may_hold(path: &Path) -> bool {
    let end = path
        .extension()
        .unwrap_or_default()
        .to_string_lossy()
        .to_ascii_lowercase();
    matches!(end.as_str(), "pem" | "crt" | "cer" | "cert")
}

/// The certificate that ends first, among the first of a PEM file; `None` when there is none.
pub(super) fn validity(content: &[u8]) -> Option<Validity> {
    let blocks = Pem::iter_from_buffer(content)
        .take(CHAIN_LIMIT)
        .filter_map(Result::ok);
    let read = blocks
        .filter(|pem| pem.label == "CERTIFICATE")
        .filter_map(|pem| {
            let certificate = pem.parse_x509().ok()?;
            let ends = certificate.validity().not_after.timestamp();
            Some(Validity {
                subject: certificate
                    .subject()
                    .to_string()
                    .chars()
                    .filter(|c| !c.is_control())
                    .take(200)
                    .collect(),
                ends: Timestamp::from_micros(ends.saturating_mul(1_000_000)),
            })
        });
    read.min_by_key(|validity| validity.ends)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Self-signed for shop.example, valid from 2026-01-01 to 2026-11-01.
    pub(in crate::changes) const SHOP: &str = include_str!("../../fixtures/shop.crt");

    #[test]
    fn end_and_subject_of_a_certificate_are_read() {
        let found = validity(SHOP.as_bytes()).unwrap();
        assert_eq!(found.ends.to_string(), "2026-11-01T00:00:00Z");
        assert!(found.subject.contains("shop.example"), "{}", found.subject);
        assert_eq!(
            validity(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            None
        );
    }

    proptest! {
        #[test]
        fn any_damage_is_read_or_refused(at in 0..SHOP.len(), byte: u8, cut in 0..SHOP.len()) {
            let mut bytes = SHOP.as_bytes().to_vec();
            bytes[at] = byte;
            let _ = validity(&bytes[..cut]);
            let _ = validity(&bytes);
        }
    }
}
