//! Wiring: listeners → enrolment and ingest → store → analysis → view → query.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use anyhow::Context;
use firstlook_desk::Desk;
use firstlook_enrol::{
    EnrolmentService, ListenerCounters, ListenerLimits, incoming, server_config,
};
use firstlook_forward::{ForwardConfig, Forwarders, Tap};
use firstlook_ingest::{AgentService, IngestCounters, SessionLimits, Sessions};
use firstlook_model::HostId;
use firstlook_proto::wire::agent_server::AgentServer;
use firstlook_proto::wire::configs_server::ConfigsServer;
use firstlook_proto::wire::diagnosis_server::DiagnosisServer;
use firstlook_proto::wire::enrolment_server::EnrolmentServer;
use firstlook_proto::wire::query_server::QueryServer;
use firstlook_query::{Access, QueryService, View, http_routes};
use firstlook_runtime::{Ended, Pulse, Signals, Supervisor, clock, notify};
use firstlook_store::{Store, StoreConfig};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::Router;

use crate::analysis::{Analysis, Counters, Ties};
use crate::bearer::BearerFile;
use crate::catalogue;
use crate::checkpoints::{self, Checkpoints};
use crate::config::{Home, RunOptions};
use crate::contacts::Contacts;
use crate::housekeeping;
use crate::ledger::{HEARD_CAPACITY, StoreLedger};
use crate::office::DeskOffice;
use crate::registry::DeskRegistry;

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// How long everything may take to end.
const GRACE: Duration = Duration::from_secs(8);
const KEEPALIVE: Duration = Duration::from_secs(10);
/// Largest enrolment or query request, in bytes.
const REQUEST_LIMIT_BYTES: usize = 64 * 1024;
/// Largest request that brings a team's catalogue files, in bytes.
const CATALOGUE_REQUEST_LIMIT_BYTES: usize = 1024 * 1024;
const HEADER_LIMIT_BYTES: u32 = 16 * 1024;
/// Requests at once on one connection.
const STREAMS_PER_CONNECTION: u32 = 32;
/// An analysis takes well under a second; one that takes this long never ends.
const ANALYSIS_PATIENCE: Duration = Duration::from_secs(50);
/// HTTP/2 windows: an agent's stream holds little, for there are many.
const STREAM_WINDOW_BYTES: u32 = 512 * 1024;

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// When the collector cannot begin, or a part of it ended by itself.
pub async fn run(options: RunOptions) -> anyhow::Result<()> {
    // First: an opening of the store that is asked to end returns, and is not counted as one that did not.
    let signals = Signals::install().context("signals cannot be received")?;
    let catalogue = Arc::new(catalogue::open(options.catalogue.as_deref())?);
    let home = Home::open(&options.data_dir, &options.address)?;
    let agents = bind(options.listen, "--listen").await?;
    let responders = bind(options.query_listen, "--query-listen").await?;
    let (store, desk) = open(&home, &options)?;
    let snapshots = home.path("snapshots");
    std::fs::create_dir_all(&snapshots).context("the snapshot folder cannot be made")?;
    housekeeping::remove_parts(&snapshots).context("the snapshot folder cannot be read")?;

    let checkpoints = Checkpoints::open(home.path("checkpoints"))
        .context("the checkpoints' folder cannot be made")?;

    let (server, server_key) = home.authority.issue_server(&home.addresses, clock::now())?;
    let tls = |lapsed| {
        let authority = home.authority.certificate_pem();
        server_config(&server.certificate_pem, &server_key, authority, lapsed)
            .context("TLS cannot be set up")
    };
    let agents_tls = tls(options.return_within())?;
    let responders_tls = tls(Duration::ZERO)?;
    let bearer = BearerFile(home.bearer_file());
    let authority = Arc::new(home.authority);

    let (contacts, sessions) = (Contacts::default(), Sessions::default());
    for host in store.hosts() {
        if let Some(received) = host.last_received {
            contacts.note(&host.host, received, None);
        }
    }
    let ingest_counters = Arc::new(IngestCounters::default());
    let doors = Arc::new(ListenerCounters::default());
    let (heard, hears) = sync_channel(HEARD_CAPACITY);
    let stop = CancellationToken::new();
    let mut supervisor = Supervisor::new(stop.clone());
    let tap = forward(&options, &store, &mut supervisor)?;
    let ledger = Arc::new(StoreLedger::new(
        store.clone(),
        desk.clone(),
        contacts.clone(),
        heard.clone(),
        tap.clone(),
    ));
    let counters = counters(&ingest_counters, &doors, &store, &ledger, tap, &checkpoints);
    let (view, views) = watch::channel(Arc::new(View::empty()));

    let (kept, handed) = checkpoints::channel();
    let analysis = {
        let ties = Ties {
            desk: desk.clone(),
            contacts,
            sessions: sessions.clone(),
            counters,
            catalogue: Arc::clone(&catalogue),
            kept,
            view,
        };
        let (store, from) = (store.clone(), checkpoints.clone());
        let work = move || Analysis::restore(&store, &from, ties);
        tokio::task::spawn_blocking(work).await??
    };
    let pulse = Pulse::default();
    let analyses = pulse.part("analysis", ANALYSIS_PATIENCE);
    let analysis_stop = stop.clone();
    supervisor.spawn("analysis", async move {
        let work = move || analysis.run(&hears, &analyses, &analysis_stop);
        if tokio::task::spawn_blocking(work).await.is_err() {
            tracing::error!("analysis panicked");
        }
    });

    supervisor.spawn("checkpoints", async move {
        let work = move || checkpoints.keep(&handed);
        if tokio::task::spawn_blocking(work).await.is_err() {
            tracing::error!("checkpoints panicked");
        }
    });

    let enrolment = EnrolmentService::new(
        Arc::clone(&authority),
        Arc::new(DeskRegistry(desk.clone())),
        clock::now,
    );
    let agent_service = AgentService::new(
        ledger,
        sessions.clone(),
        SessionLimits::default(),
        ingest_counters,
        clock::now,
    );
    let message_bytes = SessionLimits::default().message_bytes;
    let router = builder()
        .add_service(EnrolmentServer::new(enrolment).max_decoding_message_size(REQUEST_LIMIT_BYTES))
        .add_service(AgentServer::new(agent_service).max_decoding_message_size(message_bytes));
    serve(
        &mut supervisor,
        "agents",
        agents,
        agents_tls,
        Arc::clone(&doors),
        router,
    );

    let office = DeskOffice {
        desk: desk.clone(),
        store: store.clone(),
        authority,
        sessions,
        snapshots,
        heard,
        views: views.clone(),
        catalogue,
    };
    let access = Access::new(Arc::new(bearer), clock::now);
    let query = QueryService::new(
        views,
        store.clone(),
        Arc::new(office),
        access,
        clock::now,
        VERSION,
    );
    let query = Arc::new(query);
    let asked = QueryServer::from_arc(Arc::clone(&query));
    let configs = ConfigsServer::from_arc(Arc::clone(&query));
    let diagnosis = DiagnosisServer::from_arc(Arc::clone(&query));
    let routes = Routes::new(asked.max_decoding_message_size(REQUEST_LIMIT_BYTES))
        .add_service(configs.max_decoding_message_size(REQUEST_LIMIT_BYTES))
        .add_service(diagnosis.max_decoding_message_size(CATALOGUE_REQUEST_LIMIT_BYTES));
    let routes = routes.into_axum_router().merge(http_routes(query));
    let router = builder().add_routes(Routes::from(routes));
    serve(
        &mut supervisor,
        "responders",
        responders,
        responders_tls,
        doors,
        router,
    );

    supervisor.spawn("housekeeping", housekeeping::run(store, desk, stop.clone()));
    supervisor.spawn("watchdog", pulse.watchdog(stop.clone()));
    supervisor.spawn("signals", async move {
        signals.received().await;
        stop.cancel();
    });
    tracing::info!(agents = %options.listen, responders = %options.query_listen, "collector runs");
    notify::tell("READY=1");
    let ended = supervisor.run(GRACE).await;
    notify::tell("STOPPING=1");
    match ended {
        Ended::Asked => Ok(()),
        Ended::Returned(name) if name == "signals" => Ok(()),
        Ended::Returned(name) => anyhow::bail!("{name} ended by itself"),
        Ended::Panicked(name) => anyhow::bail!("{name} panicked"),
    }
}

