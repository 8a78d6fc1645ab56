//! What one host forgets when something is accepted.

use firstlook_model::ComponentId;

use super::Host;
use crate::accept::covers;
use crate::edges::EdgeKey;
use crate::jobs;

impl Host {
    /// Forgets what was usual of the host's own components that are accepted, and of the `edges` from and to them that it
    /// watches.
    pub fn forget_usual(&mut self, accepted: &ComponentId, edges: &[EdgeKey]) {
        // Of who was never seen nothing is known.
        let Some(now) = self.newest.max(self.logs.last()) else {
            return;
        };
        self.edges.forget_usual(edges, now);
        if accepted.host_id() != Some(&self.id) {
            return;
        }
        let is_meant = |component: &ComponentId| covers(accepted, component);
        self.levels.forget(is_meant);
        self.logs.forget_usual(is_meant, now);
        self.network.forget_usual(accepted, now);
        for (_, disk) in self.disks.iter_mut().filter(|(id, _)| is_meant(id)) {
            disk.forget_usual();
        }
        for (id, service) in self.services.iter_mut().filter(|(id, _)| is_meant(id)) {
            service.forget_usual(now);
            if jobs::is_cron(id) {
                self.jobs.forget_cron();
            }
        }
    }
}
