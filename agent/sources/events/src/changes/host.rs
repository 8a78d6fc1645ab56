//! Changes of the host itself: settings of its kernel, mounts, certificates that expire.

use firstlook_model::{Change, ChangeKind, Timestamp};

use super::{Watcher, mounts, settings};

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

    /// A certificate's end is reported once, at the time of its end.
    pub(super) fn expired_certificates(&mut self, now: Timestamp) -> Vec<Change> {
        let expired = self.certificates.expired(now);
        let new = expired
            .iter()
            .filter(|(key, _)| !self.kept.expired.contains(*key));
        let changes = new.map(|(_, (path, validity))| {
            let owner = self.owners.of(path);
            let component =
                owner.map_or_else(|| self.config.machine(), |unit| self.config.service(unit));
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
