//! Whatever ends whenever: every record that was appended is stored exactly once.

use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use firstlook_journal::Entry;
use firstlook_model::{Change, ChangeKind, Epoch, Record, RecordClass, TimeRange, Timestamp};
use firstlook_store::{Store, StoreConfig};
use firstlook_whole::records::{encoded, id};
use firstlook_whole::{House, Process, Puppet, Relay, until};

const NAME: &str = "exactly_once::every_record_is_stored_once_whatever_is_killed_or_cut";
/// Tells the child that it is one, and in which folder.
const FOLDER: &str = "FIRSTLOOK_WHOLE_SPOOL_FOLDER";
const COLLECTOR: &str = "FIRSTLOOK_WHOLE_SPOOL_COLLECTOR";
/// Reader whose position is the last number appended.
const READER: &str = "numbers";
/// How often something is broken, unless the environment says.
const ROUNDS: u32 = 30;
const ROUNDS_WANTED: &str = "FIRSTLOOK_WHOLE_ROUNDS";
/// Records of one append, at most.
const BATCH_LIMIT: u64 = 7;

fn numbered(number: u64) -> Entry {
    let change = Change {
        id: number.to_string(),
        time: Timestamp::from_secs(1_800_000_000 + number as i64),
        component: id("host:h1"),
        kind: ChangeKind::Deploy,
        text: "x".repeat(usize::try_from(number % 2_000).unwrap()),
        detail: String::new(),
    };
    Entry {
        class: RecordClass::Facts,
        bytes: encoded(&Record::Changes(vec![change])),
    }
}

fn last_number(puppet: &Puppet) -> u64 {
    let position = puppet.journal().position(READER).unwrap();
    position.map_or(0, |bytes| u64::from_be_bytes(bytes.try_into().unwrap()))
}

/// The child: appends the next numbers, and how far it came, as one; until it is killed.
fn append_until_killed(folder: &str, collector: String) {
    let puppet = Puppet::run(folder.as_ref(), Some(collector));
    let mut last = last_number(&puppet);
    loop {
        let next = last + 1 + last % BATCH_LIMIT;
        let entries: Vec<_> = (last + 1..=next).map(numbered).collect();
        puppet.append(
            &entries,
            &[(READER.to_owned(), next.to_be_bytes().to_vec())],
        );
        last = next;
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn spool(house: &House, relay: &Relay) -> Process {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([NAME, "--exact", "--nocapture", "--test-threads=1"]);
    command
        .env(FOLDER, house.path("h1"))
        .env(COLLECTOR, relay.url());
    Process::start(&mut command, &house.path("spool.log"))
}

/// Numbers by chance, from 0 to below `limit` (xorshift, Marsaglia 2003).
fn chance(limit: u64) -> u64 {
    static STATE: AtomicU64 = AtomicU64::new(0);
    let mut x = STATE.load(Ordering::Relaxed);
    if x == 0 {
        x = firstlook_whole::house::now().as_micros().unsigned_abs();
    }
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    STATE.store(x, Ordering::Relaxed);
    x % limit
}

#[test]
fn every_record_is_stored_once_whatever_is_killed_or_cut() {
    if let (Ok(folder), Ok(collector)) = (std::env::var(FOLDER), std::env::var(COLLECTOR)) {
        return append_until_killed(&folder, collector);
    }
    let mut house = House::open();
    house.admit("h1");
    let relay = Relay::to(house.agents_port());
    let mut child = spool(&house, &relay);
    let wanted = std::env::var(ROUNDS_WANTED).ok();
    let rounds = wanted.map_or(ROUNDS, |wanted| wanted.parse().unwrap());
    for round in 0..rounds {
        match round % 3 {
            // A new child connects at once, so that something is under way when it next breaks.
            0 => {
                child.kill();
                child = spool(&house, &relay);
                let before = house.counter("firstlook_store_records");
                house.counted("firstlook_store_records", before + 1);
            }
            1 => {
                house.kill();
                house.start();
            }
            _ => relay.cut(),
        }
        // Not to wait for anything: to break it at an odd moment.
        std::thread::sleep(Duration::from_micros(chance(300_000)));
    }
    child.kill();
    drop(child);

    let puppet = Puppet::run(&house.path("h1"), None);
    let (last, epoch) = (last_number(&puppet), puppet.journal().epoch());
    until("the last acknowledgement", || {
        (puppet.journal().bytes() == 0).then_some(())
    });
    let appended = puppet.journal().last().unwrap();
    drop(puppet);
    house.stop();
    assert_stored(&house, last, epoch, appended.0);
    println!("{rounds} times broken, {last} records appended and acknowledged: 0 lost, 0 twice");
}

fn assert_stored(house: &House, last: u64, epoch: Epoch, appended: u64) {
    assert!(last > 500, "only {last} numbers were appended");
    assert_eq!(last, appended, "each number is one record");
    let store = Store::open(house.data().join("store"), StoreConfig::default()).unwrap();
    let host = id("host:h1");
    let all = TimeRange::new(Timestamp::from_secs(0), Timestamp::from_secs(2_000_000_000));
    let stored: Vec<u64> = store
        .changes(all, Some(&host))
        .iter()
        .map(|c| c.item.id.parse().unwrap())
        .collect();
    let expected: Vec<u64> = (1..=last).collect();
    let odd = stored.iter().zip(&expected).find(|(a, b)| a != b);
    assert!(
        stored == expected,
        "{} of {last} are stored; first odd one: {odd:?}",
        stored.len()
    );
    let acknowledged = store.acknowledged(host.host_id().unwrap(), epoch);
    assert_eq!(acknowledged.map(|s| s.0), Some(last));
    assert_eq!(store.stats().quarantined, 0);
}
