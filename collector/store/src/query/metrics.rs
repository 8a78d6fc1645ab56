//! Reading samples.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::thread::{self, available_parallelism};

use firstlook_model::{
    ComponentId, HostId, MetricBlock, Schema, SchemaId, Series, TimeRange, Timestamp,
};

use crate::Store;
use crate::engine::View;
use crate::key::Kind;
use crate::merge::JoinedMetrics;
use crate::store::Inner;

/// Which samples to read. Everything that is set must fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetricSelector {
    /// Reported by these hosts; `None`: the component's host, or all where there is none.
    pub hosts: Option<Vec<HostId>>,
    /// Of this component.
    pub component: Option<ComponentId>,
    /// Of this name.
    pub signal: Option<String>,
}

impl MetricSelector {
    fn admits(&self, series: &Series) -> bool {
        self.component
            .as_ref()
            .is_none_or(|id| *id == series.component)
            && self
                .signal
                .as_ref()
                .is_none_or(|name| *name == series.signal)
    }
}

/// Samples of one series as one host reported them.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesSamples {
    /// Who reported them.
    pub host: HostId,
    /// Of what.
    pub series: Series,
    /// Strictly rising. Shared by series that were sampled together. Not empty.
    pub times: Arc<[Timestamp]>,
    /// As long as `times`; NaN where there was no observation.
    pub values: Vec<f64>,
}

/// Most threads that one question may occupy.
const THREADS_LIMIT: usize = 4;

/// A decoded block and its series.
struct Part {
    series: Arc<Vec<Series>>,
    block: MetricBlock,
}

/// Rows of one part that follow one another in time.
struct Run {
    part: usize,
    rows: Range<usize>,
}

/// Times within the range, and the runs of rows that give them in order.
type Layout = (Arc<[Timestamp]>, Vec<Run>);

impl Store {
    /// Series that hosts report, sorted, each once; of one host, or of all.
    pub fn series(&self, host: Option<&HostId>) -> Vec<Series> {
        let inner = &self.0;
        let view = inner.engine.view();
        let mut series = Vec::new();
        for host in inner.asked(host.map(std::slice::from_ref)) {
            for id in inner.schema_ids(&host) {
                if let Some(schema) = inner.schema(&view, &host, id) {
                    series.extend_from_slice(&schema);
                }
            }
        }
        series.sort();
        series.dedup();
        series
    }

    /// The schema that a host's blocks name, if it was sent.
    pub fn schema(&self, host: &HostId, id: SchemaId) -> Option<Schema> {
        let view = self.0.engine.view();
        let series = self.0.schema(&view, host, id)?;
        Some(Schema::new(series.to_vec()))
    }

    /// Samples in a range, sorted by host and series. Series without a sample there are left out. Blocks
    /// whose schema the store does not know are too.
    pub fn metrics(&self, selector: &MetricSelector, range: TimeRange) -> Vec<SeriesSamples> {
        let inner = &self.0;
        let named = selector.component.as_ref().and_then(ComponentId::host_id);
        let hosts = match (&selector.hosts, named) {
            (None, Some(host)) => vec![host.clone()],
            (hosts, _) => inner.asked(hosts.as_deref()),
        };
        let view = inner.engine.view();
        let read = |host| inner.host_samples(&view, host, selector, range);
        let threads = available_parallelism()
            .map_or(1, usize::from)
            .min(THREADS_LIMIT);
        if hosts.len() < 2 || threads < 2 {
            return hosts.iter().flat_map(read).collect();
        }
        // Decoding is nearly all of the work: hosts are shared out in runs, which keeps their order.
        thread::scope(|scope| {
            let run = hosts.len().div_ceil(threads);
            let tasks: Vec<_> = hosts
                .chunks(run)
                .map(|hosts| scope.spawn(move || hosts.iter().flat_map(read).collect::<Vec<_>>()))
                .collect();
            let results = tasks.into_iter().map(thread::ScopedJoinHandle::join);
            results
                .flat_map(|read| read.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        })
    }
}

impl Inner {
    fn host_samples(
        &self,
        view: &View,
        host: &HostId,
        selector: &MetricSelector,
        range: TimeRange,
    ) -> Vec<SeriesSamples> {
        let parts = self.parts(view, host, range);
        // Series that appear in the same parts share their times and the order of their rows.
        let mut columns: BTreeMap<&Series, Vec<(usize, usize)>> = BTreeMap::new();
        for (part, Part { series, .. }) in parts.iter().enumerate() {
            for (column, series) in series
                .iter()
                .enumerate()
                .filter(|(_, s)| selector.admits(s))
            {
                let places = columns.entry(series).or_default();
                if places.last().is_none_or(|(last, _)| *last != part) {
                    places.push((part, column));
                }
            }
        }
        let mut layouts: BTreeMap<Vec<usize>, Layout> = BTreeMap::new();
        let mut samples = Vec::with_capacity(columns.len());
        for (series, places) in columns {
            let used: Vec<_> = places.iter().map(|(part, _)| *part).collect();
            let (times, runs) = layouts
                .entry(used)
                .or_insert_with_key(|used| layout(&parts, used, range));
            if times.is_empty() {
                continue;
            }
            let mut values = Vec::with_capacity(times.len());
            for run in runs {
                let place = places.binary_search_by_key(&run.part, |(part, _)| *part);
                let column = place.map_or(0, |place| places[place].1);
                values.extend_from_slice(&parts[run.part].block.columns[column][run.rows.clone()]);
            }
            samples.push(SeriesSamples {
                host: host.clone(),
                series: series.clone(),
                times: times.clone(),
                values,
            });
        }
        samples
    }

    fn parts(&self, view: &View, host: &HostId, range: TimeRange) -> Vec<Part> {
        let mut joined = JoinedMetrics::default();
        for found in self.find(view, Kind::Metrics, host, range) {
            let decoded = joined.push(found.key, &found.value);
            self.intact(&found.table, &found.raw, &found.value, decoded);
        }
        let values = joined.values().into_iter();
        values
            .filter_map(|value| {
                let series = self.schema(view, host, value.block.schema)?;
                let block = value.block;
                (series.len() == block.columns.width()).then_some(Part { series, block })
            })
            .collect()
    }
}

/// The times of some parts within a range, and the runs of rows that give them in order. Of two rows at
/// one time the one that came later wins.
fn layout(parts: &[Part], used: &[usize], range: TimeRange) -> Layout {
    let mut runs = Vec::with_capacity(used.len());
    for part in used {
        let times = &parts[*part].block.times;
        let from = times.partition_point(|time| *time < range.from);
        let to = times.partition_point(|time| *time < range.to);
        if from < to {
            runs.push(Run {
                part: *part,
                rows: from..to,
            });
        }
    }
    let time = |part: usize, row: usize| parts[part].block.times[row];
    let in_order = runs.windows(2).all(|pair| {
        time(pair[0].part, pair[0].rows.end - 1) < time(pair[1].part, pair[1].rows.start)
    });
    if !in_order {
        let mut rows = BTreeMap::new();
        for run in &runs {
            rows.extend(
                run.rows
                    .clone()
                    .map(|row| (time(run.part, row), (run.part, row))),
            );
        }
        let single = |(part, row)| Run {
            part,
            rows: row..row + 1,
        };
        runs = rows.into_values().map(single).collect();
    }
    let times = runs
        .iter()
        .flat_map(|run| {
            parts[run.part].block.times[run.rows.clone()]
                .iter()
                .copied()
        })
        .collect();
    (times, runs)
}
