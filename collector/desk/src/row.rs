//! Columns to the model's types and back, checked.

use firstlook_model::Timestamp;
use rusqlite::Row;
use rusqlite::types::FromSql;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::DeskError;

/// Longest JSON body of a row, in bytes.
pub(crate) const BODY_LIMIT_BYTES: usize = 16 * 1024 * 1024;
/// Longest short text: a name, a reason, a path.
pub(crate) const TEXT_LIMIT_BYTES: usize = 4 * 1024;

/// A row of one table, read column by column.
pub(crate) struct Columns<'a> {
    pub table: &'static str,
    pub row: &'a Row<'a>,
}

impl Columns<'_> {
    pub(crate) fn get<T: FromSql>(&self, name: &'static str) -> Result<T, DeskError> {
        self.row.get(name).map_err(|error| self.bad(name, &error))
    }

    pub(crate) fn time(&self, name: &'static str) -> Result<Timestamp, DeskError> {
        self.get(name).map(Timestamp::from_micros)
    }

    pub(crate) fn time_or_none(&self, name: &'static str) -> Result<Option<Timestamp>, DeskError> {
        Ok(self.get::<Option<i64>>(name)?.map(Timestamp::from_micros))
    }

    /// A text that a type checks.
    pub(crate) fn parsed<T, E: std::fmt::Display>(
        &self,
        name: &'static str,
        parse: impl FnOnce(String) -> Result<T, E>,
    ) -> Result<T, DeskError> {
        parse(self.get(name)?).map_err(|error| self.bad(name, &error))
    }

    /// A text that a type checks, where there is one.
    pub(crate) fn parsed_or_none<T, E: std::fmt::Display>(
        &self,
        name: &'static str,
        parse: impl FnOnce(String) -> Result<T, E>,
    ) -> Result<Option<T>, DeskError> {
        let text: Option<String> = self.get(name)?;
        text.map(parse)
            .transpose()
            .map_err(|error| self.bad(name, &error))
    }

    pub(crate) fn json<T: DeserializeOwned>(&self, name: &'static str) -> Result<T, DeskError> {
        self.parsed(name, |text| serde_json::from_str(&text))
    }

    pub(crate) fn bad(&self, name: &'static str, why: &dyn std::fmt::Display) -> DeskError {
        DeskError::Row {
            table: self.table,
            what: format!("{name}: {why}"),
        }
    }
}

pub(crate) fn to_json(what: &'static str, value: &impl Serialize) -> Result<String, DeskError> {
    let text =
        serde_json::to_string(value).map_err(|source| DeskError::Unwritable { what, source })?;
    within(what, text, BODY_LIMIT_BYTES)
}

/// The text, if it is short enough.
pub(crate) fn short<'t>(what: &'static str, text: &'t str) -> Result<&'t str, DeskError> {
    within(what, text, TEXT_LIMIT_BYTES)
}

/// The text, if it is within a limit of its own.
pub(crate) fn within<T: AsRef<str>>(
    what: &'static str,
    text: T,
    limit_bytes: usize,
) -> Result<T, DeskError> {
    if text.as_ref().len() > limit_bytes {
        return Err(DeskError::TooLong { what, limit_bytes });
    }
    Ok(text)
}
