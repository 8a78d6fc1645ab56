use super::*;
use crate::limits::Limits;
use crate::registry::Registry;
use crate::services::SocketTallies;
use firstlook_model::signal::names;
use firstlook_model::{Frame, HostId, Timestamp};
use proptest::prelude::*;
use std::fs;
use std::time::Duration;

/// A host of one process, in a folder.
struct Bench {
    folder: tempfile::TempDir,
    processes: Processes,
    services: Services,
    registry: Registry,
    second: u64,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("7")).unwrap();
        fs::create_dir(folder.path().join("cgroups")).unwrap();
        fs::write(folder.path().join("cgroups/cgroup.controllers"), "cpu").unwrap();
        let roots = HostRoots {
            proc: folder.path().to_owned(),
            cgroup: folder.path().join("cgroups"),
            ..HostRoots::default()
        };
        let (open, limits) = (Descriptors::new(16), Limits::default());
        let host = HostId::new("h1").unwrap();
        Self {
            processes: Processes::new(&roots, &open, limits.processes),
            services: Services::new(host, &roots, &open, &limits),
            registry: Registry::new(Duration::ZERO),
            second: 0,
            folder,
        }
    }

    fn stat(&self, state: char, ticks: u64, threads: u64, pages: u64) {
        let stat = format!(
            "7 (app) {state} 1 7 7 0 -1 0 0 0 0 0 {ticks} 0 0 0 20 0 {threads} 0 0 0 {pages}\n"
        );
        fs::write(self.folder.path().join("7/stat"), stat).unwrap();
    }

    fn schedstat(&self, counts: &str) {
        fs::write(self.folder.path().join("7/schedstat"), counts).unwrap();
    }

    /// CPU time, memory and blocked processes of the service after one more sample.
    fn sample(&mut self) -> [f64; 3] {
        self.second += 1;
        let now = Duration::from_secs(self.second);
        self.registry.begin(now);
        self.services.begin(now, &mut Vec::new());
        self.processes.sample(&mut self.services, &mut Vec::new());
        self.services
            .publish(&mut self.registry, &mut Vec::new(), &SocketTallies::new());
        let frame: Frame = self.registry.frame(Timestamp::from_secs(0));
        [
            names::SERVICE_CPU,
            names::SERVICE_PROCESSES,
            names::SERVICE_BLOCKED,
        ]
        .map(|signal| {
            let at = frame
                .schema
                .series()
                .iter()
                .position(|s| s.signal == signal);
            frame.values[at.unwrap()]
        })
    }

    fn is_watched(&self) -> bool {
        self.processes.table[&7].watch.is_some()
    }
}

#[test]
fn what_sleeps_is_read_again_once_it_has_run() {
    let mut bench = Bench::new();
    bench.stat('S', 5, 1, 10);
    bench.schedstat("50000000 7 9\n");
    let first = bench.sample();
    for _ in 0..QUIET_SAMPLES + 2 {
        assert_eq!(bench.sample(), first, "it is counted while it sleeps");
    }
    assert!(bench.is_watched());
    // It ran, and waits for a disk.
    bench.stat('D', 105, 1, 10);
    bench.schedstat("1050000000 9 11\n");
    assert_eq!(bench.sample(), [first[0] + 100.0 / 100.0, 1.0, 1.0]);
    assert!(!bench.is_watched());
}

#[test]
fn who_ran_has_its_open_files_counted_at_once_where_that_is_cheap() {
    for cheap in [true, false] {
        let mut bench = Bench::new();
        bench.processes.open_files.set_told(cheap);
        let fd = bench.folder.path().join("7/fd");
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files  512  512  files\n";
        fs::write(bench.folder.path().join("7/limits"), limits).unwrap();
        // The kernel tells the number as the folder's size.
        let open = |files: usize| {
            if cheap {
                fs::write(&fd, vec![0; files]).unwrap();
            } else {
                (0..files).for_each(|number| {
                    fs::create_dir_all(fd.join(number.to_string())).unwrap();
                });
            }
        };
        open(5);
        bench.stat('S', 5, 2, 10);
        bench.sample();
        let counted = |bench: &Bench| bench.processes.table[&7].known.files.open;
        assert_eq!(counted(&bench), Some(5));
        bench.stat('S', 90, 2, 10);
        open(512);
        bench.sample();
        let at_once = if cheap { 512 } else { 5 };
        assert_eq!(counted(&bench), Some(at_once), "it ran");
        // The turn of the process with this number is in the third of ten samples.
        bench.sample();
        assert_eq!(counted(&bench), Some(512), "its turn");
        open(600);
        bench.sample();
        assert_eq!(counted(&bench), Some(512), "it did nothing");
    }
}

/// What the cgroup of a unit used so far, in microseconds.
fn used(bench: &Bench, unit: &str, micros: u64) {
    let folder = bench.folder.path().join("cgroups/system.slice").join(unit);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("cpu.stat"), format!("usage_usec {micros}\n")).unwrap();
}

