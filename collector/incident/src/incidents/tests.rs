use firstlook_model::symptom::{families, kinds};
use firstlook_model::{Incident, Symptom};
use proptest::prelude::*;

use scene::*;

use super::*;
use crate::change::Reason;

mod scene;

fn only(changes: &[IncidentChange]) -> &Incident {
    assert_eq!(changes.len(), 1, "{changes:#?}");
    changes[0].incident()
}

fn told(incident: &Incident) -> Vec<&str> {
    incident
        .timeline
        .iter()
        .map(|entry| entry.text.as_str())
        .collect()
}

#[test]
fn a_quiet_world_opens_nothing() {
    assert_eq!(Desk::new().run(0..60, &Scene::quiet()), []);
}

#[test]
fn a_group_opens_one_incident_with_title_and_timeline() {
    let mut desk = Desk::new();
    let scene = Scene::quiet()
        .group(&[failed(APP)])
        .suspect(APP, "service-down", 0.95);
    let changes = desk.step(1, &scene);
    assert!(matches!(changes[..], [IncidentChange::Opened(_)]));
    let incident = only(&changes);
    assert_eq!(incident.id, IncidentId(1));
    assert_eq!(
        incident.title,
        "service-down of app2/shop.service: in words"
    );
    assert_eq!((incident.began, incident.opened), (at(0), at(1)));
    assert_eq!(
        told(incident),
        [
            "opened: app2/shop.service: unit.failed seen",
            "leading suspect: service-down of app2/shop.service: in words"
        ]
    );
}

#[test]
fn without_a_suspect_the_title_is_the_gravest_symptom() {
    let mut desk = Desk::new();
    let mild = Symptom {
        severity: 0.2,
        ..failed(EDGE)
    };
    let changes = desk.step(1, &Scene::quiet().group(&[mild, failed(APP)]));
    assert_eq!(only(&changes).title, "app2/shop.service: unit.failed seen");
}

#[test]
fn a_suspect_that_the_verdict_hesitates_about_is_named_when_it_has_led_for_a_while() {
    let doubtful = |place| {
        Scene::quiet()
            .group(&[failed(APP)])
            .suspect(place, "disk-full", 0.5)
    };
    let mut desk = Desk::new();
    let opened = desk.step(1, &doubtful(EDGE));
    assert_eq!(only(&opened).title, "app2/shop.service: unit.failed seen");
    assert_eq!(told(only(&opened)).len(), 1);
    let sure = Scene::quiet()
        .group(&[failed(APP)])
        .suspect(DB, "disk-full", 0.95);
    let named = desk.step(2, &sure);
    assert!(only(&named).title.starts_with("disk-full of db1"));

    let mut desk = Desk::new();
    let changes = desk.run(1..10, &doubtful(EDGE));
    let last = changes.last().unwrap().incident();
    assert!(
        last.title.starts_with("disk-full of edge1"),
        "{}",
        last.title
    );
}

#[test]
fn later_symptoms_join_the_same_incident() {
    let mut desk = Desk::new();
    desk.step(1, &Scene::quiet().group(&[failed(APP)]));
    let changes = desk.step(2, &Scene::quiet().group(&[failed(APP), lost(EDGE, APP)]));
    let incident = only(&changes);
    assert!(matches!(
        changes[0],
        IncidentChange::Updated {
            reason: Reason::NewSymptoms,
            ..
        }
    ));
    assert_eq!((incident.id, incident.symptoms.len()), (IncidentId(1), 2));
    assert_eq!(told(incident)[1], "edge1/haproxy.service: edge.lost seen");
}

#[test]
fn an_edge_towards_a_place_belongs_to_its_incident() {
    let mut desk = Desk::new();
    desk.step(1, &Scene::quiet().group(&[failed(APP)]));
    let changes = desk.step(2, &Scene::quiet().group(&[lost(EDGE, APP)]));
    assert_eq!(only(&changes).id, IncidentId(1));
}

