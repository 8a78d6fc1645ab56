//! `lab-check`: proof of the lab itself, by direct facts and without the product.
//!
//! A drill that fails should be the product's failure. So each fault is shown to have its effect on
//! the host that has it and on those that depend on it, and to be gone after healing.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::fault::{self, Fault};
use crate::lab::{Lab, clean};
use crate::say;

/// How long a fault may take to have an effect, or to lose it.
const EFFECT_DEADLINE: Duration = Duration::from_secs(45);
const CALM: Duration = Duration::from_secs(3);
const CALM_DEADLINE: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(500);
/// Over so long the rate of requests is measured.
const RATE_WINDOW: Duration = Duration::from_secs(5);
/// What the customers ask for is 20 a second; a busy machine may serve somewhat less.
const LEAST_RATE: f64 = 15.0;

/// Checks everything and prints a line for each fact; false when one does not hold.
///
/// # Errors
/// When standard output does not take the lines.
pub fn run(lab: &Lab) -> anyhow::Result<bool> {
    let mut sheet = Sheet {
        lab,
        all_hold: true,
    };
    sheet.fact("every host runs systemd and is up", hosts_are_up)?;
    sheet.fact("hosts see their own processor time", own_figures)?;
    sheet.fact("requests flow", requests_flow)?;
    sheet.fact("each request writes to the database", requests_write)?;
    sheet.fault(
        Fault::DiskFull,
        &[
            ("db1's filesystem has no space", |lab| {
                eventually(|| Ok(fault::available_bytes(lab)? < 65_536))
            }),
            ("the database logs it", |lab| {
                logged(
                    lab,
                    "db1",
                    "cat /var/log/postgresql/*.log",
                    "No space left on device",
                )
            }),
            ("the application logs it", |lab| {
                logged(lab, "app1", "journalctl -u shop", "DiskFull")
            }),
            ("customers meet failures", failures_rise),
        ],
    )?;
    sheet.fault(
        Fault::ServiceDown,
        &[
            ("shop.service on app1 is failed", |lab| {
                logged(lab, "app1", "systemctl show -p ActiveState shop", "failed")
            }),
            ("haproxy takes app1 out", |lab| {
                haproxy_says(lab, "app1 is DOWN")
            }),
        ],
    )?;
    sheet.fault(
        Fault::BadDeploy,
        &[
            ("app1 logs a traceback of a new kind", |lab| {
                logged(lab, "app1", "journalctl -u shop", "KeyError: 'regional'")
            }),
            ("customers meet failures", failures_rise),
        ],
    )?;
    sheet.fault(
        Fault::PacketLoss,
        &[
            ("packets are dropped", |lab| {
                eventually(|| Ok(fault::dropped_packets(lab)? > 20))
            }),
            ("db1's peers send again", retransmissions_rise),
        ],
    )?;
    sheet.fault(
        Fault::HostPartitioned,
        &[
            ("app2 is not reached from app1", |lab| {
                eventually(|| Ok(!fault::reaches(lab, "app1", "app2", 8080)?))
            }),
            ("app2 receives nothing", receives_nothing),
            ("haproxy takes app2 out", |lab| {
                haproxy_says(lab, "app2 is DOWN")
            }),
            ("the others still reach each other", |lab| {
                eventually(|| fault::reaches(lab, "app1", "db1", 5432))
            }),
        ],
    )?;
    sheet.fault(
        Fault::HostDown,
        &[
            ("app2 is not reached from app1", |lab| {
                eventually(|| Ok(!fault::reaches(lab, "app1", "app2", 8080)?))
            }),
            ("haproxy takes app2 out", |lab| {
                haproxy_says(lab, "app2 is DOWN")
            }),
        ],
    )?;
    of_services(&mut sheet)?;
    of_what_is_scarce(&mut sheet)?;
    Ok(sheet.all_hold)
}

