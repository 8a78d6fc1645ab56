//! Configuration of agents, by groups of hosts: every version of each group, and what agents said of theirs.
//!
//! Which group has a host is settled here, by patterns of names that responders set: never by what a host says of itself.

use firstlook_model::remote::{CONFIG_LIMIT_BYTES, PATTERNS_LIMIT};
use firstlook_model::{
    ConfigReport, ConfigState, GroupName, HostId, HostPattern, Timestamp, WantedConfig,
};
use rusqlite::{OptionalExtension, Row, Transaction, params};

use crate::audit::append;
use crate::row::{Columns, short, to_json, within};
use crate::{AuditEntry, Desk, DeskError};

/// Most groups.
pub const GROUPS_LIMIT: usize = 64;
/// Versions kept of each group; the oldest go first.
pub const VERSIONS_LIMIT: u32 = 50;

/// The newest version of each group.
const NEWEST: &str = "SELECT * FROM config_versions WHERE version IN
    (SELECT max(version) FROM config_versions GROUP BY group_name) ORDER BY group_name";

/// One version of a group's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigVersion {
    /// Unique on this desk, and rising.
    pub version: u64,
    /// Whose.
    pub group: GroupName,
    /// Which hosts.
    pub patterns: Vec<HostPattern>,
    /// When it was made.
    pub made: Timestamp,
    /// By whom.
    pub made_by: String,
    /// Why; may be empty.
    pub reason: String,
    /// TOML.
    pub text: String,
}

/// A version to be made.
#[derive(Clone, Debug)]
pub struct NewConfig {
    /// Whose.
    pub group: GroupName,
    /// Which hosts; empty: as before.
    pub patterns: Vec<HostPattern>,
    /// TOML, checked.
    pub text: String,
    /// Why; may be empty.
    pub reason: String,
    /// By whom.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// What a host's agent said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostReport {
    /// Whose.
    pub host: HostId,
    /// What.
    pub report: ConfigReport,
    /// When.
    pub reported: Timestamp,
}

/// The groups whose patterns fit a host, the one that counts first: a name goes before a pattern, more letters before fewer,
/// and the alphabet decides between equals.
pub fn groups_of<'c>(host: &HostId, newest: &'c [ConfigVersion]) -> Vec<&'c ConfigVersion> {
    let closest = |config: &ConfigVersion| {
        let fitting = config.patterns.iter().filter(|p| p.fits(host));
        fitting.map(HostPattern::closeness).max()
    };
    let mut fitting: Vec<_> = newest
        .iter()
        .filter_map(|config| Some((closest(config)?, config)))
        .collect();
    fitting.sort_by(|(a, one), (b, other)| b.cmp(a).then_with(|| one.group.cmp(&other.group)));
    fitting.into_iter().map(|(_, config)| config).collect()
}

/// Access to configurations.
pub struct Configs<'d>(pub(crate) &'d Desk);

