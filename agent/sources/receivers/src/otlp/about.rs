//! Whom it is about that is told.

use firstlook_model::ComponentId;

use super::wire::{Resource, text};
use crate::run::Named;

/// Names what resources are about.
pub(crate) struct About {
    /// Where nothing better is known.
    pub otherwise: ComponentId,
    /// Services of this host by what they call themselves.
    pub named: Named,
}

impl About {
    /// The service of this host that a resource says it is; else what the configuration says.
    pub(super) fn of(&self, resource: Option<&Resource>) -> ComponentId {
        let named = || {
            let name = text(&resource?.attributes, "service.name")?;
            (self.named)(name)
        };
        named().unwrap_or_else(|| self.otherwise.clone())
    }
}
