//! Remote configuration: what is wanted of an agent, and what it says of it.

use firstlook_model::remote::{CONFIG_LIMIT_BYTES, WHY_LIMIT_BYTES};
use firstlook_model::{ConfigReport, ConfigState, WantedConfig};

use super::enums::Checked;
use super::fields::{self, InvalidMessage};
use crate::wire;

impl From<WantedConfig> for wire::Configure {
    fn from(wanted: WantedConfig) -> Self {
        Self {
            version: wanted.version,
            text: wanted.text,
        }
    }
}

impl TryFrom<wire::Configure> for WantedConfig {
    type Error = InvalidMessage;
    fn try_from(asked: wire::Configure) -> Result<Self, InvalidMessage> {
        let text = fields::text("configuration", asked.text, CONFIG_LIMIT_BYTES)?;
        // None has no text.
        if asked.version == 0 && !text.is_empty() {
            return Err(out_of_range(0));
        }
        Ok(Self {
            version: number(asked.version)?,
            text,
        })
    }
}

/// A reason that is too long is cut.
impl From<ConfigReport> for wire::Configured {
    fn from(report: ConfigReport) -> Self {
        let ConfigReport {
            version,
            state,
            mut why,
            running,
        } = report;
        let mut end = why.len().min(WHY_LIMIT_BYTES);
        while !why.is_char_boundary(end) {
            end -= 1;
        }
        why.truncate(end);
        Self {
            version,
            state: wire::ConfigState::from(state).into(),
            why,
            running,
        }
    }
}

impl TryFrom<wire::Configured> for ConfigReport {
    type Error = InvalidMessage;
    fn try_from(said: wire::Configured) -> Result<Self, InvalidMessage> {
        let state: ConfigState = wire::ConfigState::checked(said.state)?;
        Ok(Self {
            version: number(said.version)?,
            state,
            why: fields::text("reason", said.why, WHY_LIMIT_BYTES)?,
            running: number(said.running)?,
        })
    }
}

/// Both sides keep versions as signed numbers.
fn number(version: u64) -> Result<u64, InvalidMessage> {
    match i64::try_from(version) {
        Ok(_) => Ok(version),
        Err(_) => Err(out_of_range(version)),
    }
}

fn out_of_range(version: u64) -> InvalidMessage {
    InvalidMessage::OutOfRange {
        field: "version of a configuration",
        value: version.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_wanted_comes_over_as_it_was(version in any::<u64>(), text in ".{0,60}") {
            let wanted = WantedConfig { version, text };
            let fits = i64::try_from(version).is_ok() && (version > 0 || wanted.text.is_empty());
            let expected = fits.then(|| wanted.clone());
            prop_assert_eq!(WantedConfig::try_from(wire::Configure::from(wanted)).ok(), expected);
        }

        #[test]
        fn what_the_agent_says_comes_over_with_its_reason_cut(
            version in 0..i64::MAX as u64,
            running in 0..i64::MAX as u64,
            state in prop::sample::select(ConfigState::ALL.to_vec()),
            why in "\\PC{0,700}",
        ) {
            let report = ConfigReport { version, state, why: why.clone(), running };
            let heard = ConfigReport::try_from(wire::Configured::from(report)).unwrap();
            prop_assert_eq!((heard.version, heard.state, heard.running), (version, state, running));
            prop_assert!(why.starts_with(&heard.why));
            prop_assert!(heard.why.len() + 4 > why.len().min(WHY_LIMIT_BYTES));
        }

        #[test]
        fn any_report_is_read_or_refused(
            version in any::<u64>(), running in any::<u64>(), state in any::<i32>(), why in ".{0,60}",
        ) {
            let said = wire::Configured { version, state, why, running };
            if let Ok(report) = ConfigReport::try_from(said) {
                prop_assert!(i64::try_from(report.version.max(report.running)).is_ok());
            }
        }
    }

    #[test]
    fn an_older_agent_reads_a_message_that_it_does_not_know_as_one_of_no_kind() {
        use prost::Message;
        // Field 31, of which no version knows yet, as one that is new now is for an older one.
        let newer: &[u8] = &[0xfa, 0x01, 0x01, 0x00];
        let read = wire::CollectorMessage::decode(newer).unwrap();
        assert_eq!(read.kind, None);
    }

    #[test]
    fn what_is_too_long_is_refused() {
        let long = "x".repeat(CONFIG_LIMIT_BYTES + 1);
        let asked = wire::Configure {
            version: 1,
            text: long.clone(),
        };
        assert!(WantedConfig::try_from(asked).is_err());
        let said = wire::Configured {
            state: 1,
            why: long,
            ..wire::Configured::default()
        };
        assert!(ConfigReport::try_from(said).is_err());
    }
}
