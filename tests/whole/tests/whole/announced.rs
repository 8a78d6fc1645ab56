//! Changes that somebody announces: from the command to the verdict.

use std::io::Write;
use std::process::{Command, Stdio};

use firstlook_model::ActiveState;
use firstlook_whole::binaries::program;
use firstlook_whole::house::said;
use firstlook_whole::records::{inventory, unit};
use firstlook_whole::{House, Puppet, until};
use serde_json::Value;

const WEB: &str = "service:h1/web.service";

fn add<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["change", "add"], more].concat()
}

#[test]
fn an_announced_deployment_is_weighed_by_the_verdict() {
    let mut house = House::open();
    let puppet = Puppet::join(&house, "h1");
    puppet.see(&inventory("h1"));
    puppet.see(&unit(WEB, ActiveState::Active));
    until("the service", || {
        house.ask(&["map", "h1"]).out.contains(WEB).then_some(())
    });
    let build = ["h1/web", "web 1.4.2 deployed", "--id", "build-12"];
    let added = house.ask_json("change-added", &add(&build));
    assert_eq!(added["known"], false, "{added}");
    assert_eq!(added["change"]["kind"], "deploy", "{added}");
    let listed = house.ask_json("changes", &["changes", "h1"]);
    let change = &listed["changes"][0];
    assert_eq!(change["component"]["id"], WEB, "{listed}");
    let text = change["text"].as_str().unwrap().to_owned();
    assert!(
        text.starts_with("web 1.4.2 deployed (announced by "),
        "{text}"
    );

    // A pipeline that is run again changes nothing; another change has no right to the same id.
    let again = house.ask_json("change-added", &add(&build));
    assert_eq!((&again["known"], &again["change"]), (&true.into(), change));
    let other = house.ask(&add(&["h1/web", "web 1.5.0 deployed", "--id", "build-12"]));
    assert_eq!(other.code, 5, "{}", other.err);
    assert!(other.err.contains("build-12"), "{}", other.err);

    puppet.see(&unit(WEB, ActiveState::Failed));
    let blames = |why: &Value| {
        let suspects = why["suspects"].as_array().into_iter().flatten();
        suspects.clone().any(|suspect| {
            suspect["fault"] == "bad-deploy" && suspect["for"].to_string().contains(&text)
        })
    };
    let verdict = || {
        let said = house.ask(&["why", "--json"]);
        serde_json::from_str::<Value>(&said.out).unwrap_or_default()
    };
    until("a verdict that blames it", || {
        blames(&verdict()).then_some(())
    });
    assert_eq!(verdict()["changes"][0]["text"], text.as_str());

    house.kill();
    house.start();
    let verdict = || {
        let said = house.ask(&["why", "--json"]);
        serde_json::from_str::<Value>(&said.out).unwrap_or_default()
    };
    until("the same after a restart", || {
        blames(&verdict()).then_some(())
    });
    let listed = house.ask_json("changes", &["changes", "h1"]);
    assert_eq!(
        listed["changes"].as_array().map(Vec::len),
        Some(1),
        "{listed}"
    );
}

#[test]
fn what_cannot_be_announced_is_refused_by_name() {
    let house = House::open();
    let puppet = Puppet::join(&house, "h1");
    puppet.see(&inventory("h1"));
    for (words, code, named) in [
        (&["service:h9/web.service", "x"][..], 3, "no host named h9"),
        (&["h1/nothing", "x"], 3, "nothing"),
        (&["endpoint:192.0.2.7:443", "x"], 2, "on no host"),
        (&["host:h1", " "], 2, "one line"),
        (&["host:h1", "a\nb"], 2, "one line"),
        (&["host:h1", "x", "--at", "31d"], 2, "30 days"),
        (&["host:h1", "x", "--at", "soon"], 2, "soon"),
        (&["host:h1", "x", "--detail", "/nowhere"], 1, "/nowhere"),
        (&["host:h1", "x", "--detail", "/dev/zero"], 2, "65536"),
    ] {
        let said = house.ask(&add(words));
        assert_eq!(said.code, code, "{words:?}: {}", said.err);
        assert!(said.err.contains(named), "{words:?}: {}", said.err);
    }
    let listed = house.ask_json("changes", &["changes"]);
    assert_eq!(listed["changes"], Value::Array(Vec::new()));
}

