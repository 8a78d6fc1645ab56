//! What the service manager says of units, as the agent's own source of it hears.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use firstlook_model::{ActiveState, UnitState};
use tokio::time::{Duration, Instant};

/// All states come every minute: what is older is of a source that ended.
const FRESH: Duration = Duration::from_secs(150);
/// By then all units have been told of.
const TOLD_WITHIN: Duration = Duration::from_secs(70);
/// Most units remembered.
const UNITS_LIMIT: usize = 4_000;

/// The units' newest states. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Units(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    active: BTreeMap<String, (bool, Instant)>,
    /// First and last time that anything was told.
    told: Option<(Instant, Instant)>,
}

/// What is known of one unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Active,
    Inactive,
    /// The manager told of all its units, and not of this.
    NotLoaded,
}

impl Units {
    /// Takes states: all units' every minute, else those that changed.
    pub fn take(&self, states: &[UnitState]) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        known.active.retain(|_, (_, told)| now - *told <= FRESH);
        for state in states {
            if known.active.len() >= UNITS_LIMIT
                && !known.active.contains_key(state.component.name())
            {
                continue;
            }
            let active = matches!(state.active, ActiveState::Active | ActiveState::Reloading);
            let name = state.component.name().to_owned();
            known.active.insert(name, (active, now));
        }
        let first = known.told.filter(|(_, last)| now - *last <= FRESH);
        known.told = Some((first.map_or(now, |(first, _)| first), now));
    }

    /// How a unit stands; `None` while nobody knows.
    pub(crate) fn standing(&self, name: &str) -> Option<Standing> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let fresh = |(_, told): &&(bool, Instant)| now - *told <= FRESH;
        if let Some((active, _)) = known.active.get(name).filter(fresh) {
            return Some(match active {
                true => Standing::Active,
                false => Standing::Inactive,
            });
        }
        let (first, last) = known.told?;
        let all_told = now - last <= FRESH && now - first >= TOLD_WITHIN;
        all_told.then_some(Standing::NotLoaded)
    }
}
