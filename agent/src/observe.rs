//! One whole observation of this host, without a collector: what `run --once` prints and `check` judges.
//!
//! The sources are those of the running agent. They are let go for as long as it takes until each has told what it
//! tells at its beginning; counters have no past then, and edges cover the time between two looks.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use firstlook_model::{
    EdgeObservation, Frame, HostId, Inventory, Lines, LogSource, Observation, UnitState,
};
use firstlook_sources_events::{BlindSpots, Checkpoints, EventSink};
use firstlook_sources_host::HostConfig;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::app::{VERSION, events_config};
use crate::config::Config;

/// Longest that sources may take to tell what they tell at their beginning.
const WITHIN: Duration = Duration::from_secs(30);
/// What comes of its own accord has so long to come: states of units, edges, and the second inventory, which
/// knows whose the listeners are.
const AT_LEAST: Duration = Duration::from_secs(7);
/// Version of the document's form.
const FORM: u32 = 1;

/// What the sources told.
#[derive(Default)]
pub struct Seen {
    pub frame: Option<Frame>,
    /// Of the last look at connections that saw some.
    pub edges: Vec<EdgeObservation>,
    pub units: Vec<UnitState>,
    pub inventory: Option<Inventory>,
    /// Lines that came meanwhile, by where they were read.
    pub lines: BTreeMap<&'static str, usize>,
    /// What cannot be seen, each with its reason; sorted.
    pub blind: Vec<String>,
}

/// Where the sources put what they saw.
#[derive(Default)]
struct Gathering {
    seen: Mutex<Seen>,
    more: Notify,
}

impl Gathering {
    fn take(&self, observation: Observation) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match observation {
            Observation::Frame(frame) => seen.frame = Some(frame),
            // The last look that saw some.
            Observation::Edges(edges) if edges.is_empty() => {}
            Observation::Edges(edges) => seen.edges = edges,
            Observation::Units(units) => {
                // Of a unit that was told again, what was told last.
                seen.units
                    .retain(|known| units.iter().all(|unit| unit.component != known.component));
                seen.units.extend(units);
            }
            Observation::Inventory(inventory) => seen.inventory = Some(*inventory),
            Observation::Lines(lines) => seen.count(&lines),
            // Nothing has changed or was lost yet.
            Observation::Changes(_) | Observation::Losses(_) => {}
        }
        self.more.notify_one();
    }

    fn whole(&self) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.frame.is_some() && seen.inventory.is_some()
    }
}

impl Seen {
    fn count(&mut self, lines: &Lines) {
        for line in &lines.lines {
            let source = match line.source {
                LogSource::Journald => "journald",
                LogSource::Kernel => "kmsg",
                LogSource::File => "files",
            };
            *self.lines.entry(source).or_insert(0) += 1;
        }
    }

    /// All of it as one document. Values that were not observed are null.
    pub fn document(&self, host: &HostId) -> Value {
        #[derive(Serialize)]
        struct Sample<'a> {
            #[serde(flatten)]
            series: &'a firstlook_model::Series,
            value: Option<f64>,
        }
        let series: Vec<_> = self.frame.iter().flat_map(samples).collect();
        let series: Vec<_> = series
            .into_iter()
            .map(|(series, value)| Sample {
                series,
                value: value.is_finite().then_some(value),
            })
            .collect();
        json!({
            "version": FORM,
            "kind": "observation",
            "host": host,
            "time": self.frame.as_ref().map(|frame| frame.time),
            "agent_version": VERSION,
            "inventory": self.inventory,
            "series": series,
            "edges": self.edges,
            "units": self.units,
            "lines": self.lines,
            "blind": self.blind,
        })
    }
}

/// Each series of a frame with its value.
pub fn samples(frame: &Frame) -> impl Iterator<Item = (&firstlook_model::Series, f64)> {
    frame
        .schema
        .series()
        .iter()
        .zip(frame.values.iter().copied())
}

impl firstlook_sources_host::Sink for Gathering {
    fn offer(&self, _: &'static str, observation: Observation) {
        self.take(observation);
    }
}

impl EventSink for Gathering {
    fn offer(&self, _: &'static str, observation: Observation) {
        self.take(observation);
    }

    fn deliver<'a>(&'a self, lines: Lines) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        self.take(Observation::Lines(lines));
        Box::pin(std::future::ready(()))
    }
}

/// No reader has been anywhere yet.
struct Nowhere;

impl Checkpoints for Nowhere {
    fn load(&self, _: &str) -> Option<Vec<u8>> {
        None
    }
}

/// Lets all sources look at this host once. Takes some seconds.
///
/// # Errors
/// When no thread can be had to look with.
pub async fn observe(config: &Config, host: &HostId) -> anyhow::Result<Seen> {
    let (stop, blind) = (CancellationToken::new(), BlindSpots::default());
    let gathering = Arc::new(Gathering::default());
    let mut settings = HostConfig::new(host.clone(), VERSION);
    settings.roots = config.host_roots();
    let watching = firstlook_sources_host::run(settings, gathering.clone(), stop.clone());
    let listening = firstlook_sources_events::run(
        events_config(config, host),
        gathering.clone(),
        Arc::new(Nowhere),
        blind.clone(),
        stop.clone(),
    );
    let began = Instant::now();
    let enough = async {
        sleep(AT_LEAST).await;
        let whole = async {
            while !gathering.whole() {
                gathering.more.notified().await;
            }
        };
        // What is missing then is not there to be had: what is there is told.
        let _ = timeout_at(began + WITHIN, whole).await;
        stop.cancel();
    };
    let (watched, (), ()) = tokio::join!(watching, listening, enough);
    watched?;
    let mut seen = std::mem::take(
        &mut *gathering
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner),
    );
    let of_host = seen
        .inventory
        .iter()
        .flat_map(|inventory| inventory.blind.clone());
    seen.blind = of_host.chain(blind.list()).collect();
    seen.blind.sort();
    seen.blind.dedup();
    if let Some(inventory) = &mut seen.inventory {
        inventory.blind.clone_from(&seen.blind);
    }
    Ok(seen)
}
