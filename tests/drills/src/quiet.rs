//! The quiet run: what goes on in every house on an ordinary day, and nobody may be woken by it.

use std::fmt::Write;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::Value;

use crate::lab::{Customers, Lab};
use crate::{diagnostics, say, watch};

/// From one chore to the next.
const BETWEEN: Duration = Duration::from_secs(30);
/// How often the collector is asked.
const ASK_EVERY: Duration = Duration::from_secs(1);
const CALM: Duration = Duration::from_secs(15);
const CALM_DEADLINE: Duration = Duration::from_secs(180);

/// Something that people and timers do, and that harms nobody.
struct Chore {
    name: &'static str,
    host: &'static str,
    line: &'static str,
}

/// In turn, as long as the run goes on.
const CHORES: [Chore; 8] = [
    Chore {
        name: "a deploy",
        host: "app2",
        line: "sed -i 's/^release = .*/release = \"1.0.'$(date +%s)'\"/' /etc/shop/app.toml; systemctl restart shop",
    },
    Chore {
        name: "rotation of the database's logs",
        host: "db1",
        line: "for f in /var/log/postgresql/*.log; do cp $f $f.1; : > $f; done",
    },
    Chore {
        name: "a backup",
        host: "db1",
        line: "systemd-run --quiet --wait --uid=postgres sh -c 'pg_dump shop | gzip > /tmp/shop.sql.gz; rm /tmp/shop.sql.gz'",
    },
    Chore {
        name: "a restart",
        host: "app1",
        line: "systemctl restart shop",
    },
    Chore {
        name: "a timer that reads every file",
        host: "app1",
        line: "systemd-run --quiet --on-active=1 sh -c 'timeout 10 find / -xdev -type f -exec cat {} + > /dev/null || true'",
    },
    Chore {
        name: "rotation of the journal",
        host: "edge1",
        line: "journalctl --quiet --rotate; journalctl --quiet --vacuum-files=2",
    },
    Chore {
        name: "a reload of the load balancer",
        host: "edge1",
        line: "echo '# reviewed' >> /etc/haproxy/haproxy.cfg; systemctl reload haproxy",
    },
    Chore {
        name: "a nightly job of the database",
        host: "db1",
        line: "systemd-run --quiet --wait --uid=postgres psql -q shop -c 'VACUUM ANALYZE'",
    },
];

/// What was seen of it.
struct Seen {
    chores: usize,
    /// What was done last when an incident opened, and what the incident says.
    alarms: Vec<(&'static str, String)>,
    unanswered: u32,
    customers: Customers,
}

/// Does chores for so long, and asks meanwhile whether anything is wrong; false when anything was.
///
/// # Errors
/// When a chore fails, or the lab.
pub fn run(lab: &Lab, time: Duration) -> anyhow::Result<bool> {
    let responder = lab.responder()?;
    anyhow::ensure!(
        watch::quiet(responder, CALM, CALM_DEADLINE)?,
        "an incident was open before anything was done"
    );
    let before = lab.customers()?;
    let mut seen = Seen {
        chores: 0,
        alarms: Vec::new(),
        unanswered: 0,
        customers: before,
    };
    let begun = Instant::now();
    let mut chores = CHORES.iter().cycle();
    while begun.elapsed() < time {
        let chore = chores.next().context("there is always another")?;
        say::progress(&format!("quiet: {} on {}", chore.name, chore.host));
        lab.host(chore.host).shell(chore.line)?;
        seen.chores += 1;
        let done = Instant::now();
        while done.elapsed() < BETWEEN {
            let asked = Instant::now();
            match responder.json(&["why", "--json"]) {
                Ok(None) => {}
                Ok(Some(why)) => seen.alarm(lab, chore, &why),
                Err(_) => seen.unanswered += 1,
            }
            thread::sleep(ASK_EVERY.saturating_sub(asked.elapsed()));
        }
    }
    let after = lab.customers()?;
    seen.customers = Customers {
        ok: after.ok - before.ok,
        failed: after.failed - before.failed,
    };
    say::result(&seen.text(begun.elapsed()))?;
    Ok(seen.alarms.is_empty() && seen.unanswered == 0)
}

impl Seen {
    fn alarm(&mut self, lab: &Lab, chore: &Chore, why: &Value) {
        let said = |key: &str| why[key].as_str().unwrap_or("?").to_owned();
        let text = format!("{}: {}", said("incident"), said("title"));
        let number = said("incident");
        if self
            .alarms
            .iter()
            .any(|(_, known)| known.starts_with(&number))
        {
            return;
        }
        say::progress(&format!("quiet: {text}"));
        diagnostics::save(lab, "quiet", why);
        self.alarms.push((chore.name, text));
    }

    fn text(&self, time: Duration) -> String {
        let mut text = format!(
            "{} chores in {:.0} min; {} requests, {} failed\n",
            self.chores,
            time.as_secs_f64() / 60.0,
            self.customers.ok + self.customers.failed,
            self.customers.failed
        );
        for (chore, alarm) in &self.alarms {
            let _ = writeln!(text, "FAIL after {chore}: {alarm}");
        }
        if self.unanswered > 0 {
            let _ = writeln!(text, "FAIL not answered {} times", self.unanswered);
        }
        let _ = writeln!(text, "{} incidents opened", self.alarms.len());
        text
    }
}
