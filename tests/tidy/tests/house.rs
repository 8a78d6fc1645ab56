//! This repository before the rules.

use std::path::Path;

#[test]
fn the_house_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let house = firstlook_tidy::read(&root.canonicalize().unwrap()).unwrap();
    assert!(
        house.crates.len() > 20 && house.files.len() > 100,
        "the repository was not read"
    );
    let complaints = firstlook_tidy::complaints(&house);
    assert!(
        complaints.is_empty(),
        "{} complaints:\n{}",
        complaints.len(),
        complaints.join("\n")
    );
}
