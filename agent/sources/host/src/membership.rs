//! Whose a process is, by its cgroups (`/proc/PID/cgroup`). cgroups(7), systemd's CGROUP_DELEGATION.md.
//!
//! The unit is the first component of the path that ends like one: below it the tree is the unit's own to
//! arrange, so that a container's inner units belong to the scope of the container. All of a user's
//! sessions are one service, as they come and go with every login.

use crate::text::{lines, printable};

/// The cgroups of a process, as far as they belong to its unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Membership {
    /// The service: `nginx.service`, `docker-….scope`, `init`, `user@1000.service`, `user-1000.slice`.
    /// `None` where no component names a unit.
    pub unit: Option<String>,
    /// Path in cgroup2 of the process itself, as written; empty where there is none.
    pub unified: String,
    /// Path in cgroup2 up to the unit.
    pub unit_unified: Option<String>,
    /// Controller and path up to the unit in cgroup v1, where it names the same unit.
    pub controllers: Vec<(String, String)>,
}

/// Longest path that is looked at, in bytes.
const PATH_LIMIT_BYTES: usize = 4_096;
const SUFFIXES: [&str; 5] = [".service", ".scope", ".socket", ".mount", ".swap"];

/// Parses `/proc/PID/cgroup`.
pub(crate) fn parse(bytes: &[u8]) -> Membership {
    let mut membership = Membership::default();
    let mut named: Option<(String, String)> = None;
    let mut controllers = Vec::new();
    for line in lines(bytes).filter(|line| line.len() <= PATH_LIMIT_BYTES) {
        let mut parts = line.splitn(3, |b| *b == b':').skip(1);
        let (Some(kinds), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        let (Ok(kinds), Ok(path)) = (std::str::from_utf8(kinds), std::str::from_utf8(path)) else {
            continue;
        };
        let unit = unit_of(path);
        if kinds.is_empty() {
            path.clone_into(&mut membership.unified);
            if let Some((unit, path)) = unit {
                membership.unit = Some(unit);
                membership.unit_unified = Some(path.to_owned());
            }
        } else if kinds == "name=systemd" {
            named = unit.map(|(unit, path)| (unit, path.to_owned()));
        } else if let Some((unit, path)) = unit {
            controllers.push((kinds.to_owned(), unit, path.to_owned()));
        }
    }
    if membership.unit.is_none() {
        membership.unit = named.map(|(unit, _)| unit);
    }
    if membership.unit.is_none() {
        membership.unit = controllers.first().map(|(_, unit, _)| unit.clone());
    }
    membership.controllers = controllers
        .into_iter()
        .filter(|(_, unit, _)| Some(unit) == membership.unit.as_ref())
        .map(|(kinds, _, path)| (kinds, path))
        .collect();
    membership
}

/// The service that a cgroup's path names, and the path up to it.
fn unit_of(path: &str) -> Option<(String, &str)> {
    let mut end = 0;
    let mut user = None;
    for component in path.split('/') {
        let start = end;
        end = (end + component.len() + 1).min(path.len() + 1);
        let upto = &path[..start + component.len()];
        // systemd puts an underscore before names that the kernel would take for its own files.
        let name = component.strip_prefix('_').unwrap_or(component);
        if name.starts_with("user-") && name.ends_with(".slice") {
            user = Some((name.to_owned(), upto));
        }
        if SUFFIXES
            .iter()
            .any(|suffix| name.len() > suffix.len() && name.ends_with(suffix))
        {
            return match (name, user) {
                ("init.scope", _) => Some(("init".to_owned(), upto)),
                (name, Some(user)) if !name.starts_with("user@") => Some(user),
                (name, _) => Some((printable(name.as_bytes()), upto)),
            };
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn units_are_found_by_their_first_component() {
        for (path, unit, upto) in [
            (
                "/system.slice/nginx.service",
                "nginx.service",
                "/system.slice/nginx.service",
            ),
            (
                "/system.slice/system-postgresql.slice/postgresql@15-main.service",
                "postgresql@15-main.service",
                "/system.slice/system-postgresql.slice/postgresql@15-main.service",
            ),
            (
                "/machine.slice/machine-h1.scope/payload/system.slice/nginx.service",
                "machine-h1.scope",
                "/machine.slice/machine-h1.scope",
            ),
            ("/init.scope", "init", "/init.scope"),
            (
                "/user.slice/user-1000.slice/user@1000.service/app.slice/a.service",
                "user@1000.service",
                "/user.slice/user-1000.slice/user@1000.service",
            ),
            (
                "/user.slice/user-1000.slice/session-3.scope",
                "user-1000.slice",
                "/user.slice/user-1000.slice",
            ),
            (
                "/h1/payload/system.slice/redis.service",
                "redis.service",
                "/h1/payload/system.slice/redis.service",
            ),
            (
                "/system.slice/_cpu.service",
                "cpu.service",
                "/system.slice/_cpu.service",
            ),
        ] {
            assert_eq!(unit_of(path), Some((unit.to_owned(), upto)), "{path}");
        }
        for path in ["/", "/docker/0123", "/system.slice", "/.service", ""] {
            assert_eq!(unit_of(path), None, "{path}");
        }
    }

    #[test]
    fn a_hybrid_host_has_the_unit_in_each_hierarchy_that_knows_it() {
        let text = b"4:memory:/system.slice/redis.service\n3:cpu,cpuacct:/\n\
            1:name=systemd:/system.slice/redis.service\n0::/system.slice/redis.service/sub\n";
        let found = parse(text);
        assert_eq!(found.unit.as_deref(), Some("redis.service"));
        assert_eq!(found.unified, "/system.slice/redis.service/sub");
        assert_eq!(
            found.unit_unified.as_deref(),
            Some("/system.slice/redis.service")
        );
        let memory = (
            "memory".to_owned(),
            "/system.slice/redis.service".to_owned(),
        );
        assert_eq!(found.controllers, [memory]);
    }

    #[test]
    fn a_host_without_units_has_none() {
        // From a virtual machine whose process 1 is no service manager, Linux 6.18; one name cut short.
        let text = b"9:name=systemd:/\n8:pids:/\n4:memory:/process/fe412d08\n2:cpuacct:/\n0::/\n";
        let found = parse(text);
        assert_eq!(found.unit, None);
        assert_eq!(found.unified, "/");
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn the_path_of_a_unit_begins_the_path(path in "(/[a-z_@\\-é]{0,6}(\\.service|\\.slice|\\.scope)?){0,5}") {
            if let Some((_, upto)) = unit_of(&path) {
                prop_assert!(path.starts_with(upto));
            }
        }
    }
}
