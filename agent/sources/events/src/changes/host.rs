//! Changes of the host itself: settings of its kernel, mounts, images of its containers, certificates that expire.

use firstlook_model::{Change, ChangeKind, Timestamp};

use super::{Watcher, images, mounts, settings};

/// The blind spot when containers cannot be seen.
const CONTAINERS: &str = "containers";

impl Watcher {
    pub(super) fn changed_settings(&mut self, now: Timestamp) -> Vec<Change> {
        let read = settings::read(&self.config.proc_root);
        let found = settings::compare(&self.kept.settings, &read);
        // What cannot be read for a moment is not forgotten.
        self.kept.settings.extend(read);
        let machine = || self.config.machine();
        let change = |(name, text): (String, String)| {
            self.change(ChangeKind::Setting, &name, machine(), now, text)
        };
        found.into_iter().map(change).collect()
    }

    pub(super) fn changed_mounts(&mut self, now: Timestamp) -> Vec<Change> {
        let Some(read) = mounts::read(&self.config.proc_root) else {
            return Vec::new();
        };
        let before = self.kept.mounts.replace(read);
        let (Some(before), Some(read)) = (before, &self.kept.mounts) else {
            return Vec::new();
        };
        let machine = || self.config.machine();
        let change = |(place, text): (String, String)| {
            self.change(ChangeKind::Mount, &place, machine(), now, text)
        };
        mounts::compare(&before, read)
            .into_iter()
            .map(change)
            .collect()
    }

    /// Containers that were started from another image, at the time of their start.
    pub(super) fn changed_images(&mut self, now: Timestamp) -> Vec<Change> {
        let config = &self.config;
        let found = self.containers.look(&images::Places {
            docker: &config.docker_root,
            podman: &config.podman_root,
            podman_run: &config.podman_run,
            proc_root: &config.proc_root,
        });
        match (found.blind, found.refused) {
            (Some(reason), _) => self.blind.set(CONTAINERS, reason),
            (None, 0) => self.blind.clear(CONTAINERS),
            (None, n) => self
                .blind
                .set(CONTAINERS, format!("{n} could not be understood")),
        }
        let changes = images::update(&mut self.kept.images, &found.running);
        let change = |(key, text): (String, String)| {
            let container = found.running.get(&key)?;
            let component = images::unit_of(&self.config.proc_root, container)
                .map_or_else(|| self.config.machine(), |unit| self.config.unit(&unit));
            let time = container.started.map_or(now, |started| started.min(now));
            Some(self.change(ChangeKind::Image, &key, component, time, text))
        };
        changes.into_iter().filter_map(change).collect()
    }

    /// A certificate's end is reported once, at the time of its end.
    pub(super) fn expired_certificates(&mut self, now: Timestamp) -> Vec<Change> {
        let expired = self.certificates.expired(now);
        let new = expired
            .iter()
            .filter(|(key, _)| !self.kept.expired.contains(*key));
        let changes = new.map(|(_, (path, validity))| {
            let component = self.component_of(path);
            let text = format!("{} expired: {}", path.display(), validity.subject);
            let subject = format!("expired:{}", path.display());
            self.change(
                ChangeKind::Certificate,
                &subject,
                component,
                validity.ends,
                text,
            )
        });
        let changes = changes.collect();
        self.kept.expired = expired.into_keys().collect();
        changes
    }
}