async fn bind(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}: choose another with {flag}"))
}

fn open(home: &Home, options: &RunOptions) -> anyhow::Result<(Store, Desk)> {
    let config = StoreConfig {
        retention_age: options.retention_age(),
        retention_bytes: options.retention_bytes(),
        ..StoreConfig::default()
    };
    let store = Store::open(home.path("store"), config).context("the store cannot be opened")?;
    let desk = Desk::open(home.path("desk.sqlite")).context("the desk cannot be opened")?;
    Ok((store, desk))
}

/// Starts what passes telemetry on, if that is wanted.
fn forward(
    options: &RunOptions,
    store: &Store,
    supervisor: &mut Supervisor,
) -> anyhow::Result<Option<Tap>> {
    let Some(path) = &options.forward else {
        return Ok(None);
    };
    let config = ForwardConfig::read(path).context("--forward")?;
    if config.is_empty() {
        return Ok(None);
    }
    let store = store.clone();
    let lookup = Box::new(move |host: &HostId, id| store.schema(host, id));
    let Forwarders { tap, tasks } =
        firstlook_forward::start(config, lookup, &supervisor.stop_token())
            .with_context(|| format!("--forward {}", path.display()))?;
    for (name, task) in tasks {
        supervisor.spawn(&name, task);
    }
    Ok(Some(tap))
}

