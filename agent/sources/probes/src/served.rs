//! Certificates that services of this host serve, looked at where TLS is the rule.
//!
//! A file says what a service should show; only a handshake says what it does show, as when a certificate was renewed and
//! nobody told the service. One handshake a port, seldom, without a name: what a client sees that names no site.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use firstlook_model::{ComponentId, Expiries, Finder, Place, Strain, StrainGauge, Timestamp};
use tokio::net::TcpStream;
use tokio::time::{Duration, Instant, MissedTickBehavior, interval_at, timeout};
use tokio_util::sync::CancellationToken;

use crate::look::tls;

/// The first look waits for the host's listeners to be known.
const FIRST_AFTER: Duration = Duration::from_secs(15);
/// Certificates live for weeks.
const LOOK_EVERY: Duration = Duration::from_secs(600);
/// A peer that does not shake hands for this long is let go.
const DEADLINE: Duration = Duration::from_secs(3);
/// Most ports that may be declared.
pub const PORTS_LIMIT: usize = 32;
/// Most listeners looked at.
const LISTENERS_LIMIT: usize = 64;

/// The services of this host that listen on TCP now, and where.
pub type Listening = Arc<dyn Fn() -> Vec<(SocketAddr, ComponentId)> + Send + Sync>;

/// What to look at.
#[derive(Clone)]
pub struct Served {
    /// Ports at which TLS is expected.
    pub ports: Vec<u16>,
    /// Who listens.
    pub listening: Listening,
    /// Where it is told until when each certificate is valid.
    pub expiries: Expiries,
    /// While the host suffers nobody is asked, and what was seen last stays.
    pub strain: StrainGauge,
}

/// Looks until `stop`; without ports it only waits. One that shows no certificate any more is no longer told.
pub async fn served(served: Served, stop: CancellationToken) {
    if served.ports.is_empty() {
        return stop.cancelled().await;
    }
    let mut tick = interval_at(Instant::now() + FIRST_AFTER, LOOK_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // A look that is dropped leaves nothing half done.
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        if served.strain.level() > Strain::Calm {
            continue;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            found = look(&served) => served.expiries.tell(Finder::Ports, found),
        }
    }
}

/// One handshake with each listener, one after the other; of one service's addresses with the same port, one.
async fn look(served: &Served) -> Vec<(ComponentId, Place, Timestamp)> {
    let listening = (served.listening)().into_iter();
    let wanted = listening.filter(|(at, _)| served.ports.contains(&at.port()));
    let once: BTreeMap<(u16, ComponentId), SocketAddr> = wanted
        .map(|(at, component)| ((at.port(), component), at))
        .collect();
    let mut found = Vec::new();
    for ((port, component), at) in once.into_iter().take(LISTENERS_LIMIT) {
        if let Ok(Some(ends)) = timeout(DEADLINE, ends(reachable(at))).await {
            found.push((component, Place::Port(port), ends));
        }
    }
    found
}

/// When the certificate shown there ends; `None` where none is.
async fn ends(at: SocketAddr) -> Option<Timestamp> {
    let stream = TcpStream::connect(at).await.ok()?;
    let shown = tls::peek(stream, at.ip()).await?;
    Some(Timestamp::from_secs(shown.ends_s))
}

/// Where somebody who is bound to every address is to be found.
fn reachable(at: SocketAddr) -> SocketAddr {
    let address = match at.ip() {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address => address,
    };
    SocketAddr::new(address, at.port())
}

#[cfg(test)]
mod tests;
