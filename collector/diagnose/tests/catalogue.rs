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
