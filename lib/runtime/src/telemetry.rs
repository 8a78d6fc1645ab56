//! Logging of our own daemons: to standard error, one line per event.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Variable that sets what is logged, in the syntax of `tracing_subscriber::EnvFilter`.
pub const VARIABLE: &str = "FIRSTLOOK_LOG";

/// An error with its causes, outermost first, each said once.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        next = cause.source();
    }
    text
}

/// Begins logging; `info` and above (of the storage engine `warn`) unless [`VARIABLE`] says otherwise. The second call does nothing.
pub fn init() {
    let filter = EnvFilter::try_from_env(VARIABLE)
        .unwrap_or_else(|_| EnvFilter::new("info,fjall=warn,lsm_tree=warn"));
    let colored = std::io::stderr().is_terminal();
    let format = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // Someone else, as a test, may have begun already.
    let _ = format.with_ansi(colored).with_target(false).try_init();
}