fn in_unit(bench: &Bench, path: &str) {
    let cgroup = bench.folder.path().join("7/cgroup");
    fs::write(cgroup, format!("0::{path}\n")).unwrap();
}

/// Sleeps in a unit whose cgroup used nothing lately.
fn asleep_in_a_unit() -> Bench {
    let mut bench = Bench::new();
    used(&bench, "app.service", 50_000);
    in_unit(&bench, "/system.slice/app.service");
    bench.stat('S', 5, 1, 10);
    bench.schedstat("50000000 7 9\n");
    for _ in 0..QUIET_SAMPLES + 2 {
        bench.sample();
    }
    assert!(bench.is_watched());
    bench
}

#[test]
fn who_sleeps_in_a_unit_that_used_no_time_is_not_asked() {
    let mut bench = asleep_in_a_unit();
    // What it says now is not read before its unit has used time.
    bench.stat('S', 105, 1, 10);
    bench.schedstat("1050000000 9 11\n");
    let [cpu, processes, _] = bench.sample();
    assert_eq!((cpu, processes), (0.05, 1.0));
    assert!(bench.is_watched());
    used(&bench, "app.service", 1_050_000);
    assert_eq!(bench.sample(), [1.05, 1.0, 0.0]);
    assert!(!bench.is_watched());
}

#[test]
fn a_unit_of_several_cgroups_says_nothing_about_who_sleeps() {
    let mut bench = asleep_in_a_unit();
    // As of two users who each have a unit of that name: the one last seen is not this process's.
    let folder = bench.folder.path().join("cgroups/user.slice/app.service");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("cpu.stat"), "usage_usec 7\n").unwrap();
    let app = bench.services.intern("app.service");
    let other = membership::parse(b"0::/user.slice/app.service\n");
    bench.services.belongs(&app, &other);
    bench.sample();
    bench.stat('D', 105, 1, 10);
    bench.schedstat("1050000000 9 11\n");
    assert_eq!(bench.sample()[2], 1.0);
}

#[test]
fn what_may_run_unseen_is_read_in_each_sample() {
    let counted = "50000000 7 9\n";
    // It waits for a disk, it has a second thread, or the kernel counts nothing.
    for (state, threads, schedstat) in [('D', 1, counted), ('S', 2, counted), ('S', 1, "0 0 0\n")] {
        let mut bench = Bench::new();
        bench.stat(state, 5, threads, 10);
        bench.schedstat(schedstat);
        for _ in 0..QUIET_SAMPLES + 2 {
            bench.sample();
        }
        assert!(!bench.is_watched(), "{state} {threads} {schedstat}");
    }
}

#[test]
fn what_sleeps_and_ends_is_gone() {
    let mut bench = Bench::new();
    bench.stat('S', 5, 1, 10);
    bench.schedstat("50000000 7 9\n");
    for _ in 0..QUIET_SAMPLES + 2 {
        bench.sample();
    }
    fs::remove_dir_all(bench.folder.path().join("7")).unwrap();
    assert_eq!(bench.sample()[1], 0.0);
}

#[test]
fn reads_a_real_stat() {
    // From a shell on Linux 6.18, its name changed to one with brackets and blanks.
    let text = b"812 (a) b (c) S 811 812 812 34816 12998 4194560 2098 9123 3 0 11 7 13 5 20 0 1 0 \
        233 8130560 1187 18446744073709551615 1 2 3 0 0 0 0 3670020 1266777851 1 0 0 17 1 0 0 0 0 0\n";
    let stat = parse(text).unwrap();
    assert_eq!(stat.command, b"a) b (c");
    assert_eq!(stat.state, b'S');
    assert!(!stat.kernel);
    assert_eq!((stat.ticks, stat.threads), (18, 1));
    assert_eq!((stat.started, stat.resident_pages), (233, 1187));
}

#[test]
fn a_kernel_thread_is_known_by_its_flag() {
    let text = b"2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 0 0 0 0 0";
    assert!(parse(text).unwrap().kernel);
}

#[test]
fn a_cut_line_is_refused() {
    for text in ["", "1 (a", "1 )a( S", "1 (a) S 1 2 3", "1 (a)"] {
        assert_eq!(parse(text.as_bytes()), None, "{text}");
    }
}

proptest! {
    #[test]
    fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn any_command_is_read_back(command in proptest::collection::vec(any::<u8>(), 0..16)) {
        let mut line = b"1 (".to_vec();
        line.extend(&command);
        line.extend(b") R 0 0 0 0 -1 0 0 0 0 0 1 2 0 0 20 0 3 0 4 0 5");
        let stat = parse(&line).unwrap();
        prop_assert_eq!(stat.command, &command[..]);
        prop_assert_eq!((stat.ticks, stat.threads, stat.resident_pages), (3, 3, 5));
    }
}
