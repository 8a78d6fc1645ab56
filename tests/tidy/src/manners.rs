//! How files look: short, named after their noun, finished.

use std::path::Path;

use crate::house::{File, House};
use crate::source::without_tests;

/// A file is one noun. From here on it is two.
const LINE_LIMIT: usize = 500;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &[
    "common", "core", "helpers", "misc", "scripts", "types", "util", "utils",
];

/// What marks work that was left, in pieces, so that this file is not its own first finding.
const UNDONE: &[&str] = &[
    concat!("#[ig", "nore"),
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
];

/// No Rust file is over 500 lines, a test module within it not counted.
pub fn files_are_short(house: &House) -> Vec<String> {
    let over = |file: &File| {
        let lines = without_tests(&file.text).len();
        let place = file.path.display();
        (lines > LINE_LIMIT)
            .then(|| format!("{place} has {lines} lines, over {LINE_LIMIT}: split it"))
    };
    house.files_ending("rs").filter_map(over).collect()
}

/// No `mod.rs`, and no folder or file that is called by no noun.
pub fn modules_are_named_after_their_noun(house: &House) -> Vec<String> {
    let mut found = Vec::new();
    for file in house.files_ending("rs") {
        let place = file.path.display();
        if file.path.ends_with("mod.rs") {
            found.push(format!(
                "{place}: name it after its folder, and put it beside that"
            ));
        }
        let parts = file
            .path
            .iter()
            .filter_map(|part| Path::new(part).file_stem()?.to_str());
        for empty in parts.filter(|part| EMPTY_NAMES.contains(part)) {
            found.push(format!("{place}: {empty} says nothing"));
        }
    }
    found
}

/// No ignored test, and nothing left for later.
pub fn nothing_is_left_undone(house: &House) -> Vec<String> {
    let mut found = Vec::new();
    for file in house.files_ending("rs") {
        for (index, line) in file.text.lines().enumerate() {
            for mark in UNDONE.iter().filter(|mark| line.contains(**mark)) {
                found.push(format!("{}:{}: {mark}", file.path.display(), index + 1));
            }
        }
    }
    found
}

/// Tests are sentences: none is called `test_…`.
pub fn tests_are_sentences(house: &House) -> Vec<String> {
    let mut found = Vec::new();
    for file in house.files_ending("rs") {
        let mut attribute = "";
        for (index, line) in file.text.lines().map(str::trim).enumerate() {
            let name = line.trim_start_matches("async ").strip_prefix("fn test_");
            let is_test = attribute == "#[test]" || attribute.contains("::test");
            if name.is_some() && is_test {
                found.push(format!(
                    "{}:{}: a test is a sentence, without test_",
                    file.path.display(),
                    index + 1
                ));
            }
            attribute = if line.starts_with("#[") { line } else { "" };
        }
    }
    found
}

/// Every crate's manifest takes the workspace's lints.
pub fn every_crate_obeys_the_lints(house: &House) -> Vec<String> {
    let obeys = |text: &str| {
        let mut lines = text
            .lines()
            .map(str::trim)
            .skip_while(|line| *line != "[lints]");
        lines.next().is_some() && lines.next() == Some("workspace = true")
    };
    let lacks = |folder: &Path| {
        let manifest = folder.join("Cargo.toml");
        let text = house.files.iter().find(|file| file.path == manifest);
        (!text.is_some_and(|file| obeys(&file.text)))
            .then(|| format!("{} lacks [lints] workspace = true", manifest.display()))
    };
    house
        .crates
        .iter()
        .filter_map(|member| lacks(&member.folder))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::house::Crate;

    fn house(path: &str, text: &str) -> House {
        House {
            crates: vec![Crate {
                name: "x".into(),
                folder: "x".into(),
                dependencies: Vec::new(),
            }],
            files: vec![File {
                path: path.into(),
                text: text.into(),
            }],
        }
    }

    #[test]
    fn a_long_file_is_told_and_its_tests_do_not_count() {
        let long = "a;\n".repeat(LINE_LIMIT);
        let tests = format!("{long}#[cfg(test)]\nmod tests {{\n{long}}}\n");
        assert!(files_are_short(&house("x/src/a.rs", &tests)).is_empty());
        assert_eq!(
            files_are_short(&house("x/src/a.rs", &(long + "a;\n"))).len(),
            1
        );
    }

    #[test]
    fn names_without_a_noun_are_told() {
        for path in ["x/src/a/mod.rs", "x/src/utils.rs", "lib/common/src/a.rs"] {
            assert_eq!(
                modules_are_named_after_their_noun(&house(path, "")).len(),
                1,
                "{path}"
            );
        }
        assert!(modules_are_named_after_their_noun(&house("x/src/modes.rs", "")).is_empty());
    }

    #[test]
    fn every_mark_of_unfinished_work_is_told() {
        for mark in UNDONE {
            let found = nothing_is_left_undone(&house(
                "x/src/a.rs",
                &format!("fn a() {{}}\n    {mark}x\n"),
            ));
            assert_eq!(found, [format!("x/src/a.rs:2: {mark}")]);
        }
        assert!(nothing_is_left_undone(&house("x/src/a.rs", "fn tests_nothing() {}")).is_empty());
    }

    #[test]
    fn a_test_that_is_called_test_is_told() {
        for (text, complaints) in [
            ("    #[test]\n    fn test_it() {}", 1),
            ("    #[tokio::test]\n    async fn test_it() {}", 1),
            ("    #[test]\n    fn it_works() {}", 0),
            ("    #[cfg(test)]\n    fn test_it() {}", 0),
        ] {
            assert_eq!(
                tests_are_sentences(&house("x/src/a.rs", text)).len(),
                complaints,
                "{text}"
            );
        }
    }

    #[test]
    fn a_manifest_without_our_lints_is_told() {
        for (text, complaints) in [
            ("[package]\n\n[lints]\nworkspace = true\n", 0),
            ("[package]\n", 1),
            ("[lints]\n[lints.rust]\nworkspace = true\n", 1),
        ] {
            let found = every_crate_obeys_the_lints(&house("x/Cargo.toml", text));
            assert_eq!(found.len(), complaints, "{text}");
        }
    }
}
