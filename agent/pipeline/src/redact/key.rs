//! What a key's name says of its value.

/// How far a key's name gives its value away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// The value is a secret, unless it is a word that says otherwise.
    Secret,
    /// The value is a header with a scheme and a credential.
    Authorization,
    /// The value is a list of cookies up to the end of the line.
    Cookie,
    /// The value is a secret if it looks random.
    Perhaps,
    /// The value is none.
    Harmless,
}

/// Longest key considered, in bytes.
pub(super) const KEY_LIMIT_BYTES: usize = 128;

/// Parts of names that make a secret, compared without case and separators.
const SECRETS: [&str; 30] = [
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "secret",
    "apikey",
    "accesskey",
    "privatekey",
    "accountkey",
    "masterkey",
    "encryptionkey",
    "signingkey",
    "authkey",
    "sharedkey",
    "storagekey",
    "licensekey",
    "licencekey",
    "credential",
    "requirepass",
    "masterauth",
    "authtoken",
    "accesstoken",
    "refreshtoken",
    "idtoken",
    "sessiontoken",
    "bearertoken",
    "clientkey",
    "hmackey",
    "deploykey",
    "jwtkey",
];
/// Last parts of names that speak of a secret without being one.
const ABOUT: [&str; 52] = [
    "file",
    "path",
    "dir",
    "name",
    "type",
    "count",
    "counts",
    "expires",
    "expiry",
    "expired",
    "expiration",
    "ttl",
    "length",
    "len",
    "age",
    "policy",
    "attempts",
    "retries",
    "url",
    "uri",
    "endpoint",
    "version",
    "enabled",
    "required",
    "limit",
    "size",
    "format",
    "method",
    "algorithm",
    "alg",
    "manager",
    "provider",
    "store",
    "prompt",
    "changed",
    "updated",
    "created",
    "at",
    "in",
    "bucket",
    "ring",
    "error",
    "used",
    "usage",
    "status",
    "state",
    "index",
    "ref",
    "mode",
    "authentication",
    "auth",
    "source",
];
/// Words that end in `pass` by chance.
const PASSES: [&str; 5] = ["bypass", "compass", "encompass", "surpass", "trespass"];

/// Classifies a key of letters, digits, `_`, `-` and `.`.
pub(super) fn class(key: &str) -> Class {
    if key.len() > KEY_LIMIT_BYTES {
        return Class::Harmless;
    }
    let compact: String = key
        .bytes()
        .filter(u8::is_ascii_alphanumeric)
        .map(|b| b.to_ascii_lowercase() as char)
        .collect();
    match compact.as_str() {
        "authorization" | "proxyauthorization" => return Class::Authorization,
        "cookie" | "setcookie" => return Class::Cookie,
        "otp" | "pin" | "cvv" | "psk" => return Class::Secret,
        "token" | "password" => return Class::Secret,
        _ => {}
    }
    if ABOUT.contains(&last_part(key).as_str()) {
        return Class::Harmless;
    }
    let token = compact
        .find("token")
        .is_some_and(|at| !compact[at + 5..].starts_with("iz"));
    let pass = compact.ends_with("pass") && !PASSES.iter().any(|word| compact.ends_with(word));
    if token || pass || compact.ends_with("pwd") || SECRETS.iter().any(|s| compact.contains(s)) {
        Class::Secret
    } else {
        Class::Perhaps
    }
}

/// The last word of `snake_case`, `kebab-case`, `dotted.case` or `camelCase`, in lower case.
fn last_part(key: &str) -> String {
    let key = key.trim_end_matches(['_', '-', '.']);
    let part = key.rsplit(['_', '-', '.']).next().unwrap_or(key);
    let mixed = part.bytes().any(|b| b.is_ascii_lowercase());
    let hump = part
        .rfind(|c: char| c.is_ascii_uppercase())
        .filter(|_| mixed)
        .unwrap_or(0);
    part[hump..].to_ascii_lowercase()
}

/// Whether a number is what one expects there, as in `max_tokens=512` or `secrets: 3`.
pub(super) fn counts(key: &str) -> bool {
    let lower = key.to_ascii_lowercase();
    let first = lower.split(['_', '-', '.']).next().unwrap_or_default();
    lower.ends_with('s') && !lower.ends_with("pass") || matches!(first, "max" | "min" | "num" | "n")
}

/// Whether the key names a password rather than a key or token: its value may look like anything.
pub(super) fn is_password(key: &str) -> bool {
    let lower = key.to_ascii_lowercase();
    ["pass", "secret", "token"]
        .iter()
        .any(|w| lower.contains(w))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_apart() {
        for (key, expected) in [
            ("password", Class::Secret),
            ("DB_PASSWORD", Class::Secret),
            ("PGPASSWORD", Class::Secret),
            ("dbPass", Class::Secret),
            ("MYSQL_PWD", Class::Secret),
            ("x-api-key", Class::Secret),
            ("spring.datasource.password", Class::Secret),
            ("clientSecret", Class::Secret),
            ("secret_id", Class::Secret),
            ("SharedAccessKey", Class::Secret),
            ("Authorization", Class::Authorization),
            ("Set-Cookie", Class::Cookie),
            ("key", Class::Perhaps),
            ("session", Class::Perhaps),
            ("password_file", Class::Harmless),
            ("tokenType", Class::Harmless),
            ("secretName", Class::Harmless),
            ("tokenizer", Class::Perhaps),
            ("bypass", Class::Perhaps),
            ("PasswordAuthentication", Class::Harmless),
        ] {
            assert_eq!(class(key), expected, "{key}");
        }
    }
}
