//! Prints `docs/signals.md`: what the host sources gather, for which faults.
#![allow(clippy::print_stdout, reason = "an example's output")]

fn main() {
    print!("{}", firstlook_sources_host::coverage::page());
}
