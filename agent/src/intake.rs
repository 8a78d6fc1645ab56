//! Where sources put what they saw: facts into a queue that drops its oldest, lines into one that waits.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use firstlook_model::{Inventory, Lines, Loss, Observation, Timestamp};
use firstlook_runtime::{Beat, clock, queue};
use firstlook_sources_events::{BlindSpots, EventSink};
use tokio::sync::mpsc;

use crate::listeners::Listeners;

/// Facts waiting for the spool: about a minute of all sources.
const FACTS_CAPACITY: usize = 512;
/// What they may weigh: half a minute of frames of the largest hosts.
const FACTS_LIMIT_BYTES: usize = 4 * 1024 * 1024;
/// Deliveries of lines waiting: readers wait beyond it, and the log itself is the buffer.
const LINES_CAPACITY: usize = 16;

/// An observation and the source that made it.
pub struct Fact {
    source: &'static str,
    /// What was seen.
    pub observation: Observation,
}

/// What was dropped here and not yet reported, by source and reason.
#[derive(Clone, Default)]
pub struct Tally(Arc<Mutex<BTreeMap<(String, String), Loss>>>);

impl Tally {
    /// Counts a dropped observation. One that tells of losses itself is not lost: its counts go on.
    fn count(&self, fact: Fact, at: Timestamp) {
        if let Observation::Losses(losses) = fact.observation {
            return losses.into_iter().for_each(|loss| self.add(loss));
        }
        self.add(Loss {
            source: fact.source.to_owned(),
            reason: "queue-full".to_owned(),
            count: 1,
            bytes: 0,
            from: at,
            to: at,
        });
    }

    fn add(&self, loss: Loss) {
        let mut tally = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (loss.source.clone(), loss.reason.clone());
        match tally.entry(key) {
            Entry::Vacant(entry) => {
                entry.insert(loss);
            }
            Entry::Occupied(mut entry) => {
                let known = entry.get_mut();
                known.count = known.count.saturating_add(loss.count);
                known.bytes = known.bytes.saturating_add(loss.bytes);
                known.from = known.from.min(loss.from);
                known.to = known.to.max(loss.to);
            }
        }
    }

    /// Takes what was counted.
    pub fn take(&self) -> Vec<Loss> {
        let mut tally = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *tally).into_values().collect()
    }
}

/// The producing side, shared by all sources.
pub struct Intake {
    facts: queue::Sender<Fact>,
    lines: mpsc::Sender<Lines>,
    tally: Tally,
    blind: BlindSpots,
    frames: Beat,
    listeners: Listeners,
    told: Mutex<Option<Told>>,
}

/// What the collector was last told of the host, and of what is not seen.
struct Told {
    inventory: Inventory,
    blind: Vec<String>,
}

/// The consuming side.
pub struct Outlet {
    /// Facts, oldest first.
    pub facts: queue::Receiver<Fact>,
    /// Lines.
    pub lines: mpsc::Receiver<Lines>,
    /// What was dropped before it got here.
    pub tally: Tally,
}

/// Makes both sides. `blind` is added to every inventory that passes, and what was told last is told again with the next
/// frame when it has changed; `frames` beats with every frame.
pub fn intake(blind: BlindSpots, frames: Beat) -> (Intake, Outlet) {
    let (facts, facts_out) = queue::drop_oldest(FACTS_CAPACITY, FACTS_LIMIT_BYTES);
    let (lines, lines_out) = mpsc::channel(LINES_CAPACITY);
    let tally = Tally::default();
    let outlet = Outlet {
        facts: facts_out,
        lines: lines_out,
        tally: tally.clone(),
    };
    (
        Intake {
            facts,
            lines,
            tally,
            blind,
            frames,
            listeners: Listeners::default(),
            told: Mutex::default(),
        },
        outlet,
    )
}

impl Intake {
    /// Who listens where, by the newest inventory that passed.
    pub fn listeners(&self) -> Listeners {
        self.listeners.clone()
    }

    fn take(&self, source: &'static str, mut observation: Observation) {
        match &mut observation {
            Observation::Inventory(inventory) => self.tell(inventory),
            Observation::Units(units) => self.listeners.note_units(units),
            Observation::Frame(frame) => {
                self.frames.beat();
                if let Some(inventory) = self.told_anew(frame.time) {
                    self.send(source, Observation::Inventory(Box::new(inventory)));
                }
            }
            _ => {}
        }
        self.send(source, observation);
    }

    /// Adds what is not seen, and remembers both.
    fn tell(&self, inventory: &mut Inventory) {
        let (blind, bare) = (self.blind.list(), inventory.clone());
        inventory.blind.extend(blind.iter().cloned());
        self.listeners.note(inventory);
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Some(Told {
            inventory: bare,
            blind,
        });
    }

    /// The last inventory with what is not seen now, if that has changed: nobody should wait a minute for it.
    fn told_anew(&self, now: Timestamp) -> Option<Inventory> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let (told, blind) = (told.as_mut()?, self.blind.list());
        if told.blind == blind {
            return None;
        }
        told.blind.clone_from(&blind);
        let mut inventory = told.inventory.clone();
        inventory.time = now;
        inventory.blind.extend(blind);
        Some(inventory)
    }

    fn send(&self, source: &'static str, observation: Observation) {
        let weight = weight(&observation);
        for dropped in self.facts.send(
            Fact {
                source,
                observation,
            },
            weight,
        ) {
            self.tally.count(dropped, clock::now());
        }
    }
}

