//! systemd's services: their states as they change and all of them each minute, and what restarted or
//! stopped them.
//!
//! The manager's signals say which unit moved; its properties are then read, so that a change is reported
//! within a second. A listing every few seconds finds what no signal announced. Jobs tell a stop that
//! somebody asked for from a process that ended by itself.

mod boot;
mod bus;
mod tracker;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use firstlook_model::{Observation, UnitState};
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior};

use crate::Source;
use crate::clock;
use bus::{BusError, Hint, Install, Manager, Signals};
use tracker::Tracker;

const NAME: &str = "units";
/// All states are sent this often, so that a collector that has just begun knows them.
const FULL_EVERY: Duration = Duration::from_secs(60);
/// Listing interval while signals come, and while they do not.
const LIST_EVERY: Duration = Duration::from_secs(5);
const LIST_EVERY_BLIND: Duration = Duration::from_secs(2);
/// A start is a burst of signals: one reading answers for all that come within this time.
const BURST: Duration = Duration::from_millis(50);
/// First and longest wait before connecting anew.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// Most units followed. A manager with more is listed only as far as this.
const UNIT_LIMIT: usize = 4_096;

/// Watches the manager until told to stop.
pub(crate) async fn run(source: Source) {
    boot::report(&source).await;
    let Some(socket) = source.config.dbus_socket.clone() else {
        source.blind.set(NAME, "not configured: no system bus");
        return;
    };
    let mut tracker = Tracker::default();
    let mut wait = RETRY.0;
    while !source.stop.is_cancelled() {
        let begun = Instant::now();
        let failed = tokio::select! {
            () = source.stop.cancelled() => return,
            failed = watch(&source, &socket, &mut tracker) => failed,
        };
        source.blind.set(NAME, reason(&failed));
        if begun.elapsed() > RETRY.1 {
            wait = RETRY.0;
        }
        tokio::select! {
            () = source.stop.cancelled() => return,
            () = tokio::time::sleep(wait) => wait = (wait * 2).min(RETRY.1),
        }
    }
}

