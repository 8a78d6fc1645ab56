//! What the agent can and cannot see on this host, and what would mend it: `check`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use firstlook_model::{ComponentKind, HostId};
use firstlook_sources_probes::Probe;
use serde::Serialize;
use serde_json::{Value, json};

use crate::app::VERSION;
use crate::config::Config;
use crate::observe::{Seen, samples};
use crate::received::Received;
use crate::remote::Shown;

/// Version of the document's form.
const FORM: u32 = 1;
const WIDTH: usize = 80;

/// A right that the kernel may give: name, bit (linux/capability.h), what it shows.
const RIGHTS: [(&str, u32, &str); 4] = [
    (
        "CAP_DAC_READ_SEARCH",
        2,
        "logs, journal and configuration that others own",
    ),
    (
        "CAP_SYS_PTRACE",
        19,
        "whose sockets and open files are whose",
    ),
    (
        "CAP_SYSLOG",
        34,
        "the kernel's log, where it is kept from users",
    ),
    (
        "CAP_SYS_ADMIN",
        21,
        "times and losses of containers' connections",
    ),
];

/// A right, and whether the agent has it.
#[derive(Serialize)]
struct Right {
    name: &'static str,
    held: bool,
    shows: &'static str,
}

/// Something that is not seen.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Blind {
    /// What, and why not.
    what: String,
    /// What would mend it; `None` where nothing is known to.
    mend: Option<&'static str>,
}

/// A probe that is declared. `check` does not look: some touches are for the running agent alone.
#[derive(Serialize)]
struct Declared {
    name: String,
    asks: String,
    about: String,
    interval_s: u64,
}

/// What `check` found.
pub struct Check {
    host: HostId,
    /// What is seen, by source.
    sees: Vec<(&'static str, String)>,
    blind: Vec<Blind>,
    rights: Vec<Right>,
    probes: Vec<Declared>,
    received: Received,
    remote: Shown,
}

impl Check {
    /// Judges what was seen.
    ///
    /// # Errors
    /// When the agent's own rights cannot be read.
    pub fn of(host: HostId, seen: &Seen, settings: &Config) -> anyhow::Result<Self> {
        let status = std::fs::read_to_string("/proc/self/status")
            .context("the agent's own rights cannot be read")?;
        let effective = effective(&status).context("/proc/self/status names no capabilities")?;
        let rights = RIGHTS.map(|(name, bit, shows)| Right {
            name,
            held: effective >> bit & 1 == 1,
            shows,
        });
        let blind = seen.blind.iter().map(|what| Blind {
            what: what.clone(),
            mend: mend(what),
        });
        let declared = |probe: &Probe| Declared {
            name: probe.name.clone(),
            asks: probe.asks(),
            about: probe.component(&host).label(),
            interval_s: probe.interval_s,
        };
        Ok(Self {
            remote: Shown::of(settings),
            received: Received::declared(&host, seen.inventory.as_ref(), settings),
            probes: settings.probes.iter().map(declared).collect(),
            host,
            sees: sees(seen),
            blind: blind.collect(),
            rights: rights.into(),
        })
    }

    /// Whether everything is seen.
    pub fn is_whole(&self) -> bool {
        self.blind.is_empty()
    }

    /// For programs.
    pub fn document(&self) -> Value {
        let sees: BTreeMap<_, _> = self.sees.iter().cloned().collect();
        json!({
            "version": FORM,
            "kind": "check",
            "host": self.host,
            "agent_version": VERSION,
            "sees": sees,
            "cannot_see": self.blind,
            "rights": self.rights,
            "probes": self.probes,
            "received": self.received,
            "remote": self.remote,
        })
    }

