//! All receivers as one task that ends together.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use firstlook_model::id::stable_hash;
use firstlook_model::{ComponentId, HostId, Lines};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use crate::config::{Receivers, Scrape};
use crate::otlp::{self, Places};
use crate::scrape::{OWN_SERIES, scrape};
use crate::shelf::Shelves;
use crate::statsd;

/// Who listens at an address of this host; `None` where that is not known, or not on this host.
pub type Owner = Arc<dyn Fn(SocketAddr) -> Option<ComponentId> + Send + Sync>;

/// The service of this host that goes by a name, as `shop` for `shop.service`; `None` where there is none.
pub type Named = Arc<dyn Fn(&str) -> Option<ComponentId> + Send + Sync>;

/// Whose socket the far end of one here is, by both their addresses, the far one first; `None` where that is not known, or
/// not on this host. Asks the kernel: its answers are to be kept.
pub type Caller = Arc<dyn Fn(SocketAddr, SocketAddr) -> Found + Send + Sync>;

/// Ends with the service that calls.
pub type Found = Pin<Box<dyn Future<Output = Option<ComponentId>> + Send>>;

/// Where lines go: waits while there is no room. Dropped before its end, it has not taken them.
pub type LinesTo = Arc<dyn Fn(Lines) -> LinesTaken + Send + Sync>;

/// Ends when lines were taken.
pub type LinesTaken = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What is known of the host and its services.
#[derive(Clone)]
pub struct Surroundings {
    /// The host itself.
    pub host: HostId,
    /// Who listens where.
    pub owner: Owner,
    /// Who made a TCP connection.
    pub caller: Caller,
    /// Who sends datagrams by UDP.
    pub sender: Caller,
    /// Who goes by which name.
    pub named: Named,
    /// Where lines go.
    pub lines: LinesTo,
}

/// A receiver ended by itself, which is a fault of ours.
#[derive(Debug, thiserror::Error)]
#[error("a receiver ended by itself")]
pub struct ReceiverEnded(#[from] tokio::task::JoinError);

/// Receives until `stop`; with nothing to receive it only waits. Samples go onto `shelves`, which are
/// cleared first, under the services that `around` names.
///
/// # Errors
/// When a receiver ended by itself. Starting again can help.
pub async fn run(
    receivers: Receivers,
    around: Surroundings,
    shelves: Shelves,
    stop: CancellationToken,
) -> Result<(), ReceiverEnded> {
    shelves.clear();
    let Surroundings {
        host,
        owner,
        caller,
        sender,
        named,
        lines,
    } = around;
    let mut tasks = JoinSet::new();
    for endpoint in receivers.scrapes {
        let declared = endpoint.named(&host);
        let about = declared.clone().unwrap_or(ComponentId::host(host.clone()));
        let place = shelves.add(about, endpoint.series_budget + OWN_SERIES);
        let (shelves, owner) = (shelves.clone(), Arc::clone(&owner));
        tasks.spawn(async move {
            let mut tick = interval_at(Instant::now() + first(&endpoint), endpoint.interval());
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut refused = 0;
            loop {
                tick.tick().await;
                // A service that is down listens nowhere: its series stay its own until another takes its place.
                let found = declared.clone().or_else(|| owner(endpoint.url.address()));
                if let Some(component) = found {
                    shelves.attach(place, &component);
                }
                once(&endpoint, place, &shelves, &mut refused).await;
            }
        });
    }
    if let Some(statsd) = receivers.statsd {
        let room = statsd.series_budget + statsd::OWN_SERIES;
        let place = shelves.add(statsd.about(&host), room);
        tasks.spawn(statsd::receive(statsd, sender, shelves.clone(), place));
    }
    if let Some(otlp) = receivers.otlp {
        let about = otlp::About {
            otherwise: otlp.about(&host),
            relays: otlp.relays.iter().cloned().collect(),
            caller,
            named,
        };
        let places = Places {
            told: shelves.add(about.otherwise.clone(), otlp.series_budget),
            own: shelves.add(about.otherwise.clone(), otlp::OWN_SERIES),
            shelves: shelves.clone(),
        };
        tasks.spawn(otlp::receive(otlp, about, lines, places));
    }
    // Tasks have no end of their own; dropping the set ends them, and a scrape leaves nothing half done.
    tokio::select! {
        () = stop.cancelled() => Ok(()),
        Some(ended) = tasks.join_next() => ended.map_err(ReceiverEnded::from),
    }
}

async fn once(endpoint: &Scrape, place: usize, shelves: &Shelves, refused: &mut u64) {
    let mut scraped = scrape(endpoint).await;
    *refused += scraped.refused;
    let samples = std::mem::take(&mut scraped.samples);
    let held = samples.len() as u64;
    // The series about the scrape have their room before all others.
    let mut room = scraped.own(&endpoint.url, 0, 0, 0);
    room.iter_mut().for_each(|sample| sample.value = f64::NAN);
    shelves.put(place, room);
    let no_room = shelves.put(place, samples);
    let over = scraped.over + no_room;
    let own = scraped.own(&endpoint.url, held - no_room, over, *refused);
    shelves.put(place, own);
}

/// Endpoints begin spread over their interval, each at the same place after every restart, at the latest after ten seconds.
fn first(endpoint: &Scrape) -> Duration {
    let spread = endpoint.interval().min(Duration::from_secs(10));
    let spread = u64::try_from(spread.as_millis()).unwrap_or(1).max(1);
    Duration::from_millis(stable_hash(endpoint.url.to_string().as_bytes()) % spread)
}

#[cfg(test)]
mod tests;
