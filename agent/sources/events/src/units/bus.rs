//! systemd's manager over D-Bus: org.freedesktop.systemd1(5). Reads only; never starts the manager.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use firstlook_model::{ActiveState, Timestamp};
use zbus::zvariant::{OwnedObjectPath, OwnedValue, Value};
use zbus::{Connection, MatchRule, MessageStream};

use super::tracker::Seen;
use crate::config::EventsConfig;

const MANAGER: &str = "org.freedesktop.systemd1";
const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
const MANAGER_FACE: &str = "org.freedesktop.systemd1.Manager";
const UNIT_FACE: &str = "org.freedesktop.systemd1.Unit";
const SERVICE_FACE: &str = "org.freedesktop.systemd1.Service";
const PROPERTIES_FACE: &str = "org.freedesktop.DBus.Properties";
const UNIT_PATHS: &str = "/org/freedesktop/systemd1/unit";
/// A manager that does not answer in this time is taken for hung.
const CALL_DEADLINE: Duration = Duration::from_secs(5);
/// Signals held while they are being looked at; when full the bus connection waits.
const SIGNAL_QUEUE: usize = 256;
/// Longest text taken from the manager, in bytes.
const TEXT_LIMIT_BYTES: usize = 256;

/// Why the manager could not be asked. A later try may help in every case.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BusError {
    #[error("no system bus at {path}")]
    NoBus {
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot connect to the system bus")]
    Connect(#[source] zbus::Error),
    #[error("systemd does not answer {call}")]
    Call {
        call: &'static str,
        #[source]
        source: zbus::Error,
    },
}

/// One line of the manager's list.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) name: String,
    pub(crate) active: ActiveState,
    pub(crate) sub: String,
}

type ListedWire = (
    String,
    String,
    String,
    String,
    String,
    String,
    OwnedObjectPath,
    u32,
    String,
    OwnedObjectPath,
);

/// What a service's unit file says, which seldom changes.
#[derive(Clone, Debug)]
pub(crate) struct Install {
    pub(crate) enabled: bool,
    pub(crate) oneshot: bool,
}

/// A connection to the manager.
pub(crate) struct Manager {
    connection: Connection,
}

impl Manager {
    /// Connects to the bus at this socket.
    pub(crate) async fn connect(socket: &Path) -> Result<Self, BusError> {
        let path = socket.display().to_string();
        if let Err(source) = std::fs::metadata(socket) {
            return Err(BusError::NoBus { path, source });
        }
        let connection = zbus::connection::Builder::address(format!("unix:path={path}").as_str())
            .map_err(BusError::Connect)?
            .method_timeout(CALL_DEADLINE);
        let connection = connection.build().await.map_err(BusError::Connect)?;
        Ok(Self { connection })
    }

    /// Asks for signals. Without them every change is found by listing only.
    pub(crate) async fn subscribe(&self) -> Result<Signals, BusError> {
        let of_units = MatchRule::builder()
            .msg_type(zbus::message::Type::Signal)
            .interface(PROPERTIES_FACE)
            .and_then(|rule| rule.member("PropertiesChanged"))
            .and_then(|rule| rule.path_namespace(UNIT_PATHS))
            .map_err(|source| BusError::Call {
                call: "AddMatch",
                source,
            })?
            .build();
        let of_manager = MatchRule::builder()
            .msg_type(zbus::message::Type::Signal)
            .interface(MANAGER_FACE)
            .and_then(|rule| rule.path(MANAGER_PATH))
            .map_err(|source| BusError::Call {
                call: "AddMatch",
                source,
            })?
            .build();
        let stream =
            |rule| MessageStream::for_match_rule(rule, &self.connection, Some(SIGNAL_QUEUE));
        let called = |source| BusError::Call {
            call: "AddMatch",
            source,
        };
        let signals = Signals {
            of_units: stream(of_units).await.map_err(called)?,
            of_manager: stream(of_manager).await.map_err(called)?,
        };
        self.call("Subscribe", &()).await?;
        Ok(signals)
    }

    /// Every service that is loaded, by the manager's own order.
    pub(crate) async fn list(&self) -> Result<Vec<Listed>, BusError> {
        // Slices: a Rust array would go out as a structure.
        let (any_state, services): (&[&str], &[&str]) = (&[], &["*.service"]);
        let reply = self
            .call("ListUnitsByPatterns", &(any_state, services))
            .await?;
        let units: Vec<ListedWire> =
            reply
                .body()
                .deserialize()
                .map_err(|source| BusError::Call {
                    call: "ListUnitsByPatterns",
                    source,
                })?;
        Ok(units
            .into_iter()
            // Neither a name that others only mention nor one that was forbidden is a service.
            .filter(|unit| !matches!(unit.2.as_str(), "not-found" | "masked"))
            .filter_map(|unit| {
                Some(Listed {
                    active: active_state(&unit.3)?,
                    name: unit.0,
                    sub: short(unit.4),
                })
            })
            .collect())
    }

