//! Query: what responders may ask, over gRPC.
//!
//! One read model, [`View`], is replaced whole by the analysis loop; telemetry is read from the store; what
//! people keep (tokens, hosts, snapshots) is behind [`Office`], configurations of agents behind [`ConfigOffice`],
//! theories and the catalogue behind [`DiagnosisOffice`].

mod about;
mod announce;
mod checks;
mod config_office;
mod configs;
mod diagnosis;
mod diagnosis_office;
mod fetch;
mod graph;
mod guard;
mod heard;
mod office;
mod present;
mod service;
mod telemetry;
mod view;

pub use about::About;
pub use announce::ANNOUNCED_PREFIX;
pub use config_office::{ConfigOffice, ConfigRow, HostConfig, WantedRow};
pub use diagnosis_office::{DiagnosisOffice, FaultRow, RemarkRow, TheoryRow};
pub use guard::{Access, BearerTokens};
pub use office::{HostRow, KeptLines, Office, OfficeError, Revoked, SnapshotRow, TokenRow};
pub use service::{QueryService, routes as http_routes};
pub use view::{HostState, View};