fn builder() -> Server {
    Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .http2_max_header_list_size(Some(HEADER_LIMIT_BYTES))
        .max_concurrent_streams(Some(STREAMS_PER_CONNECTION))
        .concurrency_limit_per_connection(STREAMS_PER_CONNECTION as usize)
        .initial_stream_window_size(Some(STREAM_WINDOW_BYTES))
        .initial_connection_window_size(Some(STREAM_WINDOW_BYTES * 2))
}

/// Runs a listener and its server as two tasks; both end when the supervisor stops.
fn serve(
    supervisor: &mut Supervisor,
    name: &str,
    listener: TcpListener,
    tls: Arc<firstlook_enrol::ServerConfig>,
    counters: Arc<ListenerCounters>,
    router: Router,
) {
    let (accept, connections) = incoming(listener, tls, ListenerLimits::default(), counters);
    supervisor.spawn(&format!("{name} listener"), accept);
    let stop = supervisor.stop_token();
    let server_name = format!("{name} server");
    let failed = server_name.clone();
    supervisor.spawn(&server_name, async move {
        // Dropped at the stop, with its connections: agents come back, and lose nothing.
        tokio::select! {
            () = stop.cancelled() => {}
            served = router.serve_with_incoming(connections) => {
                if let Err(error) = served {
                    tracing::error!(%error, server = failed, "server failed");
                }
            }
        }
    });
}

fn counters(
    ingest: &Arc<IngestCounters>,
    doors: &Arc<ListenerCounters>,
    store: &Store,
    ledger: &StoreLedger,
    tap: Option<Tap>,
    checkpoints: &Checkpoints,
) -> Counters {
    let (ingest, doors, store) = (Arc::clone(ingest), Arc::clone(doors), store.clone());
    let (dropped, checkpoints) = (ledger.contacts_dropped(), checkpoints.clone());
    Box::new(move || {
        let of = |c: &std::sync::atomic::AtomicU64| c.load(Ordering::Relaxed);
        let mut all: Vec<(String, u64)> = ingest
            .snapshot()
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        all.extend([
            (
                "firstlook_enrol_failed_handshakes_total".to_owned(),
                of(&doors.handshakes_failed),
            ),
            (
                "firstlook_enrol_connections_over_cap_total".to_owned(),
                of(&doors.over_cap),
            ),
            (
                "firstlook_enrol_nameless_certificates_total".to_owned(),
                of(&doors.nameless),
            ),
            (
                "firstlook_enrol_lapsed_certificates_total".to_owned(),
                of(&doors.lapsed),
            ),
            (
                "firstlook_ingest_contacts_dropped_total".to_owned(),
                of(&dropped),
            ),
        ]);
        let stats = store.stats();
        all.extend(
            stats
                .each()
                .map(|(name, value)| (format!("firstlook_store_{name}"), value)),
        );
        all.extend(
            checkpoints
                .counters()
                .map(|(name, value)| (name.to_owned(), value)),
        );
        let forwarded = tap.iter().flat_map(Tap::counters);
        all.extend(forwarded.map(|(name, value)| (name.to_owned(), value)));
        all
    })
}
