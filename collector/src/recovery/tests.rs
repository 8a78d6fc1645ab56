//! A host that does little for five minutes, and much from then on, which somebody accepts half a minute later.

use firstlook_detect::DetectConfig;
use firstlook_model::{
    Change, ChangeKind, ComponentId, Epoch, MetricBlock, Record, Schema, Sequence, Series,
    SignalKind, Unit,
};
use firstlook_store::{Incoming, StoreConfig};

use super::*;
use crate::checkpoints::Keep;

const LITTLE: f64 = 0.1;
const MUCH: f64 = 0.9;
const RISES: i64 = 300;
const ACCEPTED: i64 = 330;
const ENDS: i64 = 420;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(1_700_000_000 + seconds)
}

fn host() -> HostId {
    HostId::new("h1").expect("a host's name")
}

fn schema() -> Schema {
    Schema::new(vec![Series {
        component: ComponentId::host(host()),
        signal: "test.share".into(),
        unit: Unit::Ratio,
        kind: SignalKind::Gauge,
    }])
}

fn sample(second: i64, value: f64) -> Record {
    Record::Metrics(MetricBlock {
        schema: schema().id(),
        times: vec![at(second)],
        columns: vec![vec![value]].try_into().expect("one column"),
    })
}

fn level(second: i64) -> f64 {
    if second < RISES { LITTLE } else { MUCH }
}

fn accepted() -> Announcement {
    Announcement {
        change: Change {
            id: "release-7".into(),
            component: ComponentId::host(host()),
            kind: ChangeKind::Accepted,
            time: at(ACCEPTED),
            text: "it computes more now".into(),
            detail: String::new(),
        },
        by: "ann".into(),
        at: at(ACCEPTED),
    }
}

/// A store that has heard all of it.
fn stored(folder: &Path) -> Store {
    let store = Store::open(folder, StoreConfig::default()).expect("a store");
    let said = (0..ENDS).map(|second| (second, sample(second, level(second))));
    let all = [(0, Record::Schema(schema()))].into_iter().chain(said);
    for ((second, record), number) in all.zip(1..) {
        let batch = vec![(Sequence(number), Incoming::Other(record))];
        store
            .commit(&host(), Epoch(1), batch, at(second))
            .expect("kept");
    }
    store
}

/// A detector that begins anew, with a checkpoint of so many seconds if any.
fn begun_anew(checkpoint: Option<i64>, announced: &[Announcement]) -> Detector {
    let folder = tempfile::tempdir().expect("a folder");
    let checkpoints = Checkpoints::open(folder.path().join("checkpoints")).expect("made");
    if let Some(until) = checkpoint {
        let mut before = Detector::new(DetectConfig::default());
        before.observe_record(&host(), at(0), &Record::Schema(schema()));
        for second in 0..=until {
            before.observe_record(&host(), at(second), &sample(second, level(second)));
        }
        let (sends, takes) = crate::checkpoints::channel();
        let state = before.checkpoint(&host()).expect("known");
        sends.send(Keep::Write(host(), state)).expect("taken");
        drop(sends);
        checkpoints.keep(&takes);
    }
    let store = stored(&folder.path().join("store"));
    let mut detector = Detector::new(DetectConfig::default());
    let recovered = recover(
        &mut detector,
        &checkpoints,
        &store,
        &BTreeSet::new(),
        announced,
        at(ENDS),
    );
    let recovered = recovered.expect("read");
    assert_eq!(recovered.hosts, usize::from(checkpoint.is_some()));
    // As it is done once all is heard again.
    for announced in announced {
        detector.observe_changes(&host(), std::slice::from_ref(&announced.change));
    }
    detector
}

/// Whether its level is unusual now that it goes on like this.
fn is_unusual(detector: &mut Detector, value: f64) -> bool {
    for second in ENDS..ENDS + 10 {
        detector.observe_record(&host(), at(second), &sample(second, value));
    }
    !detector.nominees(&host()).is_empty()
}

#[test]
fn what_was_accepted_between_records_is_accepted_after_a_restart() {
    for checkpoint in [None, Some(200), Some(ACCEPTED - 10)] {
        let mut unsaid = begun_anew(checkpoint, &[]);
        assert!(is_unusual(&mut unsaid, MUCH), "{checkpoint:?}");
        let mut said = begun_anew(checkpoint, &[accepted()]);
        assert!(!is_unusual(&mut said, MUCH), "{checkpoint:?}");
    }
}

#[test]
fn what_came_after_it_was_accepted_is_usual_and_what_came_before_is_not() {
    for checkpoint in [None, Some(200), Some(ACCEPTED - 10)] {
        let mut said = begun_anew(checkpoint, &[accepted()]);
        assert!(is_unusual(&mut said, LITTLE), "{checkpoint:?}");
    }
}