/// Roughly how much memory an observation takes.
fn weight(observation: &Observation) -> usize {
    /// A list's entry with its texts.
    const ENTRY: usize = 300;
    match observation {
        Observation::Frame(frame) => frame.values.len() * size_of::<f64>(),
        Observation::Lines(lines) => lines.lines.iter().map(|l| l.text.len() + ENTRY).sum(),
        Observation::Edges(edges) => edges.len() * ENTRY,
        Observation::Units(units) => units.len() * ENTRY,
        Observation::Changes(changes) => changes
            .iter()
            .map(|c| c.text.len() + c.detail.len() + ENTRY)
            .sum(),
        Observation::Inventory(inventory) => {
            (inventory.listeners.len() + inventory.mounts.len()) * ENTRY
        }
        Observation::Losses(losses) => losses.len() * ENTRY,
    }
}

impl firstlook_sources_host::Sink for Intake {
    fn offer(&self, source: &'static str, observation: Observation) {
        self.take(source, observation);
    }
}

impl EventSink for Intake {
    fn offer(&self, source: &'static str, observation: Observation) {
        self.take(source, observation);
    }

    fn deliver<'a>(&'a self, lines: Lines) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(async move {
            // Refused only while the agent ends: the reader's position does not move, so nothing is lost.
            let _ = self.lines.send(lines).await;
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use firstlook_model::{Frame, Schema};
    use firstlook_runtime::Pulse;
    use firstlook_sources_host::Sink;
    use std::time::Duration;

    fn sides() -> (Intake, Outlet) {
        let frames = Pulse::default().part("frames", Duration::from_secs(1));
        intake(BlindSpots::default(), frames)
    }

    #[test]
    fn what_makes_room_is_counted_under_its_own_source() {
        let (intake, outlet) = sides();
        for _ in 0..FACTS_CAPACITY {
            Sink::offer(&intake, "old", Observation::Edges(Vec::new()));
        }
        for _ in 0..3 {
            Sink::offer(&intake, "new", Observation::Edges(Vec::new()));
        }
        let losses = outlet.tally.take();
        assert_eq!(losses.len(), 1);
        assert_eq!((losses[0].source.as_str(), losses[0].count), ("old", 3));
        assert!(outlet.tally.take().is_empty());
    }

    #[test]
    fn what_is_not_seen_any_more_is_told_with_the_next_frame() {
        let frames = Pulse::default().part("frames", Duration::from_secs(1));
        let blind = BlindSpots::default();
        let (intake, mut outlet) = intake(blind.clone(), frames);
        let frame = |second| {
            Observation::Frame(Frame {
                schema: Arc::new(Schema::new(Vec::new())),
                time: Timestamp::from_secs(second),
                values: Vec::new(),
            })
        };
        let mut inventories = Vec::new();
        let mut told = |outlet: &mut Outlet| {
            while let Some(fact) = outlet.facts.try_recv() {
                if let Observation::Inventory(inventory) = fact.observation {
                    inventories.push((inventory.time, inventory.blind));
                }
            }
            std::mem::take(&mut inventories)
        };
        blind.set("units", "no bus");
        Sink::offer(&intake, "host", frame(1));
        assert_eq!(told(&mut outlet), [], "nothing is known of the host yet");
        let inventory = Inventory {
            time: Timestamp::from_secs(1),
            hostname: "h1".to_owned(),
            kernel: String::new(),
            os: String::new(),
            boot_id: String::new(),
            booted: Timestamp::default(),
            cores: 1,
            memory_bytes: 1,
            addresses: Vec::new(),
            listeners: Vec::new(),
            mounts: Vec::new(),
            agent_version: String::new(),
            blind: vec!["sockets: denied".to_owned()],
        };
        Sink::offer(&intake, "host", Observation::Inventory(Box::new(inventory)));
        assert_eq!(told(&mut outlet).len(), 1);
        Sink::offer(&intake, "host", frame(2));
        assert_eq!(told(&mut outlet), []);
        blind.clear("units");
        blind.set("kmsg", "gone");
        Sink::offer(&intake, "host", frame(3));
        let lines = ["sockets: denied", "kmsg: gone"].map(str::to_owned);
        assert_eq!(
            told(&mut outlet),
            [(Timestamp::from_secs(3), lines.to_vec())]
        );
        Sink::offer(&intake, "host", frame(4));
        assert_eq!(told(&mut outlet), []);
    }

    #[test]
    fn heavy_observations_make_room_before_the_queue_is_long() {
        let (intake, outlet) = sides();
        let frame = |series: usize| {
            Observation::Frame(Frame {
                schema: Arc::new(Schema::new(Vec::new())),
                time: Timestamp::default(),
                values: vec![0.0; series],
            })
        };
        for _ in 0..10 {
            Sink::offer(
                &intake,
                "host",
                frame(FACTS_LIMIT_BYTES / size_of::<f64>() / 4),
            );
        }
        assert_eq!(outlet.tally.take()[0].count, 6);
    }

    #[test]
    fn what_a_dropped_observation_tells_of_losses_is_told_all_the_same() {
        let (intake, outlet) = sides();
        let loss = Loss {
            source: "kmsg".into(),
            reason: "overrun".into(),
            count: 40,
            bytes: 9,
            from: Timestamp::from_secs(1),
            to: Timestamp::from_secs(2),
        };
        for _ in 0..2 {
            Sink::offer(&intake, "kmsg", Observation::Losses(vec![loss.clone()]));
        }
        for _ in 0..FACTS_CAPACITY {
            Sink::offer(&intake, "new", Observation::Edges(Vec::new()));
        }
        let told = outlet.tally.take();
        assert_eq!(
            told,
            [Loss {
                count: 80,
                bytes: 18,
                ..loss
            }]
        );
    }
}
