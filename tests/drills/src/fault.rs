//! The faults: how each is put in, and how it is taken out again.

mod scarce;

use std::io::Write;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::Serialize;

use crate::command::check;
use crate::elsewhere::Lines;
use crate::lab::plan::DATABASE_MOUNT;
use crate::lab::{Lab, network, services};
use crate::vm::faults;

const STEP_DEADLINE: Duration = Duration::from_secs(30);
/// Between an innocent change and the fault.
const BETWEEN: Duration = Duration::from_secs(5);
/// Of a hundred packets that reach the database's host, so many are dropped.
const LOSS_PERCENT: u32 = 28;
/// The nftables table that drops them.
const LOSS_TABLE: &str = "fl_loss";
/// The nftables table that rejects calls to the database.
const REJECT_TABLE: &str = "fl_reject";
/// The nftables table that drops them without a word.
const DROP_TABLE: &str = "fl_drop";
/// The unit of the customers who come in addition, and how many requests a second they make.
const RUSH: &str = "fl-rush.service";
const RUSH_RATE: u32 = 150;
/// The unit in which somebody's transaction lives.
const HOLDER: &str = "fl-holder.service";
/// The database's unit.
const DATABASE_UNIT: &str = "postgresql@15-main.service";
/// The file that fills the database's filesystem.
const FILLER: &str = "core-dump";