#[test]
fn details_come_from_standard_input_and_a_file() {
    let house = House::open();
    let puppet = Puppet::join(&house, "h1");
    puppet.see(&inventory("h1"));
    let mut command: Command = house.command(&house.data().join("responder"));
    command
        .args(add(&[
            "h1",
            "limits raised",
            "--kind",
            "config-file",
            "--at",
            "5m",
        ]))
        .args(["--detail", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"-old\n+new\n")
        .unwrap();
    assert!(child.wait().unwrap().success());
    let listed = house.ask_json("changes", &["changes", "h1"]);
    let change = &listed["changes"][0];
    assert_eq!(
        (&change["kind"], &change["detail"]),
        (&"config-file".into(), &"-old\n+new\n".into())
    );
}

/// Sends a body to the collector by HTTP, as a pipeline does; gives the code and the document.
fn post(house: &House, token: &str, body: &str) -> (String, Value) {
    let url = format!("{}/v1/changes", house.responders_url());
    let mut command = Command::new("curl");
    command
        .args(["--silent", "--show-error", "--max-time", "20", "--cacert"])
        .arg(house.data().join("responder/ca.pem"))
        .args(["--header", &format!("Authorization: Bearer {token}")])
        .args(["--data-binary", "@-", "--write-out", "%{http_code}", &url])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A collector that refuses early does not read to the end.
    let _ = child.stdin.take().unwrap().write_all(body.as_bytes());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let (document, code) = said.split_at(said.len() - 3);
    (
        code.to_owned(),
        serde_json::from_str(document).unwrap_or_default(),
    )
}

#[test]
fn a_pipeline_announces_by_http() {
    let house = House::open();
    let puppet = Puppet::join(&house, "h1");
    puppet.see(&inventory("h1"));
    let mut issue = Command::new(program("firstlook-collector"));
    issue
        .args(["responder", "add", "ci", "--bearer", "--data-dir"])
        .arg(house.data());
    let issued = said(&mut issue);
    assert_eq!(issued.code, 0, "{}", issued.err);
    let token = issued.out.trim();
    let build = r#"{"component": "service:h1/web.service", "text": "web 1.4.2 deployed", "id": "build-12"}"#;
    let (code, added) = until("a token that is known", || {
        let answer = post(&house, token, build);
        (answer.0 != "401").then_some(answer)
    });
    assert_eq!(code, "200", "{added}");
    assert_eq!(
        (&added["kind"], &added["known"]),
        (&"change-added".into(), &false.into())
    );
    let listed = house.ask_json("changes", &["changes", "h1"]);
    assert_eq!(listed["changes"][0], added["change"]);
    let text = added["change"]["text"].as_str().unwrap();
    assert_eq!(text, "web 1.4.2 deployed (announced by ci)");

    let (code, again) = post(&house, token, build);
    assert_eq!((code.as_str(), &again["known"]), ("200", &true.into()));
    let long = format!(
        r#"{{"component": "h1", "text": "x", "detail": "{}"}}"#,
        "x".repeat(300_000)
    );
    for (token, body, code, named) in [
        ("guess", build, "401", "bearer token"),
        (token, "{", "400", "no announced change"),
        (token, r#"{"component": "h9", "text": "x"}"#, "404", "h9"),
        (
            token,
            r#"{"component": "h1", "text": ""}"#,
            "400",
            "one line",
        ),
        (
            token,
            r#"{"component": "h1", "text": "y", "id": "build-12"}"#,
            "409",
            "build-12",
        ),
        (token, &long, "413", "262144"),
    ] {
        let (given, document) = post(&house, token, body);
        assert_eq!(given, code, "{document}");
        let error = document["error"].as_str().unwrap();
        assert!(error.contains(named), "{error}");
    }
    let listed = house.ask_json("changes", &["changes"]);
    assert_eq!(
        listed["changes"].as_array().map(Vec::len),
        Some(1),
        "{listed}"
    );
}
