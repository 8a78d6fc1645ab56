use std::os::unix::fs::PermissionsExt;

use rusqlite::Connection;

use super::*;

/// A desk as version 1 wrote it, with a row or two in each table.
const VERSION_1: &str = include_str!("version_1.sql");

#[test]
fn a_desk_of_version_1_is_brought_up_to_date_with_all_it_holds() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("desk.db");
    Connection::open(&path)
        .unwrap()
        .execute_batch(VERSION_1)
        .unwrap();
    for _ in 0..2 {
        let desk = Desk::open(&path).unwrap();
        let open = desk.incidents().list_open().unwrap();
        assert_eq!((open.len(), open[0].id.0), (1, 41));
        assert_eq!(desk.incidents().verdicts(open[0].id).unwrap().len(), 1);
        let hosts = desk.hosts().list().unwrap();
        assert_eq!(hosts[0].host, host("db1"));
        assert_eq!(hosts[0].certificate.serial, "0a1b");
        let admitted = hosts.iter().map(|row| row.admits("c3d4"));
        assert_eq!(admitted.collect::<Vec<_>>(), [true, true, false]);
        assert!(!hosts[0].admits("0a1b"));
        assert_eq!(desk.audit().list(9).unwrap()[0].what, "token create");
        let hash = TokenHash::of(b"fixture");
        let refused = refusal(
            desk.tokens()
                .redeem(hash, &host("db2"), &certificate("1"), at(0)),
        );
        assert!(matches!(refused, TokenRefusal::Used { .. }));
        assert_eq!(desk.unreadable_rows(), 0);
    }
    let desk = Desk::open(&path).unwrap();
    desk.snapshots().insert(&snapshot("h1-1-00ff", 1)).unwrap();
    assert_eq!(desk.incidents().next_id().unwrap().0, 43);
}

#[test]
fn a_newer_schema_is_refused_and_left_alone() {
    let (directory, desk) = desk();
    drop(desk);
    let path = directory.path().join("desk.db");
    Connection::open(&path)
        .unwrap()
        .pragma_update(None, "user_version", 99)
        .unwrap();
    for _ in 0..2 {
        let Err(error) = Desk::open(&path) else {
            panic!("a newer schema was opened");
        };
        assert!(
            matches!(
                error,
                DeskError::Newer {
                    found: 99,
                    known: 6,
                    ..
                }
            ),
            "{error}"
        );
        assert!(error.to_string().contains("use the newer version"));
    }
}

#[test]
fn what_is_no_desk_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let foreign = directory.path().join("foreign.db");
    Connection::open(&foreign)
        .unwrap()
        .execute_batch("CREATE TABLE x (y)")
        .unwrap();
    assert!(matches!(
        Desk::open(&foreign),
        Err(DeskError::Foreign { .. })
    ));
    let text = directory.path().join("text");
    std::fs::write(
        &text,
        "this is no database, whatever it may be called".repeat(50),
    )
    .unwrap();
    assert!(matches!(Desk::open(&text), Err(DeskError::Damaged { .. })));
    assert!(matches!(
        Desk::open(directory.path()),
        Err(DeskError::File { .. })
    ));
}

#[test]
fn a_torn_file_is_an_error_or_reads_as_it_was() {
    let (directory, desk) = desk();
    let path = directory.path().join("desk.db");
    for number in 0..200 {
        join(&desk, &format!("h{number}"), &certificate("1"), 1);
    }
    drop(desk);
    let sound = std::fs::read(&path).unwrap();
    let mut refused = 0;
    for page in 1..sound.len() / 4_096 {
        let mut torn = sound.clone();
        torn[page * 4_096..(page + 1) * 4_096].fill(0xa5);
        std::fs::write(&path, torn).unwrap();
        match Desk::open(&path) {
            Ok(desk) => assert!(desk.hosts().list().is_ok_and(|hosts| hosts.len() <= 200)),
            Err(error) => {
                refused += 1;
                assert!(matches!(error, DeskError::Damaged { .. }), "{error}");
            }
        }
    }
    assert!(refused > 0);
}

#[test]
fn a_row_that_cannot_be_read_is_counted_and_the_others_are_listed() {
    let (directory, desk) = desk();
    for name in ["h1", "h2", "h3"] {
        join(&desk, name, &certificate("1"), 1);
    }
    let other = Connection::open(directory.path().join("desk.db")).unwrap();
    other
        .execute("UPDATE hosts SET host = 'NOT A HOST' WHERE host = 'h2'", ())
        .unwrap();
    assert_eq!(desk.hosts().list().unwrap().len(), 2);
    assert_eq!(desk.unreadable_rows(), 1);
}

#[test]
fn the_file_is_for_its_owner_only() {
    let (directory, _desk) = desk();
    let metadata = std::fs::metadata(directory.path().join("desk.db")).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
}
