//! Faults of what there is too little of: descriptors, and processor time that another takes.

use std::thread;
use std::time::Duration;

use anyhow::Context;

use super::{Fault, RUSH};
use crate::lab::{Lab, cgroup};

/// A job that somebody started beside the database, and that nobody calls.
const GREEDY: &str = "fl-report.service";
/// How many processes of it compute, and how often its turn comes for one of each other service: with the usual hundred the
/// database would have half of the processor, and nobody would be hurt.
const GREEDY_PROCESSES: u32 = 16;
const GREEDY_WEIGHT: u32 = 1_000;
/// Who holds connections on `load1`, and how many: more than the files that `shop.service` may have.
const HOLDERS: &str = "fl-holders.service";
const HELD: u32 = 700;
/// Customers a second beside the usual: thrice as many in all, which the applications serve.
const MORE_CUSTOMERS: u32 = 40;
/// How long there are more customers before something breaks.
const BUSY_FOR: Duration = Duration::from_secs(15);

/// Somebody holds more connections to the application on `app1` than it may have files, and says nothing on them.
pub fn exhaust_files(lab: &Lab) -> anyhow::Result<()> {
    let hold = format!(
        "systemd-run --quiet --unit={HOLDERS} python3 -c 'import socket, time; held = []
while time.sleep(0.002) is None and len(held) < {HELD}:
    try: held.append(socket.create_connection((\"app1\", 8080), 1))
    except OSError: time.sleep(0.2)
time.sleep(600)'"
    );
    lab.host("load1").shell(&hold).map(drop)
}

/// They let go.
pub fn release_files(lab: &Lab) -> anyhow::Result<()> {
    let end = format!("systemctl stop {HOLDERS} || true");
    lab.host("load1").shell(&end).map(drop)
}

/// `db1` has one processor, on which a job computes that nobody calls and that goes before the others. The other processor stays with the others: the lab
/// shares two.
pub fn crowd(lab: &Lab) -> anyhow::Result<()> {
    let db = lab.host("db1");
    cgroup::pin(&db.plan.outer_name(), Some("1"))?;
    let compute = format!(
        "systemd-run --quiet --unit={GREEDY} --nice=-15 --property=CPUWeight={GREEDY_WEIGHT} sh -c \
         'i=1; while [ $i -lt {GREEDY_PROCESSES} ]; do (while :; do :; done) & i=$((i+1)); done; while :; do :; done'"
    );
    db.shell(&compute).map(drop)
}

/// The job ends, and `db1` has all processors again.
pub fn clear(lab: &Lab) -> anyhow::Result<()> {
    let db = lab.host("db1");
    let ended = db.shell(&format!("systemctl stop {GREEDY} || true"));
    cgroup::pin(&db.plan.outer_name(), None)?;
    ended.map(drop)
}

/// More customers than usual, who are served; then the application's process on `app1` is killed.
pub fn break_while_busy(lab: &Lab) -> anyhow::Result<()> {
    rush(lab, MORE_CUSTOMERS)?;
    thread::sleep(BUSY_FOR);
    Fault::ServiceDown.inject(lab)
}

/// So many more customers a second.
pub fn rush(lab: &Lab, rate: u32) -> anyhow::Result<()> {
    let rush = format!(
        "systemd-run --quiet --unit={RUSH} python3 /opt/load/load.py \
         $(systemctl show -P ExecStart load | grep -o 'http://[^ ]*') {rate} /run/rush.json"
    );
    lab.host("load1")
        .shell(&rush)
        .map(drop)
        .context("more customers")
}
