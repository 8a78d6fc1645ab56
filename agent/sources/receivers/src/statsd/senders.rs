//! Whose programs send datagrams, by where they come from.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use firstlook_model::ComponentId;
use tokio::time::Instant;

use crate::run::Caller;

/// How long an answer holds: a port is another program's as soon as the one before has closed it.
const KNOWN_FOR: Duration = Duration::from_secs(5);
/// And that nobody is known: the host is sampled once a second.
const UNKNOWN_FOR: Duration = Duration::from_secs(2);
/// Senders that are remembered; many programs have one port each.
const SENDERS_LIMIT: usize = 1_024;
/// Senders that are asked about between two tellings; what more of them send is not known to be anybody's.
const ASKED_LIMIT: usize = 64;

/// Names senders.
pub(super) struct Senders {
    caller: Caller,
    known: HashMap<SocketAddr, Known>,
    asked: usize,
}

struct Known {
    service: Option<ComponentId>,
    until: Instant,
}

impl Senders {
    pub fn new(caller: Caller) -> Self {
        Self {
            caller,
            known: HashMap::new(),
            asked: 0,
        }
    }

    /// The service whose socket is at `from` and sent a datagram to `to`.
    ///
    /// # Cancel safety
    /// When dropped, it is asked again the next time.
    pub async fn of(&mut self, from: SocketAddr, to: SocketAddr) -> Option<ComponentId> {
        let now = Instant::now();
        if let Some(known) = self.known.get(&from).filter(|known| now < known.until) {
            return known.service.clone();
        }
        if self.asked >= ASKED_LIMIT {
            return None;
        }
        self.asked += 1;
        let service = (self.caller)(from, to).await;
        if self.known.len() >= SENDERS_LIMIT {
            self.known.retain(|_, known| now < known.until);
        }
        if self.known.len() < SENDERS_LIMIT {
            let held = if service.is_some() {
                KNOWN_FOR
            } else {
                UNKNOWN_FOR
            };
            let known = Known {
                service: service.clone(),
                until: Instant::now() + held,
            };
            self.known.insert(from, known);
        }
        service
    }

    /// So many may be asked about again.
    pub fn told(&mut self) {
        self.asked = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn from(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    /// The sender from port 1 is nobody, each other the service of its port; and how many were asked about.
    fn senders() -> (Senders, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let times = Arc::clone(&asked);
        let senders = Senders::new(Arc::new(move |from, _| {
            times.fetch_add(1, Ordering::SeqCst);
            let name = format!("service:h1/{}.service", from.port());
            let known = (from.port() != 1).then(|| name.parse().unwrap());
            Box::pin(async move { known })
        }));
        (senders, asked)
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_holds_for_seconds_and_none_for_less() {
        let (mut senders, asked) = senders();
        for (seconds, port, times) in [
            (0, 2, 1),
            (4, 2, 1),
            (1, 2, 2),
            (0, 1, 3),
            (1, 1, 3),
            (1, 1, 4),
        ] {
            tokio::time::advance(Duration::from_secs(seconds)).await;
            let service = senders.of(from(port), from(9)).await;
            assert_eq!(service.is_some(), port != 1);
            assert_eq!(asked.load(Ordering::SeqCst), times);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_senders_is_asked_about_and_remembered_under_limits() {
        let (mut senders, asked) = senders();
        let limit = u16::try_from(ASKED_LIMIT).unwrap();
        for port in 10..10 + limit {
            assert!(senders.of(from(port), from(9)).await.is_some());
        }
        assert_eq!(senders.of(from(9_000), from(9)).await, None);
        assert!(senders.of(from(10), from(9)).await.is_some());
        assert_eq!(asked.load(Ordering::SeqCst), ASKED_LIMIT);
        for port in 10..4_000 {
            senders.told();
            senders.of(from(port), from(9)).await;
        }
        assert_eq!(senders.known.len(), SENDERS_LIMIT);
    }
}
