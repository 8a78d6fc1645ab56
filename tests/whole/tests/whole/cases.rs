//! An incident kept as a case, and what replay makes of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use firstlook_model::{
    ActiveState, Columns, Direction, EdgeObservation, EdgeStats, Listener, MetricBlock, Record,
    Schema, Series, SignalKind, Timestamp, Unit,
};
use firstlook_whole::binaries::program;
use firstlook_whole::house::{document, now, said};
use firstlook_whole::records::{id, inventory, line, unit};
use firstlook_whole::{House, Puppet, until};
use serde_json::Value;

const WEB: &str = "service:h1/web.service";
/// No table of a case may hold this name as it is.
const ODD: &str = "service:h1/odd, 50%.service";
/// As a change is called that somebody announced.
const BUILD: &str = "announced:build-12";
const DB: &str = "service:h1/db.service";
const SECONDS: i64 = 600;
/// The web service begins to turn so many seconds before the end.
const SPIN: i64 = 40;
/// Another signal of it is not seen in this second, counted from the end.
const UNSEEN: i64 = 100;

/// What was seen in ten minutes until `end`: CPU time as a counter, memory as a gauge, of three services.
fn seen(end: Timestamp) -> [Record; 2] {
    let series = |component: &str, signal: &str, kind: SignalKind| Series {
        component: id(component),
        signal: signal.to_owned(),
        unit: Unit::Count,
        kind,
    };
    let of = |component| {
        [
            series(component, "service.cpu_seconds_total", SignalKind::Counter),
            series(component, "service.memory_bytes", SignalKind::Gauge),
        ]
    };
    let schema = Schema::new([WEB, DB, ODD].map(of).concat());
    let (mut times, mut columns) = (Vec::new(), Columns::default());
    let mut used = [0.0; 3];
    for left in (0..SECONDS).rev() {
        let mut row = Vec::new();
        for (service, used) in used.iter_mut().enumerate() {
            let uneven = ((left * 7 + service as i64) % 5) as f64;
            let spins = service == 0 && left < SPIN;
            *used += if spins { 2.0 } else { 0.25 + uneven / 100.0 };
            let memory = (service == 1 && left == UNSEEN).then_some(f64::NAN);
            row.push(*used);
            row.push(memory.unwrap_or(1e6 + uneven * 1e3));
        }
        times.push(end.minus(Duration::from_secs(left.unsigned_abs())));
        match columns.width() {
            0 => columns = Columns::from_row(row),
            _ => assert!(columns.push_row(&row)),
        }
    }
    let block = MetricBlock {
        schema: schema.id(),
        times,
        columns,
    };
    [Record::Schema(schema), Record::Metrics(block)]
}

/// A dump of connections: the web service calls the database.
fn call(time: Timestamp) -> Record {
    let stats = EdgeStats {
        established: 3,
        segments_sent: 100,
        ..EdgeStats::default()
    };
    Record::Edges(vec![EdgeObservation {
        time,
        interval_ms: 1_000,
        local: id(WEB),
        direction: Direction::Outbound,
        remote: [127, 0, 0, 1].into(),
        port: 5_432,
        stats,
    }])
}

/// A host where a service spins, and then fails; and the incident's number.
fn burning(house: &House) -> (Puppet, String) {
    let puppet = Puppet::join(house, "h1");
    let Record::Inventory(mut facts) = inventory("h1") else {
        panic!("an inventory");
    };
    facts.listeners.push(Listener {
        address: [0, 0, 0, 0].into(),
        port: 5_432,
        component: id(DB),
    });
    puppet.see(&Record::Inventory(facts));
    puppet.see(&unit(WEB, ActiveState::Active));
    let end = Timestamp::from_millis(now().as_millis());
    seen(end).iter().for_each(|record| puppet.see(record));
    let ago = |seconds| end.minus(Duration::from_secs(seconds));
    puppet.see(&call(ago(300)));
    puppet.see(&line(WEB, "spinning \"round\"\tand round", ago(30)));
    until("what was seen", || {
        let line = house.ask(&["logs", "h1"]).out.contains("spinning");
        let list = house.ask(&["metrics", "h1"]).out;
        (line && list.contains("service.cpu_seconds_total")).then_some(())
    });
    let build = [
        "change",
        "add",
        WEB,
        "web 1.4.2 deployed",
        "--id",
        "build-12",
    ];
    house.ask_json("change-added", &[&build[..], &["--at", "60s"]].concat());
    let incident = failed(house, &puppet);
    (puppet, incident)
}

