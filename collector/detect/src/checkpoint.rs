//! What is known of a host as bytes, so that a restart forgets nothing.
//!
//! The whole state goes in: what is usual, what is under way, since when. A detector that takes it up again and then hears
//! what came after says what one says that never ended. Fields bear their names, so that a later version may add some
//! (with a default) and take some away; [`FORM`] goes up only where that does not do.

use std::sync::Arc;

use firstlook_model::{HostId, Schema, Series, Timestamp};
use serde::{Deserialize, Serialize};

use crate::detector::Detector;
use crate::heartbeat::Presence;
use crate::host::Host;
use crate::plan::Plan;

/// Form of the bytes. One that is not ours is refused.
const FORM: u32 = 1;

/// Why a checkpoint cannot be taken up.
#[derive(Debug, thiserror::Error)]
pub enum BadCheckpoint {
    /// Not what was written, or a version's that had other fields.
    #[error("not readable: {0}")]
    Unreadable(#[from] rmp_serde::decode::Error),
    /// Of another form.
    #[error("of form {0}, this version reads {FORM}")]
    Form(u32),
    /// A list of series names one that is not in it.
    #[error("inconsistent: a schema names series {0} of {1}")]
    Inconsistent(u32, usize),
    /// Of a time that is still to come.
    #[error("it was heard later than now: the clock was set back")]
    Ahead,
    /// There is no room for more hosts.
    #[error("too many hosts are known")]
    Full,
}

#[derive(Serialize)]
struct Written<'a> {
    form: u32,
    presence: Presence,
    schemas: Vec<&'a [u32]>,
    host: &'a Host,
}

#[derive(Deserialize)]
struct Read {
    presence: Presence,
    schemas: Vec<Vec<u32>>,
    host: Host,
}

/// The first field alone: what follows may be of any shape.
#[derive(Deserialize)]
struct Form {
    form: u32,
}

impl Detector {
    /// Everything that is known of a host, for [`Detector::restore`]; `None` of an unknown one.
    pub fn checkpoint(&self, host: &HostId) -> Option<Vec<u8>> {
        let host = self.hosts.get(host)?;
        let written = Written {
            form: FORM,
            presence: self.presence,
            schemas: host.schemas().collect(),
            host,
        };
        // Writing to memory fails on nothing that a host's state holds.
        rmp_serde::to_vec_named(&written).ok()
    }

    /// Takes up a checkpoint, in place of what is known of its host. Says of which host it is, and when the last record was
    /// received that went into it: those after it are to be observed again. One that heard anybody after `not_after` is refused.
    ///
    /// # Errors
    /// [`BadCheckpoint`]; nothing has changed then.
    pub fn restore(
        &mut self,
        bytes: &[u8],
        not_after: Timestamp,
    ) -> Result<(HostId, Option<Timestamp>), BadCheckpoint> {
        let Form { form } = rmp_serde::from_slice(bytes)?;
        if form != FORM {
            return Err(BadCheckpoint::Form(form));
        }
        let Read {
            presence,
            schemas,
            mut host,
        } = rmp_serde::from_slice(bytes)?;
        let latest = host.recorded.max(host.contact).max(presence.last_heard());
        if latest > Some(not_after) {
            return Err(BadCheckpoint::Ahead);
        }
        for slots in schemas {
            host.plan_again(slots)?;
        }
        let (id, recorded) = (host.id.clone(), host.recorded);
        if !self.hosts.contains_key(&id) && self.hosts.len() >= self.config.host_limit {
            return Err(BadCheckpoint::Full);
        }
        self.presence.resume(presence);
        self.accepted.join(&host.accepted);
        self.hosts.insert(id.clone(), host);
        Ok((id, recorded))
    }

    /// The collector was away until `now`, its clock: hosts that are not heard yet may still be on their way back.
    pub fn resume(&mut self, now: Timestamp) {
        self.presence.back(now, &self.config);
    }

    /// What a host's own clock shows at a time of the collector's; the same where it is not known.
    pub fn own_time(&self, host: &HostId, at: Timestamp) -> Timestamp {
        self.hosts.get(host).map_or(at, |host| host.clock.own(at))
    }

    /// Hosts of which something is known, in the order of their names.
    pub fn hosts(&self) -> impl Iterator<Item = &HostId> {
        self.hosts.keys()
    }
}

impl Host {
    /// Slots of each schema that is remembered, the oldest first.
    fn schemas(&self) -> impl Iterator<Item = &[u32]> {
        self.plans.iter().map(|(_, plan)| plan.slots.as_slice())
    }

    /// Remembers the schema whose series stand at `slots`.
    fn plan_again(&mut self, slots: Vec<u32>) -> Result<(), BadCheckpoint> {
        let series: Result<Vec<Series>, BadCheckpoint> = slots
            .iter()
            .map(|slot| {
                let known = self.levels.series(*slot).cloned();
                known.ok_or(BadCheckpoint::Inconsistent(*slot, self.levels.len()))
            })
            .collect();
        let schema = Schema::new(series?);
        let plan = Plan::new(schema.series(), slots);
        self.plans.push_back((schema.id(), Arc::new(plan)));
        Ok(())
    }
}
