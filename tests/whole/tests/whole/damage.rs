//! Damaged files: said in one line, or set aside, and never a crash loop.

use std::path::Path;

use firstlook_whole::{Host, House, until};

/// Overwrites every file below `folder` but locks.
fn scribble(folder: &Path) {
    for entry in std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
    {
        if entry.is_dir() {
            scribble(&entry);
        } else if !entry.ends_with("lock") {
            let size = usize::try_from(entry.metadata().unwrap().len()).unwrap();
            std::fs::write(&entry, vec![0xa5; size.max(64)]).unwrap();
        }
    }
}

fn lines(house: &House) -> usize {
    let logs = house.ask_json("logs", &["logs", "h1", "-n", "10000"]);
    logs["lines"].as_array().unwrap().len()
}

#[test]
fn an_agent_sets_a_damaged_journal_aside_and_goes_on() {
    let house = House::open();
    let mut host = Host::join(&house, "h1");
    until("lines", || {
        host.log(b"before");
        (lines(&house) > 0).then_some(())
    });
    host.stop();
    scribble(&host.state_dir().join("journal"));
    host.start();
    until("lines after the damage", || {
        host.log(b"after the damage");
        house
            .ask(&["logs", "h1"])
            .out
            .contains("after the damage")
            .then_some(())
    });
    assert!(host.state_dir().join("journal.corrupt-1").is_dir());
    until("the loss", || {
        let hosts = house.ask(&["hosts", "h1"]).out;
        hosts.contains("damaged-and-set-aside").then_some(())
    });
    assert!(
        host.agent()
            .said()
            .contains("journal is damaged and was set aside")
    );
    host.stop();
    host.start();
    until("an agent after one more restart", || {
        let hosts = house.ask_json("hosts", &["hosts", "h1"]);
        (hosts["hosts"][0]["state"] == "reporting").then_some(())
    });
    assert!(
        !host.state_dir().join("journal.corrupt-2").exists(),
        "once is enough"
    );
}

#[test]
fn a_collector_that_cannot_read_its_files_says_which_and_ends() {
    for (file, named) in [
        ("desk.sqlite", "desk"),
        ("authority/authority.key", "authority"),
        ("addresses.toml", "addresses.toml"),
    ] {
        let mut house = House::open();
        house.admit("h1");
        house.stop();
        let path = house.data().join(file);
        std::fs::write(&path, vec![0xa5; 8_192]).unwrap();
        let before = std::fs::read_to_string(house.path("collector.log"))
            .unwrap()
            .len();
        let mut collector = house.launch();
        let ended = collector.ended();
        let said = collector.said().split_off(before);
        assert_eq!(ended.code(), Some(1), "{file}: {said}");
        assert_eq!(said.lines().count(), 1, "{file}: {said}");
        assert!(
            said.contains("ERROR") && said.contains(named),
            "{file}: {said}"
        );
    }
}

#[test]
fn a_collector_sets_a_damaged_store_aside_says_so_and_sees_again() {
    let mut house = House::open();
    let host = Host::join(&house, "h1");
    until("lines", || {
        host.log(b"before");
        (lines(&house) > 0).then_some(())
    });
    house.stop();
    scribble(&house.data().join("store"));
    house.start();
    until("lines after the damage", || {
        host.log(b"after the damage");
        let said = house.ask(&["logs", "h1"]).out;
        said.contains("after the damage").then_some(())
    });
    let said = house.collector().said();
    assert!(
        said.contains("the store is damaged and was set aside"),
        "{said}"
    );
    assert!(house.data().join("store.corrupt-1").is_dir());
    assert_eq!(house.counter("firstlook_store_set_aside"), 1);
    let told = || {
        let status = house.ask_json("status", &["status"]);
        let spots = status["blind_spots"].as_array().unwrap().clone();
        let is_told = |spot: &serde_json::Value| {
            spot["component"]["id"] == "host:h1"
                && spot["text"].as_str().unwrap().contains("store.corrupt-1")
        };
        spots.iter().any(is_told).then_some(())
    };
    until("a blind spot", told);
}

#[test]
fn a_second_collector_on_the_same_folder_or_port_says_so_and_ends() {
    let house = House::open();
    let mut second = house.launch();
    assert_eq!(second.ended().code(), Some(1));
    let said = second.said();
    assert!(said.contains("cannot listen on 127.0.0.1"), "{said}");
    assert_eq!(house.ask(&["hosts"]).code, 0, "the first goes on");
}
