//! Packages of an rpm database in SQLite (`rpmdb.sqlite`, rpm 4.16 and later): the headers in its table `Packages`.
//!
//! A header is two big-endian numbers, of index entries and of bytes of data; then the entries of 16 bytes (tag, type,
//! offset into the data, count); then the data. rpm's `lib/header.c`.

use std::path::Path;

use super::sqlite::{Database, DatabaseError};
use super::{PACKAGE_LIMIT, Packages};

const NAME: u32 = 1_000;
const VERSION: u32 = 1_001;
const RELEASE: u32 = 1_002;
const EPOCH: u32 = 1_003;
const ARCHITECTURE: u32 = 1_022;
const INT32: u32 = 4;
const STRING: u32 = 6;
const ENTRIES_LIMIT: usize = 4_096;
/// What is read of a header: the tags above come first in its data.
const HEADER_LIMIT_BYTES: usize = 128 * 1024;

/// Every installed package. A package that is installed in several versions, as kernels are, has them all.
pub(super) fn read(path: &Path) -> Result<Packages, DatabaseError> {
    let mut packages = Packages::new();
    let mut malformed = 0u64;
    Database::open(path)?.rows("Packages", HEADER_LIMIT_BYTES, |header| {
        match parse(header) {
            Some((key, _)) if key.starts_with("gpg-pubkey:") => {}
            Some((key, version)) if packages.len() < PACKAGE_LIMIT => {
                let versions = packages.entry(key).or_default();
                *versions = match versions.is_empty() {
                    true => version,
                    false => join(versions, &version),
                };
            }
            Some(_) => {}
            None => malformed += 1,
        }
    })?;
    if malformed > 0 {
        tracing::warn!(malformed, path = %path.display(), "rpm headers cannot be read");
    }
    Ok(packages)
}

fn join(versions: &str, another: &str) -> String {
    let mut all: Vec<&str> = versions.split(", ").chain([another]).take(16).collect();
    all.sort_unstable();
    all.join(", ")
}

/// `name:architecture`, and `epoch:version-release`.
pub(super) fn parse(header: &[u8]) -> Option<(String, String)> {
    let entries = usize::try_from(number(header, 0)?)
        .ok()
        .filter(|n| *n <= ENTRIES_LIMIT)?;
    let data = header.get(8 + entries * 16..)?;
    let find = |tag: u32, kind: u32| {
        let entry = (0..entries)
            .map(|n| 8 + n * 16)
            .find(|at| number(header, *at) == Some(tag))?;
        let offset = usize::try_from(number(header, entry + 8)?).ok()?;
        (number(header, entry + 4)? == kind).then_some(offset)
    };
    let text = |tag| {
        let rest = data.get(find(tag, STRING)?..)?;
        let end = rest.iter().take(256).position(|byte| *byte == 0)?;
        Some(String::from_utf8_lossy(&rest[..end]).into_owned())
    };
    let name = text(NAME).filter(|name| !name.is_empty())?;
    let version = format!("{}-{}", text(VERSION)?, text(RELEASE)?);
    let epoch = find(EPOCH, INT32).and_then(|offset| number(data, offset));
    let version = match epoch {
        Some(epoch) if epoch > 0 => format!("{epoch}:{version}"),
        _ => version,
    };
    Some((
        format!("{name}:{}", text(ARCHITECTURE).unwrap_or_default()),
        version,
    ))
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(four.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A header as rpm writes it, with `filler` bytes of data behind.
    fn header(name: &str, version: &str, epoch: u32, filler: usize) -> Vec<u8> {
        let (mut entries, mut data) = (Vec::new(), Vec::new());
        for (tag, value) in [
            (NAME, name),
            (VERSION, version),
            (RELEASE, "1.el9"),
            (ARCHITECTURE, "x86_64"),
        ] {
            entries.push([tag, STRING, data.len() as u32, 1]);
            data.extend(value.as_bytes());
            data.push(0);
        }
        data.resize(data.len().next_multiple_of(4), 0);
        entries.push([EPOCH, INT32, data.len() as u32, 1]);
        data.extend(epoch.to_be_bytes());
        data.resize(data.len() + filler, b'x');
        let head = [entries.len() as u32, data.len() as u32];
        let numbers = head.into_iter().chain(entries.into_iter().flatten());
        let mut bytes: Vec<u8> = numbers.flat_map(u32::to_be_bytes).collect();
        bytes.extend(data);
        bytes
    }

    #[test]
    fn header_names_package_version_and_epoch() {
        let read = |epoch| parse(&header("nginx", "1.20.1", epoch, 9)).unwrap();
        assert_eq!(
            read(0),
            ("nginx:x86_64".to_owned(), "1.20.1-1.el9".to_owned())
        );
        assert_eq!(read(2).1, "2:1.20.1-1.el9");
    }

    proptest! {
        #[test]
        fn any_damage_is_read_or_refused(damage in proptest::collection::vec((0..150_usize, any::<u8>()), 0..6), cut in 0..200_usize) {
            let mut bytes = header("nginx", "1.20.1", 1, 9);
            for (at, byte) in damage {
                let at = at % bytes.len();
                bytes[at] = byte;
            }
            let _ = parse(&bytes);
            let _ = parse(&bytes[..cut.min(bytes.len())]);
        }
    }
}
