//! Unit states over a real message bus: `dbus-daemon` on a socket of its own, and on it a service manager
//! that speaks systemd's interface.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use firstlook_model::{ActiveState, Change, ChangeKind, HostId, Lines, Observation, UnitState};
use firstlook_sources_events::{BlindSpots, Checkpoints, EventSink, EventsConfig, run};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use zbus::zvariant::{OwnedObjectPath, Value};

const UNIT: &str = "org.freedesktop.systemd1.Unit";
const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
const SHOP_PATH: &str = "/org/freedesktop/systemd1/unit/shop_2eservice";

/// What the manager on the bus would say of shop.service.
#[derive(Clone)]
struct Shop {
    active: &'static str,
    sub: &'static str,
    /// What the listing says, which need not be what the properties say.
    listed: (&'static str, &'static str),
    result: &'static str,
    restarts: u32,
    main_pid: u32,
    exit: (i32, i32),
    invocation: u8,
    /// It was unloaded, its last invocation with it.
    forgotten: bool,
    job: u32,
}

impl Shop {
    fn running() -> Self {
        Self {
            active: "active",
            sub: "running",
            listed: ("active", "running"),
            result: "success",
            restarts: 0,
            main_pid: 77,
            exit: (0, 0),
            invocation: 0xab,
            forgotten: false,
            job: 0,
        }
    }

    fn killed() -> Self {
        Self {
            active: "failed",
            sub: "failed",
            result: "signal",
            main_pid: 0,
            exit: (2, 9),
            ..Self::running()
        }
    }
}

type Shared = Arc<Mutex<Shop>>;

struct FakeManager(Shared);

type Listed = (
    String,
    String,
    String,
    String,
    String,
    String,
    OwnedObjectPath,
    u32,
    String,
    OwnedObjectPath,
);

fn path(text: &str) -> OwnedObjectPath {
    OwnedObjectPath::try_from(text).unwrap()
}

#[zbus::interface(name = "org.freedesktop.systemd1.Manager")]
impl FakeManager {
    fn subscribe(&self) {}

    fn list_units_by_patterns(&self, _states: Vec<String>, patterns: Vec<String>) -> Vec<Listed> {
        assert_eq!(patterns, ["*.service"]);
        let listed = self.0.lock().unwrap().listed;
        let unit = |name: &str, load: &str, (active, sub): (&str, &str), at: &str| {
            let text = str::to_owned;
            let none = String::new();
            (
                text(name),
                none.clone(),
                text(load),
                text(active),
                text(sub),
                none.clone(),
                path(at),
                0,
                none,
                path("/"),
            )
        };
        vec![
            unit("shop.service", "loaded", listed, SHOP_PATH),
            unit(
                "ghost.service",
                "not-found",
                ("inactive", "dead"),
                "/org/freedesktop/systemd1/unit/ghost_2eservice",
            ),
        ]
    }
}

struct FakeUnit(Shared);

#[zbus::interface(name = "org.freedesktop.systemd1.Unit")]
impl FakeUnit {
    #[zbus(property)]
    fn active_state(&self) -> String {
        self.0.lock().unwrap().active.to_owned()
    }
    #[zbus(property)]
    fn sub_state(&self) -> String {
        self.0.lock().unwrap().sub.to_owned()
    }
    #[zbus(property)]
    fn load_state(&self) -> &str {
        "loaded"
    }
    #[zbus(property)]
    fn unit_file_state(&self) -> &str {
        "enabled"
    }
    #[zbus(property)]
    fn state_change_timestamp(&self) -> u64 {
        1_700_000_000_000_000
    }
    #[zbus(property, name = "InvocationID")]
    fn invocation_id(&self) -> Vec<u8> {
        let shop = self.0.lock().unwrap();
        if shop.forgotten {
            Vec::new()
        } else {
            vec![shop.invocation; 16]
        }
    }
    #[zbus(property)]
    fn condition_result(&self) -> bool {
        true
    }
    #[zbus(property)]
    fn job(&self) -> (u32, OwnedObjectPath) {
        (self.0.lock().unwrap().job, path("/"))
    }
}

struct FakeService(Shared);

#[zbus::interface(name = "org.freedesktop.systemd1.Service")]
impl FakeService {
    #[zbus(property, name = "Type")]
    fn kind(&self) -> &str {
        "simple"
    }
    #[zbus(property)]
    fn result(&self) -> String {
        self.0.lock().unwrap().result.to_owned()
    }
    #[zbus(property, name = "NRestarts")]
    fn restarts(&self) -> u32 {
        self.0.lock().unwrap().restarts
    }
    #[zbus(property, name = "MainPID")]
    fn main_pid(&self) -> u32 {
        self.0.lock().unwrap().main_pid
    }
    #[zbus(property)]
    fn exec_main_code(&self) -> i32 {
        self.0.lock().unwrap().exit.0
    }
    #[zbus(property)]
    fn exec_main_status(&self) -> i32 {
        self.0.lock().unwrap().exit.1
    }
}