/// The web service fails; the incident's number.
fn failed(house: &House, puppet: &Puppet) -> String {
    puppet.see(&unit(WEB, ActiveState::Failed));
    until("an incident", || {
        let said = house.ask(&["why", "--json"]);
        let why = (said.code == 0).then(|| document("why", &said.out))?;
        Some(why["incident"].as_str().unwrap().to_owned())
    })
}

fn replayed(folder: &Path) -> Value {
    replayed_with(folder, &[])
}

fn replayed_with(folder: &Path, more: &[&str]) -> Value {
    let mut command = Command::new(program("firstlook-collector"));
    let command = command.arg("replay").arg(folder).arg("--json");
    let said = said(command.args(more));
    assert_eq!((said.code, &*said.err), (0, ""), "{}", said.out);
    serde_json::from_str(&said.out).unwrap()
}

/// The cells of each column, by its name.
fn table(folder: &Path) -> BTreeMap<String, Vec<String>> {
    let text = fs::read_to_string(folder.join("metrics.csv")).unwrap();
    let mut lines = text.lines().map(|line| line.split(','));
    let names: Vec<&str> = lines.next().unwrap().collect();
    assert!(names[1..].is_sorted(), "{names:?}");
    let mut table = BTreeMap::<String, Vec<String>>::new();
    for line in lines {
        let cells: Vec<&str> = line.collect();
        assert_eq!(cells.len(), names.len());
        for (name, cell) in names.iter().zip(cells) {
            table
                .entry((*name).to_owned())
                .or_default()
                .push(cell.to_owned());
        }
    }
    table
}

fn ndjson(folder: &Path, file: &str) -> Vec<Value> {
    let text = fs::read_to_string(folder.join(file)).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn an_exported_incident_is_replayed_and_the_failing_component_comes_first() {
    let house = House::open();
    let (_puppet, incident) = burning(&house);
    let folder = house.path("case");
    let place = folder.to_str().unwrap();
    let case = house.ask_json(
        "case",
        &[
            "case",
            "export",
            &incident,
            "--out",
            place,
            "--truth",
            "h1/web",
            "--fault",
            "bad-deploy",
        ],
    );
    assert_eq!(
        (
            &case["incident"],
            &case["series"],
            &case["log_lines"],
            &case["changes"]
        ),
        (&incident.as_str().into(), &6.into(), &1.into(), &1.into()),
        "{case}"
    );

    let about: Value =
        serde_json::from_str(&fs::read_to_string(folder.join("case.json")).unwrap()).unwrap();
    assert_eq!(about["alarm"]["component"], WEB, "{about}");
    assert_eq!(about["truth"]["component"], WEB, "{about}");
    assert!(
        about["normal_until"].as_f64() < about["alarm"]["time"].as_f64(),
        "{about}"
    );

    let table = table(&folder);
    let column = |name: &str| -> Vec<&str> { table[name].iter().map(String::as_str).collect() };
    let seconds = column("time");
    assert_eq!(seconds.len(), SECONDS as usize, "a row a second");
    // A counter's rise in a second; none in the first, where nothing came before.
    let used = column(&format!("{WEB}|service.cpu_seconds_total"));
    assert_eq!(used[0], "");
    assert_eq!(used[used.len() - 1], "2");
    let usual: f64 = used[1].parse().unwrap();
    assert!((0.25..0.3).contains(&usual), "{usual}");
    let memory = column(&format!("{DB}|service.memory_bytes"));
    let empty: Vec<usize> = (0..memory.len())
        .filter(|row| memory[*row].is_empty())
        .collect();
    assert_eq!(empty, [memory.len() - 1 - UNSEEN as usize]);
    assert_eq!(
        column("service:h1/odd%2C 50%25.service|service.memory_bytes").len(),
        seconds.len()
    );

    let edges = fs::read_to_string(folder.join("edges.csv")).unwrap();
    assert_eq!(edges, format!("caller,callee\n{WEB},{DB}\n"));
    let logs = ndjson(&folder, "logs.ndjson");
    assert_eq!(
        (&logs[0]["component"], &logs[0]["text"]),
        (&WEB.into(), &"spinning \"round\"\tand round".into())
    );
    assert_eq!(ndjson(&folder, "changes.ndjson")[0]["id"], BUILD);

    let replayed = replayed(&folder);
    for of in [&replayed, &replayed["by_series"]] {
        assert_eq!(of["suspects"][0]["component"], WEB, "{replayed}");
        assert_eq!(of["truth_rank"], 1, "{replayed}");
    }
    assert_eq!(replayed["verdict"], WEB, "{replayed}");
    assert_eq!(replayed["suspects"][0]["fault"], "bad-deploy", "{replayed}");
    assert_eq!(replayed["spoke_while_normal"], false, "{replayed}");
    assert_eq!(
        (&replayed["refused_lines"], &replayed["unknown_files"]),
        (&0.into(), &Value::Array(Vec::new()))
    );
    assert_eq!(replayed["change"], BUILD, "{replayed}");
    as_it_was_live(&house, &incident, &replayed["live"]);

    // The deploy is known by its announcement alone.
    let untold = replayed_with(&folder, &["--without", "changes"]);
    let verdict = &untold["live"]["verdict"];
    assert_eq!(verdict["changes"], Value::Array(Vec::new()), "{verdict}");
    assert_eq!(verdict["suspects"][0]["fault"], "service-down", "{verdict}");

    // What it was live it is no more without what it was told.
    let half = folder.join("records.zst");
    let bytes = fs::read(&half).unwrap();
    fs::write(&half, &bytes[..bytes.len() / 2]).unwrap();
    let mut command = Command::new(program("firstlook-collector"));
    let refused = said(command.arg("replay").arg(&folder));
    assert_ne!(refused.code, 0);
    assert!(refused.err.contains("records.zst"), "{}", refused.err);
}

/// The verdict of the replay is the one that was given, fact by fact.
fn as_it_was_live(house: &House, incident: &str, live: &Value) {
    let why = house.ask_json("why", &["why", incident]);
    let facts = |suspect: &Value, field: &str| -> Vec<Value> {
        let facts = suspect[field].as_array().unwrap();
        facts.iter().map(|fact| fact["text"].clone()).collect()
    };
    assert!(live["opened"].is_string(), "{live}");
    let (then, again) = (&why["suspects"][0], &live["verdict"]["suspects"][0]);
    assert_eq!(
        (&then["component"]["id"], &then["fault"]),
        (&again["component"], &again["fault"])
    );
    for field in ["for", "against"] {
        assert_eq!(facts(then, field), facts(again, field), "{field}");
    }
    let changes = live["verdict"]["changes"].to_string();
    assert!(changes.contains(BUILD), "{changes}");
    let last = live["given"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&last["right"], &last["kind_right"]),
        (&true.into(), &true.into()),
        "{last}"
    );
    assert_eq!(live["other_incidents"], 0, "{live}");
}

