//! What an operator trusts the agent with: it observes without starting a program, and its unit lets it do little
//! else.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use firstlook_whole::binaries::program;
use firstlook_whole::house::{Said, said};
use firstlook_whole::{Host, House, Process, until};
use serde_json::Value;

/// Files read while the agent is watched: some samples, with dumps of connections, mounts and addresses.
const READ: usize = 2_000;
/// The calls by which a process begins another, and one that shows that calls are seen at all.
const CALLS: &str = "trace=fork,vfork,clone,clone3,execve,execveat,pread64";

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
        let calls = fs::read_to_string(&trace).unwrap_or_default();
        (calls.matches("pread64(").count() >= READ).then_some(calls)
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

/// Runs the agent without a collector, and without what this machine may or may not have.
pub(crate) fn alone(words: &[&str]) -> Said {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("agent.toml");
    let blind = "[roots]\njournal = []\nkmsg = \"/nonexistent/kmsg\"\nsystem_bus = \"\"\n";
    fs::write(&config, blind).unwrap();
    let mut command = Command::new(program("firstlook-agent"));
    said(command.args(words).arg("--config").arg(&config))
}

#[test]
fn one_observation_is_printed_without_a_collector() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let said = alone(&["run", "--once", "--json", "--state-dir", "/nonexistent"]);
    assert_eq!(said.code, 0, "{}", said.err);
    let seen: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(
        (&seen["version"], &seen["kind"]),
        (&1.into(), &"observation".into())
    );
    let series = seen["series"].as_array().unwrap();
    let cores = series
        .iter()
        .find(|series| series["signal"] == "cpu.cores")
        .unwrap();
    let expected = std::thread::available_parallelism().unwrap().get() as f64;
    assert!(cores["value"].as_f64().unwrap() >= expected, "{cores}");
    assert!(seen["edges"].is_array());
    let listeners = seen["inventory"]["listeners"].as_array().unwrap();
    assert!(
        listeners.iter().any(|listener| listener["port"] == port),
        "{listeners:?}"
    );
    let blind = seen["blind"].as_array().unwrap();
    assert!(
        blind
            .iter()
            .any(|why| why.as_str().unwrap().starts_with("kmsg:"))
    );
}

#[test]
fn check_says_what_is_hidden_and_ends_with_seven() {
    let said = alone(&["check"]);
    assert_eq!(said.code, 7, "{}", said.err);
    assert!(
        said.out.contains("kmsg: cannot open /nonexistent/kmsg"),
        "{}",
        said.out
    );
    assert!(said.out.contains("to mend: ") && said.out.contains("CAP_SYS_PTRACE"));
    assert!(
        said.out.lines().all(|line| line.chars().count() <= 80),
        "{}",
        said.out
    );
    let said = alone(&["check", "--json"]);
    let check: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((said.code, &check["kind"]), (7, &"check".into()));
    let misused = alone(&["run", "--once"]);
    assert_eq!(misused.code, 2, "{}", misused.err);
}

#[test]
fn an_agent_without_rights_names_them() {
    if !rustix::process::geteuid().is_root() {
        // Whoever runs the tests has none to lose: what they have is what is told.
        assert!(alone(&["check"]).out.contains("has not CAP_SYS_PTRACE"));
        return;
    }
    // Somebody else's socket.
    let _listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // Where nobody may go: programs are built in folders that are their builder's.
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("firstlook-agent");
    fs::copy(program("firstlook-agent"), &copy).unwrap();
    for path in [folder.path(), &copy] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = Command::new("setpriv");
    command.args([
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--inh-caps=-all",
    ]);
    let said = said(command.arg(&copy).arg("check"));
    assert_eq!(said.code, 7, "{}", said.err);
    assert!(said.out.contains("has not CAP_SYS_PTRACE"), "{}", said.out);
    assert!(
        said.out.contains("sockets: owners of other users"),
        "{}",
        said.out
    );
}
