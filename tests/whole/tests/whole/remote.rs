//! Configuration of agents by groups of hosts: applied, refused, taken back, and kept.

use firstlook_desk::Desk;
use firstlook_proto::wire;
use firstlook_proto::wire::agent_message::Kind as Say;
use firstlook_proto::wire::collector_message::Kind as Hear;
use firstlook_whole::records::encoded_line;
use firstlook_whole::{Host, House, Line, until};
use serde_json::Value;

use crate::session::channel;

const WEB: &str = "service:h1/web.service";
const SLOW: &str = "[logs]\nlines_per_second = 1\n";

/// Makes a version of the group `web`, and gives its number.
fn set(house: &House, text: &str) -> u64 {
    let file = house.path("web.toml");
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let args = [
        "config", "set", "web", file, "--hosts", "h*", "--reason", "test",
    ];
    let made = house.ask_json("config-set", &args);
    assert_eq!(made["hosts"], Value::from(vec!["h1"]));
    made["config"]["version"].as_u64().unwrap()
}

fn fares(house: &House) -> Value {
    let shown = house.ask_json("config", &["config", "show", "--host", "h1"]);
    shown["hosts"][0].clone()
}

/// Waits until the host's configuration is in a state, and gives what is said of it.
fn until_state(house: &House, state: &str) -> Value {
    until(state, || {
        Some(fares(house)).filter(|host| host["state"] == state)
    })
}

/// A host whose trials are short.
fn join(house: &House, trial_s: u64) -> Host {
    let mut host = Host::join(house, "h1");
    host.configure(&format!("[remote]\ntrial_s = {trial_s}\n"));
    host.settled();
    host
}

fn sent(house: &House, word: &str) -> usize {
    let args = ["logs", WEB, "-n", "5000", "--contains", word];
    let found = house.ask_json("logs", &args);
    found["lines"].as_array().unwrap().len()
}

/// Lines that the budget of lines left out, as the host tells of them.
fn left_out(house: &House) -> u64 {
    let hosts = house.ask_json("hosts", &["hosts", "h1"]);
    let losses = hosts["hosts"][0]["losses"].as_array().unwrap();
    let rate = losses.iter().filter(|loss| loss["reason"] == "rate");
    rate.filter_map(|loss| loss["count"].as_u64()).sum()
}

fn write(host: &Host, word: &str) {
    let lines: Vec<String> = (0..400)
        .map(|number| format!("{word} {number} done"))
        .collect();
    host.log(lines.join("\n").as_bytes());
}

#[test]
fn a_configuration_is_applied_accepted_and_kept_while_the_collector_is_gone() {
    let mut house = House::open();
    let mut host = join(&house, 10);
    let version = set(&house, SLOW);
    assert_eq!(fares(&house)["state"], "waiting");
    until_state(&house, "on-trial");
    write(&host, "first");
    until("lines that are left out", || {
        (left_out(&house) > 300).then_some(())
    });
    assert!(sent(&house, "first") < 100);
    let good = until_state(&house, "running");
    assert_eq!(
        (&good["running"], &good["wanted"]),
        (&version.into(), &version.into())
    );
    let hosts = house.ask_json("hosts", &["hosts", "h1"]);
    assert_eq!(hosts["hosts"][0]["config"], good);

    house.stop();
    host.stop();
    host.start();
    write(&host, "second");
    house.start();
    host.settled();
    until("more lines that are left out", || {
        (left_out(&house) > 600).then_some(())
    });
    assert!(sent(&house, "second") < 100);
    assert_eq!(until_state(&house, "running")["running"], version);

    // Without the group, the host's own file holds again, at once.
    house.ask_json("config-removed", &["config", "remove", "web"]);
    until("the host's own", || {
        fares(&house)["running"].is_null().then_some(())
    });
    write(&host, "third");
    until("every line", || {
        (sent(&house, "third") == 400).then_some(())
    });
}

#[test]
fn a_configuration_that_makes_the_agent_worse_is_taken_back_and_told() {
    let house = House::open();
    let _host = join(&house, 10);
    let good = set(&house, "[budget]\nmemory_mib = 4096\n");
    until_state(&house, "running");
    // No agent fits into this.
    let bad = set(&house, "[budget]\nmemory_mib = 8\n");
    let said = until_state(&house, "rolled-back");
    assert_eq!(
        (&said["wanted"], &said["running"]),
        (&bad.into(), &good.into())
    );
    let why = said["why"].as_str().unwrap();
    assert!(why.contains("budget.memory_mib"), "{why}");
    let screen = house.ask(&["config", "show", "web"]);
    assert!(screen.out.contains("rolled-back") && screen.out.contains("memory_mib = 8"));
    let told = || {
        let changes = house.ask_json("changes", &["changes", "agent:h1"]);
        let changes = changes["changes"].as_array().unwrap().clone();
        let texts = changes.iter().filter_map(|change| change["text"].as_str());
        texts.map(str::to_owned).collect::<Vec<_>>()
    };
    until("the change on the timeline", || {
        told()
            .iter()
            .any(|text| text.starts_with(&format!("configuration version {bad} was taken back")))
            .then_some(())
    });

    let reverted = house.ask_json("config-set", &["config", "revert", "web"]);
    assert!(reverted["config"]["version"].as_u64().unwrap() > bad);
    assert_eq!(reverted["known"], false);
    let again = until_state(&house, "running");
    assert_eq!(
        again["running"], reverted["config"]["version"],
        "what ran needs no trial"
    );
    let history = house.ask_json("config-history", &["config", "history", "web"]);
    assert_eq!(history["configs"].as_array().unwrap().len(), 3);
    assert_eq!(history["configs"][0]["text"], history["configs"][2]["text"]);
}

