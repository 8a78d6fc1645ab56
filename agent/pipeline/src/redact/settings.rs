//! Configuration files: a line that begins with a secret's key is a setting, and its value the rest of the line.

use std::borrow::Cow;

use super::key::{self, Class};
use super::{REDACTED, closes_private_key, opens_private_key, value};

/// What the lines that follow belong to.
enum Inside {
    /// Nothing in particular.
    Text,
    /// A private key up to its end.
    PrivateKey,
    /// A block value: lines indented more than this.
    Block(usize),
}

/// Redacts each line, with `line` for what is no setting.
pub(super) fn redact<'a>(text: &'a str, line: impl Fn(&'a str) -> Cow<'a, str>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = Inside::Text;
    for full in text.split_inclusive('\n') {
        let row = full.trim_end_matches(['\n', '\r']);
        let indent = indent(row);
        let blank = row[indent..].trim().is_empty();
        if let Inside::Block(outer) = inside
            && !blank
            && indent <= outer
        {
            inside = Inside::Text;
        }
        match inside {
            Inside::PrivateKey if closes_private_key(row) => {
                inside = Inside::Text;
                out.push_str(row);
            }
            Inside::PrivateKey => out.push_str(REDACTED),
            Inside::Block(_) if blank => out.push_str(row),
            Inside::Block(_) => {
                out.push_str(&row[..indent]);
                out.push_str(REDACTED);
            }
            Inside::Text => match setting(row) {
                Some(Setting::Value(from, to)) => {
                    out.push_str(&row[..from]);
                    out.push_str(REDACTED);
                    out.push_str(&row[to..]);
                }
                Some(Setting::Block) => {
                    out.push_str(row);
                    inside = Inside::Block(indent);
                }
                None => {
                    out.push_str(&line(row));
                    if opens_private_key(row) {
                        inside = Inside::PrivateKey;
                    }
                }
            },
        }
        out.push_str(&full[row.len()..]);
    }
    out
}

/// How far a row is indented. A diff's sign stands where another row of the diff has a space.
fn indent(row: &str) -> usize {
    let sign = usize::from(row.starts_with(['+', '-']));
    row.len() - row[sign..].trim_start().len()
}

enum Setting {
    /// The value lies between these places of the line.
    Value(usize, usize),
    /// The value is what follows, indented.
    Block,
}

/// The setting of a secret that the line is; `None` for any other line, and for a quoted value.
fn setting(row: &str) -> Option<Setting> {
    // Indentation, a diff's sign, a list's dash, a shell's export, a key's quote.
    let mut start = row.len()
        - row
            .trim_start_matches([' ', '\t', '+', '-', '#', ';'])
            .len();
    if row[start..].starts_with("export ") {
        start += 7;
    }
    start += usize::from(row[start..].starts_with(['"', '\'']));
    let len = row[start..]
        .bytes()
        .take_while(|b| b.is_ascii_alphanumeric() || b"_-.".contains(b))
        .count();
    let name = &row[start..start + len];
    if len == 0 || key::class(name) != Class::Secret {
        return None;
    }
    let rest = row[start + len..].trim_start_matches(['"', '\'']);
    let after_sign = rest.trim_start_matches([' ', '\t', '=', ':', '>']);
    let from = row.len() - after_sign.len();
    let sign = &row[start + len..from];
    if sign.is_empty() || sign.contains("::") {
        return None;
    }
    if matches!(after_sign.trim(), "|" | ">" | "|-" | ">-" | "|+" | ">+") {
        return Some(Setting::Block);
    }
    let shut = after_sign.trim_end().trim_end_matches([',', ';']).len();
    let found = &after_sign[..shut];
    let quoted = found.starts_with(['"', '\'', '`', '{', '[']);
    let number = found.bytes().all(|b| b.is_ascii_digit()) && key::counts(name);
    let place = found.starts_with('/') && !key::is_password(name);
    if quoted || number || place || value::is_harmless(found) {
        return None;
    }
    // "Password incorrect for user x" is prose, not a setting.
    let spaced = !sign.contains(['=', ':']);
    if spaced && found.contains(' ') {
        return None;
    }
    Some(Setting::Value(from, from + shut))
}
