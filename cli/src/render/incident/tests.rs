use firstlook_model::{
    BlindSpot, Change, ChangeKind, Cleared, ComponentId, IncidentId, NextLook, RankedChange,
    TimeRange,
};

use super::*;

fn at(clock: &str) -> Timestamp {
    Timestamp::parse(&format!("2026-11-23T{clock}Z")).unwrap()
}

fn component(text: &str) -> ComponentId {
    text.parse().unwrap()
}

fn fact(weight_db: f64, text: &str) -> Evidence {
    let range = TimeRange::new(at("14:00:00"), at("14:04:00"));
    let reference = Reference::Log {
        component: component("host:db1"),
        template: None,
        range,
    };
    Evidence {
        weight_db,
        text: text.to_owned(),
        reference: Some(reference),
    }
}

fn incident() -> Incident {
    let suspect = Suspect {
        component: component("filesystem:db1/var/lib/postgresql"),
        fault: "disk-full".into(),
        summary: "no space left on db1/var/lib/postgresql".into(),
        decibans: 27.0,
        probability: 0.998,
        since: at("14:03:04"),
        hurts: vec![component("service:db1/postgresql@15-main.service")],
        evidence_for: vec![
            fact(
                20.0,
                "0 B of 229 MiB available since 14:03:04 (usual 180 MiB), none of it reserved",
            ),
            fact(
                10.0,
                "12 lines say \u{202e}\"No space left on device\"\x1b[2J",
            ),
            Evidence {
                weight_db: -3.0,
                text: "prior".into(),
                reference: None,
            },
        ],
        evidence_against: vec![],
    };
    Incident {
        id: IncidentId(42),
        state: IncidentState::Open,
        began: at("14:03:04"),
        opened: at("14:03:07"),
        closed: None,
        title: "no space left on db1/var/lib/postgresql".into(),
        symptoms: vec![],
        verdict: Verdict {
            reference_time: at("14:04:00"),
            suspects: vec![suspect],
            ruled_out: vec![Cleared {
                component: component("service:app1/shop.service"),
                cleared_by: vec![fact(
                    -12.0,
                    "unit active for 2h, 0 restarts; would have shown one",
                )],
            }],
            blind_spots: vec![BlindSpot {
                component: component("endpoint:192.0.2.9:443"),
                text: "no agent sees into it".into(),
            }],
            changes: vec![RankedChange {
                change: Change {
                    id: "c1".into(),
                    time: at("13:58:00"),
                    component: component("service:app1/shop.service"),
                    kind: ChangeKind::Restart,
                    text: "restarted".into(),
                    detail: String::new(),
                },
                before_onset_s: 304.0,
            }],
            next_look: Some(NextLook {
                component: component("host:db1"),
                text: "which files grew".into(),
                command: "firstlook snapshot take db1".into(),
            }),
            hesitation: None,
        },
        timeline: vec![],
    }
}

#[test]
fn reads_well_at_80_columns() {
    let page = screen(&incident(), at("14:05:48"), Style { color: false });
    assert!(
        page.lines().all(|line| line.chars().count() <= 80),
        "{page}"
    );
    insta::assert_snapshot!(page);
}

#[test]
fn numbers_on_the_screen_open_the_same_facts() {
    let incident = incident();
    let page = screen(&incident, at("14:05:48"), Style { color: false });
    let count = openable(&incident.verdict).len();
    assert!(page.contains(&format!("[{count}]")));
    assert!(!page.contains(&format!("[{}]", count + 1)));
}

#[test]
fn nothing_from_a_host_reaches_the_terminal_raw() {
    let page = screen(&incident(), at("14:05:48"), Style { color: false });
    assert!(!page.chars().any(|c| c != '\n' && c.is_control()));
    assert!(!page.contains('\u{202e}'));
}
