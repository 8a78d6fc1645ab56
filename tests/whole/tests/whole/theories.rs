//! What people suspect, weighed by the collector; and the catalogue that it is weighed by.

use firstlook_model::ActiveState;
use firstlook_whole::house::document;
use firstlook_whole::records::{inventory, unit};
use firstlook_whole::{House, Puppet, until};

const WEB: &str = "service:h1/web.service";
/// A kind of fault that no catalogue but a team's has.
const TEAM: &str = r#"
[fault]
kind = "web-gone"
components = ["service"]
summary = "{component} is gone"
prior_db = -20.0
trouble = 0.5
looks_when_fixed = "it runs"
question = { text = "is it?", command = "systemctl status {name}" }

[[predict]]
any = ["unit.failed"]
at = ["self"]
level = "must"
"#;

/// A host with a failed service, and the incident's number.
fn burning(house: &House) -> (Puppet, String) {
    let puppet = Puppet::join(house, "h1");
    puppet.see(&inventory("h1"));
    puppet.see(&unit(WEB, ActiveState::Active));
    until("the service", || {
        house.ask(&["map", "h1"]).out.contains(WEB).then_some(())
    });
    puppet.see(&unit(WEB, ActiveState::Failed));
    let incident = until("a verdict", || {
        let said = house.ask(&["why", "--json"]);
        let why = (said.code == 0).then(|| document("why", &said.out))?;
        let suspected = why["suspects"][0]["component"]["id"] == WEB;
        suspected.then(|| why["incident"].as_str().unwrap().to_owned())
    });
    (puppet, incident)
}

#[test]
fn a_theory_is_weighed_as_the_engine_weighs_its_own_kept_and_listed() {
    let mut house = House::open();
    let (puppet, incident) = burning(&house);
    let none = house.ask(&["theory", "list"]);
    assert!(
        none.out.contains("nobody has told a theory"),
        "{}",
        none.out
    );

    // Without a fault it is the one that explains most: what the engine itself says.
    let added = house.ask_json("theory-added", &["theory", "add", &incident, WEB]);
    assert_eq!(
        (&added["place"], &added["known"]),
        (&1.into(), &false.into()),
        "{added}"
    );
    let suspect = &added["theory"]["suspect"];
    assert_eq!(suspect["fault"], "service-down", "{added}");
    assert!(suspect["probability"].as_f64().unwrap() > 0.3, "{added}");

    let wrong = house.ask_json(
        "theory-added",
        &["theory", "add", &incident, "h1", "cpu-saturated"],
    );
    let suspect = &wrong["theory"]["suspect"];
    assert!(
        wrong["place"].is_null() && suspect["probability"].as_f64().unwrap() < 0.1,
        "{wrong}"
    );

    let again = house.ask(&["theory", "add", &incident, "h1", "cpu-saturated"]);
    assert!(
        again.out.starts_with("THEORY    host:h1 cpu-saturated"),
        "{}",
        again.out
    );
    assert!(
        again.out.contains("first told by responder"),
        "{}",
        again.out
    );

    let list = house.ask_json("theories", &["theory", "list", &incident]);
    let faults = |list: &serde_json::Value| -> Vec<String> {
        let theories = list["theories"].as_array().unwrap().iter();
        theories
            .map(|t| t["suspect"]["fault"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(faults(&list), ["service-down", "cpu-saturated"], "{list}");
    assert_eq!(list["fresh"], true);

    for (args, code, says) in [
        (
            &["theory", "add", &incident, WEB, "gremlins"][..],
            3,
            "catalogue list",
        ),
        (
            &["theory", "add", &incident, WEB, "disk-full"],
            2,
            "disk-full is a fault of a filesystem",
        ),
        (
            &["theory", "add", &incident, "service:h1/nobody.service"],
            3,
            "nothing is seen of",
        ),
        (&["theory", "add", "INC-0999", WEB], 3, "INC-0999"),
        (&["theory", "add", "web", WEB], 2, "say which incident"),
    ] {
        let said = house.ask(args);
        assert!(
            said.code == code && said.err.contains(says),
            "{args:?}: {} {}",
            said.code,
            said.err
        );
    }

    // They outlive the collector, and the incident.
    house.kill();
    house.start();
    puppet.see(&unit(WEB, ActiveState::Active));
    until("the incident to close", || {
        let why = house.ask_json("why", &["why", &incident]);
        (why["state"] == "closed").then_some(())
    });
    let list = house.ask_json("theories", &["theory", "list", &incident]);
    assert_eq!(faults(&list), ["service-down", "cpu-saturated"], "{list}");
    assert_eq!(list["fresh"], false);
    let late = house.ask(&["theory", "add", &incident, WEB]);
    assert!(
        late.code == 4 && late.err.contains("is closed"),
        "{}",
        late.err
    );
}

#[test]
fn a_teams_own_kinds_of_fault_are_looked_over_taken_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let write = |text: &str| std::fs::write(folder.path().join("web.toml"), text).unwrap();
    let path = folder.path().to_str().unwrap();
    let mut house = House::with_options(&["--catalogue", path]);
    let lint = |house: &House| house.ask(&["catalogue", "lint", path]);

    write(&TEAM.replace("0.5", "5"));
    let wrong = lint(&house);
    assert_eq!(wrong.code, 6, "{}", wrong.err);
    assert_eq!(
        wrong.out,
        "web.toml:7: wrong: trouble is 5, must lie in 0 to 0.99\n0 kinds of fault can be used of 1 file\n"
    );
    // A collector does not start with it, and says why.
    house.stop();
    let mut refused = house.launch();
    until("the refusal", || (!refused.runs()).then_some(()));
    assert!(
        refused.said().contains("web.toml:7: trouble is 5"),
        "{}",
        refused.said()
    );

    write(TEAM);
    house.start();
    let sound = lint(&house);
    assert_eq!(
        (sound.code, sound.out.as_str()),
        (0, "1 kind of fault can be used of 1 file\n")
    );
    let list = house.ask_json("faults", &["catalogue", "list"]);
    let of = |fault: &str| {
        let mut faults = list["faults"].as_array().unwrap().iter();
        faults.find(|f| f["fault"] == fault).cloned().unwrap()
    };
    assert_eq!(of("web-gone")["file"], "web.toml");
    assert!(of("disk-full")["file"].is_null());
    let explained = house.ask(&["catalogue", "explain", "web-gone"]);
    assert!(
        explained.out.contains("must: a failed unit at self"),
        "{}",
        explained.out
    );
    let unknown = house.ask(&["catalogue", "explain", "gremlins"]);
    assert!(
        unknown.code == 3 && unknown.err.contains("catalogue list"),
        "{}",
        unknown.err
    );

    let (_puppet, incident) = burning(&house);
    let theory = house.ask_json(
        "theory-added",
        &["theory", "add", &incident, WEB, "web-gone"],
    );
    let suspect = &theory["theory"]["suspect"];
    assert!(
        suspect["summary"]
            .as_str()
            .unwrap()
            .contains("web.service is gone"),
        "{theory}"
    );
    assert!(!suspect["for"].as_array().unwrap().is_empty(), "{theory}");
}
