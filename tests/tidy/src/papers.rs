//! What is written beside the code must stay true: links lead somewhere, and the map shows every room.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use crate::house::{File, House};

const MAP: &str = "ARCHITECTURE.md";

/// Every relative link of a Markdown file leads to a file or folder of the repository.
pub fn links_lead_somewhere(house: &House) -> Vec<String> {
    let places = places(house);
    let mut found = Vec::new();
    for file in house.files_ending("md") {
        let folder = file.path.parent().unwrap_or(Path::new(""));
        for (number, target) in links(&file.text) {
            let path = target.split('#').next().unwrap_or_default();
            let foreign = path.is_empty() || path.contains("://") || path.starts_with("mailto:");
            if !foreign && !resolved(folder, path).is_some_and(|p| places.contains(&p)) {
                found.push(format!(
                    "{}:{number}: {target} leads nowhere",
                    file.path.display()
                ));
            }
        }
    }
    found
}

/// All files that were read, and every folder above one.
fn places(house: &House) -> BTreeSet<PathBuf> {
    let files = house.files.iter();
    let all = files.flat_map(|file| file.path.ancestors().map(Path::to_owned));
    // Two that bear no ending, and that every reader looks for.
    all.chain(
        [
            "LICENSE",
            "deploy/quickstart",
            "tests/run",
            ".ci/run",
            "tests/drills/run",
            "tests/bench/run",
        ]
        .map(PathBuf::from),
    )
    .collect()
}

/// The place in the repository, or nothing when it is outside.
fn resolved(folder: &Path, target: &str) -> Option<PathBuf> {
    let mut place = folder.to_owned();
    for part in Path::new(target).components() {
        match part {
            Component::Normal(name) => place.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                if !place.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(place)
}

/// Targets of `[text](target)` outside of fenced code, with the line's number.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        let parts = line.split("](").skip(1).filter(|_| !fenced);
        found.extend(parts.filter_map(|part| Some((index + 1, part.split_once(')')?.0))));
    }
    found
}

/// The map's table has one row per crate, and no row for what is not there.
pub fn the_map_is_true(house: &House) -> Vec<String> {
    let text = house.files.iter().find(|file| file.path == Path::new(MAP));
    let drawn = text.map(rows).unwrap_or_default();
    let real: BTreeSet<_> = house
        .crates
        .iter()
        .map(|c| c.folder.display().to_string())
        .collect();
    let missing = real
        .difference(&drawn)
        .map(|folder| format!("{MAP} does not show {folder}"));
    let gone = drawn
        .difference(&real)
        .map(|folder| format!("{MAP} shows {folder}, and there is no crate"));
    missing.chain(gone).collect()
}

/// Folders of the rows that begin with one: ``| `lib/model` | … |``.
fn rows(file: &File) -> BTreeSet<String> {
    let folder = |line: &str| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned());
    file.text.lines().filter_map(folder).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::house::Crate;

    fn file(path: &str, text: &str) -> File {
        File {
            path: path.into(),
            text: text.into(),
        }
    }

    #[test]
    fn a_link_to_nothing_is_told() {
        let text = "[a](b.md) [c](../README.md#top)\n[x](gone.md)\n[y](../../out.md) [z](/etc/passwd)\n\
            [w](https://example.org/x) [v](#here)\n```\n[not](a-link)\n```\n";
        let house = House {
            crates: Vec::new(),
            files: vec![
                file("docs/a.md", text),
                file("docs/b.md", ""),
                file("README.md", "[d](docs)"),
            ],
        };
        let expected = [
            "docs/a.md:2: gone.md",
            "docs/a.md:3: ../../out.md",
            "docs/a.md:3: /etc/passwd",
        ];
        assert_eq!(
            links_lead_somewhere(&house),
            expected.map(|place| format!("{place} leads nowhere"))
        );
    }

    #[test]
    fn the_map_shows_every_crate_and_no_other() {
        let house = House {
            crates: vec![Crate {
                name: "x".into(),
                folder: "lib/x".into(),
                dependencies: Vec::new(),
            }],
            files: vec![file(MAP, "| folder |\n| `lib/y` | what |\n")],
        };
        let expected = [
            format!("{MAP} does not show lib/x"),
            format!("{MAP} shows lib/y, and there is no crate"),
        ];
        assert_eq!(the_map_is_true(&house), expected);
    }
}
