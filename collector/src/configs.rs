//! Configurations of agents, kept at the desk; agents hear of a new one through their sessions.

use firstlook_desk::{
    AuditEntry, AuditOutcome, ConfigVersion, DeskError, HostReport, NewConfig, groups_of,
};
use firstlook_model::{GroupName, HostId};
use firstlook_query::{ConfigOffice, ConfigRow, HostConfig, OfficeError, WantedRow};
use firstlook_runtime::clock;

use crate::office::DeskOffice;

fn failure(error: DeskError) -> OfficeError {
    match error {
        DeskError::NotFound { name, .. } => OfficeError::NotFound(format!(
            "no group named {name}: `firstlook config list` lists them"
        )),
        DeskError::NoPatterns { .. } => OfficeError::Invalid(format!("{error}, as --hosts 'web*'")),
        DeskError::TooMany { .. } | DeskError::TooLong { .. } => {
            OfficeError::Invalid(error.to_string())
        }
        other => OfficeError::Failed(other.to_string()),
    }
}

fn row(version: ConfigVersion) -> ConfigRow {
    let ConfigVersion {
        version,
        group,
        patterns,
        made,
        made_by,
        reason,
        text,
    } = version;
    ConfigRow {
        version,
        group,
        patterns,
        made,
        made_by,
        reason,
        text,
    }
}

/// What is wanted of a host, and what its agent said.
pub fn host_config(host: &HostId, newest: &[ConfigVersion], reports: &[HostReport]) -> HostConfig {
    let mut groups = groups_of(host, newest).into_iter();
    let counts = groups.next();
    let said = reports.iter().find(|said| said.host == *host);
    HostConfig {
        host: host.clone(),
        group: counts.map(|config| config.group.clone()),
        wanted: counts.map_or(0, |config| config.version),
        report: said.map(|said| (said.report.clone(), said.reported)),
        passed_over: groups.map(|config| config.group.clone()).collect(),
    }
}

impl DeskOffice {
    fn make(
        &self,
        new: &NewConfig,
        what: &'static str,
        again: bool,
    ) -> Result<(ConfigRow, bool), OfficeError> {
        let (made, known) = self.desk.configs().set(new, what, again).map_err(failure)?;
        if !known {
            tracing::info!(group = %made.group, version = made.version, by = new.by, "configuration made");
            self.sessions.reconfigure();
        }
        Ok((row(made), known))
    }
}

impl ConfigOffice for DeskOffice {
    fn set_config(&self, wanted: WantedRow, by: &str) -> Result<(ConfigRow, bool), OfficeError> {
        let new = NewConfig {
            group: wanted.group,
            patterns: wanted.patterns,
            text: wanted.text,
            reason: wanted.reason,
            by: by.to_owned(),
            at: clock::now(),
        };
        self.make(&new, "config set", false)
    }

    fn revert_config(
        &self,
        group: &GroupName,
        version: Option<u64>,
        reason: &str,
        by: &str,
    ) -> Result<ConfigRow, OfficeError> {
        let kept = self.desk.configs().history(group).map_err(failure)?;
        let earlier = match version {
            Some(version) => kept.into_iter().find(|config| config.version == version),
            None => kept.into_iter().nth(1),
        };
        let earlier = earlier.ok_or_else(|| {
            let which = version.map_or("none before the present".to_owned(), |v| format!("no {v}"));
            OfficeError::NotFound(format!(
                "the group {group} has {which}: `firstlook config history {group}` lists its versions"
            ))
        })?;
        let new = NewConfig {
            group: group.clone(),
            patterns: earlier.patterns,
            text: earlier.text,
            reason: match reason.is_empty() {
                true => format!("back to version {}", earlier.version),
                false => reason.to_owned(),
            },
            by: by.to_owned(),
            at: clock::now(),
        };
        Ok(self.make(&new, "config revert", true)?.0)
    }

    fn remove_config(&self, group: &GroupName, reason: &str, by: &str) -> Result<(), OfficeError> {
        let detail = match reason.is_empty() {
            true => group.to_string(),
            false => format!("{group}: {reason}"),
        };
        let entry = AuditEntry {
            time: clock::now(),
            who: by.to_owned(),
            what: "config remove".to_owned(),
            result: AuditOutcome::Done,
            detail,
        };
        let removed = self.desk.configs().remove(group, &entry);
        removed.map_err(failure)?;
        tracing::info!(%group, by, "configuration removed");
        self.sessions.reconfigure();
        Ok(())
    }

    fn configs(&self) -> Result<Vec<ConfigRow>, OfficeError> {
        let newest = self.desk.configs().newest().map_err(failure)?;
        Ok(newest.into_iter().map(row).collect())
    }

    fn config_history(&self, group: &GroupName) -> Result<Vec<ConfigRow>, OfficeError> {
        let kept = self.desk.configs().history(group).map_err(failure)?;
        Ok(kept.into_iter().map(row).collect())
    }

    fn host_configs(&self) -> Result<Vec<HostConfig>, OfficeError> {
        let hosts = self.desk.hosts().list().map_err(failure)?;
        let newest = self.desk.configs().newest().map_err(failure)?;
        let reports = self.desk.configs().reports().map_err(failure)?;
        let welcome = hosts.iter().filter(|host| host.revoked.is_none());
        Ok(welcome
            .map(|host| host_config(&host.host, &newest, &reports))
            .collect())
    }
}
