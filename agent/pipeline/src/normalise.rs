//! Making a line fit: terminal sequences and control characters out, length within its limit.

use firstlook_model::log::LINE_LIMIT_BYTES;

use crate::losses::clip;

/// What the sequence that begins with ESC is, by the byte that follows.
enum Sequence {
    /// Ends with a byte from `@` to `~`.
    Control,
    /// Ends with BEL or ESC `\`.
    Text,
    /// That byte is all.
    Short,
}

/// The line without terminal sequences (ECMA-48), trailing white space and the line end; other control
/// characters but tab and line feed become U+FFFD. At most [`LINE_LIMIT_BYTES`] long.
pub fn normalise(mut text: String) -> String {
    let plain = |b: &u8| (*b >= 0x20 && *b != 0x7f) || matches!(b, b'\t' | b'\n');
    if !text.as_bytes().iter().all(plain) {
        text = without_control(&text);
    }
    clip(&mut text, LINE_LIMIT_BYTES);
    text.truncate(text.trim_end().len());
    text
}

fn without_control(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => {
                let kind = match chars.next() {
                    Some('[') => Sequence::Control,
                    Some(']' | 'P' | '_' | '^') => Sequence::Text,
                    _ => Sequence::Short,
                };
                skip(&kind, &mut chars);
            }
            '\t' | '\n' => out.push(c),
            '\r' if matches!(chars.peek(), None | Some('\n')) => {}
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

fn skip(kind: &Sequence, chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match kind {
        Sequence::Control => {
            chars.find(|c| ('@'..='~').contains(c));
        }
        Sequence::Text => {
            while let Some(c) = chars.next() {
                let string_end = c == '\u{1b}' && chars.next_if_eq(&'\\').is_some();
                if c == '\u{7}' || string_end {
                    break;
                }
            }
        }
        Sequence::Short => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn terminal_sequences_and_control_characters_go() {
        for (text, clean) in [
            ("plain", "plain"),
            ("\u{1b}[1;31mERROR\u{1b}[0m failed\r\n", "ERROR failed"),
            ("\u{1b}]0;title\u{7}text", "text"),
            ("\u{1b}]8;;http://x\u{1b}\\link", "link"),
            ("a\u{0}b\tc\u{7f}", "a\u{fffd}b\tc\u{fffd}"),
            ("open \u{1b}[", "open"),
        ] {
            assert_eq!(normalise(text.to_owned()), clean);
        }
    }

    proptest! {
        #[test]
        fn every_text_comes_out_short_and_plain(text in "\\PC{0,20}|[\\x00-\\x7f]{0,12000}") {
            let clean = normalise(text);
            prop_assert!(clean.len() <= LINE_LIMIT_BYTES);
            prop_assert!(!clean.chars().any(|c| c.is_control() && c != '\t' && c != '\n'));
            prop_assert_eq!(normalise(clean.clone()), clean);
        }
    }
}
