use super::*;

const FAULT: &str = r#"
[fault]
kind = "licence-expired"
components = ["service"]
summary = "licence expired"
prior_db = -15.0
trouble = 0.5
looks_when_fixed = "no such line"

[fault.question]
text = "is it?"
command = "true"

[[predict]]
any = ["log.licence"]
at = ["self"]
level = "must"
"#;

fn error(text: &str) -> (usize, String) {
    match Catalogue::builtin_with(&[("team.toml", text)]).unwrap_err() {
        CatalogueError::Malformed { file, line, what } => {
            assert_eq!(file, "team.toml");
            (line, what)
        }
        other => panic!("{other}"),
    }
}

#[test]
fn shipped_catalogue_reads_and_has_the_first_kinds() {
    let catalogue = Catalogue::builtin();
    for kind in [
        "disk-full",
        "inodes-full",
        "oom-kill",
        "service-down",
        "crash-loop",
        "cpu-saturated",
        "packet-loss",
        "host-partitioned",
        "agent-down",
        "bad-deploy",
        "service-hung",
        "outside-cause",
        UNKNOWN_FAULT,
    ] {
        assert!(catalogue.fault(kind).is_some(), "{kind} is missing");
    }
}

#[test]
fn every_kind_of_the_vocabulary_has_a_base_rate() {
    use firstlook_model::symptom::kinds::*;
    let catalogue = Catalogue::builtin();
    for kind in [
        SPACE_EXHAUSTED,
        INODES_EXHAUSTED,
        READONLY,
        FILESYSTEM_HUNG,
        CPU_SATURATED,
        CPU_WITHHELD,
        CPU_HOG,
        CPU_THROTTLED,
        CPU_STOLEN,
        CPU_TOO_HOT,
        MEMORY_PRESSURE,
        MEMORY_GROWING,
        OOM_KILLED,
        IO_PRESSURE,
        DISK_SLOW,
        DISK_ERRORS,
        DISK_DEGRADED,
        FILESYSTEM_ERRORS,
        FILES_EXHAUSTED,
        TASKS_EXHAUSTED,
        PORTS_EXHAUSTED,
        TRACKING_EXHAUSTED,
        CLOCK_SKEW,
        UNIT_DOWN,
        UNIT_FAILED,
        UNIT_RESTARTING,
        UNIT_WATCHDOG,
        LISTENER_GONE,
        ACCEPT_QUEUE_FULL,
        LISTEN_OVERFLOW,
        NOT_READING,
        LOAD_SURGED,
        STOPPED,
        HOST_RETRANSMITS,
        INTERFACE_ERRORS,
        INTERFACE_DOWN,
        INTERFACE_SATURATED,
        RECEIVES_NOTHING,
        EDGE_RETRANSMITS,
        EDGE_UNANSWERED,
        EDGE_LOST,
        EDGE_SLOW,
        EDGE_STALLED,
        LOG_ERRORS,
        LOG_NEW_ERROR,
        LOG_NO_SPACE,
        LOG_REFUSED,
        LOG_TIMEOUT,
        LOG_TOO_MANY_FILES,
        LOG_CANNOT_FORK,
        LOG_NO_PORTS,
        LOG_UNRESOLVED,
        LOG_NAME_MISSING,
        LOG_CERTIFICATE_EXPIRED,
        LOG_AUTH_FAILED,
        LOG_TOO_MANY_CLIENTS,
        LOG_POOL_EXHAUSTED,
        LOG_WORKERS_EXHAUSTED,
        LOG_LOCK_WAIT,
        LOG_REPLICA_BROKEN,
        LOG_REPLICA_LAGS,
        LOG_QUOTA,
        LOG_BAD_CONFIG,
        LOG_LONG_PAUSE,
        LOG_SHUTTING_DOWN,
        CPU_NOISY_NEIGHBOUR,
        EDGE_RETRYING,
        EDGE_LARGE_STUCK,
        JOBS_TOGETHER,
        AGENT_SILENT,
        PEERS_REACH,
        PEERS_CUT,
        PROBE_FAILED,
        PROBE_UNANSWERED,
        CERTIFICATE_EXPIRED,
        CERTIFICATE_EXPIRING,
    ] {
        assert!(catalogue.symptoms.contains_key(kind), "{kind} has no entry");
    }
}

