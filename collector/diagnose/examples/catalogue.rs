//! Prints `docs/catalogue.md`: every fault kind that Firstlook ships. With a KIND, that one in full.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "an example's output"
)]

use std::process::ExitCode;

fn main() -> ExitCode {
    let catalogue = firstlook_diagnose::Catalogue::builtin();
    let text = match std::env::args().nth(1) {
        None => Some(catalogue.page()),
        Some(kind) => catalogue.explain(&kind),
    };
    let Some(text) = text else {
        eprintln!("no such fault kind");
        return ExitCode::FAILURE;
    };
    print!("{text}");
    ExitCode::SUCCESS
}
