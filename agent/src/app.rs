//! Wiring: sources → intake → spool → journal → uplink.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use firstlook_journal::{Journal, JournalConfig};
use firstlook_model::{ComponentId, ComponentKind, Expiries, HostId, StrainGauge};
use firstlook_pipeline::{Pipeline, PipelineConfig};
use firstlook_runtime::{Ended, Pulse, Signals, Supervisor, clock, notify};
use firstlook_sources_events::{BlindSpots, Checkpoints, EventSink, EventsConfig};
use firstlook_sources_host::{Endpoints, HostConfig, Transport};
use firstlook_sources_probes::{Board, Served, Units};
use firstlook_sources_receivers::{Caller, Shelves, Surroundings};
use firstlook_uplink::{Identity, Uplink, UplinkStatus};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::exposed::{self, Shown};
use crate::intake::intake;
use crate::own::OwnSeries;
use crate::recent::Recent;
use crate::remote::{Own, Steward, Watched};
use crate::requests::Requests;
use crate::spool::{Leaving, Spool, Steering};
use crate::strain;

/// The agent's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// How long everything may take to end.
const GRACE: Duration = Duration::from_secs(8);
/// How long the uplink may still send once the last records are written.
const SEND_AT_END: Duration = Duration::from_millis(1_500);
/// How often the journal is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A journal that cannot be opened is tried again after this.
const JOURNAL_AGAIN: Duration = Duration::from_secs(10);
/// What the pipeline may hold while the journal takes nothing; the agent has 30 MB for everything.
const PENDING_LIMIT_BYTES: usize = 8 * 1024 * 1024;
/// A source that failed is begun again after this.
const SOURCE_AGAIN: Duration = Duration::from_secs(10);
/// What should move every second or two and has not for this long hangs.
const STILL_AFTER: Duration = Duration::from_secs(25);
/// How often the agent says how it fares.
const REPORT_EVERY: Duration = Duration::from_secs(60);

/// Positions of log readers, from the journal.
struct Positions(Journal);

impl Checkpoints for Positions {
    fn load(&self, reader: &str) -> Option<Vec<u8>> {
        self.0.position(reader).unwrap_or_else(|error| {
            tracing::error!(%error, reader, "position cannot be read, the reader begins anew");
            None
        })
    }
}