#[test]
fn unrelated_groups_are_separate_incidents() {
    let mut desk = Desk::new();
    let changes = desk.step(
        1,
        &Scene::quiet().group(&[failed(APP)]).group(&[failed(DB)]),
    );
    assert_eq!(changes.len(), 2);
    assert_eq!(desk.incidents.open().count(), 2);
}

#[test]
fn it_closes_after_the_settling_time_of_measured_absence() {
    let mut desk = Desk::new();
    desk.step(1, &Scene::quiet().group(&[failed(APP)]));
    assert_eq!(desk.run(2..22, &Scene::quiet()), []);
    let changes = desk.step(22, &Scene::quiet());
    assert!(matches!(changes[..], [IncidentChange::Closed(_)]));
    let incident = only(&changes);
    assert_eq!(
        (incident.state, incident.closed),
        (IncidentState::Closed, Some(at(22)))
    );
    assert_eq!(
        told(incident).last(),
        Some(&"closed: no symptom for 20 s, while measured")
    );
    assert_eq!(desk.incidents.open().count(), 0);
}

#[test]
fn keeps_incident_open_while_host_is_silent() {
    let mut desk = Desk::new();
    desk.step(1, &Scene::quiet().group(&[failed(APP)]));
    assert_eq!(desk.run(2..600, &Scene::quiet().unheard(APP)), []);
    assert_eq!(desk.incidents.open().count(), 1);
    assert_eq!(desk.run(600..621, &Scene::quiet()).len(), 1);
}

#[test]
fn a_host_that_was_shut_out_keeps_no_incident_open_until_it_is_let_in_again() {
    let unheard = Scene::quiet().unheard(APP);
    let host = HostId::new("app2").unwrap();
    let mut desk = Desk::new();
    desk.step(1, &Scene::quiet().group(&[failed(APP)]));
    desk.incidents.shut_out(&host);
    assert_eq!(desk.run(2..20, &unheard), []);
    desk.incidents.let_in(&host);
    assert_eq!(desk.run(20..100, &unheard), []);
    desk.incidents.shut_out(&host);
    let changes = desk.run(100..121, &unheard);
    let end = "closed: no symptom for 20 s, and a host of it was revoked";
    assert_eq!(told(only(&changes)).last(), Some(&end));
}

#[test]
fn a_silent_agent_or_a_blind_spot_is_not_recovery() {
    let silent = symptom("host:app2", kinds::AGENT_SILENT, families::HEARTBEAT);
    let blind = Scene {
        blind: vec![APP],
        ..Scene::quiet()
    };
    for scene in [Scene::quiet().group(&[silent]), blind] {
        let mut desk = Desk::new();
        desk.step(1, &Scene::quiet().group(&[failed(APP)]));
        let changes = desk.run(2..200, &scene);
        assert!(
            !changes
                .iter()
                .any(|c| matches!(c, IncidentChange::Closed(_)))
        );
    }
}

#[test]
fn a_symptom_that_flaps_stays_one_incident_and_one_line() {
    let mut desk = Desk::new();
    let sick = Scene::quiet()
        .group(&[failed(APP)])
        .suspect(APP, "service-down", 0.95);
    let mut changes = Vec::new();
    for second in 0..300 {
        let well = Scene::quiet();
        changes.extend(desk.step(second, if second % 15 < 3 { &sick } else { &well }));
    }
    let opened = changes
        .iter()
        .filter(|c| matches!(c, IncidentChange::Opened(_)))
        .count();
    assert_eq!((opened, desk.last_id), (1, 1));
    assert_eq!(desk.incidents.open().next().unwrap().timeline.len(), 2);
    // One refresh for each reappearance at most.
    assert!(changes.len() <= 21, "{}", changes.len());
}

#[test]
fn suspects_that_alternate_do_not_fill_the_timeline() {
    let mut desk = Desk::new();
    let app = Scene::quiet()
        .group(&[failed(APP)])
        .suspect(APP, "service-down", 0.5);
    let db = Scene::quiet()
        .group(&[failed(APP)])
        .suspect(DB, "service-hung", 0.5);
    for second in 0..60 {
        desk.step(second, if second % 2 == 0 { &app } else { &db });
    }
    assert_eq!(desk.incidents.open().next().unwrap().timeline.len(), 2);
}

