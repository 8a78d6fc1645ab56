//! Tests of the desk over its public face, and of its file.

mod configs;
mod file;
mod incidents;
mod theories;

use firstlook_model::{Change, ChangeKind, HostId, Manifest, SnapshotId, TimeRange, Timestamp};

use crate::{
    Announcement, AuditEntry, AuditOutcome, Certificate, Desk, DeskError, SnapshotState,
    StoredSnapshot, TokenHash, TokenId, TokenRefusal,
};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(1_700_000_000 + seconds)
}

fn host(name: &str) -> HostId {
    HostId::new(name).unwrap()
}

fn desk() -> (tempfile::TempDir, Desk) {
    let directory = tempfile::tempdir().unwrap();
    let desk = Desk::open(directory.path().join("desk.db")).unwrap();
    (directory, desk)
}

fn certificate(serial: &str) -> Certificate {
    Certificate {
        serial: serial.to_owned(),
        fingerprint: format!("sha256 of {serial}"),
        expires: at(86_400),
    }
}

fn make(desk: &Desk, secret: &str, bound_to: Option<&HostId>) -> TokenHash {
    let hash = TokenHash::of(secret.as_bytes());
    desk.tokens()
        .create(hash, "root", at(0), at(600), bound_to)
        .unwrap();
    hash
}

