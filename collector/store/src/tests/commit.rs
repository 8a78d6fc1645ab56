use proptest::prelude::*;

use super::*;
use crate::StoreError;

fn changes(range: std::ops::RangeInclusive<u64>) -> Vec<(Sequence, Incoming)> {
    let host = host("h1");
    range
        .map(|sequence| {
            let change = change(&host, sequence as i64, &sequence.to_string());
            (
                Sequence(sequence),
                Incoming::Other(Record::Changes(vec![change])),
            )
        })
        .collect()
}

fn stored_ids(store: &Store) -> Vec<String> {
    let changes = store.changes(everything(), None);
    changes.into_iter().map(|change| change.item.id).collect()
}

#[test]
fn a_replayed_batch_is_stored_once_and_only_the_new_part_is_fresh() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let first = store
        .commit(&host("h1"), EPOCH, changes(1..=3), at(0))
        .unwrap();
    assert_eq!(
        (first.acknowledged, first.fresh.len()),
        (Some(Sequence(3)), 3)
    );
    let again = store
        .commit(&host("h1"), EPOCH, changes(2..=5), at(1))
        .unwrap();
    assert_eq!(again.acknowledged, Some(Sequence(5)));
    assert_eq!(again.duplicates, 2);
    assert_eq!(again.fresh, changes(4..=5));
    assert_eq!(stored_ids(&store), ["1", "2", "3", "4", "5"]);
    assert_eq!(store.stats().records, 5);
}

#[test]
fn another_epoch_counts_on_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    store
        .commit(&host("h1"), EPOCH, changes(1..=3), at(0))
        .unwrap();
    let other = store
        .commit(&host("h1"), Epoch(8), changes(1..=1), at(1))
        .unwrap();
    assert_eq!(
        (other.acknowledged, other.fresh.len()),
        (Some(Sequence(1)), 1)
    );
    assert_eq!(store.acknowledged(&host("h1"), EPOCH), Some(Sequence(3)));
    assert_eq!(store.acknowledged(&host("h1"), Epoch(9)), None);
    assert_eq!(store.acknowledged(&host("h2"), EPOCH), None);
}

#[test]
fn numbers_that_an_agent_shed_are_counted_as_gaps() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let first = store
        .commit(&host("h1"), EPOCH, changes(100..=101), at(0))
        .unwrap();
    assert_eq!(
        first.gaps, 0,
        "what was shed before the first contact is not known"
    );
    let later = store
        .commit(&host("h1"), EPOCH, changes(105..=106), at(1))
        .unwrap();
    assert_eq!((later.gaps, later.acknowledged), (3, Some(Sequence(106))));
}

#[test]
fn a_batch_out_of_order_is_refused_whole() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let mut batch = changes(1..=3);
    batch.swap(0, 1);
    let refused = store.commit(&host("h1"), EPOCH, batch, at(0));
    assert!(matches!(
        refused,
        Err(StoreError::Order {
            before: 2,
            after: 1
        })
    ));
    assert_eq!(store.acknowledged(&host("h1"), EPOCH), None);
    assert!(stored_ids(&store).is_empty());
}

#[test]
fn an_empty_batch_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let none = store.commit(&host("h1"), EPOCH, Vec::new(), at(0)).unwrap();
    assert_eq!(none.acknowledged, None);
    assert_eq!(store.acknowledged(&host("h1"), EPOCH), None);
}

#[test]
fn contact_is_known_at_once_and_the_last_reception_after_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    store
        .commit(&host("h1"), EPOCH, changes(1..=1), at(5))
        .unwrap();
    store.touch(&host("h1"), at(9));
    store.touch(&host("h2"), at(8));
    let contacts = store.hosts();
    assert_eq!(contacts[0].last_received, Some(at(5)));
    assert_eq!(contacts[0].last_contact, Some(at(9)));
    assert_eq!(
        (contacts[1].last_received, contacts[1].last_contact),
        (None, Some(at(8)))
    );
    drop(store);
    let contacts = open(directory.path()).hosts();
    assert_eq!(contacts.len(), 1, "a mere contact is not durable");
    assert_eq!(
        (contacts[0].last_received, contacts[0].last_contact),
        (Some(at(5)), None)
    );
}

#[test]
fn commits_of_many_hosts_at_once_all_arrive() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    std::thread::scope(|scope| {
        for number in 0..8 {
            let store = store.clone();
            scope.spawn(move || {
                let host = host(&format!("h{number}"));
                for sequence in 1..=20 {
                    let change = change(&host, sequence as i64, "x");
                    let record = Incoming::Other(Record::Changes(vec![change]));
                    store
                        .commit(&host, EPOCH, vec![(Sequence(sequence), record)], at(0))
                        .unwrap();
                }
            });
        }
    });
    assert_eq!(store.changes(everything(), None).len(), 160);
    assert!(
        store
            .hosts()
            .iter()
            .all(|h| store.acknowledged(&h.host, EPOCH) == Some(Sequence(20)))
    );
}

/// What a sender may do: send some range again or further, or the collector restarts or compacts.
#[derive(Clone, Debug)]
enum Step {
    Send { back: u64, count: u64 },
    Reopen,
    Compact,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0u64..12, 1u64..12).prop_map(|(back, count)| Step::Send { back, count }),
        1 => Just(Step::Reopen),
        1 => Just(Step::Compact),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_interleaving_of_replays_stores_each_record_once(
        steps in proptest::collection::vec(any_step(), 1..24),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let mut store = open(directory.path());
        let mut sent = 0;
        for step in steps {
            match step {
                Step::Send { back, count } => {
                    let from = sent + 1 - back.min(sent);
                    let to = from + count - 1;
                    let committed =
                        store.commit(&host("h1"), EPOCH, changes(from..=to), at(0)).unwrap();
                    let fresh = to.saturating_sub(sent);
                    prop_assert_eq!(committed.fresh.len() as u64, fresh);
                    prop_assert_eq!(committed.duplicates, count - fresh);
                    sent = sent.max(to);
                    prop_assert_eq!(committed.acknowledged, Some(Sequence(sent)));
                }
                Step::Reopen => {
                    drop(store);
                    store = open(directory.path());
                }
                Step::Compact => drop(store.compact(at(10_000)).unwrap()),
            }
        }
        let ids: Vec<_> = (1..=sent).map(|id| id.to_string()).collect();
        prop_assert_eq!(stored_ids(&store), ids);
    }
}
