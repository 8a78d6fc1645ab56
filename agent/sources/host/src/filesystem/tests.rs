use std::sync::{Condvar, Mutex};

use super::*;

/// Mounts whose questions do not return until the gate opens.
struct Gate {
    hanging: Mutex<Vec<&'static str>>,
    opened: Condvar,
}

impl Gate {
    fn new(hanging: &[&'static str]) -> Arc<Self> {
        Arc::new(Self {
            hanging: Mutex::new(hanging.to_vec()),
            opened: Condvar::new(),
        })
    }

    fn ask(self: &Arc<Self>) -> Ask {
        let gate = Arc::clone(self);
        Arc::new(move |path| {
            let mut hanging = gate.hanging.lock().unwrap();
            while hanging.iter().any(|h| Path::new(h) == path) {
                hanging = gate.opened.wait(hanging).unwrap();
            }
            Ok(Space {
                size_bytes: 100,
                ..Space::default()
            })
        })
    }

    fn open(&self) {
        self.hanging.lock().unwrap().clear();
        self.opened.notify_all();
    }
}

fn paths(names: &'static [&'static str]) -> impl Iterator<Item = Arc<Path>> {
    names.iter().map(|name| Arc::from(Path::new(name)))
}

fn prober(gate: &Arc<Gate>, stuck_limit: usize) -> Prober {
    Prober::new(gate.ask(), Duration::from_secs(2), stuck_limit)
}

/// Steps with the clock standing still until `done`: answers come when their threads run.
fn settle(
    prober: &mut Prober,
    now: Duration,
    names: &'static [&'static str],
    done: impl Fn(&Prober) -> bool,
) {
    for _ in 0..10_000 {
        if done(prober) {
            return;
        }
        prober.step(now, paths(names));
        std::thread::yield_now();
    }
    panic!("never settled");
}

fn answered(prober: &Prober, name: &str) -> bool {
    matches!(prober.latest(Path::new(name)), Some(Ok(space)) if space.size_bytes == 100)
}

#[test]
fn a_hung_mount_is_named_after_the_deadline_and_the_others_go_on() {
    const ALL: &[&str] = &["/a", "/hung", "/b"];
    let gate = Gate::new(&["/hung"]);
    let mut prober = prober(&gate, 8);
    let at = Duration::from_secs;
    settle(&mut prober, at(0), ALL, |p| answered(p, "/a"));
    prober.step(at(1), paths(ALL));
    assert!(
        !prober.hung(Path::new("/hung")),
        "called hung before its deadline"
    );

    prober.step(at(4), paths(ALL));
    assert!(prober.hung(Path::new("/hung")));
    settle(&mut prober, at(4), ALL, |p| answered(p, "/b"));
    assert!(!prober.hung(Path::new("/a")) && !prober.hung(Path::new("/b")));
    assert!(prober.latest(Path::new("/hung")).is_none());

    gate.open();
    settle(&mut prober, at(5), ALL, |p| {
        !p.hung(Path::new("/hung")) && answered(p, "/hung")
    });
}

#[test]
fn threads_left_behind_are_bounded() {
    const ALL: &[&str] = &["/h1", "/h2", "/h3"];
    let gate = Gate::new(ALL);
    let mut prober = prober(&gate, 2);
    for second in [0, 3, 6, 9, 12, 15] {
        prober.step(Duration::from_secs(second), paths(ALL));
    }
    assert!(prober.starved());
    assert_eq!(prober.workers, 2);
    gate.open();
}

#[test]
fn the_kernel_is_asked_about_the_root() {
    let space = ask_kernel(None)(Path::new("/")).unwrap();
    assert!(space.size_bytes > 0 && space.available_bytes <= space.free_bytes);
    assert!(ask_kernel(None)(Path::new("/does/not/exist")).is_err());
}
