//! Escaping, wrapping, tables and colour.

/// Columns that everything must fit, log lines excepted.
pub const WIDTH: usize = 80;

/// What a piece of text says, for its colour. Never the only sign: words say it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Something is broken.
    Bad,
    /// Fine.
    Good,
    /// Cannot be seen, or needs care.
    Unsure,
    /// A heading.
    Strong,
    /// Less important.
    Faint,
}

/// Whether to colour.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Colour at all.
    pub color: bool,
}

impl Style {
    /// Paints `text`, which must be escaped already.
    pub fn paint(self, tone: Tone, text: &str) -> String {
        if !self.color {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Bad => "1;31",
            Tone::Good => "32",
            Tone::Unsure => "33",
            Tone::Strong => "1",
            Tone::Faint => "2",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// Makes text from a host harmless: control characters, bidirectional overrides and other invisible
/// characters become `\u{…}`; line breaks too.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\t' {
            out.push(' ');
        } else if c.is_control() || invisible(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// Formatting characters that reorder or hide what follows (Unicode TR36, TR39).
fn invisible(c: char) -> bool {
    matches!(c,
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2028}' | '\u{2029}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{61c}'
        | '\u{e0000}'..='\u{e007f}')
}

/// Breaks text at spaces so that each line fits [`WIDTH`] after `indent` spaces; the first line is not
/// indented, for the caller has written what stands before it. A word that is too long stays whole.
pub fn wrap(text: &str, indent: usize) -> String {
    let room = WIDTH.saturating_sub(indent).max(20);
    let mut out = String::new();
    let mut used = 0;
    for word in text.split(' ').filter(|w| !w.is_empty()) {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > room {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            used = 0;
        } else if used > 0 {
            out.push(' ');
            used += 1;
        }
        out.push_str(word);
        used += length;
    }
    out
}

/// A number of things: `1 source`, `2 sources`.
pub fn counted(number: u64, thing: &str) -> String {
    let many = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{many}")
}

/// Lines of left-aligned columns, two spaces apart, without trailing spaces. The last column is not padded
/// and wraps within [`WIDTH`].
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |index: usize| {
        rows.iter()
            .filter_map(|row| row.get(index))
            .map(|c| c.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (index, cell) in row.iter().enumerate() {
            if index + 1 == row.len() {
                let indent: usize = widths[..index].iter().map(|w| w + 2).sum();
                line.push_str(&wrap(cell, indent));
            } else {
                line.push_str(&format!("{cell:<0$}  ", widths[index]));
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hostile_text_is_made_harmless() {
        assert_eq!(
            escape("a\x1b[2Jb\u{202e}c\r\nd"),
            "a\\u{1b}[2Jb\\u{202e}c\\u{d}\\u{a}d"
        );
    }

    #[test]
    fn columns_line_up() {
        let rows = vec![
            vec!["a".to_owned(), "bbb".to_owned(), "c".to_owned()],
            vec!["aaaa".to_owned(), "b".to_owned(), "d".to_owned()],
        ];
        assert_eq!(table(&rows), "a     bbb  c\naaaa  b    d\n");
    }

    proptest! {
        #[test]
        fn escaped_text_holds_no_control(text in "\\PC{0,50}|.{0,50}") {
            prop_assert!(!escape(&text).chars().any(|c| c.is_control() || invisible(c)));
        }

        #[test]
        fn wrapped_lines_fit_or_hold_one_word(text in "[a-z ]{0,300}", indent in 0usize..40) {
            for (index, line) in wrap(&text, indent).lines().enumerate() {
                let length = line.len() + if index == 0 { indent } else { 0 };
                prop_assert!(length <= WIDTH || !line.trim().contains(' '));
            }
        }
    }
}
