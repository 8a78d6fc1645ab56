//! Who may use whom.

use crate::house::{Crate, House};

/// Which of our own crates a crate may use, in tests too. `ARCHITECTURE.md` gives the reasons; a new entry is a
/// commit of its own.
const MAY_USE: &[(&str, &[&str])] = &[
    ("firstlook-model", &[]),
    ("firstlook-runtime", &["model"]),
    ("firstlook-journal", &["model", "runtime"]),
    ("firstlook-proto", &["model"]),
    ("firstlook-archive", &["model"]),
    ("firstlook-sources-host", &["model"]),
    ("firstlook-sources-events", &["model"]),
    ("firstlook-sources-probes", &["model"]),
    ("firstlook-sources-receivers", &["model"]),
    ("firstlook-pipeline", &["model"]),
    ("firstlook-snapshot", &["model", "archive"]),
    (
        "firstlook-uplink",
        &["model", "journal", "proto", "runtime"],
    ),
    (
        "firstlook-agent",
        &[
            "model",
            "journal",
            "runtime",
            "sources-host",
            "sources-events",
            "sources-probes",
            "sources-receivers",
            "pipeline",
            "snapshot",
            "uplink",
            // The spool writes records into the journal in the wire's own form.
            "proto",
            "reference",
        ],
    ),
    ("firstlook-ingest", &["model", "proto", "runtime"]),
    ("firstlook-enrol", &["model", "proto", "runtime"]),
    ("firstlook-store", &["model", "runtime"]),
    ("firstlook-detect", &["model"]),
    ("firstlook-diagnose", &["model"]),
    ("firstlook-rank", &[]),
    ("firstlook-incident", &["model"]),
    ("firstlook-desk", &["model"]),
    ("firstlook-query", &["model", "proto", "store", "runtime"]),
    ("firstlook-forward", &["model", "runtime", "reference"]),
    (
        "firstlook-collector",
        &[
            "model",
            "runtime",
            "proto",
            "archive",
            "ingest",
            "enrol",
            "store",
            "detect",
            "diagnose",
            "incident",
            "rank",
            "desk",
            "query",
            "forward",
            "reference",
        ],
    ),
    ("firstlook", &["model", "proto"]),
];

/// What our crates may use in their tests, and nowhere else.
const ONLY_IN_TESTS: &[&str] = &["firstlook-reference"];

/// Foreign crates that only some of ours may use. `deny.toml` says the same of what they bring along.
const ONLY_FOR: &[(&str, &[&str])] = &[
    ("fjall", &["firstlook-journal", "firstlook-store"]),
    ("rusqlite", &["firstlook-desk"]),
    ("zbus", &["firstlook-sources-events"]),
    // Forwarding speaks TLS to receivers of others, with authorities of others; probes look at others' certificates.
    (
        "rustls",
        &[
            "firstlook-enrol",
            "firstlook-forward",
            "firstlook-sources-probes",
            "firstlook-uplink",
        ],
    ),
    ("rcgen", &["firstlook-enrol", "firstlook-uplink"]),
    // Forwarding and receivers speak protocols of others, none of our wire.
    (
        "prost",
        &[
            "firstlook-forward",
            "firstlook-proto",
            "firstlook-sources-receivers",
        ],
    ),
    (
        "tonic",
        &[
            "firstlook",
            "firstlook-collector",
            "firstlook-enrol",
            "firstlook-ingest",
            "firstlook-proto",
            "firstlook-query",
            "firstlook-uplink",
        ],
    ),
];

/// Crates of the product: those under `tests` look at the whole, and stand behind no wall. The product uses none of
/// them, and its tests only [`ONLY_IN_TESTS`].
fn product(house: &House) -> impl Iterator<Item = &Crate> {
    house
        .crates
        .iter()
        .filter(|member| !member.folder.starts_with("tests"))
}

/// Our crates use only those of ours that the table allows, and each is in the table.
pub fn use_only_whom_they_may(house: &House) -> Vec<String> {
    let mut found = Vec::new();
    for member in product(house) {
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == member.name) else {
            found.push(format!(
                "{} has no row in tests/tidy/src/rooms.rs",
                member.name
            ));
            continue;
        };
        for used in ours(house, member) {
            let short = used.strip_prefix("firstlook-").unwrap_or(used);
            if !allowed.contains(&short) {
                found.push(format!("{} may not use {used}", member.name));
            }
        }
        let is_ours_in_tests = |name: &str| ONLY_IN_TESTS.contains(&name);
        for used in member.dependencies.iter().filter(|d| !d.only_tests) {
            if is_ours_in_tests(&used.name) {
                let (user, used) = (&member.name, &used.name);
                found.push(format!("{user} may use {used} in its tests only"));
            }
        }
    }
    found
}

fn ours<'a>(house: &'a House, member: &'a Crate) -> impl Iterator<Item = &'a str> {
    let is_ours = |name: &str| house.crates.iter().any(|c| c.name == name);
    member
        .dependencies
        .iter()
        .map(|d| d.name.as_str())
        .filter(move |name| is_ours(name))
}

/// Engines, the wire and certificates are known to the rooms that need them, and to no other; tests may.
pub fn foreign_crates_stay_in_their_rooms(house: &House) -> Vec<String> {
    let mut found = Vec::new();
    for member in product(house) {
        for used in member.dependencies.iter().filter(|d| !d.only_tests) {
            let rule = ONLY_FOR.iter().find(|(name, _)| *name == used.name);
            if rule.is_some_and(|(_, users)| !users.contains(&member.name.as_str())) {
                found.push(format!("{} may not use {}", member.name, used.name));
            }
        }
    }
    found
}