/// One way to break the lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// The database's filesystem has not one free block.
    DiskFull,
    /// The application's main process on `app1` is killed, and stays dead.
    ServiceDown,
    /// `app1` gets a configuration with which every request fails, and is restarted.
    BadDeploy,
    /// A part of what `db1` should receive is dropped at its interface.
    PacketLoss,
    /// `app2`'s cable is out of the bridge.
    HostPartitioned,
    /// `app2` is shut down in order, as by an operator.
    HostDown,
    /// The application's main process on `app1` is stopped by a signal: it lives, and does nothing.
    ServiceHung,
    /// So are all processes of the database.
    DatabaseHung,
    /// A request that keeps all it reads eats the memory that `app1`'s application may have.
    OutOfMemory,
    /// Somebody's transaction holds the orders.
    DatabaseLock,
    /// A filter on `db1` rejects calls to the database.
    FirewallReject,
    /// A filter on `db1` drops them, and tells nobody.
    FirewallDrop,
    /// Several times as many customers as usual.
    LoadSurge,
    /// The database's filesystem takes no writes, and says nothing.
    FilesystemFrozen,
    /// [`Fault::DiskFull`] and [`Fault::ServiceDown`] at once.
    TwoFaults,
    /// As [`Fault::ServiceDown`], a moment after a change on `app2` that harms nobody.
    InnocentChange,
    /// Somebody holds more connections to the application on `app1` than it may have files.
    FilesExhausted,
    /// A job that nobody calls takes `db1`'s processor.
    NoisyNeighbour,
    /// As [`Fault::ServiceDown`], while there are more customers than usual.
    BreakWhileBusy,
    /// The virtual machine's clock is minutes ahead.
    ClockSkew,
    /// The virtual machine's table of tracked connections is full.
    ConntrackFull,
    /// The virtual machine has no power.
    PowerCut,
    /// What shell lines do.
    Lines(&'static Lines),
    /// This host's cable is out of the bridge.
    Unplugged(&'static str),
    /// [`Fault::DatabaseLock`] and [`Fault::HostPartitioned`] at once.
    LockAndPartition,
}

impl Fault {
    /// Puts the fault in.
    ///
    /// # Errors
    /// When it could not be put in; it may be in by half then, and `heal` takes that out too.
    pub fn inject(self, lab: &Lab) -> anyhow::Result<()> {
        match self {
            Self::DiskFull => fill(lab),
            Self::ServiceDown => {
                let kill = "systemctl kill --kill-who=main --signal=KILL shop.service";
                lab.host("app1").shell(kill).map(drop)
            }
            Self::BadDeploy => deploy(lab, services::APP_CONFIG_BROKEN),
            Self::PacketLoss => drop_packets(lab),
            Self::HostPartitioned => network::unplug(lab.host("app2").plan),
            Self::HostDown => lab.host("app2").power_off(),
            Self::ServiceHung => signal(lab, "app1", "--kill-who=main shop.service", "STOP"),
            Self::DatabaseHung => signal(lab, "db1", DATABASE_UNIT, "STOP"),
            Self::OutOfMemory => {
                // It is answered by nobody: the process is killed meanwhile.
                let ask = "timeout 20 python3 -c 'import urllib.request as r; \
                     r.urlopen(\"http://127.0.0.1:8080/export\")' >/dev/null 2>&1 &";
                lab.host("app1").shell(ask).map(drop)
            }
            Self::DatabaseLock => {
                let hold = format!(
                    "systemd-run --quiet --unit={HOLDER} --uid=postgres psql -q shop \
                     -c 'BEGIN; LOCK TABLE orders; SELECT pg_sleep(600)'"
                );
                lab.host("db1").shell(&hold).map(drop)
            }
            Self::FirewallReject => filter_calls(lab, REJECT_TABLE, "reject with tcp reset"),
            Self::FirewallDrop => filter_calls(lab, DROP_TABLE, "drop"),
            Self::LoadSurge => scarce::rush(lab, RUSH_RATE),
            Self::FilesystemFrozen => {
                let freeze = format!("fsfreeze --freeze {DATABASE_MOUNT}");
                lab.host("db1").shell(&freeze).map(drop)
            }
            Self::TwoFaults => {
                Self::ServiceDown.inject(lab)?;
                Self::DiskFull.inject(lab)
            }
            Self::InnocentChange => {
                let app2 = lab.host("app2");
                app2.shell("echo '# reviewed' >> /etc/shop/app.toml")?;
                thread::sleep(BETWEEN);
                Self::ServiceDown.inject(lab)
            }
            Self::FilesExhausted => scarce::exhaust_files(lab),
            Self::NoisyNeighbour => scarce::crowd(lab),
            Self::BreakWhileBusy => scarce::break_while_busy(lab),
            Self::ClockSkew => faults::skew_clock(lab),
            Self::ConntrackFull => faults::fill_table(lab),
            Self::PowerCut => faults::cut_power(lab),
            Self::Lines(lines) => lines.inject(lab),
            Self::Unplugged(host) => network::unplug(lab.host(host).plan),
            Self::LockAndPartition => {
                Self::DatabaseLock.inject(lab)?;
                Self::HostPartitioned.inject(lab)
            }
        }
        .with_context(|| format!("injecting {self:?}"))
    }

    /// Takes the fault out, whether it is in, half in, or not in.
    ///
    /// # Errors
    /// When a step fails.
    pub fn heal(self, lab: &Lab) -> anyhow::Result<()> {
        match self {
            Self::DiskFull => {
                let healing = format!(
                    "rm -f {DATABASE_MOUNT}/{FILLER}*; pg_isready -q || \
                     {{ systemctl reset-failed; systemctl restart 'postgresql@*.service' postgresql.service; }}"
                );
                let db = lab.host("db1");
                db.shell(&healing)?;
                db.wait_for("PostgreSQL answers", "pg_isready -q", STEP_DEADLINE)
            }
            Self::ServiceDown => {
                lab.host("app1").shell("systemctl reset-failed shop; systemctl start shop").map(drop)
            }
            Self::BadDeploy => deploy(lab, services::APP_CONFIG),
            Self::PacketLoss => unfilter(lab, "netdev", LOSS_TABLE),
            Self::HostPartitioned => network::plug(lab.host("app2").plan),
            Self::HostDown => lab.host("app2").boot_again(),
            Self::ServiceHung => signal(lab, "app1", "--kill-who=main shop.service", "CONT"),
            Self::DatabaseHung => signal(lab, "db1", DATABASE_UNIT, "CONT"),
            Self::OutOfMemory | Self::InnocentChange => Self::ServiceDown.heal(lab),
            Self::DatabaseLock => {
                // Its backend sleeps on when the client is gone.
                let end = format!(
                    "systemctl stop {HOLDER} || true; runuser -u postgres -- psql -q shop -c \
                     \"SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                     WHERE usename = 'postgres' AND datname = 'shop' AND pid <> pg_backend_pid()\""
                );
                lab.host("db1").shell(&end).map(drop)
            }
            Self::TwoFaults => {
                let filled = Self::DiskFull.heal(lab);
                Self::ServiceDown.heal(lab).and(filled)
            }
            Self::FilesystemFrozen => {
                let thaw = format!("fsfreeze --unfreeze {DATABASE_MOUNT} || true");
                lab.host("db1").shell(&thaw).map(drop)
            }
            Self::FirewallReject => unfilter(lab, "inet", REJECT_TABLE),
            Self::FirewallDrop => unfilter(lab, "inet", DROP_TABLE),
            Self::LoadSurge => {
                let end = format!("systemctl stop {RUSH} || true");
                lab.host("load1").shell(&end).map(drop)
            }
            Self::FilesExhausted => scarce::release_files(lab),
            Self::NoisyNeighbour => scarce::clear(lab),
            Self::BreakWhileBusy => {
                let fewer = Self::LoadSurge.heal(lab);
                Self::ServiceDown.heal(lab).and(fewer)
            }
            Self::ClockSkew => faults::set_clock_right(lab),
            Self::ConntrackFull => faults::empty_table(lab),
            Self::PowerCut => faults::restore_power(lab),
            Self::Lines(lines) => lines.heal(lab),
            Self::Unplugged(host) => network::plug(lab.host(host).plan),
            Self::LockAndPartition => {
                let plugged = Self::HostPartitioned.heal(lab);
                Self::DatabaseLock.heal(lab).and(plugged)
            }
        }
        .with_context(|| format!("healing {self:?}"))
    }
}

/// Fills to the last block: most by reservation, which is quick, the rest by writing.
fn fill(lab: &Lab) -> anyhow::Result<()> {
    let free = available_bytes(lab)?;
    let most = free.saturating_sub(1024 * 1024).max(1);
    lab.host("db1").shell(&format!(
        "fallocate -l {most} {DATABASE_MOUNT}/{FILLER}; \
         dd if=/dev/zero of={DATABASE_MOUNT}/{FILLER}.1 bs=4k 2>/dev/null; sync -f {DATABASE_MOUNT}"
    ))?;
    let left = available_bytes(lab)?;
    ensure!(left < 64 * 1024, "{left} bytes are still free");
    Ok(())
}

/// Free bytes on the database's filesystem.
///
/// # Errors
/// When the host does not answer.
pub fn available_bytes(lab: &Lab) -> anyhow::Result<u64> {
    let counts = lab
        .host("db1")
        .shell(&format!("stat -f -c '%a %S' {DATABASE_MOUNT}"))?;
    let mut numbers = counts.split_whitespace().map(str::parse::<u64>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(blocks)), Some(Ok(size))) => Ok(blocks.saturating_mul(size)),
        _ => anyhow::bail!("unexpected answer of stat: {counts}"),
    }
}

