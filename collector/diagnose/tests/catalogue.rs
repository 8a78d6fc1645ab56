//! The shipped catalogue as a whole: what is in its folder is in the program, and every file reads well.

use std::collections::BTreeSet;
use std::path::Path;

use firstlook_diagnose::Catalogue;

fn folder() -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("catalogue");
    let files = std::fs::read_dir(path).expect("the folder of the catalogue");
    let names = files.map(|file| file.expect("an entry").file_name().into_string());
    names.map(|name| name.expect("a plain name")).collect()
}

#[test]
fn every_file_of_the_folder_is_shipped_and_named_as_its_fault() {
    let catalogue = Catalogue::builtin();
    let shipped: BTreeSet<String> = catalogue
        .faults()
        .map(|fault| format!("{}.toml", fault.kind))
        .chain(["symptoms.toml".to_owned()])
        .collect();
    assert_eq!(shipped, folder());
}

#[test]
fn every_fault_reads_well() {
    let catalogue = Catalogue::builtin();
    for fault in catalogue.faults() {
        let kind = &fault.kind;
        assert!(!fault.summary.is_empty(), "{kind}");
        assert!(!fault.looks_when_fixed.is_empty(), "{kind}");
        assert!(fault.question.text.ends_with('?'), "{kind}");
        assert!(!fault.question.command.is_empty(), "{kind}");
        assert!(fault.prior_db <= -12.0, "{kind}: faults are rare");
    }
}

#[test]
fn the_page_is_what_the_files_say() {
    let committed = include_str!("../../../docs/catalogue.md");
    assert!(
        Catalogue::builtin().page() == committed,
        "write docs/catalogue.md anew: cargo run -p firstlook-diagnose --example catalogue"
    );
}

#[test]
fn every_fault_can_be_explained_and_an_unknown_one_cannot() {
    let catalogue = Catalogue::builtin();
    for fault in catalogue.faults() {
        let text = catalogue.explain(&fault.kind).expect("a known kind");
        assert!(text.starts_with(&fault.kind), "{text}");
        assert!(text.contains(&fault.question.command), "{text}");
        assert!(
            !text.lines().next().is_some_and(|l| l.contains(['{', '}'])),
            "{text}"
        );
    }
    assert_eq!(catalogue.explain("gremlins"), None);
}

#[test]
fn a_lock_in_a_database_reads_well() {
    let text = Catalogue::builtin()
        .explain("database-lock")
        .expect("a known kind");
    assert_eq!(
        text,
        "\
database-lock: its transactions wait for locks: its log says so
of: service
before any fact: -15 dB
thought of only where everything that it must show is seen

it shows:
  must: lines of locks that are waited for at self (95%, within 10 s)
  may: more error lines than usual or error lines of a new sort at self (50%)
  may: requests without answers or a slow edge at callers (60%)
  may: timeouts or more error lines than usual or lines that say that a pool is exhausted or lines of locks that are waited for at callers (50%)

against it speaks:
  one service using most of the CPU at self (-6 dB)

it is over when: no line of it for a minute and callers answered
ask: who holds the lock that the others on {name} of {host} wait for?
  journalctl --no-pager --unit={name} -n 50 | grep -iE 'lock|deadlock'
runbook tags: database, database-lock
"
    );
}
