//! Records for peers that make up what they saw.

use firstlook_model::{
    ActiveState, ComponentId, Inventory, LogBlock, LogEntry, LogSource, LogTemplate, Record,
    Severity, TemplateId, Timestamp, UnitState,
};
use firstlook_proto::convert::encode_record;

use crate::house::now;

/// A log line of a component, as `service:h1/web.service`.
pub fn line(component: &str, text: &str, time: Timestamp) -> Record {
    let template = TemplateId(7);
    let entry = LogEntry {
        time,
        component: id(component),
        template,
        severity: Severity::Info,
        source: LogSource::File,
        text: text.to_owned(),
    };
    let template = LogTemplate {
        id: template,
        text: "<*>".to_owned(),
    };
    Record::Logs(LogBlock {
        templates: vec![template],
        entries: vec![entry],
    })
}

/// The encoding of [`line()`], now.
pub fn encoded_line(component: &str, text: &str) -> Vec<u8> {
    encoded(&line(component, text, now()))
}

/// The state of a service that is wanted.
pub fn unit(component: &str, active: ActiveState) -> Record {
    let failed = active == ActiveState::Failed;
    Record::Units(vec![UnitState {
        component: id(component),
        time: now(),
        active,
        sub: if failed { "failed" } else { "running" }.to_owned(),
        result: if failed { "exit-code" } else { "success" }.to_owned(),
        restarts: 0,
        main_pid: if failed { 0 } else { 4_711 },
        exit_code: i32::from(failed),
        exit_status: i32::from(failed),
        since: Some(now()),
        wanted: true,
        invocation: "0123456789abcdef0123456789abcdef".to_owned(),
    }])
}

/// A host's facts.
pub fn inventory(host: &str) -> Record {
    Record::Inventory(Inventory {
        time: now(),
        hostname: host.to_owned(),
        kernel: "6.1.0".to_owned(),
        os: "Debian GNU/Linux 12 (bookworm)".to_owned(),
        boot_id: "boot".to_owned(),
        booted: Timestamp::from_secs(1_700_000_000),
        cores: 2,
        memory_bytes: 1 << 30,
        addresses: vec![],
        listeners: vec![],
        mounts: vec![],
        agent_version: "0.0.0".to_owned(),
        blind: vec![],
    })
}

/// The encoding of a record.
pub fn encoded(record: &Record) -> Vec<u8> {
    encode_record(record).expect("a record within limits")
}

/// A component's id.
pub fn id(text: &str) -> ComponentId {
    text.parse().expect("a component's id")
}
