//! Whose a kernel line is: lines that name a control group belong to its unit, or to another host that
//! shares this kernel.

/// What a line says of its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// The machine.
    Host,
    /// A unit of this host.
    Unit(String),
    /// A control group outside this host's own: a neighbour on the same kernel.
    Stranger,
}

/// Attributes lines one after another: what an out-of-memory kill says comes in several lines, of which
/// only one names the control group.
#[derive(Debug)]
pub(super) struct Owners {
    /// This host's own place among the control groups, without a slash at its end. Empty: the root.
    prefix: String,
    /// The kernel is shared with others, whose lines are in the log too.
    shared: bool,
    /// The last victim of the out-of-memory killer: process and owner.
    victim: Option<(u32, Owner)>,
}

impl Owners {
    /// `contained`: this host is a container. Where a cgroup namespace hides its place as well, only
    /// groups that lie as systemd lays them out from its root are its own.
    pub(super) fn new(prefix: &str, contained: bool) -> Self {
        let prefix = prefix.trim_end_matches('/').to_owned();
        let shared = contained || !prefix.is_empty();
        Self {
            prefix,
            shared,
            victim: None,
        }
    }

    /// Whose this line is.
    pub(super) fn of(&mut self, text: &str) -> Owner {
        let Some(path) = named_cgroup(text) else {
            return self.killed(text).unwrap_or(Owner::Host);
        };
        let owner = self.of_cgroup(path);
        if let Some(pid) = number_behind(text, ",pid=") {
            self.victim = Some((pid, owner.clone()));
        }
        owner
    }

    /// "Killed process 77 (shop)" follows the line that names the group of process 77.
    fn killed(&self, text: &str) -> Option<Owner> {
        let pid = number_behind(text, "Killed process ")?;
        let (victim, owner) = self.victim.as_ref()?;
        (*victim == pid).then(|| owner.clone())
    }

    fn of_cgroup(&self, path: &str) -> Owner {
        let Some(own) = path
            .strip_prefix(self.prefix.as_str())
            .filter(|own| own.starts_with('/') || own.is_empty())
        else {
            return Owner::Stranger;
        };
        // Slices, then the unit; what a unit makes below itself is still it, also a container's units.
        let mut parts = own.split('/').filter(|part| !part.is_empty());
        match parts.find(|part| !part.ends_with(".slice")) {
            Some(unit) if unit.ends_with(".service") => Owner::Unit(unit.to_owned()),
            Some(unit) if unit.ends_with(".scope") && !own.contains("/payload/") => Owner::Host,
            Some(_) if self.shared && self.prefix.is_empty() => Owner::Stranger,
            _ => Owner::Host,
        }
    }
}

/// The control group that a line is about. Sources: mm/oom_kill.c, mm/memcontrol.c, kernel/cgroup/pids.c.
fn named_cgroup(text: &str) -> Option<&str> {
    let behind = |mark: &str| text.find(mark).map(|at| &text[at + mark.len()..]);
    let rest = if text.starts_with("oom-kill:") {
        behind("task_memcg=")?
    } else if text.starts_with("Tasks in ") || text.starts_with("Task in ") {
        behind(" in ")?
    } else if text.starts_with("Memory cgroup stats for ") {
        behind(" for ")?
    } else {
        behind("fork rejected by pids controller in ")?
    };
    let path = rest.split([',', ' ', ':']).next()?;
    path.starts_with('/').then_some(path)
}

fn number_behind(text: &str, mark: &str) -> Option<u32> {
    let rest = &text[text.find(mark)? + mark.len()..];
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// This host's place among the control groups, by `/proc/1/cgroup` (cgroups(7)): where its first
/// process lives, less the scope that systemd puts itself into. systemd's own hierarchy comes first:
/// units have the same path in every other.
pub(super) fn own_prefix(cgroup: &str) -> String {
    let path_of = |wanted: &str| {
        cgroup.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':');
            let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
            controllers
                .split(',')
                .any(|name| name == wanted)
                .then_some(path)
        })
    };
    let path = path_of("name=systemd")
        .or_else(|| path_of("memory"))
        .or_else(|| path_of(""))
        .unwrap_or("/");
    path.strip_suffix("/init.scope")
        .unwrap_or(path)
        .trim_end_matches('/')
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OOM: &str = "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/lab/app1/payload/system.slice/shop.service,task_memcg=/lab/app1/payload/system.slice/shop.service,task=python3,pid=77,uid=0";

    fn unit(name: &str) -> Owner {
        Owner::Unit(name.to_owned())
    }

    #[test]
    fn oom_kill_belongs_to_the_unit_and_so_does_the_line_that_follows() {
        let mut owners = Owners::new("/lab/app1/payload", true);
        assert_eq!(owners.of(OOM), unit("shop.service"));
        let killed = "Memory cgroup out of memory: Killed process 77 (python3) total-vm:70000kB";
        assert_eq!(owners.of(killed), unit("shop.service"));
        assert_eq!(owners.of(&killed.replace("77", "78")), Owner::Host);
    }

    #[test]
    fn kill_in_another_container_is_a_strangers() {
        for prefix in ["/lab/app2/payload", "/lab/app", ""] {
            let mut owners = Owners::new(prefix, true);
            assert_eq!(owners.of(OOM), Owner::Stranger);
            assert_eq!(
                owners.of("Out of memory: Killed process 77 (python3)"),
                Owner::Stranger
            );
        }
    }

    #[test]
    fn every_line_that_names_a_group_is_attributed() {
        let mut owners = Owners::new("/", false);
        for (text, owner) in [
            (
                "Tasks in /system.slice/a.service are going to be killed due to memory.oom.group set",
                unit("a.service"),
            ),
            (
                "Memory cgroup stats for /system.slice/a.service/worker:",
                unit("a.service"),
            ),
            (
                "cgroup: fork rejected by pids controller in /system.slice/a.service",
                unit("a.service"),
            ),
            (
                "oom-kill:constraint=CONSTRAINT_NONE,task_memcg=/user.slice/user-0.slice/session-1.scope,task=x,pid=9,uid=0",
                Owner::Host,
            ),
            (
                "oom-kill:constraint=CONSTRAINT_NONE,task_memcg=/docker/0a1b/system.slice/a.service,task=x,pid=9,uid=0",
                Owner::Host,
            ),
            (
                "EXT4-fs error (device sda1): x in /system.slice/a.service",
                Owner::Host,
            ),
        ] {
            assert_eq!(owners.of(text), owner, "{text}");
        }
    }

    #[test]
    fn own_place_is_read_from_the_first_process() {
        for (cgroup, prefix) in [
            ("0::/init.scope\n", ""),
            (
                "9:name=systemd:/lab/db1/payload/init.scope\n4:memory:/lab/db1\n0::/\n",
                "/lab/db1/payload",
            ),
            ("4:cpu,memory:/x/init.scope\n", "/x"),
            ("", ""),
        ] {
            assert_eq!(own_prefix(cgroup), prefix);
        }
    }

    proptest! {
        #[test]
        fn any_line_is_attributed(text in "(oom-kill:|Tasks in |task_memcg=|,pid=|Killed process |/|[0-9]|.){0,40}") {
            Owners::new("/a", true).of(&text);
        }
    }
}