/// As deployment tools do: a new file in the old one's place, then a restart.
fn deploy(lab: &Lab, config: &str) -> anyhow::Result<()> {
    let app = lab.host("app1");
    let path = app.inner_path("/etc/shop/app.toml.new");
    std::fs::write(&path, config).with_context(|| format!("writing {}", path.display()))?;
    app.shell("mv /etc/shop/app.toml.new /etc/shop/app.toml && systemctl restart shop")
        .map(drop)
}

fn signal(lab: &Lab, host: &str, whom: &str, signal: &str) -> anyhow::Result<()> {
    let kill = format!("systemctl kill --signal={signal} {whom}");
    lab.host(host).shell(&kill).map(drop)
}

fn drop_packets(lab: &Lab) -> anyhow::Result<()> {
    filter(
        lab,
        &format!(
            "table netdev {LOSS_TABLE} {{ chain ingress {{ \
             type filter hook ingress device \"eth0\" priority 0; policy accept; \
             numgen random mod 100 < {LOSS_PERCENT} counter drop; }}; }}\n"
        ),
    )
}

/// Does this to calls to the database.
fn filter_calls(lab: &Lab, table: &str, verdict: &str) -> anyhow::Result<()> {
    filter(
        lab,
        &format!(
            "table inet {table} {{ chain input {{ \
             type filter hook input priority 0; policy accept; \
             iifname \"eth0\" tcp dport 5432 counter {verdict}; }}; }}\n"
        ),
    )
}

/// Gives rules to nftables on `db1`.
fn filter(lab: &Lab, rules: &str) -> anyhow::Result<()> {
    let mut nft = network::command_in(&lab.host("db1").plan.outer_name(), "nft");
    let mut child = nft
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .context("starting nft")?;
    let mut input = child.stdin.take().context("nft has no standard input")?;
    input.write_all(rules.as_bytes())?;
    drop(input);
    ensure!(child.wait()?.success(), "nft refused the rules");
    Ok(())
}

/// Takes a table of rules away, if it is there.
fn unfilter(lab: &Lab, family: &str, table: &str) -> anyhow::Result<()> {
    let space = lab.host("db1").plan.outer_name();
    let tables = check(
        network::command_in(&space, "nft").args(["list", "tables"]),
        STEP_DEADLINE,
    )?;
    if tables.contains(table) {
        let mut nft = network::command_in(&space, "nft");
        check(nft.args(["delete", "table", family, table]), STEP_DEADLINE)?;
    }
    Ok(())
}

/// How many packets the loss has dropped so far.
///
/// # Errors
/// When the loss is not in.
pub fn dropped_packets(lab: &Lab) -> anyhow::Result<u64> {
    let mut nft = network::command_in(&lab.host("db1").plan.outer_name(), "nft");
    let rules = check(
        nft.args(["list", "table", "netdev", LOSS_TABLE]),
        STEP_DEADLINE,
    )?;
    let mut after = rules
        .split_whitespace()
        .skip_while(|&word| word != "packets")
        .skip(1);
    let count = after.next().context("the rule has no counter")?;
    count.parse().context("reading the rule's counter")
}

/// Whether a host reaches a TCP port of another within 2 s.
///
/// # Errors
/// When the asking host does not answer.
pub fn reaches(lab: &Lab, from: &str, to: &str, port: u16) -> anyhow::Result<bool> {
    let line = format!("timeout 2 bash -c ': < /dev/tcp/{to}/{port}'");
    Ok(lab.host(from).try_shell(&line)?.code == Some(0))
}
