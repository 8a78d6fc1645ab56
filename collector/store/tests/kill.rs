//! What was acknowledged survives `kill -9`.
#![expect(
    clippy::unwrap_used,
    reason = "a test; the child's half is no test function"
)]

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use firstlook_model::{
    Change, ChangeKind, ComponentId, Epoch, HostId, Record, Sequence, TimeRange, Timestamp,
};
use firstlook_store::{Incoming, Store, StoreConfig};

const EPOCH: Epoch = Epoch(1);
const ROLE: &str = "FIRSTLOOK_STORE_KILL_DIRECTORY";
const NAME: &str = "everything_acknowledged_survives_being_killed";
const ROUNDS: u32 = 12;

fn host(number: u64) -> HostId {
    HostId::new(format!("h{number}")).unwrap()
}

fn change(host: &HostId, sequence: u64) -> Incoming {
    Incoming::Other(Record::Changes(vec![Change {
        id: sequence.to_string(),
        time: Timestamp::from_secs(sequence as i64),
        component: ComponentId::host(host.clone()),
        kind: ChangeKind::Deploy,
        text: "x".repeat(500),
        detail: String::new(),
    }]))
}

/// The child: three hosts commit in threads, a fourth thread compacts; each acknowledgement is printed.
fn write_until_killed(directory: &str) {
    let store = Store::open(directory, StoreConfig::default()).unwrap();
    std::thread::scope(|scope| {
        for number in 0..3 {
            let store = store.clone();
            scope.spawn(move || {
                let host = host(number);
                let mut next = store
                    .acknowledged(&host, EPOCH)
                    .map_or(1, |last| last.0 + 1);
                loop {
                    let batch = (next..next + 3).map(|s| (Sequence(s), change(&host, s)));
                    let received = Timestamp::from_secs(next as i64);
                    let done = store
                        .commit(&host, EPOCH, batch.collect(), received)
                        .unwrap();
                    let acknowledged = done.acknowledged.unwrap().0;
                    // One write, so that a line is never torn.
                    let line = format!("ack {number} {acknowledged}\n");
                    std::io::stdout().write_all(line.as_bytes()).unwrap();
                    next = acknowledged + 1;
                }
            });
        }
        scope.spawn(|| {
            loop {
                store.compact(Timestamp::from_secs(1_000_000_000)).unwrap();
            }
        });
    });
}

#[test]
fn everything_acknowledged_survives_being_killed() {
    if let Ok(directory) = std::env::var(ROLE) {
        return write_until_killed(&directory);
    }
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged = [0u64; 3];
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([NAME, "--exact", "--nocapture", "--test-threads=1"])
            .env(ROLE, directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Killed at an odd moment: after some acknowledgements and a pause of chance length.
        let wanted = 10 + round * 7;
        let mut seen = 0;
        let note = |line: &str, acknowledged: &mut [u64; 3]| {
            let mut words = line
                .split(' ')
                .skip_while(|word| !word.ends_with("ack"))
                .skip(1);
            if let (Some(host), Some(sequence)) = (words.next(), words.next()) {
                let (host, sequence): (usize, u64) =
                    (host.parse().unwrap(), sequence.parse().unwrap());
                acknowledged[host] = acknowledged[host].max(sequence);
                return true;
            }
            false
        };
        while seen < wanted {
            let line = lines.next().expect("the child ended by itself").unwrap();
            seen += u32::from(note(&line, &mut acknowledged));
        }
        let chance = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .subsec_nanos();
        std::thread::sleep(Duration::from_micros(u64::from(chance % 20_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        for line in lines.map_while(Result::ok) {
            note(&line, &mut acknowledged);
        }

        let store = Store::open(directory.path(), StoreConfig::default()).unwrap();
        let all = TimeRange::new(Timestamp::from_secs(0), Timestamp::from_secs(1_000_000_000));
        for (number, acknowledged) in acknowledged.iter().enumerate() {
            let host = host(number as u64);
            let last = store.acknowledged(&host, EPOCH).unwrap_or_default().0;
            assert!(
                last >= *acknowledged,
                "{last} after {acknowledged} was acknowledged"
            );
            let stored = store.changes(all, Some(&ComponentId::host(host)));
            let ids: Vec<u64> = stored.iter().map(|c| c.item.id.parse().unwrap()).collect();
            let expected: Vec<u64> = (1..=last).collect();
            assert!(
                ids == expected,
                "each acknowledged record is there, once, in round {round}"
            );
        }
        assert_eq!(store.stats().quarantined, 0);
    }
    assert!(acknowledged.iter().all(|sequence| *sequence > 0));
}
