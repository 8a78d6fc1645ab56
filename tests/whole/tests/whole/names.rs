//! What may be named in a question.

use std::time::Duration;

use firstlook_whole::house::now;
use firstlook_whole::records::{inventory, line};
use firstlook_whole::{House, Puppet, until};

fn lines(house: &House, about: &str, since: &str) -> Vec<String> {
    let logs = house.ask_json("logs", &["logs", about, "--since", since]);
    let texts = logs["lines"].as_array().unwrap().iter();
    texts
        .map(|l| l["text"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_service_that_only_old_logs_know_is_found_by_its_label() {
    let mut house = House::open();
    let puppet = Puppet::join(&house, "h1");
    let long_ago = now().minus(Duration::from_secs(2 * 3_600));
    puppet.see(&line(
        "service:h1/web.service",
        "Once Upon a time",
        long_ago,
    ));
    puppet.see(&inventory("h1"));
    until("a line", || {
        (lines(&house, "h1", "3h").len() == 1).then_some(())
    });
    // What detection remembers is of the last minutes; after this it has heard nothing of the service.
    drop(puppet);
    house.stop();
    house.start();
    let map = house.ask(&["map", "--all"]);
    assert!(!map.out.contains("web.service"), "{}", map.out);
    for label in ["h1/web.service", "h1/web", "service:h1/web.service"] {
        assert_eq!(lines(&house, label, "3h"), ["Once Upon a time"], "{label}");
    }
    let args = ["logs", "h1/web", "--since", "3h", "--contains", "oNCE uPON"];
    assert_eq!(
        house.ask_json("logs", &args)["lines"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    for (args, code) in [
        (&["logs", "h1/nothing", "--since", "3h"][..], 3),
        (&["logs", "h2/web", "--since", "3h"], 3),
        (&["changes", "h1/nothing"], 3),
        (&["metrics", "h1/nothing"], 3),
    ] {
        let said = house.ask(args);
        assert_eq!((said.code, &*said.out), (code, ""), "{args:?} {}", said.err);
    }
}

#[test]
fn what_is_asked_of_nobody_or_in_the_clear_is_refused() {
    let house = House::open();
    let puppet = Puppet::join(&house, "h1");
    puppet.see(&inventory("h1"));
    until("a component", || {
        house
            .ask(&["map", "h1"])
            .out
            .contains("host:h1")
            .then_some(())
    });
    for (args, code, why) in [
        (
            &["map", "--to", "h1/nobody"][..],
            3,
            "no dependency on h1/nobody",
        ),
        (&["snapshot", "list", "nobody"], 3, "no host named nobody"),
        (&["snapshot", "list", "NO HOST"], 2, "host name"),
        (&["logs", "-n", "0"], 2, "1..=4294967295"),
        (&["logs", "--since", "soon"], 2, "cannot read the time"),
        (
            &["logs", "--since", "1h", "--until", "2h"],
            2,
            "is not before",
        ),
        (
            &["--collector", "http://127.0.0.1:1", "status"],
            2,
            "https://",
        ),
        (
            &["--collector", "https://127.0.0.1:1", "status"],
            7,
            "cannot reach",
        ),
        (&["--token", "guess", "status"], 4, "a bearer token"),
    ] {
        let said = house.ask(args);
        assert_eq!((said.code, &*said.out), (code, ""), "{args:?} {}", said.err);
        assert!(said.err.contains(why), "{args:?} {}", said.err);
    }
    assert_eq!(house.ask(&["snapshot", "list", "h1"]).code, 0);
}