impl Configs<'_> {
    /// Makes a version, and the group where it is new; `what` is noted in the audit in the same transaction. What says
    /// the same as the present one changes nothing, and that one is given, with true; unless `again`.
    ///
    /// # Errors
    /// [`DeskError::NoPatterns`] for a new group without any, [`DeskError::TooMany`] at a limit.
    pub fn set(
        &self,
        new: &NewConfig,
        what: &'static str,
        again: bool,
    ) -> Result<(ConfigVersion, bool), DeskError> {
        let doing = "making a configuration";
        let failed = |source| DeskError::Database { doing, source };
        if new.patterns.len() > PATTERNS_LIMIT {
            return Err(too_many("patterns of hosts", PATTERNS_LIMIT));
        }
        let text = within("a configuration", &*new.text, CONFIG_LIMIT_BYTES)?;
        self.0.transaction(doing, |transaction| {
            let present = newest(transaction, &new.group)?;
            let patterns = match (&present, new.patterns.is_empty()) {
                (_, false) => new.patterns.clone(),
                (Some(present), true) => present.patterns.clone(),
                (None, true) => {
                    let name = new.group.to_string();
                    return Err(DeskError::NoPatterns { name });
                }
            };
            if let Some(present) = present.as_ref().filter(|_| !again)
                && present.patterns == patterns
                && present.text == new.text
            {
                return Ok((present.clone(), true));
            }
            if present.is_none() && count_groups(transaction)? >= GROUPS_LIMIT {
                return Err(too_many("groups of hosts", GROUPS_LIMIT));
            }
            transaction
                .execute(
                    "INSERT INTO config_versions (group_name, patterns, made, made_by, reason, text)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    params![
                        new.group.as_str(),
                        to_json("patterns of hosts", &patterns)?,
                        new.at.as_micros(),
                        short("who made a configuration", &new.by)?,
                        short("the reason for a configuration", &new.reason)?,
                        text
                    ],
                )
                .map_err(failed)?;
            let version = u64::try_from(transaction.last_insert_rowid()).unwrap_or_default();
            transaction
                .execute(
                    "DELETE FROM config_versions WHERE group_name = ?1 AND version NOT IN
                     (SELECT version FROM config_versions WHERE group_name = ?1
                      ORDER BY version DESC LIMIT ?2)",
                    params![new.group.as_str(), VERSIONS_LIMIT],
                )
                .map_err(failed)?;
            append(transaction, &entry(new, what, version))?;
            let made = ConfigVersion {
                version,
                group: new.group.clone(),
                patterns,
                made: new.at,
                made_by: new.by.clone(),
                reason: new.reason.clone(),
                text: new.text.clone(),
            };
            Ok((made, false))
        })
    }

    /// The present version of each group, by name.
    ///
    /// # Errors
    /// When the database fails. Unreadable rows are left out and counted.
    pub fn newest(&self) -> Result<Vec<ConfigVersion>, DeskError> {
        self.0.rows("reading configurations", NEWEST, (), read)
    }

    /// The versions of a group, newest first.
    ///
    /// # Errors
    /// [`DeskError::NotFound`] when there is no such group. Unreadable rows are left out and counted.
    pub fn history(&self, group: &GroupName) -> Result<Vec<ConfigVersion>, DeskError> {
        let sql = "SELECT * FROM config_versions WHERE group_name = ?1 ORDER BY version DESC";
        let kept = self
            .0
            .rows("reading configurations", sql, [group.as_str()], read)?;
        match kept.is_empty() {
            true => Err(no_group(group)),
            false => Ok(kept),
        }
    }

    /// Removes a group with its versions; `entry` goes into the audit in the same transaction.
    ///
    /// # Errors
    /// [`DeskError::NotFound`] when there is no such group.
    pub fn remove(&self, group: &GroupName, entry: &AuditEntry) -> Result<(), DeskError> {
        let doing = "removing a configuration";
        self.0.transaction(doing, |transaction| {
            let removed = transaction
                .execute(
                    "DELETE FROM config_versions WHERE group_name = ?1",
                    [group.as_str()],
                )
                .map_err(|source| DeskError::Database { doing, source })?;
            match removed {
                0 => Err(no_group(group)),
                _ => append(transaction, entry),
            }
        })
    }

    /// What is wanted of a host; `None` where no group has it.
    ///
    /// # Errors
    /// When the database fails.
    pub fn wanted(&self, host: &HostId) -> Result<Option<WantedConfig>, DeskError> {
        let newest = self.newest()?;
        let counts = groups_of(host, &newest).into_iter().next();
        Ok(counts.map(|config| WantedConfig {
            version: config.version,
            text: config.text.clone(),
        }))
    }

    /// Keeps what a host's agent said, over what it said before.
    ///
    /// # Errors
    /// When a number or text is over its limit, or the database fails.
    pub fn report(&self, heard: &HostReport) -> Result<(), DeskError> {
        let doing = "keeping a report of a configuration";
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let ConfigReport {
            version,
            state,
            why,
            running,
        } = &heard.report;
        self.0
            .connection()
            .execute(
                "INSERT INTO config_reports (host, version, state, why, running, reported)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (host) DO UPDATE SET
                 version = ?2, state = ?3, why = ?4, running = ?5, reported = ?6",
                params![
                    heard.host.as_str(),
                    number(*version),
                    state.as_str(),
                    short("an agent's reason", why)?,
                    number(*running),
                    heard.reported.as_micros()
                ],
            )
            .map_err(|source| DeskError::Database { doing, source })?;
        Ok(())
    }

    /// What agents last said, by host.
    ///
    /// # Errors
    /// When the database fails. Unreadable rows are left out and counted.
    pub fn reports(&self) -> Result<Vec<HostReport>, DeskError> {
        let sql = "SELECT * FROM config_reports ORDER BY host";
        self.0
            .rows("reading reports of configurations", sql, (), read_report)
    }
}

