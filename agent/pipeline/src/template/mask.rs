//! Masking: a line's obvious variables become `<*>`, in one pass over its bytes.
//!
//! What is masked: words with a digit (a leading `letters_` is kept, as in `blk_<*>`), long hexadecimal
//! words, absolute paths of two parts or more, what follows `scheme://`, drive paths, `host.name:port`,
//! mail addresses, quoted strings. What belongs to one value is folded into one mask: numbers
//! joined by punctuation (`10.0.0.1:80`), a sign, a unit of size or time (`3 ms`, `1.2 KB`), the same quantity
//! again in parentheses, dates with names of days and months, and runs of masks (lists of any length).
//! The result depends on nothing but the line, so a template has the same text on every host.

/// What stands for a variable.
pub const MASK: &str = "<*>";
/// How much of a line is looked at; the rest is one more variable.
const SCAN_LIMIT_BYTES: usize = 1_000;
/// Most tokens of a masked line; the rest is one more variable.
pub(super) const TOKENS_LIMIT: usize = 120;
/// Longest quoted string that is taken for a value.
const QUOTE_LIMIT_BYTES: usize = 256;

/// Keys whose quoted value is the message itself.
const MESSAGE_KEYS: [&str; 6] = ["msg=", "message=", "error=", "err=", "reason=", "event="];
const UNITS: [&str; 37] = [
    "B",
    "KB",
    "kB",
    "MB",
    "GB",
    "TB",
    "PB",
    "KiB",
    "MiB",
    "GiB",
    "TiB",
    "byte",
    "bytes",
    "ns",
    "us",
    "ms",
    "s",
    "sec",
    "secs",
    "second",
    "seconds",
    "msec",
    "msecs",
    "usec",
    "usecs",
    "millis",
    "milliseconds",
    "microseconds",
    "min",
    "mins",
    "minute",
    "minutes",
    "hour",
    "hours",
    "h",
    "day",
    "days",
];
const DATE_WORDS: [&str; 19] = [
    "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun", "Jan", "Feb", "Mar", "Apr", "May", "Jun",
    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// Masks lines one after the other, reusing its buffers.
#[derive(Debug, Default)]
pub struct Masker {
    out: String,
    /// Where each token of `out` begins.
    starts: Vec<usize>,
}

impl Masker {
    /// The first non-empty line of `text`, masked; its tokens are separated by one space.
    pub fn mask(&mut self, text: &str) -> &str {
        self.out.clear();
        self.starts.clear();
        let line = text.trim_start();
        let line = line.lines().next().unwrap_or_default();
        let cut = floor_char_boundary(line, SCAN_LIMIT_BYTES);
        let mut scan = Scan {
            text: &line[..cut],
            bytes: &line.as_bytes()[..cut],
            at: 0,
            structured: line.starts_with('{'),
        };
        while scan.at < scan.bytes.len() {
            if scan.bytes[scan.at].is_ascii_whitespace() {
                scan.at += 1;
                continue;
            }
            if self.starts.len() == TOKENS_LIMIT {
                break;
            }
            self.token(&mut scan);
        }
        if scan.at < line.len() {
            self.begin_token();
            self.out.push_str(MASK);
            self.fold_token();
        }
        &self.out
    }

    fn begin_token(&mut self) {
        if !self.starts.is_empty() {
            self.out.push(' ');
        }
        self.starts.push(self.out.len());
    }

    fn token(&mut self, scan: &mut Scan<'_>) {
        self.begin_token();
        while let Some(&byte) = scan.bytes.get(scan.at) {
            match byte {
                b if b.is_ascii_whitespace() => break,
                b if is_word(b) => self.word(scan),
                b'/' if scan.path_may_begin() => self.path(scan),
                b'"' | b'\'' => self.quote(scan, byte),
                _ => self.literal(scan, 1),
            }
        }
        self.fold_token();
    }

    fn literal(&mut self, scan: &mut Scan<'_>, len: usize) {
        self.out.push_str(&scan.text[scan.at..scan.at + len]);
        scan.at += len;
    }

    /// A run of letters, digits, `_` and non-ASCII.
    fn word(&mut self, scan: &mut Scan<'_>) {
        let len = run(&scan.bytes[scan.at..], is_word);
        let word = &scan.bytes[scan.at..scan.at + len];
        let after = &scan.bytes[scan.at + len..];
        if after.starts_with(b"://") {
            self.literal(scan, len + 3);
            let rest = run(&scan.bytes[scan.at..], |b| {
                !b.is_ascii_whitespace() && !b"\"'<>)],;".contains(&b)
            });
            self.push_mask(scan, rest);
            return;
        }
        if len == 1 && after.starts_with(b":\\") {
            let rest = run(after, |b| {
                !b.is_ascii_whitespace() && !b"\"')],;".contains(&b)
            });
            self.push_mask(scan, len + rest);
            return;
        }
        if let Some(len) = scan.address() {
            self.push_mask(scan, len);
            return;
        }
        if word.iter().any(u8::is_ascii_digit) {
            let prefix = run(word, |b| b.is_ascii_alphabetic());
            let kept = if prefix >= 2 && word.get(prefix) == Some(&b'_') {
                prefix + 1
            } else {
                0
            };
            self.literal(scan, kept);
            self.push_mask(scan, len - kept);
        } else if len >= 8 && word.iter().all(u8::is_ascii_hexdigit) {
            self.push_mask(scan, len);
        } else {
            self.literal(scan, len);
        }
    }

    fn path(&mut self, scan: &mut Scan<'_>) {
        let rest = &scan.bytes[scan.at..];
        let mut len = run(rest, |b| {
            !b.is_ascii_whitespace() && !b"\"'<>()[]{},;:=|".contains(&b)
        });
        while len > 1 && rest[len - 1] == b'.' {
            len -= 1;
        }
        let parts = rest[..len].split(|b| *b == b'/').filter(|p| !p.is_empty());
        if parts.count() >= 2 {
            self.push_mask(scan, len);
        } else {
            self.literal(scan, 1);
        }
    }

    /// A quoted string is a value, unless it is the message of a structured line.
    fn quote(&mut self, scan: &mut Scan<'_>, quote: u8) {
        let before = &self.out[self.starts.last().copied().unwrap_or(0)..];
        let opens = before
            .as_bytes()
            .last()
            .is_none_or(|b| b"=([{<:,".contains(b));
        let message = MESSAGE_KEYS.iter().any(|key| before.ends_with(key));
        if opens && !message && !scan.structured {
            let rest = &scan.bytes[scan.at + 1..];
            let rest = &rest[..rest.len().min(QUOTE_LIMIT_BYTES)];
            let close = rest.iter().position(|b| *b == quote);
            let closes = |at: usize| {
                rest.get(at + 1)
                    .is_none_or(|b| b.is_ascii_whitespace() || b.is_ascii_punctuation())
            };
            if let Some(len) = close.filter(|at| closes(*at)) {
                self.literal(scan, 1);
                self.out.push_str(MASK);
                scan.at += len;
                self.literal(scan, 1);
                return;
            }
        }
        self.literal(scan, 1);
    }

    /// Replaces `len` bytes by a mask, folded with what it belongs to within its token.
    fn push_mask(&mut self, scan: &mut Scan<'_>, len: usize) {
        scan.at += len;
        let start = self.starts.last().copied().unwrap_or(0);
        let token = &self.out.as_bytes()[start..];
        let joined = |token: &[u8]| -> Option<usize> {
            let connector = |b: &u8| b".:-/,_@#+~".contains(b);
            if token.ends_with(MASK.as_bytes()) {
                return Some(token.len());
            }
            let (last, head) = token.split_last()?;
            if !connector(last) {
                return None;
            }
            // Doubled as in `2001:db8::7`.
            let head = head.strip_suffix(&[*last]).unwrap_or(head);
            if head.ends_with(MASK.as_bytes()) {
                return Some(head.len());
            }
            // A letter or two between numbers belongs to them: `R02-M1-C:J12`.
            let letters = head
                .iter()
                .rev()
                .take_while(|b| b.is_ascii_alphabetic())
                .count();
            let (last, head) = head[..head.len() - letters].split_last()?;
            let inner = (1..=2).contains(&letters) && connector(last);
            (inner && head.ends_with(MASK.as_bytes())).then_some(head.len())
        };
        if let Some(keep) = joined(token) {
            self.out.truncate(start + keep);
            return;
        }
        if let Some((sign, head)) = token.split_last() {
            let first = head.last().is_none_or(|b| b"=:([<,_".contains(b));
            let bound = *sign == b'<' && scan.bytes.get(scan.at) != Some(&b'>');
            if first && (matches!(sign, b'-' | b'+' | b'~') || bound) {
                self.out.pop();
            }
        }
        self.out.push_str(MASK);
    }

    /// Folds the token just written with the one before it where both are one value.
    fn fold_token(&mut self) {
        let &[.., before, start] = self.starts.as_slice() else {
            return;
        };
        let previous = &self.out[before..start - 1];
        let token = &self.out[start..];
        let value = previous.trim_end_matches([',', ';']);
        if value.ends_with(MASK) {
            let keep = before + value.len();
            if let Some(rest) = token.strip_prefix(MASK) {
                self.join(keep, self.out.len() - rest.len());
                return;
            }
            let word = token.trim_end_matches([',', '.', ';', ':', ')', ']', '>', '}']);
            if value.len() == previous.len() && UNITS.contains(&word) {
                self.join(keep, start + word.len());
                // The tail may have completed a quantity that repeats the one before.
                self.fold_token();
                return;
            }
            if let Some(rest) = token.strip_prefix("(<*>)") {
                self.join(keep, self.out.len() - rest.len());
                return;
            }
            let closed = |t: &str| t.trim_end_matches([',', ';', ')', ']']).len();
            if token[..closed(token)] == previous[..closed(previous)] {
                self.join(before, start);
                return;
            }
        }
        let opened = previous.trim_start_matches(['[', '(']);
        if token.starts_with(MASK) && DATE_WORDS.contains(&opened.trim_end_matches(',')) {
            let keep = start - 1 - opened.len();
            self.join(keep, start);
            self.fold_token();
        }
    }

    /// Drops what lies between `keep` and `from`; the last two tokens become one.
    fn join(&mut self, keep: usize, from: usize) {
        self.starts.pop();
        self.out.replace_range(keep..from, "");
    }
}

struct Scan<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    structured: bool,
}

