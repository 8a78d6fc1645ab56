//! No space left, on either side: what was acknowledged stays, what was not is kept where it is, and all is
//! there once there is space again.

use std::fs::File;
use std::io::Write;
use std::process::Command;

use firstlook_model::{Change, ChangeKind, Record};
use firstlook_whole::binaries::program;
use firstlook_whole::records::id;
use firstlook_whole::{House, Process, Puppet, SmallDisk, until};

/// The store keeps 128 free, and its log of writes takes 64.
const COLLECTOR_MIB: u32 = 320;
const AGENT_MIB: u32 = 192;

fn deploy(number: u64) -> Record {
    Record::Changes(vec![Change {
        id: number.to_string(),
        time: firstlook_whole::house::now(),
        component: id("host:h1"),
        kind: ChangeKind::Deploy,
        text: format!("release {number} {}", "x".repeat(900)),
        detail: String::new(),
    }])
}

/// Numbers of the releases that the collector knows, as it shows them.
fn releases(house: &House) -> Vec<u64> {
    let shown = house.ask_json("changes", &["changes", "h1"]);
    let changes = shown["changes"].as_array().unwrap().iter();
    let mut numbers: Vec<u64> = changes
        .map(|change| change["text"].as_str().unwrap())
        .filter_map(|text| {
            text.strip_prefix("release ")?
                .split(' ')
                .next()?
                .parse()
                .ok()
        })
        .collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn a_collector_with_a_full_disk_acknowledges_nothing_and_loses_nothing() {
    let mut house = House::on_small_disk(COLLECTOR_MIB);
    let puppet = Puppet::join(&house, "h1");
    let said = |house: &mut House| house.collector().said();
    let kept = |puppet: &Puppet| puppet.journal().bytes();
    for round in 0..3 {
        let first = round * 200 + 1;
        (first..first + 50).for_each(|number| puppet.see(&deploy(number)));
        until("an acknowledgement", || (kept(&puppet) == 0).then_some(()));
        house.disk().fill();
        let complaints = said(&mut house).matches(" ERROR ").count();
        (first + 50..first + 200).for_each(|number| puppet.see(&deploy(number)));
        until("a complaint", || {
            (said(&mut house).matches(" ERROR ").count() > complaints).then_some(())
        });
        assert!(kept(&puppet) > 0, "what is not durable was acknowledged");
        assert_eq!(
            house.ask(&["hosts"]).code,
            0,
            "a full disk is no reason to be blind"
        );
        if round == 1 {
            house.kill();
            house.disk().free();
            house.start();
        } else {
            house.disk().free();
        }
        until("all acknowledged", || (kept(&puppet) == 0).then_some(()));
    }
    let expected: Vec<u64> = (1..=600).collect();
    assert_eq!(releases(&house), expected);
}

struct Tight {
    disk: SmallDisk,
    log: File,
    _agent: Process,
    written: u64,
}

impl Tight {
    /// An agent whose identity and journal are on a small disk, and the log that it follows on another.
    fn begin(house: &House) -> Self {
        let (state, logs) = (house.path("h1"), house.path("logs"));
        let disk = SmallDisk::over(&state, AGENT_MIB);
        std::fs::create_dir(&logs).unwrap();
        let log = File::create(logs.join("web.log")).unwrap();
        let config = format!(
            "[roots]\njournal = []\nkmsg = \"\"\nsystem_bus = \"\"\n\
             [[files]]\nglob = {:?}\nservice = \"web.service\"\n",
            logs.join("*.log")
        );
        std::fs::write(house.path("agent.toml"), config).unwrap();
        let agent = || Command::new(program("firstlook-agent"));
        let mut join = agent();
        join.args(["join", &house.agents_url(), "--token", &house.token()]);
        join.args(["--name", "h1", "--state-dir"]).arg(&state);
        let joined = firstlook_whole::house::said(&mut disk.within(&join));
        assert_eq!(joined.code, 0, "{}", joined.err);
        let mut run = agent();
        run.arg("run").arg("--config").arg(house.path("agent.toml"));
        run.arg("--state-dir").arg(&state);
        let agent = Process::start(&mut disk.within(&run), &house.path("agent.out"));
        Self {
            disk,
            log,
            _agent: agent,
            written: 0,
        }
    }

    fn write(&mut self, lines: u64) {
        for _ in 0..lines {
            self.written += 1;
            let line = format!("item {}\n", self.written);
            self.log.write_all(line.as_bytes()).unwrap();
        }
    }
}

#[test]
fn an_agent_with_a_full_disk_goes_on_and_every_line_arrives_once() {
    let house = House::open();
    let mut tight = Tight::begin(&house);
    until("a followed log", || {
        tight.log.write_all(b"begin\n").unwrap();
        house
            .ask(&["logs", "h1"])
            .out
            .contains("begin")
            .then_some(())
    });
    for _ in 0..2 {
        tight.write(20);
        tight.disk.fill();
        let refusals = |house: &House| {
            let said = std::fs::read_to_string(house.path("agent.out")).unwrap();
            said.matches("records not written").count()
        };
        let before = refusals(&house);
        until("a refused batch", || {
            tight.write(20);
            (refusals(&house) > before).then_some(())
        });
        tight.disk.free();
        tight.write(20);
    }
    let shown = |house: &House| -> Vec<u64> {
        let logs = house.ask_json(
            "logs",
            &["logs", "h1", "--contains", "item ", "-n", "100000"],
        );
        let lines = logs["lines"].as_array().unwrap().iter();
        lines
            .map(|line| line["text"].as_str().unwrap())
            .map(|text| text.strip_prefix("item ").unwrap().parse().unwrap())
            .collect()
    };
    until("the last line", || {
        shown(&house).contains(&tight.written).then_some(())
    });
    let expected: Vec<u64> = (1..=tight.written).collect();
    assert_eq!(shown(&house), expected);
}