#[test]
fn a_lasting_new_leader_is_told_once() {
    let mut desk = Desk::new();
    desk.run(
        0..5,
        &Scene::quiet()
            .group(&[failed(APP)])
            .suspect(APP, "service-down", 0.6),
    );
    let db = Scene::quiet()
        .group(&[failed(APP)])
        .suspect(DB, "disk-full", 0.9);
    let changes = desk.run(5..30, &db);
    let leading = |c: &&IncidentChange| {
        matches!(
            c,
            IncidentChange::Updated {
                reason: Reason::LeadingSuspect,
                ..
            }
        )
    };
    let led: Vec<_> = changes.iter().filter(leading).collect();
    assert_eq!(led.len(), 1);
    assert!(led[0].incident().title.starts_with("disk-full of db1"));
    assert_eq!(told(led[0].incident()).len(), 3);
}

#[test]
fn the_same_symptoms_after_closing_are_a_new_incident() {
    let mut desk = Desk::new();
    let sick = Scene::quiet().group(&[failed(APP)]);
    desk.step(1, &sick);
    desk.run(2..40, &Scene::quiet());
    let changes = desk.step(40, &sick);
    assert!(matches!(changes[..], [IncidentChange::Opened(_)]));
    assert_eq!(only(&changes).id, IncidentId(2));
}

#[test]
fn incidents_that_turn_out_to_be_one_are_merged_into_the_older() {
    let mut desk = Desk::new();
    desk.step(1, &Scene::quiet().group(&[failed(APP)]));
    desk.step(
        2,
        &Scene::quiet().group(&[failed(APP)]).group(&[failed(DB)]),
    );
    let changes = desk.step(
        3,
        &Scene::quiet().group(&[failed(APP), failed(DB), lost(APP, DB)]),
    );
    let [
        IncidentChange::Closed(part),
        IncidentChange::Updated {
            incident: whole,
            reason,
        },
    ] = &changes[..]
    else {
        panic!("{changes:#?}");
    };
    assert_eq!((part.id, whole.id), (IncidentId(2), IncidentId(1)));
    assert_eq!(*reason, Reason::Merged(IncidentId(2)));
    assert_eq!(told(part).last(), Some(&"closed: it is part of INC-0001"));
    assert_eq!(whole.symptoms.len(), 3);
}

#[test]
fn an_abstaining_verdict_does_not_forget_the_suspect() {
    let mut desk = Desk::new();
    desk.step(
        1,
        &Scene::quiet()
            .group(&[failed(APP)])
            .suspect(APP, "service-down", 0.95),
    );
    desk.step(2, &Scene::quiet().group(&[failed(APP)]));
    assert_eq!(
        desk.incidents.open().next().unwrap().verdict.suspects.len(),
        1
    );
}

#[test]
fn a_suspect_that_what_came_to_light_speaks_against_is_taken_back() {
    let mut desk = Desk::new();
    let lasting = Symptom {
        last_seen: at(30),
        ..failed(APP)
    };
    let blamed = Scene::quiet()
        .group(std::slice::from_ref(&lasting))
        .suspect(APP, "service-down", 0.95);
    desk.run(0..3, &blamed);
    let abstains = Scene::quiet().group(&[lasting]);
    desk.run(3..11, &abstains);
    let suspects = |desk: &Desk| desk.incidents.open().next().unwrap().verdict.suspects.len();
    assert_eq!(suspects(&desk), 1);
    desk.run(11..12, &blamed);
    desk.run(12..20, &abstains);
    assert_eq!(suspects(&desk), 1, "the doubt began anew");
    let changes = desk.step(20, &abstains);
    let incident = only(&changes);
    assert_eq!(incident.verdict.suspects, []);
    assert_eq!(incident.title, "app2/shop.service: unit.failed seen");
    assert_eq!(
        told(incident).last(),
        Some(
            &"no suspect any more: what was seen since speaks against service-down of app2/shop.service: in words"
        )
    );
    desk.run(21..25, &blamed);
    let incident = desk.incidents.open().next().unwrap();
    assert_eq!(
        incident.title,
        "service-down of app2/shop.service: in words"
    );
}