/// Faults of services, and of what they alone use.
fn of_services(sheet: &mut Sheet<'_>) -> anyhow::Result<()> {
    sheet.fault(
        Fault::ServiceHung,
        &[
            ("app1's main process is stopped", |lab| {
                let state = "ps -o stat= -p $(systemctl show -P MainPID shop)";
                logged(lab, "app1", state, "T")
            }),
            ("haproxy takes app1 out", |lab| {
                haproxy_says(lab, "app1 is DOWN")
            }),
        ],
    )?;
    sheet.fault(
        Fault::DatabaseHung,
        &[
            ("the database's processes are stopped", |lab| {
                logged(lab, "db1", "ps -C postgres -o stat=", "T")
            }),
            ("customers meet failures", failures_rise),
        ],
    )?;
    sheet.fault(
        Fault::OutOfMemory,
        &[("the kernel kills app1's main process", |lab| {
            let status = "systemctl show -p ExecMainStatus shop";
            logged(lab, "app1", status, "ExecMainStatus=9")
        })],
    )?;
    sheet.fault(
        Fault::DatabaseLock,
        &[
            ("transactions wait for a lock", |lab| {
                let waiting = "runuser -u postgres -- psql -qAt shop \
                     -c 'SELECT count(*) > 0 FROM pg_locks WHERE NOT granted'";
                logged(lab, "db1", waiting, "t")
            }),
            ("customers meet failures", failures_rise),
        ],
    )?;
    sheet.fault(
        Fault::FirewallReject,
        &[
            ("app1 cannot call the database", |lab| {
                eventually(|| Ok(!fault::reaches(lab, "app1", "db1", 5432)?))
            }),
            ("customers meet failures", failures_rise),
        ],
    )?;
    sheet.fault(
        Fault::FirewallDrop,
        &[
            ("app1 gets no answer from the database", |lab| {
                eventually(|| Ok(!fault::reaches(lab, "app1", "db1", 5432)?))
            }),
            ("customers meet failures", failures_rise),
        ],
    )?;
    sheet.fault(
        Fault::LoadSurge,
        &[
            ("app1 says that its pool is exhausted", |lab| {
                logged(lab, "app1", "journalctl -u shop", "pool exhausted")
            }),
            ("customers meet failures", failures_rise),
        ],
    )?;
    sheet.fault(
        Fault::FilesystemFrozen,
        &[
            ("the database waits in a sleep that no signal ends", |lab| {
                logged(lab, "db1", "ps -C postgres -o stat=", "D")
            }),
            ("its filesystem still tells its size", |lab| {
                let asked = format!("timeout 2 df {}", crate::lab::plan::DATABASE_MOUNT);
                logged(lab, "db1", &asked, "postgresql")
            }),
            ("customers meet failures", failures_rise),
        ],
    )
}

/// Faults of what there is too little of.
fn of_what_is_scarce(sheet: &mut Sheet<'_>) -> anyhow::Result<()> {
    sheet.fault(
        Fault::FilesExhausted,
        &[
            ("app1 has as many files as it may", |lab| {
                let full = "test $(ls /proc/$(systemctl show -P MainPID shop)/fd | wc -l) -ge 512 && echo full";
                logged(lab, "app1", full, "full")
            }),
            ("haproxy takes app1 out", |lab| {
                haproxy_says(lab, "app1 is DOWN")
            }),
        ],
    )?;
    sheet.fault(
        Fault::NoisyNeighbour,
        &[("the database waits for its processor", |lab| {
            // Half of the time somebody on db1 waits.
            let waits = "awk '/^some/ { split($2, avg, \"=\"); if (avg[2] > 50) print \"waits\" }' /proc/pressure/cpu";
            logged(lab, "db1", waits, "waits")
        })],
    )?;
    sheet.fault(
        Fault::BreakWhileBusy,
        &[
            ("shop.service on app1 is failed", |lab| {
                logged(lab, "app1", "systemctl show -p ActiveState shop", "failed")
            }),
            ("there are more customers", |lab| {
                logged(lab, "load1", "systemctl is-active fl-rush", "active")
            }),
        ],
    )
}

/// Checks, after the lab went down, that none of it is left on this machine.
///
/// # Errors
/// When standard output does not take the line.
pub fn nothing_is_left() -> anyhow::Result<bool> {
    let left = clean::leftovers();
    let mark = if left.is_empty() { "ok  " } else { "FAIL" };
    say::result(&format!(
        "{mark} nothing of the lab is left {}\n",
        left.join(", ")
    ))?;
    Ok(left.is_empty())
}

type Fact = fn(&Lab) -> anyhow::Result<String>;

struct Sheet<'a> {
    lab: &'a Lab,
    all_hold: bool,
}

impl Sheet<'_> {
    fn fault(&mut self, fault: Fault, effects: &[(&str, Fact)]) -> anyhow::Result<()> {
        let injected = fault.inject(self.lab).map(|()| String::new());
        self.line(&format!("{fault:?}: injected"), injected)?;
        for (what, fact) in effects {
            self.line(&format!("{fault:?}: {what}"), fact(self.lab))?;
        }
        let healed = fault
            .heal(self.lab)
            .and_then(|()| self.lab.wait_for_calm(CALM, CALM_DEADLINE));
        self.line(
            &format!("{fault:?}: healed"),
            healed.map(|()| String::new()),
        )
    }

    fn fact(&mut self, what: &str, fact: Fact) -> anyhow::Result<()> {
        self.line(what, fact(self.lab))
    }

    fn line(&mut self, what: &str, held: anyhow::Result<String>) -> anyhow::Result<()> {
        let line = match &held {
            Ok(detail) => format!("ok   {what} {detail}"),
            Err(error) => format!("FAIL {what}: {error:#}"),
        };
        self.all_hold &= held.is_ok();
        Ok(say::result(&format!("{}\n", line.trim_end()))?)
    }
}

