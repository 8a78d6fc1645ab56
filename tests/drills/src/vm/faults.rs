//! The faults of the second tier: how each is put in, and how it is taken out again.

use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;

use super::proof::{Cut, Outage, Pulse};
use crate::drill::Drill;
use crate::fault::Fault;
use crate::lab::plan::MACHINE;
use crate::lab::{Lab, network};
use crate::verdict::Truth;

const MACHINE_ITSELF: &[&str] = &["host:vm1"];

/// In the order in which all are run.
pub const CATALOGUE: [Drill; 3] = [
    drill(
        "clock-skew",
        "vm1's clock is set five minutes ahead, and what others signed is too old for it",
        Fault::ClockSkew,
        "clock-skew",
    ),
    drill(
        "conntrack-full",
        "vm1 may track few connections, and a crowd of idle ones takes them all",
        Fault::ConntrackFull,
        "conntrack-full",
    ),
    // Nobody outside can tell a power cut from a pulled cable: no fact differs while it lasts, for who has no power says
    // no farewell. So `host-partitioned` ("cut off from the network, or down") is all that is honest; `host-down` would
    // claim a farewell that nobody heard.
    drill(
        "power-cut",
        "vm1's power is cut, and seconds before it that of its switch",
        Fault::PowerCut,
        "host-partitioned",
    ),
];

/// How far the clock is set off, in seconds.
const SKEW_SECONDS: u32 = 300;
/// Connections that the machine may track, and how many would like to be.
const TRACKED: u32 = 96;
const CROWD: u32 = 300;
/// The unit of those who take them.
const CROWD_UNIT: &str = "fl-crowd.service";
/// Where the usual limit is kept meanwhile.
const KEPT_LIMIT: &str = "/run/fl-conntrack-max";
const LIMIT: &str = "/proc/sys/net/netfilter/nf_conntrack_max";
/// From the death of the switch on, the agent has nobody to hand its records to …
const ALONE: Duration = Duration::from_secs(4);
/// … and what it has read by then has so long to reach its disk: twice the two seconds that its batches may take, for an
/// emulated processor is slow.
const TO_DISK: Duration = Duration::from_secs(4);

/// Sets the machine's clock ahead.
pub fn skew_clock(lab: &Lab) -> anyhow::Result<()> {
    let set = format!("date --set '+{SKEW_SECONDS} seconds'");
    lab.machine()?.shell(&set).map(drop)
}

/// Sets it right, to a tenth of a second or so.
pub fn set_clock_right(lab: &Lab) -> anyhow::Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let set = format!("date --set '@{}.{:03}'", now.as_secs(), now.subsec_millis());
    lab.machine()?.shell(&set).map(drop)
}

/// Lowers how many connections the machine may track, and sends the crowd.
pub fn fill_table(lab: &Lab) -> anyhow::Result<()> {
    let lower = format!("cat {LIMIT} > {KEPT_LIMIT}; echo {TRACKED} > {LIMIT}");
    lab.machine()?.shell(&lower)?;
    let crowd = format!(
        "systemd-run --quiet --unit={CROWD_UNIT} python3 /opt/till/crowd.py {} 8080 {CROWD}",
        MACHINE.name
    );
    lab.host("load1").shell(&crowd).map(drop)
}

/// Sends the crowd away, and lets the machine track as many as ever.
pub fn empty_table(lab: &Lab) -> anyhow::Result<()> {
    let disperse = format!("systemctl stop {CROWD_UNIT} 2>/dev/null || true");
    lab.host("load1").shell(&disperse)?;
    let raise = format!("[ ! -f {KEPT_LIMIT} ] || cat {KEPT_LIMIT} > {LIMIT}; rm -f {KEPT_LIMIT}");
    lab.machine()?.shell(&raise).map(drop)
}

/// Cuts the switch's power, then the machine's. So there are records that only its disk has when it dies.
pub fn cut_power(lab: &Lab) -> anyhow::Result<()> {
    let machine = lab.machine()?;
    network::unplug(&MACHINE)?;
    let alone = Pulse::now(machine)?;
    thread::sleep(ALONE);
    let safe = Pulse::now(machine)?;
    thread::sleep(TO_DISK);
    machine.cut_power()?;
    machine.remember(Cut::now(alone, safe));
    Ok(())
}

/// Gives both their power again, and proves that nothing is missing that was safe.
pub fn restore_power(lab: &Lab) -> anyhow::Result<()> {
    let machine = lab.machine()?;
    let cut = machine.take_cut();
    let outage = cut.map(|cut| Outage::end(lab, cut)).transpose();
    // Whatever there is to say of it, the power comes back.
    network::plug(&MACHINE)?;
    machine.boot_again()?;
    lab.responder()?.wait_until_reporting(&[MACHINE.name])?;
    match outage.context("before the power came back")? {
        Some(outage) => outage
            .cost_nothing(lab, machine)
            .context("after the power cut"),
        None => Ok(()),
    }
}

const fn drill(name: &'static str, about: &'static str, fault: Fault, kind: &'static str) -> Drill {
    Drill {
        name,
        about,
        fault,
        truth: Truth {
            components: MACHINE_ITSELF,
            fault: kind,
            // Its services suffer with it.
            parts_of_host: Some(MACHINE.name),
        },
        also: None,
        core: false,
    }
}