#[test]
fn what_lingers_after_a_repair_does_not_change_the_suspect() {
    let mut desk = Desk::new();
    let all = [failed(APP), lost(EDGE, APP), lost(DB, APP)];
    desk.run(
        0..5,
        &Scene::quiet()
            .group(&all)
            .suspect(APP, "service-down", 0.95),
    );
    let lingering = Scene::quiet()
        .group(&all[1..2])
        .suspect(EDGE, "unknown-fault", 0.6);
    desk.run(5..15, &lingering);
    let incident = desk.incidents.open().next().unwrap();
    assert_eq!(incident.verdict.suspects[0].component, id(APP));
}

#[test]
fn a_surer_verdict_is_an_update_and_the_same_one_is_not() {
    let mut desk = Desk::new();
    let scene = |p| {
        Scene::quiet()
            .group(&[failed(APP)])
            .suspect(APP, "service-down", p)
    };
    desk.step(1, &scene(0.72));
    assert_eq!(desk.step(2, &scene(0.73)), []);
    let changes = desk.step(3, &scene(0.98));
    assert!(matches!(
        changes[..],
        [IncidentChange::Updated {
            reason: Reason::Verdict,
            ..
        }]
    ));
}

#[test]
fn restored_incidents_go_on_under_their_number() {
    let mut desk = Desk::new();
    let sick = Scene::quiet()
        .group(&[failed(APP)])
        .suspect(APP, "service-down", 0.95);
    desk.step(1, &sick);
    let stored: Vec<Incident> = desk.incidents.open().cloned().collect();
    desk.incidents = Incidents::restored(Config::default(), stored);
    assert_eq!(desk.step(2, &sick), []);
    assert_eq!(desk.run(3..30, &Scene::quiet()).len(), 1);
    assert_eq!(desk.last_id, 1);
}

#[test]
fn a_step_back_in_time_changes_nothing() {
    let mut desk = Desk::new();
    desk.step(100, &Scene::quiet().group(&[failed(APP)]));
    assert_eq!(desk.step(50, &Scene::quiet().group(&[failed(DB)])), []);
    assert_eq!(desk.last_id, 1);
}

proptest! {
    /// Whatever is seen in whatever order: numbers are given once, nothing closed is ever updated, and
    /// open incidents are exactly those opened and not closed.
    #[test]
    fn every_incident_opens_once_and_closes_at_most_once(
        steps in prop::collection::vec((0u8..8, any::<bool>(), 1i64..30), 1..60)
    ) {
        let mut desk = Desk::new();
        let (mut second, mut open) = (0, BTreeSet::new());
        for (present, heard, pause) in steps {
            second += pause;
            let mut scene = if heard { Scene::quiet() } else { Scene::quiet().unheard(APP) };
            for (bit, place) in [APP, EDGE, DB].into_iter().enumerate() {
                if present & (1 << bit) != 0 {
                    scene = scene.group(&[failed(place)]);
                }
            }
            for change in desk.step(second, &scene) {
                let id = change.incident().id;
                match change {
                    IncidentChange::Opened(_) => prop_assert!(open.insert(id)),
                    IncidentChange::Updated { .. } => prop_assert!(open.contains(&id)),
                    IncidentChange::Closed(incident) => {
                        prop_assert!(open.remove(&id));
                        prop_assert_eq!(incident.closed, Some(at(second)));
                    }
                }
            }
            let now_open: Vec<_> = desk.incidents.open().map(|incident| incident.id).collect();
            prop_assert_eq!(now_open, open.iter().copied().collect::<Vec<_>>());
        }
    }
}
