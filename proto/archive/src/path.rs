//! Paths of members.

/// Longest path of a member, in bytes: what a ustar header's name field holds.
pub const PATH_LIMIT_BYTES: usize = 100;

/// Whether `path` may name a member: see the crate's description of the format.
pub fn is_valid_path(path: &str) -> bool {
    path.len() <= PATH_LIMIT_BYTES
        && path
            .split('/')
            .all(|part| !part.is_empty() && !part.starts_with('.') && part.bytes().all(is_plain))
}

/// A valid path that resembles `path`: other characters become `_`, leading dots too, and what is too
/// long loses its beginning. Distinct paths may give the same result.
pub fn tidy_path(path: &str) -> String {
    let parts: Vec<String> = path
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .map(|part| {
            let mut tidy: String = part
                .chars()
                .map(|c| {
                    let plain = u8::try_from(c).is_ok_and(is_plain);
                    if plain { c } else { '_' }
                })
                .collect();
            if tidy.starts_with('.') {
                tidy.replace_range(..1, "_");
            }
            tidy
        })
        .collect();
    let mut tidy = parts.join("/");
    if tidy.len() > PATH_LIMIT_BYTES {
        tidy.drain(..tidy.len() - PATH_LIMIT_BYTES);
        tidy = tidy.trim_start_matches(['/', '.']).to_owned();
    }
    if tidy.is_empty() {
        tidy.push('_');
    }
    tidy
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._-+@:,=".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_cannot_leave_their_folder() {
        for good in ["a", "config/etc/app.d/10-x.conf", "sockets/tcp6"] {
            assert!(is_valid_path(good), "{good}");
        }
        for bad in [
            "",
            "/a",
            "a/",
            "a//b",
            "..",
            "a/../b",
            "./a",
            ".a",
            "a b",
            "a\\b",
            "é",
            "a\0",
            &"a".repeat(101),
        ] {
            assert!(!is_valid_path(bad), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn every_path_can_be_tidied(path in "(\\PC|/|\\.|[a-z]{1,30}){0,30}") {
            let tidy = tidy_path(&path);
            prop_assert!(is_valid_path(&tidy), "{} → {}", path, tidy);
            prop_assert_eq!(tidy_path(&tidy), tidy);
        }
    }
}
