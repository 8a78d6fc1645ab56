//! What changed in a text, as a unified diff without its secrets.

use std::path::Path;
use std::time::Duration;

use similar::TextDiff;

/// Longest detail of a change (the model's limit).
pub(super) const DETAIL_LIMIT_BYTES: usize = 64 * 1024;
/// Longest line of a diff.
const LINE_LIMIT_CHARS: usize = 512;
/// Time to look for the shortest diff; then a longer one will do.
const DEADLINE: Duration = Duration::from_millis(200);
/// Lines of context.
const CONTEXT: usize = 2;
const MASK: &str = "[redacted]";

/// A unified diff with secrets masked, at most [`DETAIL_LIMIT_BYTES`]. Empty for a file that holds
/// nothing but secrets, and for one that is no text.
pub(super) fn redacted_diff(path: &Path, old: &[u8], new: &[u8]) -> String {
    let (Ok(old), Ok(new)) = (std::str::from_utf8(old), std::str::from_utf8(new)) else {
        return String::new();
    };
    if is_secret_file(path) || old.contains('\0') || new.contains('\0') {
        return String::new();
    }
    let diff = TextDiff::configure().timeout(DEADLINE).diff_lines(old, new);
    let mut detail = String::new();
    let mut unified = diff.unified_diff();
    let unified = unified
        .context_radius(CONTEXT)
        .missing_newline_hint(false)
        .to_string();
    for line in unified.lines() {
        let line = redact(line);
        if detail.len() + line.len() + 32 > DETAIL_LIMIT_BYTES {
            detail.push_str("… cut here\n");
            break;
        }
        detail.push_str(&line);
        detail.push('\n');
    }
    detail
}

fn is_secret_file(path: &Path) -> bool {
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .to_ascii_lowercase();
    let extension = name.rsplit('.').next().unwrap_or_default();
    matches!(
        extension,
        "key" | "pem" | "p12" | "pfx" | "jks" | "keytab" | "kdbx"
    ) || [
        "shadow",
        "gshadow",
        ".pgpass",
        ".htpasswd",
        "id_rsa",
        "id_ed25519",
    ]
    .iter()
    .any(|secret| name.starts_with(secret))
}

/// One line with what looks like a secret masked: the value of a key whose name speaks of one, the
/// password in an address, and long runs that only a key or token has.
pub(super) fn redact(line: &str) -> String {
    let cut: String = line.chars().take(LINE_LIMIT_CHARS).collect();
    let lower = cut.to_ascii_lowercase();
    let words = [
        "password",
        "passwd",
        "passphrase",
        "secret",
        "token",
        "key",
        "credential",
        "private",
    ];
    // The key ends at the first sign that separates it from a value, behind the word.
    let separated = words
        .iter()
        .filter_map(|word| {
            let behind = lower.find(word)? + word.len();
            let at = behind + lower[behind..].find(['=', ':', ' ', '\t', '>', '"', '\''])?;
            let value =
                lower[at..].find(|c| !matches!(c, '=' | ':' | ' ' | '\t' | '>' | '"' | '\''))?;
            Some(at + value)
        })
        .min();
    let masked = match separated {
        // Lower-casing ASCII moves no byte.
        Some(at) => format!("{}{MASK}", &cut[..at]),
        None => cut,
    };
    masked
        .split(' ')
        .map(redact_word)
        .collect::<Vec<_>>()
        .join(" ")
}

fn redact_word(word: &str) -> String {
    if let Some((scheme, rest)) = word.split_once("://")
        && let Some((user, host)) = rest.rsplit_once('@')
        && let Some((name, _)) = user.split_once(':')
    {
        return format!("{scheme}://{name}:{MASK}@{host}");
    }
    let keylike = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=' | '_' | '-');
    let longest = word.split(|c| !keylike(c)).map(str::len).max().unwrap_or(0);
    let mixed =
        word.bytes().any(|b| b.is_ascii_digit()) && word.bytes().any(|b| b.is_ascii_uppercase());
    // Paths are long runs too, but no run of theirs is this long without a dot or mixes like this.
    if longest >= 40 && mixed {
        MASK.to_owned()
    } else {
        word.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn diff_shows_what_changed_and_masks_secrets() {
        let old = b"timeout = 5\nprice_url = \"http://db1\"\ndb_password = \"hunter2\"\n";
        let new = b"timeout = 5\nprice_url = \"http://db9\"\ndb_password = \"hunter3\"\n";
        let diff = redacted_diff(Path::new("/etc/shop/app.toml"), old, new);
        assert!(diff.contains("-price_url = \"http://db1\"\n"), "{diff}");
        assert!(diff.contains("+price_url = \"http://db9\"\n"), "{diff}");
        assert!(diff.contains("db_password"), "{diff}");
        assert!(!diff.contains("hunter"), "{diff}");
    }

    #[test]
    fn secrets_are_masked_wherever_they_stand() {
        for line in [
            "API_KEY=s3cr3t",
            "password: s3cr3t",
            "  client-secret = 's3cr3t'",
            "\"authToken\": \"s3cr3t\",",
            "requirepass_token s3cr3t",
            "Environment=DB_PASSWORD=s3cr3t",
            "url = postgres://shop:s3cr3t@db1/shop",
            "blob s3cr3tAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA99",
        ] {
            assert!(
                !redact(line).contains("s3cr3t"),
                "{line} became {}",
                redact(line)
            );
        }
        assert_eq!(redact("listen_port = 8080"), "listen_port = 8080");
    }

    #[test]
    fn key_files_and_binaries_show_nothing() {
        assert_eq!(
            redacted_diff(Path::new("/etc/tls/shop.key"), b"a\n", b"b\n"),
            ""
        );
        assert_eq!(redacted_diff(Path::new("/etc/x"), b"a\xff\n", b"b\n"), "");
    }

    #[test]
    fn long_diffs_are_cut() {
        let new = "line of text\n".repeat(20_000);
        let diff = redacted_diff(Path::new("/etc/x"), b"", new.as_bytes());
        assert!(diff.len() <= DETAIL_LIMIT_BYTES && diff.ends_with("… cut here\n"));
    }

    proptest! {
        #[test]
        fn any_line_is_redacted_without_panic(line in ".{0,200}") {
            redact(&line);
        }

        #[test]
        fn no_value_behind_a_password_key_survives(value in "[a-z0-9]{6,20}") {
            let line = format!("password = {value}");
            prop_assert_eq!(redact(&line), "password = [redacted]");
        }
    }
}
