//! What the agent says of its own room: records dropped, bytes waiting; what probes found; when certificates end; and what
//! was received.
//! More columns of the host's frames.

use std::sync::Arc;

use firstlook_model::signal::{SERIES_LIMIT, names};
use firstlook_model::{
    ComponentId, EdgeObservation, Expiries, Frame, HostId, Schema, Series, SignalKind, StrainGauge,
    Timestamp, Unit, UnitState,
};
use firstlook_sources_probes::{Board, Units};
use firstlook_sources_receivers::{Columns, Shelves};

use crate::exposed::Shown;

/// The longest time that a look at connections is said to cover where none is seen.
const LOOK_LIMIT_MS: u128 = 30_000;

/// Widens frames. The widened schema is made once per schema.
pub struct OwnSeries {
    agent: ComponentId,
    probes: Board,
    units: Units,
    expiries: Expiries,
    received: Shelves,
    shown: Option<Shown>,
    strain: StrainGauge,
    last: Option<Widened>,
    dropped: u64,
    /// Time of the last frame, and of the last look at connections.
    framed: Option<Timestamp>,
    looked: Option<Timestamp>,
}

/// What came last, and what became of it.
struct Widened {
    schema: Arc<Schema>,
    expiries: Arc<[Series]>,
    received: Arc<[Series]>,
    wider: Arc<Schema>,
    /// Whether there was room for what was received.
    takes_received: bool,
}

impl OwnSeries {
    /// For the agent of `host` with these probes, some of which ask `units`.
    pub fn new(host: &HostId, probes: Board, units: Units) -> Self {
        Self {
            agent: ComponentId::agent(host.clone()),
            probes,
            units,
            expiries: Expiries::default(),
            received: Shelves::default(),
            shown: None,
            strain: StrainGauge::default(),
            last: None,
            dropped: 0,
            framed: None,
            looked: None,
        }
    }

    /// With the certificates that are told there.
    pub fn with_expiries(mut self, expiries: Expiries) -> Self {
        self.expiries = expiries;
        self
    }

    /// With what is received there.
    pub fn with_received(mut self, received: Shelves) -> Self {
        self.received = received;
        self
    }

    /// Shows each frame there, without what was received: whoever told that can be asked for it.
    pub fn with_shown(mut self, shown: Shown) -> Self {
        self.shown = Some(shown);
        self
    }

    /// Tells this level of strain.
    pub fn with_strain(mut self, strain: StrainGauge) -> Self {
        self.strain = strain;
        self
    }

    /// Counts what was lost, whoever lost it.
    pub fn count(&mut self, dropped: u64) {
        self.dropped = self.dropped.saturating_add(dropped);
    }

    /// Lets probes know of units.
    pub fn units(&self, states: &[UnitState]) {
        self.units.take(states);
    }

    /// Adds what spans told of calls to what one look at connections saw, which may be nothing.
    pub fn join(&mut self, mut edges: Vec<EdgeObservation>) -> Vec<EdgeObservation> {
        let seen = edges.first().map(|edge| (edge.time, edge.interval_ms));
        let Some(time) = seen.map(|(time, _)| time).or(self.framed) else {
            return edges;
        };
        let since = self
            .looked
            .map_or(0, |looked| time.since(looked).as_millis());
        let since = u32::try_from(since.clamp(1_000, LOOK_LIMIT_MS)).unwrap_or(1_000);
        self.looked = Some(time);
        let interval_ms = seen.map_or(since, |(_, interval_ms)| interval_ms);
        self.received.called().join(&mut edges, time, interval_ms);
        edges
    }

    /// Adds the three samples, the results of probes, the ends of certificates and what was received to a frame. One that is
    /// full already stays as it is; one that has no room for what was received goes without.
    pub fn widen(&mut self, mut frame: Frame, journal_bytes: u64) -> Frame {
        self.framed = Some(frame.time);
        let received = self.received.take();
        let (expiries, ends) = self.expiries.columns();
        let own = 3 + self.probes.series().len() + expiries.len();
        if frame.schema.series().len() + own > SERIES_LIMIT {
            return frame;
        }
        let same = |last: &&Widened| {
            Arc::ptr_eq(&last.schema, &frame.schema)
                && Arc::ptr_eq(&last.expiries, &expiries)
                && Arc::ptr_eq(&last.received, &received.series)
        };
        let (wider, takes_received) = match self.last.as_ref().filter(same) {
            Some(last) => (Arc::clone(&last.wider), last.takes_received),
            None => self.widen_schema(frame.schema, expiries, &received),
        };
        frame.schema = wider;
        frame.values.extend([
            self.dropped as f64,
            journal_bytes as f64,
            f64::from(self.strain.level() as u8),
        ]);
        frame.values.extend(self.probes.take());
        frame.values.extend(ends);
        if let Some(shown) = &self.shown {
            shown.put(frame.clone());
        }
        if takes_received {
            frame.values.extend(received.values);
        }
        frame
    }

