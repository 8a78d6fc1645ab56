//! What an operator trusts the agent with: it observes without starting a program, and its unit lets it do little
//! else.

use std::path::Path;
use std::process::Command;

use firstlook_whole::{Host, House, Process, until};

/// Samples that the agent takes while it is watched: some with a dump of connections, mounts and addresses.
const OPENED: usize = 2_000;

/// The calls by which a process begins another, and one that shows that calls are seen at all.
const CALLS: &str = "trace=fork,vfork,clone,clone3,execve,execveat,openat";

#[test]
fn a_running_agent_starts_no_process() {
    let house = House::open();
    let mut host = Host::join(&house, "h1");
    host.settled();
    let trace = house.path("calls");
    let mut strace = Command::new("strace");
    strace.args([
        "-f",
        "-qq",
        "-e",
        CALLS,
        "-p",
        &host.agent().id().to_string(),
        "-o",
    ]);
    let mut strace = Process::start(strace.arg(&trace), &house.path("strace.out"));
    let calls = until("calls of the agent", || {
        assert!(strace.runs(), "no trace: {}", strace.said());
        let calls = std::fs::read_to_string(&trace).unwrap_or_default();
        (calls.matches("openat(").count() >= OPENED).then_some(calls)
    });
    strace.stop();
    let begins = |line: &&str| {
        // Of a call told in two lines, the first has its arguments.
        let begin = !line.contains("resumed>");
        let thread = line.contains("CLONE_THREAD");
        let process = line.contains("fork(") || line.contains("clone") && !thread;
        begin && (process || line.contains("execve"))
    };
    let begun: Vec<_> = calls.lines().filter(begins).collect();
    assert!(begun.is_empty(), "{begun:#?}");
}

/// Exposure as systemd-analyze(1) counts it, times ten: at most 2.5.
const EXPOSURE: &str = "--threshold=25";

#[test]
fn units_expose_little() {
    for unit in ["firstlook-agent.service", "firstlook-collector.service"] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../deploy/systemd")
            .join(unit);
        let mut analyze = Command::new("systemd-analyze");
        analyze.args(["security", "--offline=true", "--no-pager", EXPOSURE]);
        let said = analyze
            .arg(&file)
            .output()
            .expect("systemd-analyze is installed");
        let report = String::from_utf8_lossy(&said.stdout);
        assert!(report.contains("Overall exposure level"), "{said:?}");
        assert!(said.status.success(), "{report}");
    }
}
