//! Which files are looked at, as far as configuration says.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::marks;
use crate::config::EventsConfig;

/// The files to look at. Files that have only now come to be watched are no created ones.
#[derive(Default)]
pub(super) struct Watched {
    pub(super) files: BTreeSet<PathBuf>,
    /// Of these, the ones that stand below a configured root.
    pub(super) below_roots: BTreeSet<PathBuf>,
    pub(super) listed: marks::Listed,
    /// Something happened after which there may be others.
    pub(super) stale: bool,
}

impl Watched {
    /// Those at and below the configured roots.
    pub(super) fn below(config: &EventsConfig) -> Self {
        let (mut below_roots, mut listed) = (BTreeSet::new(), marks::Listed::default());
        let mut list = |root: &Path, wanted: &dyn Fn(&Path) -> bool| {
            marks::list(root, &wanted, &mut below_roots, &mut listed);
        };
        for root in config.watch.iter().chain(&config.cron_paths) {
            list(root, &|path| !marks::is_leftover(path));
        }
        for dir in &config.unit_dirs {
            list(dir, &is_unit_file);
        }
        Self {
            files: below_roots.clone(),
            below_roots,
            listed,
            stale: false,
        }
    }
}

/// What systemd reads: unit files and drop-ins. Links that enable a unit are not.
fn is_unit_file(path: &Path) -> bool {
    let end = path.extension().unwrap_or_default().to_string_lossy();
    let dir = path
        .parent()
        .and_then(Path::extension)
        .unwrap_or_default()
        .to_string_lossy();
    match dir.as_ref() {
        "d" => end == "conf",
        "wants" | "requires" | "upholds" => false,
        _ => matches!(
            end.as_ref(),
            "service" | "socket" | "timer" | "target" | "mount" | "path" | "slice"
        ),
    }
}
