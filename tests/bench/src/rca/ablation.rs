//! What each kind of evidence is worth: the recordings replayed without it.

use std::path::PathBuf;

use super::{Options, Set, Totals, replay};
use crate::report::Report;

/// As `replay --without` calls them.
const EVIDENCE: [&str; 5] = ["topology", "logs", "spans", "changes", "quiet-windows"];

/// The figures of each set with all evidence, then without each kind; where nothing turns on it, that is said.
pub fn measure(report: &mut Report, options: &Options, sets: &[Set]) -> anyhow::Result<()> {
    for Set { name, cases, .. } in sets {
        let totals = |without: &[&str]| totals(options, cases, without);
        let full = totals(&[])?;
        full.tell(report, &format!("{name}, all evidence"), false);
        for kind in EVIDENCE {
            let without = totals(&[kind])?;
            if without == full {
                report.note(format!("{name}: nothing turns on {kind}"));
            } else {
                without.tell(report, &format!("{name}, without {kind}"), false);
            }
        }
    }
    Ok(())
}

fn totals(options: &Options, cases: &[PathBuf], without: &[&str]) -> anyhow::Result<Totals> {
    Ok(Totals::of(&replay(&options.bin_dir, cases, 0, without)?))
}
