use firstlook_model::{ConfigReport, ConfigState, GroupName, HostPattern};
use proptest::prelude::*;

use super::*;
use crate::configs::{GROUPS_LIMIT, VERSIONS_LIMIT};
use crate::{HostReport, NewConfig, groups_of};

fn new(group: &str, patterns: &[&str], text: &str) -> NewConfig {
    NewConfig {
        group: GroupName::new(group).unwrap(),
        patterns: patterns
            .iter()
            .map(|p| HostPattern::new(*p).unwrap())
            .collect(),
        text: text.to_owned(),
        reason: "quieter".to_owned(),
        by: "ana".to_owned(),
        at: at(0),
    }
}

fn set(desk: &Desk, group: &str, patterns: &[&str], text: &str) -> u64 {
    let made = desk
        .configs()
        .set(&new(group, patterns, text), "config set", false);
    made.unwrap().0.version
}

fn wanted(desk: &Desk, name: &str) -> Option<(u64, String)> {
    let wanted = desk.configs().wanted(&host(name)).unwrap();
    wanted.map(|wanted| (wanted.version, wanted.text))
}

#[test]
fn a_host_is_wanted_to_run_the_newest_version_of_the_group_that_names_it_most_closely() {
    let (_directory, desk) = desk();
    assert_eq!(wanted(&desk, "web1"), None);
    let all = set(&desk, "all", &["*"], "# all");
    let web = set(&desk, "web", &["web*", "shop"], "# web");
    let one = set(&desk, "one", &["web1"], "# one");
    let other = set(&desk, "also-web", &["web*"], "# also");
    for (name, version) in [("web1", one), ("web2", other), ("shop", web), ("db1", all)] {
        assert_eq!(wanted(&desk, name).unwrap().0, version, "{name}");
    }
    let newest = desk.configs().newest().unwrap();
    let fitting: Vec<_> = groups_of(&host("web1"), &newest)
        .iter()
        .map(|config| config.group.to_string())
        .collect();
    assert_eq!(fitting, ["one", "also-web", "web", "all"]);
    let next = set(&desk, "web", &[], "# web, again");
    assert_eq!(
        wanted(&desk, "shop"),
        Some((next, "# web, again".to_owned()))
    );
}

#[test]
fn what_is_so_already_makes_no_version_and_a_group_needs_hosts() {
    let (_directory, desk) = desk();
    let configs = desk.configs();
    let nobody = configs.set(&new("web", &[], "# a"), "config set", false);
    assert!(matches!(nobody, Err(DeskError::NoPatterns { .. })));
    let first = set(&desk, "web", &["web*"], "# a");
    for patterns in [&["web*"][..], &[]] {
        let same = configs.set(&new("web", patterns, "# a"), "config set", false);
        let (same, known) = same.unwrap();
        assert_eq!((same.version, known), (first, true));
    }
    let again = configs.set(&new("web", &[], "# a"), "config revert", true);
    let (again, known) = again.unwrap();
    assert!(again.version > first && !known);
    assert!(set(&desk, "web", &["web1"], "# a") > again.version);
    let acts: Vec<_> = desk.audit().list(9).unwrap();
    let acts: Vec<_> = acts.iter().map(|e| (&*e.what, &*e.detail)).collect();
    assert_eq!(acts.len(), 3, "{acts:?}");
    assert_eq!(acts[2], ("config set", "web version 1: quieter"));
    assert_eq!(acts[1].0, "config revert");
}

#[test]
fn a_removed_group_is_gone_and_its_numbers_are_not_given_again() {
    let (_directory, desk) = desk();
    let first = set(&desk, "web", &["*"], "# a");
    let entry = AuditEntry {
        time: at(1),
        who: "ana".to_owned(),
        what: "config remove".to_owned(),
        result: AuditOutcome::Done,
        detail: "web".to_owned(),
    };
    let web = GroupName::new("web").unwrap();
    desk.configs().remove(&web, &entry).unwrap();
    for gone in [
        desk.configs().remove(&web, &entry).err(),
        desk.configs().history(&web).err(),
    ] {
        assert!(matches!(gone, Some(DeskError::NotFound { .. })));
    }
    assert_eq!(desk.audit().list(9).unwrap()[0], entry);
    assert_eq!(wanted(&desk, "h1"), None);
    assert!(set(&desk, "web", &["*"], "# a") > first);
}

#[test]
fn groups_versions_and_texts_have_limits() {
    let (_directory, desk) = desk();
    for number in 0..VERSIONS_LIMIT + 5 {
        set(&desk, "web", &["*"], &format!("# {number}"));
    }
    let kept = desk
        .configs()
        .history(&GroupName::new("web").unwrap())
        .unwrap();
    assert_eq!(kept.len(), VERSIONS_LIMIT as usize);
    assert_eq!(kept[0].text, format!("# {}", VERSIONS_LIMIT + 4));
    for number in 1..GROUPS_LIMIT {
        set(&desk, &format!("g{number}"), &["*"], "# a");
    }
    let configs = desk.configs();
    let over = [
        configs.set(&new("more", &["*"], "# a"), "config set", false),
        configs.set(&new("web", &["*"; 65], "# a"), "config set", false),
        configs.set(
            &new("web", &["*"], &"#".repeat(32_769)),
            "config set",
            false,
        ),
    ];
    let [groups, patterns, text] = over.map(Result::unwrap_err);
    for error in [groups, patterns] {
        assert!(matches!(error, DeskError::TooMany { .. }), "{error}");
    }
    assert!(matches!(text, DeskError::TooLong { .. }), "{text}");
}

#[test]
fn what_an_agent_says_goes_over_what_it_said_before_and_survives() {
    let (directory, desk) = desk();
    let mut heard = HostReport {
        host: host("h1"),
        report: ConfigReport {
            version: 7,
            state: ConfigState::OnTrial,
            why: String::new(),
            running: 7,
        },
        reported: at(1),
    };
    desk.configs().report(&heard).unwrap();
    for state in ConfigState::ALL {
        heard.report.state = state;
        heard.report.why = "it costs more".to_owned();
        heard.report.running = 3;
        desk.configs().report(&heard).unwrap();
        assert_eq!(desk.configs().reports().unwrap(), [heard.clone()]);
    }
    drop(desk);
    let desk = Desk::open(directory.path().join("desk.db")).unwrap();
    assert_eq!(desk.configs().reports().unwrap(), [heard]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]
    #[test]
    fn the_group_that_counts_is_one_that_fits_and_none_fits_more_closely(
        groups in proptest::collection::vec(proptest::collection::vec("[ab*]{1,4}", 1..4), 1..6),
        name in "[ab]{1,4}",
    ) {
        let (_directory, desk) = desk();
        for (number, patterns) in groups.iter().enumerate() {
            let patterns: Vec<_> = patterns.iter().map(String::as_str).collect();
            set(&desk, &format!("g{number}"), &patterns, "# a");
        }
        let newest = desk.configs().newest().unwrap();
        let host = host(&name);
        let closest = |c: &crate::ConfigVersion| {
            c.patterns.iter().filter(|p| p.fits(&host)).map(HostPattern::closeness).max()
        };
        let fitting = groups_of(&host, &newest);
        let expected = newest.iter().filter_map(closest).max();
        prop_assert_eq!(fitting.first().and_then(|c| closest(c)), expected);
        prop_assert_eq!(fitting.len(), newest.iter().filter_map(closest).count());
    }
}
