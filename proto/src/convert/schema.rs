//! Schemas.

use std::collections::BTreeMap;

use firstlook_model::signal::{SERIES_LIMIT, SIGNAL_NAME_LIMIT_BYTES};
use firstlook_model::{Schema, Series};

use super::enums::Checked;
use super::fields::{self, InvalidMessage};
use crate::wire;

impl From<&Schema> for wire::Schema {
    fn from(schema: &Schema) -> Self {
        let mut components = Vec::new();
        let mut known = BTreeMap::new();
        let series = schema
            .series()
            .iter()
            .map(|series| {
                let component = *known.entry(&series.component).or_insert_with(|| {
                    components.push(series.component.to_string());
                    (components.len() - 1) as u32
                });
                wire::Series {
                    component,
                    signal: series.signal.clone(),
                    unit: wire::Unit::from(series.unit).into(),
                    kind: wire::SignalKind::from(series.kind).into(),
                }
            })
            .collect();
        Self { components, series }
    }
}

impl TryFrom<wire::Schema> for Schema {
    type Error = InvalidMessage;
    fn try_from(schema: wire::Schema) -> Result<Self, InvalidMessage> {
        let components = fields::list(
            "schema components",
            schema.components,
            SERIES_LIMIT,
            fields::component,
        )?;
        let series = fields::list("schema series", schema.series, SERIES_LIMIT, |series| {
            let component = components.get(series.component as usize).cloned();
            Ok(Series {
                component: fields::required("series component", component)?,
                signal: fields::text("signal name", series.signal, SIGNAL_NAME_LIMIT_BYTES)?,
                unit: wire::Unit::checked(series.unit)?,
                kind: wire::SignalKind::checked(series.kind)?,
            })
        })?;
        Ok(Self::new(series))
    }
}
