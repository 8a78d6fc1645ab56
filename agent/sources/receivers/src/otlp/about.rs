//! Whom it is about that is told.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use firstlook_model::ComponentId;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::wire::{Resource, text};
use crate::run::{Caller, Named};

/// A connection whose maker is not known is asked about again after this: the host is sampled once a second, and what
/// began since the last sample is not known yet.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// Names what resources are about.
pub(crate) struct About {
    /// Where nothing better is known.
    pub otherwise: ComponentId,
    /// Units that tell what others told them.
    pub relays: BTreeSet<String>,
    /// Who made a connection.
    pub caller: Caller,
    /// Services of this host by what they call themselves.
    pub named: Named,
}

impl About {
    /// The service that made the connection, whatever it says of itself. Where that is not known, or it is a relay: the
    /// service of this host that a resource says it is; else what the configuration says.
    pub(super) fn of(
        &self,
        owner: Option<&ComponentId>,
        resource: Option<&Resource>,
    ) -> ComponentId {
        if let Some(owner) = owner.filter(|owner| !self.relays.contains(owner.name())) {
            return owner.clone();
        }
        let named = || {
            let name = text(&resource?.attributes, "service.name")?;
            (self.named)(name)
        };
        named().unwrap_or_else(|| self.otherwise.clone())
    }
}

/// The two ends of a connection, and who made it. A connection stays its maker's, so that an answer holds for its life:
/// its port is another's only after it.
pub(super) struct Connection {
    /// From whom, and to which address here; `None` where the kernel did not say.
    ends: Option<(SocketAddr, SocketAddr)>,
    made: Mutex<Made>,
}

#[derive(Default)]
struct Made {
    by: Option<ComponentId>,
    asked: Option<Instant>,
}

impl Connection {
    pub fn new(ends: Option<(SocketAddr, SocketAddr)>) -> Self {
        Self {
            ends,
            made: Mutex::default(),
        }
    }

    /// The service that made it, if it is known.
    pub async fn maker(&self, about: &About) -> Option<ComponentId> {
        let (from, to) = self.ends?;
        // Requests of one connection wait for the answer together.
        let mut made = self.made.lock().await;
        let asked = made.asked.is_some_and(|at| at.elapsed() < ASK_AGAIN);
        if made.by.is_none() && !asked {
            made.by = (about.caller)(from, to).await;
            made.asked = Some(Instant::now());
        }
        made.by.clone()
    }
}