#[test]
fn an_agent_that_is_killed_in_a_trial_comes_back_without_it() {
    let house = House::open();
    let mut host = join(&house, 20);
    let version = set(&house, SLOW);
    until_state(&house, "on-trial");
    host.kill();
    host.start();
    let said = until_state(&house, "rolled-back");
    assert_eq!(
        (&said["wanted"], &said["running"]),
        (&version.into(), &Value::Null)
    );
    assert!(said["why"].as_str().unwrap().contains("started anew"));
    write(&host, "fourth");
    until("every line", || {
        (sent(&house, "fourth") == 400).then_some(())
    });
}

#[test]
fn what_is_wrong_is_refused_at_the_command_and_changes_nothing() {
    let house = House::open();
    let papers = house.admit("h1");
    let file = house.path("wrong.toml");
    let path = file.to_str().unwrap().to_owned();
    let set = ["config", "set", "web", &path, "--hosts", "h*"];
    for (text, named) in [
        (
            "[logs]\nlines_per_second = 0\n",
            "line 2: logs.lines_per_second is 0: 1 to 1000000",
        ),
        (
            "\n[[files]]\nglob = \"/etc/*\"\n",
            "line 2: unknown field `files`",
        ),
        ("[budget\n", "line 1: "),
    ] {
        std::fs::write(&file, text).unwrap();
        let said = house.ask(&set);
        assert_eq!((said.code, &*said.out), (2, ""), "{}", said.err);
        assert!(said.err.contains(named), "{}", said.err);
        assert!(said.err.contains("nothing was changed"), "{}", said.err);
    }
    std::fs::write(&file, SLOW).unwrap();
    let nobody = house.ask(&set[..4]);
    assert_eq!(nobody.code, 2, "{}", nobody.err);
    assert!(nobody.err.contains("--hosts"), "{}", nobody.err);
    for (args, code) in [
        (vec!["config", "show", "web"], 3),
        (vec!["config", "show", "--host", "h9"], 3),
        (vec!["config", "show"], 2),
        (vec!["config", "history", "web"], 3),
        (vec!["config", "revert", "web"], 3),
        (vec!["config", "remove", "web"], 3),
        (vec!["config", "set", "WEB", &path, "--hosts", "h1"], 2),
        (vec!["config", "set", "web", &path, "--hosts", "h/1"], 2),
        (vec!["config", "set", "web", "/nowhere", "--hosts", "h1"], 2),
    ] {
        let said = house.ask(&args);
        assert_eq!((said.code, &*said.out), (code, ""), "{args:?} {}", said.err);
    }
    let credentials = papers.write(house.path("host-credentials"));
    assert_eq!(house.ask_as(&credentials, &set).code, 4);
    let none = house.ask_json("configs", &["config", "list"]);
    assert_eq!(
        (none["configs"].as_array().unwrap().len(), &none["hosts"]),
        (0, &Value::Array(vec![]))
    );

    assert_eq!(house.ask_json("config-set", &set)["known"], false);
    assert_eq!(house.ask_json("config-set", &set)["known"], true);
    assert_eq!(
        house.ask(&["config", "revert", "web"]).code,
        3,
        "there is none before it"
    );
    assert_eq!(
        house
            .ask(&["config", "remove", "web", "--reason", "enough"])
            .code,
        0
    );
    let desk = Desk::open(house.data().join("desk.sqlite")).unwrap();
    let audit = desk.audit().list(100).unwrap();
    let acts: Vec<_> = audit
        .iter()
        .filter(|entry| entry.what.starts_with("config"))
        .map(|entry| (&*entry.what, &*entry.detail))
        .collect();
    assert_eq!(
        acts,
        [
            ("config remove", "web: enough"),
            ("config set", "web version 1")
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_knows_nothing_of_it_goes_on_and_one_that_lies_is_counted() {
    let house = House::open();
    let (mut line, _) = Line::greeted(channel(&house).await, 1).await.unwrap();
    let version = tokio::task::block_in_place(|| set(&house, SLOW));
    // An older agent reads this as a message of no kind, and says nothing.
    line.say(firstlook_whole::line::heartbeat()).await;
    match line.hear().await.unwrap() {
        Some(Hear::Configure(told)) => assert_eq!((told.version, &*told.text), (version, SLOW)),
        other => panic!("no configuration, but {other:?}"),
    }
    line.send(vec![(1, encoded_line(WEB, "all is well"))]).await;
    assert_eq!(line.acknowledged().await, 1);
    let shown = tokio::task::block_in_place(|| fares(&house));
    assert_eq!(shown["state"], "waiting");
    for (state, running) in [(99, 1), (1, u64::MAX)] {
        let said = wire::Configured {
            version,
            state,
            running,
            ..wire::Configured::default()
        };
        line.say(Say::Configured(said)).await;
    }
    tokio::task::block_in_place(|| house.counted("firstlook_ingest_lost_config_reports_total", 2));
    line.send(vec![(2, encoded_line(WEB, "still"))]).await;
    assert_eq!(line.acknowledged().await, 2);
}
