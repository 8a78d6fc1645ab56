//! Whether a line goes on with the message before it, as runtimes print their stack traces.
//!
//! Java and relatives (`\tat`, `... 3 more`, `Caused by:`), Python (`Traceback`, chained exceptions), Go
//! (`panic:`, `goroutine`), Rust (`panicked at`, `stack backtrace:`, an error's `Caused by:`), Node.js (`    at`,
//! source excerpts, the properties in braces). Besides, a line that begins with a tab goes on with any other, as
//! PostgreSQL prints statements of several lines.

/// How far a line is searched for what announces a trace.
const HEAD_LIMIT_BYTES: usize = 512;

/// What the message before is, as far as it can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trace {
    /// No trace, so far.
    None,
    /// Frames of Java, Node.js or a Rust error's causes.
    Frames,
    /// Python, before the line that names the exception.
    Python,
    /// Python, behind that line.
    PythonEnd,
    /// Python, behind the line that announces a further traceback.
    PythonChain,
    /// Go.
    Go,
    /// Rust, whose next line is the message.
    RustMessage,
    /// Rust, behind its message.
    Rust,
    /// Node.js: the place in the source, before its excerpt.
    NodeSource,
}

impl Trace {
    /// What a message that begins with this line is.
    pub(super) fn of(text: &str) -> Self {
        let head = head(text);
        if head.contains("Traceback (most recent call last)") {
            Self::Python
        } else if head.starts_with("thread '") && head.contains(" panicked at ") {
            rust(text)
        } else if is_go(head) {
            Self::Go
        } else if is_source_place(text) {
            Self::NodeSource
        } else {
            Self::None
        }
    }

    /// What the message is once `text` was added; `None` when `text` begins another. `last` is its last line.
    pub(super) fn next(self, last: &str, text: &str) -> Option<Self> {
        let inner = text.trim_start();
        let indented = text.starts_with('\t') || text.starts_with("  ");
        if indented && is_frame(inner) && matches!(self, Self::None | Self::NodeSource) {
            return Some(Self::Frames);
        }
        if text.starts_with('\t') {
            return Some(self);
        }
        // `Error: …`, an empty line, `Caused by:`: how Rust programs end.
        let causes = text == "Caused by:" && last.starts_with("Error: ");
        let goes_on = match self {
            Self::None => causes.then_some(Self::Frames)?,
            Self::Frames if indented || is_cause(text) || is_node_end(text) => self,
            Self::Python if indented => self,
            Self::Python if is_exception(text) => Self::PythonEnd,
            Self::PythonEnd if is_chain(text) => Self::PythonChain,
            Self::PythonChain if text.starts_with("Traceback (") => Self::Python,
            Self::Go if is_go(text) || is_go_part(text) => self,
            Self::RustMessage => Self::Rust,
            Self::Rust if indented || text.starts_with("note: ") || text == "stack backtrace:" => {
                self
            }
            Self::NodeSource if indented || text.trim().bytes().all(|b| b == b'^') => self,
            Self::NodeSource if last.trim().bytes().all(|b| b == b'^') => Self::Frames,
            _ => return None,
        };
        Some(goes_on)
    }

    /// Whether it is worth waiting for more behind `last`.
    pub(super) fn may_go_on(self, last: &str) -> bool {
        const WORDS: [&[u8]; 6] = [
            b"error",
            b"exception",
            b"panic",
            b"fatal",
            b"severe",
            b"critical",
        ];
        let head = head(last).as_bytes();
        let says = |word: &&[u8]| {
            head.windows(word.len())
                .any(|w| w.eq_ignore_ascii_case(word))
        };
        self != Self::None || WORDS.iter().any(says)
    }
}

/// Since 1.73 the message stands on a line of its own.
fn rust(text: &str) -> Trace {
    if text.ends_with(':') {
        Trace::RustMessage
    } else {
        Trace::Rust
    }
}

fn is_frame(inner: &str) -> bool {
    inner.starts_with("at ")
        || inner.starts_with("File \"")
        || inner.starts_with("Suppressed: ")
        || inner.starts_with("Caused by: ")
        || (inner.starts_with("... ") && (inner.ends_with("more") || inner.ends_with("omitted")))
}

fn is_cause(text: &str) -> bool {
    text.starts_with("Caused by:") || text.starts_with("Wrapped by:")
}

fn is_node_end(text: &str) -> bool {
    text == "}" || text.starts_with("Node.js v")
}

/// `KeyError: 'price'`, `shop.errors.Refused`.
fn is_exception(text: &str) -> bool {
    let name = text.split(':').next().unwrap_or_default();
    name.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || c == '_' || c == '.')
}

fn is_chain(text: &str) -> bool {
    text.starts_with("During handling of the above exception")
        || text.starts_with("The above exception was the direct cause")
}

fn is_go(text: &str) -> bool {
    text.starts_with("panic: ")
        || text.starts_with("fatal error: ")
        || text.contains("panic serving ")
        || (text.starts_with("goroutine ") && text.ends_with("]:"))
}

/// `main.(*Shop).serve(0xc000, {0x1, 0x2})`, and what else stands between the frames.
fn is_go_part(text: &str) -> bool {
    let call = text.ends_with(')')
        && text.split('(').next().is_some_and(|name| {
            name.contains('.') && !name.contains(|c: char| c.is_whitespace() || c == ':')
        });
    call || text.starts_with("created by ")
        || text.starts_with("[signal ")
        || text.starts_with("exit status ")
        || text.starts_with("...additional frames elided")
}

/// `/srv/app.js:12`, `file:///srv/app.mjs:12`, `node:internal/x:12`.
fn is_source_place(text: &str) -> bool {
    let place = text.rsplit_once(':').is_some_and(|(path, line)| {
        !path.contains(char::is_whitespace)
            && !line.is_empty()
            && line.bytes().all(|b| b.is_ascii_digit())
    });
    place
        && ["/", "file://", "node:"]
            .iter()
            .any(|begin| text.starts_with(begin))
}

fn head(text: &str) -> &str {
    let end = (0..=HEAD_LIMIT_BYTES.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or(0)]
}