/// A message bus that ends with the test.
struct Bus {
    daemon: Child,
    dir: tempfile::TempDir,
}

impl Bus {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let address = format!("--address=unix:path={}/bus", dir.path().display());
        let daemon = Command::new("dbus-daemon")
            .args(["--session", "--nofork", "--nopidfile", &address])
            .stderr(Stdio::null())
            .spawn()
            .expect("dbus-daemon is installed");
        let bus = Self { daemon, dir };
        while !bus.socket().exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        bus
    }

    fn socket(&self) -> std::path::PathBuf {
        self.dir.path().join("bus")
    }

    async fn manager(&self, shop: &Shared) -> zbus::Connection {
        zbus::connection::Builder::address(
            format!("unix:path={}", self.socket().display()).as_str(),
        )
        .unwrap()
        .serve_at(MANAGER_PATH, FakeManager(shop.clone()))
        .unwrap()
        .serve_at(SHOP_PATH, FakeUnit(shop.clone()))
        .unwrap()
        .serve_at(SHOP_PATH, FakeService(shop.clone()))
        .unwrap()
        .name("org.freedesktop.systemd1")
        .unwrap()
        .build()
        .await
        .unwrap()
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

async fn signal_moved(manager: &zbus::Connection) {
    let changed: HashMap<&str, Value<'_>> = HashMap::new();
    emit_changed(manager, &(UNIT, changed, vec!["ActiveState"])).await;
}

async fn emit_changed(
    manager: &zbus::Connection,
    body: &(&str, HashMap<&str, Value<'_>>, Vec<&str>),
) {
    let face = "org.freedesktop.DBus.Properties";
    manager
        .emit_signal(None::<&str>, SHOP_PATH, face, "PropertiesChanged", body)
        .await
        .unwrap();
}

struct Channel(mpsc::UnboundedSender<Observation>);

impl EventSink for Channel {
    fn offer(&self, source: &'static str, observation: Observation) {
        assert_eq!(source, "units");
        let _ = self.0.send(observation);
    }
    fn deliver<'a>(&'a self, _: Lines) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(std::future::ready(()))
    }
}

struct NoCheckpoints;

impl Checkpoints for NoCheckpoints {
    fn load(&self, _: &str) -> Option<Vec<u8>> {
        None
    }
}

/// The sources under test, watching one bus.
struct Watch {
    seen: mpsc::UnboundedReceiver<Observation>,
    blind: BlindSpots,
    stop: CancellationToken,
    running: Pin<Box<dyn Future<Output = ()>>>,
}

impl Watch {
    #[expect(clippy::disallowed_methods, reason = "a test's channel may grow")]
    fn begin(bus: &Bus) -> Self {
        let (send, seen) = mpsc::unbounded_channel();
        let (blind, stop) = (BlindSpots::default(), CancellationToken::new());
        let mut config = EventsConfig::for_host(HostId::new("app1").unwrap());
        config.kmsg = None;
        config.journal_dirs.clear();
        config.dpkg_status = None;
        config.unit_dirs.clear();
        config.dbus_socket = Some(bus.socket());
        let running = run(
            config,
            Arc::new(Channel(send)),
            Arc::new(NoCheckpoints),
            blind.clone(),
            stop.clone(),
        );
        Self {
            seen,
            blind,
            stop,
            running: Box::pin(running),
        }
    }

    /// The next observation that `pick` takes. Fails when the source ends or nothing comes.
    async fn next<T>(&mut self, mut pick: impl FnMut(Observation) -> Option<T>) -> T {
        let deadline = tokio::time::sleep(Duration::from_secs(60));
        tokio::pin!(deadline);
        loop {
            tokio::select! {
                () = &mut self.running => panic!("the sources ended"),
                () = &mut deadline => panic!("nothing came; blind: {:?}", self.blind.list()),
                seen = self.seen.recv() => if let Some(found) = seen.and_then(&mut pick) {
                    return found;
                },
            }
        }
    }

    async fn state(&mut self) -> UnitState {
        self.next(|seen| match seen {
            Observation::Units(states) => states.into_iter().next(),
            _ => None,
        })
        .await
    }

    async fn change(&mut self) -> Change {
        self.next(|seen| match seen {
            Observation::Changes(changes) => changes.into_iter().next(),
            _ => None,
        })
        .await
    }

    async fn end(self) {
        self.stop.cancel();
        self.running.await;
    }
}

