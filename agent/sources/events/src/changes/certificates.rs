//! Certificates in watched files, and in files that configuration names: until when they are valid.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use firstlook_model::Timestamp;
use x509_parser::pem::Pem;

use super::{marks, owners};

/// Most files with certificates.
const FILE_LIMIT: usize = 512;
/// Most certificates of one file: a bundle of authorities is not a service's.
const CHAIN_LIMIT: usize = 8;
/// Most files of certificates that one file of configuration may name.
const NAMED_LIMIT: usize = 16;
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
    pub(super) fn look<'a>(&mut self, watched: impl IntoIterator<Item = &'a PathBuf>) {
        let mut found = BTreeMap::new();
        for path in watched
            .into_iter()
            .filter(|path| may_hold(path))
            .take(FILE_LIMIT)
        {
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

    /// Every file that holds certificates, and the one of it that ends first.
    pub(super) fn all(&self) -> impl Iterator<Item = (&PathBuf, &Validity)> {
        self.files
            .iter()
            .filter_map(|(path, (_, validity))| Some((path, validity.as_ref()?)))
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

/// The files that may hold certificates and that the content of a file of configuration names, by an absolute path or
/// one below the file's own folder. They need not be there.
pub(super) fn named_in(config: &Path, content: &[u8]) -> Vec<PathBuf> {
    let Ok(text) = std::str::from_utf8(content) else {
        return Vec::new();
    };
    let folder = config.parent().unwrap_or(Path::new("/"));
    let apart = |c: char| c.is_whitespace() || "\"'=,;()[]{}<>".contains(c);
    let paths = text.split(apart).filter(|word| may_hold(Path::new(word)));
    let paths = paths.map(|word| folder.join(word)).filter(|path| {
        let mut parts = path.components();
        parts.all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
    });
    paths
        .filter(|path| !owners::is_of_programs(path))
        .take(NAMED_LIMIT)
        .collect()
}

/// The certificate that ends first in a PEM file; `None` when there is none, or so many that they are a bundle of
/// authorities.
pub(super) fn validity(content: &[u8]) -> Option<Validity> {
    let blocks: Vec<Pem> = Pem::iter_from_buffer(content)
        .filter_map(Result::ok)
        .filter(|pem| pem.label == "CERTIFICATE")
        .take(CHAIN_LIMIT + 1)
        .collect();
    let read = blocks
        .iter()
        .filter(|_| blocks.len() <= CHAIN_LIMIT)
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

    #[test]
    fn a_bundle_of_authorities_is_nobody_s_certificate() {
        assert!(validity(SHOP.repeat(CHAIN_LIMIT).as_bytes()).is_some());
        assert_eq!(validity(SHOP.repeat(CHAIN_LIMIT + 1).as_bytes()), None);
    }

    #[test]
    fn configuration_of_common_servers_names_its_certificates() {
        let config = r#"
            ssl_certificate /etc/nginx/tls/site.crt;
            bind :443 ssl crt /etc/haproxy/site.pem alpn h2
            ssl_cert_file = '/etc/ssl/certs/ssl-cert-snakeoil.pem'
            smtpd_tls_cert_file=/etc/postfix/mail.cert
            {"cert": "tls/local.pem", "key": "tls/local.key"}
            SSLCertificateFile ../up.pem
            authority /usr/share/ca/bundle.crt
        "#;
        let named = named_in(Path::new("/etc/shop/shop.conf"), config.as_bytes());
        assert_eq!(
            named,
            [
                "/etc/nginx/tls/site.crt",
                "/etc/haproxy/site.pem",
                "/etc/ssl/certs/ssl-cert-snakeoil.pem",
                "/etc/postfix/mail.cert",
                "/etc/shop/tls/local.pem",
            ]
            .map(PathBuf::from)
        );
        assert!(named_in(Path::new("/x"), b"\xff /a.pem").is_empty());
    }

    proptest! {
        #[test]
        fn what_any_text_names_is_bounded_and_plain(text in "[a-z/. \"=]{0,400}") {
            let named = named_in(Path::new("/etc/a/b.conf"), text.as_bytes());
            prop_assert!(named.len() <= NAMED_LIMIT);
            prop_assert!(named.iter().all(|p| p.is_absolute() && !p.to_string_lossy().contains("..")));
        }

        #[test]
        fn any_damage_is_read_or_refused(at in 0..SHOP.len(), byte: u8, cut in 0..SHOP.len()) {
            let mut bytes = SHOP.as_bytes().to_vec();
            bytes[at] = byte;
            let _ = validity(&bytes[..cut]);
            let _ = validity(&bytes);
        }
    }
}