fn refusal(outcome: Result<crate::JoinToken, DeskError>) -> TokenRefusal {
    match outcome {
        Err(DeskError::Token(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_token_lets_one_host_in_once() {
    let (_directory, desk) = desk();
    let hash = make(&desk, "secret", None);
    let token = desk
        .tokens()
        .redeem(hash, &host("h1"), &certificate("1"), at(10))
        .unwrap();
    assert_eq!(token.used, Some((host("h1"), at(10))));
    for again in ["h1", "h2"] {
        let refused = refusal(
            desk.tokens()
                .redeem(hash, &host(again), &certificate("2"), at(11)),
        );
        assert_eq!(
            refused,
            TokenRefusal::Used {
                by: host("h1"),
                at: at(10)
            }
        );
    }
    assert_eq!(desk.tokens().list().unwrap(), [token]);
}

#[test]
fn tokens_are_refused_for_every_other_reason_too() {
    let (_directory, desk) = desk();
    let tokens = desk.tokens();
    let unknown = TokenHash::of(b"never made");
    assert_eq!(
        refusal(tokens.redeem(unknown, &host("h1"), &certificate("1"), at(1))),
        TokenRefusal::Unknown
    );
    let late = make(&desk, "late", None);
    let refused = refusal(tokens.redeem(late, &host("h1"), &certificate("1"), at(600)));
    assert_eq!(refused, TokenRefusal::Expired(at(600)));
    let bound = make(&desk, "bound", Some(&host("h1")));
    let refused = refusal(tokens.redeem(bound, &host("h2"), &certificate("1"), at(1)));
    assert_eq!(refused, TokenRefusal::Bound(host("h1")));
    assert!(
        tokens
            .redeem(bound, &host("h1"), &certificate("1"), at(1))
            .is_ok()
    );
    let withdrawn = make(&desk, "withdrawn", None);
    tokens.revoke(withdrawn.id(), at(5)).unwrap();
    tokens.revoke(withdrawn.id(), at(6)).unwrap();
    let refused = refusal(tokens.redeem(withdrawn, &host("h1"), &certificate("1"), at(7)));
    assert_eq!(refused, TokenRefusal::Revoked(at(5)));
    assert!(matches!(
        tokens.revoke(bound.id(), at(8)),
        Err(DeskError::Token(_))
    ));
    assert!(matches!(
        tokens.revoke(unknown.id(), at(8)),
        Err(DeskError::NotFound { .. })
    ));
    let twice = tokens.create(late, "root", at(0), at(600), None);
    assert!(matches!(twice, Err(DeskError::Exists { .. })));
    assert_eq!(tokens.forget_expired(at(601)).unwrap(), 3);
    assert!(tokens.list().unwrap().is_empty());
}

#[test]
fn of_many_that_use_a_token_at_once_exactly_one_wins() {
    let (directory, first) = desk();
    // Half over one connection, half over another, as another process would.
    let second = Desk::open(directory.path().join("desk.db")).unwrap();
    for round in 0..10 {
        let hash = make(&first, &format!("secret {round}"), None);
        let gate = std::sync::Barrier::new(8);
        let won = std::thread::scope(|scope| {
            let tasks: Vec<_> = (0..8)
                .map(|number| {
                    let desk = if number % 2 == 0 { &first } else { &second };
                    let gate = &gate;
                    scope.spawn(move || {
                        gate.wait();
                        match desk.tokens().redeem(
                            hash,
                            &host(&format!("h{round}-{number}")),
                            &certificate("1"),
                            at(1),
                        ) {
                            Ok(_) => true,
                            Err(DeskError::Token(TokenRefusal::Used { .. })) => false,
                            Err(other) => panic!("{other}"),
                        }
                    })
                })
                .collect();
            tasks
                .into_iter()
                .map(|t| t.join().unwrap())
                .filter(|won| *won)
                .count()
        });
        assert_eq!(won, 1, "in round {round}");
    }
}

#[test]
fn token_names_read_back_and_hide_the_hash() {
    let hash = TokenHash::of(b"secret");
    let name = hash.id().to_string();
    assert_eq!(name.parse::<TokenId>().unwrap(), hash.id());
    // Source: sha256sum of "secret".
    assert_eq!(name, "2bb80d537b1da3e3");
    assert!(!format!("{hash:?}").contains("8bd30361e855686298a5"));
    for bad in [
        "",
        "2bb80d537b1da3e",
        "+bb80d537b1da3e3",
        "2bb80d537b1da3e3a",
    ] {
        assert!(bad.parse::<TokenId>().is_err(), "{bad:?} was accepted");
    }
}

/// Lets a host in by a token for its name.
fn join(desk: &Desk, name: &str, certificate: &Certificate, seconds: i64) {
    let hash = make(desk, &format!("{name} at {seconds}"), Some(&host(name)));
    desk.tokens()
        .redeem(hash, &host(name), certificate, at(seconds))
        .unwrap();
}

fn revocation(seconds: i64) -> AuditEntry {
    AuditEntry {
        time: at(seconds),
        who: "ana".to_owned(),
        what: "host revoke".to_owned(),
        result: AuditOutcome::Done,
        detail: "h1: stolen".to_owned(),
    }
}

#[test]
fn a_host_is_enrolled_renewed_and_shut_out() {
    let (_directory, desk) = desk();
    let (hosts, h1) = (desk.hosts(), host("h1"));
    assert_eq!(hosts.get(&h1).unwrap(), None);
    let unknown = hosts.renew(&h1, "any", &certificate("1"), at(0));
    assert!(matches!(unknown, Err(DeskError::NotFound { .. })));
    assert!(matches!(
        hosts.revoke(&h1, at(0), &revocation(0)),
        Err(DeskError::NotFound { .. })
    ));
    join(&desk, "h1", &certificate("1"), 1);
    let shown = certificate("1").fingerprint;
    hosts.renew(&h1, &shown, &certificate("2"), at(2)).unwrap();
    hosts.revoke(&h1, at(3), &revocation(3)).unwrap();
    let again = hosts.revoke(&h1, at(4), &revocation(4));
    assert!(matches!(again, Err(DeskError::Revoked { at: time, .. }) if time == at(3)));
    assert_eq!(desk.audit().list(9).unwrap(), [revocation(3)]);
    let row = hosts.get(&h1).unwrap().unwrap();
    assert_eq!(row.certificate, certificate("2"));
    assert_eq!(
        (row.enrolled, row.renewed, row.revoked),
        (at(1), Some(at(2)), Some(at(3)))
    );
    let shown = certificate("2").fingerprint;
    let refused = hosts.renew(&h1, &shown, &certificate("3"), at(5));
    assert!(matches!(refused, Err(DeskError::Revoked { .. })));
    assert_eq!(hosts.list().unwrap(), [row]);
    join(&desk, "h1", &certificate("4"), 6);
    let row = hosts.get(&h1).unwrap().unwrap();
    assert_eq!(
        (row.enrolled, row.renewed, row.revoked),
        (at(6), None, None)
    );
}

#[test]
fn a_renewal_whose_answer_was_lost_can_be_asked_again_and_older_certificates_are_void() {
    let (_directory, desk) = desk();
    let (hosts, h1) = (desk.hosts(), host("h1"));
    let shown = |serial: &str| certificate(serial).fingerprint;
    let admitted = || {
        let row = hosts.get(&h1).unwrap().unwrap();
        ["1", "2", "3", "4", "5"].map(|serial| row.admits(&shown(serial)))
    };
    join(&desk, "h1", &certificate("1"), 1);
    assert_eq!(admitted(), [true, false, false, false, false]);
    for (shows, gets) in [("1", "2"), ("1", "3"), ("3", "4")] {
        hosts
            .renew(&h1, &shown(shows), &certificate(gets), at(2))
            .unwrap();
        assert!(hosts.get(&h1).unwrap().unwrap().admits(&shown(shows)));
    }
    assert_eq!(admitted(), [false, false, true, true, false]);
    let late = hosts.renew(&h1, &shown("1"), &certificate("5"), at(3));
    assert!(matches!(late, Err(DeskError::Superseded { .. })));
    hosts.revoke(&h1, at(4), &revocation(4)).unwrap();
    assert_eq!(admitted(), [false; 5]);
    join(&desk, "h1", &certificate("5"), 5);
    assert_eq!(admitted(), [false, false, false, false, true]);
}

#[test]
fn a_taken_name_costs_no_token_and_leaves_its_host_alone() {
    let (_directory, desk) = desk();
    join(&desk, "h1", &certificate("1"), 1);
    let hash = make(&desk, "for any", None);
    let taken = desk
        .tokens()
        .redeem(hash, &host("h1"), &certificate("2"), at(2));
    assert!(matches!(taken, Err(DeskError::Exists { what: "host", .. })));
    let row = desk.hosts().get(&host("h1")).unwrap().unwrap();
    assert_eq!(row.certificate, certificate("1"));
    assert_eq!(desk.tokens().get(hash).unwrap().used, None);
    let long = Certificate {
        serial: "x".repeat(5_000),
        ..certificate("2")
    };
    let failed = desk.tokens().redeem(hash, &host("h2"), &long, at(2));
    assert!(matches!(failed, Err(DeskError::TooLong { .. })));
    assert_eq!(desk.tokens().get(hash).unwrap().used, None);
}

#[test]
fn the_audit_log_gives_the_last_entries_first() {
    let (_directory, desk) = desk();
    let entry = |number: i64| AuditEntry {
        time: at(number),
        who: "root".to_owned(),
        what: "token create".to_owned(),
        result: AuditOutcome::ALL[number as usize % 3],
        detail: number.to_string(),
    };
    for number in 0..5 {
        desk.audit().append(&entry(number)).unwrap();
    }
    assert_eq!(desk.audit().list(2).unwrap(), [entry(4), entry(3)]);
    let long = AuditEntry {
        detail: "x".repeat(5_000),
        ..entry(0)
    };
    assert!(matches!(
        desk.audit().append(&long),
        Err(DeskError::TooLong { .. })
    ));
}

fn snapshot(name: &str, seconds: i64) -> StoredSnapshot {
    StoredSnapshot {
        id: SnapshotId::new(name).unwrap(),
        host: host(&name[..2]),
        state: SnapshotState::Pending,
        requested: at(seconds),
        requested_by: "ana".into(),
        manifest: None,
        path: String::new(),
        size_bytes: 0,
        sha256: String::new(),
        problem: None,
    }
}

#[test]
fn a_snapshot_goes_from_pending_to_verified() {
    let (_directory, desk) = desk();
    let snapshots = desk.snapshots();
    let mut one = snapshot("h1-1-00ff", 1);
    assert!(matches!(
        snapshots.get(&one.id),
        Err(DeskError::NotFound { .. })
    ));
    assert!(matches!(
        snapshots.update(&one),
        Err(DeskError::NotFound { .. })
    ));
    snapshots.insert(&one).unwrap();
    assert!(matches!(
        snapshots.insert(&one),
        Err(DeskError::Exists { .. })
    ));
    one.state = SnapshotState::Verified;
    one.path = "h1-1-00ff.tar.zst".to_owned();
    one.size_bytes = 12_345;
    one.manifest = Some(Manifest {
        version: 1,
        id: one.id.clone(),
        host: one.host.clone(),
        reason: "before a restart".to_owned(),
        began: at(1),
        ended: at(2),
        items: Vec::new(),
        missing: Vec::new(),
    });
    snapshots.update(&one).unwrap();
    assert_eq!(snapshots.get(&one.id).unwrap(), one);
    let two = snapshot("h2-2-00ff", 2);
    snapshots.insert(&two).unwrap();
    assert_eq!(
        snapshots.list(None, 10).unwrap(),
        [two.clone(), one.clone()]
    );
    assert_eq!(snapshots.list(None, 1).unwrap(), [two]);
    assert_eq!(snapshots.list(Some(&host("h1")), 10).unwrap(), [one]);
}

#[test]
fn an_announced_change_is_kept_once_and_never_rewritten() {
    let (_folder, desk) = desk();
    let announced = |id: &str, second: i64, text: &str| Announcement {
        change: Change {
            id: id.to_owned(),
            time: at(second),
            component: "service:app1/shop.service".parse().unwrap(),
            kind: ChangeKind::Deploy,
            text: text.to_owned(),
            detail: String::new(),
        },
        by: "ci".to_owned(),
        at: at(second),
    };
    let changes = desk.announcements();
    let first = announced("announced:7", 100, "shop 1.4");
    assert_eq!(changes.add(&first).unwrap(), None);
    // A pipeline that is run again says it again, later.
    let again = announced("announced:7", 160, "shop 1.4");
    assert_eq!(changes.add(&again).unwrap(), Some(first.clone()));
    let other = announced("announced:7", 160, "shop 1.5");
    assert!(matches!(changes.add(&other), Err(DeskError::Exists { .. })));
    let second = announced("announced:8", 50, "shop 1.3");
    assert_eq!(changes.add(&second).unwrap(), None);
    let within = |from, to| changes.list(TimeRange::new(at(from), at(to))).unwrap();
    assert_eq!(within(0, 200), [second.clone(), first.clone()]);
    assert_eq!(within(100, 101), std::slice::from_ref(&first));
    assert_eq!(within(101, 200), []);
    // Told late of what was long ago.
    let late = Announcement {
        at: at(300),
        ..announced("announced:9", 10, "shop 1.2")
    };
    assert_eq!(changes.add(&late).unwrap(), None);
    let since = |from| changes.list_since(at(from)).unwrap();
    assert_eq!(since(0), [second, first.clone(), late.clone()]);
    assert_eq!(since(100), [first, late.clone()]);
    assert_eq!(since(300), [late]);
    assert_eq!(since(301), []);
}