#[tokio::test]
async fn states_come_at_once_by_signal_and_by_listing_without_one() {
    let bus = Bus::start().await;
    let shop: Shared = Arc::new(Mutex::new(Shop::running()));
    let manager = bus.manager(&shop).await;
    let mut watch = Watch::begin(&bus);

    let first = watch.state().await;
    assert_eq!(first.component.to_string(), "service:app1/shop.service");
    assert_eq!(
        (first.active, first.sub.as_str(), first.main_pid),
        (ActiveState::Active, "running", 77)
    );
    assert_eq!((first.wanted, first.invocation), (true, "ab".repeat(16)));
    assert_eq!(first.since.unwrap().as_micros(), 1_700_000_000_000_000);

    // The listing goes on saying that it runs: only the signal can tell.
    *shop.lock().unwrap() = Shop::killed();
    signal_moved(&manager).await;
    let killed = watch.state().await;
    assert_eq!(
        (killed.active, killed.result.as_str()),
        (ActiveState::Failed, "signal")
    );
    assert_eq!(
        (killed.exit_code, killed.exit_status, killed.wanted),
        (2, 9, true)
    );

    // No signal now: only the listing can tell.
    *shop.lock().unwrap() = Shop {
        invocation: 0xcd,
        ..Shop::running()
    };
    let again = watch.state().await;
    assert_eq!(again.active, ActiveState::Active);
    watch.end().await;
}

#[tokio::test]
async fn restarts_and_requested_stops_are_changes() {
    let bus = Bus::start().await;
    let shop: Shared = Arc::new(Mutex::new(Shop::running()));
    let manager = bus.manager(&shop).await;
    let mut watch = Watch::begin(&bus);
    watch.state().await;

    shop.lock().unwrap().invocation = 0xcd;
    signal_moved(&manager).await;
    let restart = watch.change().await;
    assert_eq!(
        (restart.kind, restart.text.as_str()),
        (ChangeKind::Restart, "shop.service was restarted")
    );

    let job = (
        9_u32,
        path("/org/freedesktop/systemd1/job/9"),
        "shop.service",
    );
    *shop.lock().unwrap() = Shop {
        active: "inactive",
        sub: "dead",
        main_pid: 0,
        exit: (2, 15),
        invocation: 0xcd,
        ..Shop::running()
    };
    manager
        .emit_signal(
            None::<&str>,
            MANAGER_PATH,
            "org.freedesktop.systemd1.Manager",
            "JobNew",
            &job,
        )
        .await
        .unwrap();
    let stop = watch.change().await;
    assert_eq!(
        (stop.kind, stop.text.as_str()),
        (ChangeKind::Stop, "shop.service was stopped on request")
    );
    watch.end().await;
}

#[tokio::test]
async fn end_of_an_unloaded_unit_is_known_from_its_signal() {
    let bus = Bus::start().await;
    let shop: Shared = Arc::new(Mutex::new(Shop::running()));
    let manager = bus.manager(&shop).await;
    let mut watch = Watch::begin(&bus);
    watch.state().await;

    // The manager has unloaded it: asked again, it knows nothing.
    *shop.lock().unwrap() = Shop {
        active: "inactive",
        sub: "dead",
        main_pid: 0,
        forgotten: true,
        ..Shop::running()
    };
    let changed = HashMap::from([
        ("ExecMainCode", Value::from(2_i32)),
        ("ExecMainStatus", Value::from(15_i32)),
    ]);
    let none: Vec<&str> = Vec::new();
    let body = ("org.freedesktop.systemd1.Service", changed, none);
    emit_changed(&manager, &body).await;
    let ended = watch.state().await;
    assert_eq!(
        (ended.active, ended.exit_code, ended.exit_status),
        (ActiveState::Inactive, 2, 15)
    );
    watch.end().await;
}

#[tokio::test]
async fn manager_that_is_missing_is_a_blind_spot_until_it_comes() {
    let bus = Bus::start().await;
    let shop: Shared = Arc::new(Mutex::new(Shop::running()));
    let mut watch = Watch::begin(&bus);
    while watch.blind.list().is_empty() {
        tokio::select! {
            () = &mut watch.running => panic!("the sources ended"),
            () = tokio::time::sleep(Duration::from_millis(20)) => {}
        }
    }
    assert!(
        watch.blind.list()[0].starts_with("units: systemd does not answer"),
        "{:?}",
        watch.blind.list()
    );
    let _manager = bus.manager(&shop).await;
    assert_eq!(watch.state().await.active, ActiveState::Active);
    while !watch.blind.list().is_empty() {
        tokio::select! {
            () = &mut watch.running => panic!("the sources ended"),
            () = tokio::time::sleep(Duration::from_millis(20)) => {}
        }
    }
    watch.end().await;
}
