//! From what a host saw to what the responder is told, and to the exit code that scripts go by.

use firstlook_model::ActiveState;
use firstlook_whole::house::document;
use firstlook_whole::records::{inventory, unit};
use firstlook_whole::{House, Puppet, until};

const WEB: &str = "service:h1/web.service";

#[test]
fn a_quiet_host_is_quiet_and_a_failed_service_is_named() {
    let mut house = House::open();
    let puppet = Puppet::join(&house, "h1");
    puppet.see(&inventory("h1"));
    puppet.see(&unit(WEB, ActiveState::Active));
    until("a host that reports", || {
        let said = house.ask(&["status"]).out;
        said.contains("hosts: 1 reporting, 0 silent").then_some(())
    });
    until("the service", || {
        house.ask(&["map", "h1"]).out.contains(WEB).then_some(())
    });
    let quiet = house.ask(&["status", "--check"]);
    assert_eq!(quiet.code, 0, "{}", quiet.out);
    assert!(quiet.out.starts_with("QUIET"), "{}", quiet.out);

    puppet.see(&unit(WEB, ActiveState::Failed));
    until("an incident", || {
        (house.ask(&["status", "--check"]).code == 6).then_some(())
    });
    let why = until("a verdict", || {
        let said = house.ask(&["why", "--json"]);
        assert_eq!(said.code, 0, "{}", said.err);
        let why = document("why", &said.out);
        (!why["suspects"].as_array().unwrap().is_empty()).then_some(why)
    });
    let suspect = &why["suspects"][0];
    assert_eq!(
        (&suspect["component"]["id"], &suspect["fault"]),
        (&WEB.into(), &"service-down".into())
    );
    for field in ["decibans", "probability", "since", "for", "against"] {
        assert!(!suspect[field].is_null(), "{field}: {suspect}");
    }
    for field in [
        "incident",
        "reference_time",
        "ruled_out",
        "blind_spots",
        "changes",
    ] {
        assert!(!why[field].is_null(), "{field}: {why}");
    }
    let evidence = &suspect["for"][0];
    assert!(
        evidence["weight_db"].as_f64().unwrap() > 0.0 && evidence["text"].is_string(),
        "{evidence}"
    );
    for (args, code) in [
        (&["why", "--check"][..], 6),
        (&["why", "--open", "1", "--check"], 6),
        (&["why", "--open", "1"], 0),
        (&["why", "--open", "0"], 3),
    ] {
        let said = house.ask(args);
        assert_eq!(said.code, code, "{args:?} {}", said.err);
    }

    let incident = why["incident"].as_str().unwrap();
    house.kill();
    house.start();
    until("the incident after a restart", || {
        let again = house.ask_json("why", &["why", incident]);
        (again["suspects"][0]["component"]["id"] == WEB).then_some(())
    });
    let status = house.ask_json("status", &["status"]);
    assert_eq!(
        status["open"].as_array().map(Vec::len),
        Some(1),
        "it is the same one: {status}"
    );
}

#[test]
fn a_host_that_falls_silent_is_said_to_be() {
    let house = House::open();
    let puppet = Puppet::join(&house, "h1");
    puppet.see(&inventory("h1"));
    // When nobody at all is heard it may be the collector that cannot hear.
    let other = Puppet::join(&house, "h2");
    let state = || house.ask_json("hosts", &["hosts", "h1"])["hosts"][0]["state"].clone();
    until("a host that reports", || {
        (state() == "reporting").then_some(())
    });
    drop(puppet);
    until("a silent host", || (state() == "silent").then_some(()));
    let says = |text: &str| {
        let status = house.ask(&["status"]).out;
        assert!(status.contains(text), "{status}");
    };
    says("hosts: 1 reporting, 1 silent");
    drop(other);
    until("nobody who reports", || {
        let hosts = house.ask_json("hosts", &["hosts", "h2"]);
        (hosts["hosts"][0]["state"] == "silent").then_some(())
    });
    says("hosts: 0 reporting, 2 silent");
}
