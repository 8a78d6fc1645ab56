//! Firstlook's own processes: seen, but never reason for an incident by their talk with each other.

use firstlook_model::{ComponentId, ComponentKind};

/// How the units and programs of Firstlook begin.
const PREFIX: &str = "firstlook-";

/// Whether a component is an agent or a collector.
pub(crate) fn is_own(component: &ComponentId) -> bool {
    match component.kind() {
        ComponentKind::Agent => true,
        ComponentKind::Service => component.name().starts_with(PREFIX),
        _ => false,
    }
}
