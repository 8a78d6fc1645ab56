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

/// Files beside `path` whose names go on where its own ends, as rotation names them.
pub(super) fn rotated(path: &Path) -> Vec<PathBuf> {
    let (Some(dir), Some(name)) = (
        path.parent(),
        path.file_name().and_then(|name| name.to_str()),
    ) else {
        return Vec::new();
    };
    files_in(dir, |other| {
        other
            .strip_prefix(name)
            .is_some_and(|rest| rest.starts_with(['.', '-', '_']))
    })
}

fn files_in(dir: &Path, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .take(ENTRIES_LIMIT);
    let mut found: Vec<PathBuf> = entries
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            wanted(&name) && !PACKED.iter().any(|end| name.ends_with(end))
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

    proptest! {
        #[test]
        fn a_name_matches_itself_and_any_part_starred(name in "[a-z.]{1,20}", from in 0..20_usize) {
            prop_assert!(matches(name.as_bytes(), name.as_bytes()));
            let starred = format!("{}*", &name[..from.min(name.len())]);
            prop_assert!(matches(starred.as_bytes(), name.as_bytes()));
        }
    }
}
