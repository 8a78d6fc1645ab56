//! Settings: declared configuration files, redacted, and a choice of the kernel's.

use std::fmt::Write;
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use firstlook_archive::tidy_path;
use rustix::fs::OFlags;

use crate::gather::read_bounded;
use crate::request::{Redact, Roots};
use crate::task::{GatherError, Sink, Task};

/// Most declared files.
const FILES_LIMIT: usize = 1_000;
/// Largest configuration file that is taken whole.
const FILE_LIMIT_BYTES: usize = 1024 * 1024;
/// Longest value of a kernel setting.
const VALUE_LIMIT_BYTES: usize = 4_096;

const SYSCTLS: [&str; 36] = [
    "fs.aio-max-nr",
    "fs.aio-nr",
    "fs.file-max",
    "fs.inotify.max_user_instances",
    "fs.inotify.max_user_watches",
    "fs.nr_open",
    "kernel.core_pattern",
    "kernel.hung_task_timeout_secs",
    "kernel.osrelease",
    "kernel.panic",
    "kernel.panic_on_oops",
    "kernel.pid_max",
    "kernel.tainted",
    "kernel.threads-max",
    "net.core.netdev_max_backlog",
    "net.core.rmem_max",
    "net.core.somaxconn",
    "net.core.wmem_max",
    "net.ipv4.ip_forward",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_congestion_control",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_max_syn_backlog",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syn_retries",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_tw_reuse",
    "net.ipv4.tcp_wmem",
    "net.netfilter.nf_conntrack_count",
    "net.netfilter.nf_conntrack_max",
    "vm.dirty_background_ratio",
    "vm.dirty_ratio",
    "vm.max_map_count",
    "vm.overcommit_memory",
    "vm.swappiness",
];

pub(super) fn tasks(paths: &[PathBuf], redact: &Arc<dyn Redact>) -> Vec<Task> {
    let one = |path: &PathBuf| {
        let (path, redact) = (path.clone(), Arc::clone(redact));
        let name = path.display().to_string();
        let what = format!("configuration {name}, redacted");
        let work = move |sink: &Sink| file(&path, redact.as_ref(), sink);
        Task::new(format!("config/{}", tidy_path(&name)), what, work)
    };
    let mut tasks: Vec<Task> = paths.iter().take(FILES_LIMIT).map(one).collect();
    if let Some(over) = paths.len().checked_sub(FILES_LIMIT).filter(|n| *n > 0) {
        tasks.push(Task::new(
            "config/more",
            format!("{over} more declared files"),
            |_| Err(GatherError::Partly("too many are declared".to_owned())),
        ));
    }
    tasks
}

/// A declared path is opened as it stands: were its last part a link, whoever may write the folder could
/// have any file of the host archived; were it a pipe or device, opening it could wait or do harm.
fn file(path: &Path, redact: &dyn Redact, sink: &Sink) -> Result<(), GatherError> {
    let plain = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
    if !path.is_absolute() || !path.components().all(plain) {
        return Err(GatherError::NotAbsolute(path.to_owned()));
    }
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::options()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .map_err(|source| {
            if source.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) {
                GatherError::NotRegular(path.to_owned())
            } else {
                GatherError::read(path)(source)
            }
        })?;
    let metadata = file.metadata().map_err(GatherError::read(path))?;
    if !metadata.is_file() {
        return Err(GatherError::NotRegular(path.to_owned()));
    }
    let (content, more) = read_bounded(path, file, FILE_LIMIT_BYTES)?;
    if content.contains(&0) {
        return Err(GatherError::NotText(path.to_owned()));
    }
    sink.write(redact.text(&String::from_utf8_lossy(&content)).as_bytes())?;
    if more {
        let why = format!("only the first {FILE_LIMIT_BYTES} bytes are taken");
        return Err(GatherError::Partly(why));
    }
    Ok(())
}

pub(super) fn sysctl_task(roots: &Roots) -> Task {
    let root = roots.proc.join("sys");
    Task::new("sysctl.txt", "kernel settings", move |sink| {
        let mut text = String::new();
        for name in SYSCTLS {
            let path = root.join(name.replace('.', "/"));
            // What this kernel does not have is no loss.
            let Ok(file) = File::open(&path) else {
                continue;
            };
            let (value, _) = read_bounded(&path, file, VALUE_LIMIT_BYTES)?;
            let value = String::from_utf8_lossy(&value);
            let _ = writeln!(text, "{name} = {}", value.trim().replace('\t', " "));
        }
        sink.write(text.as_bytes())
    })
}