/// Runs until one of `signals`.
///
/// # Errors
/// When the agent cannot begin, or a part of it ended by itself.
pub async fn run(config: Config, signals: Signals) -> anyhow::Result<()> {
    let mut identity = Identity::load(&config.state_dir)?;
    if let Some(collector) = &config.collector {
        identity.collector.clone_from(collector);
    }
    let budget = JournalConfig {
        budget_bytes: config.journal.budget_mib << 20,
    };
    let stop = CancellationToken::new();
    let mut supervisor = Supervisor::new(stop.clone());
    let signal_stop = stop.clone();
    supervisor.spawn("signals", async move {
        signals.received().await;
        signal_stop.cancel();
    });
    // Up from here on: a full disk must not look like an agent that does not start.
    let pulse = Pulse::default();
    supervisor.spawn("watchdog", pulse.clone().watchdog(stop.clone()));
    notify::tell("READY=1");
    let Some(journal) = open_journal(&config.state_dir, budget, &stop).await else {
        return Ok(());
    };

    let blind = BlindSpots::default();
    let strain = StrainGauge::default();
    let frames = pulse.part("host sources", STILL_AFTER);
    let (source, outlet) = intake(blind.clone(), frames);
    let listeners = source.listeners();
    let source = Arc::new(source);
    let appended = Arc::new(Notify::new());
    let host_id = identity.host.clone();
    let trial = Duration::from_secs(config.remote.trial_s);
    let own_tuning = Own::of(&config);
    let (steward, desired) = Steward::resume(&host_id, own_tuning, config.state_dir.clone(), trial);
    let tuning = steward.tuning();
    let in_force = tuning.borrow().clone();
    let mut pipeline = Pipeline::new(PipelineConfig {
        pending_limit_bytes: PENDING_LIMIT_BYTES,
        lines: in_force.lines(),
        redact_rules: in_force.rules,
        ..PipelineConfig::default()
    })?;
    let positions = Arc::new(Positions(journal.clone()));
    pipeline.restore(|name| positions.load(name), clock::now());
    let recent = Recent::default();
    let requests = Arc::new(Requests::new(
        &config,
        &host_id,
        (tuning.clone(), desired),
        recent.clone(),
        strain.clone(),
    ));
    let boot_id = boot_id(&config);
    let uplink = Uplink::new(
        identity,
        config.state_dir.clone(),
        boot_id,
        VERSION,
        journal.clone(),
        Arc::clone(&appended),
        requests,
    );
    let status = uplink.status();
    let board = Board::new(&config.probes, &host_id);
    let units = Units::default();
    let received = Shelves::default();
    let expiries = Expiries::default();
    let mut own = OwnSeries::new(&host_id, board.clone(), units.clone())
        .with_expiries(expiries.clone())
        .with_received(received.clone())
        .with_strain(strain.clone());
    if let Some(listen) = config.metrics.listen {
        let shown = Shown::default();
        own = own.with_shown(shown.clone());
        supervisor.spawn(
            "metrics",
            exposed::serve(listen, shown, Arc::clone(&status), stop.clone()),
        );
    }
    let lost = Arc::new(AtomicU64::new(0));
    let watched = Watched {
        uplink: Arc::clone(&status),
        blind: blind.clone(),
        lost: Arc::clone(&lost),
        sink: Arc::clone(&source) as Arc<dyn EventSink>,
    };
    supervisor.spawn("steward", steward.run(watched, stop.clone()));
    let steering = Steering {
        tuning: tuning.clone(),
        lost,
    };
    let spool = Spool::new(
        pipeline,
        journal.clone(),
        Leaving {
            appended,
            uplink: Arc::clone(&status),
            limit_bytes: budget.budget_bytes / 2,
        },
        recent,
        own,
        outlet,
        pulse.part("spool", STILL_AFTER),
    )
    .with_steering(steering);
    // The uplink goes last: it may still send what the spool writes at the end.
    let uplink_stop = CancellationToken::new();
    let (spool_stop, uplink_ends, left) = (stop.clone(), uplink_stop.clone(), journal.clone());
    supervisor.spawn("spool", async move {
        spool.run(spool_stop).await;
        let _ = timeout(SEND_AT_END, sent(&left)).await;
        uplink_ends.cancel();
    });

    let mut host = HostConfig::new(host_id.clone(), VERSION);
    host.roots = config.host_roots();
    host.strain = strain.clone();
    let receivers = config.receivers();
    let endpoints = Endpoints::new(host.roots.proc.clone());
    // Nothing is kept for askers where there are none.
    let ask = receivers.otlp.is_some() || receivers.statsd.is_some();
    host.endpoints = ask.then(|| endpoints.clone());
    let (host_sink, host_stop) = (Arc::clone(&source), stop.clone());
    supervisor.spawn("host sources", async move {
        while !host_stop.is_cancelled() {
            let run =
                firstlook_sources_host::run(host.clone(), host_sink.clone(), host_stop.clone());
            if let Err(error) = run.await {
                tracing::error!(%error, "host sources failed, will begin again");
                pause(&host_stop, SOURCE_AGAIN).await;
            }
        }
    });

    let (probes, probes_stop) = (config.probes.clone(), stop.clone());
    supervisor.spawn("probes", async move {
        while !probes_stop.is_cancelled() {
            let (board, units) = (board.clone(), units.clone());
            let run =
                firstlook_sources_probes::run(probes.clone(), board, units, probes_stop.clone());
            if let Err(error) = run.await {
                tracing::error!(%error, "probes failed, will begin again");
                pause(&probes_stop, SOURCE_AGAIN).await;
            }
        }
    });

    let services = listeners.clone();
    let served = Served {
        ports: config.certificates.ports.clone(),
        listening: Arc::new(move || services.services()),
        expiries: expiries.clone(),
        strain: strain.clone(),
    };
    let run = firstlook_sources_probes::served(served, stop.clone());
    supervisor.spawn("certificates", run);

    let (named, lines) = (listeners.clone(), Arc::clone(&source));
    let around = Surroundings {
        host: host_id.clone(),
        owner: Arc::new(move |address| listeners.owner(address)),
        caller: caller(endpoints.clone(), Transport::Tcp, host_id.clone()),
        sender: caller(endpoints, Transport::Udp, host_id.clone()),
        named: Arc::new(move |name| named.named(name)),
        lines: Arc::new(move |delivery| {
            let lines = Arc::clone(&lines);
            Box::pin(async move { EventSink::deliver(&*lines, delivery).await })
        }),
    };
    let scrapes_stop = stop.clone();
    supervisor.spawn("receivers", async move {
        while !scrapes_stop.is_cancelled() {
            let run = firstlook_sources_receivers::run(
                receivers.clone(),
                around.clone(),
                received.clone(),
                scrapes_stop.clone(),
            );
            if let Err(error) = run.await {
                tracing::error!(%error, "receivers failed, will begin again");
                pause(&scrapes_stop, SOURCE_AGAIN).await;
            }
        }
    });

    let watched = strain::watch(
        tuning,
        config.roots.pressure.clone(),
        strain.clone(),
        blind.clone(),
        stop.clone(),
    );
    supervisor.spawn("strain", watched);
    let events = EventsConfig {
        strain,
        expiries,
        ..events_config(&config, &host_id)
    };
    let run = firstlook_sources_events::run(events, source, positions, blind, stop.clone());
    supervisor.spawn("event sources", run);

    supervisor.spawn("uplink", uplink.run(uplink_stop));
    supervisor.spawn("report", report(journal, status, stop.clone()));

    let ended = supervisor.run(GRACE).await;
    notify::tell("STOPPING=1");
    match ended {
        Ended::Asked => Ok(()),
        Ended::Returned(name) => anyhow::bail!("{name} ended by itself"),
        Ended::Panicked(name) => anyhow::bail!("{name} panicked"),
    }
}