/// Polls until it is so; the detail is the seconds that it took.
fn eventually(so: impl Fn() -> anyhow::Result<bool>) -> anyhow::Result<String> {
    let begun = Instant::now();
    while !so()? {
        ensure!(
            begun.elapsed() < EFFECT_DEADLINE,
            "not so after {EFFECT_DEADLINE:?}"
        );
        thread::sleep(POLL);
    }
    Ok(format!("({:.1} s)", begun.elapsed().as_secs_f64()))
}

/// The output of `source` on a host comes to have `text` in it.
fn logged(lab: &Lab, host: &str, source: &str, text: &str) -> anyhow::Result<String> {
    let line = format!("{source} | grep -qF \"{text}\"");
    eventually(|| Ok(lab.host(host).try_shell(&line)?.code == Some(0)))
}

fn haproxy_says(lab: &Lab, text: &str) -> anyhow::Result<String> {
    logged(lab, "edge1", "journalctl -u haproxy", text)
}

fn hosts_are_up(lab: &Lab) -> anyhow::Result<String> {
    for host in lab.hosts() {
        let state = host.try_shell("systemctl is-system-running")?.stdout;
        ensure!(
            state.trim() == "running",
            "{} is {}",
            host.plan.name,
            state.trim()
        );
    }
    Ok(format!("({} hosts)", lab.hosts().len()))
}

/// The sum of the hosts' busy time since their boot cannot be more than the machine's if each shows
/// its own; a host that shows the machine's is as busy as the machine has ever been.
fn own_figures(lab: &Lab) -> anyhow::Result<String> {
    let busy = |text: &str| -> Option<u64> {
        let numbers = text.lines().next()?.split_whitespace().skip(1);
        Some(
            numbers
                .take(3)
                .filter_map(|number| number.parse::<u64>().ok())
                .sum(),
        )
    };
    let machine = busy(&std::fs::read_to_string("/proc/stat")?).unwrap_or_default();
    let mut hosts = 0;
    for host in lab.hosts() {
        hosts += busy(&host.shell("cat /proc/stat")?).unwrap_or(machine);
    }
    ensure!(
        hosts <= machine,
        "hosts {hosts} ticks, machine {machine} ticks: lxcfs does not work"
    );
    Ok(String::new())
}

fn requests_flow(lab: &Lab) -> anyhow::Result<String> {
    lab.wait_for_calm(CALM, CALM_DEADLINE)?;
    let (before, begun) = (lab.customers()?, Instant::now());
    thread::sleep(RATE_WINDOW);
    let (after, seconds) = (lab.customers()?, begun.elapsed().as_secs_f64());
    let rate = (after.ok - before.ok) as f64 / seconds;
    let failed = after.failed - before.failed;
    ensure!(
        rate >= LEAST_RATE && failed == 0,
        "{rate:.1} a second and {failed} failures"
    );
    Ok(format!("({rate:.1} a second)"))
}

fn requests_write(lab: &Lab) -> anyhow::Result<String> {
    let orders = || -> anyhow::Result<u64> {
        let count = "runuser -u postgres -- psql -qAt -c 'SELECT count(*) FROM orders' shop";
        Ok(lab.host("db1").shell(count)?.trim().parse()?)
    };
    // The counts' file lags behind the database, so the database is asked after it.
    let (ok_before, before) = (lab.customers()?.ok, orders()?);
    thread::sleep(RATE_WINDOW);
    let (after, ok_after) = (orders()?, lab.customers()?.ok);
    let (written, answered) = (after - before, ok_after - ok_before);
    ensure!(
        written > 0 && written.abs_diff(answered) <= 40,
        "{written} orders, {answered} answers"
    );
    Ok(format!("({written} orders, {answered} answers)"))
}

fn failures_rise(lab: &Lab) -> anyhow::Result<String> {
    let before = lab.customers()?.failed;
    eventually(|| Ok(lab.customers()?.failed >= before + 10))
}

fn retransmissions_rise(lab: &Lab) -> anyhow::Result<String> {
    let sent_again = || -> anyhow::Result<u64> {
        let mut sum = 0;
        for host in ["app1", "app2"] {
            // The second "Tcp:" line has the values; RetransSegs is the 12th of them.
            let line = "awk '/^Tcp:/ { value = $13 } END { print value }' /proc/net/snmp";
            sum += lab.host(host).shell(line)?.trim().parse::<u64>()?;
        }
        Ok(sum)
    };
    let before = sent_again()?;
    eventually(|| Ok(sent_again()? >= before + 10))
}

/// The host receives nothing any more. What it sends still enters its end of the cable.
fn receives_nothing(lab: &Lab) -> anyhow::Result<String> {
    let received = || -> anyhow::Result<u64> {
        let text = lab
            .host("app2")
            .shell("cat /sys/class/net/eth0/statistics/rx_packets")?;
        Ok(text.trim().parse()?)
    };
    eventually(|| {
        let before = received()?;
        thread::sleep(Duration::from_secs(1));
        Ok(received()? == before)
    })
}