#[test]
fn what_a_fault_must_show_is_of_a_family_that_somebody_attests() {
    use firstlook_model::symptom::families::*;
    let families = [
        FILESYSTEM, CPU, MEMORY, DISK, NETWORK, UNIT, SOCKETS, EDGE, LOG, HEARTBEAT, PROBE, LIMITS,
        CLOCK,
    ];
    let catalogue = Catalogue::builtin();
    for fault in catalogue.faults() {
        for prediction in fault.predicts.iter().filter(|p| p.level == Level::Must) {
            let family = catalogue.symptom(&prediction.any[0]).family.as_str();
            assert!(families.contains(&family), "{}: {family:?}", fault.kind);
        }
    }
}

#[test]
fn a_fault_that_needs_a_sign_says_which() {
    let unsigned = FAULT
        .replace("trouble = 0.5", "trouble = 0.5\nneeds_sign = true")
        .replace("\"must\"", "\"may\"");
    let (line, what) = error(&unsigned);
    assert_eq!(line, 3);
    assert!(what.contains("needs_sign"), "{what}");
}

#[test]
fn a_teams_file_adds_and_replaces() {
    let replaced = FAULT.replace("licence-expired", "disk-full");
    let files = [("a.toml", FAULT), ("b.toml", replaced.as_str())];
    let catalogue = Catalogue::builtin_with(&files).unwrap();
    let must = &catalogue.fault("licence-expired").unwrap().predicts[0];
    assert_eq!((must.level, must.p), (Level::Must, 0.95));
    assert_eq!(
        catalogue.fault("disk-full").unwrap().summary,
        "licence expired"
    );
}

#[test]
fn errors_name_file_line_and_what() {
    let cases = [
        ("trouble = 0.5", "trouble = 1.5", 7, "trouble is 1.5"),
        ("[\"self\"]", "[\"cousin\"]", 16, "cousin"),
        (
            "log.licence",
            "licence.gone",
            15,
            "no [[symptom]] has kind \"licence.gone\"",
        ),
        ("licence-expired", "Licence", 3, "a-z"),
        ("[fault.question]", "[fault.question", 10, ""),
        (
            "level = \"must\"",
            "level = \"must\"\np = 2.0",
            18,
            "p is 2",
        ),
        ("[\"service\"]", "[]", 4, "components is empty"),
    ];
    for (old, new, line, what) in cases {
        let (at, said) = error(&FAULT.replace(old, new));
        assert_eq!(at, line, "{new}: {said}");
        assert!(said.contains(what), "{new}: {said}");
    }
}

/// That something is as it should be is the cause of nothing, in our files or in a team's.
#[test]
fn no_fault_takes_an_acceptance_for_its_cause() {
    for fault in Catalogue::builtin().faults() {
        let kinds = fault.change.iter().flat_map(|change| &change.kinds);
        let taken = kinds.filter(|rate| rate.kind == ChangeKind::Accepted);
        assert_eq!(taken.count(), 0, "{}", fault.kind);
    }
    let change = "\n[change]\nrequired = false\nwindow_s = 60\ndecay_s = 60\n";
    let rate = "kinds = [{ kind = \"accepted\", p = 0.5, per_hour = 0.02 }]\n";
    let (_, what) = error(&format!("{FAULT}{change}{rate}"));
    assert!(what.contains("accepted"), "{what}");
}

#[test]
fn predictions_without_a_fault_are_refused() {
    let (_, what) = error("[[predict]]\nany = [\"unit.down\"]\nat = [\"self\"]\nlevel = \"may\"\n");
    assert!(what.contains("no [fault]"), "{what}");
}

#[test]
fn an_overlong_file_is_refused() {
    let text = "#".repeat(CATALOGUE_FILE_LIMIT_BYTES + 1);
    let error = Catalogue::parse(&[("long.toml", &text)]).unwrap_err();
    assert!(matches!(error, CatalogueError::TooLong { .. }));
}

proptest::proptest! {
    #[test]
    fn any_text_reads_or_is_refused(text in "(\\[|\\]|fault|predict|any|=|\"|\n|[a-z0-9. ]){0,60}") {
        let _ = Catalogue::parse(&[("any.toml", &text)]);
    }
}
