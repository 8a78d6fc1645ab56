//! Restarts of either side, kindly or not: every line of a log is shown once.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Command;

use firstlook_whole::binaries::program;
use firstlook_whole::{Host, House, Process, until};
use rustix::fs::{CWD, Mode, OFlags, mkfifoat};

/// Numbers of the lines that the collector has, as they are shown.
fn shown(house: &House) -> Vec<u64> {
    let logs = house.ask_json(
        "logs",
        &["logs", "h1", "--contains", "item ", "-n", "100000"],
    );
    let lines = logs["lines"].as_array().unwrap();
    lines
        .iter()
        .map(|line| number(line["text"].as_str().unwrap()))
        .collect()
}

fn number(text: &str) -> u64 {
    text.strip_prefix("item ").unwrap().parse().unwrap()
}

struct Counting {
    host: Host,
    written: u64,
}

impl Counting {
    fn begin(house: &House) -> Self {
        let host = Host::join(house, "h1");
        // A file that is there before the agent is read from its end: it must be seen to follow this one.
        until("a followed log", || {
            host.log(b"begin");
            house
                .ask(&["logs", "h1"])
                .out
                .contains("begin")
                .then_some(())
        });
        Self { host, written: 0 }
    }

    fn write(&mut self, lines: u64) {
        for _ in 0..lines {
            self.written += 1;
            self.host.log(format!("item {}", self.written).as_bytes());
        }
    }

    fn assert_complete(&mut self, house: &House) {
        // What comes after everything else says that nothing else comes.
        self.write(1);
        until("the last line", || {
            shown(house).contains(&self.written).then_some(())
        });
        let expected: Vec<u64> = (1..=self.written).collect();
        assert_eq!(shown(house), expected);
    }
}

#[test]
fn no_line_is_lost_or_doubled_when_the_agent_restarts() {
    let house = House::open();
    let mut counting = Counting::begin(&house);
    for round in 0..6 {
        counting.write(15);
        if round % 2 == 0 {
            counting.host.settled();
            let ended = counting.host.stop();
            assert!(
                ended.success(),
                "an agent that is asked to end ends well: {ended}"
            );
        } else {
            counting.host.kill();
        }
        counting.write(15);
        counting.host.start();
        counting.write(15);
    }
    counting.assert_complete(&house);
}

#[test]
fn no_line_is_lost_or_doubled_when_the_collector_restarts() {
    let mut house = House::open();
    let mut counting = Counting::begin(&house);
    for round in 0..4 {
        counting.write(15);
        if round % 2 == 0 {
            assert!(
                house.stop().success(),
                "a collector that is asked to end ends well"
            );
        } else {
            house.kill();
        }
        counting.write(15);
        house.start();
        counting.write(15);
    }
    counting.assert_complete(&house);
}

/// Its configuration comes through a pipe: while it reads that, it has begun and done nothing else.
#[test]
fn an_agent_that_is_asked_to_end_in_its_first_moments_ends_well() {
    let house = House::open();
    house.admit("h1");
    let pipe = house.path("agent.toml");
    mkfifoat(CWD, &pipe, Mode::RUSR | Mode::WUSR).unwrap();
    let mut command = Command::new(program("firstlook-agent"));
    command.arg("run").arg("--config").arg(&pipe);
    command.arg("--state-dir").arg(house.path("h1"));
    let mut agent = Process::start(&mut command, &house.path("agent.out"));
    let nonblock = i32::try_from(OFlags::NONBLOCK.bits()).unwrap();
    let configuration = until("an agent that reads", || {
        let mut options = File::options();
        options.write(true).custom_flags(nonblock);
        options.open(&pipe).ok()
    });
    agent.ask_to_end();
    drop(configuration);
    let ended = agent.ended();
    assert!(ended.success(), "{ended}: {}", agent.said());
}