#[test]
fn what_is_not_known_not_kept_or_in_the_way_is_refused_and_leaves_nothing() {
    let house = House::open();
    let puppet = Puppet::join(&house, "h1");
    puppet.see(&inventory("h1"));
    puppet.see(&unit(WEB, ActiveState::Active));
    until("the service", || {
        house.ask(&["map", "h1"]).out.contains(WEB).then_some(())
    });
    let incident = failed(&house, &puppet);
    let home = house.path("cases");
    fs::create_dir_all(home.join("full/theirs")).unwrap();
    let export = |incident: &str, folder: &str, more: &[&str]| {
        let place = home.join(folder);
        let args = ["case", "export", incident, "--out", place.to_str().unwrap()];
        house.ask(&[&args[..], more].concat())
    };
    for (incident, folder, more, code, named) in [
        ("INC-0999", "a", &[][..], 3, "INC-0999"),
        ("web", "a", &[], 2, "no incident's number"),
        (&*incident, "full", &[], 5, "is not empty"),
        (&incident, "no/where", &[], 1, "cannot write"),
        (&incident, "a", &["--truth", "h1/nobody"], 3, "nobody"),
        (&incident, "a", &["--before", "0"], 2, "--before"),
        // A unit's state alone is neither a sample nor a line.
        (&incident, "a", &[], 3, "nothing is kept of the time"),
    ] {
        let said = export(incident, folder, more);
        assert_eq!(
            said.code, code,
            "{incident} {folder} {more:?}: {}",
            said.err
        );
        assert!(
            said.err.contains(named),
            "{incident} {folder} {more:?}: {}",
            said.err
        );
    }
    let left = fs::read_dir(&home).unwrap().map(|e| e.unwrap().file_name());
    assert_eq!(left.collect::<Vec<_>>(), ["full"]);

    // With a line it is a case, though nobody can be ranked by it; and without a truth told there is none.
    puppet.see(&line(WEB, "gone", now()));
    let said = until("the line", || {
        let said = export(&incident, "a", &[]);
        (said.code == 0).then_some(said)
    });
    assert!(said.err.contains("no series"), "{}", said.err);
    assert!(
        said.out.contains("replay it: firstlook-collector replay"),
        "{}",
        said.out
    );
    let about = fs::read_to_string(home.join("a/case.json")).unwrap();
    assert!(!about.contains("truth"), "{about}");
    assert_eq!(
        replayed(&home.join("a"))["by_series"]["suspects"],
        Value::Array(Vec::new())
    );
    assert_eq!(export(&incident, "a", &[]).code, 5);
}