fn entry(new: &NewConfig, what: &'static str, version: u64) -> AuditEntry {
    let mut detail = format!("{} version {version}", new.group);
    if !new.reason.is_empty() {
        detail = format!("{detail}: {}", new.reason);
    }
    AuditEntry {
        time: new.at,
        who: new.by.clone(),
        what: what.to_owned(),
        result: crate::AuditOutcome::Done,
        detail,
    }
}

fn too_many(what: &'static str, limit: usize) -> DeskError {
    DeskError::TooMany { what, limit }
}

fn no_group(group: &GroupName) -> DeskError {
    DeskError::NotFound {
        what: "group",
        name: group.to_string(),
    }
}

fn newest(
    transaction: &Transaction<'_>,
    group: &GroupName,
) -> Result<Option<ConfigVersion>, DeskError> {
    let doing = "reading a configuration";
    transaction
        .query_row(
            "SELECT * FROM config_versions WHERE group_name = ?1 ORDER BY version DESC LIMIT 1",
            [group.as_str()],
            |row| Ok(read(row)),
        )
        .optional()
        .map_err(|source| DeskError::Database { doing, source })?
        .transpose()
}

fn count_groups(transaction: &Transaction<'_>) -> Result<usize, DeskError> {
    let doing = "counting groups of hosts";
    let sql = "SELECT count(DISTINCT group_name) FROM config_versions";
    let count: i64 = transaction
        .query_row(sql, (), |row| row.get(0))
        .map_err(|source| DeskError::Database { doing, source })?;
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}

fn number(columns: &Columns<'_>, name: &'static str) -> Result<u64, DeskError> {
    let number: i64 = columns.get(name)?;
    u64::try_from(number).map_err(|error| columns.bad(name, &error))
}

fn read(row: &Row<'_>) -> Result<ConfigVersion, DeskError> {
    let columns = Columns {
        table: "config_versions",
        row,
    };
    Ok(ConfigVersion {
        version: number(&columns, "version")?,
        group: columns.parsed("group_name", GroupName::new)?,
        patterns: columns.json("patterns")?,
        made: columns.time("made")?,
        made_by: columns.get("made_by")?,
        reason: columns.get("reason")?,
        text: columns.get("text")?,
    })
}

fn read_report(row: &Row<'_>) -> Result<HostReport, DeskError> {
    let columns = Columns {
        table: "config_reports",
        row,
    };
    let state = columns.parsed("state", |text: String| {
        let mut all = ConfigState::ALL.into_iter();
        all.find(|state| state.as_str() == text)
            .ok_or_else(|| format!("unknown state {text:?}"))
    })?;
    Ok(HostReport {
        host: columns.parsed("host", HostId::new)?,
        report: ConfigReport {
            version: number(&columns, "version")?,
            state,
            why: columns.get("why")?,
            running: number(&columns, "running")?,
        },
        reported: columns.time("reported")?,
    })
}
