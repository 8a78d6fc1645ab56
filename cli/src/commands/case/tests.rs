//! What the tests of a case's parts share, and those of their composition.

use firstlook_model::symptom::families;
use firstlook_model::{
    Change, ChangeKind, IncidentState, RankedChange, Reference, Suspect, Symptom, Verdict,
};

use super::*;

pub(super) fn id(text: &str) -> ComponentId {
    text.parse().unwrap()
}

pub(super) fn symptom(component: &str, onset: Timestamp) -> Symptom {
    let range = TimeRange::new(onset, onset.plus(Duration::from_secs(1)));
    Symptom {
        component: id(component),
        kind: "cpu.saturated".to_owned(),
        peer: None,
        family: families::CPU.to_owned(),
        onset: range,
        last_seen: range.to,
        severity: 1.0,
        gate: true,
        text: format!("{component} is slow"),
        usual: 0.0,
        reference: Reference::Metric {
            component: id(component),
            signal: "cpu.some|of it".to_owned(),
            range,
        },
    }
}

/// An open incident about one component, whose cause the engine suspects elsewhere.
pub(super) fn incident(component: &str) -> Incident {
    let began = Timestamp::from_secs(1_700_000_000);
    Incident {
        id: IncidentId(42),
        state: IncidentState::Open,
        began,
        opened: began.plus(Duration::from_secs(5)),
        closed: None,
        title: "suspected".to_owned(),
        symptoms: vec![symptom(component, began)],
        verdict: Verdict {
            reference_time: began.plus(Duration::from_secs(6)),
            suspects: vec![Suspect {
                component: id(component),
                fault: "suspected".to_owned(),
                summary: "suspected".to_owned(),
                decibans: 9.0,
                probability: 0.9,
                since: began,
                hurts: Vec::new(),
                evidence_for: Vec::new(),
                evidence_against: Vec::new(),
            }],
            ruled_out: Vec::new(),
            blind_spots: Vec::new(),
            changes: vec![RankedChange {
                change: Change {
                    id: "build-12".to_owned(),
                    time: began,
                    component: id(component),
                    kind: ChangeKind::Deploy,
                    text: String::new(),
                    detail: String::new(),
                },
                before_onset_s: 1.0,
            }],
            next_look: None,
            hesitation: None,
        },
        timeline: Vec::new(),
    }
}

#[test]
fn calls_are_sorted_named_as_elsewhere_and_the_nearest_where_there_are_too_many() {
    let far = |n: usize| (id("host:far"), id(&format!("endpoint:far:{n}")));
    let mut calls: Calls = (0..limits::CALLS).map(far).collect();
    calls.insert((id("service:h1/a,b"), id("service:h1/web")));
    calls.insert((id("service:h1/web"), id("endpoint:192.0.2.7:443")));
    let near = Near::new(&incident("service:h1/web"), None, &calls);
    let (text, count, left_out) = graph(&calls, &near);
    assert_eq!((count, left_out), (limits::CALLS, 2));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 1 + limits::CALLS);
    assert_eq!(lines[0], "caller,callee");
    assert!(lines[1..].is_sorted());
    assert!(lines.contains(&"service:h1/a%2Cb,service:h1/web"));
    assert!(lines.contains(&"service:h1/web,endpoint:192.0.2.7:443"));
    assert_eq!(graph(&Calls::new(), &near).0, "caller,callee\n");
}

#[test]
fn a_truth_is_an_id_or_the_label_of_what_was_seen() {
    let listed = |component: &str| Listed {
        host: firstlook_model::HostId::new("h1").unwrap(),
        component: id(component),
        signal: "s".to_owned(),
        counter: false,
    };
    let seen = [
        "agent:h1",
        "host:h1",
        "service:h1/web.service",
        "disk:h1/sda",
        "interface:h1/sda",
    ];
    let seen = seen.map(listed);
    let calls = Calls::from([(id("host:h1"), id("endpoint:192.0.2.7:443"))]);
    let settled = |text: &str| settled(text, &seen, &calls);
    for (text, meant) in [
        ("h1/web", "service:h1/web.service"),
        ("h1/web.service", "service:h1/web.service"),
        ("h1", "host:h1"),
        ("192.0.2.7:443", "endpoint:192.0.2.7:443"),
        // Whoever says it in full may know what nobody saw.
        ("service:h9/lost.service", "service:h9/lost.service"),
    ] {
        assert_eq!(settled(text), Ok(id(meant)), "{text}");
    }
    assert_eq!(settled("h1/db").unwrap_err().exit, Exit::NotFound);
    assert_eq!(settled("h1/sda").unwrap_err().exit, Exit::Usage);
}

#[test]
fn a_person_is_told_what_replay_will_lack() {
    let mut asked = Asked {
        incident: incident("host:h1"),
        range: TimeRange::new(Timestamp::from_secs(0), Timestamp::from_secs(9)),
        calls: Calls::new(),
        truth: Some(id("disk:h1/a,b")),
        fault: None,
    };
    let mut written = Written {
        text: String::new(),
        seconds: None,
        components: BTreeSet::new(),
        columns: 0,
        left_out: 0,
    };
    let told = |asked: &Asked, written: &Written| {
        let mut notes = Vec::new();
        note_gaps(&mut notes, asked, written);
        notes.join("\n")
    };
    assert!(told(&asked, &written).contains("no series"));
    written.seconds = Some((1_700_000_001, 1_700_000_009));
    let both = told(&asked, &written);
    assert!(
        both.contains("nothing is kept of before 2023-11-14T22:13:21Z")
            && both.contains("disk:h1/a,b"),
        "{both}"
    );
    written.seconds = Some((1_600_000_000, 1_700_000_009));
    written.components.insert("disk:h1/a%2Cb".to_owned());
    assert_eq!(told(&asked, &written), "");
    asked.truth = None;
    assert_eq!(told(&asked, &written), "");

    let mut notes = Vec::new();
    left_out(&mut notes, 0, "calls", "edges.csv");
    left_out(&mut notes, 3, "calls", "edges.csv");
    assert_eq!(notes.len(), 1);
    assert!(
        notes[0].starts_with("edges.csv: 3 calls are left out"),
        "{}",
        notes[0]
    );
}

#[tokio::test]
async fn who_is_stopped_leaves_no_half_of_a_case() {
    let home = tempfile::tempdir().unwrap();
    let place = home.path().join("case");
    let never_done = async {
        let folder = Folder::prepare(&place)?;
        folder.write("case.json", "{}")?;
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1);
        std::future::pending().await
    };
    let told = async {
        tokio::task::yield_now().await;
    };
    let failure = until_stopped(never_done, told).await.err().unwrap();
    assert_eq!(failure.exit, Exit::Failed);
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_request_to_end_is_heard() {
    // Polled first, it listens before it is told.
    let told = async {
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::INT)
    };
    let ((), sent) = tokio::join!(biased; stopped(), told);
    sent.unwrap();
}
