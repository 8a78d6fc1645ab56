//! Acceptances over restarts of the collector, whenever either comes.

use std::sync::LazyLock;

use firstlook_detect::{DetectConfig, Detector};
use firstlook_model::symptom::kinds;
use firstlook_model::{Change, HostId, Record, Timestamp};
use proptest::prelude::*;

use super::{APP_SERVICE, DB_SERVICE, HAPROXY, accepted, hear, writes};
use crate::world::{APP, DB, World};

type Heard = (HostId, Timestamp, Record);

/// What four hosts said in some minutes in which much happened.
static HEARD: LazyLock<Vec<Heard>> = LazyLock::new(|| {
    let mut world = World::new();
    world.run(60);
    world.edges[1].rtt_ms = 8.0;
    world.edges[0].bytes *= 10.0;
    world.hosts[DB].wait_s = 0.2;
    writes(&mut world, 2, 40, "cart of a customer is empty|");
    (world.edges[0].rtt_ms, world.edges[1].rtt_ms) = (8.0, 60.0);
    world.edges[1].loss = 0.1;
    world.hosts[DB].available = 0.0;
    world.service(APP, "app.service").throttled = 0.8;
    writes(&mut world, 20, 20, "upstream timed out|");
    world.edges[1].stalled_ms = 6_000;
    world.run(60);
    world.journal
});

/// The collector writes the checkpoints of all hosts after one record, and ends after the same or a later one.
#[derive(Clone, Copy, Debug)]
struct Restart {
    kept: usize,
    ended: usize,
}

/// Takes up checkpoints, and then does as the collector does: what each host said after it is heard again, with what was
/// accepted then between, and in the end all that was announced.
fn begin_again(
    heard: &[Heard],
    kept: &[Vec<u8>],
    words: &[(Change, usize)],
    restart: Restart,
) -> Detector {
    let mut again = Detector::new(DetectConfig::default());
    let never = Timestamp::from_micros(i64::MAX);
    let hosts: Vec<HostId> = kept
        .iter()
        .map(|kept| again.restore(kept, never).unwrap().0)
        .collect();
    let by_then = |end: usize| words.iter().filter(move |(_, at)| *at <= end);
    for host in hosts {
        let missed = restart.kept + 1..restart.ended + 1;
        for (number, (of, received, record)) in heard.iter().enumerate() {
            if *of == host && missed.contains(&number) {
                for (word, _) in by_then(number) {
                    again.observe_acceptance(&host, word);
                }
                again.observe_record(of, *received, record);
            }
        }
    }
    for (word, _) in by_then(restart.ended) {
        hear(&mut again, word);
    }
    again
}

/// Hears what the world said, and before the record of each number what was accepted then. What it said after each hundredth
/// record, and at the end.
fn said(heard: &[Heard], words: &[(Change, usize)], restart: Option<Restart>) -> Vec<String> {
    let mut detector = Detector::new(DetectConfig::default());
    let mut said = Vec::new();
    let mut kept = Vec::new();
    for (number, (host, received, record)) in heard.iter().enumerate() {
        for (word, _) in words.iter().filter(|(_, at)| *at == number) {
            hear(&mut detector, word);
        }
        detector.observe_record(host, *received, record);
        if restart.is_some_and(|restart| restart.kept == number) {
            let all = detector.hosts();
            kept.extend(all.map(|host| detector.checkpoint(host).unwrap()));
        }
        if let Some(restart) = restart.filter(|restart| restart.ended == number) {
            detector = begin_again(heard, &kept, words, restart);
        }
        if number % 100 == 0 || number + 1 == heard.len() {
            let situation = detector.situation(*received);
            said.push(format!("{situation:?} {:?}", detector.nominees(host)));
        }
    }
    said
}

/// What was accepted before a host was first heard is nothing that it has to forget, after a restart either.
#[test]
fn a_host_that_comes_later_forgets_nothing() {
    let (word, comes) = (HEARD.len() / 16, HEARD.len() / 8);
    let later = |number: usize, host: &HostId| host.as_str() != "edge1" || number >= comes;
    let heard: Vec<Heard> = HEARD
        .iter()
        .enumerate()
        .filter(|(number, (host, ..))| later(*number, host))
        .map(|(_, heard)| heard.clone())
        .collect();
    let words = [(accepted(APP_SERVICE, heard[word].1), word)];
    let ended = heard.len() * 3 / 4;
    let restart = Restart { kept: ended, ended };
    let uninterrupted = said(&heard, &words, None);
    assert!(said(&heard, &words, Some(restart)) == uninterrupted);
    assert!(
        uninterrupted
            .last()
            .is_some_and(|end| end.contains(kinds::EDGE_SLOW))
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_accepted_whenever_a_restart_changes_nothing(
        words in proptest::collection::vec((0usize..6, any::<prop::sample::Index>(), -7_200i64..60), 1..4),
        kept in any::<prop::sample::Index>(),
        lost in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let all = ["host:db1", "host:app1", APP_SERVICE, DB_SERVICE, HAPROXY, "disk:db1/sda"];
        let words: Vec<(Change, usize)> = words
            .into_iter()
            .enumerate()
            .map(|(number, (component, at, secs))| {
                let at = at.index(HEARD.len());
                let time = Timestamp::from_secs(HEARD[at].1.as_micros() / 1_000_000 + secs);
                let id = format!("announced:{number}");
                (Change { id, ..accepted(all[component], time) }, at)
            })
            .collect();
        // From when on all hosts have said who they are.
        let first = HEARD.len() / 8;
        let kept = first + kept.index(HEARD.len() - first);
        let ended = kept + lost.map_or(0, |lost| lost.index(HEARD.len() - kept));
        let restart = Restart { kept, ended };
        prop_assert!(said(&HEARD, &words, Some(restart)) == said(&HEARD, &words, None), "{restart:?} {words:?}");
    }
}