impl Scan<'_> {
    fn previous(&self) -> Option<u8> {
        self.at.checked_sub(1).map(|at| self.bytes[at])
    }

    fn path_may_begin(&self) -> bool {
        self.previous()
            .is_none_or(|b| b.is_ascii_whitespace() || b"([{\"'=:,<>@|".contains(&b))
    }

    /// Length of a `host.name:port` or a mail address that begins here.
    fn address(&self) -> Option<usize> {
        let first = self
            .previous()
            .is_none_or(|b| b.is_ascii_whitespace() || b"([{<\"'=/,:".contains(&b));
        if !first {
            return None;
        }
        let rest = &self.bytes[self.at..];
        let name = |b: u8| b.is_ascii_alphanumeric() || b".-_+".contains(&b);
        let len = run(rest, name);
        let dotted = |part: &[u8]| part.contains(&b'.') && part.last() != Some(&b'.');
        match rest.get(len)? {
            b':' if dotted(&rest[..len]) => {
                let digits = run(&rest[len + 1..], |b| b.is_ascii_digit());
                let end = len + 1 + digits;
                let ends = rest.get(end).is_none_or(|b| !is_word(*b));
                ((1..=5).contains(&digits) && ends).then_some(end)
            }
            b'@' => {
                let domain = run(&rest[len + 1..], name);
                let part = &rest[len + 1..len + 1 + domain];
                dotted(part).then_some(len + 1 + domain)
            }
            _ => None,
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

fn run(bytes: &[u8], keep: impl Fn(u8) -> bool) -> usize {
    bytes.iter().take_while(|b| keep(**b)).count()
}

/// The largest index at or below `at` where a character begins.
fn floor_char_boundary(text: &str, at: usize) -> usize {
    if at >= text.len() {
        return text.len();
    }
    (0..=at)
        .rev()
        .find(|i| text.is_char_boundary(*i))
        .unwrap_or(0)
}
