//! Files of procfs that are taken as they are: sockets, memory, pressure and other counters.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use crate::request::{Redact, Roots};
use crate::task::{GatherError, Task};

const CHUNK_BYTES: usize = 64 * 1024;

/// Path under procfs and what it says.
const FILES: [(&str, &str); 34] = [
    ("net/tcp", "TCP sockets over IPv4, with inodes"),
    ("net/tcp6", "TCP sockets over IPv6, with inodes"),
    ("net/udp", "UDP sockets over IPv4, with inodes"),
    ("net/udp6", "UDP sockets over IPv6, with inodes"),
    ("net/unix", "Unix sockets, with inodes"),
    ("net/sockstat", "sockets by kind"),
    ("net/snmp", "IP, TCP and UDP counters"),
    ("net/netstat", "extended TCP counters"),
    ("net/dev", "interface counters"),
    ("net/route", "IPv4 routes"),
    ("net/ipv6_route", "IPv6 routes"),
    ("net/arp", "neighbours"),
    ("net/softnet_stat", "receive backlog per core"),
    ("loadavg", "load"),
    ("meminfo", "memory"),
    ("vmstat", "memory management counters"),
    ("swaps", "swap areas"),
    ("buddyinfo", "free memory by order"),
    ("slabinfo", "kernel caches"),
    ("pressure/cpu", "CPU pressure"),
    ("pressure/memory", "memory pressure"),
    ("pressure/io", "IO pressure"),
    ("stat", "CPU time, boots, forks"),
    ("uptime", "time since boot"),
    ("version", "kernel version"),
    ("cmdline", "kernel command line"),
    ("diskstats", "disk counters"),
    ("partitions", "disks and partitions"),
    ("mdstat", "software RAID"),
    ("interrupts", "interrupts per core"),
    ("softirqs", "soft interrupts per core"),
    ("locks", "file locks"),
    ("modules", "kernel modules"),
    ("sys/fs/file-nr", "open files"),
];
/// Files that a kernel may lack without that being worth a word.
const OPTIONAL: [&str; 4] = ["net/tcp6", "net/udp6", "net/ipv6_route", "mdstat"];

pub(super) fn tasks(roots: &Roots, redact: &Arc<dyn Redact>) -> Vec<Task> {
    FILES
        .iter()
        .filter(|(name, _)| !OPTIONAL.contains(name) || roots.proc.join(name).exists())
        .map(|(name, what)| {
            let path = roots.proc.join(name);
            let redact = Arc::clone(redact);
            let secretive = *name == "cmdline";
            Task::new(format!("proc/{name}"), *what, move |sink| {
                let mut file = std::fs::File::open(&path).map_err(GatherError::read(&path))?;
                if secretive {
                    let text = read_bounded(&path, file, CHUNK_BYTES)?.0;
                    return sink.write(redact.line(&String::from_utf8_lossy(&text)).as_bytes());
                }
                let mut chunk = vec![0; CHUNK_BYTES];
                loop {
                    match file.read(&mut chunk).map_err(GatherError::read(&path))? {
                        0 => return Ok(()),
                        len => sink.write(&chunk[..len])?,
                    }
                }
            })
        })
        .collect()
}

/// At most `limit` bytes of `file`, and whether there were more.
pub(crate) fn read_bounded(
    path: &Path,
    file: impl Read,
    limit: usize,
) -> Result<(Vec<u8>, bool), GatherError> {
    let mut content = Vec::new();
    file.take(limit as u64 + 1)
        .read_to_end(&mut content)
        .map_err(GatherError::read(path))?;
    let more = content.len() > limit;
    content.truncate(limit);
    Ok((content, more))
}