    /// For people, at most 80 columns where words allow it.
    pub fn text(&self) -> String {
        let mut text = format!(
            "{}: what an agent of version {VERSION} sees here\n\nSEES\n",
            self.host
        );
        for (source, what) in &self.sees {
            text.push_str(&format!("  {source:<13} {what}\n"));
        }
        if self.is_whole() {
            text.push_str("\nNothing is hidden from it.\n");
        } else {
            text.push_str("\nCANNOT SEE\n");
        }
        for blind in &self.blind {
            text.push_str(&wrapped(&blind.what, 2, 4));
            if let Some(mend) = blind.mend {
                text.push_str(&wrapped(&format!("to mend: {mend}"), 4, 13));
            }
        }
        if !self.probes.is_empty() {
            text.push_str("\nPROBES, DECLARED\n");
        }
        for probe in &self.probes {
            let (name, asks, about) = (&probe.name, &probe.asks, &probe.about);
            let line = format!(
                "{name}: {asks}, every {} s, about {about}",
                probe.interval_s
            );
            text.push_str(&wrapped(&line, 2, 4));
        }
        let received = self.received.lines();
        if !received.is_empty() {
            text.push_str("\nRECEIVED, DECLARED\n");
        }
        for line in received {
            text.push_str(&wrapped(&line, 2, 4));
        }
        text.push_str("\nFROM THE COLLECTOR\n");
        for line in self.remote.lines() {
            text.push_str(&wrapped(&line, 2, 4));
        }
        text.push_str("\nRIGHTS\n");
        for right in &self.rights {
            let held = if right.held { "has" } else { "has not" };
            text.push_str(&format!("  {:<8}{:<21}{}\n", held, right.name, right.shows));
        }
        text
    }
}

/// The effective capabilities of a process, from its status. proc_pid_status(5).
fn effective(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

fn sees(seen: &Seen) -> Vec<(&'static str, String)> {
    let observed = seen
        .frame
        .iter()
        .flat_map(samples)
        .filter(|(_, value)| value.is_finite());
    let mut kinds: BTreeMap<ComponentKind, std::collections::BTreeSet<_>> = BTreeMap::new();
    let mut count = 0;
    for (series, _) in observed {
        count += 1;
        kinds
            .entry(series.component.kind())
            .or_default()
            .insert(&series.component);
    }
    let services = kinds
        .get(&ComponentKind::Service)
        .map_or(0, |all| all.len());
    let mut sees = vec![("metrics", format!("{count} series, {services} services"))];
    let listeners = seen
        .inventory
        .as_ref()
        .map_or(0, |inventory| inventory.listeners.len());
    let edges = seen.edges.len();
    sees.push((
        "connections",
        format!("{edges} edges, {listeners} listeners"),
    ));
    if let Some(inventory) = &seen.inventory {
        sees.push(("filesystems", format!("{} mounted", inventory.mounts.len())));
    }
    if !seen.units.is_empty() {
        sees.push(("units", format!("{} states", seen.units.len())));
    }
    for (source, lines) in &seen.lines {
        sees.push((source, format!("{lines} lines while it looked")));
    }
    sees
}

/// What would mend a blind spot, by what it says of itself.
fn mend(what: &str) -> Option<&'static str> {
    let source = what.split(':').next().unwrap_or_default();
    let refused = what.contains("os error 13") || what.contains("os error 1)");
    Some(match source {
        "kmsg" if refused => {
            "CAP_SYSLOG, and the right to read /dev/kmsg (DeviceAllow= in the unit)"
        }
        "kmsg" => {
            "show the agent the kernel's log, as roots.kmsg = \"/dev/kmsg\"; containers have none"
        }
        "units" => {
            "systemd's bus at roots.system_bus; without systemd, services are known by their commands"
        }
        "journald" => {
            "CAP_DAC_READ_SEARCH or the group systemd-journal; roots.journal names other folders"
        }
        "containers" => {
            "CAP_DAC_READ_SEARCH; docs/logs-and-changes.md says what is read, and its limits"
        }
        "files" => "CAP_DAC_READ_SEARCH, or [[files]] with globs that match what is there",
        "network namespaces" if what.contains("CAP_SYS_PTRACE") => "CAP_SYS_PTRACE",
        "network namespaces" => "CAP_SYS_ADMIN and RestrictNamespaces=net in a drop-in of the unit",
        "sockets" if what.contains("owners") => "CAP_SYS_PTRACE",
        "translated addresses" => "CAP_DAC_READ_SEARCH",
        _ if what.contains("/pressure/") => "a kernel with CONFIG_PSI, started with psi=1",
        _ if refused => "CAP_DAC_READ_SEARCH",
        _ => return None,
    })
}

/// A text in lines that fit, the first indented by `first`, the others by `others`.
fn wrapped(text: &str, first: usize, others: usize) -> String {
    let (mut lines, mut line) = (String::new(), " ".repeat(first));
    let mut empty = true;
    for word in text.split_whitespace() {
        if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push_str(&line);
            lines.push('\n');
            (line, empty) = (" ".repeat(others), true);
        }
        if !empty {
            line.push(' ');
        }
        line.extend(word.chars().filter(|c| !c.is_control()));
        empty = false;
    }
    lines + &line + "\n"
}

