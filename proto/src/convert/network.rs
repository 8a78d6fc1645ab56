//! Addresses, edges and inventories.

use std::net::IpAddr;

use firstlook_model::{Calls, EdgeObservation, EdgeStats, Inventory, Listener, Mount, Timestamp};

use super::enums::Checked;
use super::fields::{self, InvalidMessage};
use crate::wire;

const INVENTORY_LIST_LIMIT: usize = 10_000;

fn address_to_wire(address: IpAddr) -> bytes::Bytes {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec().into(),
        IpAddr::V6(v6) => v6.octets().to_vec().into(),
    }
}

fn address(bytes: bytes::Bytes) -> Result<IpAddr, InvalidMessage> {
    let invalid = InvalidMessage::OutOfRange {
        field: "length of an address",
        value: bytes.len() as i128,
    };
    if let Ok(v4) = <[u8; 4]>::try_from(bytes.as_ref()) {
        Ok(IpAddr::from(v4))
    } else {
        <[u8; 16]>::try_from(bytes.as_ref())
            .map(IpAddr::from)
            .map_err(|_| invalid)
    }
}

impl From<&EdgeStats> for wire::EdgeStats {
    fn from(s: &EdgeStats) -> Self {
        Self {
            established: s.established,
            syn_sent: s.syn_sent,
            close_wait: s.close_wait,
            closing: s.closing,
            opened: s.opened,
            bytes_sent: s.bytes_sent,
            bytes_received: s.bytes_received,
            segments_sent: s.segments_sent,
            retransmits: s.retransmits,
            backing_off: s.backing_off,
            full_backing_off: s.full_backing_off,
            rtt_us: s.rtt_us,
            send_queue_bytes: s.send_queue_bytes,
            receive_queue_bytes: s.receive_queue_bytes,
            stalled_ms: s.stalled_ms,
            calls: s.calls.map(Into::into),
        }
    }
}

impl TryFrom<wire::EdgeStats> for EdgeStats {
    type Error = InvalidMessage;
    fn try_from(s: wire::EdgeStats) -> Result<Self, InvalidMessage> {
        Ok(Self {
            established: s.established,
            syn_sent: s.syn_sent,
            close_wait: s.close_wait,
            closing: s.closing,
            opened: s.opened,
            bytes_sent: s.bytes_sent,
            bytes_received: s.bytes_received,
            segments_sent: s.segments_sent,
            retransmits: s.retransmits,
            backing_off: s.backing_off,
            full_backing_off: s.full_backing_off,
            rtt_us: s.rtt_us,
            send_queue_bytes: s.send_queue_bytes,
            receive_queue_bytes: s.receive_queue_bytes,
            stalled_ms: s.stalled_ms,
            calls: s.calls.map(TryInto::try_into).transpose()?,
        })
    }
}

impl From<Calls> for wire::Calls {
    fn from(c: Calls) -> Self {
        Self {
            interval_ms: c.interval_ms,
            requests: c.requests,
            failed: c.failed,
            mean_us: c.mean_us,
            longest_us: c.longest_us,
            alone: c.alone,
        }
    }
}

