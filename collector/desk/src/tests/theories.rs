use firstlook_model::{IncidentId, Suspect};

use super::*;
use crate::Theory;
use crate::theories::THEORIES_LIMIT;

fn theory(incident: u32, fault: &str, decibans: f64, by: &str, second: i64) -> Theory {
    Theory {
        incident: IncidentId(incident),
        suspect: Suspect {
            component: "service:db1/pg.service".parse().unwrap(),
            fault: fault.to_owned(),
            summary: "it".to_owned(),
            decibans,
            probability: 0.25,
            since: at(0),
            hurts: vec![],
            evidence_for: vec![],
            evidence_against: vec![],
        },
        added: at(second),
        added_by: by.to_owned(),
    }
}

#[test]
fn a_theory_is_whose_it_was_first_with_the_weight_of_the_last_time() {
    let (_directory, desk) = desk();
    let theories = desk.theories();
    let first = theory(7, "service-down", 3.0, "ana", 10);
    assert_eq!(theories.add(&first).unwrap(), None);
    let other = theory(7, "bad-deploy", 1.0, "ben", 20);
    assert_eq!(theories.add(&other).unwrap(), None);
    theories
        .add(&theory(8, "service-down", 9.0, "ben", 5))
        .unwrap();
    let again = theory(7, "service-down", -4.0, "ben", 30);
    assert_eq!(theories.add(&again).unwrap(), Some(first.clone()));
    let kept = Theory {
        suspect: again.suspect,
        ..first
    };
    assert_eq!(theories.list(IncidentId(7)).unwrap(), [kept, other]);
    assert_eq!(theories.list(IncidentId(9)).unwrap(), []);
}

#[test]
fn an_incident_has_a_limited_number_of_theories_and_known_ones_are_weighed_all_the_same() {
    let (_directory, desk) = desk();
    let theories = desk.theories();
    for number in 0..THEORIES_LIMIT {
        let new = theory(7, &format!("fault-{number}"), 0.0, "ana", 10);
        assert_eq!(theories.add(&new).unwrap(), None);
    }
    let refused = theories.add(&theory(7, "one-more", 0.0, "ana", 10));
    assert!(
        matches!(refused, Err(DeskError::TooMany { .. })),
        "{refused:?}"
    );
    assert!(
        theories
            .add(&theory(7, "fault-0", 1.0, "ana", 11))
            .unwrap()
            .is_some()
    );
    assert_eq!(
        theories
            .add(&theory(8, "one-more", 0.0, "ana", 10))
            .unwrap(),
        None
    );
}
