//! What was known long before a restart is known after it; what it cost when it cannot be read is said.

use std::path::PathBuf;
use std::time::Duration;

use firstlook_model::{ActiveState, Record};
use firstlook_whole::house::now;
use firstlook_whole::records::{inventory, unit};
use firstlook_whole::{House, Puppet, until};

const WEB: &str = "service:h1/web.service";
const DB: &str = "service:h1/db.service";

/// A collector that knows of a unit what was observed before the minutes that are heard again after a restart.
fn with_an_old_fact() -> (House, Puppet) {
    let house = House::open();
    let puppet = Puppet::join(&house, "h1");
    puppet.see(&inventory("h1"));
    puppet.see(&seen_ago(WEB, 3_000));
    until("the service", || knows(&house, WEB).then_some(()));
    (house, puppet)
}

fn seen_ago(component: &str, seconds: u64) -> Record {
    let Record::Units(mut states) = unit(component, ActiveState::Active) else {
        panic!("a unit's state");
    };
    states[0].time = now().minus(Duration::from_secs(seconds));
    Record::Units(states)
}

fn knows(house: &House, component: &str) -> bool {
    house.ask(&["map", "h1"]).out.contains(component)
}

/// Files of hosts: beside them is what was learned of all together.
fn files(house: &House) -> Vec<PathBuf> {
    let folder = std::fs::read_dir(house.data().join("checkpoints")).unwrap();
    let all = folder.map(|entry| entry.unwrap().path());
    all.filter(|path| {
        path.extension()
            .is_some_and(|ending| ending == "checkpoint")
    })
    .collect()
}

#[test]
fn what_was_known_long_before_a_restart_is_known_after_it() {
    let (mut house, puppet) = with_an_old_fact();
    assert!(house.stop().success());
    assert_eq!(files(&house).len(), 1);
    assert!(house.data().join("checkpoints/rates").exists());
    house.start();
    assert!(knows(&house, WEB), "{}", house.ask(&["map", "h1"]).out);
    // After a crash the same is taken up, and what came after it is heard again.
    // Its host's clock is behind, or it waited: what it says was seen long before the checkpoint.
    puppet.see(&seen_ago(DB, 300));
    until("another service", || knows(&house, DB).then_some(()));
    house.kill();
    drop(puppet);
    house.start();
    assert!(
        knows(&house, WEB) && knows(&house, DB),
        "{}",
        house.ask(&["map", "h1"]).out
    );
}

#[test]
fn a_damaged_checkpoint_is_said_and_its_host_learned_anew() {
    let (mut house, _puppet) = with_an_old_fact();
    house.stop();
    let file = files(&house).pop().unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    std::fs::write(&file, bytes).unwrap();
    std::fs::write(house.data().join("checkpoints/rates"), "no rates").unwrap();
    house.start();
    let said = house.collector().said();
    assert!(
        said.contains("what symptoms are usual is not known"),
        "{said}"
    );
    assert!(said.contains("checkpoint not taken up"), "{said}");
    assert!(!knows(&house, WEB));
    assert!(
        house.ask(&["map", "h1"]).out.contains("h1"),
        "what came of late is heard again"
    );
}

#[test]
fn of_a_host_that_was_shut_out_nothing_is_kept() {
    let (mut house, _puppet) = with_an_old_fact();
    house.stop();
    house.start();
    assert_eq!(house.ask(&["hosts", "revoke", "h1"]).code, 0);
    until("no file", || files(&house).is_empty().then_some(()));
    house.stop();
    assert_eq!(files(&house).len(), 0);
    house.start();
    assert!(!knows(&house, WEB));
}
