//! Who called whom in a time that is over: detection names the ends of what the store keeps of it, as it did then.

use firstlook_detect::{DetectConfig, Detector};
use firstlook_model::{Edge, EdgeObservation, HostId, TimeRange};
use firstlook_store::Store;

/// Edges of a range, sorted by caller, callee, port; unique by those. Of each host it is said whether it was shut out: of such a
/// one only what it then saw counts, as its addresses may be another's by now.
///
/// Of a host's addresses and listeners the latest are known: an end that has moved since is named as what is there now.
pub fn of(
    store: &Store,
    hosts: impl Iterator<Item = (HostId, bool)>,
    range: TimeRange,
) -> Vec<Edge> {
    let mut detector = Detector::new(DetectConfig::default());
    for (host, shut_out) in hosts {
        let seen = store.edges(range, Some(&host)).into_iter();
        let seen: Vec<EdgeObservation> = seen.map(|stored| stored.item).collect();
        if shut_out && seen.is_empty() {
            continue;
        }
        if let Some(inventory) = store.inventory(&host) {
            detector.observe_inventory(&host, &inventory.item);
        }
        for dump in seen.chunk_by(|a, b| a.time == b.time) {
            detector.observe_edges(&host, dump);
        }
    }
    detector.situation(range.to).edges
}
