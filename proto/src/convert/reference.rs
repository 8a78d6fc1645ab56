//! References.

use firstlook_model::{Reference, TemplateId};

use super::fields::{self, InvalidMessage};
use super::views::range_to_wire;
use crate::wire;
use crate::wire::reference::Of;

impl From<&Reference> for wire::Reference {
    fn from(reference: &Reference) -> Self {
        let of = match reference {
            Reference::Metric {
                component, signal, ..
            } => Of::Metric(wire::MetricReference {
                component: component.to_string(),
                signal: signal.clone(),
            }),
            Reference::Log {
                component,
                template,
                ..
            } => Of::Log(wire::LogReference {
                component: component.to_string(),
                template: template.map(|t| t.0),
            }),
            Reference::Edge { caller, callee, .. } => Of::Edge(wire::EdgeReference {
                caller: caller.to_string(),
                callee: callee.to_string(),
            }),
            Reference::Change { component, id, .. } => Of::Change(wire::ChangeReference {
                component: component.to_string(),
                id: id.clone(),
            }),
            Reference::Unit { component, .. } => Of::Unit(component.to_string()),
            Reference::Heartbeat { component, .. } => Of::Heartbeat(component.to_string()),
        };
        Self {
            range: Some(range_to_wire(reference.range())),
            of: Some(of),
        }
    }
}

impl TryFrom<wire::Reference> for Reference {
    type Error = InvalidMessage;
    fn try_from(reference: wire::Reference) -> Result<Self, InvalidMessage> {
        let range = fields::range(fields::required("reference range", reference.range)?);
        Ok(match fields::required("reference", reference.of)? {
            Of::Metric(m) => Self::Metric {
                component: fields::component(m.component)?,
                signal: fields::word("signal", m.signal)?,
                range,
            },
            Of::Log(l) => Self::Log {
                component: fields::component(l.component)?,
                template: l.template.map(TemplateId),
                range,
            },
            Of::Edge(e) => Self::Edge {
                caller: fields::component(e.caller)?,
                callee: fields::component(e.callee)?,
                range,
            },
            Of::Change(c) => Self::Change {
                component: fields::component(c.component)?,
                id: fields::word("change id", c.id)?,
                range,
            },
            Of::Unit(component) => Self::Unit {
                component: fields::component(component)?,
                range,
            },
            Of::Heartbeat(component) => Self::Heartbeat {
                component: fields::component(component)?,
                range,
            },
        })
    }
}