/// Names the services whose programs call receivers or send to them.
fn caller(endpoints: Endpoints, transport: Transport, host: HostId) -> Caller {
    Arc::new(move |from, to| {
        let (endpoints, host) = (endpoints.clone(), host.clone());
        Box::pin(async move {
            let name = endpoints.owner(transport, from, to).await?;
            ComponentId::on_host(ComponentKind::Service, host, &*name).ok()
        })
    })
}

/// What the event sources are to watch.
pub fn events_config(config: &Config, host: &HostId) -> EventsConfig {
    let given = |path: &std::path::PathBuf| (!path.as_os_str().is_empty()).then(|| path.clone());
    EventsConfig {
        proc_root: config.roots.proc.clone(),
        kmsg: given(&config.roots.kmsg),
        journal_dirs: config.roots.journal.clone(),
        dbus_socket: given(&config.roots.system_bus),
        files: config.tailed(),
        watch: config.watch.config_paths.clone(),
        ..EventsConfig::for_host(host.clone())
    }
}

fn boot_id(config: &Config) -> String {
    let path = config.roots.proc.join("sys/kernel/random/boot_id");
    std::fs::read_to_string(path)
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// Opens the journal, again and again while the disk is full or does not answer; `None` when asked to stop meanwhile.
async fn open_journal(
    state_dir: &Path,
    config: JournalConfig,
    stop: &CancellationToken,
) -> Option<Journal> {
    while !stop.is_cancelled() {
        let folder = state_dir.join("journal");
        let opened = spawn_blocking(move || Journal::open(&folder, config)).await;
        match opened {
            Ok(Ok(opened)) => return Some(opened.journal),
            Ok(Err(error)) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "journal cannot be opened, will try again");
            }
            Err(error) => tracing::error!(%error, "opening the journal failed, will try again"),
        }
        pause(stop, JOURNAL_AGAIN).await;
    }
    None
}

/// Waits until the collector has everything.
async fn sent(journal: &Journal) {
    while journal.bytes() > 0 {
        sleep(LOOK_EVERY).await;
    }
}

async fn pause(stop: &CancellationToken, length: Duration) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = sleep(length) => {}
    }
}

async fn report(journal: Journal, status: Arc<UplinkStatus>, stop: CancellationToken) {
    use std::sync::atomic::Ordering::Relaxed;
    while !stop.is_cancelled() {
        pause(&stop, REPORT_EVERY).await;
        tracing::info!(
            connected = status.connected.load(Relaxed),
            sessions = status.sessions.load(Relaxed),
            failures = status.failures.load(Relaxed),
            journal_bytes = journal.bytes(),
            "agent fares"
        );
    }
}
