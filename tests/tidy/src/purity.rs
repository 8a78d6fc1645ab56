//! What pure rooms may not touch: a verdict is replayed to the bit from what was stored.

use crate::house::{File, House};
use crate::source::{is_test_file, without_comment, without_tests};

/// No async, no wire, no file, no clock, no randomness: everything comes in as an argument.
const PURE: &[&str] = &[
    "firstlook-model",
    "firstlook-pipeline",
    "firstlook-detect",
    "firstlook-diagnose",
    "firstlook-incident",
];

/// Crates through which the world could come in.
const WORLDLY_CRATES: &[&str] = &[
    "chrono",
    "fastrand",
    "fjall",
    "getrandom",
    "hyper",
    "libc",
    "netlink-sys",
    "nix",
    "procfs",
    "prost",
    "rand",
    "ring",
    "rusqlite",
    "rustix",
    "rustls",
    "sysinfo",
    "time",
    "tokio",
    "tonic",
    "uuid",
    "zbus",
];

/// Names through which the world could come in without a crate.
const WORLDLY_NAMES: &[&str] = &[
    "std::env",
    "std::fs",
    "std::os",
    "std::process",
    "std::thread",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "SystemTime",
    "Instant::now",
    "Timestamp::now",
    "Zoned::now",
    "RandomState::new",
    "tokio::",
    "tonic::",
    "prost::",
];

/// Pure rooms use neither the crates nor the names by which the world comes in; their tests may.
pub fn pure_rooms_stay_pure(house: &House) -> Vec<String> {
    let mut found = Vec::new();
    for room in house
        .crates
        .iter()
        .filter(|c| PURE.contains(&c.name.as_str()))
    {
        let used = room.dependencies.iter().filter(|d| !d.only_tests);
        for crate_name in used
            .map(|d| d.name.as_str())
            .filter(|n| WORLDLY_CRATES.contains(n))
        {
            found.push(format!(
                "{} is pure and may not use {crate_name}",
                room.name
            ));
        }
        let own = |file: &&File| file.path.starts_with(&room.folder) && !is_test_file(&file.path);
        for file in house.files_ending("rs").filter(own) {
            found.extend(worldly_lines(file));
        }
    }
    found
}

fn worldly_lines(file: &File) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in without_tests(&file.text) {
        let code = without_comment(line);
        for name in WORLDLY_NAMES.iter().filter(|name| code.contains(**name)) {
            let place = file.path.display();
            found.push(format!("{place}:{number}: {name} stands in a pure room"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::house::{Crate, Dependency};

    fn diagnose(dependency: &str, only_tests: bool, path: &str, text: &str) -> House {
        House {
            crates: vec![Crate {
                name: "firstlook-diagnose".into(),
                folder: "collector/diagnose".into(),
                dependencies: vec![Dependency {
                    name: dependency.into(),
                    renamed_to: None,
                    only_tests,
                }],
            }],
            files: vec![File {
                path: path.into(),
                text: text.into(),
            }],
        }
    }

    #[test]
    fn a_clock_a_file_or_a_runtime_is_told_with_its_line() {
        for line in [
            "let now = SystemTime::now();",
            "use std::time::Instant; let x = Instant::now();",
            "use std::fs;",
            "std::fs::read(path)",
            "tokio::time::sleep(x)",
            "jiff::Timestamp::now()",
        ] {
            let text = format!("fn a() {{\n{line}\n}}\n");
            let found = pure_rooms_stay_pure(&diagnose(
                "serde",
                false,
                "collector/diagnose/src/a.rs",
                &text,
            ));
            assert_eq!(found.len(), 1, "{line}: {found:?}");
            assert!(
                found[0].starts_with("collector/diagnose/src/a.rs:2: "),
                "{found:?}"
            );
        }
    }

    #[test]
    fn tests_and_comments_may_name_them() {
        let text = "// never std::fs\n#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n";
        for (path, text) in [
            ("collector/diagnose/src/a.rs", text),
            ("collector/diagnose/src/tests.rs", "use std::fs;"),
            ("collector/diagnose/tests/a.rs", "use std::fs;"),
            ("collector/store/src/a.rs", "use std::fs;"),
        ] {
            let house = diagnose("serde", false, path, text);
            assert!(pure_rooms_stay_pure(&house).is_empty(), "{path}");
        }
    }

    #[test]
    fn worldly_crates_are_for_tests_only() {
        let path = "collector/diagnose/src/a.rs";
        assert_eq!(
            pure_rooms_stay_pure(&diagnose("tokio", false, path, "")).len(),
            1
        );
        assert!(pure_rooms_stay_pure(&diagnose("tokio", true, path, "")).is_empty());
    }
}