fn reason(error: &BusError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// Watches through one connection until it fails.
async fn watch(source: &Source, socket: &std::path::Path, tracker: &mut Tracker) -> BusError {
    let manager = match Manager::connect(socket).await {
        Ok(manager) => manager,
        Err(error) => return error,
    };
    let hints = Hints::default();
    match manager.subscribe().await {
        Ok(signals) => {
            let mut watcher = Watcher::new(source, &manager, tracker, &hints, true);
            // Signals are drained beside the reading: a full signal queue would hold up the replies.
            tokio::select! {
                error = watcher.run() => error,
                () = hints.gather(signals) => BusError::Call {
                    call: "signals",
                    source: zbus::Error::Failure("the bus closed the connection".to_owned()),
                },
            }
        }
        Err(error) => {
            tracing::warn!(error = reason(&error), "units are listed without signals");
            Watcher::new(source, &manager, tracker, &hints, false)
                .run()
                .await
        }
    }
}

/// Units to look at, gathered from signals.
#[derive(Default)]
struct Hints {
    pending: Mutex<Pending>,
    wake: Notify,
}

#[derive(Default)]
struct Pending {
    units: BTreeSet<String>,
    jobs: BTreeSet<String>,
    exits: BTreeMap<String, (i32, i32)>,
    reloaded: bool,
}

impl Hints {
    async fn gather(&self, mut signals: Signals) {
        while let Some(hint) = signals.next().await {
            let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
            // Hostile or not, more names than there can be units are dropped: listing finds them.
            if pending.units.len().max(pending.jobs.len()) < UNIT_LIMIT {
                match hint {
                    Hint::Unit(name) => {
                        pending.units.insert(name);
                    }
                    Hint::Exit(name, exit) => {
                        pending.exits.insert(name.clone(), exit);
                        pending.units.insert(name);
                    }
                    Hint::Job(name) => {
                        pending.jobs.insert(name.clone());
                        pending.units.insert(name);
                    }
                    Hint::Reloaded => pending.reloaded = true,
                }
            }
            drop(pending);
            self.wake.notify_one();
        }
    }

    fn take(&self) -> Pending {
        std::mem::take(&mut *self.pending.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One connection's reading.
struct Watcher<'a> {
    source: &'a Source,
    manager: &'a Manager,
    tracker: &'a mut Tracker,
    hints: &'a Hints,
    installs: BTreeMap<String, Install>,
    /// Known units that the manager has unloaded, and that were looked after.
    parked: BTreeSet<String>,
    /// How main processes ended, by the last burst of signals.
    exits: BTreeMap<String, (i32, i32)>,
    signals: bool,
}

impl<'a> Watcher<'a> {
    fn new(
        source: &'a Source,
        manager: &'a Manager,
        tracker: &'a mut Tracker,
        hints: &'a Hints,
        signals: bool,
    ) -> Self {
        let installs = BTreeMap::new();
        let parked = BTreeSet::new();
        Self {
            source,
            manager,
            tracker,
            hints,
            installs,
            parked,
            exits: BTreeMap::new(),
            signals,
        }
    }

    async fn run(&mut self) -> BusError {
        match self.watch().await {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    async fn watch(&mut self) -> Result<std::convert::Infallible, BusError> {
        let mut list = tokio::time::interval(if self.signals {
            LIST_EVERY
        } else {
            LIST_EVERY_BLIND
        });
        let mut full = tokio::time::interval(FULL_EVERY);
        list.set_missed_tick_behavior(MissedTickBehavior::Delay);
        full.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // The full state first: its first tick is the first reading.
                biased;
                _ = full.tick() => self.read_all().await?,
                () = self.hints.wake.notified() => {
                    tokio::time::sleep(BURST).await;
                    self.read_hinted().await?;
                }
                _ = list.tick() => self.read_moved().await?,
            }
        }
    }

    async fn read_all(&mut self) -> Result<(), BusError> {
        self.installs.clear();
        let listed = self.list().await?;
        for unit in &listed {
            // Its state goes out below, with all the others.
            self.learn(&unit.name).await?;
        }
        let now = clock::now();
        let all = self.tracker.all(now);
        self.source.sink.offer(NAME, Observation::Units(all));
        self.source.blind.clear(NAME);
        Ok(())
    }

    async fn read_moved(&mut self) -> Result<(), BusError> {
        for unit in self.list().await? {
            if self.tracker.last(&unit.name) != Some((unit.active, unit.sub.as_str())) {
                self.read(&unit.name).await?;
            }
        }
        Ok(())
    }

    async fn read_hinted(&mut self) -> Result<(), BusError> {
        let pending = self.hints.take();
        if pending.reloaded {
            self.installs.clear();
        }
        for unit in &pending.jobs {
            self.tracker.job(unit);
        }
        // Few at a time, and those of a burst together: older ends are of no use.
        self.exits = pending.exits;
        for unit in &pending.units {
            self.read(unit).await?;
        }
        Ok(())
    }

    /// Lists the services, and looks once after those that are listed no more.
    async fn list(&mut self) -> Result<Vec<bus::Listed>, BusError> {
        let mut listed = self.manager.list().await?;
        if listed.len() > UNIT_LIMIT {
            tracing::warn!(units = listed.len(), "more units than are followed");
            listed.truncate(UNIT_LIMIT);
        }
        let names: BTreeSet<&str> = listed.iter().map(|unit| unit.name.as_str()).collect();
        self.parked.retain(|name| !names.contains(name.as_str()));
        for name in self.tracker.names() {
            if !names.contains(name.as_str()) && self.parked.insert(name.clone()) {
                self.unlisted(&name).await?;
            }
        }
        Ok(listed)
    }

    /// A stopped unit that nothing refers to is unloaded, but stays a unit while it has a file: its
    /// last state stands. A transient one is gone for good.
    async fn unlisted(&mut self, name: &str) -> Result<(), BusError> {
        self.read(name).await?;
        self.source.services.set(name, 0);
        let exists = match self.manager.exists(&bus::unit_path(name)).await {
            Err(BusError::Call {
                source: zbus::Error::MethodError(..),
                ..
            }) => false,
            answer => answer?,
        };
        if !exists {
            self.installs.remove(name);
            if let Some(state) = self.tracker.forget(name, clock::now()) {
                self.source
                    .sink
                    .offer(NAME, Observation::Units(vec![state]));
            }
        }
        Ok(())
    }

    /// Reads a unit and reports its state, if that is another than before.
    async fn read(&mut self, name: &str) -> Result<(), BusError> {
        if let Some(state) = self.learn(name).await? {
            self.source
                .sink
                .offer(NAME, Observation::Units(vec![state]));
        }
        Ok(())
    }

    /// Reads a unit and reports what changed; its state is returned, if that is another than before.
    async fn learn(&mut self, name: &str) -> Result<Option<UnitState>, BusError> {
        let path = bus::unit_path(name);
        let seen = match self.read_properties(name, &path).await {
            Ok(seen) => seen,
            // A unit that went away between its signal and the question is no failure of the manager.
            Err(BusError::Call {
                source: zbus::Error::MethodError(..),
                ..
            }) => None,
            Err(error) => return Err(error),
        };
        let Some(mut seen) = seen else {
            return Ok(None);
        };
        if let (true, Some(exit)) = (seen.is_unloaded(), self.exits.remove(name)) {
            (seen.exit_code, seen.exit_status) = exit;
        }
        self.source.services.set(name, seen.main_pid);
        let now = clock::now();
        let (state, changes) = self.tracker.update(name, seen, now, self.signals);
        if !changes.is_empty() {
            self.source.sink.offer(NAME, Observation::Changes(changes));
        }
        Ok(state)
    }

    async fn read_properties(
        &mut self,
        name: &str,
        path: &zbus::zvariant::OwnedObjectPath,
    ) -> Result<Option<tracker::Seen>, BusError> {
        let install = match self.installs.get(name) {
            Some(install) => install.clone(),
            None => {
                let install = self.manager.install(path).await?;
                self.installs.insert(name.to_owned(), install.clone());
                install
            }
        };
        self.manager
            .read(&self.source.config, name, path, &install)
            .await
    }
}
