//! What the agent says of its own room: records dropped, bytes waiting; and what probes found.
//! More columns of the host's frames.

use std::sync::Arc;

use firstlook_model::signal::{SERIES_LIMIT, names};
use firstlook_model::{ComponentId, Frame, HostId, Schema, Series, SignalKind, Unit, UnitState};
use firstlook_sources_probes::{Board, Units};

/// Widens frames. The widened schema is made once per schema.
pub struct OwnSeries {
    agent: ComponentId,
    probes: Board,
    units: Units,
    /// The schema that came last, and its wider one.
    last: Option<(Arc<Schema>, Arc<Schema>)>,
    dropped: u64,
}

impl OwnSeries {
    /// For the agent of `host` with these probes, some of which ask `units`.
    pub fn new(host: &HostId, probes: Board, units: Units) -> Self {
        Self {
            agent: ComponentId::agent(host.clone()),
            probes,
            units,
            last: None,
            dropped: 0,
        }
    }

    /// Counts what was lost, whoever lost it.
    pub fn count(&mut self, dropped: u64) {
        self.dropped = self.dropped.saturating_add(dropped);
    }

    /// Lets probes know of units.
    pub fn units(&self, states: &[UnitState]) {
        self.units.take(states);
    }

    /// Adds the two samples and the results of probes to a frame. One that is full already stays as it is.
    pub fn widen(&mut self, mut frame: Frame, journal_bytes: u64) -> Frame {
        if frame.schema.series().len() + 2 + self.probes.series().len() > SERIES_LIMIT {
            return frame;
        }
        let wider = match &self.last {
            Some((narrow, wider)) if Arc::ptr_eq(narrow, &frame.schema) => Arc::clone(wider),
            _ => {
                let wider = Arc::new(self.wider(&frame.schema));
                self.last = Some((frame.schema, Arc::clone(&wider)));
                wider
            }
        };
        frame.schema = wider;
        frame
            .values
            .extend([self.dropped as f64, journal_bytes as f64]);
        frame.values.extend(self.probes.take());
        frame
    }

    fn wider(&self, schema: &Schema) -> Schema {
        let own = |signal: &str, unit, kind| Series {
            component: self.agent.clone(),
            signal: signal.to_owned(),
            unit,
            kind,
        };
        let mut series = schema.series().to_vec();
        series.push(own(names::AGENT_DROPPED, Unit::Count, SignalKind::Counter));
        series.push(own(
            names::AGENT_JOURNAL_BYTES,
            Unit::Bytes,
            SignalKind::Gauge,
        ));
        series.extend_from_slice(self.probes.series());
        Schema::new(series)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use firstlook_model::Timestamp;

    #[test]
    fn a_frame_gets_two_more_columns_under_one_schema() {
        let mut own = OwnSeries::new(
            &HostId::new("h1").unwrap(),
            Board::new(&[], &HostId::new("h1").unwrap()),
            Units::default(),
        );
        let schema = Arc::new(Schema::new(Vec::new()));
        let frame = || Frame {
            schema: Arc::clone(&schema),
            time: Timestamp::default(),
            values: Vec::new(),
        };
        let first = own.widen(frame(), 70);
        own.count(3);
        let second = own.widen(frame(), 80);
        assert!(Arc::ptr_eq(&first.schema, &second.schema));
        let signals: Vec<_> = first.schema.series().iter().map(|s| &*s.signal).collect();
        assert_eq!(signals, [names::AGENT_DROPPED, names::AGENT_JOURNAL_BYTES]);
        assert_eq!(
            (first.values, second.values),
            (vec![0.0, 70.0], vec![3.0, 80.0])
        );
    }

    #[test]
    fn each_probe_has_its_columns_and_they_are_missing_until_it_looked() {
        let host = HostId::new("h1").unwrap();
        let text = "[[probe]]\nname = \"p\"\ntcp = { address = \"127.0.0.1:1\" }";
        let config: crate::config::Config = toml::from_str(text).unwrap();
        let mut own = OwnSeries::new(&host, Board::new(&config.probes, &host), Units::default());
        let frame = Frame {
            schema: Arc::new(Schema::new(Vec::new())),
            time: Timestamp::default(),
            values: Vec::new(),
        };
        let wider = own.widen(frame, 7);
        assert_eq!(wider.schema.series()[2].signal, "probe.p.up");
        assert_eq!(wider.values.len(), wider.schema.series().len());
        assert!(wider.values[2..].iter().all(|v| v.is_nan()));
    }
}
