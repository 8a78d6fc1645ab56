use firstlook_model::{
    ComponentId, Evidence, Incident, IncidentId, IncidentState, Suspect, Verdict,
};
use proptest::prelude::*;

use super::*;

fn incident(id: u32, decibans: f64) -> Incident {
    let suspect = Suspect {
        component: ComponentId::host(host("h1")),
        fault: "disk-full".to_owned(),
        summary: "h1 is full".to_owned(),
        decibans,
        probability: 0.1 + 0.2,
        since: at(1),
        hurts: Vec::new(),
        evidence_for: vec![Evidence {
            weight_db: decibans / 3.0,
            text: "it says so".to_owned(),
            reference: None,
        }],
        evidence_against: Vec::new(),
    };
    Incident {
        id: IncidentId(id),
        state: IncidentState::Open,
        began: at(1),
        opened: at(i64::from(id)),
        closed: None,
        title: "h1 is full".to_owned(),
        symptoms: Vec::new(),
        verdict: Verdict {
            reference_time: at(9),
            suspects: vec![suspect],
            ruled_out: Vec::new(),
            blind_spots: Vec::new(),
            changes: Vec::new(),
            next_look: None,
            hesitation: None,
        },
        timeline: Vec::new(),
    }
}

#[test]
fn numbers_are_never_given_twice() {
    let (directory, desk) = desk();
    assert_eq!(desk.incidents().next_id().unwrap(), IncidentId(1));
    assert_eq!(desk.incidents().next_id().unwrap(), IncidentId(2));
    drop(desk);
    let desk = Desk::open(directory.path().join("desk.db")).unwrap();
    assert_eq!(desk.incidents().next_id().unwrap(), IncidentId(3));
}

#[test]
fn an_incident_is_replaced_and_its_verdicts_are_kept() {
    let (_directory, desk) = desk();
    let incidents = desk.incidents();
    let first = incident(1, 10.0);
    let one = incidents.upsert(&first, Some("opened")).unwrap();
    assert_eq!(incidents.upsert(&incident(1, 11.0), None).unwrap(), None);
    incidents.upsert(&incident(2, 1.0), Some("opened")).unwrap();
    let last = incident(1, 12.0);
    let two = incidents.upsert(&last, Some("new evidence")).unwrap();
    assert_eq!(incidents.get(IncidentId(1)).unwrap(), last);
    let verdicts = incidents.verdicts(IncidentId(1)).unwrap();
    assert_eq!(verdicts.len(), 2);
    assert_eq!((Some(verdicts[0].id), verdicts[0].parent), (one, None));
    assert_eq!((Some(verdicts[1].id), verdicts[1].parent), (two, one));
    assert_eq!(verdicts[1].reason, "new evidence");
    assert_eq!(verdicts[1].verdict, last.verdict);
    assert_eq!(verdicts[0].verdict, first.verdict);
    assert!(incidents.verdicts(IncidentId(9)).unwrap().is_empty());
    assert!(matches!(
        incidents.get(IncidentId(9)),
        Err(DeskError::NotFound { .. })
    ));
}

#[test]
fn lists_tell_open_ones_oldest_first_and_all_newest_first() {
    let (_directory, desk) = desk();
    let incidents = desk.incidents();
    for id in 1..=3 {
        incidents.upsert(&incident(id, 1.0), None).unwrap();
    }
    let mut closed = incident(2, 1.0);
    closed.state = IncidentState::Closed;
    closed.closed = Some(at(50));
    incidents.upsert(&closed, None).unwrap();
    let ids = |list: Vec<Incident>| list.iter().map(|i| i.id.0).collect::<Vec<_>>();
    assert_eq!(ids(incidents.list_open().unwrap()), [1, 3]);
    assert_eq!(ids(incidents.list(10).unwrap()), [3, 2, 1]);
    assert_eq!(ids(incidents.list(2).unwrap()), [3, 2]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_weight_reads_back_to_the_bit(decibans in any::<f64>().prop_filter("finite", |x| x.is_finite())) {
        let (_directory, desk) = desk();
        let wrote = incident(1, decibans);
        desk.incidents().upsert(&wrote, None).unwrap();
        let read = desk.incidents().get(IncidentId(1)).unwrap();
        let bits = |i: &Incident| i.verdict.suspects[0].decibans.to_bits();
        prop_assert_eq!(bits(&read), bits(&wrote));
    }
}
