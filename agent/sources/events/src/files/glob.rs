//! Which files a configured path means.

use std::fs;
use std::path::{Path, PathBuf};

/// Files of one directory looked at.
const ENTRIES_LIMIT: usize = 10_000;
const PACKED: [&str; 6] = [".gz", ".xz", ".bz2", ".zst", ".lz4", ".zip"];

/// The regular files that a path with `*` and `?` in its last part means, sorted. Packed ones are left
/// out: what they hold was read before they were packed.
pub(super) fn expand(glob: &str) -> Vec<PathBuf> {
    let path = Path::new(glob);
    let (Some(dir), Some(pattern)) = (
        path.parent(),
        path.file_name().and_then(|name| name.to_str()),
    ) else {
        return Vec::new();
    };
    if !pattern.contains(['*', '?']) {
        return if path.is_file() {
            vec![path.to_owned()]
        } else {
            Vec::new()
        };
    }
    files_in(dir, |name| matches(pattern.as_bytes(), name.as_bytes()))
}

/// Files beside `path` with names that rotation gives: `app.log.1`, `app.log-20260101`, and with the end
/// kept, `app-20260101.log`, `app.2026-01-01.0.log`.
pub(super) fn rotated(path: &Path) -> Vec<PathBuf> {
    let (Some(dir), Some(name)) = (
        path.parent(),
        path.file_name().and_then(|name| name.to_str()),
    ) else {
        return Vec::new();
    };
    files_in(dir, |other| is_rotated(name, other))
}

/// Packed files beside `path` with such names.
pub(super) fn packed(path: &Path) -> Vec<PathBuf> {
    let (Some(dir), Some(name)) = (
        path.parent(),
        path.file_name().and_then(|name| name.to_str()),
    ) else {
        return Vec::new();
    };
    named(dir, |other| {
        let bare = PACKED.iter().find_map(|end| other.strip_suffix(end));
        bare.is_some_and(|bare| bare == name || is_rotated(name, bare))
    })
}

fn is_rotated(name: &str, other: &str) -> bool {
    if let Some(rest) = other.strip_prefix(name) {
        return rest.starts_with(['.', '-', '_']);
    }
    let Some((stem, end)) = name.rsplit_once('.') else {
        return false;
    };
    let middle = other
        .strip_prefix(stem)
        .and_then(|rest| rest.strip_suffix(end)?.strip_suffix('.'));
    let stamp = |byte: u8| byte.is_ascii_digit() || b"-._T".contains(&byte);
    middle.is_some_and(|middle| {
        middle.starts_with(['.', '-', '_'])
            && middle.bytes().all(stamp)
            && middle.bytes().any(|byte| byte.is_ascii_digit())
    })
}

fn files_in(dir: &Path, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    named(dir, |name| {
        wanted(name) && !PACKED.iter().any(|end| name.ends_with(end))
    })
}

fn named(dir: &Path, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .take(ENTRIES_LIMIT);
    let mut found: Vec<PathBuf> = entries
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            wanted(&name)
        })
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect();
    found.sort();
    found
}

/// `*` takes any run of bytes, `?` any one. Linear but for one star taken back at a time.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&byte) if byte == b'?' || byte == name[n] => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((at, taken)) = star else {
                    return false;
                };
                star = Some((at, taken + 1));
                p = at + 1;
                n = taken + 1;
            }
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stars_and_question_marks_match() {
        for (pattern, name, fits) in [
            ("*.log", "app.log", true),
            ("*.log", "app.log.1", false),
            ("a*b*c", "aXXbYYbZc", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*", "", true),
            ("", "x", false),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), name.as_bytes()),
                fits,
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn names_that_rotation_gives_are_known() {
        for (other, known) in [
            ("app.log.1", true),
            ("app.log-20260101", true),
            ("app-20260101.log", true),
            ("app.2026-01-01.0.log", true),
            ("app-worker1.log", false),
            ("app-.log", false),
            ("app.log", false),
            ("apple-1.log", false),
        ] {
            assert_eq!(is_rotated("app.log", other), known, "{other}");
        }
    }

    proptest! {
        #[test]
        fn a_name_matches_itself_and_any_part_starred(name in "[a-z.]{1,20}", from in 0..20_usize) {
            prop_assert!(matches(name.as_bytes(), name.as_bytes()));
            let starred = format!("{}*", &name[..from.min(name.len())]);
            prop_assert!(matches(starred.as_bytes(), name.as_bytes()));
        }
    }
}
