//! StatsD over UDP: lines added up, told once a second.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use firstlook_model::{ComponentId, HostId, SignalKind};
use serde::Deserialize;
use tokio::net::UdpSocket;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::config::about;
use crate::exposition::Sample;
use crate::run::Caller;
use crate::shelf::Shelves;
use senders::Senders;
use sums::Sums;

mod line;
mod senders;
mod sums;

/// How often what was added up is told: as often as there are frames of the host.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// A port that cannot be had is tried again after this.
const BIND_AGAIN: Duration = Duration::from_secs(10);
/// Largest datagram there is.
const DATAGRAM_LIMIT_BYTES: usize = 65_536;
/// What is read between two tellings, some 100,000 lines; datagrams beyond it are counted and not looked at.
const READ_LIMIT_BYTES: usize = 4 * 1024 * 1024;
/// Series about the receiver itself, beside its budget.
pub(crate) const OWN_SERIES: usize = 5;

/// `[statsd]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Statsd {
    /// Address and port. Default `127.0.0.1:8125`. Whoever can send there can tell anything.
    pub listen: SocketAddr,
    /// Unit that the numbers are about, as `nginx.service`. Default: the one whose program sends them, where it is on this host
    /// and known, else the host itself.
    pub service: Option<String>,
    /// Most series kept: 1 to 2000, and 4000 with those of all endpoints. Default 500.
    pub series_budget: usize,
}

impl Default for Statsd {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 8125).into(),
            service: None,
            series_budget: 500,
        }
    }
}

/// What came since the agent began.
#[derive(Debug, Default)]
struct Counts {
    packets: u64,
    refused_lines: u64,
    unread_packets: u64,
    no_room: u64,
}

impl Statsd {
    /// What the numbers are about on `host`, where it is not known whose they are.
    pub fn about(&self, host: &HostId) -> ComponentId {
        about(self.service.as_deref(), host)
    }
}

/// Receives without end, onto a place of `shelves`. Who sends is asked unless the configuration says whom it is about.
pub(crate) async fn receive(statsd: Statsd, sender: Caller, shelves: Shelves, place: usize) {
    let mut counts = Counts::default();
    let mut senders = statsd.service.is_none().then(|| Senders::new(sender));
    loop {
        let Ok(socket) = UdpSocket::bind(statsd.listen).await else {
            shelves.put(place, counts.samples(false));
            sleep(BIND_AGAIN).await;
            continue;
        };
        let onto = Onto {
            shelves: &shelves,
            place,
        };
        receive_from(&socket, &statsd, &mut senders, &onto, &mut counts).await;
    }
}

/// Where samples go.
struct Onto<'a> {
    shelves: &'a Shelves,
    place: usize,
}

impl Onto<'_> {
    /// Puts what came there; returns for how much there was no room.
    fn tell(&self, sums: &mut Sums) -> u64 {
        let (shelves, place) = (self.shelves, self.place);
        let put = |(about, samples): (Option<ComponentId>, _)| match about {
            Some(about) => shelves.put_about(place, &about, samples),
            None => shelves.put(place, samples),
        };
        sums.tell().into_iter().map(put).sum()
    }
}

/// Ends when the socket fails.
async fn receive_from(
    socket: &UdpSocket,
    statsd: &Statsd,
    senders: &mut Option<Senders>,
    onto: &Onto<'_>,
    counts: &mut Counts,
) {
    let mut sums = Sums::new(statsd.series_budget);
    let mut datagram = vec![0; DATAGRAM_LIMIT_BYTES];
    let mut tick = interval(TELL_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut read = 0;
    loop {
        // Telling comes first, or a flood would keep it waiting. Both arms are cancel-safe.
        tokio::select! {
            biased;
            _ = tick.tick() => {
                onto.shelves.put(onto.place, counts.samples(true));
                counts.no_room += onto.tell(&mut sums);
                senders.iter_mut().for_each(Senders::told);
                read = 0;
            }
            received = socket.recv_from(&mut datagram) => {
                let Ok((length, from)) = received else {
                    return;
                };
                counts.packets += 1;
                read += length;
                if read > READ_LIMIT_BYTES {
                    counts.unread_packets += 1;
                } else if let Some(text) = datagram.get(..length) {
                    let about = match senders {
                        Some(senders) => senders.of(from, statsd.listen).await,
                        None => None,
                    };
                    take(text, about.as_ref(), &mut sums, counts);
                }
            }
        }
    }
}

fn take(datagram: &[u8], about: Option<&ComponentId>, sums: &mut Sums, counts: &mut Counts) {
    for line in datagram.split(|b| *b == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            continue;
        }
        match std::str::from_utf8(line).ok().and_then(line::read) {
            Some(told) if sums.add(about, &told) => {}
            Some(_) => counts.no_room += 1,
            None => counts.refused_lines += 1,
        }
    }
}

impl Counts {
    /// As many as [`OWN_SERIES`].
    fn samples(&self, up: bool) -> Vec<Sample> {
        let own = |name: &str, kind, value| Sample::count(format!("statsd.{name}"), kind, value);
        use SignalKind::{Counter, Gauge};
        vec![
            own("up", Gauge, u64::from(up)),
            own("packets_total", Counter, self.packets),
            own("unread_packets_total", Counter, self.unread_packets),
            own("refused_lines_total", Counter, self.refused_lines),
            own("over_budget_total", Counter, self.no_room),
        ]
    }
}

#[cfg(test)]
mod tests;