impl TryFrom<wire::Calls> for Calls {
    type Error = InvalidMessage;
    fn try_from(c: wire::Calls) -> Result<Self, InvalidMessage> {
        let checks: [(&'static str, u64, bool); 4] = [
            ("calls interval", c.interval_ms.into(), c.interval_ms > 0),
            ("calls", c.requests, c.requests > 0),
            ("failed calls", c.failed, c.failed <= c.requests),
            (
                "mean time of calls",
                c.mean_us.into(),
                c.mean_us <= c.longest_us,
            ),
        ];
        if let Some((field, value, _)) = checks.into_iter().find(|(.., holds)| !holds) {
            let value = value.into();
            return Err(InvalidMessage::OutOfRange { field, value });
        }
        Ok(Self {
            interval_ms: c.interval_ms,
            requests: c.requests,
            failed: c.failed,
            mean_us: c.mean_us,
            longest_us: c.longest_us,
            alone: c.alone,
        })
    }
}

impl From<&EdgeObservation> for wire::EdgeObservation {
    fn from(edge: &EdgeObservation) -> Self {
        Self {
            time: edge.time.as_micros(),
            interval_ms: edge.interval_ms,
            local: edge.local.to_string(),
            direction: wire::Direction::from(edge.direction).into(),
            remote: address_to_wire(edge.remote),
            port: edge.port.into(),
            stats: Some((&edge.stats).into()),
        }
    }
}

impl TryFrom<wire::EdgeObservation> for EdgeObservation {
    type Error = InvalidMessage;
    fn try_from(edge: wire::EdgeObservation) -> Result<Self, InvalidMessage> {
        if edge.interval_ms == 0 {
            return Err(InvalidMessage::OutOfRange {
                field: "edge interval",
                value: 0,
            });
        }
        Ok(Self {
            time: Timestamp::from_micros(edge.time),
            interval_ms: edge.interval_ms,
            local: fields::component(edge.local)?,
            direction: wire::Direction::checked(edge.direction)?,
            remote: address(edge.remote)?,
            port: fields::port("edge port", edge.port)?,
            stats: fields::required("edge statistics", edge.stats)?.try_into()?,
        })
    }
}

impl From<&Inventory> for wire::Inventory {
    fn from(i: &Inventory) -> Self {
        let listeners = i.listeners.iter().map(|l| wire::Listener {
            address: address_to_wire(l.address),
            port: l.port.into(),
            component: l.component.to_string(),
        });
        let mounts = i.mounts.iter().map(|m| wire::Mount {
            component: m.component.to_string(),
            fstype: m.fstype.clone(),
            device: m.device.clone(),
            used_by: m.used_by.iter().map(ToString::to_string).collect(),
        });
        Self {
            time: i.time.as_micros(),
            hostname: i.hostname.clone(),
            kernel: i.kernel.clone(),
            os: i.os.clone(),
            boot_id: i.boot_id.clone(),
            booted: i.booted.as_micros(),
            cores: i.cores,
            memory_bytes: i.memory_bytes,
            addresses: i.addresses.iter().copied().map(address_to_wire).collect(),
            listeners: listeners.collect(),
            mounts: mounts.collect(),
            agent_version: i.agent_version.clone(),
            blind: i.blind.clone(),
        }
    }
}

impl TryFrom<wire::Inventory> for Inventory {
    type Error = InvalidMessage;
    fn try_from(i: wire::Inventory) -> Result<Self, InvalidMessage> {
        let limit = INVENTORY_LIST_LIMIT;
        Ok(Self {
            time: Timestamp::from_micros(i.time),
            hostname: fields::word("hostname", i.hostname)?,
            kernel: fields::word("kernel", i.kernel)?,
            os: fields::word("os", i.os)?,
            boot_id: fields::word("boot id", i.boot_id)?,
            booted: Timestamp::from_micros(i.booted),
            cores: i.cores,
            memory_bytes: i.memory_bytes,
            addresses: fields::list("addresses", i.addresses, limit, address)?,
            listeners: fields::list("listeners", i.listeners, limit, |l| {
                Ok(Listener {
                    address: address(l.address)?,
                    port: fields::port("listener port", l.port)?,
                    component: fields::component(l.component)?,
                })
            })?,
            mounts: fields::list("mounts", i.mounts, limit, |m| {
                Ok(Mount {
                    component: fields::component(m.component)?,
                    fstype: fields::word("filesystem type", m.fstype)?,
                    device: fields::long_text("device", m.device)?,
                    used_by: fields::list("mount users", m.used_by, limit, fields::component)?,
                })
            })?,
            agent_version: fields::word("agent version", i.agent_version)?,
            blind: fields::list("blind spots", i.blind, limit, |b| {
                fields::word("blind spot", b)
            })?,
        })
    }
}
