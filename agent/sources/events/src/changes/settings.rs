//! Settings of the running kernel (`/proc/sys`), those that break services when they change.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// Longest value compared.
const VALUE_LIMIT_BYTES: u64 = 1_024;
/// Looked at. Settings of one interface are many, and are not.
const NAMES: [&str; 43] = [
    "fs/aio-max-nr",
    "fs/file-max",
    "fs/inotify/max_user_instances",
    "fs/inotify/max_user_watches",
    "fs/nr_open",
    "kernel/core_pattern",
    "kernel/hung_task_timeout_secs",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/pid_max",
    "kernel/threads-max",
    "net/core/default_qdisc",
    "net/core/netdev_max_backlog",
    "net/core/rmem_max",
    "net/core/somaxconn",
    "net/core/wmem_max",
    "net/ipv4/conf/all/rp_filter",
    "net/ipv4/ip_forward",
    "net/ipv4/ip_local_port_range",
    "net/ipv4/ip_local_reserved_ports",
    "net/ipv4/neigh/default/gc_thresh3",
    "net/ipv4/tcp_congestion_control",
    "net/ipv4/tcp_fin_timeout",
    "net/ipv4/tcp_keepalive_time",
    "net/ipv4/tcp_max_syn_backlog",
    "net/ipv4/tcp_max_tw_buckets",
    "net/ipv4/tcp_mem",
    "net/ipv4/tcp_retries2",
    "net/ipv4/tcp_rmem",
    "net/ipv4/tcp_syncookies",
    "net/ipv4/tcp_tw_reuse",
    "net/ipv4/tcp_wmem",
    "net/ipv6/conf/all/disable_ipv6",
    "net/netfilter/nf_conntrack_max",
    "net/netfilter/nf_conntrack_tcp_timeout_established",
    "vm/dirty_background_ratio",
    "vm/dirty_ratio",
    "vm/max_map_count",
    "vm/nr_hugepages",
    "vm/overcommit_memory",
    "vm/overcommit_ratio",
    "vm/panic_on_oom",
    "vm/swappiness",
];

/// Value by name. What cannot be read is left out.
pub(super) type Settings = BTreeMap<String, String>;

/// Reads the settings below procfs.
pub(super) fn read(proc_root: &Path) -> Settings {
    let value = |name: &&str| {
        let mut text = String::new();
        let file = File::open(proc_root.join("sys").join(name)).ok()?;
        file.take(VALUE_LIMIT_BYTES)
            .read_to_string(&mut text)
            .ok()?;
        let words: Vec<&str> = text.split_whitespace().collect();
        Some((name.replace('/', "."), words.join(" ")))
    };
    NAMES.iter().filter_map(value).collect()
}

/// Name and line for people of every setting that was and is known, and differs.
pub(super) fn compare(old: &Settings, new: &Settings) -> Vec<(String, String)> {
    let change = |(name, value): (&String, &String)| {
        let before = old.get(name).filter(|before| *before != value)?;
        Some((
            name.clone(),
            format!("{name} went from {before} to {value}"),
        ))
    };
    new.iter().filter_map(change).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn documented_settings_are_the_ones_looked_at() {
        let guide = include_str!("../../../../../docs/logs-and-changes.md");
        let (_, behind) = guide.split_once("Kernel settings:").unwrap();
        let (paragraph, _) = behind.split_once("\n\n").unwrap();
        let told = paragraph.split('`').skip(1).step_by(2);
        assert_eq!(
            told.collect::<Vec<_>>(),
            NAMES.map(|name| name.replace('/', "."))
        );
    }

    #[test]
    fn settings_that_changed_are_told_with_both_values() {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str, value: &str| {
            let path = root.path().join("sys").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, value).unwrap();
        };
        write("vm/swappiness", "60\n");
        write("net/ipv4/ip_local_port_range", "32768\t60999\n");
        let before = read(root.path());
        assert_eq!(before.len(), 2);
        write("net/ipv4/ip_local_port_range", "50000\t50100\n");
        write("vm/overcommit_memory", "2\n");
        let told = compare(&before, &read(root.path()));
        let text = "net.ipv4.ip_local_port_range went from 32768 60999 to 50000 50100";
        assert_eq!(
            told,
            [("net.ipv4.ip_local_port_range".to_owned(), text.to_owned())]
        );
    }
}
