use super::*;
use crate::limits::Limits;
use crate::reader::Descriptors;
use crate::roots::HostRoots;
use crate::services::Services;
use firstlook_model::HostId;
use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

/// A host in a folder, where process 1 is the service manager.
struct Bench {
    folder: tempfile::TempDir,
    processes: Processes,
    services: Services,
    owners: Owners,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let roots = HostRoots {
            proc: folder.path().to_owned(),
            ..HostRoots::default()
        };
        let (open, limits) = (Descriptors::new(16), Limits::default());
        let host = HostId::new("h1").unwrap();
        Self {
            processes: Processes::new(&roots, &open, limits.processes),
            services: Services::new(host, &roots, &open, &limits),
            owners: Owners::new(roots.proc),
            folder,
        }
    }

    fn begins(&self, pid: u32, started: u64, unit: &str) {
        let folder = self.folder.path().join(pid.to_string());
        fs::create_dir_all(folder.join("fd")).unwrap();
        let stat = format!("{pid} (a) S 1 1 1 0 -1 0 0 0 0 0 1 0 0 0 20 0 1 0 {started} 0 9\n");
        fs::write(folder.join("stat"), stat).unwrap();
        fs::write(folder.join("cgroup"), format!("0::/{unit}\n")).unwrap();
    }

    fn opens(&self, pid: u32, descriptor: u32, inode: u32) {
        let folder = self.folder.path().join(pid.to_string()).join("fd");
        let link = folder.join(descriptor.to_string());
        symlink(format!("socket:[{inode}]"), link).unwrap();
    }

    /// Asks until there is an answer, as each sample does.
    fn owner(&mut self, inode: u32) -> Option<String> {
        self.services.begin(Duration::ZERO, &mut Vec::new());
        self.processes.sample(&mut self.services, &mut Vec::new());
        loop {
            if let Some(answer) = self.owners.ask(inode) {
                return answer.map(|owner| owner.to_string());
            }
            self.owners.step(&self.processes, 2);
        }
    }
}

#[test]
fn a_socket_that_is_handed_on_is_found_at_a_young_process() {
    let mut bench = Bench::new();
    bench.begins(1, 0, "init.scope");
    bench.opens(1, 3, 700);
    assert_eq!(bench.owner(700).as_deref(), Some("init"));
    assert_eq!(bench.owner(700).as_deref(), Some("init"), "still");
    bench.begins(9, 50, "system.slice/ssh.service");
    bench.opens(9, 3, 700);
    assert_eq!(bench.owner(700).as_deref(), Some("ssh.service"));
}

#[test]
fn old_processes_are_looked_into_once_and_then_now_and_then() {
    let mut bench = Bench::new();
    bench.begins(1, 0, "init.scope");
    bench.begins(5, 10, "system.slice/old.service");
    bench.begins(6, 20, "system.slice/young.service");
    assert_eq!(bench.owner(700), None);
    // Handed to one that was looked into before: nothing is seen of it for a while.
    bench.opens(5, 3, 700);
    let mut asked = 1;
    while bench.owner(700).is_none() {
        asked += 1;
        assert!(asked <= YOUNG_LIMIT + 1);
    }
    assert_eq!(asked, YOUNG_LIMIT + 1);
    assert_eq!(bench.owner(700).as_deref(), Some("old.service"));
    // What is asked for the first time is looked for everywhere meanwhile.
    bench.opens(1, 4, 800);
    assert_eq!(bench.owner(800).as_deref(), Some("init"));
}

#[test]
fn a_socket_that_is_gone_is_not_looked_for_any_more() {
    let mut bench = Bench::new();
    bench.begins(1, 0, "init.scope");
    bench.owner(700);
    bench.owners.want(800);
    bench.owners.want(900);
    bench.owners.end_round();
    assert_eq!(bench.owners.wanted.len(), 2);
    bench.owners.want(900);
    bench.owners.end_round();
    assert!(bench.owners.wanted.keys().eq([&900]));
}

#[test]
fn a_large_process_that_holds_nothing_wanted_is_looked_into_ever_more_seldom() {
    let mut bench = Bench::new();
    bench.begins(1, 0, "init.scope");
    bench.begins(5, 10, "system.slice/large.service");
    let large = u32::try_from(LARGE).unwrap();
    for descriptor in 0..large {
        bench.opens(5, descriptor, 10_000 + descriptor);
    }
    assert_eq!(bench.owner(700), None);
    bench.opens(5, large, 800);
    assert_eq!(bench.owner(800), None, "passed over once");
    bench.opens(5, large + 1, 801);
    assert_eq!(bench.owner(801).as_deref(), Some("large.service"));
    // It held what was wanted: it is no longer passed over.
    bench.opens(5, large + 2, 802);
    assert_eq!(bench.owner(802).as_deref(), Some("large.service"));
}
