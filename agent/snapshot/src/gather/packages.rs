//! Installed packages, from dpkg's own list. Source: dpkg(1), deb822(5).

use std::fmt::Write;
use std::fs::File;

use crate::gather::read_bounded;
use crate::request::Roots;
use crate::task::{GatherError, Task};

/// Largest list that is read: a desktop with 4,000 packages has 6 MB.
const STATUS_LIMIT_BYTES: usize = 64 * 1024 * 1024;

pub(super) fn task(roots: &Roots) -> Task {
    let path = roots.dpkg_status.clone();
    let what = "packages: name, version, architecture, state";
    Task::new("packages.txt", what, move |sink| {
        let file = File::open(&path).map_err(GatherError::read(&path))?;
        let (status, more) = read_bounded(&path, file, STATUS_LIMIT_BYTES)?;
        sink.write(list(&String::from_utf8_lossy(&status)).as_bytes())?;
        if more {
            let why = format!("{} is over {STATUS_LIMIT_BYTES} bytes", path.display());
            return Err(GatherError::Partly(why));
        }
        Ok(())
    })
}

/// One line per package: name, version, architecture and state, by tabs, in the list's order.
fn list(status: &str) -> String {
    let mut list = String::new();
    for paragraph in status.split("\n\n") {
        let field = |name: &str| {
            paragraph
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
                .unwrap_or("-")
        };
        let name = field("Package");
        if name != "-" {
            let state = field("Status").rsplit(' ').next().unwrap_or("-");
            let (version, architecture) = (field("Version"), field("Architecture"));
            let _ = writeln!(list, "{name}\t{version}\t{architecture}\t{state}");
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_listed_with_version_and_state() {
        let status = "Package: a\nStatus: install ok installed\nArchitecture: amd64\n\
            Version: 1.2-3\nDescription: x\n Package: not one\n\n\
            Package: b\nStatus: deinstall ok config-files\nVersion: 2\n\nnonsense\n";
        let expected = "a\t1.2-3\tamd64\tinstalled\nb\t2\t-\tconfig-files\n";
        assert_eq!(list(status), expected);
    }
}