    /// Whether a unit that is not listed has a unit file still. Asking loads it for a moment.
    pub(crate) async fn exists(&self, path: &OwnedObjectPath) -> Result<bool, BusError> {
        let state = self.text(path, UNIT_FACE, "LoadState").await?;
        Ok(!matches!(state.as_str(), "not-found" | "masked"))
    }

    /// What the unit file says.
    pub(crate) async fn install(&self, path: &OwnedObjectPath) -> Result<Install, BusError> {
        let file_state = self.text(path, UNIT_FACE, "UnitFileState").await?;
        let mut enabled = matches!(file_state.as_str(), "enabled" | "enabled-runtime");
        if matches!(
            file_state.as_str(),
            "static" | "generated" | "indirect" | "alias" | "transient"
        ) {
            enabled = self.wanted_by_active(path).await?;
        }
        let kind = self.text(path, SERVICE_FACE, "Type").await?;
        Ok(Install {
            enabled,
            oneshot: kind == "oneshot",
        })
    }

    async fn wanted_by_active(&self, path: &OwnedObjectPath) -> Result<bool, BusError> {
        for relation in ["WantedBy", "RequiredBy"] {
            let value = self.get(path, UNIT_FACE, relation).await?;
            let by: Vec<String> = Vec::try_from(value).unwrap_or_default();
            for unit in by.iter().take(8) {
                let path = unit_path(unit);
                let state = self.text(&path, UNIT_FACE, "ActiveState").await;
                if state.is_ok_and(|state| state == "active") {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// The state of one service.
    pub(crate) async fn read(
        &self,
        config: &EventsConfig,
        name: &str,
        path: &OwnedObjectPath,
        install: &Install,
    ) -> Result<Option<Seen>, BusError> {
        let Some(active) = active_state(&self.text(path, UNIT_FACE, "ActiveState").await?) else {
            return Ok(None);
        };
        let since: u64 = self.number(path, UNIT_FACE, "StateChangeTimestamp").await?;
        let job = self.get(path, UNIT_FACE, "Job").await?;
        Ok(Some(Seen {
            component: config.service(name),
            active,
            sub: self.text(path, UNIT_FACE, "SubState").await?,
            result: self.text(path, SERVICE_FACE, "Result").await?,
            restarts: self.number(path, SERVICE_FACE, "NRestarts").await?,
            main_pid: self.number(path, SERVICE_FACE, "MainPID").await?,
            exit_code: self.number(path, SERVICE_FACE, "ExecMainCode").await?,
            exit_status: self.number(path, SERVICE_FACE, "ExecMainStatus").await?,
            since: i64::try_from(since)
                .ok()
                .filter(|at| *at > 0)
                .map(Timestamp::from_micros),
            invocation: hexadecimal(self.get(path, UNIT_FACE, "InvocationID").await?),
            enabled: install.enabled,
            condition_met: self.number(path, UNIT_FACE, "ConditionResult").await?,
            oneshot: install.oneshot,
            job: <(u32, OwnedObjectPath)>::try_from(job).is_ok_and(|(id, _)| id != 0),
        }))
    }

    async fn call<B>(&self, call: &'static str, body: &B) -> Result<zbus::Message, BusError>
    where
        B: serde::Serialize + zbus::zvariant::DynamicType,
    {
        self.connection
            .call_method(Some(MANAGER), MANAGER_PATH, Some(MANAGER_FACE), call, body)
            .await
            .map_err(|source| BusError::Call { call, source })
    }

    async fn get(
        &self,
        path: &OwnedObjectPath,
        face: &str,
        property: &'static str,
    ) -> Result<OwnedValue, BusError> {
        let failed = |source| BusError::Call {
            call: property,
            source,
        };
        self.connection
            .call_method(
                Some(MANAGER),
                path,
                Some(PROPERTIES_FACE),
                "Get",
                &(face, property),
            )
            .await
            .map_err(failed)?
            .body()
            .deserialize()
            .map_err(failed)
    }

    async fn text(
        &self,
        path: &OwnedObjectPath,
        face: &str,
        property: &'static str,
    ) -> Result<String, BusError> {
        let value = self.get(path, face, property).await?;
        Ok(short(String::try_from(value).unwrap_or_default()))
    }

    async fn number<N>(
        &self,
        path: &OwnedObjectPath,
        face: &str,
        property: &'static str,
    ) -> Result<N, BusError>
    where
        N: TryFrom<OwnedValue> + Default,
    {
        Ok(N::try_from(self.get(path, face, property).await?).unwrap_or_default())
    }
}

/// What the manager tells unasked. Anybody on the bus can send such signals: they say where to look,
/// never what is there.
pub(crate) struct Signals {
    of_units: MessageStream,
    of_manager: MessageStream,
}

/// Where to look.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Hint {
    /// This service moved.
    Unit(String),
    /// Its main process ended: ExecMainCode and ExecMainStatus. A unit that nothing holds is unloaded
    /// at once and has forgotten them when it is asked.
    Exit(String, (i32, i32)),
    /// A job was queued for this service.
    Job(String),
    /// The manager read its unit files again.
    Reloaded,
}

impl Signals {
    /// The next hint; `None` when the connection is gone.
    ///
    /// # Cancel safety
    /// No signal is lost.
    pub(crate) async fn next(&mut self) -> Option<Hint> {
        use tokio_stream::StreamExt as _;
        loop {
            let message = tokio::select! {
                message = self.of_units.next() => message,
                message = self.of_manager.next() => message,
            };
            if let Some(hint) = hint(&message?.ok()?) {
                return Some(hint);
            }
        }
    }
}

fn hint(message: &zbus::Message) -> Option<Hint> {
    let header = message.header();
    let is_service = |name: &str| name.ends_with(".service");
    match header.member()?.as_str() {
        "PropertiesChanged" => {
            let name = unit_name(header.path()?.as_str()).filter(|name| is_service(name))?;
            Some(match exit_status(message) {
                Some(exit) => Hint::Exit(name, exit),
                None => Hint::Unit(name),
            })
        }
        // Not UnitNew and UnitRemoved: asking for an unloaded unit loads it, which is signalled again.
        "JobNew" => {
            let (_, _, name): (u32, OwnedObjectPath, String) = message.body().deserialize().ok()?;
            is_service(&name).then_some(Hint::Job(name))
        }
        "JobRemoved" => {
            let (_, _, name, _): (u32, OwnedObjectPath, String, String) =
                message.body().deserialize().ok()?;
            is_service(&name).then_some(Hint::Unit(name))
        }
        "Reloading" => (!message.body().deserialize::<bool>().ok()?).then_some(Hint::Reloaded),
        _ => None,
    }
}

/// How the main process ended, if a signal says so.
fn exit_status(message: &zbus::Message) -> Option<(i32, i32)> {
    let (face, values, _): (String, HashMap<String, OwnedValue>, Vec<String>) =
        message.body().deserialize().ok()?;
    let number = |name: &str| i32::try_from(values.get(name)?).ok();
    let exit = (number("ExecMainCode")?, number("ExecMainStatus")?);
    (face == SERVICE_FACE && exit.0 != 0).then_some(exit)
}

fn active_state(text: &str) -> Option<ActiveState> {
    Some(match text {
        "active" => ActiveState::Active,
        "reloading" | "refreshing" => ActiveState::Reloading,
        "inactive" | "maintenance" => ActiveState::Inactive,
        "failed" => ActiveState::Failed,
        "activating" => ActiveState::Activating,
        "deactivating" => ActiveState::Deactivating,
        _ => return None,
    })
}

/// A unit's object path: every byte but letters and digits as `_xx`, and so a leading digit.
pub(crate) fn unit_path(name: &str) -> OwnedObjectPath {
    let mut path = format!("{UNIT_PATHS}/");
    for (at, byte) in name.bytes().enumerate() {
        if byte.is_ascii_alphabetic() || (byte.is_ascii_digit() && at > 0) {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("_{byte:02x}"));
        }
    }
    OwnedObjectPath::try_from(path).expect("letters, digits and underscores make a path")
}

fn unit_name(path: &str) -> Option<String> {
    let escaped = path.strip_prefix(UNIT_PATHS)?.strip_prefix('/')?.as_bytes();
    let mut name = Vec::with_capacity(escaped.len());
    let mut at = 0;
    while let Some(&byte) = escaped.get(at) {
        if byte == b'_' {
            let digits = std::str::from_utf8(escaped.get(at + 1..at + 3)?).ok()?;
            name.push(u8::from_str_radix(digits, 16).ok()?);
            at += 3;
        } else {
            name.push(byte);
            at += 1;
        }
    }
    String::from_utf8(name).ok()
}

fn hexadecimal(value: OwnedValue) -> String {
    let Value::Array(bytes) = &*value else {
        return String::new();
    };
    bytes
        .iter()
        .take(16)
        .filter_map(|byte| match byte {
            Value::U8(byte) => Some(format!("{byte:02x}")),
            _ => None,
        })
        .collect()
}

fn short(mut text: String) -> String {
    let end = (0..=TEXT_LIMIT_BYTES.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0);
    text.truncate(end);
    text.retain(|c| !c.is_control());
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn unit_paths_are_escaped_as_systemd_does() {
        let path = unit_path("postgresql@15-main.service");
        assert_eq!(
            path.as_str(),
            "/org/freedesktop/systemd1/unit/postgresql_4015_2dmain_2eservice"
        );
        assert_eq!(
            unit_path("2fa.service").as_str(),
            "/org/freedesktop/systemd1/unit/_32fa_2eservice"
        );
        assert_eq!(unit_name("/org/freedesktop/systemd1/unit/broken_2"), None);
    }

    proptest! {
        #[test]
        fn any_unit_name_reads_back_from_its_path(name in "[a-zA-Z0-9:_.@\\\\-]{1,60}\\.service") {
            prop_assert_eq!(unit_name(unit_path(&name).as_str()), Some(name));
        }

        #[test]
        fn any_path_is_read_or_refused(path in ".{0,60}") {
            let _ = unit_name(&format!("{UNIT_PATHS}/{path}"));
        }
    }
}