/// A crate is called in code what it is called in the registry.
pub fn dependencies_keep_their_names(house: &House) -> Vec<String> {
    let renamed = |member: &Crate| {
        let list = member.dependencies.iter().filter_map(|d| {
            let name = d.renamed_to.as_ref()?;
            Some(format!(
                "{} calls {} by another name, {name}",
                member.name, d.name
            ))
        });
        list.collect::<Vec<_>>()
    };
    house.crates.iter().flat_map(renamed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::house::Dependency;

    fn house(uses: &[(&str, &[&str])]) -> House {
        let dependency = |name: &&str| Dependency {
            name: (*name).to_owned(),
            renamed_to: None,
            only_tests: false,
        };
        let member = |(name, used): &(&str, &[&str])| Crate {
            name: (*name).to_owned(),
            folder: (*name).into(),
            dependencies: used.iter().map(dependency).collect(),
        };
        House {
            crates: uses.iter().map(member).collect(),
            files: Vec::new(),
        }
    }

    #[test]
    fn walls_between_rooms_hold() {
        for (user, used) in [
            ("firstlook-agent", "firstlook-store"),
            ("firstlook-uplink", "firstlook-ingest"),
            ("firstlook-ingest", "firstlook-uplink"),
            ("firstlook-collector", "firstlook-pipeline"),
            ("firstlook", "firstlook-collector"),
            ("firstlook", "firstlook-query"),
            ("firstlook-detect", "firstlook-diagnose"),
            ("firstlook-diagnose", "firstlook-incident"),
            ("firstlook-incident", "firstlook-detect"),
            ("firstlook-store", "firstlook-query"),
            ("firstlook-proto", "firstlook-runtime"),
            ("firstlook-model", "firstlook-runtime"),
            ("firstlook-pipeline", "firstlook-proto"),
        ] {
            let house = house(&[(user, &[used]), (used, &[])]);
            assert_eq!(
                use_only_whom_they_may(&house),
                [format!("{user} may not use {used}")]
            );
        }
    }

    #[test]
    fn a_room_in_tests_is_behind_the_same_wall() {
        let mut house = house(&[
            ("firstlook-detect", &["firstlook-store"]),
            ("firstlook-store", &[]),
        ]);
        house.crates[0].dependencies[0].only_tests = true;
        assert_eq!(use_only_whom_they_may(&house).len(), 1);
    }

    #[test]
    fn what_the_table_allows_is_no_complaint() {
        let house = house(&[
            ("firstlook-query", &["firstlook-store", "serde"]),
            ("firstlook-store", &[]),
        ]);
        assert!(use_only_whom_they_may(&house).is_empty());
    }

    #[test]
    fn tests_of_the_whole_may_use_all_and_nobody_uses_them() {
        let mut house = house(&[
            ("firstlook-whole", &["firstlook-desk", "tonic"]),
            ("firstlook-desk", &["firstlook-whole"]),
        ]);
        house.crates[0].folder = "tests/whole".into();
        let told = ["firstlook-desk may not use firstlook-whole"];
        assert_eq!(use_only_whom_they_may(&house), told);
        assert!(foreign_crates_stay_in_their_rooms(&house).is_empty());
    }

    #[test]
    fn the_reference_is_for_tests_only() {
        let mut house = house(&[
            ("firstlook-forward", &["firstlook-reference"]),
            ("firstlook-reference", &[]),
        ]);
        house.crates[1].folder = "tests/reference".into();
        let told = ["firstlook-forward may use firstlook-reference in its tests only"];
        assert_eq!(use_only_whom_they_may(&house), told);
        house.crates[0].dependencies[0].only_tests = true;
        assert!(use_only_whom_they_may(&house).is_empty());
    }

    #[test]
    fn a_crate_without_a_row_is_told() {
        let found = use_only_whom_they_may(&house(&[("firstlook-common", &[])]));
        assert!(found[0].contains("firstlook-common has no row"));
    }

    #[test]
    fn engines_and_the_wire_stay_in_their_rooms() {
        for (user, used) in [
            ("firstlook-query", "fjall"),
            ("firstlook-store", "rusqlite"),
            ("firstlook-detect", "tonic"),
            ("firstlook-query", "prost"),
            ("firstlook-collector", "rustls"),
        ] {
            let mut house = house(&[(user, &[used])]);
            assert_eq!(
                foreign_crates_stay_in_their_rooms(&house),
                [format!("{user} may not use {used}")]
            );
            house.crates[0].dependencies[0].only_tests = true;
            assert!(foreign_crates_stay_in_their_rooms(&house).is_empty());
        }
        assert!(
            foreign_crates_stay_in_their_rooms(&house(&[("firstlook-desk", &["rusqlite"])]))
                .is_empty()
        );
    }

    #[test]
    fn another_name_is_told() {
        let mut house = house(&[("firstlook-query", &["serde"])]);
        assert!(dependencies_keep_their_names(&house).is_empty());
        house.crates[0].dependencies[0].renamed_to = Some("s".to_owned());
        assert_eq!(dependencies_keep_their_names(&house).len(), 1);
    }
}
