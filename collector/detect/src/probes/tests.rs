use firstlook_model::{HostId, SignalKind, Unit};

use super::*;

const PARTS: [Part; 5] = [
    Part::Up,
    Part::Failure,
    Part::Duration,
    Part::Status,
    Part::Expected,
];

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn host() -> ComponentId {
    ComponentId::host(HostId::new("h1").unwrap())
}

fn series(name: &str, part: Part) -> Series {
    Series {
        component: host(),
        signal: probe::signal(name, part),
        unit: Unit::Count,
        kind: SignalKind::Gauge,
    }
}

fn schema(names: &[&str]) -> Vec<Series> {
    let of = |name: &&str| PARTS.map(|part| series(name, part));
    names.iter().flat_map(of).collect()
}

/// A host with the probe `front`, asked at a page that answers with these statuses at these times.
fn looked(looks: &[(i64, u16)]) -> Probes {
    let (cells, over) = cells(&schema(&["front"]));
    assert_eq!((cells.len(), over), (1, 0));
    let mut probes = Probes::default();
    for (secs, status) in looks {
        let up = *status == 200;
        let failure = match up {
            true => 0,
            false => Failure::WrongStatus.code(),
        };
        let row = [
            f64::from(u8::from(up)),
            f64::from(failure),
            0.02,
            f64::from(*status),
            200.0,
        ];
        let between = Columns::from_row(vec![f64::NAN; PARTS.len()]);
        probes.take(&cells[0], &[at(*secs)], &Columns::from_row(row.to_vec()));
        probes.take(&cells[0], &[at(*secs + 1)], &between);
    }
    probes
}

fn text(probes: &Probes, now: i64) -> Option<String> {
    probes.findings(at(now)).pop().map(|f| f.text)
}

#[test]
fn two_bad_looks_in_a_row_raise_and_two_good_ones_clear() {
    let mut looks = vec![(10, 200), (20, 503), (30, 200), (40, 503)];
    assert_eq!(text(&looked(&looks), 41), None);
    looks.push((50, 503));
    let probes = looked(&looks);
    assert_eq!(
        text(&probes, 51).unwrap(),
        "probe front: status 503 instead of 200, 2 looks in a row, usual: up"
    );
    let span = probes.findings(at(55))[0].span;
    assert_eq!(
        (span.after, span.first, span.last),
        (Some(at(30)), at(40), at(55))
    );
    looks.push((60, 200));
    assert!(
        text(&looked(&looks), 61)
            .unwrap()
            .contains("up at the last look")
    );
    looks.push((70, 200));
    assert_eq!(text(&looked(&looks), 71), None);
}

#[test]
fn who_answers_otherwise_than_asked_for_is_not_said_to_be_unanswered() {
    let (cells, _) = cells(&schema(&["front"]));
    for (failure, kind) in [
        (Failure::WrongStatus, kinds::PROBE_FAILED),
        (Failure::NameUnknown, kinds::PROBE_FAILED),
        (Failure::Refused, kinds::PROBE_UNANSWERED),
        (Failure::NoAnswer, kinds::PROBE_UNANSWERED),
    ] {
        let mut probes = Probes::default();
        for secs in [10, 20] {
            let missing = f64::NAN;
            let row = [0.0, f64::from(failure.code()), missing, missing, missing];
            probes.take(&cells[0], &[at(secs)], &Columns::from_row(row.to_vec()));
        }
        assert_eq!(probes.findings(at(20))[0].kind, kind, "{failure:?}");
    }
}

#[test]
fn what_was_found_holds_until_three_looks_are_missing() {
    let probes = looked(&[(100, 503), (700, 503)]);
    assert!(text(&probes, 2_500).is_some());
    assert_eq!(text(&probes, 2_501), None);
}

#[test]
fn bad_looks_with_a_hole_between_are_not_in_a_row() {
    let probes = looked(&[(10, 200), (20, 200), (30, 503), (600, 503)]);
    assert_eq!(text(&probes, 601), None);
}

#[test]
fn what_was_raised_is_not_over_because_nobody_looked_for_a_while() {
    let mut looks = vec![(10, 200), (20, 503), (30, 503), (600, 503)];
    let probes = looked(&looks);
    assert_eq!(probes.findings(at(601))[0].span.first, at(20));
    looks.extend([(610, 200), (620, 200)]);
    assert_eq!(text(&looked(&looks), 621), None);
}

#[test]
fn late_and_repeated_looks_change_nothing() {
    assert_eq!(
        text(&looked(&[(10, 200), (20, 503), (20, 503), (15, 503)]), 21),
        None
    );
}

