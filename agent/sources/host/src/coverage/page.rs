//! The page of documentation.

use std::fmt::Write as _;

use firstlook_model::SignalKind;
use firstlook_model::Unit;

use super::{Fault, Gathered, faults, gathered};
use crate::registry::shape;

const HEAD: &str = "\
# What a host's agent gathers

Written by `cargo run -p firstlook-sources-host --example signals > docs/signals.md` from the tables that the tests hold to
the code: do not edit by hand.

A signal that cannot be read has no value, never a zero; a driver or a feature that is not there is no blind spot. What is
there and may not be read is reported as a blind spot of the host, with its reason. The agent starts as any user; the
last column says what makes a signal visible. Counters only rise, but for a reset. Signals read less often than each second
have no value between two readings; limits and open files keep the one read last: open files are counted every ten seconds, and from
Linux 6.2 on also in each second in which the process ran. What a service's cgroup
is read for in turns comes less often than each five seconds where there are more than 100 services.

## Signals
";

/// The whole page, as Markdown.
pub fn page() -> String {
    let mut page = HEAD.to_owned();
    page.push_str(
        "\n| signal | of | unit | kind | read from | every | faults it serves | needs |\n",
    );
    page.push_str("| --- | --- | --- | --- | --- | --- | --- | --- |\n");
    for row in gathered() {
        for signal in row.signals {
            write_signal(&mut page, signal, row);
        }
    }
    page.push_str("\n## Faults\n\n");
    page.push_str("| fault | signals of the host | other sources | not gathered, and why |\n");
    page.push_str("| --- | --- | --- | --- |\n");
    for fault in faults() {
        write_fault(&mut page, fault);
    }
    page
}

fn write_signal(page: &mut String, signal: &str, row: &Gathered) {
    let (unit, kind) = shape(signal);
    let unit = match unit {
        Unit::Count => "count",
        Unit::Bytes => "bytes",
        Unit::Seconds => "seconds",
        Unit::Ratio => "ratio",
    };
    let kind = match kind {
        SignalKind::Gauge => "gauge",
        SignalKind::Counter => "counter",
    };
    let every = match row.every_seconds {
        0 => "2–10 s".to_owned(),
        seconds => format!("{seconds} s"),
    };
    let serves = codes(row.serves.iter().copied());
    // Writing to a string cannot fail.
    let _ = writeln!(
        page,
        "| `{signal}` | {} | {unit} | {kind} | {} | {every} | {serves} | {} |",
        row.of, row.read_from, row.needs
    );
}

fn write_fault(page: &mut String, fault: &Fault) {
    let serving = gathered().filter(|row| row.serves.contains(&fault.kind));
    let signals = codes(serving.flat_map(|row| row.signals).copied());
    let _ = writeln!(
        page,
        "| `{}` | {signals} | {} | {} |",
        fault.kind, fault.elsewhere, fault.missing
    );
}

fn codes<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let quoted: Vec<_> = words.map(|word| format!("`{word}`")).collect();
    quoted.join(", ")
}
