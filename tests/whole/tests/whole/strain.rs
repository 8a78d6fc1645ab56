//! An agent that costs more than it may gives up work in the written order, says so, and loses nothing by it.

use firstlook_whole::{Host, House, until};
use serde_json::Value;

const WEB: &str = "service:h1/web.service";

/// The sources that are not seen because of strain.
fn given_up(house: &House) -> Vec<String> {
    let hosts = house.ask_json("hosts", &["hosts", "h1"]);
    let blind = hosts["hosts"][0]["inventory"]["blind"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let source = |line: &Value| Some(line.as_str()?.split_once(':')?.0.to_owned());
    let mut sources: Vec<String> = blind.iter().filter_map(source).collect();
    sources.retain(|source| source.starts_with("strain-"));
    sources
}

fn levels(house: &House) -> Vec<f64> {
    let shown = house.ask(&["metrics", "agent:h1", "agent.strain", "--json"]);
    let document: Value = serde_json::from_str(&shown.out).unwrap_or_default();
    let points = document["series"][0]["points"].as_array();
    let values = points.into_iter().flatten();
    values.filter_map(|point| point[1].as_f64()).collect()
}

#[test]
fn an_agent_over_its_budget_gives_up_work_in_order_and_lines_wait() {
    let house = House::open();
    let mut host = Host::join(&house, "h1");
    host.settled();
    assert_eq!(given_up(&house), [""; 0]);
    // No agent fits into this.
    host.configure("[budget]\nmemory_mib = 8\n");
    until("the last level", || {
        let all = [
            "strain-changes",
            "strain-connections",
            "strain-logs",
            "strain-samples",
        ];
        (given_up(&house) == all).then_some(())
    });
    let mut seen = levels(&house);
    seen.dedup();
    let rose: Vec<f64> = seen.into_iter().filter(|level| *level > 0.0).collect();
    assert_eq!(rose, [1.0, 2.0, 3.0], "one level after the other");
    let refused = house.ask(&["snapshot", "take", "h1"]);
    assert!(
        refused.code != 0 && refused.err.contains("the host suffers"),
        "{}",
        refused.err
    );

    host.log(b"written while lines wait");
    // The agent goes on with all else: samples come, a line that is there does not.
    let samples = levels(&house).len();
    until("further samples", || {
        (levels(&house).len() > samples + 1).then_some(())
    });
    let lines = || {
        house
            .ask(&["logs", WEB, "--contains", "while lines wait"])
            .out
    };
    assert!(!lines().contains("written"), "{}", lines());
    host.stop();
    let config = host.state_dir().join("agent.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("memory_mib = 8", "memory_mib = 4096")).unwrap();
    host.start();
    until("the line that waited", || {
        lines().contains("written").then_some(())
    });
    until("all is seen", || given_up(&house).is_empty().then_some(()));
}