/// The name that this host's identity has, if it has joined.
pub fn joined_name(state_dir: &Path) -> Option<HostId> {
    firstlook_uplink::Identity::load(state_dir)
        .ok()
        .map(|identity| identity.host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(blind: &[&str]) -> Check {
        let seen = Seen {
            blind: blind.iter().map(|line| (*line).to_owned()).collect(),
            ..Seen::default()
        };
        let settings = "\
            [[probe]]\nname = \"front\"\nservice = \"web.service\"\ntcp = { address = \"[::1]:80\" }\n\
            [[scrape]]\nurl = \"http://[::1]:9100\"\n\
            [statsd]\nservice = \"web.service\"\n";
        let settings = toml::from_str(settings).unwrap();
        Check::of(HostId::new("h1").unwrap(), &seen, &settings).unwrap()
    }

    #[test]
    fn rights_are_read_from_the_status_of_a_process() {
        let held = effective("Name:\tx\nCapPrm:\t0000000000000000\nCapEff:\t0000000000080004\n");
        assert_eq!(held, Some(1 << 19 | 1 << 2));
        assert_eq!(effective("Name:\tx\n"), None);
        assert_eq!(effective("CapEff:\tnonsense\n"), None);
    }

    #[test]
    fn what_is_hidden_comes_with_what_would_mend_it() {
        for (what, expected) in [
            (
                "kmsg: cannot open /dev/kmsg: Operation not permitted (os error 1)",
                "CAP_SYSLOG",
            ),
            (
                "units: no system bus at /run/dbus/system_bus_socket",
                "roots.system_bus",
            ),
            (
                "sockets: owners of other users' sockets cannot be seen",
                "CAP_SYS_PTRACE",
            ),
            (
                "/proc/pressure/cpu: No such file or directory (os error 2)",
                "psi=1",
            ),
            (
                "/proc/1/mounts: Permission denied (os error 13)",
                "CAP_DAC_READ_SEARCH",
            ),
        ] {
            assert!(mend(what).unwrap().contains(expected), "{what}");
        }
        assert_eq!(
            mend("statvfs /data: Stale file handle (os error 116)"),
            None
        );
    }

    #[test]
    fn declared_probes_are_listed() {
        let check = check(&[]);
        let line = "  front: tcp [::1]:80, every 10 s, about h1/web.service\n";
        assert!(check.text().contains(line), "{}", check.text());
        assert_eq!(check.document()["probes"][0]["asks"], "tcp [::1]:80");
    }

    #[test]
    fn what_is_to_be_received_is_listed() {
        let check = check(&[]);
        for line in [
            "  scrape http://[::1]:9100/metrics, every 10 s, at most 500 series, about h1\n",
            "  statsd udp 127.0.0.1:8125, at most 500 series, about h1/web.service\n",
        ] {
            assert!(check.text().contains(line), "{}", check.text());
        }
        let received = &check.document()["received"];
        assert_eq!(received["scrapes"][0]["about"], "h1");
        assert_eq!(received["statsd"]["listen"], "127.0.0.1:8125");
    }

    #[test]
    fn what_is_printed_fits_a_terminal_and_says_whether_anything_is_hidden() {
        let whole = check(&[]);
        assert!(whole.is_whole() && whole.text().contains("Nothing is hidden"));
        let hidden = check(&[
            "network namespaces: of the sockets of 3 only states and queues are seen, not times \
            and retransmissions: entering them takes CAP_SYS_ADMIN (Operation not permitted (os error 1))",
        ]);
        let text = hidden.text();
        assert!(!hidden.is_whole() && text.contains("to mend: CAP_SYS_ADMIN"));
        assert!(
            text.lines().all(|line| line.chars().count() <= WIDTH),
            "{text}"
        );
        assert_eq!(
            hidden.document()["cannot_see"][0]["mend"],
            mend(&hidden.blind[0].what).unwrap()
        );
    }
}