#[test]
fn one_that_was_never_up_says_so_and_counts_less() {
    let (never, usual) = (
        looked(&[(10, 503), (20, 503)]),
        looked(&[(0, 200), (10, 503), (20, 503)]),
    );
    assert!(text(&never, 20).unwrap().contains("never up"));
    let severity = |probes: &Probes| probes.findings(at(20))[0].severity;
    assert!(severity(&never) < severity(&usual));
}

#[test]
fn a_component_is_attested_while_all_its_probes_are_up() {
    let well = looked(&[(10, 200), (20, 200)]);
    let health = well.health(at(22), 0.9).pop().unwrap();
    assert_eq!(health.last, at(20));
    assert_eq!(
        health.text,
        "probe front: up, answers in 20 ms; a failure would have shown within 20 s"
    );
    // One bad look raises nothing, and attests nothing either.
    let doubtful = looked(&[(10, 200), (20, 503)]);
    assert!(doubtful.health(at(22), 0.9).is_empty() && doubtful.findings(at(22)).is_empty());
    let mut two = well;
    let (of_both, _) = cells(&schema(&["back", "front"]));
    let bad = Columns::from_row([[0.0; 5], [f64::NAN; 5]].concat());
    two.take(&of_both[0], &[at(21)], &bad);
    assert!(two.health(at(22), 0.9).is_empty());
}

#[test]
fn a_probe_that_is_no_longer_declared_is_forgotten() {
    let mut probes = looked(&[(10, 503), (20, 503)]);
    probes.keep(&cells(&schema(&["front"])).0);
    assert!(text(&probes, 21).is_some());
    probes.keep(&cells(&schema(&["other"])).0);
    assert_eq!(text(&probes, 21), None);
}

#[test]
fn probes_beyond_the_limit_are_counted_and_not_followed() {
    let names: Vec<String> = (0..PROBES_LIMIT + 3).map(|n| format!("p{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (cells, over) = cells(&schema(&names));
    assert_eq!((cells.len(), over), (PROBES_LIMIT, 3));
}

#[test]
fn reasons_are_told_with_their_numbers() {
    let look = |failure: Failure, numbers: &[(Part, f64)]| {
        let mut look: Look = Default::default();
        look[Part::Failure.index()] = Some(f64::from(failure.code()));
        for (part, value) in numbers {
            look[part.index()] = Some(*value);
        }
        why(&look)
    };
    for (failure, numbers, told) in [
        (Failure::Refused, &[][..], "connection refused"),
        (
            Failure::FileOld,
            &[(Part::Age, 93_600.0), (Part::Expected, 90_000.0)],
            "contents 26 h old, at most 25 h allowed",
        ),
        (
            Failure::CertificateEnds,
            &[(Part::CertificateDays, 3.4), (Part::Expected, 7.0)],
            "its certificate ends in 3 days, 7 days asked for",
        ),
        (
            Failure::CertificateEnds,
            &[(Part::CertificateDays, -1.9), (Part::Expected, 7.0)],
            "its certificate ended 1 day ago",
        ),
        (
            Failure::ResolverError,
            &[(Part::Status, 3.0)],
            "the resolver answers NXDOMAIN",
        ),
        (Failure::WrongStatus, &[], "status ? instead of ?"),
        (Failure::FileOld, &[(Part::Age, f64::MAX)], "contents"),
    ] {
        let words = look(failure, numbers);
        assert!(words.starts_with(told), "{words}");
    }
    assert!(why(&Default::default()).contains("does not know"));
}

#[test]
fn a_certificate_that_ends_soon_is_a_risk_and_one_that_has_ended_is_not() {
    let parts = [
        Part::Up,
        Part::Failure,
        Part::CertificateDays,
        Part::Expected,
    ];
    let of = parts.map(|part| series("front", part));
    let (cells, _) = cells(&of);
    for (days, kind, gate) in [
        (3.4, kinds::CERTIFICATE_EXPIRING, false),
        (-0.2, kinds::CERTIFICATE_EXPIRED, true),
        (f64::NAN, kinds::CERTIFICATE_EXPIRED, true),
    ] {
        let mut probes = Probes::default();
        for secs in [10, 20] {
            let row = [0.0, f64::from(Failure::CertificateEnds.code()), days, 7.0];
            probes.take(&cells[0], &[at(secs)], &Columns::from_row(row.to_vec()));
        }
        let finding = &probes.findings(at(20))[0];
        assert_eq!((finding.kind, finding.gate), (kind, gate), "{days}");
    }
}
