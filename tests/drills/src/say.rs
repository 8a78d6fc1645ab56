//! What people and programs read from us: progress on standard error, results on standard output.

use std::io::{self, ErrorKind, Write};

/// One line of progress. A closed standard error is no reason to stop.
pub fn progress(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Text of the result, as it stands. A closed pipe is success: the reader has what it wanted.
pub fn result(text: &str) -> io::Result<()> {
    let mut out = io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
