//! How much an agent may cost its host just now: what is given up first when the host suffers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// Levels of strain. Each gives up what those before it do, and more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Strain {
    /// Everything is done as it should be.
    #[default]
    Calm,
    /// Looks that can come later do: connections and changes.
    Eased,
    /// Log lines come slowly, and nothing that is asked for on demand is done.
    Strained,
    /// Log lines wait on the host, and samples are few. What says that the host lives goes on.
    Bare,
}

impl Strain {
    /// All levels, the calmest first.
    pub const ALL: [Self; 4] = [Self::Calm, Self::Eased, Self::Strained, Self::Bare];

    /// Name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Eased => "eased",
            Self::Strained => "strained",
            Self::Bare => "bare",
        }
    }

    /// One level up.
    pub fn worse(self) -> Self {
        Self::at(self as u8 + 1)
    }

    /// One level down.
    pub fn better(self) -> Self {
        Self::at((self as u8).saturating_sub(1))
    }

    fn at(level: u8) -> Self {
        *Self::ALL.get(usize::from(level)).unwrap_or(&Self::Bare)
    }
}

/// The level now. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct StrainGauge(Arc<AtomicU8>);

impl StrainGauge {
    /// The level.
    pub fn level(&self) -> Strain {
        Strain::at(self.0.load(Ordering::Relaxed))
    }

    /// Sets it.
    pub fn set(&self, level: Strain) {
        self.0.store(level as u8, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_go_one_by_one_and_end() {
        let gauge = StrainGauge::default();
        assert_eq!(gauge.level(), Strain::Calm);
        for level in Strain::ALL {
            gauge.clone().set(level);
            assert_eq!(gauge.level(), level);
        }
        assert_eq!(Strain::Calm.worse(), Strain::Eased);
        assert_eq!(
            (Strain::Bare.worse(), Strain::Calm.better()),
            (Strain::Bare, Strain::Calm)
        );
    }
}