    fn widen_schema(
        &mut self,
        schema: Arc<Schema>,
        expiries: Arc<[Series]>,
        received: &Columns,
    ) -> (Arc<Schema>, bool) {
        let mut series = self.wider(&schema);
        series.extend_from_slice(&expiries);
        let takes_received = series.len() + received.series.len() <= SERIES_LIMIT;
        if takes_received {
            series.extend_from_slice(&received.series);
        }
        let wider = Arc::new(Schema::new(series));
        self.last = Some(Widened {
            schema,
            expiries,
            received: Arc::clone(&received.series),
            wider: Arc::clone(&wider),
            takes_received,
        });
        (wider, takes_received)
    }

    fn wider(&self, schema: &Schema) -> Vec<Series> {
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
        series.push(own(names::AGENT_STRAIN, Unit::Count, SignalKind::Gauge));
        series.extend_from_slice(self.probes.series());
        series
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_gets_three_more_columns_under_one_schema() {
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
        assert_eq!(
            signals,
            [
                names::AGENT_DROPPED,
                names::AGENT_JOURNAL_BYTES,
                names::AGENT_STRAIN
            ]
        );
        assert_eq!(
            (first.values, second.values),
            (vec![0.0, 70.0, 0.0], vec![3.0, 80.0, 0.0])
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
        assert_eq!(wider.schema.series()[3].signal, "probe.p.up");
        assert_eq!(wider.values.len(), wider.schema.series().len());
        assert!(wider.values[3..].iter().all(|v| v.is_nan()));
    }

    #[test]
    fn ends_of_certificates_come_along_and_a_renewal_is_no_new_schema() {
        let host = HostId::new("h1").unwrap();
        let expiries = Expiries::default();
        let mut own = OwnSeries::new(&host, Board::new(&[], &host), Units::default())
            .with_expiries(expiries.clone());
        let schema = Arc::new(Schema::new(Vec::new()));
        let frame = || Frame {
            schema: Arc::clone(&schema),
            time: Timestamp::default(),
            values: Vec::new(),
        };
        let mut told = |at| {
            let place = firstlook_model::Place::Port(443);
            let found = (
                ComponentId::host(host.clone()),
                place,
                Timestamp::from_secs(at),
            );
            expiries.tell(firstlook_model::Finder::Ports, [found]);
            own.widen(frame(), 7)
        };
        let (before, after) = (told(50), told(60));
        assert!(Arc::ptr_eq(&before.schema, &after.schema));
        let signal = &after.schema.series()[3].signal;
        assert_eq!(signal, "certificate.ends_at_seconds{port=\"443\"}");
        assert_eq!((before.values[3], after.values[3]), (50.0, 60.0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_received_comes_along_and_a_change_of_it_is_a_new_schema() {
        let host = HostId::new("h1").unwrap();
        let received = Shelves::default();
        let text = "[[scrape]]\nurl = \"http://127.0.0.1:1\"\ninterval_s = 1";
        let config: crate::config::Config = toml::from_str(text).unwrap();
        let mut own = OwnSeries::new(&host, Board::new(&[], &host), Units::default())
            .with_received(received.clone());
        let schema = Arc::new(Schema::new(Vec::new()));
        let frame = || Frame {
            schema: Arc::clone(&schema),
            time: Timestamp::default(),
            values: Vec::new(),
        };
        let before = own.widen(frame(), 7);
        assert_eq!(before.values.len(), 3);
        let stop = tokio_util::sync::CancellationToken::new();
        let around = firstlook_sources_receivers::Surroundings {
            host,
            owner: Arc::new(|_| None),
            caller: Arc::new(|_, _| Box::pin(async { None })),
            sender: Arc::new(|_, _| Box::pin(async { None })),
            named: Arc::new(|_| None),
            lines: Arc::new(|_| Box::pin(async {})),
        };
        let run =
            firstlook_sources_receivers::run(config.receivers(), around, received, stop.clone());
        let seen = async {
            loop {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                let wide = own.widen(frame(), 7);
                assert_eq!(wide.values.len(), wide.schema.series().len());
                if wide.values.len() > 3 {
                    stop.cancel();
                    return wide;
                }
            }
        };
        let (ended, after) = tokio::join!(run, seen);
        ended.unwrap();
        assert_ne!(after.schema.id(), before.schema.id());
        let signal = &after.schema.series()[3].signal;
        assert_eq!(signal, "scrape.up{url=\"http://127.0.0.1:1/metrics\"}");
    }
}
