//! OTLP, OpenTelemetry's protocol, over HTTP and gRPC: metrics become series of whom they are about, log records its
//! lines, and spans its rates, errors and durations.
//!
//! ```text
//! connection → request → body (limited, inflated) → weighed → read → converted → told once a second
//! ```
//! Answers are those of the OTLP specification: what was taken in part is said with how much was not, what can be sent
//! again later is refused with a time, and what never can is refused without one.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use firstlook_model::{ComponentId, HostId};
use serde::Deserialize;
use tokio::time::{MissedTickBehavior, interval};

use crate::config::{about, no_unit};
use crate::run::LinesTo;
use crate::shelf::Shelves;
use desk::Desk;
use serve::Speaks;

mod about;
mod body;
mod callees;
mod desk;
mod grpc;
mod logs;
mod message;
mod metrics;
mod replies;
mod series;
mod serve;
mod spans;
mod totals;
mod weigh;
mod wire;

pub(crate) use about::About;
pub(crate) use desk::OWN_SERIES;

/// How often what came is told: as often as there are frames of the host.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Most units that pass on what others tell.
const RELAYS_LIMIT: usize = 16;

/// `[otlp]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Otlp {
    /// Address and port of OTLP over HTTP, in protobuf or JSON. Default `127.0.0.1:4318`. Whoever can send there can tell anything.
    pub http_listen: SocketAddr,
    /// Address and port of OTLP over gRPC, without TLS. Default `127.0.0.1:4317`. Whoever can send there can tell anything.
    pub grpc_listen: SocketAddr,
    /// Unit that the numbers are about, as `shop.service`, where it is not known whose program sends them, and nothing that is
    /// told names one of this host. Default: the host itself.
    pub service: Option<String>,
    /// Units that pass on what others tell, as `otelcol.service`: of what they send, the resource's `service.name` says whom it
    /// is about. At most 16. Default none.
    pub relays: Vec<String>,
    /// Most series kept: 1 to 2000, and 4000 with those of all endpoints and StatsD. Default 1000.
    pub series_budget: usize,
}

impl Default for Otlp {
    fn default() -> Self {
        Self {
            http_listen: (Ipv4Addr::LOCALHOST, 4318).into(),
            grpc_listen: (Ipv4Addr::LOCALHOST, 4317).into(),
            service: None,
            relays: Vec::new(),
            series_budget: 1_000,
        }
    }
}

impl Otlp {
    /// What is told is about, on `host`, where nothing better is known.
    pub fn about(&self, host: &HostId) -> ComponentId {
        about(self.service.as_deref(), host)
    }

    pub(crate) fn wrong(&self) -> Option<&'static str> {
        if self.relays.len() > RELAYS_LIMIT || self.relays.iter().any(|name| no_unit(name)) {
            return Some("relays: the names of at most 16 units are allowed");
        }
        match (self.http_listen.port(), self.grpc_listen.port()) {
            (0, _) => Some("http_listen: a port is needed"),
            (_, 0) => Some("grpc_listen: a port is needed"),
            _ if self.http_listen == self.grpc_listen => {
                Some("http_listen and grpc_listen: two ports are needed")
            }
            _ => None,
        }
    }
}

/// Where what is received goes.
pub(crate) struct Places {
    pub shelves: Shelves,
    /// Of the series that are told.
    pub told: usize,
    /// Of those about the receiver itself.
    pub own: usize,
}

/// Receives without end.
pub(crate) async fn receive(otlp: Otlp, about: About, lines: LinesTo, places: Places) {
    let desk = Arc::new(Desk::new(otlp.series_budget, about, lines));
    let http = serve::listen(otlp.http_listen, Speaks::Http, Arc::clone(&desk));
    let grpc = serve::listen(otlp.grpc_listen, Speaks::Grpc, Arc::clone(&desk));
    let mut tick = interval(TELL_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let telling = async {
        loop {
            tick.tick().await;
            desk.tell(&places);
        }
    };
    // None ends by itself.
    tokio::join!(http, grpc, telling);
}

#[cfg(test)]
mod tests;
