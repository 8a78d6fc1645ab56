//! Enumerations: 0 and unknown numbers are refused.

use firstlook_model::unit::ActiveState;
use firstlook_model::{ChangeKind, ConfigState, Direction, LogSource, Severity, SignalKind, Unit};

use super::fields::InvalidMessage;
use crate::wire;

macro_rules! enumeration {
    ($model:ty, $wire:ty, $field:literal, $($m:ident = $w:ident),+ $(,)?) => {
        impl From<$model> for $wire {
            fn from(value: $model) -> Self {
                match value { $(<$model>::$m => <$wire>::$w),+ }
            }
        }

        impl TryFrom<$wire> for $model {
            type Error = InvalidMessage;
            fn try_from(value: $wire) -> Result<Self, InvalidMessage> {
                match value {
                    $(<$wire>::$w => Ok(<$model>::$m),)+
                    <$wire>::Unspecified => {
                        Err(InvalidMessage::OutOfRange { field: $field, value: 0 })
                    }
                }
            }
        }

        impl Checked<$model> for $wire {
            fn checked(number: i32) -> Result<$model, InvalidMessage> {
                <$wire>::try_from(number)
                    .map_err(|_| InvalidMessage::OutOfRange { field: $field, value: number.into() })?
                    .try_into()
            }
        }
    };
}

/// Reads an enumeration's number off the wire.
pub(super) trait Checked<M> {
    fn checked(number: i32) -> Result<M, InvalidMessage>;
}

enumeration!(
    SignalKind,
    wire::SignalKind,
    "signal kind",
    Gauge = Gauge,
    Counter = Counter
);
enumeration!(
    Unit,
    wire::Unit,
    "unit",
    Count = Count,
    Bytes = Bytes,
    Seconds = Seconds,
    Ratio = Ratio,
);
enumeration!(
    Severity,
    wire::Severity,
    "severity",
    Debug = Debug,
    Info = Info,
    Warning = Warning,
    Error = Error,
    Critical = Critical,
);
enumeration!(
    LogSource,
    wire::LogSource,
    "log source",
    Journald = Journald,
    Kernel = Kernel,
    File = File,
);
enumeration!(
    Direction,
    wire::Direction,
    "direction",
    Outbound = Outbound,
    Inbound = Inbound,
);
enumeration!(
    ActiveState,
    wire::ActiveState,
    "active state",
    Active = Active,
    Reloading = Reloading,
    Inactive = Inactive,
    Failed = Failed,
    Activating = Activating,
    Deactivating = Deactivating,
);
enumeration!(
    ChangeKind,
    wire::ChangeKind,
    "change kind",
    Deploy = Deploy,
    Package = Package,
    UnitFile = UnitFile,
    ConfigFile = ConfigFile,
    Binary = Binary,
    Restart = Restart,
    Stop = Stop,
    Reboot = Reboot,
    Setting = Setting,
    Mount = Mount,
    Login = Login,
    Schedule = Schedule,
    Certificate = Certificate,
    Image = Image,
    Accepted = Accepted,
);
enumeration!(
    ConfigState,
    wire::ConfigState,
    "state of a configuration",
    Running = Running,
    OnTrial = OnTrial,
    Refused = Refused,
    RolledBack = RolledBack,
);
