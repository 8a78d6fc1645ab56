//! What the agent says of its own room: records dropped, bytes waiting. Two more columns of the host's frames.

use std::sync::Arc;

use firstlook_model::signal::{SERIES_LIMIT, names};
use firstlook_model::{ComponentId, Frame, HostId, Schema, Series, SignalKind, Unit};

/// Widens frames. The widened schema is made once per schema.
pub struct OwnSeries {
    agent: ComponentId,
    /// The schema that came last, and its wider one.
    last: Option<(Arc<Schema>, Arc<Schema>)>,
    dropped: u64,
}

impl OwnSeries {
    /// For the agent of `host`.
    pub fn new(host: &HostId) -> Self {
        Self {
            agent: ComponentId::agent(host.clone()),
            last: None,
            dropped: 0,
        }
    }

    /// Counts what was lost, whoever lost it.
    pub fn count(&mut self, dropped: u64) {
        self.dropped = self.dropped.saturating_add(dropped);
    }

    /// Adds the two samples to a frame. One that is full already stays as it is.
    pub fn widen(&mut self, mut frame: Frame, journal_bytes: u64) -> Frame {
        if frame.schema.series().len() + 2 > SERIES_LIMIT {
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
        Schema::new(series)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use firstlook_model::Timestamp;

    #[test]
    fn a_frame_gets_two_more_columns_under_one_schema() {
        let mut own = OwnSeries::new(&HostId::new("h1").unwrap());
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
}
